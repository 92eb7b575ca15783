//! The simulated camera as an element, as a URI and over RTSP: the same pixels every time, true times, truth that travels.

use std::sync::Once;
use std::time::{Duration, Instant};

use gst::prelude::*;
use kinestream::gst::frame_clock::{reference_utc_ns, utc_now_ns};
use kinestream::gst::kinesimsrc::truth;
use kinestream::gst::sim_server::SimServer;
use kinestream::sim::truth::TruthReader;
use kinestream::sim::{Scene, SimulatedCamera, WorldSettings};

/// Long enough for a busy machine; tests end as soon as what they wait for is there.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(60);

fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().unwrap();
        kinestream::gst::register(None).unwrap();
    });
}

/// A playing pipeline whose frames are pulled one by one.
struct Playing {
    pipeline: gst::Pipeline,
    sink: gst_app::AppSink,
}

impl Playing {
    /// Of a description that ends in raw video.
    fn new(description: &str) -> Self {
        init();
        let text = format!("{description} ! appsink name=sink sync=false max-buffers=2");
        let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
        let sink = pipeline.by_name("sink").unwrap().downcast().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        Self { pipeline, sink }
    }

    fn next(&self) -> Option<gst::Sample> {
        let sample = self.sink.try_pull_sample(PATIENCE);
        assert!(sample.is_some() || self.sink.is_eos(), "no frame: {:?}", self.error());
        sample
    }

    fn take(&self, count: usize) -> Vec<gst::Sample> {
        (0..count).map(|_| self.next().unwrap()).collect()
    }

    fn error(&self) -> Option<String> {
        let message = self.pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
        match message.view() {
            gst::MessageView::Error(error) => Some(format!("{} {:?}", error.error(), error.debug())),
            _ => None,
        }
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        self.pipeline.set_state(gst::State::Null).unwrap();
    }
}

fn bytes(sample: &gst::Sample) -> Vec<u8> {
    sample.buffer().unwrap().map_readable().unwrap().to_vec()
}

fn camera(scene: Scene, seed: u64) -> SimulatedCamera {
    let settings = WorldSettings {
        width: 160,
        height: 96,
        ..WorldSettings::new(scene, seed)
    };
    SimulatedCamera::new(settings).unwrap()
}

#[test]
fn pixels_times_and_truth_are_the_worlds_own_every_time() {
    let text = "kinesimsrc name=camera is-live=false scene=plaza seed=3 width=160 height=96 truth=true num-buffers=6";
    let playing = Playing::new(text);
    let mut expected = camera(Scene::Plaza, 3);
    for round in 0..2 {
        for _ in 0..6 {
            let sample = playing.next().unwrap();
            let buffer = sample.buffer().unwrap();
            let (rendered, expected) = expected.take_frame().unwrap();
            assert!(bytes(&sample) == rendered.rgb, "other pixels in round {round}");
            let pts_s = buffer.pts().unwrap().nseconds() as f64 * 1e-9;
            assert!((pts_s - expected.time_s).abs() < 1e-8);
            assert_eq!(buffer.offset(), expected.frame);
            assert_eq!(*truth(buffer).unwrap(), expected);
            assert_eq!(
                reference_utc_ns(buffer),
                None,
                "no clock says when a frame as fast as possible was taken"
            );
        }
        assert!(playing.next().is_none(), "more frames than asked for");
        // Started again it is the same world from its beginning.
        playing.pipeline.set_state(gst::State::Null).unwrap();
        playing.pipeline.set_state(gst::State::Playing).unwrap();
        expected = camera(Scene::Plaza, 3);
    }
}

