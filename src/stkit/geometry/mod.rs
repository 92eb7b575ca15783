//! Answers from the trajectory store: the seven measures over settled trajectories, in words and typed.
//!
//! # What time an answer speaks of
//!
//! The time asked for is cut to what is known of the object. An answer gives the time it really speaks of in
//! [`Answer::start_s`] and [`Answer::end_s`], and says in words when that is less than asked. There is no answer when
//!
//! - less than [`LEAST_COVERED_S`] is known (or less than the time asked for, when that is shorter), or
//! - the question names its time and less than [`LEAST_COVERED_SHARE`] of it is known: a number for a small part of the
//!   time would be taken for the whole.
//!
//! Objects compared by id are compared over the time they share; of a group each is measured as far as it was seen (for
//! directions: those seen together for most of the time, over the time they share).
//!
//! # Confidence
//!
//! The probability, given the covariances, that the answer would be scored as right: for a distance or speed that it lies
//! within 25 % of the truth (or within the standstill gate of it, which matters for objects that hardly move), for a
//! direction that the hour is right, for a comparison that the order is.

mod compare;
mod single;
mod words;

use crate::kinematics::{Reliability, Trajectory};
use crate::motion::{StoredTrajectory, TrajectoryStore};
use crate::stkit::class_words::class_matches;
use crate::stkit::{Answer, AnswerSource, AnswerValue, Interval, Question, Span, Subject, Task, Timings};
use words::{capitalized, seconds};

/// The least time that an answer speaks of, seconds: two steps of the trajectory of record.
pub const LEAST_COVERED_S: f64 = 1.0;

/// The least share of a named time that must be known for an answer.
pub const LEAST_COVERED_SHARE: f64 = 0.5;

/// The share of the time that a group's objects must be seen to be asked whether they all move the same way.
const TOGETHER_SHARE: f64 = 0.75;

/// A shortfall of coverage up to one step of record is not worth words.
const UNSPOKEN_S: f64 = 0.5;

/// Answers `question` from settled trajectories.
///
/// `window` is the time that [`Span::Window`] means, seconds of stream time, and its end is "now" for the others: it
/// should be no later than trajectories are settled. Questions about one object give one answer for each object asked
/// about (for a class or any: each that was in view), comparisons one in all. There is always at least one answer; one
/// that cannot be given has no value, and a reason.
pub fn answer_from_geometry(
    question_id: &str,
    question: &Question,
    store: &TrajectoryStore,
    window: (f64, f64),
) -> Vec<Answer> {
    let asked = match Asked::new(question, window) {
        Ok(asked) => asked,
        Err(reason) => return vec![Answer::without_value(question_id, question, window, reason)],
    };
    let asking = Asking {
        question_id,
        question,
        store,
        asked,
    };
    let Some(task) = question.task else {
        return vec![asking.refuse(&[], "it is none of the seven tasks".to_owned())];
    };
    match task {
        Task::TraveledDistance | Task::TravelingSpeed | Task::MovementDirection | Task::DirectionTimestamp => {
            single::answers(&asking, task)
        }
        Task::TraveledDistanceComparison | Task::TravelingSpeedComparison => vec![compare::more_or_less(&asking, task)],
        Task::MovementDirectionComparison => vec![compare::same_direction(&asking)],
    }
}

/// The time asked for, and whether the question names it.
#[derive(Clone, Copy)]
struct Asked {
    start_s: f64,
    end_s: f64,
    named: bool,
}

impl Asked {
    fn new(question: &Question, window: (f64, f64)) -> Result<Self, String> {
        let now_s = window.1;
        let (start_s, end_s, named) = match question.span {
            Span::Window => (window.0, window.1, false),
            // Streams start at 0: "the last minute" of a stream that is younger is all of it.
            Span::LastSeconds(length_s) => ((now_s - length_s).max(0.0), now_s, true),
            Span::Between(start_s, end_s) => (start_s, end_s, true),
            Span::Since(start_s) => (start_s, now_s, true),
        };
        if !(start_s.is_finite() && end_s.is_finite()) {
            return Err("the time asked for is not finite".to_owned());
        }
        if start_s < end_s && start_s < now_s {
            return Ok(Self { start_s, end_s, named });
        }
        if start_s >= now_s {
            return Err(format!(
                "it asks about the time from {} on, and trajectories are settled until {}",
                seconds(start_s),
                seconds(now_s)
            ));
        }
        Err(format!("{} to {} is no time span", seconds(start_s), seconds(end_s)))
    }

    fn length_s(&self) -> f64 {
        self.end_s - self.start_s
    }

