//! The small ST-VLM on a sliding window of 32 frames, stride 1: with what it keeps, and from scratch. Prints the convolutions'
//! views and the time for one answer, both ways, and how far the answers are apart. From scratch means each question
//! about each object by itself.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kinestream::detection::ClassLabel;
use kinestream::frame::{FrameTime, Picture, PixelFormat};
use kinestream::kinematics::{Reliability, Sample, Trajectory};
use kinestream::motion::{SharedTrajectories, StoredTrajectory, TrajectoryStore};
use kinestream::results::FrameResults;
use kinestream::sim::render::Renderer;
use kinestream::sim::{ActorClass, Scene, World, WorldSettings};
use kinestream::stkit::{Answer, AnswerValue, Question, StandingQuestions, Subject};
use kinestream::tracking::{Track, TrackStatus};
use kinestream::vlm::live::{Backend, Look, Posed};
use kinestream::vlm::tiny::clip::{Clip, View};
use kinestream::vlm::tiny::views::{shrink_picture, with_brightness};
use kinestream::vlm::tiny::{SharedObservations, TinyBackend, TinyVlm};
use nalgebra::{Matrix3, Vector3};

const FRAMES: usize = 32;
const STEP_S: f64 = 0.5;
const WINDOWS: usize = 6;

/// A street with its notes, and the trajectories of its cars and people.
fn stream() -> (SharedObservations, SharedTrajectories) {
    let mut world = World::new(WorldSettings::new(Scene::StreetFixed, 90_004)).unwrap();
    let mut renderer = Renderer::new(&world);
    let (width, height) = (world.settings.width, world.settings.height);
    let observations = SharedObservations::default();
    let mut ways: Vec<(u64, Trajectory)> = Vec::new();
    for index in 0..FRAMES + WINDOWS {
        let time_s = STEP_S * index as f64;
        let snapshot = world.at(1.0 + time_s).unwrap();
        let rendered = renderer.render(&snapshot);
        let mut results = FrameResults::new(FrameTime::from_pts_ns((time_s * 1e9) as u64), width, height);
        for actor in snapshot.actors.iter().filter(|actor| actor.class != ActorClass::Ball) {
            let id = u64::from(actor.id);
            let sighting = rendered.sightings.iter().find(|sighting| sighting.id == actor.id);
            if let Some(sighting) = sighting.filter(|sighting| sighting.visible_fraction() > 0.3) {
                results.tracks.push(Track {
                    id,
                    class: ClassLabel::new("car"),
                    bbox: sighting.bbox,
                    confidence: 0.9,
                    existence_probability: 0.9,
                    status: TrackStatus::Tracked,
                    age_s: 1.0,
                    unseen_s: 0.0,
                    mask: None,
                });
            }
            if ways.iter().all(|(known, _)| *known != id) {
                ways.push((id, Trajectory::new()));
            }
            let (_, way) = ways.iter_mut().find(|(known, _)| *known == id).unwrap();
            let _ = way.push(Sample {
                time_s,
                position_in_world: kinestream::vlm::tiny::training::sample_of(actor, time_s).center_in_world,
                velocity_in_world_mps: Vector3::zeros(),
                position_covariance: Matrix3::identity() * 0.01,
                velocity_covariance: Matrix3::identity() * 0.01,
                standing: false,
                reliable: true,
            });
        }
        let picture = Picture::packed(PixelFormat::Rgb, width, height, &rendered.rgb).unwrap();
        let mut observations = observations.lock().unwrap();
        assert_eq!(observations.wanted(time_s), Some(Look::Keep));
        observations.take(Look::Keep, time_s, shrink_picture(&picture), &results);
    }
    let mut store = TrajectoryStore::new(120.0, 100);
    for (track_id, way) in ways {
        store.insert(StoredTrajectory {
            track_id,
            class: ClassLabel::new("car"),
            live: way.clone(),
            settled: way,
            reliability: Reliability::Reliable,
        });
    }
    (observations, SharedTrajectories::new(store))
}

/// How far two answers' values are apart, relative to them; what is no number must be the same.
fn apart(a: &Answer, b: &Answer) -> f64 {
    assert_eq!((&a.subjects, a.source), (&b.subjects, b.source));
    match (&a.value, &b.value) {
        (Some(AnswerValue::DistanceM(a)), Some(AnswerValue::DistanceM(b)))
        | (Some(AnswerValue::SpeedMps(a)), Some(AnswerValue::SpeedMps(b))) => (a - b).abs() / a.abs().max(1e-3),
        (a, b) => {
            assert_eq!(a, b);
            0.0
        }
    }
}

/// The question about one object alone; comparisons as they are.
fn alone(question: &Question, answer: &Answer) -> Question {
    match answer.subjects[..] {
        [id] if question.task.is_some_and(|task| task.subjects() == 1) => Question {
            subjects: vec![Subject::Id(id)],
            ..question.clone()
        },
        _ => question.clone(),
    }
}

