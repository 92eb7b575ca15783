//! What tells the scale: metres to a map unit by the depth network, the road, the ground, the sizes of things, and a told speed.

use std::sync::Arc;

use nalgebra::{Point2, Vector3};

use super::super::external::{self, Told};
use super::super::ground::{self, GroundPlane};
use super::super::lifting::Seen;
use super::super::observation::CueKind;
use super::super::odometry::{MovableRegion, Outcome};
use super::super::reconstructor::SceneFrame;
use super::super::scale::{ScaleCue, ScaleFilter, ScaleMeasurement};
use super::super::view::{DepthMap, PoseSource, ReconstructionHealth, View};
use super::world::World;
use super::{UNKNOWN_SCALE, VisualReconstructor};
use crate::camera::{Camera, Intrinsics, Mounting};

/// How long the errors of the cues for the scale stay, seconds.
const DEPTH_MEMORY_S: f64 = 60.0;
const ROAD_MEMORY_S: f64 = 0.3;
/// How much the height over the road differs from that of the mounting while driving, relatively.
const ROAD_SIGMA: f64 = 0.015;
const HEIGHT_MEMORY_S: f64 = 5.0;
const CLASS_MEMORY_S: f64 = 3.0;
const SPEED_MEMORY_S: f64 = 0.5;
/// Time constants of the network's wander, and over which its own excess is found, seconds.
const WANDER_S: f64 = 0.2;
const EXCESS_S: f64 = 3.0;
/// Least told speed that tells the scale, metres per second.
const MIN_TOLD_SPEED_MPS: f64 = 2.0;
/// Time constant over which told and seen speed are compared, seconds.
const SPEED_MEAN_S: f64 = 0.7;
/// Cells across and down in which the ground is read from a depth map.
const GROUND_GRID: (usize, usize) = (24, 12);
/// A network's wander smaller than this is left in the depth map.
const MIN_WANDER: f64 = 0.002;

impl VisualReconstructor {
    /// How much too far the network sees, against the map, while something but the map's landmarks tells the scale: the
    /// network's own bias over seconds, and the scale as it is now. Landmarks come and go with every keyframe, and each
    /// generation would hand on its error to the next.
    pub(super) fn network_bias(&self) -> Option<f64> {
        let scale = self.scale.as_ref().filter(|scale| scale.is_measured())?;
        Some(self.network_excess? + scale.log_scale())
    }

    /// The filter for a map that begins now.
    pub(super) fn begin_scale(&mut self, frame: &SceneFrame<'_>, camera: &Camera) {
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
    pub(super) fn measure_scale(
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

    /// The depth map in metres of the world: the network's wander against the map is taken out.
    pub(super) fn steady_depth(&self, depth: Option<Arc<DepthMap>>) -> Option<Arc<DepthMap>> {
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
