//! The whole chain in simulated worlds: what it says of every object, against what is true.
//!
//! Frames are rendered and pushed into a pipeline of [`crate::gst::pipeline`], with the world's own camera file; every frame
//! is processed, whatever the machine's speed. Tracks are matched with the actors in the picture frame by frame; speeds,
//! distances and clock hours are scored over windows of 2 s, as in [`crate::motion::evaluation`].

mod clip;
mod matching;
mod recorded;
mod report;
mod scores;

pub use clip::{Clip, ClipError, LiveSettings, run_clip};
pub use recorded::{RecordedError, Recording, read_recording};
pub use report::{ClassScores, EgoScores, LiveReport, PositionScores, RangeScore, SceneReport};
pub use scores::Scorer;
