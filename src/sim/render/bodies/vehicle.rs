//! Cars, lorries and buses.

use nalgebra::Vector3;
use rand::Rng;
use rand_pcg::Pcg64;

use super::{glass, lacquer, rubber, vivid};
use crate::sim::environment::{Material, Texture};
use crate::sim::render::mesh::Mesh;

/// Four or more wheels; `axles` are positions along x.
fn wheels(axles: &[f32], half_width: f32, radius: f32, mesh: &mut Mesh) {
    let hub = Material::plain([0.25; 3]);
    for &x in axles {
        for side in [-1.0f32, 1.0] {
            let outer = Vector3::new(x, side * half_width, radius);
            let inner = Vector3::new(x, side * (half_width - 0.22), radius);
            mesh.cone(inner, outer, [radius; 2], 10, rubber());
            let cap = Vector3::new(x, side * (half_width + 0.02), radius);
            mesh.cone(outer, cap, [0.6 * radius, 0.55 * radius], 8, hub);
        }
    }
}

/// A rectangle that faces along +x or −x.
fn plate(x: f32, y: [f32; 2], z: [f32; 2], forward: bool) -> [Vector3<f32>; 4] {
    let [y0, y1] = if forward { y } else { [y[1], y[0]] };
    [
        Vector3::new(x, y0, z[0]),
        Vector3::new(x, y1, z[0]),
        Vector3::new(x, y1, z[1]),
        Vector3::new(x, y0, z[1]),
    ]
}

/// Lamps and number plates at both ends.
fn ends(front: f32, rear: f32, half_width: f32, z: f32, braking: bool, mesh: &mut Mesh) {
    let lamp = Material::plain([0.8, 0.8, 0.75]);
    let tail = Material::plain([0.45, 0.02, 0.02]);
    let glow = if braking { 1.2 } else { 0.0 };
    for side in [-1.0f32, 1.0] {
        let mut y = [side * half_width * 0.95, side * half_width * 0.6];
        y.sort_by(f32::total_cmp);
        mesh.face(&plate(front + 0.025, y, [z, z + 0.14], true), lamp);
        mesh.glowing_face(&plate(rear - 0.025, y, [z + 0.05, z + 0.22], false), tail, glow);
    }
    let number = Material::plain([0.75, 0.75, 0.7]);
    mesh.face(&plate(front + 0.025, [-0.25, 0.25], [z - 0.2, z - 0.08], true), number);
    mesh.face(&plate(rear - 0.025, [-0.25, 0.25], [z - 0.15, z - 0.03], false), number);
}

pub(super) fn car(random: &mut Pcg64, [length, width, height]: [f32; 3], braking: bool, mesh: &mut Mesh) {
    let paint = lacquer(random);
    let pane = glass(random);
    let (half_length, half_width) = (0.5 * length, 0.5 * width);
    let clearance = random.random_range(0.14..0.22f32);
    let belt = height * random.random_range(0.55..0.64f32);
    let radius = random.random_range(0.29..0.36f32);
    // Hatchback, saloon, estate, van and pick-up differ in where the glass house begins and ends.
    let van = height > 1.85;
    let variant = if van { 3 } else { random.random_range(0..4) };
    let (hood, boot) = match variant {
        0 => (0.24, 0.03),
        1 => (0.27, 0.17),
        2 => (0.26, 0.02),
        3 if van => (0.13, 0.0),
        _ => (0.28, 0.38),
    };
    let hood_z = belt * random.random_range(0.88..0.97f32);
    let waist_front = half_length - hood * length;
    let waist_rear = -half_length + boot * length;
    let sill = 0.03 * width;
    // Body up to the belt: bonnet, cabin base, boot.
    let bumper = 0.06 * length;
    let body = |mesh: &mut Mesh, x0: f32, x1: f32, z1: f32| {
        mesh.cuboid(
            Vector3::new(x0, -half_width, clearance),
            Vector3::new(x1, half_width, z1),
            paint,
            paint,
        );
    };
    body(mesh, waist_rear, waist_front, belt);
    let nose = [waist_front, -half_width, half_length, half_width];
    let nose_top = [waist_front, -half_width + sill, half_length - bumper, half_width - sill];
    mesh.frustum(nose, clearance, nose_top, hood_z, paint, paint);
    if boot > 0.05 {
        let deck_z = if variant == 3 { 0.8 * belt } else { belt };
        body(mesh, -half_length, waist_rear, deck_z);
    } else if boot > 0.0 {
        body(mesh, -half_length, waist_rear, 0.9 * belt);
    }
    // Glass house.
    let tumble = width * random.random_range(0.08..0.13f32);
    let front_slope = (height - belt) * random.random_range(0.9..1.6f32);
    let rear_slope = (height - belt)
        * match variant {
            1 => 1.1,
            3 => 0.12,
            _ => 0.45,
        };
    let bottom = [waist_rear, -half_width + 0.02, waist_front, half_width - 0.02];
    let top = [
        waist_rear + rear_slope,
        -half_width + tumble,
        waist_front - front_slope,
        half_width - tumble,
    ];
    let sides = if van && random.random_bool(0.6) { paint } else { pane };
    mesh.frustum(bottom, belt, top, height, sides, paint);
    // Pillars: narrow painted strips beside the glass.
    if sides != paint {
        let pillar = 0.5 * (bottom[0] + bottom[2]) + random.random_range(-0.3..0.3f32);
        for side in [-1.0f32, 1.0] {
            let low = side * (half_width + 0.005);
            let high = side * (half_width - tumble + 0.025);
            for x in [pillar, bottom[0] + 0.55 * rear_slope + 0.1] {
                let mut corners = [
                    Vector3::new(x - 0.05, low, belt),
                    Vector3::new(x + 0.05, low, belt),
                    Vector3::new(x + 0.05, high, height),
                    Vector3::new(x - 0.05, high, height),
                ];
                if side > 0.0 {
                    corners.reverse();
                }
                mesh.face(&corners, paint);
            }
        }
    }
    wheels(&[0.31 * length, -0.3 * length], half_width - 0.01, radius, mesh);
    ends(half_length, -half_length, half_width, 0.6 * belt, braking, mesh);
    mesh.fit(length, width, height);
}

