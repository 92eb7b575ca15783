//! What must hold in every world: motion obeys physics, nothing overlaps, nothing is left to chance.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{HashMap, HashSet};

use nalgebra::Vector3;

use super::Scene;
use super::stage::Footprint;
use crate::sim::actor::{Actor, ActorClass};
use crate::sim::environment::Prop;
use crate::sim::world::{STEP_S, World, WorldSettings};

fn world(scene: Scene, seed: u64) -> World {
    World::new(WorldSettings::new(scene, seed)).unwrap()
}

fn footprint(actor: &Actor) -> Footprint {
    Footprint::new(
        actor.base_in_world.xy(),
        actor.yaw_rad,
        actor.size.length_m,
        actor.size.width_m,
    )
}

/// What stands in the way at the height of a vehicle.
fn solids(world: &World) -> Vec<Footprint> {
    let solid = |prop: &Prop| match prop {
        Prop::Cuboid {
            base, size, yaw_rad, ..
        } if base.z < 2.0 => Some(Footprint::new(base.xy(), *yaw_rad, size.x, size.y)),
        Prop::Cylinder { base, radius_m, .. } => Some(Footprint::new(base.xy(), 0.0, 1.8 * radius_m, 1.8 * radius_m)),
        _ => None,
    };
    world.environment.props.iter().filter_map(solid).collect()
}

fn is_vehicle(actor: &Actor) -> bool {
    !matches!(actor.class, ActorClass::Person | ActorClass::Ball)
}

/// The largest acceleration along and across that a class may show, m/s².
fn bounds_mps2(class: ActorClass) -> f64 {
    match class {
        ActorClass::Person => 6.3,
        ActorClass::Ball => f64::INFINITY,
        _ => 8.5,
    }
}

/// Steps a world and checks each step against the one before; gives what went wrong.
fn faults(scene: Scene, seed: u64, seconds: f64) -> Vec<String> {
    let mut world = world(scene, seed);
    let mut faults = Vec::new();
    let solids = solids(&world);
    let mut before: HashMap<u16, Actor> = HashMap::new();
    let mut gone: HashSet<u16> = HashSet::new();
    let mut fault = |time_s: f64, what: String| {
        if faults.len() < 40 {
            faults.push(format!("{scene} {seed} at {time_s:.2} s: {what}"));
        }
    };
    for step in 0..(seconds / STEP_S) as u64 {
        let time_s = step as f64 * STEP_S;
        let snapshot = world.at(time_s).unwrap();
        let mut now = HashMap::new();
        for actor in &snapshot.actors {
            let id = actor.id;
            if now.insert(id, actor.clone()).is_some() {
                fault(time_s, format!("id {id} twice"));
            }
            if gone.contains(&id) && actor.velocity_in_world_mps != Vector3::zeros() {
                fault(time_s, format!("id {id} came back"));
            }
            let Some(old) = before.get(&id) else { continue };
            let moved = (actor.base_in_world - old.base_in_world) / STEP_S;
            let mean = (actor.velocity_in_world_mps + old.velocity_in_world_mps) * 0.5;
            let change = (actor.velocity_in_world_mps - old.velocity_in_world_mps) / STEP_S;
            let off_mps = (moved - mean).norm();
            if off_mps > 0.03 + 0.005 * mean.norm() && actor.class != ActorClass::Ball {
                fault(time_s, format!("{:?} {id} moves {moved:?}, says {mean:?}", actor.class));
            }
            if change.norm() > bounds_mps2(actor.class) {
                fault(
                    time_s,
                    format!("{:?} {id} accelerates {:.1}", actor.class, change.norm()),
                );
            }
            if is_vehicle(actor) {
                let heading = Vector3::new(actor.yaw_rad.cos(), actor.yaw_rad.sin(), 0.0);
                let slip = actor.velocity_in_world_mps.cross(&heading).norm();
                if slip > 1e-6 + 0.01 * actor.velocity_in_world_mps.norm() {
                    fault(time_s, format!("{:?} {id} slips {slip:.3}", actor.class));
                }
            }
        }
        for id in before.keys() {
            if !now.contains_key(id) {
                gone.insert(*id);
            }
        }
        if step % 5 == 0 {
            let vehicles: Vec<&Actor> = snapshot.actors.iter().filter(|actor| is_vehicle(actor)).collect();
            let camera = Footprint::new(snapshot.world_from_camera.translation.vector.xy().into(), 0.0, 0.4, 0.4);
            let drives = scene == Scene::StreetDrive;
            for prop in &solids {
                if prop.overlaps(&camera) {
                    fault(time_s, format!("the camera is in {prop:?}"));
                }
                for actor in &snapshot.actors {
                    let near =
                        (prop.center - actor.base_in_world.xy()).norm() < prop.half_length_m + prop.half_width_m + 10.0;
                    if near && is_vehicle(actor) && prop.overlaps(&footprint(actor)) {
                        fault(time_s, format!("{:?} {} is in {prop:?}", actor.class, actor.id));
                    }
                }
            }
            for (index, one) in vehicles.iter().enumerate() {
                if drives && footprint(one).overlaps(&camera) {
                    fault(
                        time_s,
                        format!(
                            "{:?} {} ({:.1}) is where the camera is",
                            one.class,
                            one.id,
                            one.velocity_in_world_mps.norm()
                        ),
                    );
                }
                for other in &vehicles[index + 1..] {
                    if footprint(one).overlaps(&footprint(other)) {
                        fault(
                            time_s,
                            format!(
                                "{:?} {} ({:.1}) and {:?} {} ({:.1}) overlap at {:?}",
                                one.class,
                                one.id,
                                one.velocity_in_world_mps.norm(),
                                other.class,
                                other.id,
                                other.velocity_in_world_mps.norm(),
                                one.base_in_world
                            ),
                        );
                    }
                }
                for person in snapshot.actors.iter().filter(|actor| actor.class == ActorClass::Person) {
                    let rolls = one.velocity_in_world_mps.norm() > 0.5;
                    if rolls && footprint(one).distance_m(person.base_in_world.xy()) < 0.05 {
                        fault(
                            time_s,
                            format!(
                                "{:?} {} ({:.1}) runs over person {} ({:.1})",
                                one.class,
                                one.id,
                                one.velocity_in_world_mps.norm(),
                                person.id,
                                person.velocity_in_world_mps.norm(),
                            ),
                        );
                    }
                }
            }
        }
        before = now;
    }
    faults
}

