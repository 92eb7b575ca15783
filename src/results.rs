//! Everything that is known about one frame: what the stages hand down the pipeline.

use std::sync::Arc;
use std::time::Instant;

use crate::frame::FrameTime;
use crate::kinematics::ObjectState;
use crate::motion::SharedTrajectories;
use crate::reconstruction::View;
use crate::stkit::Answer;
use crate::tracking::Track;

/// The stages whose time is measured, in the order of the data's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Depth, pose, scale.
    Reconstruction,
    /// Pre-processing and network of the detector.
    Detection,
    /// Association.
    Tracking,
    /// Lifting, filtering, storing.
    Motion,
    /// Sampling of windows (the answering itself runs on its own worker).
    Vlm,
    /// Handing over to the publisher.
    Publish,
    /// Drawing.
    Overlay,
}

impl Stage {
    /// The stage's name in reports and metrics, e.g. `detection`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reconstruction => "reconstruction",
            Self::Detection => "detection",
            Self::Tracking => "tracking",
            Self::Motion => "motion",
            Self::Vlm => "vlm",
            Self::Publish => "publish",
            Self::Overlay => "overlay",
        }
    }
}

/// What the stages found in one frame.
#[derive(Clone, Debug)]
pub struct FrameResults {
    /// When the frame was taken.
    pub time: FrameTime,
    /// When it entered the first of our stages, on this machine's monotonic clock: where latency is counted from when
    /// the capture time is unknown.
    pub entered_at: Instant,
    /// Width of the picture that boxes refer to, pixels.
    pub width: u32,
    /// Height of the picture that boxes refer to, pixels.
    pub height: u32,
    /// Intrinsics, pose, depth.
    pub view: Option<Arc<View>>,
    /// All tracks of the frame, lost ones included.
    pub tracks: Vec<Track>,
    /// Metric states of the tracks that have one.
    pub objects: Vec<ObjectState>,
    /// The rolling store of trajectories, shared with the motion stage that writes it.
    pub trajectories: Option<SharedTrajectories>,
    /// Answers that became ready with this frame.
    pub answers: Vec<Arc<Answer>>,
    /// Time spent in each stage, seconds.
    pub stage_seconds: Vec<(Stage, f64)>,
}

impl FrameResults {
    /// Nothing known yet about a `width`×`height` picture.
    pub fn new(time: FrameTime, width: u32, height: u32) -> Self {
        Self {
            time,
            entered_at: Instant::now(),
            width,
            height,
            view: None,
            tracks: Vec::new(),
            objects: Vec::new(),
            trajectories: None,
            answers: Vec::new(),
            stage_seconds: Vec::new(),
        }
    }
}
