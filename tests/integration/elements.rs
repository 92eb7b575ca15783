//! kinerecon, kinetrack and kinemotion in harnesses: pictures pass untouched, results travel, and streams may flush, end,
//! change, jump and be late.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use gst::prelude::*;
use gst_check::Harness;
use gst_video::VideoRegionOfInterestMeta;
use kinestream::gst::{events, metadata, regions};
use kinestream::results::FrameResults;
use kinestream::tracking::TrackStatus;

fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().unwrap();
        kinestream::gst::register(None).unwrap();
        if let Err(error) = kinestream::perception::runtime::load() {
            panic!("these tests need ONNX Runtime: {error}");
        }
    });
}

/// A detector that sees the same three things in every picture of one colour; the surest is of class 2.
fn detector() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/onnx/yolox.onnx")
}

fn kinetrack(properties: &str) -> String {
    format!(
        "kinetrack model={} device=cpu threads=1 {properties}",
        detector().display()
    )
}

fn caps(format: &str, width: i32, height: i32) -> gst::Caps {
    gst::Caps::builder("video/x-raw")
        .field("format", format)
        .field("width", width)
        .field("height", height)
        .field("framerate", gst::Fraction::new(10, 1))
        .build()
}

fn rgb() -> gst::Caps {
    init();
    caps("RGB", 128, 64)
}

fn harness(description: &str) -> Harness {
    init();
    let mut harness = Harness::new_parse(description);
    harness.set_src_caps(rgb());
    harness
}

/// A frame of the colour that the detector knows.
fn frame(pts_ms: u64) -> gst::Buffer {
    sized_frame(pts_ms, 128, 64)
}

fn sized_frame(pts_ms: u64, width: usize, height: usize) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_mut_slice([200, 100, 50].repeat(width * height));
    let writable = buffer.get_mut().unwrap();
    writable.set_pts(gst::ClockTime::from_mseconds(pts_ms));
    writable.set_duration(gst::ClockTime::from_mseconds(100));
    buffer
}

fn results(buffer: &gst::BufferRef) -> Arc<FrameResults> {
    metadata::results(buffer).expect("a frame without results")
}

/// Pushes one frame and returns it as it comes out.
fn pass(harness: &mut Harness, buffer: gst::Buffer) -> gst::Buffer {
    harness.push(buffer).unwrap();
    harness.pull().unwrap()
}

/// Frames at 0, 100 and 200 ms: after the second, a track is sure enough to be told. Returns its id.
fn warm_up(harness: &mut Harness) -> Vec<u64> {
    let ids = (0..3).map(|k| ids(&pass(harness, frame(100 * k)))).last().unwrap();
    assert_eq!(ids.len(), 1);
    ids
}

/// Ids of the tracks that are seen.
fn ids(buffer: &gst::BufferRef) -> Vec<u64> {
    let results = results(buffer);
    let seen = results
        .tracks
        .iter()
        .filter(|track| track.status == TrackStatus::Tracked);
    seen.map(|track| track.id).collect()
}

/// The element made by `factory` in the harness.
fn find(harness: &Harness, factory: &str) -> gst::Element {
    let element = harness.element().unwrap();
    let found = match element.downcast_ref::<gst::Bin>() {
        Some(bin) => bin
            .iterate_recurse()
            .into_iter()
            .flatten()
            .find(|element| element.factory().is_some_and(|f| f.name() == factory)),
        None => Some(element.clone()),
    };
    found.unwrap()
}

fn count(harness: &Harness, factory: &str, counter: &str) -> u64 {
    find(harness, factory).property(counter)
}

const CHAIN: &str = "kinerecon ! TRACK ! kinemotion";

fn chain() -> String {
    CHAIN.replace("TRACK", &kinetrack(""))
}

#[test]
fn pictures_pass_untouched_and_results_travel() {
    let mut harness = harness(&chain());
    for k in 0..20 {
        let buffer = frame(100 * k);
        let memory = buffer.peek_memory(0).as_ptr();
        let before = buffer.map_readable().unwrap().to_vec();
        let buffer = pass(&mut harness, buffer);
        assert_eq!(buffer.peek_memory(0).as_ptr(), memory, "the picture was copied");
        assert_eq!(buffer.map_readable().unwrap().as_slice(), before);
        assert_eq!(buffer.pts(), Some(gst::ClockTime::from_mseconds(100 * k)));
    }
    let buffer = pass(&mut harness, frame(2000));
    let results = results(&buffer);
    assert_eq!((results.width, results.height), (128, 64));
    assert_eq!(results.tracks.len(), 1);
    assert_eq!(results.tracks[0].class.as_str(), "class 2");
    assert!(results.view.is_some() && results.trajectories.is_some());
    let stages: Vec<_> = results.stage_seconds.iter().map(|(stage, _)| stage.as_str()).collect();
    assert_eq!(stages, ["reconstruction", "detection", "tracking", "motion"]);
    for factory in ["kinerecon", "kinetrack", "kinemotion"] {
        assert_eq!(count(&harness, factory, "processed"), 21, "{factory}");
        assert_eq!(count(&harness, factory, "dropped"), 0, "{factory}");
        assert_eq!(count(&harness, factory, "late"), 0, "{factory}");
    }
}

