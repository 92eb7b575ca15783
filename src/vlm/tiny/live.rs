//! The small ST-VLM as a live backend: it answers from the frames, boxes and states of each window, and puts the geometric
//! answer beside its own.

use std::sync::Arc;

use super::clip::{Clip, ClipObject, MAX_TIMES, MAX_VIEWS, State, View};
use super::findings::Findings;
use super::model::TinyVlm;
use super::observations::{NOTE_STEP_S, Note, SharedObservations, notes_between};
use super::verdict::{Said, Verdict, verdict};
use super::views::{draw_box, with_brightness};
use crate::kinematics::Trajectory;
use crate::motion::{SharedTrajectories, StoredTrajectory};
use crate::stkit::{Answer, AnswerSource, AnswerValue, COLORS, Interval, Task, answer_from_geometry};
use crate::vlm::live::{Backend, Posed};

/// A 95 % interval reaches so many standard deviations to either side.
const Z95: f64 = 1.96;

/// Answers with the small model.
#[derive(Debug)]
pub struct TinyBackend {
    model: Arc<TinyVlm>,
    observations: SharedObservations,
}

impl TinyBackend {
    /// Answers from what `observations` hold, beside the trajectories.
    pub fn new(model: Arc<TinyVlm>, observations: SharedObservations) -> Self {
        Self { model, observations }
    }

    /// The model's answer to the question that `geometric` answers, for the same objects and time.
    fn answer_beside(&self, geometric: Answer, trajectories: &SharedTrajectories, kept: &mut Option<Shown>) -> Answer {
        let Some(task) = geometric.question.task else {
            return beyond(geometric);
        };
        let has_time = geometric.end_s > geometric.start_s;
        if geometric.subjects.is_empty() || !has_time || geometric.subjects.len() > MAX_SUBJECTS {
            return geometric;
        }
        let wanted = (geometric.start_s, geometric.end_s);
        let shown = match kept.take() {
            Some(shown) if shown.time == wanted && shown.has(&geometric.subjects) => shown,
            _ => match self.show(trajectories, wanted, &geometric.subjects) {
                Some(shown) => shown,
                None => return geometric,
            },
        };
        let found = shown.find(&self.model, &geometric.subjects);
        *kept = Some(shown);
        match found.and_then(|found| told(task, &geometric, &found)) {
            Some(told) => beside(geometric, told),
            None => geometric,
        }
    }

    /// The clip of a time, with all objects that are seen in it, `subjects` first.
    fn show(&self, trajectories: &SharedTrajectories, time: (f64, f64), subjects: &[u64]) -> Option<Shown> {
        let notes = thinned(notes_between(&self.observations, time.0, time.1));
        let mut ids: Vec<u64> = subjects.to_vec();
        for (id, _) in notes.iter().flat_map(|note| &note.boxes) {
            if !ids.contains(id) && ids.len() < MAX_SUBJECTS {
                ids.push(*id);
            }
        }
        let times_s: Vec<f64> = match notes.len() {
            0 | 1 => grid(time),
            _ => notes.iter().map(|note| note.time_s).collect(),
        };
        let start_s = *times_s.first()?;
        let objects = trajectories.read(|store| {
            ids.iter()
                .map(|id| ClipObject {
                    boxes: times_s.iter().map(|time_s| box_at(&notes, *id, *time_s)).collect(),
                    states: match store.get(*id) {
                        Some(stored) => times_s.iter().map(|time_s| state_at(stored, *time_s)).collect(),
                        None => vec![None; times_s.len()],
                    },
                })
                .collect()
        });
        let views = match notes.len() {
            0 | 1 => Vec::new(),
            count => Clip::view_times(count)
                .into_iter()
                .take(MAX_VIEWS)
                .map(|at| view(&notes[at], at))
                .collect(),
        };
        let first = notes.first()?;
        Some(Shown {
            time,
            ids,
            clip: Clip {
                times_s: times_s.iter().map(|time_s| time_s - start_s).collect(),
                camera: first.camera?,
                camera_yaw_rad: first.camera_yaw_rad.or(Some(0.0)),
                views,
                objects,
            },
            start_s,
        })
    }
}

