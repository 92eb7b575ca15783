//! The backend against a server of our own on this machine, which can be slow, busy, confused or gone.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use nalgebra::{Matrix3, Point3, Vector3};
use serde_json::{Value, json};

use super::*;
use crate::detection::{BoundingBox, ClassLabel};
use crate::frame::{FrameTime, Picture, PixelFormat};
use crate::kinematics::{Reliability, Sample, Trajectory};
use crate::motion::{SharedTrajectories, StoredTrajectory, TrajectoryStore};
use crate::results::FrameResults;
use crate::stkit::{Answer, AnswerSource, AnswerValue, Question, StandingQuestions, parse_question};
use crate::tracking::{Track, TrackStatus};
use crate::vlm::live::{Backend, Circuit, Health, Look, Onlooker, Posed};

/// What the server does with a request.
#[derive(Clone, Debug)]
enum Does {
    Says(&'static str),
    Status(u16, Option<&'static str>),
    Garbage,
    /// Accepts, and never answers.
    Hangs,
}

struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<(String, Value)>>>,
    does: Arc<Mutex<Does>>,
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    fn start(does: Does) -> Self {
        Self::at(0, does)
    }

    fn at(port: u16, does: Does) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (requests, does) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(does)));
        let over = Arc::new(AtomicBool::new(false));
        let (kept, doing, ended) = (Arc::clone(&requests), Arc::clone(&does), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::Acquire) {
                    return;
                }
                let (kept, doing) = (Arc::clone(&kept), Arc::clone(&doing));
                let ended = Arc::clone(&ended);
                std::thread::spawn(move || serve(stream.unwrap(), &kept, &doing, &ended));
            }
        });
        Self {
            port,
            requests,
            does,
            over,
            thread: Some(thread),
        }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    fn does(&self, does: Does) {
        *self.does.lock().unwrap() = does;
    }

    fn asked(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        self.thread.take().unwrap().join().unwrap();
    }
}

fn serve(stream: TcpStream, kept: &Mutex<Vec<(String, Value)>>, does: &Mutex<Does>, over: &AtomicBool) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    kept.lock()
        .unwrap()
        .push((head, serde_json::from_slice(&body).unwrap()));
    let does = does.lock().unwrap().clone();
    let (status, extra, body) = match does {
        Does::Says(text) => {
            let reply = json!({"choices": [{"message": {"role": "assistant", "content": text}}]});
            (200, String::new(), reply.to_string())
        }
        Does::Status(status, retry_after) => {
            let extra = retry_after.map(|wait| format!("Retry-After: {wait}\r\n"));
            (status, extra.unwrap_or_default(), "{\"error\": \"busy\"}".to_owned())
        }
        Does::Garbage => (200, String::new(), "<html>no model here".to_owned()),
        Does::Hangs => {
            while !over.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_millis(5));
            }
            return;
        }
    };
    let _ = write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{extra}Connection: close\r\n\r\n{body}",
        body.len()
    );
}

/// Two cars: 1 goes ahead at 2 m/s, 2 at 5 m/s.
fn trajectories() -> SharedTrajectories {
    let mut store = TrajectoryStore::new(120.0, 10).with_settle_lag_s(1.0);
    for (id, speed_mps) in [(1, 2.0), (2, 5.0)] {
        let mut settled = Trajectory::new();
        for i in 0..=200 {
            let time_s = 0.1 * f64::from(i);
            let sample = Sample {
                time_s,
                position_in_world: Point3::new(speed_mps * time_s, 0.0, 0.0),
                velocity_in_world_mps: Vector3::new(speed_mps, 0.0, 0.0),
                position_covariance: Matrix3::identity() * 1e-4,
                velocity_covariance: Matrix3::identity() * 1e-4,
                standing: false,
                reliable: true,
            };
            settled.push(sample).unwrap();
        }
        store.insert(StoredTrajectory {
            track_id: id,
            class: ClassLabel::new("car"),
            live: settled.clone(),
            settled,
            reliability: Reliability::Reliable,
        });
    }
    SharedTrajectories::new(store)
}

