//! A model behind a server: pictures never wait for it, and what it does is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gst::prelude::*;
use kinestream::detection::{BoundingBox, ClassLabel};
use kinestream::gst::answering::Answering;
use kinestream::gst::events::Model;
use kinestream::gst::metadata;
use kinestream::stkit::{Answer, AnswerSource};
use kinestream::tracking::{Track, TrackStatus};
use kinestream::vlm::live::Circuit;

use super::support::*;

/// Says "12 meters" to everything: at once, or when it is let go.
struct Server {
    port: u16,
    held: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
}

impl Server {
    fn start(held: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (held, asked) = (Arc::new(AtomicBool::new(held)), Arc::new(AtomicU64::new(0)));
        let (waits, counts) = (Arc::clone(&held), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (waits, counts) = (Arc::clone(&waits), Arc::clone(&counts));
                std::thread::spawn(move || serve(stream, &waits, &counts));
            }
        });
        Self { port, held, asked }
    }

    fn let_go(&self) {
        self.held.store(false, Ordering::Release);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.let_go();
    }
}

fn serve(mut stream: TcpStream, held: &AtomicBool, asked: &AtomicU64) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut length = 0;
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
    }
    reader.read_exact(&mut vec![0; length]).unwrap();
    asked.fetch_add(1, Ordering::AcqRel);
    while held.load(Ordering::Acquire) {
        std::thread::sleep(Duration::from_millis(2));
    }
    let body = r#"{"choices": [{"message": {"content": "12 meters"}}]}"#;
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
}

fn live(url: &str, timeout_s: f64) -> (Live, gst::Bus) {
    let mut live = Live::new(DISTANCE);
    let bus = gst::Bus::new();
    live.element.set_state(gst::State::Null).unwrap();
    live.element.set_bus(Some(&bus));
    live.element.set_property_from_str("backend", "remote");
    live.element.set_property("remote-url", url);
    live.element.set_property("remote-model", "st-vlm");
    live.element.set_property("remote-timeout", timeout_s);
    live.element.set_state(gst::State::Playing).unwrap();
    live.harness.set_src_caps(video_caps(32));
    (live, bus)
}

/// Pushes a frame in which the car is seen, and returns the answers that came with it or on their own.
fn push(live: &mut Live, time_s: f64) -> Vec<Arc<Answer>> {
    let mut answers = show(live, time_s);
    answers.extend(live.answers_in_events().0);
    answers
}

fn show(live: &mut Live, time_s: f64) -> Vec<Arc<Answer>> {
    let mut buffer = frame(time_s, Some(&live.trajectories));
    let inner = buffer.get_mut().unwrap();
    let mut results = metadata::results(inner).unwrap().as_ref().clone();
    results.tracks.push(Track {
        id: 1,
        class: ClassLabel::new("car"),
        bbox: BoundingBox::new(4.0, 4.0, 20.0, 12.0),
        confidence: 0.9,
        existence_probability: 0.9,
        status: TrackStatus::Tracked,
        age_s: 1.0,
        unseen_s: 0.0,
        mask: None,
    });
    metadata::attach(inner, Arc::new(results)).unwrap();
    let out = live.harness.push_and_pull(buffer).unwrap();
    assert!(
        out.map_readable().unwrap().iter().all(|byte| *byte == 7),
        "pictures pass untouched"
    );
    metadata::results(&out).unwrap().answers.clone()
}

