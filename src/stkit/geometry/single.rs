//! Distance, speed and direction of one object at a time: TD, TS, MD, DT.

use super::{Asking, Finding, unreliable_reason};
use crate::kinematics::{
    ClockHour, MeasureError, Measured, RECORD_STEP_S, STANDSTILL_GATE_M, direction_runs, direction_times,
    movement_direction, normal, traveled_distance_m, traveling_speed_mps,
};
use crate::motion::StoredTrajectory;
use crate::stkit::{Answer, AnswerValue, Interval, Task};

const KMH_PER_MPS: f64 = 3.6;

/// One answer for each object asked about.
pub(super) fn answers(asking: &Asking<'_>, task: Task) -> Vec<Answer> {
    let mut answers: Vec<Answer> = Vec::new();
    for subject in &asking.question.subjects {
        match asking.resolve(subject) {
            Ok(objects) if objects.is_empty() => answers.push(asking.refuse(&[], asking.nobody(subject))),
            Ok(objects) => {
                for stored in objects {
                    if !answers.iter().any(|answer| answer.subjects == [stored.track_id]) {
                        answers.push(answer(asking, task, stored));
                    }
                }
            }
            Err(reason) => answers.push(asking.refuse(&[], reason)),
        }
    }
    if answers.is_empty() {
        answers.push(asking.refuse(&[], "it names no object".to_owned()));
    }
    answers
}

fn answer(asking: &Asking<'_>, task: Task, stored: &StoredTrajectory) -> Answer {
    let who = format!("object {}", stored.track_id);
    let covered = match asking.covered(&stored.settled) {
        Ok(covered) => covered,
        Err(why) => return asking.refuse(&[stored.track_id], format!("{who} {why}")),
    };
    let found = match task {
        Task::TravelingSpeed => speed(stored, &who, covered),
        Task::MovementDirection => direction(asking, stored, &who, covered),
        Task::DirectionTimestamp => {
            let Some(hour) = asking.question.clock_hour.and_then(ClockHour::new) else {
                return asking.refuse(&[stored.track_id], "it names no clock hour".to_owned());
            };
            times(stored, hour, &who, covered)
        }
        _ => distance(stored, &who, covered),
    };
    match found {
        Ok(mut finding) => {
            finding.text.push_str(&asking.shortfall(&format!("{who} is"), covered));
            asking.found(finding)
        }
        Err(error) => {
            let mut answer = asking.refuse(&[stored.track_id], reason(&who, error));
            (answer.start_s, answer.end_s) = covered;
            answer
        }
    }
}

/// The clause that says why there is no value.
pub(super) fn reason(who: &str, error: MeasureError) -> String {
    match error {
        MeasureError::NeverMoves { .. } => format!("{who} stands still, so it has no direction"),
        MeasureError::StandsAtEnd { last_moved_s } => {
            format!(
                "{who} stands still at the end (it last moved at {last_moved_s:.2} seconds), so it has no direction"
            )
        }
        MeasureError::NeverInDirection { hour } => format!("{who} never moves in the {hour} o'clock direction"),
        other => format!("of {who}: {other}"),
    }
}

fn distance(stored: &StoredTrajectory, who: &str, covered: (f64, f64)) -> Result<Finding, MeasureError> {
    let measured = traveled_distance_m(&stored.settled, covered.0, covered.1)?;
    let text = format!("the total distance traveled by {who} is {:.2} meters.", measured.value);
    let value = AnswerValue::DistanceM(measured.value);
    Ok(length(stored, covered, measured, STANDSTILL_GATE_M, value, text))
}

fn speed(stored: &StoredTrajectory, who: &str, covered: (f64, f64)) -> Result<Finding, MeasureError> {
    let measured = traveling_speed_mps(&stored.settled, covered.0, covered.1)?;
    let text = format!(
        "the average speed of {who} is {:.2} km/h.",
        measured.value * KMH_PER_MPS
    );
    let value = AnswerValue::SpeedMps(measured.value);
    let gate_mps = STANDSTILL_GATE_M / RECORD_STEP_S;
    Ok(length(stored, covered, measured, gate_mps, value, text))
}