fn track(id: u64, bbox: BoundingBox) -> Track {
    Track {
        id,
        bbox,
        class: ClassLabel::new("car"),
        confidence: 0.9,
        existence_probability: 0.9,
        status: TrackStatus::Tracked,
        age_s: 1.0,
        unseen_s: 0.0,
        mask: None,
    }
}

/// Twelve seconds of a grey street in which both cars are seen.
fn sights() -> Arc<Sights> {
    let rgb = vec![90; 64 * 40 * 3];
    let picture = Picture::packed(PixelFormat::Rgb, 64, 40, &rgb).unwrap();
    let sights = Arc::new(Sights::default());
    for half in 0..=24u32 {
        let time_s = 0.5 * f64::from(half);
        let mut results = FrameResults::new(FrameTime::from_pts_ns((time_s * 1e9) as u64), 64, 40);
        results.tracks = vec![
            track(1, BoundingBox::new(4.0, 4.0, 20.0, 20.0)),
            track(2, BoundingBox::new(30.0, 10.0, 50.0, 30.0)),
        ];
        assert_eq!(sights.wanted(time_s), Some(Look::Keep));
        sights.look(Look::Keep, time_s, &picture, &results);
    }
    sights
}

struct Asking {
    backend: RemoteBackend,
    trajectories: SharedTrajectories,
    health: mpsc::Receiver<Health>,
}

fn settings(url: String) -> RemoteSettings {
    RemoteSettings {
        timeout: Duration::from_secs(20),
        frames: 4,
        patience: Patience {
            attempts: 3,
            pause: Duration::from_millis(1),
            longest_pause: Duration::from_millis(4),
        },
        breaker: BreakerSettings {
            failures: 3,
            wait: Duration::from_millis(200),
            longest_wait: Duration::from_millis(400),
        },
        ..RemoteSettings::new(Endpoint {
            url,
            model: "st-vlm".to_owned(),
            key: Some("secret".to_owned()),
            max_tokens: Some(64),
        })
    }
}

fn asking(settings: RemoteSettings) -> Asking {
    let (told, health) = mpsc::channel();
    let told = Mutex::new(told);
    let told = Box::new(move |health| {
        let _ = told.lock().unwrap().send(health);
    });
    Asking {
        backend: RemoteBackend::new(settings, sights(), told).unwrap(),
        trajectories: trajectories(),
        health,
    }
}

impl Asking {
    fn ask(&mut self, words: &str) -> Vec<Answer> {
        let question = parse_question(words).unwrap();
        self.pose(&question)
    }

    fn pose(&mut self, question: &Question) -> Vec<Answer> {
        let posed = [Posed {
            id: "q",
            question,
            window: (0.0, 10.0),
        }];
        self.backend.answer(&self.trajectories, &posed).remove(0)
    }

    fn newest_health(&self) -> Health {
        self.health.try_iter().last().unwrap()
    }
}

#[test]
fn the_request_is_as_the_protocol_wants_it_and_the_words_are_read_back() {
    let server = Server::start(Does::Says("The red one travels a shorter distance of 19.5 meters."));
    let mut asking = asking(settings(server.url()));
    let answers = asking.ask("How far did object 1 travel?");
    assert_eq!(answers.len(), 1);
    let answer = &answers[0];
    assert_eq!(answer.value, Some(AnswerValue::DistanceM(19.5)));
    assert_eq!(
        (answer.source, answer.subjects.as_slice()),
        (AnswerSource::Remote, [1].as_slice())
    );
    assert_eq!(
        answer.geometry.as_ref().unwrap().value,
        Some(AnswerValue::DistanceM(20.0))
    );
    let requests = server.requests.lock().unwrap().clone();
    let (head, body) = &requests[0];
    assert!(head.starts_with("POST /v1/chat/completions"), "{head}");
    assert!(
        head.to_ascii_lowercase().contains("authorization: bearer secret"),
        "{head}"
    );
    assert_eq!((&body["model"], &body["max_tokens"]), (&json!("st-vlm"), &json!(64)));
    let content = body["messages"][0]["content"].as_array().unwrap();
    let pictures: Vec<&str> = content
        .iter()
        .filter_map(|part| part["image_url"]["url"].as_str())
        .collect();
    assert_eq!(pictures.len(), 4);
    assert!(
        pictures
            .iter()
            .all(|url| url.starts_with("data:image/jpeg;base64,/9j/"))
    );
    let text = content.last().unwrap()["text"].as_str().unwrap();
    assert_eq!(
        text,
        "The video lasts for 10.00 seconds, and 4 frames are uniformly sampled from it. These frames are located at \
         0.00s,3.50s,6.50s,10.00s. There are 2 objects annotated with red and blue bounding boxes in the video. What is \
         the total distance traveled by the object annotated with the red bounding box throughout the video?"
    );
}