#[test]
fn a_frame_that_somebody_else_holds_too_is_not_copied_either() {
    let mut harness = harness(&kinetrack(""));
    let buffer = frame(0);
    let held = buffer.clone();
    let passed = pass(&mut harness, buffer);
    assert_eq!(passed.peek_memory(0).as_ptr(), held.peek_memory(0).as_ptr());
    assert!(metadata::results(&held).is_none());
    assert!(metadata::results(&passed).is_some());
}

#[test]
fn tracks_are_regions_of_interest_too() {
    let mut harness = harness(&chain());
    let buffer = (0..5).map(|k| pass(&mut harness, frame(100 * k))).last().unwrap();
    let results = results(&buffer);
    let found: Vec<_> = buffer.iter_meta::<VideoRegionOfInterestMeta>().collect();
    assert_eq!(found.len(), 1);
    let region = &found[0];
    assert_eq!(region.roi_type(), "class 2");
    assert_eq!(region.id(), results.tracks[0].id as i32);
    let (x, y, width, height) = region.rect();
    let bbox = results.tracks[0].bbox;
    assert!((x as f32 - bbox.x0).abs() <= 1.0 && (y as f32 - bbox.y0).abs() <= 1.0);
    assert!((width as f32 - bbox.width()).abs() <= 2.0 && (height as f32 - bbox.height()).abs() <= 2.0);
    let parameters = region.param(regions::PARAMETERS).unwrap();
    assert_eq!(parameters.get::<u64>("id").unwrap(), results.tracks[0].id);
    assert_eq!(parameters.get::<&str>("class").unwrap(), "class 2");
    if !results.objects.is_empty() {
        assert!(parameters.get::<f64>("speed-mps").unwrap().is_finite());
    }
}

#[test]
fn results_survive_scaling_and_conversion() {
    let description = format!(
        "{} ! videoscale ! capsfilter caps=video/x-raw,width=64,height=32 ! videoconvert \
         ! capsfilter caps=video/x-raw,format=I420",
        kinetrack("")
    );
    let mut harness = harness(&description);
    warm_up(&mut harness);
    let buffer = pass(&mut harness, frame(300));
    let results = results(&buffer);
    // Boxes refer to the size in the results, whatever the buffer's.
    assert_eq!((results.width, results.height), (128, 64));
    assert_eq!(results.tracks.len(), 1);
    let region = buffer.iter_meta::<VideoRegionOfInterestMeta>().next().unwrap();
    let bbox = results.tracks[0].bbox;
    assert!((region.rect().0 as f32 - bbox.x0 / 2.0).abs() <= 1.0);
}

#[test]
fn every_accepted_format_is_read() {
    for format in ["NV12", "I420", "RGB", "BGR", "RGBx", "BGRx", "RGBA", "BGRA", "GRAY8"] {
        let mut harness = Harness::new_parse(&{
            init();
            chain()
        });
        harness.set_src_caps(caps(format, 34, 18));
        let size = gst_video::VideoInfo::from_caps(&caps(format, 34, 18)).unwrap().size();
        let mut buffer = gst::Buffer::with_size(size).unwrap();
        buffer.get_mut().unwrap().set_pts(gst::ClockTime::ZERO);
        let buffer = pass(&mut harness, buffer);
        assert_eq!(results(&buffer).width, 34, "{format}");
    }
}

#[test]
fn a_flush_starts_anew() {
    let mut harness = harness(&chain());
    let first = warm_up(&mut harness);
    assert!(harness.push_event(gst::event::FlushStart::new()));
    assert!(harness.push_event(gst::event::FlushStop::new(true)));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    assert!(harness.push_event(gst::event::Segment::new(&segment)));
    let after = warm_up(&mut harness);
    assert_ne!(after, first);
}

#[test]
fn the_end_passes() {
    let mut harness = harness(&chain());
    pass(&mut harness, frame(0));
    assert!(harness.push_event(gst::event::Eos::new()));
    let events: Vec<_> = std::iter::from_fn(|| harness.try_pull_event())
        .map(|event| event.type_())
        .collect();
    assert_eq!(events.last(), Some(&gst::EventType::Eos));
}

