//! What the tracker is given for one frame: detections, and optionally appearance, camera motion and positions.

use nalgebra::Point3;

use crate::detection::Detection;

use super::camera_motion::CameraMotion;

/// Where a detection is in the world, in metres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorldPosition {
    /// Position in the world frame.
    pub position_in_world: Point3<f64>,
    /// Standard deviation of that position in its worst direction.
    pub sigma_m: f64,
}

/// Everything known about one frame. `embeddings` and `positions` run parallel to `detections`; missing ends and `None`
/// mean "not known".
#[derive(Clone, Copy, Debug, Default)]
pub struct FrameInput<'a> {
    /// What the detector found.
    pub detections: &'a [Detection],
    /// What each detection looks like, as a vector of any length (the same for all); it need not be normalised.
    pub embeddings: &'a [Option<Vec<f32>>],
    /// Where each detection is: pairs that would need an object to move faster than
    /// [`max_speed_mps`](super::TrackerSettings::max_speed_mps) are ruled out.
    pub positions: &'a [Option<WorldPosition>],
    /// How the background moved since the last update.
    pub camera_motion: Option<CameraMotion>,
}

impl<'a> From<&'a [Detection]> for FrameInput<'a> {
    fn from(detections: &'a [Detection]) -> Self {
        Self {
            detections,
            ..Self::default()
        }
    }
}

impl<'a> From<&'a Vec<Detection>> for FrameInput<'a> {
    fn from(detections: &'a Vec<Detection>) -> Self {
        Self::from(detections.as_slice())
    }
}

/// What a tracker has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackerStats {
    /// Updates made.
    pub frames: u64,
    /// Detections given.
    pub detections: u64,
    /// Detections that were not finite or had no area.
    pub invalid: u64,
    /// Detections beyond [`max_detections`](super::TrackerSettings::max_detections).
    pub dropped: u64,
    /// Tracks that gave way beyond [`max_tracks`](super::TrackerSettings::max_tracks).
    pub evicted: u64,
    /// Embeddings that were not finite, were zero or had another length than before.
    pub invalid_embeddings: u64,
    /// Crowds too dense for exact matching, matched best pair first.
    pub greedy_matchings: u64,
    /// Times at which time went backwards and all tracks ended.
    pub resets: u64,
}