    /// The least time that must be known.
    fn least_s(&self) -> f64 {
        let share = if self.named {
            LEAST_COVERED_SHARE * self.length_s()
        } else {
            0.0
        };
        // Rounding of times in nanoseconds must not decide.
        share.max(LEAST_COVERED_S.min(self.length_s())) - 1e-6
    }
}

/// A question being answered.
struct Asking<'a> {
    question_id: &'a str,
    question: &'a Question,
    store: &'a TrajectoryStore,
    asked: Asked,
}

/// What a task found, before it is put into an [`Answer`].
struct Finding {
    subjects: Vec<u64>,
    start_s: f64,
    end_s: f64,
    text: String,
    value: AnswerValue,
    interval: Option<Interval>,
    confidence: f64,
    ambiguous: bool,
    /// `None` when reliable.
    unreliable: Option<String>,
}

impl<'a> Asking<'a> {
    fn refuse(&self, subjects: &[u64], reason: String) -> Answer {
        let window = (self.asked.start_s, self.asked.end_s);
        Answer {
            subjects: subjects.to_vec(),
            ..Answer::without_value(self.question_id, self.question, window, reason)
        }
    }

    fn found(&self, finding: Finding) -> Answer {
        Answer {
            question_id: self.question_id.to_owned(),
            question: self.question.clone(),
            subjects: finding.subjects,
            start_s: finding.start_s,
            end_s: finding.end_s,
            text: capitalized(&finding.text),
            value: Some(finding.value),
            interval: finding.interval,
            source: AnswerSource::Geometry,
            confidence: finding.confidence.clamp(0.0, 1.0),
            reliable: finding.unreliable.is_none(),
            reason: finding.unreliable,
            ambiguous: finding.ambiguous,
            geometry: None,
            timings: Timings::default(),
        }
    }

    /// The objects that one subject means: by id one (or why not), by class or any all that were seen long enough.
    fn resolve(&self, subject: &Subject) -> Result<Vec<&'a StoredTrajectory>, String> {
        match subject {
            Subject::Id(id) => match self.store.get(*id) {
                Some(stored) => Ok(vec![stored]),
                None => Err(format!(
                    "object {id} was not seen in the last {} seconds that are kept",
                    self.store.history_s()
                )),
            },
            Subject::Marked(_) => Err(format!(
                "{subject} cannot be told here, where objects are marked by their ids"
            )),
            Subject::Class(class) => Ok(self.in_view(|stored| class_matches(class, stored.class.as_str()))),
            Subject::Any => Ok(self.in_view(|_| true)),
        }
    }

    fn in_view(&self, wanted: impl Fn(&StoredTrajectory) -> bool) -> Vec<&'a StoredTrajectory> {
        self.store
            .iter()
            .filter(|stored| wanted(stored) && self.covered(&stored.settled).is_ok())
            .collect()
    }

    /// Why a class or any found nobody.
    fn nobody(&self, subject: &Subject) -> String {
        let class = match subject {
            Subject::Class(class) => class.as_str(),
            _ => "object",
        };
        format!(
            "no {class} was in view for long enough between {:.2} and {:.2} seconds",
            self.asked.start_s, self.asked.end_s
        )
    }

    /// The part of the time asked for that the trajectory covers, if that is enough; else why not, as a clause without
    /// subject ("was in view only …").
    fn covered(&self, trajectory: &Trajectory) -> Result<(f64, f64), String> {
        let (Some(known_start_s), Some(known_end_s)) = (trajectory.start_s(), trajectory.end_s()) else {
            return Err("has no settled trajectory yet".to_owned());
        };
        let start_s = self.asked.start_s.max(known_start_s);
        let end_s = self.asked.end_s.min(known_end_s);
        if end_s - start_s >= self.asked.least_s() {
            return Ok((start_s, end_s));
        }
        Err(format!(
            "is known from {known_start_s:.2} to {known_end_s:.2} seconds, too little of {:.2} to {:.2} seconds",
            self.asked.start_s, self.asked.end_s
        ))
    }

    /// A sentence that says so when `covered` is less than asked for.
    fn shortfall(&self, who: &str, covered: (f64, f64)) -> String {
        let short = covered.0 > self.asked.start_s + UNSPOKEN_S || covered.1 < self.asked.end_s - UNSPOKEN_S;
        if !short {
            return String::new();
        }
        format!(
            " {} known only from {:.2} to {:.2} seconds.",
            capitalized(who),
            covered.0,
            covered.1
        )
    }
}

/// Why values from this object are not to be trusted, as a clause.
fn unreliable_reason(stored: &StoredTrajectory) -> String {
    match stored.reliability {
        Reliability::Unreliable(reason) => reason.as_str().to_owned(),
        Reliability::Reliable => "too much of the trajectory is not to be trusted".to_owned(),
    }
}
