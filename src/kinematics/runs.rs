//! When an object moves toward a clock hour (STKit's DT): runs of steps, and the time to tell when directions are uncertain.

use nalgebra::Vector3;

use super::clock::{ClockHour, clockwise_angle_rad};
use super::measures::{
    HOUR_RAD, MeasureError, check_window, full_step_count, full_steps, step_angle_variance, step_length_variance,
};
use super::normal;
use super::record::RECORD_STEP_S;
use super::trajectory::Trajectory;

/// Over how many steps of record errors of the direction go together: the smoother's memory.
const CORRELATED_STEPS: f64 = 2.0;
/// Steps up to which all times are weighed; of longer windows only the longest run is told.
const MAX_WEIGHED_STEPS: usize = 60;
/// Times less likely than the likeliest by this factor do not count.
const NEGLIGIBLE: f64 = 1e-3;
/// A step that is less likely toward the hour than this begins and ends no time.
const LEAST_PROBABILITY: f64 = 0.02;

/// A time throughout which every step of record moves toward one clock hour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DirectionRun {
    /// The hour.
    pub hour: ClockHour,
    /// Start of the first step, seconds of stream time.
    pub start_s: f64,
    /// End of the last step, seconds of stream time.
    pub end_s: f64,
    /// Whether a step of the run lies within 5° of the edge between two hours.
    pub ambiguous: bool,
}

/// All runs of consecutive full steps of record that share a clock hour, in order of time. A standing step has no
/// direction: it ends a run and starts none.
pub fn direction_runs(
    trajectory: &Trajectory,
    start_s: f64,
    end_s: f64,
    gate_m: f64,
) -> Result<Vec<DirectionRun>, MeasureError> {
    check_window(trajectory, start_s, end_s)?;
    if full_step_count(start_s, end_s) == 0 {
        return Err(MeasureError::TooShort {
            length_s: end_s - start_s,
        });
    }
    let mut runs: Vec<DirectionRun> = Vec::new();
    let mut reference: Option<Vector3<f64>> = None;
    let mut unbroken = false;
    for step in full_steps(trajectory, start_s, end_s) {
        if !step.moves(gate_m) {
            unbroken = false;
            continue;
        }
        let reference = reference.get_or_insert(step.displacement_in_world);
        let Some(angle_rad) = clockwise_angle_rad(reference, &step.displacement_in_world) else {
            unbroken = false;
            continue;
        };
        let hour = ClockHour::from_angle_rad(angle_rad);
        let ambiguous = ClockHour::ambiguous(angle_rad);
        match runs.last_mut() {
            Some(run) if unbroken && run.hour == hour => {
                run.end_s = step.end_s;
                run.ambiguous |= ambiguous;
            }
            _ => runs.push(DirectionRun {
                hour,
                start_s: step.start_s,
                end_s: step.end_s,
                ambiguous,
            }),
        }
        unbroken = true;
    }
    if runs.is_empty() {
        return Err(MeasureError::NeverMoves { gate_m });
    }
    Ok(runs)
}

/// When the object moves toward `hour`: start and end, seconds of stream time.
///
/// Of a trajectory without errors it is the longest run of steps in that hour (the first of equally long ones). Otherwise
/// each time that could be that run has a probability: that all its steps go toward the hour, and those beside it do not.
/// Told is the time whose expected overlap with it (intersection over union) is greatest, the longer runs counting
/// for more.
pub fn direction_times(
    trajectory: &Trajectory,
    start_s: f64,
    end_s: f64,
    hour: ClockHour,
    gate_m: f64,
) -> Result<(f64, f64), MeasureError> {
    check_window(trajectory, start_s, end_s)?;
    let steps = full_step_count(start_s, end_s);
    if steps == 0 {
        return Err(MeasureError::TooShort {
            length_s: end_s - start_s,
        });
    }
    let likely = step_probabilities(trajectory, start_s, end_s, hour, gate_m)?;
    let told = if steps <= MAX_WEIGHED_STEPS {
        best_overlap(&likely)
    } else {
        longest_run(&likely)
    };
    let (first, last) = told.ok_or(MeasureError::NeverInDirection { hour })?;
    let at_s = |step: usize| start_s + step as f64 * RECORD_STEP_S;
    Ok((at_s(first), at_s(last).min(end_s)))
}

