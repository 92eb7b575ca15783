//! The small ST-VLM as a live backend: it answers from the frames, boxes and states of each window, and puts the geometric
//! answer beside its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use nalgebra::Point3;

use super::clip::{Clip, ClipObject, MAX_TIMES, State, View};
use super::findings::Findings;
use super::model::TinyVlm;
use super::network::Seen;
use super::observations::{NOTE_STEP_S, Note, SharedObservations, notes_between, oldest_note};
use super::verdict::{Said, Verdict, verdict};
use super::views::{draw_box, with_brightness};
use crate::motion::{SharedTrajectories, StoredTrajectory};
use crate::stkit::{Answer, AnswerSource, AnswerValue, COLORS, Interval, Task, answer_from_geometry};
use crate::vlm::live::{Backend, Posed};

/// A 95 % interval reaches so many standard deviations to either side.
const Z95: f64 = 1.96;

/// Answers with the small model. What it has seen of a note is kept, and all questions about the same time share one pass
/// through the transformer, in which every object asked about is one row.
#[derive(Debug)]
pub struct TinyBackend {
    model: Arc<TinyVlm>,
    observations: SharedObservations,
    /// What was seen of notes, by their numbers.
    seen: BTreeMap<u64, Seen>,
    work: Work,
}

/// What a backend has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Views that the convolutions saw.
    pub views: u64,
    /// Passes through the transformer.
    pub passes: u64,
}

/// Objects of one question at most; questions about more are left to geometry.
const MAX_SUBJECTS: usize = 32;

/// What was found about the objects that are asked about for one time.
struct Found {
    time: (f64, f64),
    ids: Vec<u64>,
    findings: Vec<Findings>,
}

impl Found {
    fn of(&self, subjects: &[u64]) -> Option<Vec<Findings>> {
        let one = |id: &u64| {
            let index = self.ids.iter().position(|known| known == id)?;
            self.findings.get(index).cloned()
        };
        subjects.iter().map(one).collect()
    }
}

impl TinyBackend {
    /// Answers from what `observations` hold, beside the trajectories.
    pub fn new(model: Arc<TinyVlm>, observations: SharedObservations) -> Self {
        Self {
            model,
            observations,
            seen: BTreeMap::new(),
            work: Work::default(),
        }
    }

    /// What it has done so far.
    pub fn work(&self) -> Work {
        self.work
    }

    /// What the model finds about objects over a time; nothing without notes of it.
    fn find(&mut self, trajectories: &SharedTrajectories, time: (f64, f64), ids: &[u64]) -> Option<Vec<Findings>> {
        let notes = thinned(notes_between(&self.observations, time.0, time.1));
        let first = notes.first()?;
        let times_s: Vec<f64> = match notes.len() {
            1 => grid(time),
            _ => notes.iter().map(|note| note.time_s).collect(),
        };
        let start_s = *times_s.first()?;
        let objects = trajectories.read(|store| {
            ids.iter()
                .map(|id| ClipObject {
                    boxes: times_s.iter().map(|time_s| box_at(&notes, *id, *time_s)).collect(),
                    states: match store.get(*id) {
                        Some(stored) => states_at(stored, &times_s),
                        None => vec![None; times_s.len()],
                    },
                })
                .collect()
        });
        let shown = match notes.len() {
            1 => Vec::new(),
            count => Clip::view_times(count),
        };
        let mut views = Vec::with_capacity(shown.len());
        for at in &shown {
            let note = &notes[*at];
            // A view that was seen before is not drawn again.
            if !self.seen.contains_key(&note.number) {
                self.work.views += 1;
                let seen = self.model.see(&view(note, *at));
                self.seen.insert(note.number, seen);
            }
            views.push(View {
                at: *at,
                pixels: Vec::new(),
            });
        }
        let seen: Option<Vec<&Seen>> = shown.iter().map(|at| self.seen.get(&notes[*at].number)).collect();
        let clip = Clip {
            times_s: times_s.iter().map(|time_s| time_s - start_s).collect(),
            camera: first.camera?,
            camera_yaw_rad: first.camera_yaw_rad.or(Some(0.0)),
            views,
            objects,
        };
        let last_s = clip.times_s.last().copied()?;
        let span_s = (
            (time.0 - start_s).clamp(0.0, last_s),
            (time.1 - start_s).clamp(0.0, last_s),
        );
        let rows: Vec<(usize, (f64, f64))> = (0..ids.len()).map(|index| (index, span_s)).collect();
        self.work.passes += 1;
        Some(self.model.find_seen(&clip, &seen?, &rows, true))
    }

