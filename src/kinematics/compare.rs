//! Two objects over one window: who travels farther, who is faster, do they move the same way (STKit's TDC, TSC, MDC).

use std::f64::consts::TAU;

use super::clock::{ClockHour, clockwise_angle_rad};
use super::measures::{
    MeasureError, Measured, check_window, step_angle_variance, traveled_distance_m, traveling_speed_mps,
};
use super::normal;
use super::record::RecordStep;
use super::trajectory::Trajectory;

/// A comparison whose choice is right with less than this probability is ambiguous.
pub const SURE_PROBABILITY: f64 = 0.9;

/// Which of two values is greater.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// Value of the first object.
    pub first: Measured,
    /// Value of the second object.
    pub second: Measured,
    /// Whether the first object's value is the greater one.
    pub first_is_greater: bool,
    /// Probability that this choice is right, 0.5 to 1, for normal and independent errors.
    pub probability: f64,
    /// Whether that is less than [`SURE_PROBABILITY`].
    pub ambiguous: bool,
    /// Whether both values are to be trusted.
    pub reliable: bool,
}

impl Comparison {
    fn new(first: Measured, second: Measured) -> Self {
        let difference = first.value - second.value;
        let sigma = first.sigma.hypot(second.sigma);
        let probability = if sigma > 0.0 {
            normal::cumulative(difference.abs() / sigma).max(0.5)
        } else if difference == 0.0 {
            0.5
        } else {
            1.0
        };
        Self {
            first,
            second,
            first_is_greater: difference > 0.0,
            probability,
            ambiguous: probability < SURE_PROBABILITY,
            reliable: first.reliable && second.reliable,
        }
    }
}

/// Whether two objects move the same way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DirectionComparison {
    /// Whether the second object moves toward 12 o'clock as seen along the first one's movement: within 15°.
    pub same: bool,
    /// Angle from the first object's movement to the second's, radians in (−π, π], clockwise seen from above positive.
    pub angle_rad: f64,
    /// Standard deviation of the angle, radians.
    pub angle_sigma_rad: f64,
    /// Probability that `same` is right.
    pub probability: f64,
    /// Whether the angle lies within 5° of the limit of 15°.
    pub ambiguous: bool,
    /// Whether both objects' samples are to be trusted.
    pub reliable: bool,
}

/// Which of two objects travels farther over [`start_s`, `end_s`]; values in metres.
pub fn compare_distance(
    first: &Trajectory,
    second: &Trajectory,
    start_s: f64,
    end_s: f64,
) -> Result<Comparison, MeasureError> {
    Ok(Comparison::new(
        traveled_distance_m(first, start_s, end_s)?,
        traveled_distance_m(second, start_s, end_s)?,
    ))
}

/// Which of two objects is faster over [`start_s`, `end_s`]; values in metres per second.
pub fn compare_speed(
    first: &Trajectory,
    second: &Trajectory,
    start_s: f64,
    end_s: f64,
) -> Result<Comparison, MeasureError> {
    Ok(Comparison::new(
        traveling_speed_mps(first, start_s, end_s)?,
        traveling_speed_mps(second, start_s, end_s)?,
    ))
}

/// Whether two objects move the same way over [`start_s`, `end_s`].
///
/// Clock hours against each object's own first step could not tell two objects that drive straight past each other from
/// two that drive side by side, so the way of each is its displacement over the whole window, in the world they share,
/// and the two are the same when the clock hour from one to the other is 12. An object whose displacement over the ground
/// is less than `gate_m` has no direction.
pub fn compare_direction(
    first: &Trajectory,
    second: &Trajectory,
    start_s: f64,
    end_s: f64,
    gate_m: f64,
) -> Result<DirectionComparison, MeasureError> {
    let first_way = way(first, start_s, end_s, gate_m)?;
    let second_way = way(second, start_s, end_s, gate_m)?;
    let angle_rad = clockwise_angle_rad(&first_way.displacement_in_world, &second_way.displacement_in_world)
        .ok_or(MeasureError::NeverMoves { gate_m })?;
    let variance = step_angle_variance(first, &first_way) + step_angle_variance(second, &second_way);
    let limit_rad = TAU / 24.0;
    let same = ClockHour::from_angle_rad(angle_rad) == ClockHour::TWELVE;
    let within = normal::angle_within(angle_rad, limit_rad, variance.sqrt());
    Ok(DirectionComparison {
        same,
        angle_rad,
        angle_sigma_rad: variance.sqrt(),
        probability: if same { within } else { 1.0 - within },
        ambiguous: (angle_rad.abs() - limit_rad).abs() <= super::clock::AMBIGUITY_MARGIN_RAD,
        reliable: [first, second]
            .iter()
            .all(|trajectory| trajectory.is_reliable(start_s, end_s).unwrap_or(false)),
    })
}

/// The whole window as one step.
fn way(trajectory: &Trajectory, start_s: f64, end_s: f64, gate_m: f64) -> Result<RecordStep, MeasureError> {
    check_window(trajectory, start_s, end_s)?;
    let path = trajectory.path_search();
    let (Some(start), Some(end)) = (path.at(start_s), path.at(end_s)) else {
        return Err(MeasureError::Empty);
    };
    let whole = RecordStep::new(start_s, &start, end_s, &end);
    if whole.moves(gate_m) {
        Ok(whole)
    } else {
        Err(MeasureError::NeverMoves { gate_m })
    }
}
