//! How well the camera's pose is found: recorded pictures and depth against the true trajectory.
//!
//! Frames are given one after another, as a camera would; no estimate is changed afterwards.

mod scores;
mod seven_scenes;
mod simulated;
mod wander;

pub use scores::{OdometryReport, Trajectories, score};
pub use seven_scenes::{RecordedFrame, RgbdError, SevenScenes};
pub use simulated::{DepthSource, SimulatedError, SimulatedReport, evaluate_simulated};
pub use wander::DepthWander;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::{ClassPriors, DepthMap, Reconstructor, SceneFrame, VisualReconstructor};
use crate::frame::{FrameTime, Picture, PixelFormat};

/// Relative standard deviation of a depth camera's depth, registration to the colour picture included.
const DEPTH_SIGMA: f64 = 0.03;

/// Runs visual odometry over a recording and scores it. `wander` is the greatest excursion by which the depth's scale
/// walks away (0 for none), `seed` draws the walk, `limit` the number of frames.
pub fn evaluate_seven_scenes(
    root: &Path,
    wander: f64,
    seed: u64,
    limit: Option<usize>,
    mut progress: impl FnMut(usize, usize),
) -> Result<OdometryReport, RgbdError> {
    let recording = SevenScenes::open(root)?;
    let count = limit.map_or(recording.len(), |limit| limit.min(recording.len()));
    let factors = DepthWander::new(wander, seed).factors(count);
    let mut odometry = VisualReconstructor::new(Some(recording.camera().clone()), Arc::new(ClassPriors::default()));
    let mut result = Trajectories::default();
    let mut scene = None;
    for (index, factor) in factors.into_iter().enumerate() {
        let frame = recording.read(index)?;
        let depth = Arc::new(DepthMap {
            width: frame.width,
            height: frame.height,
            depth_m: frame.depth_m.iter().map(|depth_m| depth_m * factor as f32).collect(),
            relative_sigma: DEPTH_SIGMA.hypot(wander) as f32,
        });
        let picture = Picture::packed(PixelFormat::Rgb, frame.width, frame.height, &frame.rgb)?;
        let started = Instant::now();
        let view = odometry.reconstruct_frame(&SceneFrame {
            time: FrameTime::from_pts_ns((frame.time_s * 1e9).round() as u64),
            width: frame.width,
            height: frame.height,
            picture: Some(picture),
            depth: Some(depth),
            movable: &[],
        })?;
        result.seconds.push(started.elapsed().as_secs_f64());
        let broken = scene.replace(view.scene).is_some_and(|before| before != view.scene);
        result.lost.push(view.health.lost || broken);
        result.estimated.push(view.world_from_camera);
        result.truth.push(frame.world_from_camera);
        result.times_s.push(frame.time_s);
        progress(index + 1, count);
    }
    Ok(score(&result))
}