#[test]
fn other_caps_start_anew_and_the_same_do_not() {
    let mut harness = harness(&chain());
    let first = warm_up(&mut harness);
    assert!(harness.push_event(gst::event::Caps::new(&rgb())));
    assert_eq!(ids(&pass(&mut harness, frame(300))), first);
    assert!(harness.push_event(gst::event::Caps::new(&caps("RGB", 256, 128))));
    pass(&mut harness, sized_frame(400, 256, 128));
    let buffer = pass(&mut harness, sized_frame(500, 256, 128));
    assert_eq!(results(&buffer).width, 256);
    assert_eq!(ids(&buffer).len(), 1);
    assert_ne!(ids(&buffer), first);
}

#[test]
fn gaps_pass_and_identities_bridge_them() {
    let mut harness = harness(&chain());
    let first = warm_up(&mut harness);
    let gap = gst::event::Gap::builder(gst::ClockTime::from_mseconds(300))
        .duration(gst::ClockTime::from_mseconds(200))
        .build();
    assert!(harness.push_event(gap));
    let mut empty = frame(500);
    empty.get_mut().unwrap().set_flags(gst::BufferFlags::GAP);
    let passed = pass(&mut harness, empty);
    assert!(metadata::results(&passed).is_none());
    assert_eq!(count(&harness, "kinetrack", "dropped"), 1);
    assert_eq!(ids(&pass(&mut harness, frame(600))), first);
    assert_eq!(ids(&pass(&mut harness, frame(2500))), first, "a gap of 1.9 s");
    assert_ne!(ids(&pass(&mut harness, frame(5500))), first, "a gap of 3 s");
}

#[test]
fn time_that_jumps_starts_anew_without_a_speed_spike() {
    for jump_ms in [0, 3_600_000] {
        let mut harness = harness(&chain());
        let mut first = Vec::new();
        for k in 10..30 {
            first = ids(&pass(&mut harness, frame(100 * k)));
        }
        for k in 0..20 {
            let buffer = pass(&mut harness, frame(jump_ms + 100 * k));
            assert_ne!(ids(&buffer), first, "jump to {jump_ms}");
            for object in &results(&buffer).objects {
                let speed_mps = object.live.velocity_in_world_mps.norm();
                assert!(speed_mps < 10.0, "jump to {jump_ms}: {speed_mps} m/s");
            }
        }
    }
}

/// Plays `rate` frames a second without time stamps through kinerecon; the times that they got, or the error.
fn times_without_stamps(rate: &str) -> Result<Vec<u64>, String> {
    init();
    let pipeline = gst::parse::launch(&format!(
        "videotestsrc num-buffers=3 ! video/x-raw,format=RGB,width=64,height=64,framerate={rate} ! identity name=strip \
         ! kinerecon ! fakesink name=sink"
    ))
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    let pad = |name: &str, pad: &str| pipeline.by_name(name).unwrap().static_pad(pad).unwrap();
    pad("strip", "src").add_probe(gst::PadProbeType::BUFFER, |_, info| {
        let buffer = info.buffer_mut().unwrap().make_mut();
        buffer.set_pts(gst::ClockTime::NONE);
        buffer.set_duration(gst::ClockTime::NONE);
        gst::PadProbeReturn::Ok
    });
    let times = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&times);
    pad("sink", "sink").add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        seen.lock().unwrap().push(results(info.buffer().unwrap()).time.pts_ns);
        gst::PadProbeReturn::Ok
    });
    let end = play_to_end(pipeline.upcast_ref());
    let times = times.lock().unwrap().clone();
    end.map(|()| times)
}

#[test]
fn frames_without_time_stamps_go_by_the_frame_rate() {
    assert_eq!(times_without_stamps("10/1"), Ok(vec![0, 100_000_000, 200_000_000]));
}

#[test]
fn neither_time_nor_rate_is_an_error() {
    let error = times_without_stamps("0/1").unwrap_err();
    assert!(error.contains("neither time stamps nor a frame rate"), "{error}");
}

/// Plays until the end, or until an error.
fn play_to_end(pipeline: &gst::Element) -> Result<(), String> {
    let bus = pipeline.bus().unwrap();
    let _ = pipeline.set_state(gst::State::Playing);
    let message = bus.timed_pop_filtered(
        gst::ClockTime::from_seconds(120),
        &[gst::MessageType::Error, gst::MessageType::Eos],
    );
    pipeline.set_state(gst::State::Null).unwrap();
    match message.expect("neither error nor end").view() {
        gst::MessageView::Error(error) => Err(error.error().to_string()),
        _ => Ok(()),
    }
}