pub(super) fn truck(random: &mut Pcg64, [length, width, height]: [f32; 3], braking: bool, mesh: &mut Mesh) {
    let paint = lacquer(random);
    let load = Material {
        texture: if random.random_bool(0.3) {
            Texture::Crowd
        } else {
            Texture::Concrete
        },
        color: if random.random_bool(0.5) {
            [0.7; 3]
        } else {
            vivid(random)
        },
        tile_m: random.random_range(2.0..8.0),
        contrast: random.random_range(0.0..0.7),
    };
    let dark = Material::plain([0.04; 3]);
    let (half_length, half_width) = (0.5 * length, 0.5 * width);
    let cab_length = random.random_range(1.7..2.4f32).min(0.4 * length);
    let cab_height = height * random.random_range(0.72..0.98f32);
    let cab_rear = half_length - cab_length;
    mesh.cuboid(
        Vector3::new(cab_rear, -half_width, 0.45),
        Vector3::new(half_length, half_width, 0.5 * cab_height),
        paint,
        paint,
    );
    let bottom = [cab_rear, -half_width, half_length, half_width];
    let top = [cab_rear, -half_width + 0.05, half_length - 0.15, half_width - 0.05];
    let pane = glass(random);
    mesh.frustum(bottom, 0.5 * cab_height, top, 0.85 * cab_height, pane, paint);
    mesh.frustum(top, 0.85 * cab_height, top, cab_height, paint, paint);
    // Frame and load: a box, a flat bed with low sides, or a tank.
    mesh.cuboid(
        Vector3::new(-half_length, -0.4 * half_width, 0.55),
        Vector3::new(cab_rear, 0.4 * half_width, 0.95),
        dark,
        dark,
    );
    let load_front = cab_rear - random.random_range(0.1..0.5f32);
    let kind = random.random_range(0..5);
    if kind == 0 {
        mesh.cuboid(
            Vector3::new(-half_length, -half_width, 0.95),
            Vector3::new(load_front, half_width, 1.7f32.min(height)),
            load,
            dark,
        );
        // A load or the cab makes up the stated height.
        mesh.cuboid(
            Vector3::new(cab_rear, -0.5 * half_width, cab_height),
            Vector3::new(cab_rear + 0.5, 0.5 * half_width, height),
            paint,
            paint,
        );
    } else {
        mesh.cuboid(
            Vector3::new(-half_length, -half_width, 0.95),
            Vector3::new(load_front, half_width, height),
            load,
            load,
        );
    }
    let mut axles = vec![half_length - 0.55 * cab_length, -half_length + 0.12 * length];
    if length > 8.0 {
        axles.push(-half_length + 0.12 * length + 1.3);
    }
    if length > 12.0 {
        axles.push(cab_rear - 0.9);
    }
    wheels(&axles, half_width - 0.01, 0.48, mesh);
    ends(half_length, -half_length, half_width, 0.7, braking, mesh);
    mesh.fit(length, width, height);
}

pub(super) fn bus(random: &mut Pcg64, [length, width, height]: [f32; 3], braking: bool, mesh: &mut Mesh) {
    let paint = lacquer(random);
    let roof = if random.random_bool(0.5) {
        paint
    } else {
        Material::plain([0.75; 3])
    };
    let pane = glass(random);
    let (half_length, half_width) = (0.5 * length, 0.5 * width);
    let belt = height * random.random_range(0.36..0.46f32);
    let header = height * random.random_range(0.8..0.9f32);
    let full = [-half_length, -half_width, half_length, half_width];
    mesh.frustum(full, 0.3, full, belt, paint, paint);
    mesh.frustum(full, belt, full, header, pane, paint);
    mesh.frustum(full, header, full, height, roof, roof);
    // Pillars between the windows.
    let windows = (length / random.random_range(1.3..1.9f32)) as usize;
    for window in 0..=windows {
        let x = -half_length + length * window as f32 / windows as f32;
        for side in [-1.0f32, 1.0] {
            let y = side * (half_width + 0.03);
            let mut corners = [
                Vector3::new((x - 0.06).max(-half_length), y, belt),
                Vector3::new((x + 0.06).min(half_length), y, belt),
                Vector3::new((x + 0.06).min(half_length), y, header),
                Vector3::new((x - 0.06).max(-half_length), y, header),
            ];
            if side > 0.0 {
                corners.reverse();
            }
            mesh.face(&corners, paint);
        }
    }
    let mut axles = vec![
        half_length - 0.22 * length.min(12.0),
        -half_length + 0.25 * length.min(12.0),
    ];
    if length > 14.0 {
        axles.push(0.0);
    }
    wheels(&axles, half_width - 0.01, 0.46, mesh);
    ends(half_length, -half_length, half_width, 0.65, braking, mesh);
    mesh.fit(length, width, height);
}