#[test]
fn each_object_and_comparison_is_asked_about_by_its_colour() {
    let server = Server::start(Does::Says("The object in the blue box moves faster."));
    let mut asking = asking(settings(server.url()));
    let answers = asking.ask("Which object moves faster, object 1 or object 2?");
    assert_eq!(answers[0].value, Some(AnswerValue::ObjectId(2)), "{}", answers[0].text);
    // Of every car: one request each, with the same pictures.
    server.does(Does::Says("36 km/h"));
    let answers = asking.ask("How fast is each car?");
    assert_eq!(answers.len(), 2);
    assert!(
        answers
            .iter()
            .all(|answer| answer.value == Some(AnswerValue::SpeedMps(10.0)))
    );
    let requests = server.requests.lock().unwrap().clone();
    assert_eq!(requests.len(), 3);
    let pictures = |index: usize| requests[index].1["messages"][0]["content"].as_array().unwrap()[..4].to_vec();
    assert_eq!(pictures(1), pictures(2));
}

#[test]
fn a_question_beyond_the_seven_tasks_comes_with_measurements() {
    let server = Server::start(Does::Says("Object 2 will be there first."));
    let mut asking = asking(settings(server.url()));
    let question = Question {
        task: None,
        ..parse_question("How fast is object 1?").unwrap()
    };
    let question = Question {
        text: "Who reaches the crossing first?".to_owned(),
        ..question
    };
    let answer = asking.pose(&question).remove(0);
    assert_eq!(
        (answer.text.as_str(), answer.value),
        ("Object 2 will be there first.", None)
    );
    assert_eq!(answer.source, AnswerSource::Remote);
    let requests = server.requests.lock().unwrap();
    let content = requests[0].1["messages"][0]["content"].as_array().unwrap();
    let text = content.last().unwrap()["text"].as_str().unwrap();
    for part in [
        "blue bounding box",
        "50.00 meters",
        "18.00 km/h",
        "12 o'clock",
        "Who reaches the crossing first?",
    ] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    drop(requests);
    server.does(Does::Status(400, None));
    let answer = asking.pose(&question).remove(0);
    assert!(
        answer.value.is_none() && answer.text.contains("status 400"),
        "{}",
        answer.text
    );
}

#[test]
fn words_without_a_clear_answer_are_no_value() {
    let server = Server::start(Does::Says("I cannot tell from these pictures."));
    let mut asking = asking(settings(server.url()));
    let answer = asking.ask("How far did object 1 travel?").remove(0);
    assert_eq!((answer.value, answer.source), (None, AnswerSource::Remote));
    assert!(!answer.reliable && answer.reason.as_ref().unwrap().contains("no clear answer"));
    assert!(answer.geometry.is_some());
}

/// A failing server: the answer is the geometric one, and the health says why.
fn falls_back(asking: &mut Asking, message: &str) -> Health {
    let answer = asking.ask("How far did object 1 travel?").remove(0);
    assert_eq!(
        (answer.value, answer.source),
        (Some(AnswerValue::DistanceM(20.0)), AnswerSource::Geometry)
    );
    let health = asking.newest_health();
    assert!(health.message.contains(message), "{health:?}");
    health
}

