//! Where the camera is in the world: the odometry's steps in metres, levelled, and fused with what is told.

use nalgebra::{Isometry3, Translation3, UnitQuaternion, Vector3};

use super::super::external::{self, Told};
use super::super::ground::GroundPlane;
use super::super::odometry::{Continuity, Outcome};
use super::super::reconstructor::SceneFrame;
use super::VisualReconstructor;
use crate::camera::{Camera, Mounting, MountingSource};

/// Time constant with which the ground plane levels the world, seconds.
const LEVEL_S: f64 = 10.0;
/// The same of the plane of the road, and of a measured mounting.
const ROAD_LEVEL_S: f64 = 4.0;
const MOUNTING_LEVEL_S: f64 = 4.0;
/// Time constant of the published velocity, seconds.
pub(super) const VELOCITY_S: f64 = 0.12;
/// Position drift of the odometry relative to the distance, and orientation drift in radians per √s, for the fusion.
const POSITION_DRIFT: f64 = 0.02;
const ROTATION_DRIFT: f64 = 0.002;

/// Where the camera is, in the world and in the odometry's map.
#[derive(Clone, Copy, Debug)]
pub(super) struct World {
    pub time_s: f64,
    pub world_from_camera: Isometry3<f64>,
    pub map_from_camera: Isometry3<f64>,
    pub velocity_mps: Vector3<f64>,
    pub acceleration_mps2: Vector3<f64>,
    pub velocity_known: bool,
    /// Variances of position and orientation against the world outside, for the fusion.
    pub position_variance: f64,
    pub rotation_variance: f64,
}

impl VisualReconstructor {
    /// Moves the camera in the world by what the odometry and the ego sender say.
    pub(super) fn advance(
        &mut self,
        frame: &SceneFrame<'_>,
        camera: &Camera,
        told: &Told,
        outcome: Option<&Outcome>,
        plane: Option<&GroundPlane>,
    ) -> World {
        let time_s = frame.time.seconds();
        let told_pose = told.world_from_ego.map(|ego| ego * mount(camera));
        let begin = |map_from_camera: Isometry3<f64>| World {
            time_s,
            world_from_camera: told_pose.unwrap_or_else(|| camera.world_from_camera()),
            map_from_camera,
            velocity_mps: Vector3::zeros(),
            acceleration_mps2: Vector3::zeros(),
            velocity_known: false,
            position_variance: if told_pose.is_some() { 0.0 } else { 1e4 },
            rotation_variance: if told_pose.is_some() { 0.0 } else { 1.0 },
        };
        let map_from_camera = outcome.map_or_else(Isometry3::identity, |outcome| outcome.map_from_camera);
        let cut = outcome.is_some_and(|outcome| outcome.continuity == Continuity::Cut);
        let Some(mut world) = self.world.filter(|world| !cut && time_s >= world.time_s) else {
            return begin(map_from_camera);
        };
        let dt = time_s - world.time_s;
        let before = world.world_from_camera;
        if let Some(outcome) = outcome {
            let metres = self.scale.as_ref().map_or(1.0, |scale| scale.log_scale().exp());
            world.step(outcome, metres, dt);
        }
        world.level(camera, outcome, plane, dt);
        if let Some(told_pose) = told_pose {
            world.fuse(&told_pose, outcome.is_none_or(|outcome| outcome.lost));
        } else if outcome.is_none()
            && let (Some(speed), Some(yaw_rate)) = (told.speed_mps, told.yaw_rate_radps)
        {
            let mount = mount(camera);
            let turn = UnitQuaternion::from_axis_angle(&Vector3::z_axis(), yaw_rate * dt);
            let step = Isometry3::from_parts(Translation3::new(speed * dt, 0.0, 0.0), turn);
            world.world_from_camera = before * (mount.inverse() * step * mount);
        }
        if outcome.is_some_and(|outcome| outcome.still) && told_pose.is_none() {
            world.stand();
        } else if dt > 0.0 && !outcome.is_some_and(|outcome| outcome.lost) {
            let moved = world.world_from_camera.translation.vector - before.translation.vector;
            world.note_velocity(moved / dt, dt);
            world.velocity_known = !outcome.is_some_and(|outcome| outcome.undecided);
        }
        world.time_s = time_s;
        world
    }
}