/// The seven tasks asked of every object, window after window.
fn seven_questions(model: &Arc<TinyVlm>) {
    let (observations, trajectories) = stream();
    let questions = StandingQuestions::load(Path::new("configs/questions.toml")).unwrap();
    let mut kept = TinyBackend::new(Arc::clone(model), Arc::clone(&observations));
    let (mut with, mut without) = (Duration::ZERO, Duration::ZERO);
    let (mut views, mut answers) = ((0, 0), 0);
    let (mut off, mut other_words) = (0.0_f64, 0);
    for window in 0..WINDOWS {
        let end_s = STEP_S * (FRAMES - 1 + window) as f64;
        let posed: Vec<Posed<'_>> = questions
            .iter()
            .map(|question| Posed {
                id: &question.id,
                question: &question.question,
                window: (end_s - STEP_S * (FRAMES - 1) as f64, end_s),
            })
            .collect();
        let before = kept.work();
        let started = Instant::now();
        let found = kept.answer(&trajectories, &posed);
        let took = started.elapsed();
        let (mut scratch_took, mut seen) = (Duration::ZERO, 0);
        for (posed, found) in posed.iter().zip(&found) {
            for answer in found {
                let question = alone(posed.question, answer);
                let posed = Posed {
                    question: &question,
                    ..*posed
                };
                let started = Instant::now();
                let mut fresh = TinyBackend::new(Arc::clone(model), Arc::clone(&observations));
                let scratch = fresh.answer(&trajectories, &[posed]).remove(0).remove(0);
                scratch_took += started.elapsed();
                seen += fresh.work().views;
                off = off.max(apart(&scratch, answer));
                other_words += usize::from(scratch.text != answer.text);
            }
        }
        let found: Vec<Answer> = found.into_iter().flatten().collect();
        // The first window has nothing to build on.
        if window > 0 {
            with += took;
            without += scratch_took;
            views = (views.0 + kept.work().views - before.views, views.1 + seen);
            answers += found.len();
        }
    }
    let per = |took: Duration| took.as_secs_f64() * 1e3 / answers as f64;
    println!(
        "seven standing questions, {answers} answers in {} windows of {FRAMES} frames: {} views seen instead of {} ({:.1} times \
         less), {:.2} ms instead of {:.2} ms an answer ({:.1} times less); {other_words} answers in other words, numbers at most {off:.0e} \
         apart",
        WINDOWS - 1,
        views.0,
        views.1,
        views.1 as f64 / views.0 as f64,
        per(with),
        per(without),
        per(without) / per(with)
    );
}

/// One question about one object, with all 32 frames of the window shown to the model.
fn every_frame_shown(model: &TinyVlm) {
    let (observations, _) = stream();
    let notes = observations.lock().unwrap().between(0.0, 1e9);
    let clip_of = |first: usize| {
        let notes = &notes[first..first + FRAMES];
        let boxes = notes
            .iter()
            .map(|note| note.boxes.first().map(|(_, bbox)| *bbox))
            .collect();
        Clip {
            times_s: (0..FRAMES).map(|index| STEP_S * index as f64).collect(),
            camera: notes[0].camera.unwrap(),
            camera_yaw_rad: Some(0.0),
            views: notes
                .iter()
                .enumerate()
                .map(|(at, note)| View {
                    at,
                    pixels: with_brightness(&note.rgb, None),
                })
                .collect(),
            objects: vec![kinestream::vlm::tiny::clip::ClipObject {
                boxes,
                states: vec![None; FRAMES],
            }],
        }
    };
    let rows = [(0, (0.0, STEP_S * (FRAMES - 1) as f64))];
    let mut seen: Vec<_> = clip_of(0).views.iter().map(|view| model.see(view)).collect();
    let (mut with, mut without) = (Duration::ZERO, Duration::ZERO);
    for window in 1..WINDOWS {
        let clip = clip_of(window);
        let started = Instant::now();
        seen.remove(0);
        seen.push(model.see(&clip.views[FRAMES - 1]));
        let kept = model.find_seen(&clip, &seen.iter().collect::<Vec<_>>(), &rows, false);
        with += started.elapsed();
        let started = Instant::now();
        let scratch = model.find(&clip, &rows, false);
        without += started.elapsed();
        assert!(kept == scratch, "the findings are the same");
    }
    let per = |took: Duration| took.as_secs_f64() * 1e3 / (WINDOWS - 1) as f64;
    println!(
        "one question about one object, all {FRAMES} frames shown: 1 view seen instead of {FRAMES}, {:.2} ms instead of {:.2} ms \
         ({:.1} times less), all findings the same",
        per(with),
        per(without),
        per(without) / per(with)
    );
}

fn main() {
    let model = Arc::new(TinyVlm::builtin().unwrap());
    seven_questions(&model);
    every_frame_shown(&model);
}
