//! The small ST-VLM by the STKit-Bench protocol, on worlds of the simulator that no training saw.

use std::collections::HashMap;
use std::sync::Arc;

use nalgebra::Point3;
use rand_pcg::Pcg64;
use serde::Serialize;

use crate::datasets::{
    CameraTrack, DataSource, Domain, LabelSource, LabelledBox, ObjectSample, ObjectTrack, Recording, TimedPose, pose_at,
};
use crate::detection::BoundingBox;
use crate::sim::render::Renderer;
use crate::sim::{ActorClass, Scene, World, WorldError, WorldSettings};
use crate::stkit::benchmark::{BoxesOnly, Constant, Geometry, Model, QuestionOnly, Scorer, Scores};
use crate::stkit::builder::{Asked, answer_in_words, build_records};
use crate::stkit::{COLORS, Label, Question, Record, RecordObject, Span, TrackId, parse_question};
use crate::vlm::tiny::clip::{Clip, ClipCamera, ClipObject, State, VIEW_STEP_S, View, optical_yaw_rad};
use crate::vlm::tiny::training::{engine_states, sample_of, track_of};
use crate::vlm::tiny::views::{brightness, draw_box, shrink, with_brightness};
use crate::vlm::tiny::{Said, TinyVlm, Verdict, Z80, verdict};

/// Time between two pictures that are kept, seconds.
const STEP_S: f64 = 0.25;
/// Clips are looked at no more often than this, seconds.
const LEAST_STEP_S: f64 = 0.45;
const KMH_PER_MPS: f64 = 3.6;
/// An object hidden for more than this is not seen.
const MIN_VISIBLE: f64 = 0.35;
/// Keeps these draws apart from all others.
const STREAM: u128 = 0x6576_616c;

/// What is evaluated.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The scenes.
    pub scenes: Vec<Scene>,
    /// First seed.
    pub first_seed: u64,
    /// Last seed.
    pub last_seed: u64,
    /// Length of each recording, seconds.
    pub seconds: f64,
    /// Questions of each task.
    pub per_task: usize,
    /// Field of view instead of the scenes' own, degrees.
    pub horizontal_fov_deg: Option<f64>,
    /// Decides which questions are asked.
    pub seed: u64,
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answerer {
    /// The best single answer to each task.
    Constant,
    /// The question alone.
    QuestionOnly,
    /// Boxes and intrinsics.
    BoxesOnly,
    /// The true trajectories.
    Geometry,
    /// The small ST-VLM from pictures, boxes, times and intrinsics.
    TinyPixels,
    /// The small ST-VLM with states as an engine would have them.
    TinyStates,
}

/// Scores of one answerer.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Who.
    pub answerer: Answerer,
    /// By the protocol.
    pub scores: Scores,
    /// The protocol on sides of the splits: `frame_rate=unseen`, `wording=paraphrase`.
    pub splits: Vec<(String, Scores)>,
    /// Share of the distances and speeds that lie in the 80 % interval; `None` without intervals.
    pub coverage80: Option<f64>,
}

