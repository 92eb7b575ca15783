//! The protocol's scores, and the published ones to stand beside them.

use serde::Serialize;
use serde::ser::SerializeMap;

use super::extract::{Context, extract};
use crate::stkit::{Label, Record, Task, parse_question};

/// A distance or speed is right within this share of the truth.
const RIGHT_SHARE: f64 = 0.25;
/// A time is right with at least this intersection over union.
const RIGHT_IOU: f64 = 0.5;

/// Scores of one task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TaskScores {
    /// The task.
    pub task: Task,
    /// Questions.
    pub n: usize,
    /// Answers that could be read.
    pub parsed: usize,
    /// Right ones, percent of all questions; an answer that cannot be read is wrong.
    pub accuracy: f64,
    /// TD, TS, MD: mean absolute error of the answers that could be read, in metres, km/h or hours; `None` without any. DT:
    /// mean intersection over union of all questions.
    pub error: Option<f64>,
}

impl TaskScores {
    /// Name of the error in the JSON.
    pub fn error_name(&self) -> Option<&'static str> {
        match self.task {
            Task::TraveledDistance => Some("mae_m"),
            Task::TravelingSpeed => Some("mae_kmh"),
            Task::MovementDirection => Some("mae_hours"),
            Task::DirectionTimestamp => Some("mean_iou"),
            _ => None,
        }
    }
}

impl Serialize for TaskScores {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("n", &self.n)?;
        map.serialize_entry("accuracy", &self.accuracy)?;
        if let Some(name) = self.error_name() {
            map.serialize_entry(name, &self.error)?;
        }
        map.end()
    }
}

/// Scores of all tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// By task, those with questions.
    pub tasks: Vec<TaskScores>,
    /// Mean accuracy of the tasks, percent.
    pub average: Option<f64>,
    /// Share of the answers that could be read, 0 to 1.
    pub parse_rate: Option<f64>,
}

impl Serialize for Scores {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Tasks<'a>(&'a [TaskScores]);
        impl Serialize for Tasks<'_> {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(self.0.iter().map(|scores| (scores.task.code(), scores)))
            }
        }
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("tasks", &Tasks(&self.tasks))?;
        map.serialize_entry("average", &self.average)?;
        map.serialize_entry("parse_rate", &self.parse_rate)?;
        map.end()
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    n: usize,
    parsed: usize,
    right: usize,
    error: f64,
}

/// Counts answers against labels.
#[derive(Clone, Debug, Default)]
pub struct Scorer {
    counts: [Count; 7],
}

impl Scorer {
    /// Scores one answer; `None` is no answer at all.
    pub fn add(&mut self, record: &Record, answer: Option<&str>) -> Option<Label> {
        let colors = record.colors();
        let context = Context {
            task: record.task,
            colors: &colors,
            inverted: parse_question(record.question()).is_ok_and(|question| question.inverted),
            duration_s: record.duration_s(),
        };
        let found = answer.and_then(|text| extract(&context, text));
        let Some(count) = self.counts.get_mut(record.task as usize) else {
            return found;
        };
        count.n += 1;
        let Some(label) = &found else { return found };
        count.parsed += 1;
        let (right, error) = compare(&record.answer, label);
        count.right += usize::from(right);
        count.error += error;
        found
    }

    /// The scores so far.
    pub fn scores(&self) -> Scores {
        let tasks: Vec<TaskScores> = Task::ALL
            .into_iter()
            .zip(&self.counts)
            .filter(|(_, count)| count.n > 0)
            .map(|(task, count)| {
                let over = if task == Task::DirectionTimestamp {
                    count.n
                } else {
                    count.parsed
                };
                TaskScores {
                    task,
                    n: count.n,
                    parsed: count.parsed,
                    accuracy: 100.0 * count.right as f64 / count.n as f64,
                    error: (over > 0).then(|| count.error / over as f64),
                }
            })
            .collect();
        let n: usize = tasks.iter().map(|scores| scores.n).sum();
        let parsed: usize = tasks.iter().map(|scores| scores.parsed).sum();
        Scores {
            average: (!tasks.is_empty())
                .then(|| tasks.iter().map(|scores| scores.accuracy).sum::<f64>() / tasks.len() as f64),
            parse_rate: (n > 0).then(|| parsed as f64 / n as f64),
            tasks,
        }
    }
}

