//! The reconstruction of a moving camera: visual odometry made metric, level and steady, and fused with what the vehicle
//! tells.
//!
//! The odometry works in a map of its own ([`super::odometry`]). Here each of its steps becomes one in the world: metres by
//! the scale filter ([`super::scale`]), levelled by the ground plane, fused with a pose from outside. Steps are taken as
//! they come, so a scale that is corrected changes what comes and not what was: no object jumps.

mod metres;
mod world;

use std::sync::Arc;

use nalgebra::{Isometry3, Translation3, UnitQuaternion, Vector3};

use self::world::{VELOCITY_S, World, mount};
use super::external::{self, EgoSample, EgoTrack, Told};
use super::focal::{self, FocalEstimator};
use super::lifting::Lifter;
use super::odometry::{Continuity, GroundPrior, Input, Odometry, Outcome};
use super::priors::ClassPriors;
use super::reconstructor::{Cameras, Reconstructor, SceneFrame};
use super::scale::ScaleFilter;
use super::view::{PoseSource, ReconstructionHealth, View};
use crate::camera::{Camera, CameraError, IntrinsicsSource};

/// Standard deviation of the scale's logarithm when nothing tells it.
const UNKNOWN_SCALE: f64 = 1.0;
/// Standard deviation that is stated of a velocity of which nothing is known, metres per second.
const UNKNOWN_VELOCITY_MPS: f64 = 20.0;
/// Every so many-th keyframe tells the focal length.
const FOCAL_INTERVAL: u32 = 2;
/// A focal length that is better known than this counts as estimated and not assumed.
const ESTIMATED_FOCAL_SIGMA: f64 = 0.1;

/// Reconstructs a moving camera (`ego = visual`, `ego = external`).
#[derive(Debug)]
pub struct VisualReconstructor {
    cameras: Cameras,
    lifter: Lifter,
    odometry: Odometry,
    ego: Option<EgoTrack>,
    scale: Option<ScaleFilter>,
    world: Option<World>,
    scene: u64,
    /// Smoothed ln(network depth / map depth) and the time of its last change.
    wander: Option<(f64, f64)>,
    /// ln(network depth / metres), over seconds.
    network_excess: Option<f64>,
    /// The focal length, where none is given: its estimate, and the ratio to the assumption that is in use.
    focal: Option<(FocalEstimator, f64)>,
    keyframes_since_focal: u32,
    /// Smoothed told and seen (map units a second) speeds.
    speeds: Option<(f64, f64)>,
}

impl VisualReconstructor {
    /// From pictures alone. Without a description of the camera the field of view is assumed and what is measured is
    /// marked as unreliable.
    pub fn new(camera: Option<Camera>, priors: Arc<ClassPriors>) -> Self {
        let focal = camera
            .is_none()
            .then(|| FocalEstimator::new(IntrinsicsSource::AssumedFieldOfView.relative_focal_sigma()));
        Self {
            focal: focal.map(|focal| (focal, 0.0)),
            keyframes_since_focal: 0,
            cameras: Cameras::new(camera),
            lifter: Lifter::new(priors),
            odometry: Odometry::default(),
            ego: None,
            scale: None,
            world: None,
            scene: 0,
            wander: None,
            network_excess: None,
            speeds: None,
        }
    }

    /// From what something outside tells ([`Reconstructor::tell_ego`]), fused with what the pictures show.
    pub fn with_ego(camera: Option<Camera>, priors: Arc<ClassPriors>) -> Self {
        Self {
            ego: Some(EgoTrack::default()),
            ..Self::new(camera, priors)
        }
    }

    /// Offset of the ego sender's clock against stream time, seconds, as estimated.
    pub fn ego_clock_offset_s(&self) -> Option<f64> {
        self.ego.as_ref().map(EgoTrack::offset_s)
    }

    /// The camera for pictures of this size, with the focal length as estimated where none is given.
    fn camera_for(&mut self, width: u32, height: u32) -> Result<Arc<Camera>, CameraError> {
        let camera = self.cameras.for_size(width, height)?;
        let Some((focal, used)) = self.focal.filter(|_| self.cameras.are_assumed()) else {
            return Ok(camera);
        };
        let factor = used.exp();
        let mut camera = (*camera).clone();
        camera.intrinsics.fx *= factor;
        camera.intrinsics.fy *= factor;
        if focal.sigma() < ESTIMATED_FOCAL_SIGMA {
            camera.intrinsics_source = IntrinsicsSource::Estimated;
        }
        Ok(Arc::new(camera))
    }

