//! A world in time: steps its dynamics and interpolates between steps.

use nalgebra::{Isometry3, UnitQuaternion, Vector3};
use thiserror::Error;

use super::actor::Actor;
use super::environment::Environment;
use super::scenes::{self, Scene};
use crate::camera::Camera;

/// The dynamics advance by this much, seconds.
pub const STEP_S: f64 = 0.02;

/// What moves in a world, and by which laws.
pub trait Dynamics: Send {
    /// Advances by `step_s` seconds.
    fn step(&mut self, step_s: f64);

    /// Puts every actor that is in the world now into `actors` (emptied before).
    fn actors(&self, actors: &mut Vec<Actor>);

    /// The camera's pose now.
    fn world_from_camera(&self) -> Isometry3<f64>;
}

/// What a world is built from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorldSettings {
    /// Which scene.
    pub scene: Scene,
    /// Everything random is drawn from this.
    pub seed: u64,
    /// Picture width, pixels.
    pub width: u32,
    /// Picture height, pixels.
    pub height: u32,
    /// Frames a second; `None` draws it.
    pub frame_rate: Option<f64>,
    /// Horizontal field of view, degrees; `None` draws it from the scene's own range.
    pub horizontal_fov_deg: Option<f64>,
}

impl WorldSettings {
    /// A scene and a seed, at 640×384.
    pub fn new(scene: Scene, seed: u64) -> Self {
        Self {
            scene,
            seed,
            width: 640,
            height: 384,
            frame_rate: None,
            horizontal_fov_deg: None,
        }
    }
}

/// Why there is no world, or no snapshot of it.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum WorldError {
    /// A picture needs pixels.
    #[error("a simulated picture has 16 to 8192 pixels each way, found {width}×{height}")]
    Size {
        /// Width found.
        width: u32,
        /// Height found.
        height: u32,
    },
    /// A setting is out of range.
    #[error("{name} must lie between {least} and {most}, found {found}")]
    Range {
        /// Which setting.
        name: &'static str,
        /// Least allowed.
        least: f64,
        /// Most allowed.
        most: f64,
        /// Found.
        found: f64,
    },
    /// Worlds run forward only.
    #[error("the world is at {now_s} s already; it cannot go back to {asked_s} s")]
    Backward {
        /// Time reached.
        now_s: f64,
        /// Time asked for.
        asked_s: f64,
    },
}

/// Where everything is at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Seconds since the world began.
    pub time_s: f64,
    /// The camera's pose.
    pub world_from_camera: Isometry3<f64>,
    /// The camera's velocity in the world, m/s.
    pub camera_velocity_mps: Vector3<f64>,
    /// The camera's angular velocity in the world, rad/s.
    pub camera_angular_velocity_radps: Vector3<f64>,
    /// The actors, by ascending id.
    pub actors: Vec<Actor>,
}

/// A world: what stands still, what moves, and the camera.
pub struct World {
    /// What it was built from.
    pub settings: WorldSettings,
    /// What stands still.
    pub environment: Environment,
    /// The camera as its owner would describe it: intrinsics, and the nominal mounting over the ground (of a camera on a
    /// vehicle: at rest).
    pub camera: Camera,
    /// Nominal frames a second.
    pub frame_rate: f64,
    /// Standard deviation of the time between frames, of the nominal time.
    pub jitter: f64,
    dynamics: Box<dyn Dynamics>,
    before: Keyframe,
    after: Keyframe,
}

/// The state of the dynamics after a whole number of steps.
#[derive(Clone, Default)]
struct Keyframe {
    steps: u64,
    world_from_camera: Isometry3<f64>,
    actors: Vec<Actor>,
}

