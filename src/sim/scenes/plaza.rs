//! A square with people who walk across it.

use nalgebra::{Isometry3, Point2, Point3, Vector3};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use super::Parts;
use crate::camera::{Camera, Intrinsics, IntrinsicsSource, Mounting, MountingSource};
use crate::sim::actor::{Actor, ActorClass, Articulation, Size};
use crate::sim::environment::{Environment, GroundPatch, Imaging, Light, Material, Prop, Texture};
use crate::sim::world::{Dynamics, WorldSettings};

pub(super) fn build(settings: &WorldSettings) -> Parts {
    let mut random = Pcg64::seed_from_u64(settings.seed);
    let fov_deg = settings
        .horizontal_fov_deg
        .unwrap_or_else(|| random.random_range(50.0..90.0));
    let intrinsics = Intrinsics::from_horizontal_fov(fov_deg.to_radians(), settings.width, settings.height)
        .unwrap_or_else(|error| unreachable!("checked by World::new: {error}"));
    let mounting = Mounting {
        height_m: 5.0,
        pitch_down_rad: 0.25,
        roll_rad: 0.0,
    };
    let classes = ActorClass::ALL;
    let actors = (0..14)
        .map(|index| {
            let class = classes[index % classes.len()];
            let size = match class {
                ActorClass::Person => Size {
                    length_m: 0.5,
                    width_m: 0.6,
                    height_m: 1.75,
                },
                ActorClass::Ball => Size {
                    length_m: 0.24,
                    width_m: 0.24,
                    height_m: 0.24,
                },
                ActorClass::Bicycle => Size {
                    length_m: 1.8,
                    width_m: 0.6,
                    height_m: 1.75,
                },
                ActorClass::Motorcycle => Size {
                    length_m: 2.1,
                    width_m: 0.8,
                    height_m: 1.6,
                },
                ActorClass::Car => Size {
                    length_m: 4.5,
                    width_m: 1.8,
                    height_m: 1.5,
                },
                ActorClass::Truck => Size {
                    length_m: 8.0,
                    width_m: 2.5,
                    height_m: 3.4,
                },
                ActorClass::Bus => Size {
                    length_m: 12.0,
                    width_m: 2.55,
                    height_m: 3.1,
                },
            };
            Actor {
                id: index as u16 + 1,
                class,
                size,
                look: random.random(),
                base_in_world: Point3::new(random.random_range(8.0..35.0), random.random_range(-12.0..12.0), 0.0),
                yaw_rad: random.random_range(0.0..std::f64::consts::TAU),
                velocity_in_world_mps: Vector3::zeros(),
                articulation: Articulation {
                    swing: 0.5,
                    ..Articulation::default()
                },
            }
        })
        .collect();
    let square = |x0: f64, y0: f64, x1: f64, y1: f64| {
        vec![
            Point2::new(x0, y0),
            Point2::new(x1, y0),
            Point2::new(x1, y1),
            Point2::new(x0, y1),
        ]
    };
    Parts {
        environment: Environment {
            base: Material {
                texture: Texture::Grass,
                color: [0.12, 0.2, 0.07],
                tile_m: 2.0,
                contrast: 1.0,
            },
            patches: vec![GroundPatch {
                polygon: square(-20.0, -15.0, 60.0, 15.0),
                material: Material {
                    texture: Texture::Paving,
                    color: [0.4, 0.38, 0.35],
                    tile_m: 1.2,
                    contrast: 1.0,
                },
            }],
            props: vec![
                Prop::Cuboid {
                    base: Point3::new(60.0, 0.0, 0.0),
                    size: Vector3::new(10.0, 60.0, 15.0),
                    yaw_rad: 0.0,
                    sides: Material {
                        texture: Texture::Facade,
                        color: [0.5, 0.42, 0.35],
                        tile_m: 3.0,
                        contrast: 1.0,
                    },
                    top: Material::plain([0.3; 3]),
                },
                Prop::Cylinder {
                    base: Point3::new(15.0, 8.0, 0.0),
                    radius_m: 0.15,
                    height_m: 4.0,
                    material: Material::plain([0.2, 0.15, 0.1]),
                },
                Prop::Ellipsoid {
                    center: Point3::new(15.0, 8.0, 5.0),
                    radii: Vector3::new(2.0, 2.0, 2.0),
                    material: Material {
                        texture: Texture::Grass,
                        color: [0.1, 0.22, 0.05],
                        tile_m: 1.0,
                        contrast: 1.0,
                    },
                },
            ],
            light: Light {
                towards_sun: Vector3::new(0.3, 0.5, 0.8).normalize(),
                sun: [0.9, 0.85, 0.75],
                ambient: [0.35, 0.4, 0.5],
                zenith: [0.25, 0.45, 0.85],
                horizon: [0.7, 0.78, 0.85],
                clouds: 0.4,
            },
            imaging: Imaging {
                shutter_s: 0.01,
                ..Imaging::default()
            },
            texture_seed: settings.seed,
        },
        camera: Camera {
            intrinsics,
            intrinsics_source: IntrinsicsSource::Calibrated,
            mounting: Some(mounting),
            mounting_source: MountingSource::Measured,
        },
        frame_rate: settings.frame_rate.unwrap_or(25.0),
        jitter: 0.0,
        dynamics: Box::new(Walk {
            actors,
            pose: mounting.world_from_camera(),
        }),
    }
}

struct Walk {
    actors: Vec<Actor>,
    pose: Isometry3<f64>,
}

impl Dynamics for Walk {
    fn step(&mut self, step_s: f64) {
        for actor in &mut self.actors {
            let speed_mps = 1.4;
            let (sin, cos) = actor.yaw_rad.sin_cos();
            actor.velocity_in_world_mps = Vector3::new(cos, sin, 0.0) * speed_mps;
            actor.base_in_world += actor.velocity_in_world_mps * step_s;
            actor.yaw_rad += 0.1 * step_s;
            actor.articulation.phase_rad += 5.0 * step_s;
        }
    }

    fn actors(&self, actors: &mut Vec<Actor>) {
        actors.extend_from_slice(&self.actors);
    }

    fn world_from_camera(&self) -> Isometry3<f64> {
        self.pose
    }
}
