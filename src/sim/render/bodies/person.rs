//! People: walking, standing, and as riders.

use nalgebra::{Rotation3, Vector3};
use rand::Rng;
use rand_pcg::Pcg64;

use super::{cloth, skin};
use crate::sim::actor::Articulation;
use crate::sim::environment::Material;
use crate::sim::render::mesh::Mesh;

/// What a person wears.
pub(super) struct Clothes {
    pub(super) top: Material,
    pub(super) legs: Material,
    pub(super) skin: Material,
    pub(super) head: Material,
    pub(super) shoes: Material,
    sleeves: bool,
    shorts: bool,
    build: f32,
}

impl Clothes {
    pub(super) fn new(random: &mut Pcg64) -> Self {
        let skin = skin(random);
        let hair = random.random_range(0.01..0.25f32);
        let head = if random.random_bool(0.2) {
            cloth(random)
        } else {
            Material::plain([hair, 0.8 * hair, 0.55 * hair])
        };
        Self {
            top: cloth(random),
            legs: cloth(random),
            skin,
            head,
            shoes: cloth(random),
            sleeves: random.random_bool(0.6),
            shorts: random.random_bool(0.35),
            build: random.random_range(0.85..1.2),
        }
    }
}

/// A limb of two segments that hangs from `root` and swings about the y axis: `angle` of the upper and `bend` of the
/// lower segment, radians; positive angles swing forward.
struct Limb {
    root: Vector3<f32>,
    upper_m: f32,
    lower_m: f32,
    radius_m: f32,
    angle: f32,
    bend: f32,
}

impl Limb {
    fn draw(&self, upper: Material, lower: Material, tip: Option<Material>, mesh: &mut Mesh) {
        let down = |angle: f32| Vector3::new(angle.sin(), 0.0, -angle.cos());
        let joint = self.root + down(self.angle) * self.upper_m;
        let end = joint + down(self.angle + self.bend) * self.lower_m;
        mesh.cone(self.root, joint, [self.radius_m, 0.8 * self.radius_m], 5, upper);
        mesh.cone(joint, end, [0.8 * self.radius_m, 0.55 * self.radius_m], 5, lower);
        if let Some(tip) = tip {
            let least = end + Vector3::new(-0.06, -0.05, -0.02);
            mesh.cuboid(least, end + Vector3::new(0.2, 0.05, 0.07), tip, tip);
        }
    }
}

/// A person of the given height who stands, walks or runs.
pub(super) fn walking(random: &mut Pcg64, height: f32, articulation: &Articulation, mesh: &mut Mesh) {
    let clothes = Clothes::new(random);
    let unit = height / 1.75;
    let (phase, swing) = (articulation.phase_rad as f32, articulation.swing as f32);
    let leg = 0.47 * height;
    // Longer steps lower the hips.
    let hip_z = leg + 0.03 * unit - 0.25 * leg * (1.0 - (0.75 * swing).cos());
    let lean = 0.25 * swing * swing;
    let girth = clothes.build;
    for side in [-1.0f32, 1.0] {
        let cycle = phase + if side > 0.0 { 0.0 } else { std::f32::consts::PI };
        let stride = 0.75 * swing * cycle.sin();
        let lift = swing * (0.25 + 0.9 * (cycle + 0.9).cos().max(0.0));
        Limb {
            root: Vector3::new(0.0, side * 0.1 * unit * girth, hip_z),
            upper_m: 0.5 * leg,
            lower_m: 0.47 * leg,
            radius_m: 0.085 * unit * girth,
            angle: stride,
            bend: -lift,
        }
        .draw(
            clothes.legs,
            if clothes.shorts { clothes.skin } else { clothes.legs },
            Some(clothes.shoes),
            mesh,
        );
    }
    let torso_start = mesh.vertices.len();
    torso(&clothes, unit, height, hip_z, mesh);
    for side in [-1.0f32, 1.0] {
        let cycle = phase + if side > 0.0 { std::f32::consts::PI } else { 0.0 };
        Limb {
            root: Vector3::new(0.0, side * 0.235 * unit * girth, hip_z + 0.33 * height),
            upper_m: 0.17 * height,
            lower_m: 0.17 * height,
            radius_m: 0.05 * unit * girth,
            angle: 0.8 * swing * cycle.sin(),
            bend: 0.15 + 1.2 * swing,
        }
        .draw(
            clothes.top,
            if clothes.sleeves { clothes.top } else { clothes.skin },
            None,
            mesh,
        );
    }
    let tilt = Rotation3::from_axis_angle(&Vector3::y_axis(), lean);
    mesh.rotate_from(torso_start, Vector3::new(0.0, 0.0, hip_z), &tilt);
}