/// The error that a pipeline stops with.
fn error_of(description: &str) -> String {
    init();
    let pipeline = gst::parse::launch(description).unwrap();
    play_to_end(&pipeline).expect_err(description)
}

#[test]
fn a_picture_without_pixels_is_refused_by_name() {
    init();
    for factory in ["kinerecon", "kinemotion"] {
        let element = gst::ElementFactory::make(factory).build().unwrap();
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        element.set_state(gst::State::Playing).unwrap();
        let pad = element.static_pad("sink").unwrap();
        pad.send_event(gst::event::StreamStart::new("test"));
        assert!(!pad.send_event(gst::event::Caps::new(&caps("RGB", 0, 64))), "{factory}");
        let message = bus
            .pop_filtered(&[gst::MessageType::Error])
            .expect("no error on the bus");
        let gst::MessageView::Error(error) = message.view() else {
            unreachable!()
        };
        assert!(
            error.error().to_string().contains("at least one pixel"),
            "{}",
            error.error()
        );
        element.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn what_cannot_start_says_why() {
    let source = "videotestsrc num-buffers=1 ! video/x-raw,format=RGB,width=64,height=64";
    let folder = tempfile::tempdir().unwrap();
    let corrupt = folder.path().join("corrupt.onnx");
    std::fs::write(&corrupt, b"no model").unwrap();
    let camera = folder.path().join("camera.toml");
    std::fs::write(&camera, "[intrinsics]\nfocal_lenght = 3\n").unwrap();
    for (element, expected) in [
        ("kinetrack model=/no/such.onnx".to_owned(), "/no/such.onnx"),
        (format!("kinetrack model={}", corrupt.display()), "corrupt.onnx"),
        (kinetrack("device=gpu"), "gpu"),
        (kinetrack("classes=dragon"), "dragon"),
        (
            format!("kinetrack model={} reid-model=/no/reid.onnx", detector().display()),
            "/no/reid.onnx",
        ),
        ("kinerecon camera=/no/camera.toml".to_owned(), "/no/camera.toml"),
        (format!("kinerecon camera={}", camera.display()), "camera.toml:"),
        ("kinerecon depth-model=/no/depth.onnx".to_owned(), "/no/depth.onnx"),
        (
            format!("kinerecon depth-model={}", detector().display()),
            "expected Depth",
        ),
        ("kinemotion priors=/no/priors.toml".to_owned(), "/no/priors.toml"),
    ] {
        let error = error_of(&format!("{source} ! {element} ! fakesink"));
        assert!(error.contains(expected), "{element}: {error}");
    }
}

#[test]
fn between_detections_tracks_are_predicted() {
    let mut harness = harness(&kinetrack("interval=3"));
    let mut statuses = Vec::new();
    for k in 0..6 {
        pass(&mut harness, frame(100 * k));
    }
    for k in 6..13 {
        let results = results(&pass(&mut harness, frame(100 * k)));
        assert_eq!(results.tracks.len(), 1, "frame {k}");
        assert_eq!(results.tracks[0].id, 1);
        statuses.push(results.tracks[0].status);
    }
    let (seen, predicted) = (TrackStatus::Tracked, TrackStatus::Lost);
    assert_eq!(statuses, [seen, predicted, predicted, seen, predicted, predicted, seen]);
}

#[test]
fn late_live_frames_pass_with_predictions_and_are_counted() {
    init();
    let pipeline = gst::parse::launch(&format!(
        "videotestsrc is-live=true pattern=blue num-buffers=40 ! video/x-raw,format=RGB,width=128,height=64,framerate=50/1 \
         ! kinetrack name=track model={} device=cpu threads=1 ! fakesink name=sink sync=false",
        detector().display()
    ))
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    let track = pipeline.by_name("track").unwrap();
    let sent = std::sync::atomic::AtomicBool::new(false);
    // A sink that says once that it is a second behind.
    pipeline.by_name("sink").unwrap().static_pad("sink").unwrap().add_probe(
        gst::PadProbeType::BUFFER,
        move |pad, info| {
            if !sent.swap(true, std::sync::atomic::Ordering::Relaxed) {
                let pts = info.buffer().unwrap().pts().unwrap();
                pad.push_event(gst::event::Qos::new(gst::QOSType::Underflow, 2.0, 100_000_000, pts));
            }
            gst::PadProbeReturn::Ok
        },
    );
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let mut qos = 0;
    loop {
        let message = bus.timed_pop(gst::ClockTime::from_seconds(60)).expect("no end");
        match message.view() {
            gst::MessageView::Qos(_) => qos += 1,
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Error(error) => panic!("{error:?}"),
            _ => {}
        }
    }
    let (late, processed) = (track.property::<u64>("late"), track.property::<u64>("processed"));
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(late > 0, "none late");
    assert_eq!(qos, late);
    assert_eq!(late + processed, 40);
}

#[test]
fn latency_is_the_sources_and_the_stages() {
    let mut harness = harness(&kinetrack(""));
    harness.set_upstream_latency(gst::ClockTime::from_mseconds(30));
    pass(&mut harness, frame(0));
    assert!(harness.query_latency() >= Some(gst::ClockTime::from_mseconds(30)));
}

#[test]
fn the_model_is_told_downstream_and_can_be_changed_while_playing() {
    let mut harness = harness(&kinetrack(""));
    pass(&mut harness, frame(0));
    let told = |harness: &mut Harness| {
        std::iter::from_fn(|| harness.try_pull_event())
            .filter_map(|event| events::Model::from_event(&event))
            .last()
    };
    let model = told(&mut harness).expect("no model told");
    assert_eq!((model.stage.as_str(), model.device.as_str()), ("detection", "cpu"));
    let other = detector().with_file_name("yolov8.onnx");
    find(&harness, "kinetrack").set_property("model", other.to_str().unwrap());
    let mut changed = None;
    for k in 1..2000 {
        pass(&mut harness, frame(100 * k));
        changed = told(&mut harness);
        if changed.is_some() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(changed.expect("the model did not change").name.contains("YOLOv8"));
}

#[test]
fn a_detector_and_a_depth_network_are_built_in() {
    let mut harness = harness("kinerecon depth-model=default device=cpu threads=1 ! kinetrack device=cpu threads=1");
    pass(&mut harness, frame(0));
    let mut names: Vec<String> = std::iter::from_fn(|| harness.try_pull_event())
        .filter_map(|event| events::Model::from_event(&event))
        .map(|model| model.name)
        .collect();
    names.sort();
    names.dedup();
    assert_eq!(names, ["kinestream-depth", "kinestream-detector"]);
}

#[test]
fn a_stage_works_without_those_before_it() {
    let mut harness = harness("kinemotion");
    let results = results(&pass(&mut harness, frame(0)));
    assert!(results.view.is_some());
    assert!(results.objects.is_empty());
}

#[test]
fn crowds_and_broken_outputs_pass() {
    for model in ["crowd", "yolox_nan"] {
        init();
        let path = detector().with_file_name(format!("{model}.onnx"));
        let mut harness = Harness::new_parse(&format!(
            "kinerecon ! kinetrack model={} device=cpu threads=1 confidence=0.1 ! kinemotion",
            path.display()
        ));
        harness.set_src_caps(rgb());
        for k in 0..3 {
            let results = results(&pass(&mut harness, frame(100 * k)));
            for track in &results.tracks {
                assert!(track.bbox.is_valid(), "{model}: {track:?}");
            }
        }
    }
}

#[test]
fn the_whole_chain_runs_clean_under_fatal_warnings() {
    const INNER: &str = "KINESTREAM_TEST_FATAL_WARNINGS";
    if std::env::var_os(INNER).is_none() {
        let this = std::env::current_exe().unwrap();
        let status = std::process::Command::new(this)
            .args([
                "--exact",
                "the_whole_chain_runs_clean_under_fatal_warnings",
                "--nocapture",
            ])
            .env(INNER, "1")
            .env("G_DEBUG", "fatal-warnings")
            .status()
            .unwrap();
        assert!(status.success(), "{status}");
        return;
    }
    init();
    let pipeline = gst::parse::launch(&format!(
        "videotestsrc num-buffers=300 ! kinerecon ! {} ! queue ! kinemotion ! kinevlm ! kinepublish \
         multicast-scouting=false ! kineoverlay name=last ! fakesink",
        kinetrack("")
    ))
    .unwrap();
    let counts = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counter = Arc::clone(&counts);
    let last = pipeline
        .downcast_ref::<gst::Pipeline>()
        .unwrap()
        .by_name("last")
        .unwrap();
    last.static_pad("src")
        .unwrap()
        .add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let tracked = metadata::results(info.buffer().unwrap()).is_some_and(|r| r.trajectories.is_some());
            counter.fetch_add(u64::from(tracked), std::sync::atomic::Ordering::Relaxed);
            gst::PadProbeReturn::Ok
        });
    play_to_end(&pipeline).unwrap();
    assert_eq!(counts.load(std::sync::atomic::Ordering::Relaxed), 300);
}
