//! The element in a harness, with a zenoh client on the other side: pictures pass, results arrive, questions go up.

#![allow(clippy::unwrap_used)]

use std::net::TcpListener;
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use ::gst::prelude::*;

use super::*;
use crate::detection::{BoundingBox, ClassLabel};
use crate::frame::FrameTime;
use crate::gst::events::{Answers, Ask, Model, SourceState, SourceStatus};
use crate::gst::metadata;
use crate::results::FrameResults;
use crate::stkit::{Answer, AnswerSource, AnswerValue, Timings};
use crate::tracking::{Track, TrackStatus};
use crate::wire::session::{ReceivedMessage, Subscription};
use crate::wire::{Client, SessionSettings, proto};

const PATIENCE: Duration = Duration::from_secs(30);

struct Rig {
    harness: gst_check::Harness,
    client: Client,
    index: u64,
}

fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        ::gst::init().unwrap();
        register(None).unwrap();
    });
}

fn caps(width: i32) -> ::gst::Caps {
    ::gst::Caps::builder("video/x-raw")
        .field("format", "NV12")
        .field("width", width)
        .field("height", 48)
        .field("framerate", ::gst::Fraction::new(10, 1))
        .build()
}

fn rig() -> Rig {
    init();
    let port = {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.local_addr().unwrap().port()
    };
    let element = ::gst::ElementFactory::make("kinepublish")
        .property("site", "yard")
        .property("camera-name", "north")
        .property("listen", format!("tcp/127.0.0.1:{port}"))
        .property_from_str("mode", "peer")
        .property("multicast-scouting", false)
        .build()
        .unwrap();
    let mut harness = gst_check::Harness::with_element(&element, Some("sink"), Some("src"));
    harness.set_src_caps(caps(64));
    let client = Client::open(&SessionSettings {
        mode: Some("client".into()),
        connect: vec![format!("tcp/127.0.0.1:{port}")],
        multicast_scouting: Some(false),
        ..Default::default()
    })
    .unwrap();
    Rig {
        harness,
        client,
        index: 0,
    }
}

/// A grey frame; with results when `change` makes some.
fn frame(index: u64, change: Option<&dyn Fn(&mut FrameResults)>) -> ::gst::Buffer {
    let info = ::gst_video::VideoInfo::from_caps(&caps(64)).unwrap();
    let mut buffer = ::gst::Buffer::from_mut_slice(vec![90; info.size()]);
    let inner = buffer.get_mut().unwrap();
    let pts = ::gst::ClockTime::from_mseconds(100 * index);
    inner.set_pts(pts);
    if let Some(change) = change {
        let mut results = FrameResults::new(FrameTime::from_pts_ns(pts.nseconds()), 64, 48);
        change(&mut results);
        metadata::attach(inner, Arc::new(results)).unwrap();
    }
    buffer
}

impl Rig {
    fn push(&mut self, change: Option<&dyn Fn(&mut FrameResults)>) -> ::gst::Buffer {
        self.index += 1;
        self.harness.push_and_pull(frame(self.index - 1, change)).unwrap()
    }

    /// Pushes frames until one message passes `wanted`.
    fn push_until<T>(
        &mut self,
        subscription: &Subscription,
        change: Option<&dyn Fn(&mut FrameResults)>,
        mut wanted: impl FnMut(ReceivedMessage) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            self.push(change);
            while let Some(received) = subscription.next(Duration::from_millis(20)) {
                if let Some(found) = wanted(received.message.unwrap()) {
                    return found;
                }
            }
        }
        panic!("nothing came within {PATIENCE:?}");
    }
}

fn one_car(results: &mut FrameResults) {
    results.tracks.push(Track {
        id: 7,
        class: ClassLabel::new("car"),
        bbox: BoundingBox::new(1.0, 2.0, 30.0, 40.0),
        confidence: 0.9,
        existence_probability: 0.9,
        status: TrackStatus::Tracked,
        age_s: 1.0,
        unseen_s: 0.0,
        mask: None,
    });
}

fn status(message: ReceivedMessage, state: proto::EngineState) -> Option<proto::Status> {
    match message {
        ReceivedMessage::Status(status) if status.state() == state => Some(status),
        _ => None,
    }
}

