//! Distance, speed and direction of one object over a window, each with its uncertainty (STKit's TD, TS and MD).
//!
//! # Where the uncertainties come from
//!
//! The covariance of a sample describes one position. A distance is a difference of positions, whose errors are
//! correlated: neighbouring smoothed samples share most of theirs, samples seconds apart hardly any, and an error of
//! metric scale is common to all. The three are treated apart:
//!
//! - **Ends.** A step inside a straight path ends where the next begins, so its error cancels; what remains are the errors
//!   of the first and last position along the direction of movement there. They are taken as independent, which is right
//!   for windows longer than the smoother's memory.
//! - **Velocity.** Over a short window that treatment is far too wide. There the error is that of the velocity along the
//!   path, summed over the time it moves, with errors of velocity that are correlated over [`VELOCITY_MEMORY_S`]. The
//!   smaller of the two counts.
//! - **Bends.** Where the path bends by β between two steps, an error of the position there changes the length by at most
//!   2 sin(β/2) of itself. Neighbouring steps are taken as correlated over [`CORRELATED_STEPS`].
//! - **Jitter.** Errors across the path make it longer: a step of length L by σ²/2L, σ being the error of the step across
//!   it, and at most by σ. The path is not shortened by that, but the uncertainty grows by it.
//! - **Scale.** [`Trajectory::relative_scale_sigma`] adds in proportion to the value.

use nalgebra::{Matrix3, Vector3};
use thiserror::Error;

use super::clock::{ClockHour, clockwise_angle_rad};
use super::normal;
use super::record::{RECORD_MAX_SAMPLES, RECORD_STEP_S, RecordStep};
use super::sums::StepSums;
use super::trajectory::{BETWEEN_FRAMES_S, TIME_TOLERANCE_S, Trajectory};

/// The shortest movement over the ground within a step of record (0.5 s), in metres, that has a direction: 1.8 km/h, half
/// of a slow walk.
pub const STANDSTILL_GATE_M: f64 = 0.25;

/// Over how many steps of record errors of the position are taken as correlated: about two seconds.
pub const CORRELATED_STEPS: f64 = 4.0;

/// Over what time errors of the velocity are correlated, seconds: as long as the smoother looks ahead.
pub const VELOCITY_MEMORY_S: f64 = 1.0;

/// A value with its standard deviation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// The estimate, in the unit the function names.
    pub value: f64,
    /// Its standard deviation, same unit.
    pub sigma: f64,
    /// Whether it is to be trusted within that.
    pub reliable: bool,
}

impl Measured {
    /// The interval that holds the true value with 95 % probability; distances and speeds are not less than 0.
    pub fn interval_95(&self) -> (f64, f64) {
        let half = normal::Z_95 * self.sigma;
        ((self.value - half).max(0.0), self.value + half)
    }

    fn scaled(self, factor: f64) -> Self {
        Self {
            value: self.value * factor,
            sigma: self.sigma * factor,
            ..self
        }
    }
}

/// Where an object moves at the end of a window, against its first moving step there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Direction {
    /// The angle as a clock hour; 12 is the direction of the first moving step.
    pub hour: ClockHour,
    /// Signed angle about the up axis in (−π, π], clockwise seen from above positive.
    pub angle_rad: f64,
    /// Standard deviation of the angle, radians.
    pub angle_sigma_rad: f64,
    /// Probability that the true angle lies in that hour, given the standard deviation.
    pub hour_probability: f64,
    /// Whether the angle lies within 5° of the edge between two hours.
    pub ambiguous: bool,
    /// Whether the window's samples are to be trusted.
    pub reliable: bool,
}

/// Why there is no value.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
pub enum MeasureError {
    /// The window is empty, reversed or not finite.
    #[error("a window must end after it starts, found {start_s} s to {end_s} s")]
    InvalidWindow {
        /// Start asked for.
        start_s: f64,
        /// End asked for.
        end_s: f64,
    },
    /// The trajectory has no sample.
    #[error("no position of the object is known yet")]
    Empty,
    /// The trajectory does not reach over the window.
    #[error(
        "the object's positions are known from {known_start_s:.2} s to {known_end_s:.2} s, \
         not for all of {start_s:.2} s to {end_s:.2} s"
    )]
    NotCovered {
        /// Start asked for.
        start_s: f64,
        /// End asked for.
        end_s: f64,
        /// Time of the oldest sample.
        known_start_s: f64,
        /// Time of the newest sample.
        known_end_s: f64,
    },
    /// The window holds no full step of record.
    #[error("a direction needs a window of at least {RECORD_STEP_S} s, found {length_s:.2} s")]
    TooShort {
        /// Length of the window, seconds.
        length_s: f64,
    },
    /// No step is long enough to have a direction.
    #[error("the object stands: it never moves {gate_m} m within {RECORD_STEP_S} s")]
    NeverMoves {
        /// The gate, metres.
        gate_m: f64,
    },
    /// The object moved in the window, but not in its last step.
    #[error("the object stands at the end: it last moved at {last_moved_s:.2} s")]
    StandsAtEnd {
        /// End of the last moving step, seconds of stream time.
        last_moved_s: f64,
    },
    /// No step goes that way.
    #[error("the object never moves toward {hour} o'clock")]
    NeverInDirection {
        /// The hour asked for.
        hour: ClockHour,
    },
}

