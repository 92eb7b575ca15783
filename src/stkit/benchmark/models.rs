//! What stands beside a model's scores: the best constant, the question alone, the boxes alone, and the engine's geometry.

use std::collections::HashMap;

use nalgebra::{Matrix3, Point3, Vector3};

use crate::detection::ClassLabel;
use crate::kinematics::{Reliability, Sample, Trajectory};
use crate::motion::{StoredTrajectory, TrajectoryStore};
use crate::reconstruction::ClassPriors;
use crate::stkit::{Label, Record, RecordObject, Subject, Task, answer_from_geometry, parse_question};

/// Something that answers records in words.
pub trait Model {
    /// The answer; it may say that there is none.
    fn answer(&mut self, record: &Record) -> String;
}

/// The best single answer to each task, whatever is asked: fitted on the very records that it answers, so an upper bound.
#[derive(Debug, Default)]
pub struct Constant(Fitted);

/// The best answer to each kind of question: it knows the time asked about and which way a comparison is asked, but no
/// picture. Fitted on the very records that it answers, so an upper bound.
#[derive(Debug, Default)]
pub struct QuestionOnly(Fitted);

/// What is told apart, and the labels seen for it.
type Kind = (Task, u8);

#[derive(Debug, Default)]
struct Fitted {
    labels: HashMap<Kind, Vec<Told>>,
    best: HashMap<Kind, Told>,
}

/// A label relative to what the question tells.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    Value(f64),
    Hour(u8),
    Share(f64, f64),
    Position(usize),
    Yes(bool),
}

fn is_inverted(record: &Record) -> bool {
    parse_question(record.question()).is_ok_and(|question| question.inverted)
}

impl Constant {
    /// Takes a record to fit on.
    pub fn fit(&mut self, record: &Record) {
        self.0
            .labels
            .entry((record.task, 0))
            .or_default()
            .push(told(record, 1.0));
    }
}

impl Model for Constant {
    fn answer(&mut self, record: &Record) -> String {
        self.0.answer((record.task, 0), record, 1.0)
    }
}

impl QuestionOnly {
    fn kind(record: &Record) -> (Kind, f64) {
        let span_s = record.span[1] - record.span[0];
        match record.task {
            Task::TraveledDistance => ((record.task, 0), span_s),
            Task::DirectionTimestamp => {
                let hour = parse_question(record.question())
                    .ok()
                    .and_then(|question| question.clock_hour);
                ((record.task, u8::from(hour == Some(12))), 1.0)
            }
            task if task.subjects() == 2 => ((task, u8::from(is_inverted(record))), 1.0),
            task => ((task, 0), 1.0),
        }
    }

    /// Takes a record to fit on.
    pub fn fit(&mut self, record: &Record) {
        let (kind, scale) = Self::kind(record);
        self.0.labels.entry(kind).or_default().push(told(record, scale));
    }
}

impl Model for QuestionOnly {
    fn answer(&mut self, record: &Record) -> String {
        let (kind, scale) = Self::kind(record);
        self.0.answer(kind, record, scale)
    }
}

fn told(record: &Record, scale: f64) -> Told {
    match &record.answer {
        Label::DistanceM(value) | Label::SpeedKmh(value) => Told::Value(value / scale),
        Label::ClockHour(hour) => Told::Hour(*hour),
        Label::TimeRangeS(start_s, end_s) => {
            let duration_s = record.duration_s().max(1e-9);
            Told::Share(start_s / duration_s, end_s / duration_s)
        }
        Label::Object(color) => {
            let position = record.objects.iter().position(|object| object.color == *color);
            Told::Position(position.unwrap_or(0))
        }
        Label::YesNo(yes) => Told::Yes(*yes),
    }
}

/// Candidates tried for the best constant time are at most so many.
const MAX_TRIED: usize = 400;

impl Fitted {
    fn answer(&mut self, kind: Kind, record: &Record, scale: f64) -> String {
        let best = match self.best.get(&kind) {
            Some(best) => *best,
            None => {
                let Some(best) = self.labels.get(&kind).and_then(|labels| best_of(labels)) else {
                    return "I do not know.".to_owned();
                };
                self.best.insert(kind, best);
                best
            }
        };
        let duration_s = record.duration_s();
        match best {
            Told::Value(value) if record.task == Task::TravelingSpeed => format!("{:.2} km/h", value * scale),
            Told::Value(value) => format!("{:.2} meters", value * scale),
            Told::Hour(hour) => format!("{hour} o'clock"),
            Told::Share(start, end) => format!("from {:.2} to {:.2} seconds", start * duration_s, end * duration_s),
            Told::Position(position) => record
                .colors()
                .get(position)
                .map_or(String::new(), |color| (*color).to_owned()),
            Told::Yes(yes) => if yes { "yes" } else { "no" }.to_owned(),
        }
    }
}

