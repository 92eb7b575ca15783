//! Bicycles and motorcycles with their riders.

use nalgebra::{Rotation3, Vector3};
use rand::Rng;
use rand_pcg::Pcg64;

use super::person::rider;
use super::{lacquer, rubber, vivid};
use crate::sim::actor::Articulation;
use crate::sim::environment::Material;
use crate::sim::render::mesh::Mesh;

fn wheel(center: Vector3<f32>, radius: f32, half_width: f32, mesh: &mut Mesh) {
    let side = Vector3::new(0.0, half_width, 0.0);
    mesh.cone(center - side, center + side, [radius; 2], 12, rubber());
}

/// Leans the whole about the heading; positive leans to the right.
fn lean(articulation: &Articulation, mesh: &mut Mesh) {
    let turn = Rotation3::from_axis_angle(&Vector3::x_axis(), articulation.lean_rad as f32);
    mesh.rotate_from(0, Vector3::zeros(), &turn);
}

pub(super) fn bicycle(random: &mut Pcg64, [length, _, height]: [f32; 3], articulation: &Articulation, mesh: &mut Mesh) {
    let frame = Material::plain(if random.random_bool(0.4) {
        [0.03; 3]
    } else {
        vivid(random)
    });
    let radius = 0.19 * length;
    let (front, rear) = (0.5 * length - radius, -0.5 * length + radius);
    let hip = Vector3::new(0.35 * rear, 0.0, height - 0.86);
    let hands = Vector3::new(0.62 * front, 0.0, height - 0.72);
    let axle = |x: f32| Vector3::new(x, 0.0, radius);
    wheel(axle(front), radius, 0.025, mesh);
    wheel(axle(rear), radius, 0.025, mesh);
    let crank = Vector3::new(0.05 * length, 0.0, 0.3);
    let saddle = hip - Vector3::new(0.0, 0.0, 0.08);
    let bars = hands - Vector3::new(0.0, 0.0, 0.03);
    for (from, to) in [
        (axle(rear), crank),
        (crank, saddle),
        (crank, bars),
        (saddle, bars),
        (axle(front), bars),
        (axle(rear), saddle),
    ] {
        mesh.cone(from, to, [0.022; 2], 4, frame);
    }
    let grip = Vector3::new(0.0, 0.25, 0.0);
    mesh.cone(bars - grip, bars + grip, [0.018; 2], 4, frame);
    let phase = articulation.phase_rad as f32;
    let feet = [0.0f32, std::f32::consts::PI].map(|shift| {
        let (sin, cos) = (phase + shift).sin_cos();
        let side = if shift == 0.0 { -0.1 } else { 0.1 };
        crank + Vector3::new(0.17 * cos, side, -0.17 * sin)
    });
    rider(random, hip, hands, feet, (height / 1.75).clamp(0.8, 1.15), mesh);
    lean(articulation, mesh);
}

pub(super) fn motorcycle(
    random: &mut Pcg64,
    [length, _, height]: [f32; 3],
    articulation: &Articulation,
    mesh: &mut Mesh,
) {
    let paint = lacquer(random);
    let metal = Material::plain([0.2; 3]);
    let radius = 0.15 * length;
    let (front, rear) = (0.5 * length - radius, -0.5 * length + radius);
    wheel(Vector3::new(front, 0.0, radius), radius, 0.07, mesh);
    wheel(Vector3::new(rear, 0.0, radius), radius, 0.09, mesh);
    let seat_z = 0.5 * height;
    mesh.cuboid(
        Vector3::new(rear + 0.3 * radius, -0.15, 0.25),
        Vector3::new(front - 0.8 * radius, 0.15, 0.62 * seat_z),
        metal,
        metal,
    );
    mesh.frustum(
        [0.0, -0.16, front - 0.4 * radius, 0.16],
        0.55 * seat_z,
        [0.05, -0.14, front - radius, 0.14],
        1.12 * seat_z,
        paint,
        paint,
    );
    mesh.cuboid(
        Vector3::new(rear - 0.2 * radius, -0.13, 0.7 * seat_z),
        Vector3::new(0.05, 0.13, seat_z - 0.02),
        paint,
        Material::plain([0.03; 3]),
    );
    let bars = Vector3::new(front - 1.1 * radius, 0.0, 1.25 * seat_z);
    mesh.cone(Vector3::new(front, 0.0, radius), bars, [0.05; 2], 5, metal);
    let grip = Vector3::new(0.0, 0.36, 0.0);
    mesh.cone(bars - grip, bars + grip, [0.02; 2], 4, metal);
    let hip = Vector3::new(-0.12 * length, 0.0, seat_z + 0.08);
    let feet = [-0.22f32, 0.22].map(|y| Vector3::new(0.02 * length, y, 0.32));
    let rider_scale = ((height - seat_z) / 0.84).clamp(0.8, 1.2);
    rider(random, hip, bars, feet, rider_scale, mesh);
    lean(articulation, mesh);
}
