//! A car's trajectory, frames that carry it, and a live stream through the element.

use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use gst::prelude::*;
use gst_check::Harness;
use kinestream::detection::ClassLabel;
use kinestream::frame::FrameTime;
use kinestream::gst::events::Answers;
use kinestream::gst::metadata;
use kinestream::kinematics::{Reliability, Sample, Trajectory};
use kinestream::motion::{SharedTrajectories, StoredTrajectory, TrajectoryStore};
use kinestream::results::FrameResults;
use kinestream::stkit::{Answer, AnswerValue};
use nalgebra::{Matrix3, Point3, Vector3};

pub const SETTLE_LAG_S: f64 = 1.0;

pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        kinestream::gst::register(None).unwrap();
    });
}

/// A car (id 1) that goes ahead at 2 m/s for two minutes.
pub fn trajectories() -> SharedTrajectories {
    let mut settled = Trajectory::new();
    for i in 0..=1200 {
        let time_s = 0.1 * f64::from(i);
        settled
            .push(Sample {
                time_s,
                position_in_world: Point3::new(2.0 * time_s, 0.0, 0.0),
                velocity_in_world_mps: Vector3::new(2.0, 0.0, 0.0),
                position_covariance: Matrix3::identity() * 1e-4,
                velocity_covariance: Matrix3::identity() * 1e-4,
                standing: false,
                reliable: true,
            })
            .unwrap();
    }
    let mut store = TrajectoryStore::new(120.0, 10).with_settle_lag_s(SETTLE_LAG_S);
    store.insert(StoredTrajectory {
        track_id: 1,
        class: ClassLabel::new("car"),
        live: settled.clone(),
        settled,
        reliability: Reliability::Reliable,
    });
    SharedTrajectories::new(store)
}

pub fn questions(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

pub const DISTANCE: &str = "[[question]]\nid = \"distance\"\ntext = \"How far did object 1 travel?\"\n";

pub fn video_caps(width: i32) -> gst::Caps {
    init();
    gst::Caps::builder("video/x-raw")
        .field("format", "GRAY8")
        .field("width", width)
        .field("height", 16)
        .field("framerate", gst::Fraction::new(10, 1))
        .build()
}

pub fn frame(time_s: f64, trajectories: Option<&SharedTrajectories>) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_mut_slice(vec![7u8; 32 * 16]);
    let pts = gst::ClockTime::from_nseconds((time_s * 1e9).round() as u64);
    let inner = buffer.get_mut().unwrap();
    inner.set_pts(pts);
    let mut results = FrameResults::new(FrameTime::from_pts_ns(pts.nseconds()), 32, 16);
    results.trajectories = trajectories.cloned();
    metadata::attach(inner, Arc::new(results)).unwrap();
    buffer
}

/// A live stream through the element (a harness calls itself live), fed frame by frame.
pub struct Live {
    pub harness: Harness,
    pub element: gst::Element,
    pub trajectories: SharedTrajectories,
    _questions: tempfile::NamedTempFile,
}

impl Live {
    pub fn new(text: &str) -> Self {
        init();
        let file = questions(text);
        let element = gst::ElementFactory::make("kinevlm")
            .property("questions", file.path().to_str().unwrap())
            .property("window", 4.0)
            .build()
            .unwrap();
        let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
        harness.set_src_caps(video_caps(32));
        Self {
            harness,
            element,
            trajectories: trajectories(),
            _questions: file,
        }
    }

    pub fn push(&mut self, time_s: f64) -> Vec<Arc<Answer>> {
        let out = self
            .harness
            .push_and_pull(frame(time_s, Some(&self.trajectories)))
            .unwrap();
        assert!(
            out.map_readable().unwrap().iter().all(|byte| *byte == 7),
            "pictures pass untouched"
        );
        let mut answers = metadata::results(&out).unwrap().answers.clone();
        // On a machine so busy that the answer finds the stream stalled, it comes on its own.
        answers.extend(self.answers_in_events().0);
        answers
    }

    pub fn counter(&self, name: &str) -> u64 {
        self.element.property(name)
    }

    /// Waits until so many answers were given.
    pub fn wait_for(&self, answered: u64) {
        let limit = Instant::now() + Duration::from_secs(20);
        while self.counter("answered") < answered {
            assert!(
                Instant::now() < limit,
                "{} answers of {answered}",
                self.counter("answered")
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn answers_in_events(&mut self) -> (Vec<Arc<Answer>>, bool) {
        let mut found = Vec::new();
        let mut ended = false;
        while let Some(event) = self.harness.try_pull_event() {
            if let Some(Answers(answers)) = Answers::from_event(&event) {
                assert!(!ended, "answers come before EOS");
                found.extend(answers);
            }
            ended |= event.type_() == gst::EventType::Eos;
        }
        (found, ended)
    }
}

pub fn distance_m(answer: &Answer) -> f64 {
    match answer.value {
        Some(AnswerValue::DistanceM(metres)) => metres,
        ref other => panic!("{other:?}: {}", answer.text),
    }
}