fn next_status(subscription: &Subscription, state: proto::EngineState) -> proto::Status {
    let deadline = Instant::now() + PATIENCE;
    while let Some(received) = subscription.next(deadline.saturating_duration_since(Instant::now())) {
        if let Some(status) = status(received.message.unwrap(), state) {
            return status;
        }
    }
    panic!("no status {state:?} within {PATIENCE:?}");
}

#[test]
fn pictures_pass_untouched_and_tracks_arrive() {
    let mut rig = rig();
    let subscription = rig.client.subscribe(Some("yard"), Some("north")).unwrap();
    let tracks = rig.push_until(&subscription, Some(&one_car), |message| match message {
        ReceivedMessage::Tracks(tracks) => Some(tracks),
        _ => None,
    });
    assert_eq!(tracks.objects[0].id, 7);
    let passed = rig.push(Some(&one_car));
    assert!(passed.map_readable().unwrap().iter().all(|sample| *sample == 90));
    let element = rig.harness.element().unwrap();
    assert_eq!(element.property::<u64>("processed"), rig.index);
    assert!(element.property::<u64>("published") > 0);
}

#[test]
fn frames_without_results_are_published_with_their_time_and_gaps_are_not() {
    let mut rig = rig();
    let subscription = rig.client.subscribe(None, None).unwrap();
    let tracks = rig.push_until(&subscription, None, |message| match message {
        ReceivedMessage::Tracks(tracks) => Some(tracks),
        _ => None,
    });
    assert_eq!((tracks.image_width_px, tracks.objects.len()), (64, 0));
    assert_eq!(tracks.header.unwrap().pts_ns % 100_000_000, 0);
    let element = rig.harness.element().unwrap();
    let before = element.property::<u64>("processed");
    let mut gap = ::gst::Buffer::with_size(64 * 48 * 3 / 2).unwrap();
    let inner = gap.get_mut().unwrap();
    inner.set_flags(::gst::BufferFlags::GAP);
    inner.set_pts(::gst::ClockTime::from_mseconds(100 * rig.index));
    rig.harness.push_and_pull(gap).unwrap();
    assert_eq!(element.property::<u64>("processed"), before);
}

#[test]
fn flush_and_caps_change_leave_it_publishing_and_the_end_is_told() {
    let mut rig = rig();
    let subscription = rig.client.subscribe(None, None).unwrap();
    rig.push_until(&subscription, Some(&one_car), |message| {
        status(message, proto::EngineState::Playing)
    });
    assert!(rig.harness.push_event(::gst::event::FlushStart::new()));
    assert!(rig.harness.push_event(::gst::event::FlushStop::new(true)));
    let segment = ::gst::FormattedSegment::<::gst::ClockTime>::new();
    assert!(rig.harness.push_event(::gst::event::Segment::new(&segment)));
    rig.index = 0;
    let tracks = rig.push_until(&subscription, None, |message| match message {
        ReceivedMessage::Tracks(tracks) if tracks.header.as_ref()?.pts_ns < 200_000_000 => Some(tracks),
        _ => None,
    });
    assert!(tracks.objects.is_empty());
    rig.harness.push_event(::gst::event::Caps::new(&caps(128)));
    rig.push(None);
    assert!(rig.harness.push_event(::gst::event::Eos::new()));
    assert_eq!(
        next_status(&subscription, proto::EngineState::Ended).message,
        "end of stream"
    );
}

