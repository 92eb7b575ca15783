//! The whole chain in simulated worlds: what it says of every object, against what is true.
//!
//! Frames are rendered and pushed into a pipeline of [`crate::gst::pipeline`], with the world's own camera file; every frame
//! is processed, whatever the machine's speed. Tracks are matched with the actors in the picture frame by frame; speeds,
//! distances and clock hours are scored over windows of 2 s, as in [`crate::motion::evaluation`]; answers by the STKit
//! protocol, to questions that the builder of [`crate::stkit`] draws from the true trajectories.

mod answers;
mod clip;
mod labels;
mod matching;
mod recorded;
mod report;
mod scores;
mod small_model;

pub use clip::{Clip, ClipError, LiveSettings, run_clip};
pub use labels::{DistanceErrors, LabelScorer, LabelsError, LabelsReport, LabelsSettings};
pub use recorded::{RecordedError, Recording, read_recording};
pub use report::{
    AnswerScores, AnswersReport, ClassScores, EgoScores, LiveReport, PositionScores, RangeScore, SceneReport,
    TaskAnswers,
};
pub use scores::Scorer;
