//! Generated surface patterns with their reduced copies.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use crate::sim::environment::Texture;

/// Texels along a side of the full-size pattern.
pub(super) const SIDE: usize = 256;
const LEVELS: usize = 9;

/// One pattern: factors round 128 for red, green and blue, at full size and reduced by two, again and again.
#[derive(Debug)]
pub(super) struct Pattern {
    levels: Vec<Vec<[u8; 4]>>,
}

impl Pattern {
    /// The factor at tile coordinates (u, v) when a pixel covers `footprint` tiles, in 1/128.
    #[inline]
    pub(super) fn sample(&self, u: f32, v: f32, footprint: f32) -> [u8; 4] {
        // The exponent of the footprint in texels is the level, rounded to the nearest by the factor.
        let texels = footprint * (SIDE as f32 * std::f32::consts::SQRT_2);
        let level = ((texels.to_bits() >> 23) as i32 - 127).clamp(0, LEVELS as i32 - 1) as usize;
        let side = SIDE >> level;
        let scale = side as f32;
        // Adding a large integer number of tiles keeps the truncation a floor.
        let x = ((u + 65536.0) * scale) as i64 as usize & (side - 1);
        let y = ((v + 65536.0) * scale) as i64 as usize & (side - 1);
        self.levels[level][y * side + x]
    }

    fn new(full: Vec<[u8; 4]>) -> Self {
        let mut levels = vec![full];
        let mut side = SIDE;
        for _ in 1..LEVELS {
            let above = &levels[levels.len() - 1];
            let half = side / 2;
            let mut reduced = Vec::with_capacity(half * half);
            for y in 0..half {
                for x in 0..half {
                    reduced.push(std::array::from_fn(|channel| {
                        let at = |dx: usize, dy: usize| u32::from(above[(2 * y + dy) * side + 2 * x + dx][channel]);
                        ((at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1) + 2) / 4) as u8
                    }));
                }
            }
            levels.push(reduced);
            side = half;
        }
        Self { levels }
    }
}

/// All patterns of a world.
#[derive(Debug)]
pub(super) struct Patterns([Pattern; 9]);

const KINDS: [Texture; 9] = [
    Texture::Plain,
    Texture::Asphalt,
    Texture::Concrete,
    Texture::Grass,
    Texture::Paving,
    Texture::Wood,
    Texture::Facade,
    Texture::Crowd,
    Texture::Brick,
];

/// Which pattern a texture is.
pub(super) fn index(texture: Texture) -> usize {
    KINDS.iter().position(|kind| *kind == texture).unwrap_or(0)
}

impl Patterns {
    pub(super) fn new(seed: u64) -> Self {
        Self(KINDS.map(|kind| {
            let mut random = Pcg64::seed_from_u64(seed ^ (0x7e57 + index(kind) as u64));
            Pattern::new(generate(kind, &mut random))
        }))
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> &Pattern {
        &self.0[index]
    }
}

/// Smooth noise that tiles: values −1 to 1 on a lattice of `cells` by `cells`, interpolated.
struct Lattice {
    cells: usize,
    values: Vec<f32>,
}

impl Lattice {
    fn new(cells: usize, random: &mut Pcg64) -> Self {
        let values = (0..cells * cells).map(|_| random.random_range(-1.0..1.0)).collect();
        Self { cells, values }
    }