#[test]
fn motion_obeys_physics() {
    let mut all = Vec::new();
    for scene in Scene::ALL {
        for seed in 0..12 {
            all.extend(faults(scene, seed, 40.0));
        }
    }
    assert!(all.is_empty(), "{} faults:\n{}", all.len(), all.join("\n"));
}

#[test]
fn the_same_seed_gives_the_same_world() {
    for scene in Scene::ALL {
        let (mut one, mut other) = (world(scene, 77), world(scene, 77));
        assert_eq!(one.environment, other.environment);
        assert_eq!(one.camera, other.camera);
        for second in 1..20 {
            let time_s = 0.7 * f64::from(second);
            assert_eq!(one.at(time_s).unwrap(), other.at(time_s).unwrap(), "{scene}");
        }
        assert_ne!(world(scene, 78).environment, one.environment);
    }
}

#[test]
fn the_world_begins_under_the_camera() {
    for scene in Scene::ALL {
        for seed in 0..8 {
            let mut world = world(scene, seed);
            let nominal = world.camera.world_from_camera();
            let pose = world.at(0.0).unwrap().world_from_camera;
            assert!((pose.translation.vector - nominal.translation.vector).norm() < 1e-9);
            assert!(pose.rotation.angle_to(&nominal.rotation) < 1e-6, "{scene} {seed}");
        }
    }
}

#[test]
#[ignore = "prints what the worlds hold"]
fn census() {
    for scene in Scene::ALL {
        for seed in 0..6 {
            let began = std::time::Instant::now();
            let mut world = world(scene, seed);
            let built = began.elapsed();
            print!(
                "{scene} {seed}: built in {built:?}, {} patches, {} props; ",
                world.environment.patches.len(),
                world.environment.props.len()
            );
            let began = std::time::Instant::now();
            let mut last = 0;
            for second in 0..60 {
                let snapshot = world.at(f64::from(second)).unwrap();
                last = snapshot.actors.len();
                if second % 12 == 0 {
                    let moving = snapshot
                        .actors
                        .iter()
                        .filter(|actor| actor.velocity_in_world_mps.norm() > 0.0)
                        .count();
                    print!("{last} ({moving} move) ");
                }
            }
            println!("step {:?} with {last}", began.elapsed() / 3000);
        }
    }
}