    /// Looks, now and then, which focal length the odometry's window fits best with.
    fn measure_focal(&mut self) {
        let Some((focal, used)) = &mut self.focal else { return };
        if !self.odometry.window_is_new() {
            return;
        }
        self.keyframes_since_focal += 1;
        if !self.keyframes_since_focal.is_multiple_of(FOCAL_INTERVAL) || self.odometry.window_turn() < focal::LEAST_TURN
        {
            return;
        }
        if let Some(costs) = self.odometry.costs_by_focal(focal::STEP) {
            focal.update(costs);
        }
        if (focal.log_ratio() - *used).abs() > 0.005 {
            self.odometry.refocus((focal.log_ratio() - *used).exp());
            *used = focal.log_ratio();
        }
    }

    fn told(&self, time_s: f64) -> Told {
        self.ego.as_ref().map_or_else(Told::default, |ego| ego.at(time_s))
    }

    /// What is told of the step from the last frame, in map units.
    fn told_step(
        &self,
        camera: &Camera,
        told: &Told,
        world: &World,
        time_s: f64,
    ) -> Option<(Isometry3<f64>, f64, f64)> {
        let dt = time_s - world.time_s;
        let mount = mount(camera);
        let to_map = (-self.scale.as_ref()?.log_scale()).exp();
        let scaled = |step: Isometry3<f64>| {
            Isometry3::from_parts(Translation3::from(step.translation.vector * to_map), step.rotation)
        };
        if let (Some(now), Some(before)) = (told.world_from_ego, self.told(world.time_s).world_from_ego) {
            let step = (before * mount).inv_mul(&(now * mount));
            // What a receiver's errors do within one frame is far less than the errors themselves.
            let (position, rotation) = external::pose_sigma();
            return Some((scaled(step), position * to_map, rotation));
        }
        let (speed, yaw_rate) = (told.speed_mps?, told.yaw_rate_radps?);
        let turn = UnitQuaternion::from_axis_angle(&Vector3::z_axis(), yaw_rate * dt);
        let half = UnitQuaternion::from_axis_angle(&Vector3::z_axis(), 0.5 * yaw_rate * dt);
        let step = Isometry3::from_parts(Translation3::from(half * Vector3::new(speed * dt, 0.0, 0.0)), turn);
        let step = mount.inverse() * step * mount;
        let sigma = external::speed_sigma_mps(speed) * dt + 0.05 * dt.sqrt();
        Some((scaled(step), sigma * to_map, 0.02))
    }

    fn see(&mut self, frame: &SceneFrame<'_>, camera: &Camera, told: &Told) -> Option<Outcome> {
        let picture = frame.picture.as_ref()?;
        let time_s = frame.time.seconds();
        let world_from_camera = self
            .world
            .map_or_else(|| camera.world_from_camera(), |world| world.world_from_camera);
        let to_map = self.scale.as_ref().map_or(1.0, |scale| (-scale.log_scale()).exp());
        let ground = camera.mounting.map(|mounting| {
            GroundPrior::of(
                &world_from_camera,
                mounting.height_m.max(0.1),
                to_map,
                camera
                    .mounting_source
                    .relative_height_sigma()
                    .hypot(self.scale.as_ref().map_or(UNKNOWN_SCALE, ScaleFilter::sigma)),
                camera.mounting_source.tilt_sigma_rad(),
            )
        });
        let motion = self
            .world
            .and_then(|world| self.told_step(camera, told, &world, time_s));
        Some(self.odometry.step(&Input {
            time_s,
            picture,
            intrinsics: &camera.intrinsics,
            depth: frame.depth.as_deref(),
            ground,
            movable: frame.movable,
            depth_log_bias: self.network_bias(),
            motion,
        }))
    }
}

