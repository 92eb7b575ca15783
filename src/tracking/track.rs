//! One tracked object in the picture, as of one frame.

use std::sync::Arc;

use crate::detection::{BoundingBox, ClassLabel, Mask};

/// Where a track is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrackStatus {
    /// Seen in this frame.
    Tracked,
    /// Not seen in this frame; its box is predicted.
    Lost,
}

/// One tracked object in one frame.
#[derive(Clone, Debug)]
pub struct Track {
    /// Identity: unique within a stream, never used again.
    pub id: u64,
    /// What it is, by the weight of its detections so far.
    pub class: ClassLabel,
    /// Where, in pixels of the frame: when seen in this frame, between the detection and the filter's estimate (see
    /// [`smoothing`](super::TrackerSettings::smoothing)), else as predicted.
    pub bbox: BoundingBox,
    /// Confidence of the newest detection, 0 to 1.
    pub confidence: f32,
    /// Probability that the object exists, 0 to 1: grows with detections, falls with misses.
    pub existence_probability: f32,
    /// Whether it was seen in this frame.
    pub status: TrackStatus,
    /// Seconds since it was first seen.
    pub age_s: f32,
    /// Seconds since it was last seen; 0 when seen in this frame.
    pub unseen_s: f32,
    /// Pixels that belong to it, when the detector says so.
    pub mask: Option<Arc<Mask>>,
}
