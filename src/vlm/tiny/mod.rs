//! The small ST-VLM: it is shown frames with coloured boxes, times and intrinsics, and the engine's states where it runs,
//! and answers the seven tasks in words, each with a value and an interval. One set of weights does both.

pub mod batch;
pub mod clip;
mod findings;
mod model;
pub mod network;
pub mod tokens;
pub mod training;
pub mod views;

pub use findings::Findings;
pub use model::{TinyVlm, WeightsError};