fn length(
    stored: &StoredTrajectory,
    covered: (f64, f64),
    measured: Measured,
    gate: f64,
    value: AnswerValue,
    text: String,
) -> Finding {
    let (low, high) = measured.interval_95();
    Finding {
        subjects: vec![stored.track_id],
        start_s: covered.0,
        end_s: covered.1,
        text,
        value,
        interval: Some(Interval { low, high }),
        confidence: within_quarter(measured, gate),
        ambiguous: false,
        unreliable: (!measured.reliable).then(|| unreliable_reason(stored)),
    }
}

/// Probability that the value is within 25 % of the truth y (0.75 y ≤ value ≤ 1.25 y, so y lies between value/1.25 and
/// value/0.75), or within `gate` of it.
fn within_quarter(measured: Measured, gate: f64) -> f64 {
    let below = gate.max(measured.value * (1.0 - 1.0 / 1.25));
    let above = gate.max(measured.value * (1.0 / 0.75 - 1.0));
    if measured.sigma <= 0.0 {
        return 1.0;
    }
    let upper = normal::cumulative(above / measured.sigma);
    // The truth cannot be negative: what lies below 0 counts as 0.
    let lower = if below >= measured.value {
        0.0
    } else {
        normal::cumulative(-below / measured.sigma)
    };
    upper - lower
}

fn direction(
    asking: &Asking<'_>,
    stored: &StoredTrajectory,
    who: &str,
    covered: (f64, f64),
) -> Result<Finding, MeasureError> {
    let direction = movement_direction(&stored.settled, covered.0, covered.1, STANDSTILL_GATE_M)?;
    let hour = direction.hour.get();
    let yes_or_no = match asking.question.clock_hour {
        Some(asked) if asked == hour => "yes, ",
        Some(_) => "no, ",
        None => "",
    };
    Ok(Finding {
        subjects: vec![stored.track_id],
        start_s: covered.0,
        end_s: covered.1,
        text: format!(
            "{yes_or_no}{who} moves in the direction of {hour} o'clock at {:.2} seconds.",
            covered.1
        ),
        value: AnswerValue::ClockHour(hour),
        interval: None,
        confidence: direction.hour_probability,
        ambiguous: direction.ambiguous,
        unreliable: (!direction.reliable).then(|| unreliable_reason(stored)),
    })
}

fn times(stored: &StoredTrajectory, hour: ClockHour, who: &str, covered: (f64, f64)) -> Result<Finding, MeasureError> {
    let (start_s, end_s) = covered;
    let found = direction_times(&stored.settled, start_s, end_s, hour, STANDSTILL_GATE_M)?;
    let runs = direction_runs(&stored.settled, start_s, end_s, STANDSTILL_GATE_M)?;
    let same_hour = runs.iter().filter(|run| run.hour == hour).count();
    let ambiguous = runs.iter().any(|run| run.start_s == found.0 && run.ambiguous);
    // The run's first and last step decide how well it overlaps the truth: the mean of the probabilities of their hours.
    let at_edge = |edge_s: f64| {
        movement_direction(&stored.settled, start_s, edge_s, STANDSTILL_GATE_M).map_or(0.0, |d| d.hour_probability)
    };
    let confidence = 0.5 * (at_edge((found.0 + RECORD_STEP_S).min(found.1)) + at_edge(found.1));
    let more = match same_hour {
        0 | 1 => String::new(),
        count => format!(" It is the longest of {count} such times."),
    };
    let reliable = stored.settled.is_reliable(start_s, end_s).unwrap_or(false);
    Ok(Finding {
        subjects: vec![stored.track_id],
        start_s,
        end_s,
        text: format!(
            "{who} moves in the {hour} o'clock direction from {:.2} to {:.2} seconds.{more}",
            found.0, found.1
        ),
        value: AnswerValue::TimeRangeS(found.0, found.1),
        interval: None,
        confidence,
        ambiguous,
        unreliable: (!reliable).then(|| unreliable_reason(stored)),
    })
}
