//! One estimator per object: filter, fixed-lag smoother, standstill test, and the rolling store of trajectories.

mod engine;
mod settings;
mod store;

pub use engine::MotionEngine;
pub use settings::MotionSettings;
pub use store::{SharedTrajectories, StoredTrajectory, TrajectoryStore};
