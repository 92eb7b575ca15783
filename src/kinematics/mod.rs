//! How things move: trajectories, windows, clock hours and the seven measures. Pure computation, no I/O.
//!
//! Everything is in SI units, in a world frame that is gravity-aligned with z up (ISO 8855: x forward, y left), and runs
//! on stream time in seconds.

mod clock;
mod compare;
mod measures;
pub(crate) mod normal;
mod path;
mod record;
mod runs;
mod state;
mod sums;
mod trajectory;

pub use clock::{AMBIGUITY_MARGIN_RAD, ClockHour, clockwise_angle_rad};
pub use compare::{
    Comparison, DirectionComparison, SURE_PROBABILITY, compare_direction, compare_distance, compare_speed,
};
pub use measures::{
    CORRELATED_STEPS, Direction, MeasureError, Measured, STANDSTILL_GATE_M, VELOCITY_MEMORY_S, movement_direction,
    traveled_distance_m, traveling_speed_mps,
};
pub use record::{RECORD_MAX_SAMPLES, RECORD_STEP_S, RecordStep, RecordSteps};
pub use runs::{DirectionRun, direction_runs, direction_times};
pub use state::{KinematicState, ObjectState, Reliability, UnreliableReason};
pub use trajectory::{Displacement, MAX_RELIABLE_GAP_S, MAX_UNRELIABLE_SHARE, Sample, Trajectory, TrajectoryError};

#[cfg(test)]
mod tests;