#[test]
fn a_served_model_answers_and_pictures_do_not_wait_for_it() {
    let server = Server::start(true);
    let (mut live, _bus) = live(&format!("http://127.0.0.1:{}/v1", server.port), 60.0);
    let mut found = Vec::new();
    // Five seconds of stream pass while the first window is with the server: newer windows replace those that wait.
    for i in 0..=60 {
        if i == 18 {
            // Frames are looked at beside the stream.
            std::thread::sleep(Duration::from_millis(400));
        }
        found.extend(push(&mut live, 0.1 * f64::from(i)));
    }
    assert!(found.is_empty(), "{found:?}");
    let limit = Instant::now() + Duration::from_secs(20);
    while server.asked.load(Ordering::Acquire) == 0 {
        assert!(Instant::now() < limit);
        std::thread::sleep(Duration::from_millis(2));
    }
    server.let_go();
    live.wait_for(live.counter("asked") - live.counter("given-up"));
    found.extend(push(&mut live, 6.05));
    assert!(
        found.iter().all(|answer| answer.source == AnswerSource::Remote),
        "{found:?}"
    );
    assert!(found.iter().all(|answer| (distance_m(answer) - 12.0).abs() < 1e-9));
    assert!(found.iter().all(|answer| answer.geometry.is_some()));
    assert_eq!(found.last().unwrap().end_s, 5.0, "the newest window wins");
    let (asked, given_up) = (live.counter("asked"), live.counter("given-up"));
    assert_eq!(asked, 5);
    assert_eq!(found.len() as u64, asked - given_up);
    assert!(given_up >= 1, "what was replaced is counted");
    let circuit: String = live.element.property("circuit");
    assert_eq!(circuit, "closed");
    live.element.set_bus(None::<&gst::Bus>);
}

#[test]
fn a_server_that_is_gone_is_told_and_geometry_goes_on() {
    // A port on which nobody listens any more.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (mut live, bus) = live(&format!("http://127.0.0.1:{port}/v1"), 20.0);
    let mut found = Vec::new();
    for i in 0..=40 {
        if i % 18 == 17 {
            // Frames are looked at beside the stream, by a thread that steps back.
            std::thread::sleep(Duration::from_millis(400));
        }
        found.extend(push(&mut live, 0.1 * f64::from(i)));
        live.wait_for(live.counter("asked") - live.counter("given-up"));
    }
    found.extend(push(&mut live, 4.05));
    assert_eq!(found.len(), 3);
    assert!(
        found
            .iter()
            .all(|answer| answer.source == AnswerSource::Geometry && answer.value.is_some())
    );
    let circuit: String = live.element.property("circuit");
    assert_eq!(circuit, "open");
    let told = bus.iter().find_map(|message| match message.view() {
        gst::MessageView::Element(element) => Answering::from_structure(element.structure()?),
        _ => None,
    });
    let told = told.unwrap();
    assert_eq!(told.health.circuit, Circuit::Open);
    assert!(told.health.message.contains(&port.to_string()), "{told:?}");
    live.element.set_bus(None::<&gst::Bus>);
}

#[test]
fn the_model_and_its_health_are_told_downstream() {
    let server = Server::start(false);
    let url = format!("http://127.0.0.1:{}/v1", server.port);
    let (mut live, _bus) = live(&url, 60.0);
    let (mut model, mut health) = (None, None);
    for i in 0..=25 {
        if i == 18 {
            std::thread::sleep(Duration::from_millis(400));
        }
        show(&mut live, 0.1 * f64::from(i));
        live.wait_for(live.counter("asked") - live.counter("given-up"));
        while let Some(event) = live.harness.try_pull_event() {
            model = Model::from_event(&event).or(model);
            health = Answering::from_event(&event).or(health);
        }
    }
    let model = model.unwrap();
    assert_eq!(
        (model.stage.as_str(), model.name.as_str(), model.device),
        ("answers", "st-vlm", url)
    );
    let health = health.unwrap().health;
    assert_eq!((health.circuit, health.failures), (Circuit::Closed, 0));
    assert!(health.requests >= 1);
    live.element.set_bus(None::<&gst::Bus>);
}

#[test]
fn without_an_address_it_does_not_start() {
    init();
    for (url, part) in [
        (None, "needs remote-url"),
        (Some("localhost:8000"), "expected an address"),
    ] {
        let element = gst::ElementFactory::make("kinevlm")
            .property("remote-url", url)
            .property_from_str("backend", "remote")
            .build()
            .unwrap();
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        assert!(element.set_state(gst::State::Paused).is_err());
        let message = bus.pop_filtered(&[gst::MessageType::Error]).unwrap();
        match message.view() {
            gst::MessageView::Error(error) => assert!(error.error().to_string().contains(part), "{error:?}"),
            other => panic!("{other:?}"),
        }
        element.set_state(gst::State::Null).unwrap();
    }
}