fn best_of(labels: &[Told]) -> Option<Told> {
    match labels.first()? {
        Told::Value(_) => {
            let mut values: Vec<f64> = labels
                .iter()
                .filter_map(|label| match label {
                    Told::Value(value) => Some(*value),
                    _ => None,
                })
                .collect();
            values.sort_unstable_by(f64::total_cmp);
            // The best guess g hits the labels from g/1.25 to g/0.75; it may as well hit its least label at the edge.
            let hits = |least: f64| {
                let guess = least * 1.25;
                values.partition_point(|value| *value <= guess / 0.75) - values.partition_point(|value| *value < least)
            };
            let best = values.iter().copied().max_by_key(|least| hits(*least))?;
            Some(Told::Value(best * 1.25 * (1.0 - 1e-9)))
        }
        Told::Share(..) => {
            let step = labels.len().div_ceil(MAX_TRIED);
            let iou = |a: &Told, b: &Told| match (a, b) {
                (Told::Share(a0, a1), Told::Share(b0, b1)) => {
                    let shared = (a1.min(*b1) - a0.max(*b0)).max(0.0);
                    shared / ((a1 - a0) + (b1 - b0) - shared).max(1e-9)
                }
                _ => 0.0,
            };
            let hits = |guess: &&Told| labels.iter().filter(|label| iou(guess, label) >= 0.5).count();
            labels.iter().step_by(step).max_by_key(hits).copied()
        }
        _ => labels
            .iter()
            .max_by_key(|label| labels.iter().take(10_000).filter(|other| other == label).count())
            .copied(),
    }
}

/// The engine's geometric answer from the true trajectories of the record.
#[derive(Debug, Default)]
pub struct Geometry;

impl Model for Geometry {
    fn answer(&mut self, record: &Record) -> String {
        answer_from(record, |object| {
            let points = object
                .centers_m
                .iter()
                .map(|[time_s, x, y, z]| (*time_s, Point3::new(*x, *y, *z)));
            Some(trajectory(points))
        })
    }
}

/// The geometric answer from the boxes alone: distances from the boxes' heights and the usual height of the class, as if
/// the camera stood still. No picture, no pose, no depth.
#[derive(Debug, Default)]
pub struct BoxesOnly {
    priors: ClassPriors,
}

impl Model for BoxesOnly {
    fn answer(&mut self, record: &Record) -> String {
        let Some(camera) = record.camera else {
            return "There is no answer: the camera is not known.".to_owned();
        };
        let priors = &self.priors;
        answer_from(record, |object| {
            let height_m = priors.get(ClassLabel::new(&object.class))?.height_m;
            let points: Vec<(f64, Point3<f64>)> = object
                .boxes
                .iter()
                .filter(|[_, x0, y0, x1, y1]| x1 > x0 && y1 > y0)
                .map(|[time_s, x0, y0, x1, y1]| {
                    let depth_m = camera.fy * height_m / (y1 - y0);
                    let right_m = (0.5 * (x0 + x1) - camera.cx) / camera.fx * depth_m;
                    (*time_s, Point3::new(depth_m, -right_m, 0.0))
                })
                .collect();
            let smoothed = (0..points.len()).map(|at| {
                let around = &points[at.saturating_sub(2)..(at + 3).min(points.len())];
                let sum = around
                    .iter()
                    .fold(Vector3::zeros(), |sum, (_, point)| sum + point.coords);
                (points[at].0, Point3::from(sum / around.len() as f64))
            });
            Some(trajectory(smoothed))
        })
    }
}

fn trajectory(points: impl Iterator<Item = (f64, Point3<f64>)>) -> Trajectory {
    let mut trajectory = Trajectory::new();
    for (time_s, position_in_world) in points {
        // A point that does not fit (a time that goes back) is left out, as the engine does.
        let _ = trajectory.push(Sample {
            time_s,
            position_in_world,
            velocity_in_world_mps: Vector3::zeros(),
            position_covariance: Matrix3::zeros(),
            velocity_covariance: Matrix3::zeros(),
            standing: false,
            reliable: true,
        });
    }
    trajectory
}

/// Asks the engine the record's question in words about trajectories of its objects, seconds of the clip; the answer tells
/// the objects apart by their colours.
pub fn answer_from(record: &Record, path: impl Fn(&RecordObject) -> Option<Trajectory>) -> String {
    let mut question = match parse_question(record.question()) {
        Ok(question) => question,
        Err(error) => return format!("There is no answer: {error}."),
    };
    let mut store = TrajectoryStore::new(f64::INFINITY, usize::MAX);
    for (index, object) in record.objects.iter().enumerate() {
        let Some(settled) = path(object) else {
            return format!("There is no answer: nothing is known about a {}.", object.class);
        };
        store.insert(StoredTrajectory {
            track_id: index as u64 + 1,
            class: ClassLabel::new(&object.class),
            live: Trajectory::new(),
            settled,
            reliability: Reliability::Reliable,
        });
    }
    let ids = (1..=record.objects.len() as u64).map(Subject::Id);
    question.subjects = question
        .subjects
        .into_iter()
        .flat_map(|subject| match &subject {
            Subject::Marked(color) => {
                let position = record.objects.iter().position(|object| object.color == *color);
                position
                    .map(|index| Subject::Id(index as u64 + 1))
                    .into_iter()
                    .collect()
            }
            _ => ids.clone().collect::<Vec<Subject>>(),
        })
        .collect();
    let window = (0.0, record.duration_s());
    let answers = answer_from_geometry("", &question, &store, window);
    let text = answers.into_iter().next().map_or(String::new(), |answer| answer.text);
    // The engine speaks of objects by number; here they are told apart by colour.
    record.objects.iter().enumerate().fold(text, |text, (index, object)| {
        let named = format!("the object annotated with the {} bounding box", object.color);
        let number = index + 1;
        text.replace(&format!("object {number}"), &named)
            .replace(&format!("Object {number}"), &named)
    })
}