/// Distance travelled over [`start_s`, `end_s`], metres: the sum of the steps of record (0.5 s from the start, and the
/// rest at the end), where time spent standing adds nothing.
///
/// A window longer than a record may be (20 s) is summed in O(log n) from steps that the trajectory has summed before:
/// they last half a second as well, but end at samples and do not begin at the window's start.
///
/// [`Trajectory::path_length_m`] sums over all samples instead: it follows bends within half a second, and the jitter of
/// the samples, so it is never less.
pub fn traveled_distance_m(trajectory: &Trajectory, start_s: f64, end_s: f64) -> Result<Measured, MeasureError> {
    check_window(trajectory, start_s, end_s)?;
    let (Some(start), Some(end)) = (trajectory.at(start_s), trajectory.at(end_s)) else {
        return Err(MeasureError::Empty);
    };
    let Steps { sums, first, last } = if end_s - start_s > RECORD_MAX_SAMPLES as f64 * RECORD_STEP_S + TIME_TOLERANCE_S
    {
        long_steps(trajectory, start_s, end_s)
    } else {
        steps_of_record(trajectory, start_s, end_s)
    };

    let along = |direction: Option<Vector3<f64>>, covariance: &Matrix3<f64>| match direction {
        Some(direction) => variance_along(covariance, &direction),
        None => total_variance(covariance),
    };
    let ends = along(first, &start.position_covariance) + along(last, &end.position_covariance);
    // The middle counts twice: a smoother knows least at the ends of a trajectory.
    let middle = trajectory.at(0.5 * (start_s + end_s)).unwrap_or(end);
    let velocity_sigma_mps = 0.25
        * (along(first, &start.velocity_covariance).sqrt()
            + along(first, &middle.velocity_covariance).sqrt()
            + along(last, &middle.velocity_covariance).sqrt()
            + along(last, &end.velocity_covariance).sqrt());
    // Who stands throughout may still creep below what the standstill test can see.
    let moving_s = if sums.moving_s > 0.0 {
        sums.moving_s
    } else {
        end_s - start_s
    };
    let lengthwise = ends.min(velocity_sigma_mps.powi(2) * correlated_s2(moving_s));

    let mean_total = |a: &Matrix3<f64>, b: &Matrix3<f64>| 0.5 * (total_variance(a) + total_variance(b));
    let position_total = mean_total(&start.position_covariance, &end.position_covariance);
    let velocity_total = mean_total(&start.velocity_covariance, &end.velocity_covariance);
    let across = (2.0 * position_total - ends)
        .min((velocity_total - velocity_sigma_mps.powi(2)) * RECORD_STEP_S * RECORD_STEP_S)
        .max(0.0);
    let jitter_m = (0.5 * across * sums.inverse_lengths).min(sums.moving_steps * across.sqrt());
    // Noise bends the path too, but that is jitter. All bends together cannot tell more than two free ends would.
    let true_bends = (sums.bends - 2.0 * across * sums.inverse_squares).max(0.0);
    let bent = (true_bends * CORRELATED_STEPS * position_total).min(ends);
    let scale_m = trajectory.relative_scale_sigma() * sums.traveled_m;
    Ok(Measured {
        value: sums.traveled_m,
        sigma: (lengthwise + bent + jitter_m * jitter_m + scale_m * scale_m).sqrt(),
        reliable: trajectory.is_reliable(start_s, end_s).unwrap_or(false),
    })
}

/// Variance of the integral over `time_s` of a process of unit variance with the autocovariance e^(−t/τ), s².
fn correlated_s2(time_s: f64) -> f64 {
    let memories = time_s / VELOCITY_MEMORY_S;
    2.0 * VELOCITY_MEMORY_S.powi(2) * (memories - 1.0 + (-memories).exp())
}

/// The steps of a window.
struct Steps {
    sums: StepSums,
    /// Unit directions of the first and the last moving step.
    first: Option<Vector3<f64>>,
    last: Option<Vector3<f64>>,
}

