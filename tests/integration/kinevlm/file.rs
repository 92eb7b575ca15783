//! A file's stream: every window is answered, whatever the speed, and every way out brings the same.

use std::sync::{Arc, Mutex};

use gst::prelude::*;
use kinestream::gst::events::Answers;
use kinestream::gst::kinevlm::{ANSWER, KineVlm};
use kinestream::gst::metadata;
use kinestream::stkit::Answer;

use super::support::*;

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