#[test]
fn every_format_is_negotiated_and_shows_the_same() {
    let picture = |drawn: &str, wanted: &str| -> Vec<u8> {
        let text = format!(
            "kinesimsrc is-live=false scene=parking seed=5 num-buffers=1 ! video/x-raw,format={drawn},width=160,height=98 \
             ! videoconvert ! video/x-raw,format={wanted}"
        );
        bytes(&Playing::new(&text).next().unwrap())
    };
    let rgb = picture("RGB", "RGB");
    assert!(rgb.iter().map(|value| f64::from(*value)).sum::<f64>() > 5.0 * rgb.len() as f64);
    for format in ["NV12", "I420", "BGR", "RGBx", "BGRx", "RGBA", "BGRA"] {
        let (drawn, converted) = (picture(format, format), picture("RGB", format));
        assert_eq!(drawn.len(), converted.len(), "{format}");
        let apart = drawn
            .iter()
            .zip(&converted)
            .map(|(a, b)| f64::from(a.abs_diff(*b)))
            .sum::<f64>();
        assert!(
            apart < 0.5 * drawn.len() as f64,
            "{format}: {} off on the mean",
            apart / drawn.len() as f64
        );
    }
}

#[test]
fn caps_choose_size_and_rate() {
    let playing = Playing::new(
        "kinesimsrc is-live=false seed=2 num-buffers=3 ! video/x-raw,width=320,height=[16,200],framerate=10/1",
    );
    let samples = playing.take(3);
    let info = gst_video::VideoInfo::from_caps(samples[0].caps().unwrap()).unwrap();
    assert_eq!((info.width(), info.height()), (320, 200));
    assert_eq!(info.fps(), gst::Fraction::new(10, 1));
    let pts = samples[2].buffer().unwrap().pts().unwrap();
    let two_frames = gst::ClockTime::from_mseconds(200);
    assert!(pts > two_frames / 2 && pts < two_frames * 2, "{pts}");
}

#[test]
fn truth_travels_through_conversion_and_only_when_asked_for() {
    let text = |truth: bool| {
        format!(
            "kinesimsrc is-live=false seed=1 num-buffers=1 truth={truth} ! video/x-raw,width=640,height=384 ! videoconvert ! videoscale \
             ! video/x-raw,format=NV12,width=80,height=48"
        )
    };
    let with = Playing::new(&text(true)).next().unwrap();
    assert_eq!(truth(with.buffer().unwrap()).unwrap().intrinsics.width, 640);
    let without = Playing::new(&text(false)).next().unwrap();
    assert!(truth(without.buffer().unwrap()).is_none());
}

#[test]
fn live_frames_come_when_they_are_taken_and_say_when() {
    let playing = Playing::new("kinesimsrc name=camera scene=court seed=4 width=96 height=64 truth=true");
    let source = playing.pipeline.by_name("camera").unwrap();
    assert!(source.property::<bool>("is-live"));
    let mut last = None;
    for _ in 0..12 {
        let sample = playing.next().unwrap();
        let buffer = sample.buffer().unwrap();
        let pts = buffer.pts().unwrap();
        let now = source.clock().unwrap().time() - source.base_time().unwrap();
        assert!(now >= pts, "a frame of {pts} at {now}");
        assert!(last.is_none_or(|last| pts > last), "{pts} after {last:?}");
        let utc_now_ns = utc_now_ns().unwrap();
        let expected_ns = utc_now_ns - (now - pts).nseconds() as i64;
        let utc_ns = reference_utc_ns(buffer).unwrap();
        assert!(
            (utc_ns - expected_ns).abs() < 50_000_000,
            "{utc_ns} instead of {expected_ns}"
        );
        // Left out or not, a frame's number and time belong together.
        assert_eq!(truth(buffer).unwrap().frame, buffer.offset());
        last = Some(pts);
    }
    let mut query = gst::query::Latency::new();
    assert!(source.query(&mut query));
    let (live, least, _) = query.result();
    assert!(live && least > gst::ClockTime::ZERO && least < gst::ClockTime::from_seconds(1));
    assert!(source.send_event(gst::event::Eos::new()));
    while playing.next().is_some() {}
    let frames: u64 = source.property("frames");
    assert!(frames >= 12);
}