/// Probability of each full step that it moves, and toward `hour`.
fn step_probabilities(
    trajectory: &Trajectory,
    start_s: f64,
    end_s: f64,
    hour: ClockHour,
    gate_m: f64,
) -> Result<Vec<f64>, MeasureError> {
    let mut reference: Option<(Vector3<f64>, f64)> = None;
    let likely: Vec<f64> = full_steps(trajectory, start_s, end_s)
        .map(|step| {
            if step.traveled_m <= 0.0 {
                return 0.0;
            }
            let length_sigma_m = step_length_variance(trajectory, &step).sqrt();
            let over_m = step.horizontal_m() - gate_m;
            let moves = match length_sigma_m > 0.0 {
                true => normal::cumulative(over_m / length_sigma_m),
                false => f64::from(u8::from(over_m >= 0.0)),
            };
            let (reference, variance) = match reference {
                Some((reference, variance)) => (reference, variance + step_angle_variance(trajectory, &step)),
                // The first moving step is the reference, and goes toward 12 by definition.
                None if step.moves(gate_m) => {
                    reference = Some((step.displacement_in_world, step_angle_variance(trajectory, &step)));
                    (step.displacement_in_world, 0.0)
                }
                None => return 0.0,
            };
            clockwise_angle_rad(&reference, &step.displacement_in_world).map_or(0.0, |angle_rad| {
                let off = (angle_rad - hour.angle_rad())
                    .sin()
                    .atan2((angle_rad - hour.angle_rad()).cos());
                moves * normal::angle_within(off, 0.5 * HOUR_RAD, variance.sqrt())
            })
        })
        .collect();
    if reference.is_none() {
        return Err(MeasureError::NeverMoves { gate_m });
    }
    Ok(likely)
}

/// First step, and the one after the last, of the longest run of likely steps.
fn longest_run(likely: &[f64]) -> Option<(usize, usize)> {
    let mut longest: Option<(usize, usize)> = None;
    let mut from = 0;
    for (at, probability) in likely.iter().chain(std::iter::once(&0.0)).enumerate() {
        if *probability >= 0.5 {
            continue;
        }
        if at > from && longest.is_none_or(|(first, last)| at - from > last - first) {
            longest = Some((from, at));
        }
        from = at + 1;
    }
    longest
}

/// First step, and the one after the last, of the time whose expected overlap with the run is greatest.
fn best_overlap(likely: &[f64]) -> Option<(usize, usize)> {
    let count = likely.len();
    // Logarithms of "all of these are" and "this one is not"; errors that go together count as one.
    let log = |probability: f64| probability.max(1e-12).ln() / CORRELATED_STEPS;
    let mut sums = vec![0.0; count + 1];
    for (at, probability) in likely.iter().enumerate() {
        sums[at + 1] = sums[at] + log(*probability);
    }
    let outside = |at: Option<usize>| at.and_then(|at| likely.get(at)).map_or(0.0, |beside| log(1.0 - beside));
    let ends = |at: usize| likely[at] > LEAST_PROBABILITY;
    let mut runs: Vec<(usize, usize, f64)> = Vec::new();
    for first in (0..count).filter(|at| ends(*at)) {
        for last in (first..count).filter(|at| ends(*at)) {
            let all = sums[last + 1] - sums[first];
            let log_weight = all + outside(first.checked_sub(1)) + outside(Some(last + 1));
            let length = (last + 1 - first) as f64;
            runs.push((first, last + 1, log_weight + length.ln()));
        }
    }
    let most = runs.iter().map(|run| run.2).fold(f64::NEG_INFINITY, f64::max);
    runs.retain(|run| run.2 > most + NEGLIGIBLE.ln());
    for run in &mut runs {
        run.2 = (run.2 - most).exp();
    }
    let overlap = |a: &(usize, usize, f64), b: &(usize, usize, f64)| {
        let both = a.1.min(b.1).saturating_sub(a.0.max(b.0));
        let either = (a.1 - a.0) + (b.1 - b.0) - both;
        both as f64 / either as f64
    };
    let mut best: Option<(usize, usize, f64)> = None;
    for told in &runs {
        let expected: f64 = runs.iter().map(|run| run.2 * overlap(told, run)).sum();
        if best.is_none_or(|best| expected > best.2 + 1e-9) {
            best = Some((told.0, told.1, expected));
        }
    }
    best.map(|(first, last, _)| (first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certain_steps_give_the_longest_run() {
        let steps = |text: &str| -> Vec<f64> {
            let certain = |c: char| if c == 'x' { 1.0 } else { 0.0 };
            text.chars().map(certain).collect()
        };
        for (text, run) in [
            ("..xx.xxx.", Some((5, 8))),
            ("xxx.xxx", Some((0, 3))),
            ("xxxx.x", Some((0, 4))),
            ("x", Some((0, 1))),
            ("...", None),
        ] {
            assert_eq!(best_overlap(&steps(text)), run, "{text}");
            assert_eq!(longest_run(&steps(text)), run, "{text}");
        }
    }

    #[test]
    fn a_doubtful_step_does_not_break_a_run() {
        let likely = [0.05, 0.9, 0.9, 0.45, 0.9, 0.95, 0.1, 0.0];
        assert_eq!(best_overlap(&likely), Some((1, 6)));
        assert_eq!(longest_run(&likely), Some((1, 3)));
        // What is likely nowhere is still told where it is likeliest.
        assert_eq!(best_overlap(&[0.0, 0.1, 0.3, 0.3, 0.05]), Some((2, 4)));
    }
}
