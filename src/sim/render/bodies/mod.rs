//! What actors look like: one mesh an actor, drawn from the seed of its looks.

mod cycle;
mod person;
mod vehicle;

use nalgebra::Vector3;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use super::mesh::Mesh;
use crate::sim::actor::{Actor, ActorClass};
use crate::sim::environment::{Material, Texture};

/// Whether the mesh changes with nothing but the brake lights.
pub(super) fn is_rigid(class: ActorClass) -> bool {
    matches!(class, ActorClass::Car | ActorClass::Truck | ActorClass::Bus)
}

/// Builds the mesh of an actor in its own frame.
pub(super) fn build(actor: &Actor, mesh: &mut Mesh) {
    mesh.clear();
    let mut random = Pcg64::seed_from_u64(actor.look);
    let size = actor.size;
    let (length, width, height) = (size.length_m as f32, size.width_m as f32, size.height_m as f32);
    let braking = actor.articulation.braking;
    match actor.class {
        ActorClass::Car => vehicle::car(&mut random, [length, width, height], braking, mesh),
        ActorClass::Truck => vehicle::truck(&mut random, [length, width, height], braking, mesh),
        ActorClass::Bus => vehicle::bus(&mut random, [length, width, height], braking, mesh),
        ActorClass::Bicycle => cycle::bicycle(&mut random, [length, width, height], &actor.articulation, mesh),
        ActorClass::Motorcycle => cycle::motorcycle(&mut random, [length, width, height], &actor.articulation, mesh),
        ActorClass::Person => person::walking(&mut random, height, &actor.articulation, mesh),
        ActorClass::Ball => ball(&mut random, height, actor.articulation.phase_rad as f32, mesh),
    }
}

fn ball(random: &mut Pcg64, diameter: f32, phase: f32, mesh: &mut Mesh) {
    let first = vivid(random);
    let second = if random.random_bool(0.5) {
        [0.8; 3]
    } else {
        first.map(|channel| 0.4 * channel)
    };
    let pattern = random.random_range(1..4usize);
    let radius = 0.5 * diameter;
    mesh.ellipsoid(
        Vector3::new(0.0, 0.0, radius),
        Vector3::repeat(radius),
        6,
        |ring, segment| {
            Material::plain(if (ring + segment / pattern).is_multiple_of(2) {
                first
            } else {
                second
            })
        },
    );
    let turn = nalgebra::Rotation3::from_axis_angle(&Vector3::y_axis(), phase);
    mesh.rotate_from(0, Vector3::new(0.0, 0.0, radius), &turn);
}

/// A saturated colour.
fn vivid(random: &mut Pcg64) -> [f32; 3] {
    let hue = random.random_range(0.0..6.0f32);
    let value = random.random_range(0.25..0.85f32);
    let saturation = random.random_range(0.5..0.95f32);
    let channel = |shift: f32| {
        let distance = ((hue + shift).rem_euclid(6.0) - 3.0).abs() - 1.0;
        value * (1.0 - saturation * (1.0 - distance.clamp(0.0, 1.0)))
    };
    [channel(0.0), channel(4.0), channel(2.0)]
}

/// Cloth: anything from black to white to bright colours.
fn cloth(random: &mut Pcg64) -> Material {
    let color = if random.random_bool(0.5) {
        vivid(random)
    } else {
        let grey = random.random_range(0.02..0.7f32);
        let tint = random.random_range(-0.1..0.1f32);
        [grey * (1.0 + tint), grey, grey * (1.0 - tint)]
    };
    Material {
        texture: Texture::Concrete,
        color,
        tile_m: random.random_range(0.4..1.2),
        contrast: random.random_range(0.0..0.9),
    }
}

/// Skin from dark to light.
fn skin(random: &mut Pcg64) -> Material {
    let tone = random.random_range(0.12..0.75f32);
    Material::plain([tone, 0.72 * tone, 0.55 * tone])
}

/// Lacquer as cars have it: mostly white, black, grey and silver.
fn lacquer(random: &mut Pcg64) -> Material {
    let color = match random.random_range(0..10) {
        0..=1 => [random.random_range(0.65..0.85f32); 3],
        2..=3 => [random.random_range(0.01..0.05f32); 3],
        4..=5 => [random.random_range(0.12..0.45f32); 3],
        _ => vivid(random),
    };
    Material {
        texture: Texture::Concrete,
        color,
        tile_m: 3.0,
        contrast: random.random_range(0.0..0.35),
    }
}

fn rubber() -> Material {
    Material::plain([0.02; 3])
}

fn glass(random: &mut Pcg64) -> Material {
    let tone = random.random_range(0.02..0.12f32);
    Material::plain([tone, 1.05 * tone, 1.15 * tone])
}
