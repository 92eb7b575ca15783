//! The clients that people start with, against a publisher over 127.0.0.1: the command's `watch` and `ask`, the Python
//! examples in both encodings, and a reader that freezes.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kinestream::detection::{BoundingBox, ClassLabel};
use kinestream::frame::FrameTime;
use kinestream::results::FrameResults;
use kinestream::stkit::{Answer, AnswerSource, AnswerValue, Timings, parse_question};
use kinestream::tracking::{Track, TrackStatus};
use kinestream::wire::session::ReceivedMessage;
use kinestream::wire::{Client, Encoding, ForwardedAsk, Publisher, PublisherSettings, Services, SessionSettings};

const PATIENCE: Duration = Duration::from_secs(60);

/// A camera that publishes twenty frames a second and answers every question with 12.5 m.
struct Camera {
    publisher: Arc<Publisher>,
    endpoint: String,
    stop: Arc<AtomicBool>,
    pump: Option<JoinHandle<()>>,
}

impl Camera {
    fn start(encoding: Encoding, objects: u64) -> Self {
        let port = TcpListener::bind(("127.0.0.1", 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let endpoint = format!("tcp/127.0.0.1:{port}");
        let (asks, asked) = channel();
        let settings = PublisherSettings {
            site: "yard".into(),
            camera: "north".into(),
            encoding,
            session: SessionSettings {
                mode: Some("peer".into()),
                listen: vec![endpoint.clone()],
                multicast_scouting: Some(false),
                ..Default::default()
            },
        };
        let asks = std::sync::Mutex::new(asks);
        let services = Services {
            ask: Some(Box::new(move |ask: &ForwardedAsk| {
                asks.lock().unwrap().send(ask.clone()).is_ok()
            })),
            ..Services::default()
        };
        let publisher = Arc::new(Publisher::start(&settings, services).unwrap());
        let stop = Arc::new(AtomicBool::new(false));
        let pump = std::thread::spawn({
            let (publisher, stop) = (publisher.clone(), stop.clone());
            move || pump(&publisher, &asked, &stop, objects)
        });
        Self {
            publisher,
            endpoint,
            stop,
            pump: Some(pump),
        }
    }

    /// The command with the network options that reach this camera.
    fn reached_by(&self, mut command: Command) -> Command {
        command.args(["--connect", &self.endpoint, "--no-multicast-scouting"]);
        command
    }

    fn kinestream(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kinestream"));
        command.args(arguments);
        self.reached_by(command)
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let pumped = self.pump.take().unwrap().join();
        assert!(pumped.is_ok() || std::thread::panicking());
    }
}

fn pump(publisher: &Publisher, asked: &Receiver<ForwardedAsk>, stop: &AtomicBool, objects: u64) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut results = FrameResults::new(FrameTime::from_pts_ns(number * 50_000_000), 1280, 720);
        results.tracks = (1..=objects).map(track).collect();
        results.answers = asked.try_iter().map(|ask| Arc::new(answer(&ask))).collect();
        publisher.publish(Arc::new(results));
        number += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn track(id: u64) -> Track {
    Track {
        id,
        class: ClassLabel::new("car"),
        bbox: BoundingBox::new(1.0, 2.0, 3.0, 4.0),
        confidence: 0.5,
        existence_probability: 0.5,
        status: TrackStatus::Tracked,
        age_s: 1.0,
        unseen_s: 0.0,
        mask: None,
    }
}

fn answer(ask: &ForwardedAsk) -> Answer {
    let understood = parse_question(&ask.text);
    Answer {
        question_id: ask.id.clone(),
        question: parse_question("How far did object 1 travel?").unwrap(),
        subjects: vec![1],
        start_s: 0.0,
        end_s: 10.0,
        text: understood
            .as_ref()
            .map_or_else(ToString::to_string, |_| "Object 1 travelled 12.5 m.".into()),
        value: understood.is_ok().then_some(AnswerValue::DistanceM(12.5)),
        interval: None,
        source: AnswerSource::Geometry,
        confidence: 0.9,
        reliable: true,
        reason: None,
        ambiguous: false,
        geometry: None,
        timings: Timings::default(),
    }
}

fn run(mut command: Command) -> Output {
    let output = command.stdin(Stdio::null()).output().unwrap();
    if !output.status.success() {
        eprintln!("{command:?}\n{}{}", stdout(&output), stderr(&output));
    }
    output
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn watch_prints_a_line_of_json_for_each_message_and_a_table_for_people() {
    let camera = Camera::start(Encoding::Protobuf, 3);
    let output = run(camera.kinestream(&["watch", "--format", "json", "--duration", "3"]));
    assert!(output.status.success());
    let lines: Vec<serde_json::Value> = stdout(&output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let tracks = lines.iter().find(|line| line["tracks"].is_object()).unwrap();
    assert_eq!(tracks["key"], "kinestream/v1/yard/north/tracks");
    assert_eq!(tracks["tracks"]["objects"].as_array().unwrap().len(), 3);
    assert_eq!(tracks["tracks"]["objects"][0]["id"], "1");
    assert!(
        lines
            .iter()
            .any(|line| line["status"]["state"] == "ENGINE_STATE_PLAYING")
    );
    assert!(lines.iter().any(|line| line["alive"] == true));

    let output = run(camera.kinestream(&["watch", "--duration", "3"]));
    assert!(output.status.success());
    let text = stdout(&output);
    assert!(
        text.contains("yard/north") && text.contains("playing") && text.contains("car"),
        "{text}"
    );
}

#[test]
fn ask_prints_the_answer_and_its_exit_code_tells_when_there_is_none() {
    let camera = Camera::start(Encoding::Json, 1);
    let question = "How far did object 1 travel in the last 10 seconds?";
    let output = run(camera.kinestream(&["ask", "north", question]));
    assert_eq!(
        (output.status.code(), stdout(&output).trim()),
        (Some(0), "Object 1 travelled 12.5 m.")
    );

    let output = run(camera.kinestream(&["ask", "yard/north", question, "--format", "json"]));
    let reply: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(reply["answers"][0]["distance_m"], 12.5);

    let output = run(camera.kinestream(&["ask", "north", "What is the weather like?"]));
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""));
    assert!(stderr(&output).contains("not clear"), "{}", stderr(&output));

    let output = run(camera.kinestream(&["ask", "south", question, "--timeout", "0.5"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("no camera answers"), "{}", stderr(&output));
}

/// The venv's Python, which `make test` names; says so and gives `None` when it does not.
fn python() -> Option<Command> {
    let python = std::env::var_os("KINESTREAM_PYTHON");
    if python.is_none() {
        eprintln!("skipped: KINESTREAM_PYTHON does not name a Python with eclipse-zenoh");
    }
    python.map(Command::new)
}

fn example(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

#[test]
fn the_python_subscriber_reads_both_encodings() {
    let Some(mut protoc) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    protoc
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["-m", "grpc_tools.protoc", "-I", "proto"])
        .arg(format!("--python_out={}", folder.path().display()))
        .arg("proto/kinestream/v1/kinestream.proto");
    assert!(run(protoc).status.success());

    for encoding in [Encoding::Json, Encoding::Protobuf] {
        let camera = Camera::start(encoding, 2);
        let mut command = python().unwrap();
        command
            .arg(example("subscribe.py"))
            .args(["--count", "5", "--timeout", "30"]);
        command.arg("--messages").arg(folder.path());
        let output = run(camera.reached_by(command));
        assert!(output.status.success(), "{encoding}");
        assert!(stdout(&output).contains("2 objects"), "{}", stdout(&output));
        assert!(
            stdout(&output).contains("not reliable: no_metric_state"),
            "{}",
            stdout(&output)
        );
    }
}

#[test]
fn the_python_ask_gets_an_answer() {
    let Some(mut command) = python() else { return };
    let camera = Camera::start(Encoding::Protobuf, 1);
    command
        .arg(example("ask.py"))
        .args(["north", "How far did object 1 travel in the last 10 seconds?"]);
    let output = run(camera.reached_by(command));
    assert!(output.status.success());
    assert_eq!(stdout(&output).trim(), "Object 1 travelled 12.5 m. [distance_m = 12.5]");
}

/// Ends with the test, whatever comes of it.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn signal(process: &Process, name: &str) {
    let sent = Command::new("kill")
        .args([name, &process.0.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

#[test]
fn a_frozen_reader_holds_up_neither_the_camera_nor_other_readers_and_what_it_misses_is_counted() {
    // Four full messages a frame fill the frozen reader's buffers soon.
    let camera = Camera::start(Encoding::Json, 1000);
    let mut command = camera.kinestream(&["watch", "--format", "json"]);
    let frozen = Process(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let client = Client::open(&SessionSettings {
        mode: Some("client".into()),
        connect: vec![camera.endpoint.clone()],
        multicast_scouting: Some(false),
        ..Default::default()
    })
    .unwrap();
    let subscription = client.subscribe(None, None).unwrap();
    let read_until = |what: &str, wanted: &dyn Fn(&ReceivedMessage) -> bool| {
        let deadline = Instant::now() + PATIENCE;
        while let Some(received) = subscription.next(deadline.saturating_duration_since(Instant::now())) {
            if received.message.is_ok_and(|message| wanted(&message)) {
                return;
            }
        }
        panic!("{what} did not come within {PATIENCE:?}");
    };
    let frame = |seq: u64| {
        move |message: &ReceivedMessage| match message {
            ReceivedMessage::Tracks(tracks) => tracks.header.as_ref().is_some_and(|header| header.seq >= seq),
            _ => false,
        }
    };
    let network_drops = |message: &ReceivedMessage| match message {
        ReceivedMessage::Status(status) => status
            .drops
            .iter()
            .find(|drop| drop.name == "network")
            .map(|drop| drop.count),
        _ => None,
    };
    read_until("frame 20", &frame(20));
    let before = camera.publisher.network_dropped().unwrap();
    signal(&frozen, "-STOP");
    // 200 frames of 240 kB are far more than sockets and zenoh's queues hold.
    read_until("frame 220", &frame(220));
    let (frames, dropped) = (camera.publisher.frames(), camera.publisher.dropped());
    assert!(
        dropped * 10 < frames,
        "{dropped} of {frames} frames dropped: the publisher was held up"
    );
    read_until("a count of what zenoh dropped", &|message| {
        network_drops(message) > Some(0)
    });
    assert!(camera.publisher.network_dropped() > Some(before));
    let metrics = client.fetch("yard", "north", "metrics").unwrap();
    let metrics = String::from_utf8(metrics).unwrap();
    let counted = metrics.lines().find(|line| line.contains("at=\"network\"")).unwrap();
    assert!(!counted.ends_with(" 0"), "{counted}");
    signal(&frozen, "-CONT");
}
