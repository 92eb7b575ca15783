//! The reconstruction of a moving camera: visual odometry made metric, level and steady, and fused with what the vehicle
//! tells.
//!
//! The odometry works in a map of its own ([`super::odometry`]). Here each of its steps becomes one in the world: metres by
//! the scale filter ([`super::scale`]), levelled by the ground plane, fused with a pose from outside. Steps are taken as
//! they come, so a scale that is corrected changes what comes and not what was: no object jumps.

use std::sync::Arc;

use nalgebra::{Isometry3, Point2, Translation3, UnitQuaternion, Vector3};

use super::external::{self, EgoSample, EgoTrack, Told};
use super::focal::{self, FocalEstimator};
use super::ground::{self, GroundPlane};
use super::lifting::{Lifter, Seen};
use super::observation::CueKind;
use super::odometry::{Continuity, GroundPrior, Input, MovableRegion, Odometry, Outcome};
use super::priors::ClassPriors;
use super::reconstructor::{Cameras, Reconstructor, SceneFrame};
use super::scale::{ScaleCue, ScaleFilter, ScaleMeasurement};
use super::view::{DepthMap, PoseSource, ReconstructionHealth, View};
use crate::camera::{Camera, CameraError, Intrinsics, IntrinsicsSource, Mounting, MountingSource};

/// How long the errors of the cues for the scale stay, seconds.
const DEPTH_MEMORY_S: f64 = 60.0;
const ROAD_MEMORY_S: f64 = 0.3;
/// How much the height over the road differs from that of the mounting while driving, relatively.
const ROAD_SIGMA: f64 = 0.015;
const HEIGHT_MEMORY_S: f64 = 5.0;
const CLASS_MEMORY_S: f64 = 3.0;
const SPEED_MEMORY_S: f64 = 0.5;
/// Standard deviation of the scale's logarithm when nothing tells it.
const UNKNOWN_SCALE: f64 = 1.0;
/// Time constant with which the ground plane levels the world, seconds.
const LEVEL_S: f64 = 10.0;
/// The same of the plane of the road, and of a measured mounting.
const ROAD_LEVEL_S: f64 = 4.0;
const MOUNTING_LEVEL_S: f64 = 4.0;
/// Time constants of the published velocity and of the network's wander, seconds.
const VELOCITY_S: f64 = 0.12;
const WANDER_S: f64 = 0.2;
/// Time constant over which the network's own excess is found.
const EXCESS_S: f64 = 3.0;
/// Standard deviation that is stated of a velocity of which nothing is known, metres per second.
const UNKNOWN_VELOCITY_MPS: f64 = 20.0;
/// Least told speed that tells the scale, metres per second.
const MIN_TOLD_SPEED_MPS: f64 = 2.0;
/// Time constant over which told and seen speed are compared, seconds.
const SPEED_MEAN_S: f64 = 0.7;
/// Position drift of the odometry relative to the distance, and orientation drift in radians per √s, for the fusion.
const POSITION_DRIFT: f64 = 0.02;
const ROTATION_DRIFT: f64 = 0.002;
/// Cells across and down in which the ground is read from a depth map.
const GROUND_GRID: (usize, usize) = (24, 12);
/// A network's wander smaller than this is left in the depth map.
const MIN_WANDER: f64 = 0.002;
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

