//! What detection costs beside the network itself: the ONNX session alone on a tensor cut before, and whole detection.
//!
//! `KINESTREAM_DETECTOR` names the model (default: yolox_nano.onnx of the real data), `KINESTREAM_THREADS` the threads of
//! the session (default 1), `ORT_DYLIB_PATH` the ONNX Runtime library. The throughput is in frames per second.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kinestream::frame::{Picture, PixelFormat, Plane, YuvColor};
use kinestream::perception::{Detector, DetectorSettings, Device, SessionSettings};

fn model() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("KINESTREAM_DETECTOR") {
        return Some(path.into());
    }
    let data = std::env::var_os("KINESTREAM_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    Some(data.join("models/yolox_nano.onnx")).filter(|path| path.exists())
}

fn bench(criterion: &mut Criterion) {
    let Some(path) = model() else {
        eprintln!("skipped: no data (KINESTREAM_DETECTOR names a model)");
        return;
    };
    let threads = std::env::var("KINESTREAM_THREADS").map_or(1, |threads| threads.parse().unwrap());
    let settings = DetectorSettings {
        session: SessionSettings {
            device: Device::Cpu,
            threads,
            spin: false,
        },
        ..DetectorSettings::default()
    };
    let mut detector = Detector::load(&path, &settings).unwrap();

    // A scene that is neither flat nor pure noise, with some boxes in it.
    let (width, height) = (768u32, 432u32);
    let luma: Vec<u8> = (0..width * height)
        .map(|i| {
            let (x, y) = (i % width, i / width);
            let inside = (x / 96 + y / 72) % 3 == 0;
            (if inside { 190 } else { 70 } + (x.wrapping_mul(31) ^ y.wrapping_mul(17)) % 40) as u8
        })
        .collect();
    let chroma = vec![120u8; (width * height / 2) as usize];
    let stride = width as usize;
    let planes = [Plane { data: &luma, stride }, Plane { data: &chroma, stride }];
    let picture = Picture::new(PixelFormat::Nv12, width, height, YuvColor::default(), &planes).unwrap();

    let mut group = criterion.benchmark_group("detector");
    group.throughput(Throughput::Elements(1));
    group.bench_function("session alone", |bencher| {
        detector.prepare(&picture);
        bencher.iter(|| detector.infer_raw().unwrap());
    });
    group.bench_function("detect nv12 768x432", |bencher| {
        bencher.iter(|| detector.detect(&picture).unwrap())
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