    /// Forgets what was seen of notes that are no longer kept.
    fn forget(&mut self) {
        if let Some(oldest) = oldest_note(&self.observations) {
            self.seen = self.seen.split_off(&oldest);
        }
    }
}

/// Whether the model is asked beside geometry, and about which time.
fn asked_about(geometric: &Answer) -> Option<(f64, f64)> {
    let subjects = geometric.subjects.len();
    let has_time = geometric.end_s > geometric.start_s;
    let asked = geometric.question.task.is_some() && has_time && (1..=MAX_SUBJECTS).contains(&subjects);
    asked.then_some((geometric.start_s, geometric.end_s))
}

impl Backend for TinyBackend {
    fn name(&self) -> &'static str {
        "burn"
    }

    fn answer(&mut self, trajectories: &SharedTrajectories, posed: &[Posed<'_>]) -> Vec<Vec<Answer>> {
        let geometric: Vec<Vec<Answer>> = posed
            .iter()
            .map(|posed| trajectories.read(|store| answer_from_geometry(posed.id, posed.question, store, posed.window)))
            .collect();
        self.forget();
        // All objects that are asked about for the same time are found in one pass.
        let mut times: Vec<Found> = Vec::new();
        for answer in geometric.iter().flatten() {
            let Some(time) = asked_about(answer) else { continue };
            let index = times.iter().position(|found| found.time == time).unwrap_or(times.len());
            if index == times.len() {
                times.push(Found {
                    time,
                    ids: Vec::new(),
                    findings: Vec::new(),
                });
            }
            let ids = &mut times[index].ids;
            let new: Vec<u64> = answer.subjects.iter().copied().filter(|id| !ids.contains(id)).collect();
            ids.extend(new);
        }
        for found in &mut times {
            for ids in found.ids.chunks(MAX_SUBJECTS) {
                found
                    .findings
                    .extend(self.find(trajectories, found.time, ids).unwrap_or_default());
            }
        }
        let answer = |geometric: Answer| {
            let Some(task) = geometric.question.task else {
                return beyond(geometric);
            };
            let found = asked_about(&geometric)
                .and_then(|time| times.iter().find(|found| found.time == time))
                .and_then(|found| found.of(&geometric.subjects));
            match found.and_then(|found| told(task, &geometric, &found)) {
                Some(told) => beside(geometric, told),
                None => geometric,
            }
        };
        geometric
            .into_iter()
            .map(|answers| answers.into_iter().map(answer).collect())
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

/// The states at `times_s`, settled as far as they are. Settled positions show how the object moved.
pub fn states_at(stored: &StoredTrajectory, times_s: &[f64]) -> Vec<Option<State>> {
    let worst = |covariance: &nalgebra::Matrix3<f64>| {
        let ground = covariance.fixed_view::<2, 2>(0, 0).into_owned();
        ground.symmetric_eigenvalues().max().max(0.0).sqrt()
    };
    let near = times_s.iter().map(|time_s| stored.settled.nearest_known_s(*time_s));
    let times_s: Vec<f64> = near.collect();
    let settled = stored.settled.moved_through(&times_s);
    let state = |(time_s, settled): (&f64, Option<Point3<f64>>)| {
        let sample = stored.settled.at(*time_s).or_else(|| stored.live.at(*time_s))?;
        Some(State {
            position_in_world: settled.unwrap_or(sample.position_in_world),
            velocity_in_world_mps: sample.velocity_in_world_mps,
            position_sigma_m: worst(&sample.position_covariance),
            velocity_sigma_mps: worst(&sample.velocity_covariance),
            standing: sample.standing,
        })
    };
    times_s.iter().zip(settled).map(state).collect()
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