#[test]
fn a_server_that_hangs_costs_the_time_out_and_no_more() {
    let server = Server::start(Does::Hangs);
    let mut asking = asking(RemoteSettings {
        timeout: Duration::from_millis(300),
        ..settings(server.url())
    });
    falls_back(&mut asking, "no answer within");
    assert_eq!(server.asked(), 1, "the time-out is for all attempts together");
}

#[test]
fn a_busy_server_is_asked_again_when_it_says() {
    let server = Server::start(Does::Status(429, Some("0.05")));
    let mut asking = asking(settings(server.url()));
    let started = Instant::now();
    let health = falls_back(&mut asking, "status 429");
    assert_eq!((server.asked(), health.failures), (3, 3));
    assert!(
        started.elapsed() >= Duration::from_millis(100),
        "twice as long as it asked for"
    );
    // One that wants to be left alone for longer than anybody waits is not asked again.
    let server = Server::start(Does::Status(429, Some("600")));
    let mut asking = self::asking(settings(server.url()));
    falls_back(&mut asking, "status 429");
    assert_eq!(server.asked(), 1);
}

#[test]
fn garbage_and_refusals_are_told_apart() {
    let server = Server::start(Does::Garbage);
    let mut asking = asking(settings(server.url()));
    falls_back(&mut asking, "choices[0].message.content");
    assert_eq!(server.asked(), 3, "garbage may pass");
    let server = Server::start(Does::Status(404, None));
    let mut asking = self::asking(settings(server.url()));
    falls_back(&mut asking, "status 404");
    assert_eq!(server.asked(), 1, "what is not there will not be there a moment later");
}

#[test]
fn a_server_that_is_gone_is_left_alone_and_taken_again_when_it_is_back() {
    let server = Server::start(Does::Says("21 meters"));
    let mut asking = asking(settings(server.url()));
    assert_eq!(
        asking.ask("How far did object 1 travel?")[0].source,
        AnswerSource::Remote
    );
    assert_eq!(asking.newest_health().circuit, Circuit::Closed);
    let port = server.port;
    drop(server);
    let health = falls_back(&mut asking, &port.to_string());
    assert_eq!(health.circuit, Circuit::Open);
    assert!(health.wait > Duration::ZERO);
    // While the circuit is open nothing is sent.
    let before = health.requests;
    assert_eq!(falls_back(&mut asking, &port.to_string()).requests, before);
    let server = Server::at(port, Does::Says("21 meters"));
    let limit = Instant::now() + Duration::from_secs(20);
    let mut circuits = Vec::new();
    while asking.ask("How far did object 1 travel?")[0].source != AnswerSource::Remote {
        assert!(Instant::now() < limit, "{circuits:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    circuits.extend(asking.health.try_iter().map(|health| health.circuit));
    assert!(circuits.contains(&Circuit::HalfOpen), "{circuits:?}");
    assert_eq!(circuits.last(), Some(&Circuit::Closed));
    assert_eq!(server.asked(), 1, "one request tried");
}

#[test]
fn whoever_stops_does_not_wait_for_the_server() {
    let server = Server::start(Does::Hangs);
    let mut asking = asking(settings(server.url()));
    let stop = asking.backend.stopper().unwrap();
    std::thread::scope(|threads| {
        let waiting = threads.spawn(|| asking.ask("How far did object 1 travel?"));
        while server.asked() == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
        stop();
        let answer = waiting.join().unwrap().remove(0);
        assert_eq!(answer.source, AnswerSource::Geometry);
    });
}

#[test]
fn what_is_no_address_is_refused() {
    let error = Chat::new(Endpoint {
        url: "localhost:8000".to_owned(),
        model: "m".to_owned(),
        key: None,
        max_tokens: None,
    });
    assert!(error.unwrap_err().to_string().contains("found `localhost:8000`"));
    // The questions of the demo are about objects that the server is shown.
    assert!(StandingQuestions::load(Path::new("configs/demo-questions.toml")).is_ok());
}