impl World {
    /// Builds the world of a scene and a seed, at time zero.
    pub fn new(settings: WorldSettings) -> Result<Self, WorldError> {
        let WorldSettings { width, height, .. } = settings;
        if !(16..=8192).contains(&width) || !(16..=8192).contains(&height) {
            return Err(WorldError::Size { width, height });
        }
        for (name, found, least, most) in [
            ("frame rate", settings.frame_rate, 1.0, 240.0),
            (
                "horizontal field of view in degrees",
                settings.horizontal_fov_deg,
                10.0,
                150.0,
            ),
        ] {
            if let Some(found) = found.filter(|found| !(least..=most).contains(found)) {
                return Err(WorldError::Range {
                    name,
                    least,
                    most,
                    found,
                });
            }
        }
        let parts = scenes::build(&settings);
        let mut world = Self {
            settings,
            environment: parts.environment,
            camera: parts.camera,
            frame_rate: parts.frame_rate,
            jitter: parts.jitter,
            dynamics: parts.dynamics,
            before: Keyframe::default(),
            after: Keyframe::default(),
        };
        world.read_keyframe(0);
        world.before = world.after.clone();
        Ok(world)
    }

    /// Where everything is at `time_s`, which must not lie before the last time asked for by more than one step.
    pub fn at(&mut self, time_s: f64) -> Result<Snapshot, WorldError> {
        let backward = WorldError::Backward {
            now_s: self.before.steps as f64 * STEP_S,
            asked_s: time_s,
        };
        if !(time_s.is_finite() && time_s >= self.before.steps as f64 * STEP_S) {
            return Err(backward);
        }
        while (self.after.steps as f64) * STEP_S < time_s || self.after.steps == self.before.steps {
            self.dynamics.step(STEP_S);
            std::mem::swap(&mut self.before, &mut self.after);
            self.read_keyframe(self.before.steps + 1);
        }
        let share = time_s / STEP_S - self.before.steps as f64;
        Ok(self.between(time_s, share))
    }

    fn read_keyframe(&mut self, steps: u64) {
        self.after.steps = steps;
        self.after.world_from_camera = self.dynamics.world_from_camera();
        self.after.actors.clear();
        self.dynamics.actors(&mut self.after.actors);
        self.after.actors.sort_by_key(|actor| actor.id);
    }

    /// Interpolates between the two keyframes; an actor that is in only one of them is left out.
    fn between(&self, time_s: f64, share: f64) -> Snapshot {
        let (before, after) = (&self.before, &self.after);
        let mut later = after.actors.iter().peekable();
        let mut actors = Vec::with_capacity(before.actors.len());
        for actor in &before.actors {
            while later.next_if(|other| other.id < actor.id).is_some() {}
            if let Some(other) = later.next_if(|other| other.id == actor.id) {
                actors.push(actor_between(actor, other, share));
            }
        }
        let (from, to) = (&before.world_from_camera, &after.world_from_camera);
        let turn = (to.rotation * from.rotation.inverse()).scaled_axis();
        Snapshot {
            time_s,
            world_from_camera: Isometry3::from_parts(
                from.translation.vector.lerp(&to.translation.vector, share).into(),
                // Between rotations that are nearly alike, slerp leaves the unit sphere by 1e-8: a millionth of a metre at 100 m.
                UnitQuaternion::new_normalize(from.rotation.slerp(&to.rotation, share).into_inner()),
            ),
            camera_velocity_mps: (to.translation.vector - from.translation.vector) / STEP_S,
            camera_angular_velocity_radps: turn / STEP_S,
            actors,
        }
    }
}

fn actor_between(from: &Actor, to: &Actor, share: f64) -> Actor {
    let angle = |from: f64, to: f64| {
        let turn = (to - from + std::f64::consts::PI).rem_euclid(std::f64::consts::TAU) - std::f64::consts::PI;
        from + share * turn
    };
    let mut actor = from.clone();
    actor.base_in_world = from.base_in_world + (to.base_in_world - from.base_in_world) * share;
    actor.yaw_rad = angle(from.yaw_rad, to.yaw_rad);
    actor.velocity_in_world_mps = from.velocity_in_world_mps.lerp(&to.velocity_in_world_mps, share);
    actor.articulation.phase_rad = angle(from.articulation.phase_rad, to.articulation.phase_rad);
    actor.articulation.swing += share * (to.articulation.swing - from.articulation.swing);
    actor.articulation.lean_rad += share * (to.articulation.lean_rad - from.articulation.lean_rad);
    actor
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
