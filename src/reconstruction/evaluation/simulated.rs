//! Odometry alone in a simulated world: what moves is known from the truth, depth is true, a network's, or absent.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use nalgebra::{Isometry3, Vector3};
use serde::Serialize;
use thiserror::Error;

use super::{OdometryReport, Trajectories, score};
use crate::camera::CameraError;
use crate::detection::ClassLabel;
use crate::frame::{FrameTime, NANOS_PER_SECOND, Picture, PictureError, PixelFormat};
use crate::perception::{DepthMap, DepthModel, DepthSettings, PerceptionError};
use crate::reconstruction::{ClassPriors, MovableRegion, Reconstructor, SceneFrame, View, VisualReconstructor};
use crate::sim::render::{Rendered, Renderer};
use crate::sim::timing::FrameTimes;
use crate::sim::{Snapshot, World, WorldError, WorldSettings};

/// Relative standard deviation stated with the true depth.
const TRUE_DEPTH_SIGMA: f32 = 0.03;
/// Things of which less is seen are not told as movable, pixels: no detector would find them.
const LEAST_VISIBLE_PX: u32 = 60;

/// Where the odometry's depth comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum DepthSource {
    /// The world's own.
    Truth,
    /// A network: a manifest, an ONNX file, or the built-in one by its word.
    Network(PathBuf),
    /// No depth.
    Absent,
}

/// Why a world cannot be used.
#[derive(Debug, Error)]
pub enum SimulatedError {
    /// No such world.
    #[error(transparent)]
    World(#[from] WorldError),
    /// The depth network.
    #[error(transparent)]
    Perception(#[from] PerceptionError),
    /// The picture's planes.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// The camera.
    #[error(transparent)]
    Camera(#[from] CameraError),
}

/// Scores of one clip.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SimulatedReport {
    /// As of a recording.
    #[serde(flatten)]
    pub odometry: OdometryReport,
    /// Root mean square error of the camera's speed where it is known, m/s.
    pub speed_rmse_mps: f64,
    /// Distance between the last true and the last estimated position, both as the first camera sees them, over the path's
    /// length.
    pub drift: f64,
}

/// Runs visual odometry over the first `seconds` of a world; `observe` sees each frame's truth and view.
///
/// # Errors
/// A world or network that cannot be made, or a network that fails.
pub fn evaluate_simulated(
    settings: WorldSettings,
    seconds: f64,
    depth: &DepthSource,
    mut observe: impl FnMut(&Snapshot, &View),
) -> Result<SimulatedReport, SimulatedError> {
    let mut world = World::new(settings)?;
    let mut renderer = Renderer::new(&world);
    let mut network = match depth {
        DepthSource::Network(path) => Some(DepthModel::load(path, &DepthSettings::default())?),
        _ => None,
    };
    let mut odometry = VisualReconstructor::new(Some(world.camera.clone()), Arc::new(ClassPriors::default()));
    let mut result = Trajectories::default();
    let (mut scene, mut squares, mut known) = (None, 0.0, 0.0f64);
    for time_s in FrameTimes::of(&world).take_while(|time_s| *time_s < seconds) {
        let snapshot = world.at(time_s)?;
        let rendered = renderer.render(&snapshot);
        let picture = Picture::packed(PixelFormat::Rgb, rendered.width, rendered.height, &rendered.rgb)?;
        let depth = match (depth, &mut network) {
            (_, Some(network)) => Some(Arc::new(network.estimate(&picture, &world.camera.intrinsics)?)),
            (DepthSource::Truth, None) => Some(Arc::new(true_depth(rendered))),
            _ => None,
        };
        let movable = movable(&snapshot, rendered);
        let started = Instant::now();
        let view = odometry.reconstruct_frame(&SceneFrame {
            time: FrameTime::from_pts_ns((time_s * NANOS_PER_SECOND).round() as u64),
            width: rendered.width,
            height: rendered.height,
            picture: Some(picture),
            depth,
            movable: &movable,
        })?;
        result.seconds.push(started.elapsed().as_secs_f64());
        let broken = scene.replace(view.scene).is_some_and(|before| before != view.scene);
        result.lost.push(view.health.lost || broken);
        result.estimated.push(view.world_from_camera);
        result.truth.push(snapshot.world_from_camera);
        result.times_s.push(time_s);
        if view.health.knows_ego_velocity() {
            squares += (view.ego_velocity_in_world_mps.norm() - snapshot.camera_velocity_mps.norm()).powi(2);
            known += 1.0;
        }
        observe(&snapshot, &view);
    }
    let report = score(&result);
    Ok(SimulatedReport {
        speed_rmse_mps: (squares / known).sqrt(),
        drift: last_apart(&result.estimated, &result.truth) / report.path_m,
        odometry: report,
    })
}

/// How far the last positions are apart, metres, each as its first camera sees it; not a number without frames.
fn last_apart(estimated: &[Isometry3<f64>], truth: &[Isometry3<f64>]) -> f64 {
    let moved = |poses: &[Isometry3<f64>]| -> Option<Vector3<f64>> {
        Some(poses.first()?.inv_mul(poses.last()?).translation.vector)
    };
    match (moved(estimated), moved(truth)) {
        (Some(estimated), Some(truth)) => (estimated - truth).norm(),
        _ => f64::NAN,
    }
}

fn true_depth(rendered: &Rendered) -> DepthMap {
    DepthMap {
        width: rendered.width,
        height: rendered.height,
        // The sky has no depth.
        depth_m: rendered
            .depth_m
            .iter()
            .map(|depth_m| if depth_m.is_finite() { *depth_m } else { f32::NAN })
            .collect(),
        relative_sigma: TRUE_DEPTH_SIGMA,
    }
}

fn movable(snapshot: &Snapshot, rendered: &Rendered) -> Vec<MovableRegion> {
    let seen = rendered.sightings.iter().filter(|s| s.visible_px >= LEAST_VISIBLE_PX);
    seen.filter_map(|sighting| {
        let actor = snapshot.actors.iter().find(|actor| actor.id == sighting.id)?;
        Some(MovableRegion {
            bbox: sighting.bbox,
            mask: None,
            class: ClassLabel::new(actor.class.name()),
        })
    })
    .collect()
}