impl Reconstructor for VisualReconstructor {
    fn reconstruct_frame(&mut self, frame: &SceneFrame<'_>) -> Result<View, CameraError> {
        let camera = self.camera_for(frame.width, frame.height)?;
        let time_s = frame.time.seconds();
        let told = self.told(time_s);
        let outcome = self.see(frame, &camera, &told);
        let mut plane = None;
        if let Some(outcome) = &outcome {
            if outcome.continuity != Continuity::Kept {
                self.scene += 1;
            }
            if self.scale.is_none() || outcome.continuity != Continuity::Kept {
                self.begin_scale(frame, &camera);
            }
            if !outcome.lost && outcome.continuity == Continuity::Kept {
                plane = self.measure_scale(frame, &camera, &told, outcome);
            }
        }
        let before = self.world;
        let world = self.advance(frame, &camera, &told, outcome.as_ref(), plane.as_ref());
        if let (Some(before), Some(ego)) = (
            before.filter(|_| outcome.as_ref().is_some_and(|o| !o.lost)),
            &mut self.ego,
        ) {
            let dt = world.time_s - before.time_s;
            // As the pictures show it: the fused pose has been drawn to what is told.
            let turn = before.map_from_camera.rotation.inverse() * world.map_from_camera.rotation;
            if dt > 0.0 {
                let up = before.world_from_camera.rotation.inverse() * Vector3::z();
                ego.note_turning(time_s - 0.5 * dt, turn.scaled_axis().dot(&up) / dt);
            }
            ego.forget_before(time_s);
        }
        self.world = Some(world);
        self.measure_focal();
        if let (Some(world), Some(pose)) = (&mut self.world, self.odometry.pose()) {
            world.map_from_camera = pose;
        }
        let is_told = told.world_from_ego.is_some() || (told.speed_mps.is_some() && told.yaw_rate_radps.is_some());
        let seen = outcome.as_ref().is_some_and(|outcome| !outcome.lost);
        let log_scale_sigma = match (&self.scale, told.world_from_ego) {
            (_, Some(_)) if !seen => 0.01,
            (Some(scale), _) => scale.sigma(),
            (None, _) => UNKNOWN_SCALE,
        };
        let speed_mps = world.velocity_mps.norm();
        let jitter_mps = outcome
            .as_ref()
            .filter(|outcome| !outcome.still)
            .filter(|_| world.velocity_known)
            .map_or(
                if world.velocity_known {
                    0.0
                } else {
                    UNKNOWN_VELOCITY_MPS
                },
                |outcome| {
                    let metres = self.scale.as_ref().map_or(1.0, |scale| scale.log_scale().exp());
                    let position = outcome.covariance.fixed_view::<3, 3>(0, 0).trace().max(0.0) / 3.0;
                    position.sqrt() * metres / VELOCITY_S
                },
            );
        Ok(View {
            relative_focal_sigma: match &self.focal {
                Some((focal, _)) => focal.sigma(),
                None => camera.intrinsics_source.relative_focal_sigma(),
            },
            world_from_camera: world.world_from_camera,
            ego_velocity_in_world_mps: world.velocity_mps,
            pose_source: if is_told {
                PoseSource::External
            } else {
                PoseSource::Visual
            },
            ground_z_in_world_m: camera
                .mounting
                .map(|mounting| world.world_from_camera.translation.z - mounting.height_m),
            depth: self.steady_depth(frame.depth.clone()),
            scene: self.scene,
            health: ReconstructionHealth {
                log_scale_sigma,
                inlier_ratio: outcome
                    .as_ref()
                    .map_or(if is_told { 1.0 } else { 0.0 }, |o| o.inlier_ratio),
                lost: !seen && !is_told,
                ego_velocity_sigma_mps: jitter_mps.hypot(speed_mps * log_scale_sigma.min(1.0)),
                log_scale_drift: self.scale.as_ref().map_or(0.0, ScaleFilter::drift),
                scale_disagreement: self
                    .scale
                    .as_ref()
                    .and_then(ScaleFilter::disagreement)
                    .map(|(log, _)| log),
            },
            camera,
        })
    }

    fn reset(&mut self) {
        self.odometry.reset();
        self.scale = None;
        self.world = None;
        self.wander = None;
        self.network_excess = None;
        self.speeds = None;
        self.scene += 1;
        if let Some(ego) = &mut self.ego {
            *ego = EgoTrack::default();
        }
    }

    fn tell_ego(&mut self, sample: &EgoSample) {
        if let Some(ego) = &mut self.ego {
            ego.push(sample);
        }
    }
}