#[test]
fn what_the_source_and_the_stages_say_stands_in_the_status() {
    let mut rig = rig();
    let subscription = rig.client.subscribe(None, None).unwrap();
    let model = Model {
        stage: "detection".into(),
        name: "yolox-nano".into(),
        device: "cpu".into(),
    };
    assert!(rig.harness.push_event(model.to_event()));
    // An answer that no frame carries.
    assert!(rig.harness.push_event(Answers(vec![answer("q1")]).to_event(true)));
    let deadline = Instant::now() + PATIENCE;
    let said = std::iter::from_fn(|| subscription.next(deadline.saturating_duration_since(Instant::now()))).find_map(
        |received| match received.message.unwrap() {
            ReceivedMessage::Answer(answer) => Some(answer),
            _ => None,
        },
    );
    assert_eq!(said.unwrap().question_id, "q1");
    let state = SourceState {
        status: SourceStatus::Retrying,
        attempts: 4,
        reconnects: 2,
        dropped: 9,
        message: "connection refused".into(),
        since_utc_ns: 1,
    };
    assert!(rig.harness.push_event(state.to_event()));
    let status = next_status(&subscription, proto::EngineState::Retrying);
    assert_eq!((status.attempts, status.reconnects), (4, 2));
    assert_eq!(status.message, "connection refused");
    assert_eq!(status.models[0].name, "yolox-nano");
    assert!(status.drops.iter().any(|drop| drop.name == "source" && drop.count == 9));
}

#[test]
fn a_question_goes_upstream_and_its_answer_comes_back() {
    let mut rig = rig();
    let subscription = rig.client.subscribe(None, None).unwrap();
    rig.push_until(&subscription, None, |message| {
        status(message, proto::EngineState::Playing)
    });
    let text = "How far did object 7 travel in the last 10 seconds?";
    let request = proto::AskRequest {
        text: text.into(),
        ..Default::default()
    };
    let Rig { harness, client, index } = &mut rig;
    let replies = std::thread::scope(|scope| {
        let asking = scope.spawn(|| client.ask(None, Some("north"), &request, PATIENCE));
        // Frames go on flowing while the question is on its way up.
        let deadline = Instant::now() + PATIENCE;
        let ask = loop {
            assert!(Instant::now() < deadline, "no question came up within {PATIENCE:?}");
            let mut events = std::iter::from_fn(|| harness.try_pull_upstream_event());
            if let Some(ask) = events.find_map(|event| Ask::from_event(&event)) {
                break ask;
            }
            *index += 1;
            harness.push_and_pull(frame(*index, None)).unwrap();
            std::thread::sleep(Duration::from_millis(20));
        };
        assert_eq!(ask.text, text);
        let answered = |results: &mut FrameResults| results.answers.push(answer(&ask.id));
        harness.push_and_pull(frame(*index + 1, Some(&answered))).unwrap();
        asking.join().unwrap().unwrap()
    });
    assert_eq!(replies[0].answers[0].value, Some(proto::answer::Value::DistanceM(12.5)));
}

fn answer(id: &str) -> Arc<Answer> {
    Arc::new(Answer {
        question_id: id.to_owned(),
        question: crate::stkit::parse_question("How far did object 7 travel in the last 10 seconds?").unwrap(),
        subjects: vec![7],
        start_s: 0.0,
        end_s: 10.0,
        text: "It travelled 12.5 m.".into(),
        value: Some(AnswerValue::DistanceM(12.5)),
        interval: None,
        source: AnswerSource::Geometry,
        confidence: 0.9,
        reliable: true,
        reason: None,
        ambiguous: false,
        geometry: None,
        timings: Timings::default(),
    })
}

#[test]
fn a_snapshot_is_the_next_picture_that_passes() {
    let Rig {
        mut harness, client, ..
    } = rig();
    let jpeg = std::thread::scope(|scope| {
        let asking = scope.spawn(|| client.fetch("yard", "north", "snapshot"));
        let deadline = Instant::now() + PATIENCE;
        let mut index = 0;
        while !asking.is_finished() && Instant::now() < deadline {
            harness.push_and_pull(frame(index, Some(&one_car))).unwrap();
            index += 1;
            std::thread::sleep(Duration::from_millis(20));
        }
        asking.join().unwrap().unwrap()
    });
    assert_eq!(jpeg[..3], [0xff, 0xd8, 0xff]);
}

