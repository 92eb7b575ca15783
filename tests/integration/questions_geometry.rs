//! Answers from trajectories whose truth is known: all seven tasks, and every reason for having none.

use kinestream::detection::ClassLabel;
use kinestream::kinematics::{Reliability, Sample, Trajectory, UnreliableReason, traveled_distance_m};
use kinestream::motion::{StoredTrajectory, TrajectoryStore};
use kinestream::stkit::{Answer, AnswerSource, AnswerValue, answer_from_geometry, parse_question};
use nalgebra::{Matrix3, Point3, Vector3};

/// Position (x forward, y left) and velocity at a time.
type Motion = fn(f64) -> ([f64; 2], [f64; 2]);

const WINDOW: (f64, f64) = (0.0, 10.0);
const SIGMA_M: f64 = 0.05;

fn sample(time_s: f64, motion: Motion, reliable: bool) -> Sample {
    let ([x, y], [vx, vy]) = motion(time_s);
    Sample {
        time_s,
        position_in_world: Point3::new(x, y, 0.0),
        velocity_in_world_mps: Vector3::new(vx, vy, 0.0),
        position_covariance: Matrix3::identity() * SIGMA_M * SIGMA_M,
        velocity_covariance: Matrix3::identity() * 0.01,
        standing: vx == 0.0 && vy == 0.0,
        reliable,
    }
}

fn object(track_id: u64, class: &str, span: (f64, f64), motion: Motion) -> StoredTrajectory {
    let mut settled = Trajectory::new();
    // 12.5 frames a second, with a frame at both ends.
    let steps = ((span.1 - span.0) * 12.5).round() as usize;
    for i in 0..=steps {
        let time_s = span.0 + (span.1 - span.0) * i as f64 / steps as f64;
        settled.push(sample(time_s, motion, true)).unwrap();
    }
    StoredTrajectory {
        track_id,
        class: ClassLabel::new(class),
        live: settled.clone(),
        settled,
        reliability: Reliability::Reliable,
    }
}

fn straight(t: f64) -> ([f64; 2], [f64; 2]) {
    ([2.0 * t, 0.0], [2.0, 0.0])
}

fn fast(t: f64) -> ([f64; 2], [f64; 2]) {
    ([5.0 * t, 7.0], [5.0, 0.0])
}

fn sideways(t: f64) -> ([f64; 2], [f64; 2]) {
    ([0.0, -3.0 * t], [0.0, -3.0])
}

fn parked(_: f64) -> ([f64; 2], [f64; 2]) {
    ([4.0, 4.0], [0.0, 0.0])
}

/// Ahead for 4 s at 2 m/s, then to the right for 4 s, then standing.
fn turns_right_and_stops(t: f64) -> ([f64; 2], [f64; 2]) {
    match t {
        t if t < 4.0 => ([2.0 * t, 0.0], [2.0, 0.0]),
        t if t < 8.0 => ([8.0, -2.0 * (t - 4.0)], [0.0, -2.0]),
        _ => ([8.0, -8.0], [0.0, 0.0]),
    }
}

/// 1 car straight at 2 m/s, 2 bus at 5 m/s, 3 person that turns right and stops, 4 parked car, 5 car in view from 6 s on,
/// 6 person that walks sideways.
fn store() -> TrajectoryStore {
    let mut store = TrajectoryStore::new(60.0, 100);
    store.insert(object(1, "car", WINDOW, straight));
    store.insert(object(2, "bus", WINDOW, fast));
    store.insert(object(3, "person", WINDOW, turns_right_and_stops));
    store.insert(object(4, "car", WINDOW, parked));
    store.insert(object(5, "car", (6.0, 10.0), straight));
    store.insert(object(6, "person", WINDOW, sideways));
    store
}

