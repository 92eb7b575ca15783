//! Two objects or more against each other: TDC, TSC, MDC.

use super::single::reason;
use super::words::objects;
use super::{Asking, Finding, TOGETHER_SHARE, unreliable_reason};
use crate::kinematics::{
    DirectionComparison, MeasureError, Measured, STANDSTILL_GATE_M, SURE_PROBABILITY, compare_direction, normal,
    traveled_distance_m, traveling_speed_mps,
};
use crate::motion::StoredTrajectory;
use crate::stkit::{Answer, AnswerValue, Subject, Task};

/// The objects to compare, each with the time over which it is measured.
struct Contest<'a> {
    objects: Vec<(&'a StoredTrajectory, (f64, f64))>,
    /// All were named by id.
    named: bool,
}

impl Contest<'_> {
    fn ids(&self) -> Vec<u64> {
        self.objects.iter().map(|(stored, _)| stored.track_id).collect()
    }
}

/// Gathers the objects; the error is an answer that says why there is none.
fn gather<'a>(asking: &Asking<'a>) -> Result<Contest<'a>, Box<Answer>> {
    let mut found: Vec<&StoredTrajectory> = Vec::new();
    for subject in &asking.question.subjects {
        let objects = asking.resolve(subject).map_err(|reason| asking.refuse(&[], reason))?;
        if objects.is_empty() {
            return Err(Box::new(asking.refuse(&[], asking.nobody(subject))));
        }
        for stored in objects {
            if !found.iter().any(|known| known.track_id == stored.track_id) {
                found.push(stored);
            }
        }
    }
    let ids: Vec<u64> = found.iter().map(|stored| stored.track_id).collect();
    if found.len() < 2 {
        let reason = match ids[..] {
            [] => "it names no objects".to_owned(),
            _ => format!("only {} was in view, and a comparison needs two", objects(&ids)),
        };
        return Err(Box::new(asking.refuse(&ids, reason)));
    }
    let mut contestants = Vec::with_capacity(found.len());
    for stored in found {
        match asking.covered(&stored.settled) {
            Ok(covered) => contestants.push((stored, covered)),
            Err(why) => {
                let reason = format!("object {} {why}", stored.track_id);
                return Err(Box::new(asking.refuse(&ids, reason)));
            }
        }
    }
    let subjects = &asking.question.subjects;
    let named = subjects.iter().all(|subject| matches!(subject, Subject::Id(_)));
    let mut contest = Contest {
        objects: contestants,
        named,
    };
    if named {
        share_time(asking, &mut contest)?;
    }
    Ok(contest)
}

/// Cuts the time of every object to the time that all share.
fn share_time(asking: &Asking<'_>, contest: &mut Contest<'_>) -> Result<(), Box<Answer>> {
    let spans = contest.objects.iter().map(|(_, covered)| *covered);
    let shared = spans.fold((f64::MIN, f64::MAX), |all, one| (all.0.max(one.0), all.1.min(one.1)));
    if shared.1 - shared.0 < asking.asked.least_s() {
        let ids = contest.ids();
        let reason = format!("{} were not in view together for long enough", objects(&ids));
        return Err(Box::new(asking.refuse(&ids, reason)));
    }
    for (_, covered) in &mut contest.objects {
        *covered = shared;
    }
    Ok(())
}

fn whole_time(contest: &Contest<'_>) -> (f64, f64) {
    let spans = contest.objects.iter().map(|(_, covered)| *covered);
    spans.fold((f64::MAX, f64::MIN), |all, one| (all.0.min(one.0), all.1.max(one.1)))
}

/// TDC and TSC: which object has the greatest (or, inverted, the least) distance or speed.
pub(super) fn more_or_less(asking: &Asking<'_>, task: Task) -> Answer {
    match try_more_or_less(asking, task) {
        Ok(answer) => answer,
        Err(refused) => *refused,
    }
}

