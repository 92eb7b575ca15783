//! One estimator per object: filter, fixed-lag smoother, standstill test, and the rolling store of trajectories.
//!
//! `docs/motion.md` tells the models, their numbers and what they reach.

mod engine;
pub mod evaluation;
mod filter;
mod modes;
mod noise;
mod object;
mod settings;
mod store;

pub use engine::{MotionEngine, ObjectObservation};
pub use settings::MotionSettings;
pub use store::{SharedTrajectories, StoredTrajectory, TrajectoryStore};