impl World {
    /// The odometry's step, of a map whose unit is `metres`.
    fn step(&mut self, outcome: &Outcome, metres: f64, dt: f64) {
        let step = self.map_from_camera.inv_mul(&outcome.map_from_camera);
        let shift = step.translation.vector * metres;
        let before = self.world_from_camera;
        self.world_from_camera = Isometry3::from_parts(
            Translation3::from(before.translation.vector + before.rotation * shift),
            UnitQuaternion::new_normalize((before.rotation * step.rotation).into_inner()),
        );
        let trust = if outcome.lost { 10.0 } else { 1.0 };
        self.position_variance += (POSITION_DRIFT * shift.norm() * trust).powi(2) + 1e-6 * dt;
        self.rotation_variance += (ROTATION_DRIFT * trust).powi(2) * dt;
        self.map_from_camera = outcome.map_from_camera;
    }

    /// Turns the vertical towards what the road, the mounting and the ground say of it.
    fn level(&mut self, camera: &Camera, outcome: Option<&Outcome>, plane: Option<&GroundPlane>, dt: f64) {
        let measured = camera
            .mounting
            .filter(|_| camera.mounting_source == MountingSource::Measured);
        let hung = measured.map(|mounting| mounting.world_from_camera().rotation.inverse() * -Vector3::z());
        let road = outcome.and_then(|outcome| outcome.road);
        let levels = [
            road.map(|plane| (plane.down_in_camera.into_inner(), ROAD_LEVEL_S)),
            // The body on its springs comes back to where it was.
            hung.map(|down| (down, MOUNTING_LEVEL_S)),
            plane
                .filter(|_| hung.is_none() && road.is_none())
                .map(|plane| (plane.down_in_camera.into_inner(), LEVEL_S)),
        ];
        for (down_in_camera, time_constant_s) in levels.into_iter().flatten() {
            let down = self.world_from_camera.rotation * down_in_camera;
            let share = (dt / time_constant_s).min(0.5);
            if let Some(level) = UnitQuaternion::rotation_between(&down, &-Vector3::z()) {
                self.world_from_camera.rotation = level.powf(share) * self.world_from_camera.rotation;
            }
        }
    }

    /// Draws the pose to one that is told, by the variances of both; all the way where there is nothing else to go by
    /// (`alone`).
    fn fuse(&mut self, told: &Isometry3<f64>, alone: bool) {
        let (position_sigma, rotation_sigma) = external::pose_sigma();
        let gain = |variance: f64, sigma: f64| {
            if alone {
                1.0
            } else {
                variance / (variance + sigma * sigma)
            }
        };
        let (along, about) = (
            gain(self.position_variance, position_sigma),
            gain(self.rotation_variance, rotation_sigma),
        );
        let off = told.translation.vector - self.world_from_camera.translation.vector;
        self.world_from_camera.translation.vector += off * along;
        let turn = self.world_from_camera.rotation.inverse() * told.rotation;
        self.world_from_camera.rotation *= UnitQuaternion::from_scaled_axis(turn.scaled_axis() * about);
        self.position_variance *= 1.0 - along;
        self.rotation_variance *= 1.0 - about;
    }

    fn stand(&mut self) {
        self.velocity_mps = Vector3::zeros();
        self.acceleration_mps2 = Vector3::zeros();
        self.velocity_known = true;
    }

    /// Smooths what the last step says of the velocity, by a g-h filter, critically damped: it does not lag behind a
    /// steady acceleration.
    fn note_velocity(&mut self, now_mps: Vector3<f64>, dt: f64) {
        if !self.velocity_known {
            self.velocity_mps = now_mps;
            self.acceleration_mps2 = Vector3::zeros();
            return;
        }
        let kept = (-dt / VELOCITY_S).exp();
        let expected = self.velocity_mps + self.acceleration_mps2 * (0.5 * dt);
        let off = now_mps - expected;
        let (by_velocity, by_acceleration) = (1.0 - kept * kept, (1.0 - kept).powi(2));
        self.acceleration_mps2 += off * (by_acceleration / dt);
        self.velocity_mps = expected + off * by_velocity + self.acceleration_mps2 * (0.5 * dt);
    }
}

/// Where the camera hangs over the ego frame.
pub(super) fn mount(camera: &Camera) -> Isometry3<f64> {
    camera
        .mounting
        .unwrap_or_else(|| Mounting::level(0.0))
        .world_from_camera()
}