fn try_more_or_less(asking: &Asking<'_>, task: Task) -> Result<Answer, Box<Answer>> {
    let contest = gather(asking)?;
    let ids = contest.ids();
    let distance = task == Task::TraveledDistanceComparison;
    let mut measured: Vec<(&StoredTrajectory, Measured)> = Vec::with_capacity(contest.objects.len());
    for (stored, (start_s, end_s)) in &contest.objects {
        let value = if distance {
            traveled_distance_m(&stored.settled, *start_s, *end_s)
        } else {
            traveling_speed_mps(&stored.settled, *start_s, *end_s)
        };
        let who = format!("object {}", stored.track_id);
        measured.push((
            *stored,
            value.map_err(|error| asking.refuse(&ids, reason(&who, error)))?,
        ));
    }
    let sign = if asking.question.inverted { -1.0 } else { 1.0 };
    measured.sort_by(|a, b| (sign * b.1.value).total_cmp(&(sign * a.1.value)));
    let [(best, first), (next, second), ..] = &measured[..] else {
        return Err(Box::new(
            asking.refuse(&ids, "a comparison needs two objects".to_owned()),
        ));
    };
    if first.value == second.value {
        let equal = if first.value == 0.0 { "stand still" } else { "are equal" };
        let reason = format!("{} {equal}", objects(&[best.track_id, next.track_id]));
        return Err(Box::new(asking.refuse(&ids, reason)));
    }
    let probability: f64 = measured[1..]
        .iter()
        .map(|(_, other)| ahead(sign, first, other))
        .product();
    let doubtful = measured.iter().find(|(_, value)| !value.reliable);
    let (start_s, end_s) = whole_time(&contest);
    let mut text = sentence(asking, distance, &measured);
    text.push_str(&shortfalls(asking, &contest));
    Ok(asking.found(Finding {
        subjects: ids,
        start_s,
        end_s,
        text,
        value: AnswerValue::ObjectId(best.track_id),
        interval: None,
        confidence: probability,
        ambiguous: probability < SURE_PROBABILITY,
        unreliable: doubtful.map(|(stored, _)| format!("object {}: {}", stored.track_id, unreliable_reason(stored))),
    }))
}

/// Probability that `first` is ahead of `other` in the sense of `sign`, for normal and independent errors.
fn ahead(sign: f64, first: &Measured, other: &Measured) -> f64 {
    let lead = sign * (first.value - other.value);
    let sigma = first.sigma.hypot(other.sigma);
    if sigma > 0.0 {
        normal::cumulative(lead / sigma)
    } else {
        1.0
    }
}

fn sentence(asking: &Asking<'_>, distance: bool, measured: &[(&StoredTrajectory, Measured)]) -> String {
    let amount = |value: &Measured| {
        if distance {
            format!("{:.2} meters", value.value)
        } else {
            format!("{:.2} km/h", value.value * 3.6)
        }
    };
    let inverted = asking.question.inverted;
    match measured {
        [(best, first), (other, second)] => {
            let verb = match (distance, inverted) {
                (true, false) => "travels a greater distance",
                (true, true) => "travels a shorter distance",
                (false, false) => "moves faster",
                (false, true) => "moves slower",
            };
            let (a, b) = (amount(first), amount(second));
            format!(
                "object {} {verb} ({a}) than object {} ({b}).",
                best.track_id, other.track_id
            )
        }
        [(best, first), ..] => {
            let verb = match (distance, inverted) {
                (true, false) => "travels the greatest distance",
                (true, true) => "travels the shortest distance",
                (false, false) => "moves fastest",
                (false, true) => "moves slowest",
            };
            let mut ids: Vec<u64> = measured.iter().map(|(stored, _)| stored.track_id).collect();
            ids.sort_unstable();
            format!(
                "of {}, object {} {verb} ({}).",
                objects(&ids),
                best.track_id,
                amount(first)
            )
        }
        [] => String::new(),
    }
}

/// A sentence when an object was seen for less than the time asked for.
fn shortfalls(asking: &Asking<'_>, contest: &Contest<'_>) -> String {
    if contest.named {
        return contest
            .objects
            .first()
            .map(|(_, shared)| asking.shortfall("all together are", *shared))
            .unwrap_or_default();
    }
    let short = contest
        .objects
        .iter()
        .any(|(_, covered)| !asking.shortfall("", *covered).is_empty());
    if short {
        " Each is measured for as long as it was in view.".to_owned()
    } else {
        String::new()
    }
}

/// MDC: whether all objects move the same way (or, inverted, whether they do not).
pub(super) fn same_direction(asking: &Asking<'_>) -> Answer {
    match try_same_direction(asking) {
        Ok(answer) => answer,
        Err(refused) => *refused,
    }
}