fn steps_of_record(trajectory: &Trajectory, start_s: f64, end_s: f64) -> Steps {
    let mut sums = StepSums::default();
    let mut first = None;
    for step in trajectory.record_steps(start_s, end_s) {
        let none_before = sums.moving_steps == 0.0;
        sums.add(&step);
        if none_before && sums.moving_steps > 0.0 {
            first = Some(sums.last);
        }
    }
    let last = first.map(|_| sums.last);
    Steps { sums, first, last }
}

/// As [`steps_of_record`], from the running sums between the first and the last milestone in the window, and what is left
/// at both ends.
fn long_steps(trajectory: &Trajectory, start_s: f64, end_s: f64) -> Steps {
    let path = trajectory.path_search();
    let ends = path.at(start_s).zip(path.at(end_s));
    let (Some((start, end)), Some((from, to))) = (ends, trajectory.milestones().within(start_s, end_s)) else {
        return steps_of_record(trajectory, start_s, end_s);
    };
    let mut sums = to.sums.since(&from.sums);
    let head = RecordStep::new(start_s, &start, from.time_s, &from.at);
    let tail = RecordStep::new(to.time_s, &to.at, end_s, &end);
    // Too short to tell a direction, the rests count for the distance only.
    sums.traveled_m += head.traveled_m + tail.traveled_m;
    sums.moving_s += [&head, &tail]
        .iter()
        .filter(|step| step.traveled_m > 0.0)
        .map(|step| step.end_s - step.start_s)
        .sum::<f64>();
    let direction = |from_s: f64| {
        let step = trajectory.record_steps(from_s, from_s + RECORD_STEP_S).next()?;
        (step.traveled_m > 0.0).then(|| step.displacement_in_world / step.length_m)
    };
    Steps {
        sums,
        first: direction(start_s),
        last: direction(end_s - RECORD_STEP_S),
    }
}

/// Mean speed over [`start_s`, `end_s`], metres per second: the distance travelled by the window's length.
pub fn traveling_speed_mps(trajectory: &Trajectory, start_s: f64, end_s: f64) -> Result<Measured, MeasureError> {
    let distance = traveled_distance_m(trajectory, start_s, end_s)?;
    Ok(distance.scaled(1.0 / (end_s - start_s)))
}

/// Clock direction of the last full step of record in [`start_s`, `end_s`], against the first moving one. Where the window is
/// short of a whole number of steps by no more than 0.2 s, the last half second takes the last step's place. `gate_m` is the
/// shortest step that has a direction ([`STANDSTILL_GATE_M`]); a last step that may be as long, given its uncertainty, has
/// one too.
pub fn movement_direction(
    trajectory: &Trajectory,
    start_s: f64,
    end_s: f64,
    gate_m: f64,
) -> Result<Direction, MeasureError> {
    check_window(trajectory, start_s, end_s)?;
    let steps = full_step_count(start_s, end_s);
    if steps == 0 {
        return Err(MeasureError::TooShort {
            length_s: end_s - start_s,
        });
    }
    // Mostly the first and the last step tell, so only they are looked at.
    let moving = |k: usize| nth_full_step(trajectory, start_s, end_s, k).filter(|step| step.moves(gate_m));
    let Some(reference) = (0..steps).find_map(moving) else {
        return Err(MeasureError::NeverMoves { gate_m });
    };
    let last = nth_full_step(trajectory, start_s, end_s, steps - 1).filter(|step| may_move(trajectory, step, gate_m));
    let current = match last {
        Some(step) => step,
        None => {
            let last_moving = (0..steps).rev().find_map(moving).unwrap_or(reference);
            return Err(MeasureError::StandsAtEnd {
                last_moved_s: last_moving.end_s,
            });
        }
    };
    let angle_rad = clockwise_angle_rad(&reference.displacement_in_world, &current.displacement_in_world)
        .ok_or(MeasureError::NeverMoves { gate_m })?;
    let variance = if current == reference {
        0.0
    } else {
        step_angle_variance(trajectory, &reference) + step_angle_variance(trajectory, &current)
    };
    let hour = ClockHour::from_angle_rad(angle_rad);
    let from_center = angle_rad - (angle_rad / HOUR_RAD).round() * HOUR_RAD;
    let angle_sigma_rad = variance.sqrt();
    Ok(Direction {
        hour,
        angle_rad,
        angle_sigma_rad,
        hour_probability: normal::angle_within(from_center, 0.5 * HOUR_RAD, angle_sigma_rad),
        ambiguous: ClockHour::ambiguous(angle_rad),
        reliable: trajectory.is_reliable(start_s, end_s).unwrap_or(false),
    })
}