/// Objects of a clip at most; questions about more are left to geometry.
const MAX_SUBJECTS: usize = 32;

/// What the model is shown for one time, kept for the next question about the same time.
struct Shown {
    time: (f64, f64),
    ids: Vec<u64>,
    clip: Clip,
    start_s: f64,
}

impl Shown {
    fn has(&self, subjects: &[u64]) -> bool {
        subjects.iter().all(|id| self.ids.contains(id))
    }

    fn find(&self, model: &TinyVlm, subjects: &[u64]) -> Option<Vec<Findings>> {
        let last_s = self.clip.times_s.last().copied()?;
        let span_s = (
            (self.time.0 - self.start_s).clamp(0.0, last_s),
            (self.time.1 - self.start_s).clamp(0.0, last_s),
        );
        let rows: Option<Vec<(usize, (f64, f64))>> = subjects
            .iter()
            .map(|id| Some((self.ids.iter().position(|known| known == id)?, span_s)))
            .collect();
        Some(model.find(&self.clip, &rows?, true))
    }
}

impl Backend for TinyBackend {
    fn name(&self) -> &'static str {
        "burn"
    }

    fn answer(&mut self, trajectories: &SharedTrajectories, posed: &[Posed<'_>]) -> Vec<Vec<Answer>> {
        let mut kept = None;
        posed
            .iter()
            .map(|posed| {
                let geometric =
                    trajectories.read(|store| answer_from_geometry(posed.id, posed.question, store, posed.window));
                let answer = |geometric| self.answer_beside(geometric, trajectories, &mut kept);
                geometric.into_iter().map(answer).collect()
            })
            .collect()
    }
}

/// Every other note, and so on, until there are few enough.
fn thinned(mut notes: Vec<Note>) -> Vec<Note> {
    while notes.len() > MAX_TIMES {
        let last = notes.len() - 1;
        let mut at = 0;
        notes.retain(|_| {
            let keep = at % 2 == 0 || at == last;
            at += 1;
            keep
        });
    }
    notes
}

fn grid((start_s, end_s): (f64, f64)) -> Vec<f64> {
    let steps = (((end_s - start_s) / NOTE_STEP_S).round() as usize).clamp(1, MAX_TIMES - 1);
    (0..=steps)
        .map(|step| start_s + (end_s - start_s) * step as f64 / steps as f64)
        .collect()
}

fn box_at(notes: &[Note], id: u64, time_s: f64) -> Option<crate::detection::BoundingBox> {
    let note = notes.iter().find(|note| note.time_s == time_s)?;
    note.boxes.iter().find(|(known, _)| *known == id).map(|(_, bbox)| *bbox)
}

fn state_at(stored: &StoredTrajectory, time_s: f64) -> Option<State> {
    let sample_of = |trajectory: &Trajectory| trajectory.at(time_s);
    let sample = sample_of(&stored.settled).or_else(|| sample_of(&stored.live))?;
    let worst = |covariance: &nalgebra::Matrix3<f64>| {
        let ground = covariance.fixed_view::<2, 2>(0, 0).into_owned();
        ground.symmetric_eigenvalues().max().max(0.0).sqrt()
    };
    Some(State {
        position_in_world: sample.position_in_world,
        velocity_in_world_mps: sample.velocity_in_world_mps,
        position_sigma_m: worst(&sample.position_covariance),
        velocity_sigma_mps: worst(&sample.velocity_covariance),
        standing: sample.standing,
    })
}

fn view(note: &Note, at: usize) -> View {
    let mut pixels = with_brightness(&note.rgb, note.before.as_ref().map(|before| before.as_slice()));
    for (id, bbox) in &note.boxes {
        // A track keeps its colour for life, so that a picture looks the same in every window.
        let (_, color) = COLORS[(*id % COLORS.len() as u64) as usize];
        draw_box(&mut pixels, bbox, color);
    }
    View { at, pixels }
}

