//! Two sessions of one process talk over 127.0.0.1, without scouting: what is published arrives, what is asked is
//! answered, and nothing of it holds up whoever publishes.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::unbounded;
use nalgebra::{Matrix3, Point3, Vector3};
use zenoh::Wait;

use super::*;
use crate::detection::{BoundingBox, ClassLabel};
use crate::frame::{CaptureClock, FrameTime};
use crate::kinematics::Sample;
use crate::motion::{SharedTrajectories, TrajectoryStore};
use crate::reconstruction::{EgoMoment, EgoMotion};
use crate::results::FrameResults;
use crate::stkit::{Answer, AnswerSource, AnswerValue, Question, Span, Subject, Task, Timings};
use crate::tracking::{Track, TrackStatus};
use crate::wire::codec::WireMessage;
use crate::wire::proto;

/// Long enough for a loaded machine; nothing waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(30);

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

fn endpoint(port: u16) -> Vec<String> {
    vec![format!("tcp/127.0.0.1:{port}")]
}

fn peer_at(port: u16) -> SessionSettings {
    SessionSettings {
        mode: Some("peer".into()),
        listen: endpoint(port),
        multicast_scouting: Some(false),
        ..Default::default()
    }
}

fn client_of(port: u16) -> SessionSettings {
    SessionSettings {
        mode: Some("client".into()),
        connect: endpoint(port),
        multicast_scouting: Some(false),
        ..Default::default()
    }
}

fn publisher(session: SessionSettings, encoding: Encoding, services: Services) -> Publisher {
    let settings = PublisherSettings {
        site: "yard".into(),
        camera: "north".into(),
        encoding,
        session,
    };
    Publisher::start(&settings, services).unwrap()
}

fn frame(pts_s: f64, objects: u64) -> FrameResults {
    let time = FrameTime {
        pts_ns: (pts_s * 1e9) as u64,
        capture_utc_ns: Some(1_700_000_000_000_000_000),
        clock: CaptureClock::Reference,
    };
    let mut results = FrameResults::new(time, 1280, 720);
    results.tracks = (1..=objects)
        .map(|id| Track {
            id,
            class: ClassLabel::new("car"),
            bbox: BoundingBox::new(1.0, 2.0, 3.0, 4.0),
            confidence: 0.5,
            existence_probability: 1.0 / id as f32,
            status: TrackStatus::Tracked,
            age_s: 1.0,
            unseen_s: 0.0,
            mask: None,
        })
        .collect();
    results
}

/// Object 3 drives 10 m in 10 s along x.
fn trajectories() -> SharedTrajectories {
    let mut store = TrajectoryStore::new(60.0, 100);
    let object = store.entry(3, ClassLabel::new("car"));
    for step in 0..=100 {
        let time_s = f64::from(step) * 0.1;
        let sample = Sample {
            time_s,
            position_in_world: Point3::new(time_s, 0.0, 0.0),
            velocity_in_world_mps: Vector3::x(),
            position_covariance: Matrix3::identity() * 1e-4,
            velocity_covariance: Matrix3::identity() * 1e-4,
            standing: false,
            reliable: true,
        };
        object.settled.push(sample).unwrap();
        object.live.push(sample).unwrap();
    }
    SharedTrajectories::new(store)
}

fn answer(id: &str, metres: f64) -> Arc<Answer> {
    Arc::new(Answer {
        question_id: id.into(),
        question: Question {
            text: "How far?".into(),
            task: Some(Task::TraveledDistance),
            subjects: vec![Subject::Any],
            span: Span::Window,
            clock_hour: None,
            inverted: false,
        },
        subjects: vec![3],
        start_s: 0.0,
        end_s: 1.0,
        text: format!("{metres} m"),
        value: Some(AnswerValue::DistanceM(metres)),
        interval: None,
        source: AnswerSource::Geometry,
        confidence: 1.0,
        reliable: true,
        reason: None,
        ambiguous: false,
        geometry: None,
        timings: Timings::default(),
    })
}

/// Publishes frames until one message passes `wanted`.
fn publish_until<T>(
    publisher: &Publisher,
    subscription: &Subscription,
    objects: u64,
    mut wanted: impl FnMut(ReceivedMessage) -> Option<T>,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    let mut pts_s = 0.0;
    while Instant::now() < deadline {
        pts_s += 0.02;
        publisher.publish(Arc::new(frame(pts_s, objects)));
        while let Some(received) = subscription.next(Duration::from_millis(20)) {
            if let Some(found) = wanted(received.message.unwrap()) {
                return found;
            }
        }
    }
    panic!("nothing came within {PATIENCE:?}");
}

