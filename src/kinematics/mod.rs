//! How things move: trajectories, windows, clock hours and the seven measures. Pure computation, no I/O.
//!
//! Everything is in SI units, in a world frame that is gravity-aligned with z up (ISO 8855: x forward, y left), and runs
//! on stream time in seconds.

mod state;

pub use state::{KinematicState, ObjectState, Reliability, UnreliableReason};