    fn at(&self, x: f32, y: f32) -> f32 {
        let (x, y) = (x * self.cells as f32, y * self.cells as f32);
        let (x0, y0) = (x.floor(), y.floor());
        let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
        let (tx, ty) = (smooth(x - x0), smooth(y - y0));
        let (x0, y0) = (x0 as usize % self.cells, y0 as usize % self.cells);
        let (x1, y1) = ((x0 + 1) % self.cells, (y0 + 1) % self.cells);
        let value = |x: usize, y: usize| self.values[y * self.cells + x];
        let upper = value(x0, y0) * (1.0 - tx) + value(x1, y0) * tx;
        let lower = value(x0, y1) * (1.0 - tx) + value(x1, y1) * tx;
        upper * (1.0 - ty) + lower * ty
    }
}

fn generate(kind: Texture, random: &mut Pcg64) -> Vec<[u8; 4]> {
    let octaves: Vec<Lattice> = [4, 9, 21, 53].map(|cells| Lattice::new(cells, random)).into();
    let clouds = |x: f32, y: f32, weights: [f32; 4]| -> f32 {
        octaves
            .iter()
            .zip(weights)
            .map(|(octave, weight)| weight * octave.at(x, y))
            .sum()
    };
    let joint_share = random.random_range(0.02..0.06f32);
    let slabs = random.random_range(2..5usize);
    let offset_rows = random.random_bool(0.5);
    let boards = random.random_range(6..14usize);
    let window = [random.random_range(0.15..0.3f32), random.random_range(0.2..0.35f32)];
    let glass = random.random_range(0.25..0.6f32);
    let spot_cells = 32;
    let spots: Vec<[f32; 3]> = (0..spot_cells * spot_cells)
        .map(|_| std::array::from_fn(|_| random.random_range(0.15..1.9f32)))
        .collect();
    let slab_tones: Vec<f32> = (0..256).map(|_| random.random_range(-0.12..0.12f32)).collect();
    let mut texels = Vec::with_capacity(SIDE * SIDE);
    for row in 0..SIDE {
        for column in 0..SIDE {
            let (x, y) = (column as f32 / SIDE as f32, row as f32 / SIDE as f32);
            let grain = random.random_range(-1.0..1.0f32);
            let factor = match kind {
                Texture::Plain => [1.0; 3],
                Texture::Asphalt => {
                    let crack = octaves[1].at(x, y).abs() < 0.012;
                    let tone = 1.0 + clouds(x, y, [0.10, 0.06, 0.03, 0.02]) + 0.16 * grain;
                    [if crack { 0.7 * tone } else { tone }; 3]
                }
                Texture::Concrete => [1.0 + clouds(x, y, [0.12, 0.08, 0.05, 0.04]) + 0.04 * grain; 3],
                Texture::Grass => {
                    let tone = 1.0 + clouds(x, y, [0.15, 0.12, 0.15, 0.2]) + 0.3 * grain;
                    let dry = 0.12 * octaves[0].at(x, y);
                    [tone + dry, tone, tone - dry]
                }
                Texture::Paving | Texture::Brick => {
                    let (across, down) = match kind {
                        Texture::Brick => (slabs, 3 * slabs),
                        _ => (slabs, slabs),
                    };
                    let line = (y * down as f32) as usize;
                    let shift = if offset_rows || kind == Texture::Brick {
                        0.5 * (line % 2) as f32
                    } else {
                        0.0
                    };
                    let (in_x, in_y) = ((x * across as f32 + shift).fract(), (y * down as f32).fract());
                    let joint = in_x < joint_share || in_y < joint_share * down as f32 / across as f32;
                    let slab = (line * across + (x * across as f32 + shift) as usize % across) % slab_tones.len();
                    let tone = 1.0 + slab_tones[slab] + clouds(x, y, [0.03, 0.03, 0.03, 0.03]) + 0.05 * grain;
                    [if joint { 0.6 * tone } else { tone }; 3]
                }
                Texture::Wood => {
                    let board = (y * boards as f32) as usize;
                    let joint = (y * boards as f32).fract() < 0.05;
                    let tone = 1.0 + slab_tones[board] + 0.06 * octaves[2].at(x * 0.25, y);
                    [if joint { 0.8 * tone } else { tone }; 3]
                }
                Texture::Facade => {
                    let inside = x > window[0] && x < 1.0 - window[0] && y > window[1] && y < 1.0 - 0.6 * window[1];
                    let frame = inside
                        && (x < window[0] + 0.03
                            || x > 0.97 - window[0]
                            || y < window[1] + 0.03
                            || (x - 0.5).abs() < 0.015);
                    let wall = 1.1 + clouds(x, y, [0.05, 0.05, 0.03, 0.03]) + 0.04 * grain;
                    if frame {
                        [1.25; 3]
                    } else if inside {
                        let sky = glass * (1.0 + 0.5 * (y - x));
                        [0.85 * sky, sky, 1.15 * sky]
                    } else {
                        [wall; 3]
                    }
                }
                Texture::Crowd => {
                    let cell = |x: f32| (x * spot_cells as f32) as usize % spot_cells;
                    let (in_x, in_y) = (
                        (x * spot_cells as f32).fract() - 0.5,
                        (y * spot_cells as f32).fract() - 0.5,
                    );
                    let spot = spots[cell(y) * spot_cells + cell(x)];
                    if in_x * in_x + in_y * in_y < 0.16 {
                        spot
                    } else {
                        [0.5 + 0.1 * grain; 3]
                    }
                }
            };
            let byte = |value: f32| (128.0 * value).clamp(0.0, 255.0) as u8;
            texels.push([byte(factor[0]), byte(factor[1]), byte(factor[2]), 255]);
        }
    }
    texels
}
