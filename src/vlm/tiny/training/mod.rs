//! Training of the small model on simulated worlds, rendered as it goes.

mod config;
mod groups;
mod losses;
mod noise;
mod pool;
mod run;
#[cfg(test)]
mod tests;
mod worlds;

pub use config::TrainSettings;
pub use groups::{Group, ROWS, Row, Senses, draw};
pub use losses::{LOG_SIGMA, Loss, Targets};
pub use noise::{engine_states, seen_boxes};
pub use run::{LogLine, TrainError, loss, train};
pub use worlds::{POINTS, Picture, STEP_S, Timeline, Track, sample_of, track_of};