/// Pictures and truth of a recording.
struct Kept {
    recording: Recording,
    /// Small pictures with the brightness before, every [`STEP_S`].
    pictures: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// Evaluates.
pub fn evaluate(
    settings: &Settings,
    model: &TinyVlm,
    mut told: impl FnMut(&str, usize, usize),
) -> Result<Vec<Line>, WorldError> {
    let mut kept = Vec::new();
    let count = settings.scenes.len() * (settings.last_seed - settings.first_seed + 1) as usize;
    for scene in &settings.scenes {
        for seed in settings.first_seed..=settings.last_seed {
            kept.push(record(*scene, seed, settings)?);
            told("simulating", kept.len(), count);
        }
    }
    let mut by_name = HashMap::new();
    let mut recordings = Vec::with_capacity(kept.len());
    for Kept { recording, pictures } in kept {
        by_name.insert(recording.name.clone(), (recordings.len(), pictures));
        recordings.push(recording);
    }
    let built = build_records(&recordings, settings.per_task, settings.seed);
    let records: Vec<Record> = built.records.into_iter().map(|(_, record)| record).collect();
    let mut lines = Vec::new();
    let (mut constant, mut question_only) = (Constant::default(), QuestionOnly::default());
    for record in &records {
        constant.fit(record);
        question_only.fit(record);
    }
    lines.push(line(Answerer::Constant, &records, |record| {
        (constant.answer(record), None)
    }));
    lines.push(line(Answerer::QuestionOnly, &records, |record| {
        (question_only.answer(record), None)
    }));
    let mut boxes_only = BoxesOnly::default();
    lines.push(line(Answerer::BoxesOnly, &records, |record| {
        (boxes_only.answer(record), None)
    }));
    lines.push(line(Answerer::Geometry, &records, |record| {
        (Geometry.answer(record), None)
    }));
    for (answerer, with_states) in [(Answerer::TinyPixels, false), (Answerer::TinyStates, true)] {
        let mut done = 0;
        lines.push(line(answerer, &records, |record| {
            done += 1;
            told("asking", done, records.len());
            let shown = by_name.get(&record.quality.provenance.recording);
            let shown = shown.and_then(|(index, pictures)| {
                clip(record, recordings.get(*index)?, pictures, with_states, done as u64)
            });
            match shown {
                Some(clip) => reply(model, record, &clip, with_states),
                None => (String::new(), None),
            }
        }));
    }
    Ok(lines)
}

/// Scores answers with, for distances and speeds, whether the truth lies in the interval.
fn line(answerer: Answerer, records: &[Record], mut answer: impl FnMut(&Record) -> (String, Option<bool>)) -> Line {
    let mut all = Scorer::default();
    let mut unseen_rate = Scorer::default();
    let mut paraphrase = Scorer::default();
    let (mut held, mut told) = (0usize, 0usize);
    for record in records {
        let (text, inside) = answer(record);
        all.add(record, Some(&text));
        if record.quality.splits.frame_rate == "unseen" {
            unseen_rate.add(record, Some(&text));
        }
        if record.quality.splits.wording == "paraphrase" {
            paraphrase.add(record, Some(&text));
        }
        if let Some(inside) = inside {
            told += 1;
            held += usize::from(inside);
        }
    }
    Line {
        answerer,
        scores: all.scores(),
        splits: vec![
            ("frame_rate=unseen".to_owned(), unseen_rate.scores()),
            ("wording=paraphrase".to_owned(), paraphrase.scores()),
        ],
        coverage80: (told > 0).then(|| held as f64 / told as f64),
    }
}

fn record(scene: Scene, seed: u64, settings: &Settings) -> Result<Kept, WorldError> {
    let mut world = World::new(WorldSettings {
        horizontal_fov_deg: settings.horizontal_fov_deg,
        ..WorldSettings::new(scene, seed)
    })?;
    let mut renderer = Renderer::new(&world);
    let (columns, rows) = (world.settings.width as usize, world.settings.height as usize);
    let camera = Arc::new(world.camera.clone());
    let mut poses = Vec::new();
    let mut times = Vec::new();
    let mut pictures = Vec::new();
    let mut objects: Vec<ObjectTrack> = Vec::new();
    let points = (settings.seconds / STEP_S).floor() as usize;
    const START_S: f64 = 1.0;
    for point in 0..=points {
        let time_s = point as f64 * STEP_S;
        let earlier = world.at(START_S + time_s - VIEW_STEP_S)?;
        let before = shrink(&renderer.render(&earlier).rgb, columns, rows).map(|rgb| brightness(&rgb));
        let snapshot = world.at(START_S + time_s)?;
        let rendered = renderer.render(&snapshot);
        pictures.push((shrink(&rendered.rgb, columns, rows).unwrap_or_default(), before));
        poses.push(TimedPose {
            time_s,
            world_from_body: snapshot.world_from_camera,
        });
        times.push(time_s);
        for actor in snapshot.actors.iter().filter(|actor| actor.class != ActorClass::Ball) {
            let id = u64::from(actor.id);
            let sighting = rendered.sightings.iter().find(|sighting| sighting.id == actor.id);
            let visible = sighting.is_some_and(|sighting| sighting.visible_fraction() >= MIN_VISIBLE);
            let sample = ObjectSample {
                seen: visible,
                labelled_box: sighting.map(|sighting| LabelledBox {
                    bbox: sighting.bbox,
                    truncation: if sighting.truncated { 0.3 } else { 0.0 },
                    occlusion: if visible { 0 } else { 2 },
                }),
                ..sample_of(actor, time_s)
            };
            match objects.iter_mut().find(|object| object.id == id) {
                Some(object) => object.samples.push(sample),
                None => objects.push(ObjectTrack {
                    samples: vec![sample],
                    ..track_of(actor)
                }),
            }
        }
    }
    Ok(Kept {
        recording: Recording {
            name: format!("{scene}-{seed}"),
            source: DataSource::Sim,
            label_source: LabelSource::Sim,
            domain: match scene {
                Scene::Court => Domain::Sports,
                Scene::Plaza => Domain::General,
                _ => Domain::Driving,
            },
            label_times_s: times,
            ego: Vec::new(),
            cameras: vec![CameraTrack {
                name: "camera".to_owned(),
                camera,
                poses,
                pictures: Vec::new(),
            }],
            objects,
        },
        pictures,
    })
}

/// What the model is shown of a record.
fn clip(
    record: &Record,
    recording: &Recording,
    pictures: &[(Vec<u8>, Option<Vec<u8>>)],
    with_states: bool,
    number: u64,
) -> Option<Clip> {
    let start_s = record.quality.provenance.start_s;
    let pose = pose_at(&recording.cameras.first()?.poses, start_s);
    let mut clip = unpictured(
        record,
        pose.map(|pose| optical_yaw_rad(&pose)),
        |object, boxes, times_s| match with_states {
            true => states(object, recording, boxes, times_s, start_s, number),
            false => vec![None; times_s.len()],
        },
    )?;
    clip.views = Clip::view_times(clip.times_s.len())
        .into_iter()
        .filter_map(|at| {
            let index = ((start_s + clip.times_s[at]) / STEP_S).round() as usize;
            let (rgb, before) = pictures.get(index)?;
            let mut pixels = with_brightness(rgb, before.as_deref());
            for (object, drawn) in clip.objects.iter().zip(&record.objects) {
                let color = COLORS.iter().find(|(name, _)| *name == drawn.color)?.1;
                if let Some(bbox) = object.boxes[at] {
                    draw_box(&mut pixels, &bbox, color);
                }
            }
            Some(View { at, pixels })
        })
        .collect();
    Some(clip)
}

/// A record's boxes with an object's states at the clip's times, as `states` tells them; no pictures.
fn unpictured(
    record: &Record,
    camera_yaw_rad: Option<f64>,
    states: impl Fn(&RecordObject, &[Option<BoundingBox>], &[f64]) -> Vec<Option<State>>,
) -> Option<Clip> {
    let mut times_s: Vec<f64> = Vec::new();
    for time_s in &record.timestamps {
        let last = record.timestamps.last() == Some(time_s);
        match times_s.last_mut() {
            Some(before) if *time_s - *before < LEAST_STEP_S && !last => {}
            Some(before) if *time_s - *before < LEAST_STEP_S => *before = *time_s,
            _ => times_s.push(*time_s),
        }
    }
    let camera = record.camera?;
    let size = (camera.width as f32, camera.height as f32);
    let objects = record.objects.iter().map(|object| {
        let boxes: Vec<Option<BoundingBox>> = times_s
            .iter()
            .map(|time_s| {
                let found = object.boxes.iter().find(|[at_s, ..]| (at_s - time_s).abs() < 0.02)?;
                let [_, x0, y0, x1, y1] = found.map(|value| value as f32);
                Some(BoundingBox::new(x0 / size.0, y0 / size.1, x1 / size.0, y1 / size.1))
            })
            .collect();
        let states = states(object, &boxes, &times_s);
        ClipObject { boxes, states }
    });
    Some(Clip {
        objects: objects.collect(),
        times_s,
        camera: ClipCamera::from_pixels(
            (camera.fx, camera.fy),
            (camera.cx, camera.cy),
            (camera.width, camera.height),
        ),
        camera_yaw_rad,
        views: Vec::new(),
    })
}

/// The small ST-VLM's answer to a record, without pictures, from an engine's states at the clip's times.
pub(super) fn answer_from_states(
    model: &TinyVlm,
    record: &Record,
    camera_yaw_rad: Option<f64>,
    states: impl Fn(&RecordObject, &[f64]) -> Vec<Option<State>>,
) -> String {
    let shown = unpictured(record, camera_yaw_rad, |object, _, times_s| states(object, times_s));
    shown.map_or(String::new(), |clip| reply(model, record, &clip, true).0)
}

/// States as an engine would have them, on the grid that training has them on.
fn states(
    object: &RecordObject,
    recording: &Recording,
    boxes: &[Option<BoundingBox>],
    times_s: &[f64],
    start_s: f64,
    number: u64,
) -> Vec<Option<State>> {
    let none = || vec![None; times_s.len()];
    let TrackId::Number(id) = &object.track_id else {
        return none();
    };
    let Some(track) = recording.objects.iter().find(|track| track.id == *id) else {
        return none();
    };
    let Some(camera) = recording.cameras.first() else {
        return none();
    };
    let last_s = times_s.last().copied().unwrap_or(0.0);
    let points: Vec<f64> = (0..=(last_s / 0.5).round() as usize)
        .map(|point| point as f64 * 0.5)
        .collect();
    let mut centers: Vec<Point3<f64>> = Vec::new();
    let mut cameras: Vec<Point3<f64>> = Vec::new();
    for time_s in &points {
        let Some(sample) = track.at(start_s + time_s, 0.55) else {
            return none();
        };
        let Some(pose) = pose_at(&camera.poses, start_s + time_s) else {
            return none();
        };
        centers.push(sample.center_in_world);
        cameras.push(Point3::from(pose.translation.vector));
    }
    let seen: Vec<bool> = points
        .iter()
        .map(|point| {
            let near = times_s.iter().position(|time_s| (time_s - point).abs() < 0.3);
            near.and_then(|at| boxes[at]).is_some()
        })
        .collect();
    let mut random = Pcg64::new(u128::from(number) << 64 | u128::from(*id), STREAM);
    let found = engine_states(&centers, &cameras, &seen, &mut random);
    times_s
        .iter()
        .map(|time_s| found.get((time_s / 0.5).round() as usize).copied().flatten())
        .collect()
}

/// The model's answer in words, and for distances and speeds whether the interval holds the truth.
fn reply(model: &TinyVlm, record: &Record, clip: &Clip, with_states: bool) -> (String, Option<bool>) {
    let Ok(question) = parse_question(record.question()) else {
        return (String::new(), None);
    };
    let span_s = match question.span {
        Span::Between(start_s, end_s) => (start_s, end_s),
        _ => (0.0, record.duration_s()),
    };
    let rows: Vec<(usize, (f64, f64))> = (0..record.objects.len()).map(|object| (object, span_s)).collect();
    let found = model.find(clip, &rows, with_states);
    let colors = record.colors();
    let told = verdict(&question, &found, span_s.1 - span_s.0);
    let Some((label, interval)) = told.and_then(|told| label(&question, &told, &colors)) else {
        return ("There is no answer.".to_owned(), None);
    };
    let task = question.task.unwrap_or(record.task);
    let asked = Asked {
        task,
        inverted: question.inverted,
        colors: &colors,
        span_s: None,
        hour: question.clock_hour,
        paraphrase: false,
    };
    let inside = match (&record.answer, interval) {
        (Label::DistanceM(truth) | Label::SpeedKmh(truth), Some((low, high))) => Some((low..=high).contains(truth)),
        _ => None,
    };
    (answer_in_words(&asked, &label, 0), inside)
}

fn label(question: &Question, verdict: &Verdict, colors: &[&str]) -> Option<(Label, Option<(f64, f64)>)> {
    Some(match verdict.said {
        Said::DistanceM(metres) => (Label::DistanceM(metres.value), Some(metres.interval(Z80))),
        Said::SpeedMps(speed) => {
            let (low, high) = speed.interval(Z80);
            let interval = (low * KMH_PER_MPS, high * KMH_PER_MPS);
            (Label::SpeedKmh(speed.value * KMH_PER_MPS), Some(interval))
        }
        Said::ClockHour(hour) => (Label::ClockHour(hour), None),
        Said::TimeRangeS(start_s, end_s) => (Label::TimeRangeS(start_s, end_s), None),
        Said::Object(index) => (Label::Object((*colors.get(index)?).to_owned()), None),
        Said::Same(same) => (Label::YesNo(same != question.inverted), None),
    })
}