fn wait_for<T>(subscription: &Subscription, mut wanted: impl FnMut(ReceivedMessage) -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    while let Some(received) = subscription.next(deadline.saturating_duration_since(Instant::now())) {
        if let Some(found) = wanted(received.message.unwrap()) {
            return found;
        }
    }
    panic!("nothing came within {PATIENCE:?}");
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn words(text: &str) -> proto::AskRequest {
    proto::AskRequest {
        text: text.into(),
        ..Default::default()
    }
}

#[test]
fn tracks_arrive_in_both_encodings_with_schema_and_attachment() {
    for (encoding, name) in [
        (Encoding::Json, "application/json;kinestream.v1.Tracks"),
        (Encoding::Protobuf, "application/protobuf;kinestream.v1.Tracks"),
    ] {
        let port = free_port();
        let publisher = publisher(peer_at(port), encoding, Services::default());
        // A plain subscriber, as any zenoh client has.
        let plain = zenoh::open(client_of(port).to_config().unwrap()).wait().unwrap();
        let samples = plain
            .declare_subscriber("kinestream/v1/yard/north/tracks")
            .wait()
            .unwrap();
        let deadline = Instant::now() + PATIENCE;
        let mut sample = None;
        while sample.is_none() && Instant::now() < deadline {
            publisher.publish(Arc::new(frame(2.0, 5)));
            sample = samples.recv_timeout(Duration::from_millis(20)).unwrap();
        }
        let sample = sample.unwrap();
        assert_eq!(sample.encoding().to_string(), name);
        let tracks = proto::Tracks::decode_as(encoding, &sample.payload().to_bytes()).unwrap();
        let header = tracks.header.unwrap();
        assert_eq!((header.site.as_str(), header.camera.as_str()), ("yard", "north"));
        assert_eq!(tracks.objects.len(), 5);
        let (seq, capture_utc_ns, pts_ns): (u64, i64, u64) =
            zenoh_ext::z_deserialize(sample.attachment().unwrap()).unwrap();
        assert_eq!(seq, header.seq);
        assert_eq!(Some(capture_utc_ns), header.capture_utc_ns);
        assert_eq!(pts_ns, 2_000_000_000);
    }
}

#[test]
fn a_late_joiner_gets_the_last_tracks_answer_and_status() {
    let port = free_port();
    let publisher = publisher(peer_at(port), Encoding::Protobuf, Services::default());
    let mut last = frame(7.0, 2);
    last.answers = vec![answer("q1", 12.5)];
    publisher.publish(Arc::new(last));
    eventually("the frame is written", || publisher.published() == 1);

    let client = Client::open(&client_of(port)).unwrap();
    let subscription = client.subscribe(None, Some("north")).unwrap();
    let (mut tracks, mut said, mut status) = (None, None, None);
    wait_for(&subscription, |message| {
        match message {
            ReceivedMessage::Tracks(message) => tracks = Some(message),
            ReceivedMessage::Answer(message) => said = Some(message),
            ReceivedMessage::Status(message) => status = Some(message),
            ReceivedMessage::Alive(_) => {}
        }
        (tracks.is_some() && said.is_some() && status.is_some()).then_some(())
    });
    assert_eq!(tracks.unwrap().header.unwrap().pts_ns, 7_000_000_000);
    assert_eq!(said.unwrap().value, Some(proto::answer::Value::DistanceM(12.5)));

    // A plain get finds them as well.
    let got = client.fetch("yard", "north", "tracks").unwrap();
    let got = proto::Tracks::decode_as(Encoding::Protobuf, &got).unwrap();
    assert_eq!(got.objects.len(), 2);
}

#[test]
fn a_frame_with_ten_thousand_objects_comes_in_parts_that_say_what_is_left_out() {
    let port = free_port();
    let publisher = publisher(peer_at(port), Encoding::Json, Services::default());
    let client = Client::open(&client_of(port)).unwrap();
    let subscription = client.subscribe(Some("yard"), Some("north")).unwrap();
    let mut parts = Vec::new();
    publish_until(&publisher, &subscription, 10_000, |message| {
        if let ReceivedMessage::Tracks(tracks) = message {
            parts.push(tracks);
        }
        let last = parts.last()?.header.as_ref()?.seq;
        parts.retain(|part| part.header.as_ref().is_some_and(|header| header.seq == last));
        (parts.len() == parts[0].parts as usize).then_some(())
    });
    assert!(parts.len() > 1);
    let kept: usize = parts.iter().map(|part| part.objects.len()).sum();
    assert_eq!(kept + parts[0].objects_left_out as usize, 10_000);
}

#[test]
fn an_ask_is_forwarded_and_its_answers_come_back_by_id_in_one_reply() {
    const OBJECTS: u32 = 300;
    let port = free_port();
    let (forwarded, asked) = unbounded();
    let services = Services {
        ask: Some(Box::new(move |ask: &ForwardedAsk| forwarded.send(ask.clone()).is_ok())),
        ..Services::default()
    };
    let publisher = Arc::new(publisher(peer_at(port), Encoding::Json, services));
    publisher.publish(Arc::new(frame(1.0, 1)));
    eventually("the frame has arrived", || publisher.newest().is_some());
    let pipeline = std::thread::spawn({
        let publisher = publisher.clone();
        move || {
            let deadline = Instant::now() + PATIENCE;
            let ask = loop {
                assert!(Instant::now() < deadline, "no question within {PATIENCE:?}");
                // Frames go on flowing while the question is on its way.
                publisher.publish(Arc::new(frame(2.0, 1)));
                if let Ok(ask) = asked.recv_timeout(Duration::from_millis(50)) {
                    break ask;
                }
            };
            let mut results = frame(9.0, 1);
            results.answers = vec![answer("standing", 1.0)];
            results
                .answers
                .extend((1..=OBJECTS).map(|metres| answer(&ask.id, f64::from(metres))));
            publisher.publish(Arc::new(results));
            ask
        }
    });
    let client = Client::open(&client_of(port)).unwrap();
    let text = "How far did the cars travel in the last 10 seconds?";
    let replies = client.ask(None, Some("north"), &words(text), PATIENCE).unwrap();
    let ask = pipeline.join().unwrap();
    assert_eq!((ask.text.as_str(), ask.question), (text, None));
    let [reply] = replies.as_slice() else {
        panic!("one reply, found {replies:?}")
    };
    assert_eq!(reply.question_id, ask.id);
    let values: Vec<_> = reply.answers.iter().map(|answer| answer.value).collect();
    assert_eq!(
        values,
        (1..=OBJECTS)
            .map(|metres| Some(proto::answer::Value::DistanceM(f64::from(metres))))
            .collect::<Vec<_>>()
    );
}

#[test]
fn an_ask_that_nobody_answers_in_time_says_so() {
    let port = free_port();
    let services = Services {
        ask: Some(Box::new(|_: &ForwardedAsk| true)),
        ..Services::default()
    };
    let publisher = publisher(peer_at(port), Encoding::Json, services);
    let client = Client::open(&client_of(port)).unwrap();
    let reason = || {
        let timeout = Duration::from_millis(200);
        let replies = client
            .ask(None, None, &words("How fast is object 3?"), timeout)
            .unwrap();
        let answer = replies[0].answers[0].clone();
        assert_eq!(answer.value, None);
        answer.reason
    };
    assert_eq!(reason(), "no frame has come yet");
    publisher.publish(Arc::new(frame(1.0, 1)));
    eventually("the frame has arrived", || publisher.newest().is_some());
    assert_eq!(reason(), "no answer within 0.2 s");
}

#[test]
fn without_an_answering_stage_trajectories_answer() {
    let port = free_port();
    let publisher = publisher(peer_at(port), Encoding::Json, Services::default());
    let mut results = frame(10.0, 1);
    results.trajectories = Some(trajectories());
    publisher.publish(Arc::new(results));
    eventually("the frame has arrived", || publisher.newest().is_some());
    let client = Client::open(&client_of(port)).unwrap();

    let text = "How far did object 3 travel in the last 4 seconds?";
    let replies = client.ask(None, Some("north"), &words(text), PATIENCE).unwrap();
    let Some(proto::answer::Value::DistanceM(metres)) = replies[0].answers[0].value else {
        panic!("a distance, found {replies:?}")
    };
    assert!((metres - 4.0).abs() < 0.1, "{metres}");

    let by_task = proto::AskRequest {
        task: proto::Task::TravelingSpeed.into(),
        subjects: vec![3],
        last_s: Some(5.0),
        ..Default::default()
    };
    let replies = client.ask(None, Some("north"), &by_task, PATIENCE).unwrap();
    let Some(proto::answer::Value::SpeedMps(speed)) = replies[0].answers[0].value else {
        panic!("a speed, found {replies:?}")
    };
    assert!((speed - 1.0).abs() < 0.05, "{speed}");

    let replies = client
        .ask(None, None, &words("How far did object 99 travel?"), PATIENCE)
        .unwrap();
    let answer = &replies[0].answers[0];
    assert!(answer.value.is_none() && !answer.reason.is_empty());
}

#[test]
fn what_is_asked_wrongly_is_refused_with_the_reason() {
    let port = free_port();
    let _publisher = publisher(peer_at(port), Encoding::Json, Services::default());
    let client = Client::open(&client_of(port)).unwrap();
    let refusal = |request: &proto::AskRequest| match client.ask(None, Some("north"), request, PATIENCE) {
        Err(AskFailure::Refused(reason)) => reason,
        other => panic!("a refusal, found {other:?}"),
    };
    assert!(refusal(&proto::AskRequest::default()).contains("found neither"));
    assert!(refusal(&words(&"why? ".repeat(2000))).contains("at most 4096 bytes"));

    let plain = zenoh::open(client_of(port).to_config().unwrap()).wait().unwrap();
    let refusal = |selector: &str, payload: &[u8]| {
        let replies = plain
            .get(format!("kinestream/v1/yard/north/{selector}"))
            .payload(payload.to_vec())
            .timeout(PATIENCE)
            .wait()
            .unwrap();
        let reply = replies.recv().unwrap().into_result().unwrap_err();
        String::from_utf8(reply.payload().to_bytes().into_owned()).unwrap()
    };
    assert!(refusal("ask", b"").contains("found nothing"));
    assert!(refusal("ask", b"{\"txt\": 1}").contains("txt"));
    assert!(refusal("ask", b"\xff\xfe").contains("UTF-8"));
    assert!(refusal("ask?timeout=soon", b"How far?").contains("\"soon\""));
    assert!(refusal("ask?encoding=xml", b"How far?").contains("json or protobuf"));
    assert!(refusal("history?since=yesterday", b"").contains("since"));
    assert!(refusal("tracks", b"").contains("no frame"));
}

#[test]
fn history_and_metrics_and_snapshot_are_served() {
    let port = free_port();
    let services = Services {
        snapshot: Some(Box::new(|| Ok(vec![0xff, 0xd8, 0xff]))),
        ..Services::default()
    };
    let publisher = publisher(peer_at(port), Encoding::Json, services);
    let mut results = frame(10.0, 1);
    results.trajectories = Some(trajectories());
    publisher.publish(Arc::new(results));
    eventually("the frame has arrived", || publisher.newest().is_some());
    let client = Client::open(&client_of(port)).unwrap();

    let history = client.history("yard", "north", "since=-2;id=3").unwrap();
    assert_eq!(history.header.unwrap().pts_ns, 10_000_000_000);
    assert!((history.objects[0].path_length_m.unwrap() - 2.0).abs() < 1e-6);
    let error = client.history("yard", "north", "id=x").unwrap_err().to_string();
    assert!(error.contains("ids of objects"), "{error}");

    let metrics = String::from_utf8(client.fetch("yard", "north", "metrics").unwrap()).unwrap();
    assert!(
        metrics.contains("kinestream_frames_total{site=\"yard\",camera=\"north\"} 1"),
        "{metrics}"
    );
    assert_eq!(client.fetch("yard", "north", "snapshot").unwrap(), [0xff, 0xd8, 0xff]);
    assert!(matches!(
        client.fetch("yard", "south", "metrics"),
        Err(AskFailure::Nobody(_))
    ));
}

#[test]
fn status_speaks_without_frames_and_notices_when_they_stop() {
    let port = free_port();
    let publisher = publisher(peer_at(port), Encoding::Json, Services::default());
    let client = Client::open(&client_of(port)).unwrap();
    let subscription = client.subscribe(Some("yard"), None).unwrap();
    let state_is = |wanted: proto::EngineState| {
        wait_for(&subscription, |message| match message {
            ReceivedMessage::Status(status) if status.state() == wanted => Some(status),
            _ => None,
        })
    };
    state_is(proto::EngineState::Connecting);
    publisher.publish(Arc::new(frame(1.0, 1)));
    assert_eq!(state_is(proto::EngineState::Playing).frames, 1);
    let stalled = state_is(proto::EngineState::Stalled);
    assert!(stalled.message.starts_with("no frame for"), "{}", stalled.message);
    publisher.note_source(crate::wire::monitor::SourceReport {
        state: proto::EngineState::Retrying,
        attempts: 3,
        reconnects: 1,
        dropped: 0,
        message: "connection refused".into(),
    });
    let retrying = state_is(proto::EngineState::Retrying);
    assert_eq!(
        (retrying.attempts, retrying.message.as_str()),
        (3, "connection refused")
    );
}

#[test]
fn liveliness_tells_when_the_camera_comes_and_goes() {
    let port = free_port();
    // The router stays when the camera goes.
    let router = SessionSettings {
        mode: Some("router".into()),
        ..peer_at(port)
    };
    let _router = zenoh::open(router.to_config().unwrap()).wait().unwrap();
    let client = Client::open(&client_of(port)).unwrap();
    let subscription = client.subscribe(None, None).unwrap();
    let publisher = publisher(client_of(port), Encoding::Json, Services::default());
    wait_for(&subscription, |message| {
        (message == ReceivedMessage::Alive(true)).then_some(())
    });
    drop(publisher);
    // The last status and the token's end travel on their own: either may be first.
    let (mut ended, mut gone) = (false, false);
    wait_for(&subscription, |message| {
        match message {
            ReceivedMessage::Status(status) => ended |= status.state() == proto::EngineState::Ended,
            ReceivedMessage::Alive(alive) => gone |= !alive,
            _ => {}
        }
        (ended && gone).then_some(())
    });
}

#[test]
fn without_a_router_frames_are_dropped_and_counted_and_with_it_they_flow() {
    let port = free_port();
    let publisher = publisher(client_of(port), Encoding::Json, Services::default());
    for number in 0..1000 {
        publisher.publish(Arc::new(frame(f64::from(number), 1)));
    }
    assert_eq!(publisher.frames(), 1000);
    assert!(publisher.dropped() >= 900, "{}", publisher.dropped());

    let router = SessionSettings {
        mode: Some("router".into()),
        ..peer_at(port)
    };
    let open_router = || zenoh::open(router.to_config().unwrap()).wait().unwrap();
    let first_router = open_router();
    // Its own configuration, so that it has its own session.
    let other = SessionSettings {
        cfg: vec!["metadata:{name:\"viewer\"}".into()],
        ..client_of(port)
    };
    let client = Client::open(&other).unwrap();
    let subscription = client.subscribe(None, None).unwrap();
    let tracks = |message| match message {
        ReceivedMessage::Tracks(tracks) => Some(tracks),
        _ => None,
    };
    publish_until(&publisher, &subscription, 1, tracks);

    // The router dies and comes back: both sides find it again.
    first_router.close().wait().unwrap();
    drop(first_router);
    for number in 0..100 {
        publisher.publish(Arc::new(frame(f64::from(number), 1)));
    }
    let unheard = || {
        let drops = publisher.drops();
        drops.iter().find(|(name, _)| *name == "unheard").unwrap().1
    };
    eventually("a frame is counted as unheard", || unheard() > 0);
    // Every frame is accounted for, but the one that waits to be written.
    eventually("the queue is empty", || {
        let known = publisher.published() + publisher.dropped() + unheard();
        (known..=known + 1).contains(&publisher.frames())
    });
    while subscription.next(Duration::from_millis(100)).is_some() {}
    let _second_router = open_router();
    publish_until(&publisher, &subscription, 1, tracks);
}

#[test]
fn two_cameras_of_one_process_share_a_listening_session() {
    let port = free_port();
    let north = publisher(peer_at(port), Encoding::Json, Services::default());
    let settings = PublisherSettings {
        site: "yard".into(),
        camera: "south".into(),
        encoding: Encoding::Json,
        session: peer_at(port),
    };
    let south = Publisher::start(&settings, Services::default()).unwrap();
    let client = Client::open(&client_of(port)).unwrap();
    for camera in ["north", "south"] {
        eventually("both answer", || client.fetch("yard", camera, "metrics").is_ok());
    }
    drop(north);
    assert!(client.fetch("yard", "south", "metrics").is_ok());
    drop(south);
}

#[test]
fn an_endpoint_in_use_and_a_bad_name_are_errors_at_once() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let settings = |camera: &str| PublisherSettings {
        site: "yard".into(),
        camera: camera.into(),
        encoding: Encoding::Json,
        session: peer_at(taken.local_addr().unwrap().port()),
    };
    let error = Publisher::start(&settings("north"), Services::default()).unwrap_err();
    assert!(matches!(error, SessionError::Open(_)), "{error}");
    let error = Publisher::start(&settings("a/b"), Services::default()).unwrap_err();
    assert!(matches!(error, SessionError::Key(_)), "{error}");
}

