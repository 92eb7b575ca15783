//! What one tracker update costs: a few pedestrians as in MOT15, 100 objects, and a detector gone mad.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use kinestream::detection::{BoundingBox, ClassLabel, Detection};
use kinestream::frame::FrameTime;
use kinestream::tracking::{Tracker, TrackerSettings};

/// Frame `k` of objects that walk to and fro over a 1920×1080 picture, overlapping now and then.
fn frame(objects: usize, k: usize) -> Vec<Detection> {
    let class = ClassLabel::new("person");
    (0..objects)
        .map(|i| {
            let phase = (i * 7919 % 1000) as f32 / 1000.0;
            let swing = (0.02 * k as f32 + std::f32::consts::TAU * phase).sin();
            let x = 60.0 + (i * 613 % 1750) as f32 + 40.0 * swing;
            let y = 40.0 + (i * 397 % 850) as f32;
            let jitter = ((i * 31 + k * 17) % 5) as f32 - 2.0;
            Detection {
                bbox: BoundingBox::from_xywh(x + jitter, y - jitter, 50.0, 120.0),
                class,
                confidence: 0.3 + 0.69 * ((i * 13 + k) % 10) as f32 / 10.0,
                mask: None,
            }
        })
        .collect()
}

fn warm(objects: usize) -> (Tracker, usize) {
    let mut tracker = Tracker::new(TrackerSettings::default());
    for k in 0..50 {
        tracker.update(time(k), &frame(objects, k));
    }
    (tracker, 50)
}

fn time(k: usize) -> FrameTime {
    FrameTime::from_pts_ns(k as u64 * 40_000_000)
}

fn update(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tracker update");
    for objects in [8, 100, 300] {
        let (mut tracker, mut k) = warm(objects);
        group.bench_function(format!("{objects} objects"), |bencher| {
            bencher.iter_batched(
                || {
                    k += 1;
                    (time(k), frame(objects, k))
                },
                |(time, frame)| {
                    black_box(tracker.update(time, &frame).len());
                },
                BatchSize::NumIterations(1),
            );
        });
    }
    group.sample_size(10);
    let (mut tracker, mut k) = warm(10_000);
    group.bench_function("10000 detections", |bencher| {
        bencher.iter_batched(
            || {
                k += 1;
                (time(k), frame(10_000, k))
            },
            |(time, frame)| {
                black_box(tracker.update(time, &frame).len());
            },
            BatchSize::NumIterations(1),
        );
    });
    group.finish();
}

criterion_group!(benches, update);
criterion_main!(benches);