#[test]
fn the_camera_file_is_told() {
    let playing = Playing::new("kinesimsrc name=camera is-live=false seed=9 fov=70 width=320 height=192 num-buffers=1");
    playing.next().unwrap();
    let text: String = playing.pipeline.by_name("camera").unwrap().property("camera");
    let read = kinestream::camera::Camera::parse(&text, std::path::Path::new("camera.toml")).unwrap();
    assert_eq!((read.intrinsics.width, read.intrinsics.height), (320, 192));
    assert!((read.intrinsics.horizontal_fov_rad().to_degrees() - 70.0).abs() < 2.0);
}

#[test]
fn impossible_settings_are_an_error_before_playing() {
    init();
    let source = gst::ElementFactory::make("kinesimsrc")
        .property("fov", 5.0)
        .build()
        .unwrap();
    let pipeline = gst::Pipeline::new();
    pipeline.add(&source).unwrap();
    assert!(pipeline.set_state(gst::State::Playing).is_err());
    let message = pipeline
        .bus()
        .unwrap()
        .pop_filtered(&[gst::MessageType::Error])
        .unwrap();
    let gst::MessageView::Error(error) = message.view() else {
        unreachable!()
    };
    let text = error.error().to_string();
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(text.contains("field of view") && text.contains("found 5"), "{text}");
    let error = gst::Element::make_from_uri(gst::URIType::Src, "kinesim://plaza?seed=x", None).unwrap_err();
    assert!(error.to_string().contains("whole number"), "{error}");
}

#[test]
fn kinesrc_opens_a_simulated_camera_by_its_uri() {
    let playing = Playing::new("kinesrc name=source uri=kinesim://street-fixed?seed=6&width=128&height=80");
    let samples = playing.take(4);
    let info = gst_video::VideoInfo::from_caps(samples[3].caps().unwrap()).unwrap();
    assert_eq!((info.width(), info.height()), (128, 80));
    assert!(reference_utc_ns(samples[3].buffer().unwrap()).is_some());
}

#[test]
fn a_served_camera_stamps_frames_and_truth_with_one_clock() {
    init();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("truth.jsonl");
    let settings = WorldSettings {
        width: 160,
        height: 96,
        frame_rate: Some(10.0),
        ..WorldSettings::new(Scene::StreetFixed, 12)
    };
    let server = SimServer::start(&settings, "127.0.0.1", 0, Some(&path)).unwrap();
    let playing = Playing::new(&format!("kinesrc uri={}", server.url()));
    // The first frames come before the first sender report.
    let started = Instant::now();
    let mut stamped = Vec::new();
    while stamped.len() < 10 {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "{} stamped frames",
            stamped.len()
        );
        stamped.extend(playing.next().and_then(|sample| reference_utc_ns(sample.buffer()?)));
    }
    // A second client comes late and gets pictures too.
    let late = Playing::new(&format!("kinesrc uri={}", server.url()));
    late.take(3);
    let reader = TruthReader::open(&path).unwrap();
    assert_eq!(reader.world().seed, 12);
    // The last line may still be being written.
    let told: Vec<i64> = reader
        .map_while(Result::ok)
        .filter_map(|frame| frame.capture_utc_ns)
        .collect();
    assert!(told.len() >= stamped.len());
    for utc_ns in stamped {
        let off_ns = told.iter().map(|told| (told - utc_ns).abs()).min().unwrap();
        assert!(off_ns < 20_000_000, "no truth within {} ms", off_ns as f64 * 1e-6);
    }
    assert_eq!(server.wait(Duration::ZERO), None);
}

#[test]
fn what_cannot_be_served_is_said() {
    init();
    let settings = WorldSettings {
        width: 161,
        ..WorldSettings::new(Scene::Plaza, 1)
    };
    let error = SimServer::start(&settings, "127.0.0.1", 0, None)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("even width and height"), "{error}");
    let settings = WorldSettings::new(Scene::Plaza, 1);
    let nowhere = std::path::Path::new("/no/such/folder/truth.jsonl");
    let error = SimServer::start(&settings, "127.0.0.1", 0, Some(nowhere))
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("/no/such/folder/truth.jsonl"), "{error}");
}