/// Whether an answer is right, and its error (for times: the intersection over union).
fn compare(truth: &Label, answer: &Label) -> (bool, f64) {
    match (truth, answer) {
        (Label::DistanceM(y), Label::DistanceM(found)) | (Label::SpeedKmh(y), Label::SpeedKmh(found)) => {
            let right = (1.0 - RIGHT_SHARE) * y <= *found && *found <= (1.0 + RIGHT_SHARE) * y;
            (right, (y - found).abs())
        }
        (Label::ClockHour(y), Label::ClockHour(found)) => {
            let apart = y.abs_diff(*found);
            (y == found, f64::from(apart.min(12u8.saturating_sub(apart))))
        }
        (Label::TimeRangeS(start, end), Label::TimeRangeS(from, to)) => {
            let shared = (end.min(*to) - start.max(*from)).max(0.0);
            let union = (end - start) + (to - from) - shared;
            let iou = if union > 0.0 { shared / union } else { 0.0 };
            (iou >= RIGHT_IOU, iou)
        }
        (truth, answer) => (truth == answer, 0.0),
    }
}

/// A published row of the ST-VLM paper's table 3: accuracies in percent with the error beside them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PublishedScores {
    /// The model.
    pub model: &'static str,
    /// Accuracies in the order of [`Task::ALL`], percent.
    pub accuracy: [f64; 7],
    /// Errors of TD (m), TS (km/h), MD (hours) and the IoU of DT.
    pub error: [f64; 4],
    /// Mean accuracy, percent.
    pub average: f64,
}

/// Table 3 of the paper, on its own STKit-Bench.
pub const PUBLISHED: [PublishedScores; 4] = [
    PublishedScores {
        model: "ST-VLM-7B",
        accuracy: [49.5, 42.0, 32.0, 69.0, 75.5, 76.5, 74.0],
        error: [25.1, 11.6, 1.7, 0.61],
        average: 59.8,
    },
    PublishedScores {
        model: "GPT-4V",
        accuracy: [4.5, 4.5, 15.5, 9.5, 50.0, 58.5, 57.0],
        error: [33.1, 29.9, 2.7, 0.11],
        average: 28.5,
    },
    PublishedScores {
        model: "GPT-4o",
        accuracy: [4.5, 7.5, 11.0, 13.5, 49.0, 56.0, 46.0],
        error: [31.2, 33.8, 2.7, 0.20],
        average: 26.8,
    },
    PublishedScores {
        model: "LLaVA-OneVision-7B",
        accuracy: [8.0, 7.5, 4.5, 23.5, 43.0, 52.5, 53.0],
        error: [60.2, 23.9, 2.0, 0.22],
        average: 27.4,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_either_way_is_right() {
        let right = |found: f64| compare(&Label::DistanceM(20.0), &Label::DistanceM(found)).0;
        assert!(right(15.0) && right(25.0) && !right(14.99) && !right(25.01));
    }

    #[test]
    fn hours_go_the_short_way_round() {
        assert_eq!(compare(&Label::ClockHour(11), &Label::ClockHour(1)), (false, 2.0));
        assert_eq!(compare(&Label::ClockHour(6), &Label::ClockHour(12)), (false, 6.0));
    }

    #[test]
    fn overlap_decides_times() {
        let truth = Label::TimeRangeS(2.0, 6.0);
        assert_eq!(compare(&truth, &Label::TimeRangeS(2.0, 4.0)), (true, 0.5));
        assert_eq!(compare(&truth, &Label::TimeRangeS(7.0, 9.0)), (false, 0.0));
    }
}