/// Where the camera is, in the world and in the odometry's map.
#[derive(Clone, Copy, Debug)]
struct World {
    time_s: f64,
    world_from_camera: Isometry3<f64>,
    map_from_camera: Isometry3<f64>,
    velocity_mps: Vector3<f64>,
    acceleration_mps2: Vector3<f64>,
    velocity_known: bool,
    /// Variances of position and orientation against the world outside, for the fusion.
    position_variance: f64,
    rotation_variance: f64,
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
        if !self.keyframes_since_focal.is_multiple_of(FOCAL_INTERVAL) {
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

    /// How much too far the network sees, against the map, while something but the map's landmarks tells the scale: the
    /// network's own bias over seconds, and the scale as it is now. Landmarks come and go with every keyframe, and each
    /// generation would hand on its error to the next.
    fn network_bias(&self) -> Option<f64> {
        let scale = self.scale.as_ref().filter(|scale| scale.is_measured())?;
        Some(self.network_excess? + scale.log_scale())
    }

    /// The filter for a map that begins now.
    fn begin_scale(&mut self, frame: &SceneFrame<'_>, camera: &Camera) {
        let network = frame.depth.as_deref().map(|depth| f64::from(depth.relative_sigma));
        let ground = camera.mounting.map(|_| camera.mounting_source.relative_height_sigma());
        let (log_scale, sigma) = match (&self.scale, network) {
            // A new map has the network's metres; how they compare to true ones was found out before.
            (Some(before), Some(sigma)) => {
                let wander = self.wander.map_or(0.0, |(wander, _)| wander);
                (before.log_scale() - wander, before.sigma().max(0.5 * sigma))
            }
            (Some(before), None) => (before.log_scale(), before.sigma().max(0.05)),
            (None, Some(sigma)) => (0.0, sigma.max(0.01)),
            (None, None) => (0.0, ground.unwrap_or(UNKNOWN_SCALE).max(0.05)),
        };
        self.scale = Some(ScaleFilter::new(log_scale, sigma));
        self.wander = None;
        self.speeds = None;
    }

    /// All that tells the scale in this frame; the ground plane, when one was found.
    fn measure_scale(
        &mut self,
        frame: &SceneFrame<'_>,
        camera: &Camera,
        told: &Told,
        outcome: &Outcome,
    ) -> Option<GroundPlane> {
        let time_s = frame.time.seconds();
        let world = self.world?;
        let mut measured = Vec::with_capacity(4);
        if let (Some((ratio, sigma)), Some(depth)) = (outcome.depth_log_ratio, frame.depth.as_deref()) {
            let smooth = match self.wander {
                Some((wander, then_s)) => {
                    let share = 1.0 - (-(time_s - then_s) / WANDER_S).exp();
                    wander + share * (ratio - wander)
                }
                None => ratio,
            };
            self.wander = Some((smooth, time_s));
            measured.push(ScaleMeasurement {
                cue: ScaleCue::DepthNetwork,
                log_scale: ratio,
                sigma: f64::from(depth.relative_sigma).hypot(sigma),
                memory_s: DEPTH_MEMORY_S,
            });
        }
        let road = outcome.road.filter(|_| !outcome.undecided);
        if outcome.follows_road {
            // Metres came in with the pose: the height was taken for granted.
            measured.push(ScaleMeasurement {
                cue: ScaleCue::CameraHeight,
                log_scale: self.scale.as_ref()?.log_scale(),
                sigma: ROAD_SIGMA,
                memory_s: ROAD_MEMORY_S,
            });
        }
        let plane = road.or_else(|| {
            let mounting = camera.mounting.filter(|_| !outcome.undecided)?;
            self.find_ground(frame, camera, &mounting, &world, outcome)
        });
        if let (Some(plane), Some(mounting), false) = (&plane, camera.mounting, outcome.follows_road) {
            measured.push(ScaleMeasurement {
                cue: ScaleCue::CameraHeight,
                log_scale: (mounting.height_m / plane.height).ln(),
                sigma: plane.height_sigma.hypot(if road.is_some() {
                    ROAD_SIGMA
                } else {
                    camera.mounting_source.relative_height_sigma()
                }),
                memory_s: if road.is_some() { ROAD_MEMORY_S } else { HEIGHT_MEMORY_S },
            });
        }
        measured.extend(self.measure_classes(frame, camera, &world));
        if let Some(told_mps) = told.speed_mps {
            let dt = (time_s - world.time_s).max(1e-3);
            let step = (outcome.map_from_camera.translation.vector - world.map_from_camera.translation.vector).norm();
            let share = 1.0 - (-dt / SPEED_MEAN_S).exp();
            let (told_mean, seen_mean) = match self.speeds {
                Some((a, b)) => (a + share * (told_mps.abs() - a), b + share * (step / dt - b)),
                None => (told_mps.abs(), step / dt),
            };
            self.speeds = Some((told_mean, seen_mean));
            if told_mean > MIN_TOLD_SPEED_MPS && seen_mean > 0.0 {
                measured.push(ScaleMeasurement {
                    cue: ScaleCue::Speed,
                    log_scale: (told_mean / seen_mean).ln(),
                    sigma: (external::speed_sigma_mps(told_mean) / told_mean).hypot(0.01),
                    memory_s: SPEED_MEMORY_S,
                });
            }
        }
        let scale = self.scale.as_mut()?;
        scale.advance(time_s);
        for measurement in &measured {
            scale.update(measurement);
        }
        if let Some((ratio, _)) = outcome.depth_log_ratio.filter(|_| scale.is_measured()) {
            let off = ratio - scale.log_scale();
            let share = 1.0 - (-(time_s - world.time_s) / EXCESS_S).exp();
            self.network_excess = Some(
                self.network_excess
                    .map_or(off, |before| before + share * (off - before)),
            );
        }
        plane
    }

    /// The ground plane in map units: from the depth map, brought to the map's scale, else from landmarks.
    fn find_ground(
        &self,
        frame: &SceneFrame<'_>,
        camera: &Camera,
        mounting: &Mounting,
        world: &World,
        outcome: &Outcome,
    ) -> Option<GroundPlane> {
        let step = world.map_from_camera.inv_mul(&outcome.map_from_camera);
        let rotation = world.world_from_camera.rotation * step.rotation;
        let down = rotation.inverse() * -Vector3::z();
        let expected_height = mounting.height_m * (-self.scale.as_ref()?.log_scale()).exp();
        let points = match frame.depth.as_deref() {
            Some(depth) => {
                let (wander, _) = self.wander?;
                ground_points(depth, &camera.intrinsics, frame.movable, &down, wander)
            }
            None => self.odometry.points_below(&outcome.map_from_camera, &down),
        };
        ground::fit(&points, &down, expected_height)
    }

    /// What the sizes of classes say of the scale: the distance by size against the distance in the map.
    fn measure_classes(&self, frame: &SceneFrame<'_>, camera: &Camera, world: &World) -> Option<ScaleMeasurement> {
        let depth = frame.depth.as_ref()?;
        let (wander, _) = self.wander?;
        if frame.movable.is_empty() {
            return None;
        }
        let view = View {
            camera: Arc::new(camera.clone()),
            relative_focal_sigma: 0.0,
            world_from_camera: world.world_from_camera,
            ego_velocity_in_world_mps: Vector3::zeros(),
            pose_source: PoseSource::Visual,
            ground_z_in_world_m: None,
            depth: Some(depth.clone()),
            scene: self.scene,
            health: ReconstructionHealth::certain(),
        };
        let mut ratios: Vec<(f64, f64)> = frame
            .movable
            .iter()
            .filter_map(|region| {
                let seen = Seen {
                    mask: region.mask.as_deref(),
                    ..Seen::boxed(region.bbox, region.class)
                };
                let lifted = self.lifter.lift_box(&seen, &view, frame.width, frame.height);
                let cues = lifted.observation?.cues;
                let (size, seen) = (cues[CueKind::Size.index()]?, cues[CueKind::Depth.index()]?);
                // Of the map's errors, those of one object's surface stay; the network's common one is taken out.
                Some(((size.range_m / seen.range_m).ln(), size.sigma().hypot(seen.noise)))
            })
            .collect();
        ratios.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let (ratio, sigma) = *ratios.get(ratios.len() / 2)?;
        Some(ScaleMeasurement {
            cue: ScaleCue::ClassHeights,
            log_scale: ratio + wander,
            sigma: sigma / (ratios.len().min(4) as f64).sqrt(),
            memory_s: CLASS_MEMORY_S,
        })
    }

    /// Moves the camera in the world by what the odometry and the ego sender say.
    fn advance(
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
            let step = world.map_from_camera.inv_mul(&outcome.map_from_camera);
            let shift = step.translation.vector * metres;
            world.world_from_camera = Isometry3::from_parts(
                Translation3::from(before.translation.vector + before.rotation * shift),
                UnitQuaternion::new_normalize((before.rotation * step.rotation).into_inner()),
            );
            let trust = if outcome.lost { 10.0 } else { 1.0 };
            world.position_variance += (POSITION_DRIFT * shift.norm() * trust).powi(2) + 1e-6 * dt;
            world.rotation_variance += (ROTATION_DRIFT * trust).powi(2) * dt;
            world.map_from_camera = outcome.map_from_camera;
        }
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
            let down = world.world_from_camera.rotation * down_in_camera;
            let share = (dt / time_constant_s).min(0.5);
            if let Some(level) = UnitQuaternion::rotation_between(&down, &-Vector3::z()) {
                world.world_from_camera.rotation = level.powf(share) * world.world_from_camera.rotation;
            }
        }
        if let Some(told_pose) = told_pose {
            let alone = outcome.is_none_or(|outcome| outcome.lost);
            let (position_sigma, rotation_sigma) = external::pose_sigma();
            let gain = |variance: f64, sigma: f64| {
                if alone {
                    1.0
                } else {
                    variance / (variance + sigma * sigma)
                }
            };
            let (along, about) = (
                gain(world.position_variance, position_sigma),
                gain(world.rotation_variance, rotation_sigma),
            );
            let off = told_pose.translation.vector - world.world_from_camera.translation.vector;
            world.world_from_camera.translation.vector += off * along;
            let turn = world.world_from_camera.rotation.inverse() * told_pose.rotation;
            world.world_from_camera.rotation *= UnitQuaternion::from_scaled_axis(turn.scaled_axis() * about);
            world.position_variance *= 1.0 - along;
            world.rotation_variance *= 1.0 - about;
        } else if outcome.is_none()
            && let (Some(speed), Some(yaw_rate)) = (told.speed_mps, told.yaw_rate_radps)
        {
            let mount = mount(camera);
            let turn = UnitQuaternion::from_axis_angle(&Vector3::z_axis(), yaw_rate * dt);
            let step = Isometry3::from_parts(Translation3::new(speed * dt, 0.0, 0.0), turn);
            world.world_from_camera = before * (mount.inverse() * step * mount);
        }
        if outcome.is_some_and(|outcome| outcome.still) && told_pose.is_none() {
            world.velocity_mps = Vector3::zeros();
            world.acceleration_mps2 = Vector3::zeros();
            world.velocity_known = true;
        } else if dt > 0.0 && !outcome.is_some_and(|outcome| outcome.lost) {
            let now = (world.world_from_camera.translation.vector - before.translation.vector) / dt;
            if world.velocity_known {
                // A g-h filter, critically damped: it does not lag behind a steady acceleration.
                let kept = (-dt / VELOCITY_S).exp();
                let off = now - (world.velocity_mps + world.acceleration_mps2 * (0.5 * dt));
                let (by_velocity, by_acceleration) = (1.0 - kept * kept, (1.0 - kept).powi(2));
                let middle = world.velocity_mps + world.acceleration_mps2 * (0.5 * dt) + off * by_velocity;
                world.acceleration_mps2 += off * (by_acceleration / dt);
                world.velocity_mps = middle + world.acceleration_mps2 * (0.5 * dt);
            } else {
                world.velocity_mps = now;
                world.acceleration_mps2 = Vector3::zeros();
            }
            world.velocity_known = !outcome.is_some_and(|outcome| outcome.undecided);
        }
        world.time_s = time_s;
        world
    }

    /// The depth map in metres of the world: the network's wander against the map is taken out.
    fn steady_depth(&self, depth: Option<Arc<DepthMap>>) -> Option<Arc<DepthMap>> {
        let depth = depth?;
        let (Some((wander, _)), Some(scale)) = (self.wander, &self.scale) else {
            return Some(depth);
        };
        let log_factor = scale.log_scale() - wander;
        if log_factor.abs() < MIN_WANDER {
            return Some(depth);
        }
        let factor = log_factor.exp() as f32;
        Some(Arc::new(DepthMap {
            depth_m: depth.depth_m.iter().map(|depth_m| depth_m * factor).collect(),
            ..*depth
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

/// Where the camera hangs over the ego frame.
fn mount(camera: &Camera) -> Isometry3<f64> {
    camera
        .mounting
        .unwrap_or_else(|| Mounting::level(0.0))
        .world_from_camera()
}

/// Rays below the horizon and their inverse depths in map units, outside of what may move.
fn ground_points(
    depth: &DepthMap,
    intrinsics: &Intrinsics,
    movable: &[MovableRegion],
    down: &Vector3<f64>,
    wander: f64,
) -> Vec<(Vector3<f64>, f64)> {
    let mut points = Vec::with_capacity(GROUND_GRID.0 * GROUND_GRID.1);
    let (width, height) = (f64::from(intrinsics.width), f64::from(intrinsics.height));
    for row in 0..GROUND_GRID.1 {
        for column in 0..GROUND_GRID.0 {
            // Where roads are: the lower half, away from the sides.
            let u = 0.15 + 0.7 * (column as f64 + 0.5) / GROUND_GRID.0 as f64;
            let v = 0.5 + 0.5 * (row as f64 + 0.5) / GROUND_GRID.1 as f64;
            let (x, y) = (u * width, v * height);
            let covered = movable.iter().any(|region| {
                let bbox = &region.bbox;
                let rim = 0.1 * f64::from(bbox.width().max(bbox.height()));
                x > f64::from(bbox.x0) - rim
                    && x < f64::from(bbox.x1) + rim
                    && y > f64::from(bbox.y0) - rim
                    && y < f64::from(bbox.y1) + rim
            });
            if covered {
                continue;
            }
            let Some(depth_m) = depth.at(u as f32, v as f32) else {
                continue;
            };
            let Ok(ray) = intrinsics.unproject(&Point2::new(x, y)) else {
                continue;
            };
            if ray.z > 0.2 && down.dot(&ray) > 0.03 {
                points.push((ray.into_inner() / ray.z, wander.exp() / f64::from(depth_m)));
            }
        }
    }
    points
}