fn try_same_direction(asking: &Asking<'_>) -> Result<Answer, Box<Answer>> {
    let mut contest = gather(asking)?;
    if !contest.named {
        keep_those_together(asking, &mut contest)?;
    }
    let ids = contest.ids();
    let [(first, span), others @ ..] = &contest.objects[..] else {
        return Err(Box::new(
            asking.refuse(&ids, "a comparison needs two objects".to_owned()),
        ));
    };
    let compare = |a: &StoredTrajectory, b: &StoredTrajectory| {
        compare_direction(&a.settled, &b.settled, span.0, span.1, STANDSTILL_GATE_M)
            .map_err(|error| Box::new(asking.refuse(&ids, pair_reason(a, b, *span, error))))
    };
    // Directions against the first object: all are the same when the two farthest apart are.
    let mut angles: Vec<(f64, &StoredTrajectory)> = vec![(0.0, first)];
    let mut reliable = true;
    let mut opposed: Option<DirectionComparison> = None;
    for (stored, _) in others {
        let comparison = compare(first, stored)?;
        reliable &= comparison.reliable;
        if !comparison.same && opposed.is_none_or(|known| comparison.angle_rad.abs() > known.angle_rad.abs()) {
            opposed = Some(comparison);
        }
        angles.push((comparison.angle_rad, stored));
    }
    angles.sort_by(|a, b| a.0.total_cmp(&b.0));
    let decisive = match (opposed, &angles[..]) {
        (Some(opposed), _) => opposed,
        (None, [(_, leftmost), .., (_, rightmost)]) => compare(leftmost, rightmost)?,
        _ => {
            return Err(Box::new(
                asking.refuse(&ids, "a comparison needs two objects".to_owned()),
            ));
        }
    };
    let yes = decisive.same != asking.question.inverted;
    let verb = match (decisive.same, ids.len()) {
        (true, _) => "move in the same direction",
        (false, 2) => "move in different directions",
        (false, _) => "do not all move in the same direction",
    };
    let yes_or_no = if yes { "yes" } else { "no" };
    let mut text = format!("{yes_or_no}, {} {verb}.", objects(&ids));
    text.push_str(&asking.shortfall("all together are", *span));
    let doubtful = contest.objects.iter().map(|(stored, _)| *stored);
    let mut doubtful = doubtful.filter(|stored| !stored.settled.is_reliable(span.0, span.1).unwrap_or(false));
    let doubtful = doubtful.next();
    Ok(asking.found(Finding {
        subjects: ids.clone(),
        start_s: span.0,
        end_s: span.1,
        text,
        value: AnswerValue::YesNo(yes),
        interval: None,
        confidence: decisive.probability,
        ambiguous: decisive.ambiguous,
        unreliable: match (reliable, doubtful) {
            (true, None) => None,
            (_, Some(stored)) => Some(format!("object {}: {}", stored.track_id, unreliable_reason(stored))),
            (false, None) => Some("a trajectory is not to be trusted".to_owned()),
        },
    }))
}

/// Of a group: those in view for most of the time that move, over the time they share.
fn keep_those_together(asking: &Asking<'_>, contest: &mut Contest<'_>) -> Result<(), Box<Answer>> {
    let least_s = TOGETHER_SHARE * asking.asked.length_s() - 1e-6;
    contest.objects.retain(|(_, covered)| covered.1 - covered.0 >= least_s);
    if contest.objects.len() >= 2 {
        share_time(asking, contest)?;
        contest.objects.retain(|(stored, span)| {
            let itself = compare_direction(&stored.settled, &stored.settled, span.0, span.1, STANDSTILL_GATE_M);
            !matches!(itself, Err(MeasureError::NeverMoves { .. }))
        });
    }
    if contest.objects.len() < 2 {
        let reason = format!(
            "fewer than two moving objects were in view together for most of {:.2} to {:.2} seconds",
            asking.asked.start_s, asking.asked.end_s
        );
        return Err(Box::new(asking.refuse(&contest.ids(), reason)));
    }
    Ok(())
}

/// Names the one of two objects that has no direction.
fn pair_reason(a: &StoredTrajectory, b: &StoredTrajectory, span: (f64, f64), error: MeasureError) -> String {
    let standing = [a, b]
        .into_iter()
        .find(|stored| compare_direction(&stored.settled, &stored.settled, span.0, span.1, STANDSTILL_GATE_M).is_err());
    match standing {
        Some(stored) => reason(&format!("object {}", stored.track_id), error),
        None => reason(&objects(&[a.track_id, b.track_id]), error),
    }
}
