//! Looks: the colours and patterns of surfaces, the light, the picture.

mod light;

pub(super) use light::{imaging, light};

use super::draw::Draw;
use crate::sim::environment::{Material, Texture};

fn material(texture: Texture, color: [f32; 3], tile_m: f64, contrast: f64) -> Material {
    Material {
        texture,
        color,
        tile_m: tile_m as f32,
        contrast: contrast as f32,
    }
}

/// A road's surface, from new and black to worn and pale.
pub(super) fn asphalt(draw: &mut Draw) -> Material {
    let grey = draw.uniform(0.05..0.24);
    let color = draw.color([grey; 3], 0.1, 0.06);
    material(Texture::Asphalt, color, draw.uniform(2.0..6.0), draw.uniform(0.4..1.0))
}

/// A pavement or square: slabs, concrete, bricks or asphalt.
pub(super) fn paving(draw: &mut Draw) -> Material {
    match draw.below(5) {
        0 | 1 => {
            let color = draw.color([0.36, 0.34, 0.31], 0.45, 0.12);
            material(Texture::Paving, color, draw.uniform(0.5..2.4), draw.uniform(0.4..1.0))
        }
        2 => {
            let color = draw.color([0.38, 0.37, 0.35], 0.4, 0.08);
            material(Texture::Concrete, color, draw.uniform(1.5..5.0), draw.uniform(0.4..1.0))
        }
        3 => {
            let color = draw.color([0.34, 0.2, 0.15], 0.4, 0.15);
            material(Texture::Brick, color, draw.uniform(0.6..1.6), draw.uniform(0.4..1.0))
        }
        _ => asphalt(draw),
    }
}

/// Unpaved ground: grass, earth, gravel or sand.
pub(super) fn soil(draw: &mut Draw) -> Material {
    if draw.chance(0.6) {
        let color = draw.color([0.1, 0.17, 0.05], 0.5, 0.25);
        material(Texture::Grass, color, draw.uniform(0.8..3.0), draw.uniform(0.5..1.0))
    } else {
        let color = draw.color([0.27, 0.22, 0.16], 0.5, 0.15);
        material(Texture::Concrete, color, draw.uniform(1.0..4.0), draw.uniform(0.5..1.0))
    }
}

/// A lawn.
pub(super) fn lawn(draw: &mut Draw) -> Material {
    let color = draw.color([0.09, 0.19, 0.045], 0.4, 0.2);
    material(Texture::Grass, color, draw.uniform(0.8..3.0), draw.uniform(0.4..1.0))
}

/// The paint of lines, white or yellow, fresh or worn.
pub(super) fn paint(draw: &mut Draw) -> Material {
    let color = if draw.chance(0.85) {
        draw.color([0.68, 0.68, 0.66], 0.25, 0.03)
    } else {
        draw.color([0.68, 0.5, 0.1], 0.2, 0.06)
    };
    material(Texture::Concrete, color, 1.0, draw.uniform(0.0..0.7))
}

/// A kerb.
pub(super) fn kerb(draw: &mut Draw) -> Material {
    let color = draw.color([0.45, 0.44, 0.42], 0.35, 0.06);
    material(Texture::Concrete, color, 1.0, 0.6)
}

/// A building's walls.
pub(super) fn wall(draw: &mut Draw) -> Material {
    let hue = [
        [0.55, 0.5, 0.42],
        [0.42, 0.4, 0.38],
        [0.4, 0.22, 0.16],
        [0.62, 0.6, 0.56],
        [0.5, 0.38, 0.24],
        [0.3, 0.34, 0.38],
        [0.55, 0.42, 0.36],
    ];
    let hue = hue[draw.below(hue.len())];
    let color = draw.color(hue, 0.4, 0.15);
    match draw.below(8) {
        0 => material(Texture::Brick, color, draw.uniform(0.8..1.6), draw.uniform(0.5..1.0)),
        1 => material(Texture::Concrete, color, draw.uniform(2.0..5.0), draw.uniform(0.3..1.0)),
        _ => material(Texture::Facade, color, draw.uniform(2.2..4.2), draw.uniform(0.5..1.0)),
    }
}

/// A shop's front, a hoarding, a stand full of people.
pub(super) fn motley(draw: &mut Draw) -> Material {
    let color = draw.color([0.42, 0.4, 0.38], 0.4, 0.15);
    material(Texture::Crowd, color, draw.uniform(2.0..8.0), draw.uniform(0.5..1.0))
}

/// A roof.
pub(super) fn roof(draw: &mut Draw) -> Material {
    let color = draw.color([0.25, 0.22, 0.2], 0.5, 0.2);
    material(Texture::Concrete, color, 3.0, 0.6)
}

/// Leaves.
pub(super) fn leaves(draw: &mut Draw) -> Material {
    let color = if draw.chance(0.85) {
        draw.color([0.07, 0.15, 0.04], 0.5, 0.3)
    } else {
        draw.color([0.3, 0.17, 0.05], 0.4, 0.2)
    };
    material(Texture::Grass, color, draw.uniform(0.5..1.5), draw.uniform(0.6..1.0))
}

/// Bark.
pub(super) fn bark(draw: &mut Draw) -> Material {
    let color = draw.color([0.14, 0.1, 0.07], 0.5, 0.15);
    material(Texture::Wood, color, 0.6, 0.8)
}

/// Metal: poles, fences, containers.
pub(super) fn metal(draw: &mut Draw) -> Material {
    let hue = [
        [0.35, 0.36, 0.37],
        [0.1, 0.11, 0.12],
        [0.1, 0.2, 0.14],
        [0.5, 0.5, 0.5],
        [0.45, 0.12, 0.1],
        [0.12, 0.2, 0.4],
    ];
    let hue = hue[draw.below(hue.len())];
    Material::plain(draw.color(hue, 0.3, 0.1))
}

/// Boards: benches, sports halls' floors.
pub(super) fn boards(draw: &mut Draw) -> Material {
    let color = draw.color([0.42, 0.27, 0.14], 0.4, 0.12);
    material(Texture::Wood, color, draw.uniform(1.0..3.0), draw.uniform(0.3..0.9))
}

/// The even synthetic surface of a playing field.
pub(super) fn pitch(draw: &mut Draw) -> Material {
    let hue = [
        [0.12, 0.24, 0.4],
        [0.12, 0.3, 0.16],
        [0.42, 0.16, 0.1],
        [0.3, 0.3, 0.32],
        [0.16, 0.34, 0.36],
    ];
    let hue = hue[draw.below(hue.len())];
    let color = draw.color(hue, 0.35, 0.2);
    material(Texture::Concrete, color, draw.uniform(2.0..6.0), draw.uniform(0.1..0.6))
}