/// Trunk, neck, head and hair, up to the stated height over the hips at rest.
fn torso(clothes: &Clothes, unit: f32, height: f32, hip_z: f32, mesh: &mut Mesh) {
    let girth = clothes.build;
    let (waist, chest) = (0.15 * unit * girth, 0.2 * unit * girth);
    let depth = 0.11 * unit * girth;
    let shoulder_z = hip_z + 0.345 * height;
    mesh.frustum(
        [-depth, -waist, depth, waist],
        hip_z - 0.05 * unit,
        [-depth, -chest, depth, chest],
        shoulder_z,
        clothes.top,
        clothes.top,
    );
    let neck = Vector3::new(0.0, 0.0, shoulder_z);
    mesh.cone(
        neck,
        neck + Vector3::new(0.0, 0.0, 0.07 * unit),
        [0.06 * unit; 2],
        6,
        clothes.skin,
    );
    let head_radius = 0.068 * height;
    let head_z = hip_z + 0.5 * height - head_radius;
    mesh.ellipsoid(
        Vector3::new(0.01, 0.0, head_z),
        Vector3::new(0.085 * unit, 0.075 * unit, head_radius),
        4,
        |ring, segment| {
            // Hair on top and at the back; segments count from the front.
            let back = (2..6).contains(&segment);
            if ring >= 3 || back && ring >= 1 {
                clothes.head
            } else {
                clothes.skin
            }
        },
    );
}

/// A rider whose hips are at `hip` and whose hands are at `hands`; feet circle round `feet` when pedalling.
pub(super) fn rider(
    random: &mut Pcg64,
    hip: Vector3<f32>,
    hands: Vector3<f32>,
    feet: [Vector3<f32>; 2],
    scale: f32,
    mesh: &mut Mesh,
) {
    let clothes = Clothes::new(random);
    let shoulder =
        hip + (hands - hip).component_mul(&Vector3::new(0.45, 0.0, 0.0)) + Vector3::new(0.0, 0.0, 0.5 * scale);
    mesh.cone(hip, shoulder, [0.15 * scale, 0.19 * scale], 6, clothes.top);
    for (side, foot) in [-1.0f32, 1.0].into_iter().zip(feet) {
        let across = Vector3::new(0.0, side * 0.1, 0.0);
        let root = hip + across;
        let knee = (root + foot) * 0.5 + Vector3::new(0.22 * scale, side * 0.02, 0.08 * scale);
        mesh.cone(root, knee, [0.085 * scale, 0.07 * scale], 5, clothes.legs);
        mesh.cone(knee, foot, [0.065 * scale, 0.045 * scale], 5, clothes.legs);
        let sole = foot + Vector3::new(-0.08, -0.04, -0.04);
        mesh.cuboid(
            sole,
            foot + Vector3::new(0.16, 0.04, 0.03),
            clothes.shoes,
            clothes.shoes,
        );
        let arm_root = shoulder + Vector3::new(0.0, side * 0.2 * scale, -0.04);
        let grip = hands + Vector3::new(0.0, side * 0.22, 0.0);
        mesh.cone(arm_root, grip, [0.05 * scale, 0.04 * scale], 5, clothes.top);
    }
    let head = shoulder + Vector3::new(0.06, 0.0, 0.2 * scale);
    mesh.ellipsoid(head, Vector3::new(0.1, 0.085, 0.125) * scale, 4, |ring, _| {
        if ring >= 2 { clothes.head } else { clothes.skin }
    });
}