fn secured(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/zenoh").join(name)
}

#[test]
fn the_secured_router_lets_cameras_and_viewers_in_and_nobody_else() {
    let port = free_port();
    let router = SessionSettings {
        config: Some(secured("secured.json5")),
        listen: endpoint(port),
        cfg: vec![format!(
            "transport/auth/usrpwd/dictionary_file:{}",
            quoted(secured("secured-users.txt").to_str().unwrap())
        )],
        ..Default::default()
    };
    let _router = zenoh::open(router.to_config().unwrap()).wait().unwrap();
    let login = |name: &str| SessionSettings {
        config: Some(secured(name)),
        connect: endpoint(port),
        ..Default::default()
    };
    let publisher = publisher(login("secured-camera.json5"), Encoding::Json, Services::default());
    let viewer = Client::open(&login("secured-viewer.json5")).unwrap();
    let seen = viewer.subscribe(None, None).unwrap();

    // A user that the router knows, but that no policy lets see anything.
    let guest = SessionSettings {
        cfg: vec![
            "transport/auth/usrpwd/user:\"guest\"".into(),
            "transport/auth/usrpwd/password:\"change-me-guest\"".into(),
        ],
        ..login("secured-viewer.json5")
    };
    let guest = Client::open(&guest).unwrap();
    let unseen = guest.subscribe(None, None).unwrap();

    publish_until(&publisher, &seen, 1, |message| match message {
        ReceivedMessage::Tracks(tracks) => Some(tracks),
        _ => None,
    });
    let replies = viewer.ask(None, Some("north"), &words("How far did object 3 travel?"), PATIENCE);
    assert!(replies.is_ok(), "{replies:?}");
    assert!(viewer.fetch("yard", "north", "metrics").is_ok());

    // By now the guest would have seen the same.
    assert!(unseen.next(Duration::from_millis(500)).is_none());
    let nothing = guest.ask(None, Some("north"), &words("How far?"), Duration::from_millis(500));
    assert!(matches!(nothing, Err(AskFailure::Nobody(_))), "{nothing:?}");

    // A wrong password does not even connect.
    let intruder = SessionSettings {
        cfg: vec!["transport/auth/usrpwd/password:\"guess\"".into()],
        ..login("secured-viewer.json5")
    };
    assert!(matches!(Client::open(&intruder), Err(SessionError::Open(_))));
}