fn ask(text: &str) -> Vec<Answer> {
    let question = parse_question(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let answers = answer_from_geometry("q", &question, &store(), WINDOW);
    assert!(!answers.is_empty(), "{text}");
    for answer in &answers {
        assert_eq!(
            (answer.question_id.as_str(), answer.source),
            ("q", AnswerSource::Geometry)
        );
        assert_eq!(answer.question, question);
        assert!((0.0..=1.0).contains(&answer.confidence));
        assert_eq!(answer.reason.is_some(), !answer.reliable, "{answer:?}");
        assert!(answer.value.is_some() || !answer.reliable);
    }
    answers
}

fn ask_one(text: &str) -> Answer {
    let mut answers = ask(text);
    assert_eq!(answers.len(), 1, "{text}: {answers:#?}");
    answers.remove(0)
}

fn number(answer: &Answer) -> f64 {
    match answer.value {
        Some(AnswerValue::DistanceM(value) | AnswerValue::SpeedMps(value)) => value,
        ref other => panic!("{other:?}: {}", answer.text),
    }
}

#[test]
fn distances() {
    let answer = ask_one("How far did object 1 travel?");
    assert_eq!(answer.text, "The total distance traveled by object 1 is 20.00 meters.");
    assert!((number(&answer) - 20.0).abs() < 1e-9);
    assert_eq!(
        (answer.start_s, answer.end_s, answer.subjects.clone()),
        (0.0, 10.0, vec![1])
    );
    let interval = answer.interval.unwrap();
    let measured = traveled_distance_m(&store().get(1).unwrap().settled, 0.0, 10.0).unwrap();
    assert_eq!((interval.low, interval.high), measured.interval_95());
    assert!(interval.low < 20.0 && 20.0 < interval.high && interval.high - interval.low < 8.0 * SIGMA_M);
    assert!(answer.reliable && answer.confidence > 0.999);

    assert!((number(&ask_one("How far did object 1 travel in the last 3 seconds?")) - 6.0).abs() < 1e-9);
    assert!((number(&ask_one("How far did object 3 travel between 3 and 5 s?")) - 4.0).abs() < 1e-9);
    assert!((number(&ask_one("How far did object 3 travel since 6 s?")) - 4.0).abs() < 1e-9);
    let parked = ask_one("How far did object 4 travel?");
    assert_eq!(number(&parked), 0.0);
    assert!(parked.confidence > 0.9, "{}", parked.confidence);
}

#[test]
fn speeds() {
    let answer = ask_one("How fast is object 1?");
    assert_eq!(answer.text, "The average speed of object 1 is 7.20 km/h.");
    assert!((number(&answer) - 2.0).abs() < 1e-9);
    assert!((number(&ask_one("How fast was object 3 between 6 and 10 s?")) - 1.0).abs() < 1e-9);
}

#[test]
fn each_object_of_a_class_is_answered_for() {
    let answers = ask("How fast are the vehicles?");
    let found: Vec<_> = answers.iter().map(|a| (a.subjects[0], number(a).round())).collect();
    assert_eq!(found, [(1, 2.0), (2, 5.0), (4, 0.0), (5, 2.0)]);
    assert_eq!(ask("How far did any object travel?").len(), 6);
    assert_eq!(ask("How far did objects 1 and 2 travel?").len(), 2);
    // A named time leaves out who was seen for less than half of it.
    assert_eq!(ask("How far did the cars travel between 1 and 9 s?").len(), 2);
}

#[test]
fn directions() {
    let answer = ask_one("In which direction does object 3 move at the end, between 0 and 7 s?");
    assert_eq!(answer.value, Some(AnswerValue::ClockHour(3)));
    assert_eq!(
        answer.text,
        "Object 3 moves in the direction of 3 o'clock at 7.00 seconds."
    );
    assert!(!answer.ambiguous && answer.confidence > 0.9);
    // 12 is an object's own first direction, wherever that points.
    assert_eq!(
        ask_one("Which way is object 6 heading?").value,
        Some(AnswerValue::ClockHour(12))
    );
    let yes = ask_one("Was object 3 moving toward 3 o'clock between 0 and 7 s?");
    assert!(yes.text.starts_with("Yes, "), "{}", yes.text);
    let no = ask_one("Was object 3 moving toward 9 o'clock between 0 and 7 s?");
    assert!(
        no.text.starts_with("No, ") && no.value == Some(AnswerValue::ClockHour(3)),
        "{}",
        no.text
    );
}

#[test]
fn times_of_directions() {
    let answer = ask_one("When does object 3 move toward 3 o'clock?");
    assert_eq!(answer.value, Some(AnswerValue::TimeRangeS(4.0, 8.0)));
    assert_eq!(
        answer.text,
        "Object 3 moves in the 3 o'clock direction from 4.00 to 8.00 seconds."
    );
    assert!(answer.confidence > 0.9);
    let first = ask_one("When does object 3 move toward 12 o'clock?");
    assert_eq!(first.value, Some(AnswerValue::TimeRangeS(0.0, 4.0)));
}

#[test]
fn comparisons_of_distance_and_speed() {
    let answer = ask_one("Which of objects 1 and 2 travels farther?");
    assert_eq!(answer.value, Some(AnswerValue::ObjectId(2)));
    assert_eq!(
        answer.text,
        "Object 2 travels a greater distance (50.00 meters) than object 1 (20.00 meters)."
    );
    assert!(answer.confidence > 0.999 && !answer.ambiguous);
    assert_eq!(
        ask_one("Which of objects 1 and 2 travels less far?").value,
        Some(AnswerValue::ObjectId(1))
    );
    let slower = ask_one("Which of objects 1 and 2 is slower?");
    assert_eq!(slower.value, Some(AnswerValue::ObjectId(1)));
    assert_eq!(
        slower.text,
        "Object 1 moves slower (7.20 km/h) than object 2 (18.00 km/h)."
    );
    let fastest = ask_one("Which of objects 1, 2 and 6 moves fastest?");
    assert_eq!(
        fastest.text,
        "Of objects 1, 2 and 6, object 2 moves fastest (18.00 km/h)."
    );
    assert_eq!(
        ask_one("Which object moves fastest?").value,
        Some(AnswerValue::ObjectId(2))
    );
    assert_eq!(
        ask_one("Which person moves the fastest?").value,
        Some(AnswerValue::ObjectId(6))
    );
    assert_eq!(
        ask_one("Is object 1 faster than the bus?").value,
        Some(AnswerValue::ObjectId(2))
    );
    // Object 5 is seen from 6 s on: both are compared over the time they share.
    let shared = ask_one("Which of objects 2 and 5 travels farther?");
    assert_eq!((shared.start_s, shared.end_s), (6.0, 10.0));
    assert!(shared.text.contains("known only from 6.00 to 10.00"), "{}", shared.text);
    // 1 and 5 are equally fast: the order is a coin's.
    let even = ask_one("Which of objects 1 and 5 is faster?");
    assert!(
        even.value.is_none() || even.ambiguous && even.confidence < 0.6,
        "{even:?}"
    );
}

#[test]
fn comparisons_of_direction() {
    let same = ask_one("Do objects 1 and 2 move in the same direction?");
    assert_eq!(same.value, Some(AnswerValue::YesNo(true)));
    assert_eq!(same.text, "Yes, objects 1 and 2 move in the same direction.");
    assert!(same.confidence > 0.99);
    let different = ask_one("Do objects 1 and 6 move in different directions?");
    assert_eq!(different.value, Some(AnswerValue::YesNo(true)));
    assert_eq!(different.text, "Yes, objects 1 and 6 move in different directions.");
    assert_eq!(
        ask_one("Do objects 1 and 6 move in the same direction?").value,
        Some(AnswerValue::YesNo(false))
    );
    // Of a group, who stands has no direction and is left out.
    let all = ask_one("Are all objects moving in the same direction?");
    assert_eq!(all.value, Some(AnswerValue::YesNo(false)));
    assert_eq!(all.subjects, [1, 2, 3, 6]);
}

#[test]
fn what_cannot_be_answered_says_why_and_has_no_value() {
    for (text, part) in [
        ("How far did object 99 travel?", "object 99 was not seen"),
        ("How fast are the trains?", "no train was in view"),
        ("How far did the red object travel?", "marked by their ids"),
        (
            "How far did object 1 travel between 20 and 30 s?",
            "settled until 10.00",
        ),
        (
            "How far did object 5 travel between 1 and 5 s?",
            "is known from 6.00 to 10.00 seconds",
        ),
        ("How far did object 5 travel between 0 and 9 s?", "too little"),
        (
            "In which direction is object 4 moving?",
            "stands still, so it has no direction",
        ),
        (
            "In which direction is object 3 moving?",
            "stands still at the end (it last moved at 8.00",
        ),
        (
            "In which direction is object 1 moving in the last 0.2 s?",
            "at least 0.5 s",
        ),
        (
            "When does object 1 move toward 3 o'clock?",
            "never moves in the 3 o'clock",
        ),
        ("When does object 4 move toward 3 o'clock?", "no direction"),
        ("Which of objects 1 and 99 is faster?", "object 99 was not seen"),
        ("Which bus is fastest?", "only object 2 was in view"),
        (
            "Do objects 1 and 4 move in the same direction?",
            "object 4 stands still",
        ),
        (
            "Are all buses moving in the same direction?",
            "only object 2 was in view",
        ),
    ] {
        let answer = ask_one(text);
        assert_eq!(answer.value, None, "{text}: {}", answer.text);
        assert_eq!(
            (answer.reliable, answer.confidence, answer.interval),
            (false, 0.0, None),
            "{text}"
        );
        assert!(answer.text.contains(part), "{text}: {}", answer.text);
        assert!(answer.reason.is_some_and(|reason| reason.contains(part)), "{text}");
    }
    let empty = TrajectoryStore::new(60.0, 10);
    let question = parse_question("Which object is fastest?").unwrap();
    assert_eq!(answer_from_geometry("q", &question, &empty, WINDOW)[0].value, None);
    for window in [(0.0, 0.0), (5.0, 2.0), (f64::NAN, 1.0), (0.0, f64::INFINITY)] {
        let answers = answer_from_geometry("q", &question, &store(), window);
        assert_eq!((answers.len(), answers[0].value.clone()), (1, None), "{window:?}");
    }
}

#[test]
fn a_part_of_the_time_is_answered_for_and_said_so() {
    let answer = ask_one("How far did object 5 travel between 3 and 9 s?");
    assert_eq!((answer.start_s, answer.end_s), (6.0, 9.0));
    assert!((number(&answer) - 6.0).abs() < 1e-9);
    assert_eq!(
        answer.text,
        "The total distance traveled by object 5 is 6.00 meters. Object 5 is known only from 6.00 to 9.00 seconds."
    );
    // A window that nobody named may be covered by less.
    let window = ask_one("How far did object 5 travel?");
    assert_eq!((window.start_s, window.end_s), (6.0, 10.0));
}

#[test]
fn what_is_not_to_be_trusted_is_marked() {
    let mut stored = object(7, "car", WINDOW, straight);
    stored.settled = Trajectory::new();
    for i in 0..=100 {
        stored
            .settled
            .push(sample(0.1 * f64::from(i), straight, false))
            .unwrap();
    }
    stored.reliability = Reliability::Unreliable(UnreliableReason::IntrinsicsAssumed);
    let mut store = store();
    store.insert(stored);
    for text in [
        "How far did object 7 travel?",
        "Which of objects 1 and 7 is faster?",
        "Do objects 1 and 7 move in the same direction?",
    ] {
        let question = parse_question(text).unwrap();
        let answer = answer_from_geometry("q", &question, &store, WINDOW).remove(0);
        if answer.value.is_some() {
            assert!(!answer.reliable, "{text}");
            assert!(answer.reason.unwrap().contains("intrinsics_assumed"), "{text}");
        }
    }
}

#[test]
fn a_question_by_the_last_seconds_reaches_back_to_the_start_of_the_stream_only() {
    let answer = ask_one("How far did object 1 travel in the past minute?");
    assert!((number(&answer) - 20.0).abs() < 1e-9);
    assert_eq!((answer.start_s, answer.end_s), (0.0, 10.0));
}

#[test]
fn answers_survive_json() {
    for text in [
        "How far did object 1 travel?",
        "When does object 3 move toward 3 o'clock?",
        "How far did object 99 travel?",
    ] {
        let answer = ask_one(text);
        let json = serde_json::to_string(&answer).unwrap();
        assert_eq!(serde_json::from_str::<Answer>(&json).unwrap(), answer);
    }
}