pub(super) const HOUR_RAD: f64 = std::f64::consts::TAU / 12.0;

pub(super) fn check_window(trajectory: &Trajectory, start_s: f64, end_s: f64) -> Result<(), MeasureError> {
    if !(start_s.is_finite() && end_s.is_finite() && end_s - start_s > TIME_TOLERANCE_S) {
        return Err(MeasureError::InvalidWindow { start_s, end_s });
    }
    let (Some(known_start_s), Some(known_end_s)) = (trajectory.start_s(), trajectory.end_s()) else {
        return Err(MeasureError::Empty);
    };
    if start_s < known_start_s - TIME_TOLERANCE_S || end_s > known_end_s + TIME_TOLERANCE_S {
        return Err(MeasureError::NotCovered {
            start_s,
            end_s,
            known_start_s,
            known_end_s,
        });
    }
    Ok(())
}

/// The steps that have a direction: the full ones, and in place of one cut by the window's end the last half second.
pub(super) fn full_steps(trajectory: &Trajectory, start_s: f64, end_s: f64) -> impl Iterator<Item = RecordStep> {
    (0..full_step_count(start_s, end_s)).filter_map(move |k| nth_full_step(trajectory, start_s, end_s, k))
}

/// How many such steps a window holds. A last one that lacks no more than [`BETWEEN_FRAMES_S`] is made up by the time before it.
pub(super) fn full_step_count(start_s: f64, end_s: f64) -> usize {
    if end_s - start_s < RECORD_STEP_S - TIME_TOLERANCE_S {
        return 0;
    }
    ((end_s - start_s + BETWEEN_FRAMES_S + TIME_TOLERANCE_S) / RECORD_STEP_S) as usize
}

fn nth_full_step(trajectory: &Trajectory, start_s: f64, end_s: f64, k: usize) -> Option<RecordStep> {
    let path = trajectory.path_search();
    let at_s = |k: usize| start_s + k as f64 * RECORD_STEP_S;
    let (from_s, to_s) = match at_s(k + 1) > end_s + TIME_TOLERANCE_S {
        true => (end_s - RECORD_STEP_S, end_s),
        false => (at_s(k), at_s(k + 1)),
    };
    Some(RecordStep::new(from_s, &path.at(from_s)?, to_s, &path.at(to_s)?))
}

/// Whether a step has a direction, or could have: its length is below the gate by less than its standard deviation, and by
/// less than half.
fn may_move(trajectory: &Trajectory, step: &RecordStep, gate_m: f64) -> bool {
    let length_m = step.horizontal_m();
    let could = || length_m >= 0.5 * gate_m && length_m + step_length_variance(trajectory, step).sqrt() >= gate_m;
    step.moves(gate_m) || (step.traveled_m > 0.0 && could())
}

/// Variance of the direction of a step over the ground, rad²: the error across the movement by its length.
pub(super) fn step_angle_variance(trajectory: &Trajectory, step: &RecordStep) -> f64 {
    let length_m = step.horizontal_m();
    let across = Vector3::new(-step.displacement_in_world.y, step.displacement_in_world.x, 0.0) / length_m;
    step_variance(trajectory, step, &across) / (length_m * length_m)
}

/// Variance of the length of a step over the ground, m².
pub(super) fn step_length_variance(trajectory: &Trajectory, step: &RecordStep) -> f64 {
    let along = Vector3::new(step.displacement_in_world.x, step.displacement_in_world.y, 0.0);
    let along = along.try_normalize(1e-12).unwrap_or_else(Vector3::x);
    step_variance(trajectory, step, &along)
}

/// Variance of a step's displacement along a direction, m². As with distances, its error is the smaller of that of its ends
/// and that of the velocity.
fn step_variance(trajectory: &Trajectory, step: &RecordStep, direction: &Vector3<f64>) -> f64 {
    let (Some(start), Some(end)) = (trajectory.at(step.start_s), trajectory.at(step.end_s)) else {
        return f64::INFINITY;
    };
    let ends =
        variance_along(&start.position_covariance, direction) + variance_along(&end.position_covariance, direction);
    let velocity_sigma_mps = 0.5
        * (variance_along(&start.velocity_covariance, direction).sqrt()
            + variance_along(&end.velocity_covariance, direction).sqrt());
    ends.min((velocity_sigma_mps * (step.end_s - step.start_s)).powi(2))
}

fn variance_along(covariance: &Matrix3<f64>, direction: &Vector3<f64>) -> f64 {
    direction.dot(&(covariance * direction)).max(0.0)
}

/// The variance in all directions together, which bounds that in any one: the trace.
fn total_variance(covariance: &Matrix3<f64>) -> f64 {
    covariance.trace().max(0.0)
}
