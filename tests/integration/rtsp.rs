//! Cameras over RTSP: frames with the camera's own time, stalls noticed and said, cameras that come back.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use gst::prelude::*;
use kinestream::gst::events::{SourceState, SourceStatus};
use kinestream::gst::frame_clock::{reference_utc_ns, utc_now_ns};
use kinestream::gst::rtsp_server::RtspServer;

/// Long enough for a busy machine; tests end as soon as what they wait for is there.
const PATIENCE: Duration = Duration::from_secs(60);

fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().unwrap();
        kinestream::gst::register(None).unwrap();
    });
}

/// A clip made on the spot: 2 s of a moving ball, H.264, one key frame a second.
fn clip() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ball.mp4");
    let pipeline = gst::parse::launch(&format!(
        "videotestsrc num-buffers=50 pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=25/1 \
         ! x264enc tune=zerolatency key-int-max=25 ! mp4mux ! filesink location={}",
        path.display()
    ))
    .unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let end = bus.timed_pop_filtered(
        gst::ClockTime::from_seconds(60),
        &[gst::MessageType::Eos, gst::MessageType::Error],
    );
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(end.map(|message| message.type_()), Some(gst::MessageType::Eos));
    (folder, path)
}

struct Seen {
    pts: gst::ClockTime,
    utc_ns: Option<i64>,
}

/// A pipeline that plays a source and writes down what comes.
struct Watcher {
    pipeline: gst::Pipeline,
    source: gst::Element,
    frames: Arc<Mutex<Vec<Seen>>>,
    told: Arc<Mutex<Vec<SourceState>>>,
}

impl Watcher {
    fn start(uri: &str) -> Self {
        Self::start_with(uri, "tcp")
    }

    fn start_with(uri: &str, protocols: &str) -> Self {
        init();
        let pipeline = gst::Pipeline::new();
        let source = gst::ElementFactory::make("kinesrc")
            .property("uri", uri)
            .property_from_str("protocols", protocols)
            .build()
            .unwrap();
        let sink = gst::ElementFactory::make("fakesink")
            .property("sync", false)
            .build()
            .unwrap();
        pipeline.add_many([&source, &sink]).unwrap();
        source.link(&sink).unwrap();
        let frames = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::new(Mutex::new(Vec::new()));
        let (frames_in, told_in) = (Arc::clone(&frames), Arc::clone(&told));
        sink.static_pad("sink").unwrap().add_probe(
            gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM,
            move |_, info| {
                match &info.data {
                    Some(gst::PadProbeData::Buffer(buffer)) => frames_in.lock().unwrap().push(Seen {
                        pts: buffer.pts().unwrap(),
                        utc_ns: reference_utc_ns(buffer),
                    }),
                    Some(gst::PadProbeData::Event(event)) => {
                        told_in.lock().unwrap().extend(SourceState::from_event(event))
                    }
                    _ => {}
                }
                gst::PadProbeReturn::Ok
            },
        );
        pipeline.set_state(gst::State::Playing).unwrap();
        Self {
            pipeline,
            source,
            frames,
            told,
        }
    }

    fn frames(&self) -> usize {
        self.frames.lock().unwrap().len()
    }

