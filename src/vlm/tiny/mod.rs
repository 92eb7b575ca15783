//! The small ST-VLM: it is shown frames with coloured boxes, times and intrinsics, and the engine's states where it runs,
//! and answers the seven tasks in words, each with a value and an interval. One set of weights does both.

pub mod apparent;
pub mod batch;
mod bearings;
pub mod clip;
mod findings;
mod live;
mod model;
pub mod network;
mod observations;
pub mod tokens;
pub mod training;
mod verdict;
pub mod views;

pub use findings::{Findings, Z80};
pub use live::{TinyBackend, Work, states_at};
pub use model::{TinyVlm, WeightsError, packed};
pub use observations::{NOTE_STEP_S, Note, Observations, SharedObservations, notes_between};
pub use verdict::{Quantity, Said, Verdict, verdict};
