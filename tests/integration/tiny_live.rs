//! What the small ST-VLM keeps between windows and questions changes no answer.

use std::path::Path;
use std::sync::Arc;

use kinestream::detection::{BoundingBox, ClassLabel};
use kinestream::frame::{FrameTime, Picture, PixelFormat};
use kinestream::kinematics::{Reliability, Sample, Trajectory};
use kinestream::motion::{SharedTrajectories, StoredTrajectory, TrajectoryStore};
use kinestream::results::FrameResults;
use kinestream::stkit::{Answer, AnswerSource, AnswerValue, StandingQuestions};
use kinestream::tracking::{Track, TrackStatus};
use kinestream::vlm::live::{Backend, Onlooker, Posed};
use kinestream::vlm::tiny::{SharedObservations, TinyBackend, TinyVlm};
use nalgebra::{Matrix3, Point3, Vector3};

const FRAMES: u32 = 32;
const STEP_S: f64 = 0.5;

/// Three objects at different speeds before a picture that changes, for longer than the windows need.
fn stream() -> (SharedObservations, SharedTrajectories) {
    let observations = SharedObservations::default();
    let mut store = TrajectoryStore::new(120.0, 10);
    for id in 1..=3_u32 {
        let mut way = Trajectory::new();
        for index in 0..=40_u32 {
            let (time_s, speed_mps) = (STEP_S * f64::from(index), f64::from(id));
            let sample = Sample {
                time_s,
                position_in_world: Point3::new(10.0 + speed_mps * time_s, f64::from(id), 0.0),
                velocity_in_world_mps: Vector3::new(speed_mps, 0.0, 0.0),
                position_covariance: Matrix3::identity() * 0.01,
                velocity_covariance: Matrix3::identity() * 0.01,
                standing: false,
                reliable: true,
            };
            way.push(sample).unwrap();
        }
        store.insert(StoredTrajectory {
            track_id: u64::from(id),
            class: ClassLabel::new("car"),
            live: way.clone(),
            settled: way,
            reliability: Reliability::Reliable,
        });
    }
    for index in 0..=40_u32 {
        let time_s = STEP_S * f64::from(index);
        let rgb: Vec<u8> = (0..160 * 100 * 3_u32).map(|at| (at * 7 + index * 31) as u8).collect();
        let picture = Picture::packed(PixelFormat::Rgb, 160, 100, &rgb).unwrap();
        let mut results = FrameResults::new(FrameTime::from_pts_ns((time_s * 1e9) as u64), 160, 100);
        for id in 1..=3_u32 {
            let left = 5.0 + (id * index % 100) as f32;
            results.tracks.push(Track {
                id: u64::from(id),
                class: ClassLabel::new("car"),
                bbox: BoundingBox::new(left, 20.0 * id as f32, left + 30.0, 20.0 * id as f32 + 18.0),
                confidence: 0.9,
                existence_probability: 0.9,
                status: TrackStatus::Tracked,
                age_s: 1.0,
                unseen_s: 0.0,
                mask: None,
            });
        }
        let look = Onlooker::wanted(&*observations, time_s).unwrap();
        observations.look(look, time_s, &picture, &results);
    }
    (observations, SharedTrajectories::new(store))
}

fn number(answer: &Answer) -> Option<f64> {
    match answer.value {
        Some(AnswerValue::DistanceM(value) | AnswerValue::SpeedMps(value)) => Some(value),
        _ => None,
    }
}

#[test]
fn a_sliding_window_sees_one_new_view_and_answers_as_from_scratch() {
    let (observations, trajectories) = stream();
    let model = Arc::new(TinyVlm::builtin().unwrap());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/questions.toml");
    let questions = StandingQuestions::load(&file).unwrap();
    let mut kept = TinyBackend::new(Arc::clone(&model), Arc::clone(&observations));
    for window in 0..9 {
        let end_s = STEP_S * f64::from(FRAMES - 1 + window);
        let posed: Vec<Posed<'_>> = questions
            .iter()
            .map(|question| Posed {
                id: &question.id,
                question: &question.question,
                window: (end_s - STEP_S * f64::from(FRAMES - 1), end_s),
            })
            .collect();
        let before = kept.work();
        let answers = kept.answer(&trajectories, &posed);
        let work = kept.work();
        assert_eq!(
            work.passes - before.passes,
            1,
            "all questions about one time share a pass"
        );
        // The eight views shown are four or five frames apart: after five windows every frame was one of them, or is the newest.
        let new = work.views - before.views;
        assert!(new == 1 || window < 5 && new <= 8, "{new} in window {window}");
        for (posed, answers) in posed.iter().zip(&answers) {
            let mut fresh = TinyBackend::new(Arc::clone(&model), Arc::clone(&observations));
            let scratch = fresh.answer(&trajectories, &[*posed]).remove(0);
            assert_eq!(scratch.len(), answers.len());
            for (found, scratch) in answers.iter().zip(&scratch) {
                assert_eq!(
                    (&found.text, &found.subjects, found.source),
                    (&scratch.text, &scratch.subjects, scratch.source)
                );
                if let (Some(found), Some(scratch)) = (number(found), number(scratch)) {
                    assert!((found / scratch - 1.0).abs() < 1e-5, "{found} {scratch}");
                }
            }
        }
        assert!(
            answers
                .iter()
                .flatten()
                .any(|answer| answer.source == AnswerSource::Vlm)
        );
    }
    assert!(kept.work().views <= u64::from(FRAMES) + 8, "no frame is seen twice");
}
