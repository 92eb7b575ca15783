//! A file as fast as it goes through the whole chain, against the same ONNX session alone on a tensor cut before: same
//! model, same threads, same run. Rounds of both take turns, so that a busy machine slows both.
//!
//! `KINESTREAM_DETECTOR` and `KINESTREAM_VIDEO` name model and video (default: yolox_nano.onnx and car-detection.mp4 of the
//! real data), `KINESTREAM_THREADS` the threads of the session (default 1), `KINESTREAM_ROUNDS` the rounds (default 3).
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use kinestream::frame::{Picture, PixelFormat};
use kinestream::gst::pipeline::{Engine, RunConfig};
use kinestream::perception::{Detector, DetectorSettings, Device, SessionSettings};

fn file(variable: &str, name: &str) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Some(path.into());
    }
    let data = std::env::var_os("KINESTREAM_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    Some(data.join(name)).filter(|path| path.exists())
}

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// Runs of the session a second, on the tensor of one picture.
fn session_alone(detector: &mut Detector) -> f64 {
    let started = Instant::now();
    let mut runs = 0;
    while started.elapsed().as_secs_f64() < 3.0 {
        detector.infer_raw().unwrap();
        runs += 1;
    }
    f64::from(runs) / started.elapsed().as_secs_f64()
}

/// Plays the whole file.
fn chain(model: &Path, video: &Path, threads: usize) -> (u64, f64) {
    let config = format!(
        "zenoh.enabled = false\n[[camera]]\nname = \"file\"\nsource = {video:?}\ndetector = {model:?}\nthreads = {threads}\n\
         device = \"cpu\"\ndepth = \"none\"\n"
    );
    let config = RunConfig::parse(&config, Path::new("throughput.toml")).unwrap();
    let mut engine = Engine::from_config(&config).unwrap();
    engine.start().unwrap();
    engine.wait(None);
    engine.stop();
    assert!(engine.failures().is_empty(), "{:?}", engine.failures());
    let report = engine.report();
    (report.frames, report.fps)
}

fn main() {
    let model = file("KINESTREAM_DETECTOR", "models/yolox_nano.onnx");
    let video = file("KINESTREAM_VIDEO", "video/car-detection.mp4");
    let (Some(model), Some(video)) = (model, video) else {
        eprintln!("skipped: no data (KINESTREAM_DETECTOR and KINESTREAM_VIDEO name model and video)");
        return;
    };
    let (model, video) = (model.canonicalize().unwrap(), video.canonicalize().unwrap());
    let threads = number("KINESTREAM_THREADS", 1);
    let settings = DetectorSettings {
        session: SessionSettings {
            device: Device::Cpu,
            threads,
            spin: false,
        },
        ..DetectorSettings::default()
    };
    let mut detector = Detector::load(&model, &settings).unwrap();
    // A plain picture would leave denormal numbers in the network, which are slow: any texture will do.
    let pixels: Vec<u8> = (0..416 * 416 * 3_u32)
        .map(|k| (k.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    detector.prepare(&Picture::packed(PixelFormat::Rgb, 416, 416, &pixels).unwrap());
    let mut ratios = Vec::new();
    for round in 1..=number("KINESTREAM_ROUNDS", 3) {
        let before = session_alone(&mut detector);
        let (frames, whole) = chain(&model, &video, threads);
        let after = session_alone(&mut detector);
        let alone = 0.5 * (before + after);
        ratios.push(whole / alone);
        println!(
            "round {round}, {threads} threads: session alone {alone:.1} frames/s, whole chain {whole:.1} frames/s \
             ({frames} frames): {:.3}",
            whole / alone
        );
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.3}", ratios[ratios.len() / 2]);
}
