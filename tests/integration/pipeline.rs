//! Whole pipelines through the engine and the command: pushed frames, files, several cameras, failures, reports.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kinestream::frame::{FrameTime, Picture, PixelFormat};
use kinestream::gst::pipeline::{Engine, RunConfig, Waited};

/// Long enough for a busy machine.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(120));

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn detector() -> PathBuf {
    root().join("tests/data/onnx/yolox.onnx")
}

/// A configuration without network; `cameras` are names and sources.
fn config(cameras: &[(&str, &str)]) -> String {
    let mut text = "zenoh.enabled = false\n".to_owned();
    for (name, source) in cameras {
        text += &format!(
            "[[camera]]\nname = {name:?}\nsource = {source:?}\ndetector = {:?}\ndevice = \"cpu\"\nthreads = 1\n",
            detector()
        );
    }
    text
}

fn parse(cameras: &[(&str, &str)]) -> RunConfig {
    RunConfig::parse(&config(cameras), Path::new("run.toml")).unwrap()
}

const PICTURES: &str =
    "launch: videotestsrc num-buffers=25 ! video/x-raw,format=NV12,width=64,height=48,framerate=25/1";

#[test]
fn pushed_frames_come_back_as_results() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let mut engine = Engine::with_results(&parse(&[("mine", "app")]), move |camera, results| {
        let seen = (
            camera.to_owned(),
            results.time.pts_ns,
            results.width,
            results.tracks.len(),
        );
        sink.lock().unwrap().push(seen);
    })
    .unwrap();
    engine.start().unwrap();
    assert!(engine.frames("other").is_none());
    let sender = engine.frames("mine").unwrap();
    for k in 0..20_u64 {
        // The size may change on the way.
        let (width, height) = if k < 10 { (128, 64) } else { (64, 32) };
        let pixels = [200, 100, 50].repeat(width as usize * height as usize);
        let picture = Picture::packed(PixelFormat::Rgb, width, height, &pixels).unwrap();
        sender.push(&picture, FrameTime::from_pts_ns(40_000_000 * k)).unwrap();
    }
    sender.end();
    assert_eq!(engine.wait(PATIENCE), Waited::AllEnded);
    engine.stop();
    assert!(engine.failures().is_empty());
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 20);
    for (k, (camera, pts_ns, width, _)) in seen.iter().enumerate() {
        assert_eq!((camera.as_str(), *pts_ns), ("mine", 40_000_000 * k as u64));
        assert_eq!(*width, if k < 10 { 128 } else { 64 });
    }
    assert_eq!(seen[9].3, 1, "the tracked disc");
    let pixels = [0; 3];
    let picture = Picture::packed(PixelFormat::Rgb, 1, 1, &pixels).unwrap();
    assert!(
        sender.push(&picture, FrameTime::default()).is_err(),
        "pushed after the stop"
    );
}

#[test]
fn cameras_run_side_by_side_and_fail_alone() {
    let broken = tempfile::Builder::new().suffix(".mp4").tempfile().unwrap();
    std::fs::write(broken.path(), b"this is no video").unwrap();
    let cameras = [("good", PICTURES), ("broken", broken.path().to_str().unwrap())];
    let mut engine = Engine::from_config(&parse(&cameras)).unwrap();
    engine.start().unwrap();
    assert_eq!(engine.wait(PATIENCE), Waited::AllEnded);
    engine.stop();
    let failures = engine.failures();
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert!(
        failures[0].to_string().starts_with("camera broken: "),
        "{}",
        failures[0]
    );
    let report = engine.report();
    assert_eq!((report.frames, report.cameras[0].frames), (25, 25));
    assert_eq!(report.cameras[0].state, "ended");
    assert!(report.cameras[1].error.is_some());
    let stages: Vec<_> = report.stages.keys().copied().collect();
    assert_eq!(stages, ["detection", "motion", "reconstruction", "tracking", "vlm"]);
    assert!(report.rss_bytes.max >= report.rss_bytes.start);
}