#[test]
fn settings_that_cannot_be_are_errors_before_playing() {
    init();
    for (property, value, expected) in [
        ("camera-name", "a/b", "camera \"a/b\""),
        ("connect", "nowhere", "connect/endpoints"),
        ("zenoh-config", "/nonexistent.json5", "/nonexistent.json5"),
    ] {
        let element = ::gst::ElementFactory::make("kinepublish")
            .property(property, value)
            .build()
            .unwrap();
        let bus = ::gst::Bus::new();
        element.set_bus(Some(&bus));
        assert!(element.set_state(::gst::State::Paused).is_err(), "{property}");
        let messages: Vec<_> = bus.iter().collect();
        let errors: Vec<String> = messages
            .iter()
            .filter_map(|message| match message.view() {
                ::gst::MessageView::Error(error) => Some(error.error().to_string()),
                _ => None,
            })
            .collect();
        assert!(errors.iter().any(|error| error.contains(expected)), "{messages:?}");
        element.set_state(::gst::State::Null).unwrap();
    }
}

#[test]
fn labels_are_recorded_beside_publishing() {
    use crate::camera::Camera;
    use crate::kinematics::{KinematicState, ObjectState, Reliability, Sample};
    use crate::motion::{SharedTrajectories, TrajectoryStore};
    use crate::reconstruction::{PoseSource, ReconstructionHealth, View};
    use nalgebra::{Isometry3, Matrix3, Matrix6, Point3, Vector3};

    init();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.jsonl");
    let element = ::gst::ElementFactory::make("kinepublish")
        .property("multicast-scouting", false)
        .property("record-labels", path.to_str().unwrap())
        .build()
        .unwrap();
    let mut harness = gst_check::Harness::with_element(&element, Some("sink"), Some("src"));
    harness.set_src_caps(caps(64));
    let store = SharedTrajectories::new(TrajectoryStore::new(60.0, 10));
    let view = Arc::new(View {
        camera: Arc::new(Camera::assumed(64, 48).unwrap()),
        relative_focal_sigma: 0.0,
        world_from_camera: Isometry3::identity(),
        ego_velocity_in_world_mps: Vector3::zeros(),
        pose_source: PoseSource::Static,
        ground_z_in_world_m: None,
        depth: None,
        scene: 0,
        health: ReconstructionHealth::certain(),
    });
    let class = ClassLabel::new("car");
    for index in 0..80_u64 {
        let time_s = 0.1 * index as f64;
        let state = KinematicState {
            time_s,
            position_in_world: Point3::new(3.0 * time_s, 0.0, 0.0),
            velocity_in_world_mps: Vector3::new(3.0, 0.0, 0.0),
            covariance: Matrix6::identity() * 1e-3,
            standstill_probability: 0.0,
        };
        store.write(|store| {
            let sample = Sample {
                time_s,
                position_in_world: state.position_in_world,
                velocity_in_world_mps: state.velocity_in_world_mps,
                position_covariance: Matrix3::identity() * 1e-3,
                velocity_covariance: Matrix3::identity() * 1e-3,
                standing: false,
                reliable: true,
            };
            store.entry(1, class).settled.push(sample).unwrap();
        });
        let buffer = frame(
            index,
            Some(&|results: &mut FrameResults| {
                results.view = Some(Arc::clone(&view));
                results.trajectories = Some(store.clone());
                results.tracks = vec![Track {
                    id: 1,
                    class,
                    bbox: BoundingBox::new(20.0, 10.0, 40.0, 40.0),
                    confidence: 0.9,
                    existence_probability: 1.0,
                    status: TrackStatus::Tracked,
                    age_s: 1.0,
                    unseen_s: 0.0,
                    mask: None,
                }];
                results.objects = vec![ObjectState {
                    track_id: 1,
                    class,
                    live: state,
                    settled: None,
                    movement_clock: None,
                    bearing_clock: None,
                    reliability: Reliability::Reliable,
                }];
            }),
        );
        harness.push_and_pull(buffer).unwrap();
    }
    let dropped: u64 = element.property("labels-dropped");
    drop(harness);
    element.set_state(::gst::State::Null).unwrap();
    let records: Vec<_> = crate::stkit::read_records(&path).unwrap().map(Result::unwrap).collect();
    assert!(!records.is_empty() && dropped < 80, "{dropped} dropped");
    for record in &records {
        assert_eq!(record.label_source, crate::datasets::LabelSource::Pseudo);
        assert!(record.id.starts_with("local/camera@"), "{}", record.id);
        assert!(record.quality.provenance.start_s >= 0.0);
    }
}