#[test]
fn the_vehicles_motion_is_heard_in_both_encodings_and_nonsense_is_passed_over() {
    let port = free_port();
    let (heard, told) = unbounded();
    let services = Services {
        ego: Some(Box::new(move |moment, motion| {
            let _ = heard.send((moment, motion));
        })),
        ..Services::default()
    };
    let _publisher = publisher(peer_at(port), Encoding::Json, services);
    let session = zenoh::open(client_of(port).to_config().unwrap()).wait().unwrap();
    let speed = |speed_mps: f64| proto::Ego {
        utc_ns: Some(1_700_000_000_000_000_000),
        speed_mps: Some(speed_mps),
        ..proto::Ego::default()
    };
    let key = "kinestream/v1/yard/north/ego";
    let mut received = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while !(received.contains(&2.0) && received.contains(&3.0)) {
        assert!(Instant::now() < deadline, "heard only {received:?}");
        session.put(key, "{nonsense").wait().unwrap();
        for (metres, encoding) in [(2.0, Encoding::Json), (3.0, Encoding::Protobuf)] {
            session
                .put(key, speed(metres).encode_as(encoding).unwrap())
                .wait()
                .unwrap();
        }
        while let Ok((moment, motion)) = told.recv_timeout(Duration::from_millis(50)) {
            assert_eq!(moment, EgoMoment::Utc(1_700_000_000_000_000_000));
            let EgoMotion::Speed { speed_mps, .. } = motion else {
                panic!("{motion:?}")
            };
            received.push(speed_mps);
        }
    }
}