/// What the model says: value, interval, words and how sure it is.
struct Told {
    value: AnswerValue,
    interval: Option<Interval>,
    text: String,
    confidence: f64,
}

fn told(task: Task, geometric: &Answer, found: &[Findings]) -> Option<Told> {
    let subjects = &geometric.subjects;
    let id = *subjects.first()?;
    let question = &geometric.question;
    let Verdict { said, confidence } = verdict(question, found, geometric.end_s - geometric.start_s)?;
    let mut interval = None;
    let (value, text) = match said {
        Said::DistanceM(metres) => {
            let (low, high) = metres.interval(Z95);
            interval = Some(Interval { low, high });
            let value = metres.value;
            let text = format!(
                "The total distance traveled by object {id} is {value:.2} meters (between {low:.1} and {high:.1})."
            );
            (AnswerValue::DistanceM(value), text)
        }
        Said::SpeedMps(speed) => {
            let (low, high) = speed.interval(Z95);
            interval = Some(Interval { low, high });
            let [value_kmh, low_kmh, high_kmh] = [speed.value, low, high].map(|speed_mps| speed_mps * 3.6);
            let text = format!(
                "The average speed of object {id} is {value_kmh:.2} km/h (between {low_kmh:.1} and {high_kmh:.1})."
            );
            (AnswerValue::SpeedMps(speed.value), text)
        }
        Said::ClockHour(hour) => {
            let text = format!("Object {id} moves in the direction of {hour} o'clock at the end.");
            (AnswerValue::ClockHour(hour), text)
        }
        Said::TimeRangeS(start_s, end_s) => {
            let hour = question.clock_hour?;
            let offset_s = geometric.start_s - found.first()?.span_s.0;
            let (start_s, end_s) = (start_s + offset_s, end_s + offset_s);
            let text =
                format!("Object {id} moves in the {hour} o'clock direction from {start_s:.2} to {end_s:.2} seconds.");
            (AnswerValue::TimeRangeS(start_s, end_s), text)
        }
        Said::Object(index) => {
            let winner = *subjects.get(index)?;
            let text = format!("Object {winner} {}.", verb(task, question.inverted, subjects.len() > 2));
            (AnswerValue::ObjectId(winner), text)
        }
        Said::Same(same) => {
            let yes = same != question.inverted;
            let word = if yes { "Yes" } else { "No" };
            let way = match same {
                true => "the same direction",
                false => "different directions",
            };
            (AnswerValue::YesNo(yes), format!("{word}, they are moving in {way}."))
        }
    };
    Some(Told {
        value,
        interval,
        text,
        confidence,
    })
}

/// What the object does that fits a comparison, of two objects or of many.
fn verb(task: Task, inverted: bool, many: bool) -> &'static str {
    match (task, inverted, many) {
        (Task::TravelingSpeedComparison, false, false) => "moves faster",
        (Task::TravelingSpeedComparison, false, true) => "moves fastest",
        (Task::TravelingSpeedComparison, true, false) => "moves slower",
        (Task::TravelingSpeedComparison, true, true) => "moves slowest",
        (_, false, false) => "travels a greater distance",
        (_, false, true) => "travels the greatest distance",
        (_, true, false) => "travels a shorter distance",
        (_, true, true) => "travels the shortest distance",
    }
}

fn beside(geometric: Answer, told: Told) -> Answer {
    Answer {
        text: told.text,
        value: Some(told.value),
        interval: told.interval,
        source: AnswerSource::Vlm,
        confidence: told.confidence,
        ambiguous: false,
        geometry: Some(Box::new(geometric.clone())),
        ..geometric
    }
}

/// A question beyond the seven tasks is not the small model's: it says what would have to be measured.
fn beyond(geometric: Answer) -> Answer {
    let text = "This is beyond the small model, which answers the seven tasks; a larger one could combine distances \
                travelled, mean speeds, directions by the clock and when they held."
        .to_owned();
    Answer { text, ..geometric }
}