#[test]
fn a_live_source_runs_until_it_is_stopped() {
    let live = "launch: videotestsrc is-live=true ! video/x-raw,format=NV12,width=64,height=48,framerate=25/1";
    let mut engine = Engine::from_config(&parse(&[("live", live)])).unwrap();
    engine.start().unwrap();
    let stop = engine.stop_handle();
    let waited = engine.wait_with(PATIENCE, |engine| {
        if engine.status()[0].frames > 10 {
            stop.stop();
        }
    });
    assert_eq!(waited, Waited::Stopped);
    engine.stop();
    let report = engine.report();
    let camera = &report.cameras[0];
    assert_eq!(camera.capture_clock, "pipeline");
    assert!(
        camera
            .capture_to_publish
            .as_ref()
            .is_some_and(|latency| latency.count > 10)
    );
    assert!(engine.failures().is_empty());
}

#[test]
fn what_cannot_start_names_the_camera() {
    for (from, to, expected) in [
        ("yolox.onnx", "missing.onnx", "missing.onnx"),
        ("device = \"cpu\"", "device = \"abacus\"", "abacus"),
        ("threads = 1", "camera_file = \"/no/camera.toml\"", "/no/camera.toml"),
        ("threads = 1", "priors = \"/no/priors.toml\"", "/no/priors.toml"),
        (
            "threads = 1",
            "questions = \"/no/questions.toml\"",
            "/no/questions.toml",
        ),
        ("videotestsrc num-buffers=25", "nosuchelement", "nosuchelement"),
    ] {
        let text = config(&[("gate", PICTURES)]).replace(from, to);
        let config = RunConfig::parse(&text, Path::new("run.toml")).unwrap();
        let error = Engine::from_config(&config)
            .and_then(|mut engine| engine.start())
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("camera gate: ") && error.contains(expected),
            "{error}"
        );
    }
}

#[test]
fn the_commented_configuration_is_true() {
    let path = root().join("configs/run.toml");
    RunConfig::load(&path).unwrap();
    // Keys behind a `#` must be keys too, with values of the right kind.
    let text = std::fs::read_to_string(&path).unwrap();
    let mut keys = 0;
    let uncommented: Vec<_> = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.split_once(" = ").is_some_and(|(key, _)| is_key(key)) => {
                keys += 1;
                rest
            }
            Some(table) if table.starts_with("[camera.") => table,
            _ => line,
        })
        .collect();
    assert!(keys > 20, "{keys}");
    RunConfig::parse(&uncommented.join("\n"), &path).unwrap();
}

fn is_key(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

fn kinestream(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_kinestream"))
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn the_command_writes_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.toml");
    std::fs::write(&path, config(&[("gate", "video.mp4")])).unwrap();
    let report = folder.path().join("report.json");
    let output = kinestream(&[
        "run",
        path.to_str().unwrap(),
        "--source",
        PICTURES,
        "--report",
        report.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    assert_eq!(report["frames"], 25);
    assert_eq!(report["drops"], 0);
    assert!(report["fps"].as_f64().unwrap() > 0.0);
    for percentile in ["p50_ms", "p95_ms", "p99_ms"] {
        assert!(report["capture_to_publish"][percentile].is_number(), "{report}");
        assert!(report["stages"]["detection"][percentile].is_number(), "{report}");
    }
    assert!(report["rss_bytes"]["max"].as_u64().unwrap() > 0);
    assert_eq!(report["cameras"][0]["name"], "gate");
}

#[test]
fn the_command_refuses_with_reasons() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.toml");
    let two = config(&[("a", PICTURES), ("b", PICTURES)]);
    for (text, arguments, expected) in [
        (
            config(&[("gate", "x.mp4")]) + "confidance = 0.5\n",
            &[][..],
            "confidence",
        ),
        (config(&[("gate", "x.mp4")]), &[], "no such file"),
        (config(&[("gate", PICTURES)]), &["--duration=-1"], "--duration"),
        (two, &["--source", PICTURES], "one camera"),
    ] {
        std::fs::write(&path, text).unwrap();
        let mut all = vec!["run", path.to_str().unwrap()];
        all.extend(arguments);
        let output = kinestream(&all);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && errors.contains(expected),
            "{expected}: {errors}"
        );
    }
}