    fn wait_for(&self, what: &str, mut reached: impl FnMut(&Self) -> bool) {
        let started = Instant::now();
        while !reached(self) {
            let told = self.told.lock().unwrap();
            assert!(
                started.elapsed() < PATIENCE,
                "{what}: not within {PATIENCE:?}; told {told:?}"
            );
            drop(told);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn state(&self) -> Option<String> {
        self.source.property("state")
    }

    fn wait_for_state(&self, wanted: &str) {
        // The property changes first; the event that tells of it follows.
        self.wait_for(wanted, |watcher| {
            let told = watcher.told.lock().unwrap().last().map(|state| state.status.as_str());
            watcher.state().as_deref() == Some(wanted) && told == Some(wanted)
        });
    }

    fn assert_time_only_grows(&self) {
        let frames = self.frames.lock().unwrap();
        for pair in frames.windows(2) {
            assert!(pair[0].pts < pair[1].pts, "{} then {}", pair[0].pts, pair[1].pts);
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.pipeline.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn frames_carry_the_cameras_clock() {
    init();
    let (_folder, file) = clip();
    let server = RtspServer::start(&file, "127.0.0.1", 0).unwrap();
    let watcher = Watcher::start(server.url());
    watcher.wait_for("a frame with a reference time", |watcher| {
        watcher.frames.lock().unwrap().iter().any(|seen| seen.utc_ns.is_some())
    });
    let newest = watcher.frames.lock().unwrap().last().unwrap().utc_ns.unwrap();
    let age_s = (utc_now_ns().unwrap() - newest) as f64 * 1e-9;
    assert!((-5.0..60.0).contains(&age_s), "a frame {age_s} s old");
    assert_eq!(watcher.state().as_deref(), Some("playing"));
    watcher.assert_time_only_grows();
}

#[test]
fn the_clip_goes_round_without_a_jump_back() {
    init();
    let (_folder, file) = clip();
    let server = RtspServer::start(&file, "127.0.0.1", 0).unwrap();
    let watcher = Watcher::start(server.url());
    watcher.wait_for("two and a half rounds", |watcher| watcher.frames() > 125);
    watcher.assert_time_only_grows();
    assert_eq!(watcher.source.property::<u64>("reconnects"), 0);
}

#[test]
fn frames_come_over_udp_too() {
    init();
    let (_folder, file) = clip();
    let server = RtspServer::start(&file, "127.0.0.1", 0).unwrap();
    let watcher = Watcher::start_with(server.url(), "udp");
    watcher.wait_for("a round", |watcher| watcher.frames() > 50);
    watcher.assert_time_only_grows();
}

#[test]
fn a_camera_that_goes_and_comes_back_is_a_gap_not_an_end() {
    init();
    let (_folder, file) = clip();
    let mut server = RtspServer::start(&file, "127.0.0.1", 0).unwrap();
    let port = server.port();
    let watcher = Watcher::start(server.url());
    for round in 1..=2_u64 {
        watcher.wait_for_state("playing");
        let before = watcher.frames();
        watcher.wait_for("frames", |watcher| watcher.frames() > before + 10);
        drop(server);
        watcher.wait_for_state("retrying");
        {
            let told = watcher.told.lock().unwrap();
            let last = told.last().unwrap();
            assert_eq!(last.status, SourceStatus::Retrying);
            assert!(!last.message.is_empty());
        }
        server = RtspServer::start(&file, "127.0.0.1", port).unwrap();
        let before = watcher.frames();
        watcher.wait_for("frames after the camera came back", |watcher| watcher.frames() > before);
        watcher.wait_for("the count of reconnects", |watcher| {
            watcher.source.property::<u64>("reconnects") == round
        });
    }
    watcher.assert_time_only_grows();
    let bus = watcher.pipeline.bus().unwrap();
    let error = bus.pop_filtered(&[gst::MessageType::Error, gst::MessageType::Eos]);
    assert!(error.is_none(), "{error:?}");
}

#[test]
fn a_camera_that_never_answers_is_said_so() {
    init();
    // A port that accepts connections and says nothing.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("rtsp://user:secret@127.0.0.1:{}/x", mute.local_addr().unwrap().port());
    let watcher = Watcher::start(&uri);
    watcher.wait_for_state("retrying");
    let told = watcher.told.lock().unwrap();
    assert_eq!(told.first().unwrap().status, SourceStatus::Connecting);
    let message = &told.last().unwrap().message;
    assert!(message.contains("does not answer"), "{message}");
    assert!(told.iter().all(|state| !state.message.contains("secret")), "{told:?}");
}

#[test]
fn nobody_at_home_is_retried_and_stops_cleanly() {
    init();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("rtsp://127.0.0.1:{}/x", free.local_addr().unwrap().port());
    drop(free);
    let watcher = Watcher::start(&uri);
    watcher.wait_for("the third attempt", |watcher| {
        watcher.told.lock().unwrap().iter().any(|state| state.attempts >= 3)
    });
}

#[test]
fn a_file_gives_every_frame_and_ends() {
    init();
    let (_folder, file) = clip();
    let watcher = Watcher::start(file.to_str().unwrap());
    let bus = watcher.pipeline.bus().unwrap();
    let end = bus
        .timed_pop_filtered(
            gst::ClockTime::from_seconds(60),
            &[gst::MessageType::Eos, gst::MessageType::Error],
        )
        .unwrap();
    assert_eq!(end.type_(), gst::MessageType::Eos, "{end:?}");
    assert_eq!(watcher.frames(), 50);
    assert_eq!(watcher.source.property::<u64>("dropped"), 0);
    watcher.wait_for_state("ended");
}

#[test]
fn a_fragment_is_a_source_too() {
    init();
    let watcher = Watcher::start("launch: videotestsrc is-live=true ! video/x-raw,width=64,height=48");
    watcher.wait_for("frames", |watcher| watcher.frames() > 5);
    watcher.assert_time_only_grows();
}

#[test]
fn what_cannot_be_opened_is_an_error_before_playing() {
    init();
    for (uri, expected) in [
        ("", "no source"),
        ("/no/such/file.mp4", "no such file"),
        ("nonsense://x", "nothing installed opens nonsense://"),
        ("launch: nosuchelement", "nosuchelement"),
        ("launch: videotestsrc ! fakesink", "could not link"),
    ] {
        let pipeline = gst::Pipeline::new();
        let source = gst::ElementFactory::make("kinesrc")
            .property("uri", uri)
            .build()
            .unwrap();
        pipeline.add(&source).unwrap();
        assert!(pipeline.set_state(gst::State::Playing).is_err(), "{uri}");
        let message = pipeline
            .bus()
            .unwrap()
            .pop_filtered(&[gst::MessageType::Error])
            .unwrap_or_else(|| panic!("{uri}: no error on the bus"));
        let gst::MessageView::Error(error) = message.view() else {
            unreachable!()
        };
        let text = error.error().to_string();
        pipeline.set_state(gst::State::Null).unwrap();
        assert!(text.contains(expected), "{uri}: {text}");
    }
}

#[test]
fn a_truncated_file_ends_with_an_error_or_an_end_not_a_hang() {
    init();
    let (_folder, file) = clip();
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 3]).unwrap();
    let watcher = Watcher::start(file.to_str().unwrap());
    let end = watcher.pipeline.bus().unwrap().timed_pop_filtered(
        gst::ClockTime::from_seconds(60),
        &[gst::MessageType::Eos, gst::MessageType::Error],
    );
    assert!(end.is_some());
}
