//! What a frame costs the motion stage: 50 objects at 30 frames a second, boxes lifted, filtered and settled 1 s behind.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use kinestream::camera::{Camera, Distortion, Intrinsics, IntrinsicsSource, Mounting, MountingSource};
use kinestream::detection::{BoundingBox, ClassLabel};
use kinestream::frame::FrameTime;
use kinestream::motion::{MotionEngine, MotionSettings};
use kinestream::reconstruction::{Reconstructor, StaticReconstructor, View};
use kinestream::tracking::{Track, TrackStatus};

const OBJECTS: u64 = 50;
const FRAME_NS: u64 = 33_333_333;
const SIZE: (u32, u32) = (1280, 720);

fn view() -> Option<View> {
    let camera = Camera {
        intrinsics: Intrinsics {
            fx: 900.0,
            fy: 900.0,
            cx: 640.0,
            cy: 360.0,
            width: SIZE.0,
            height: SIZE.1,
            distortion: Distortion::None,
        },
        intrinsics_source: IntrinsicsSource::Calibrated,
        mounting: Some(Mounting {
            height_m: 6.0,
            pitch_down_rad: 0.3,
            roll_rad: 0.0,
        }),
        mounting_source: MountingSource::Measured,
    };
    StaticReconstructor::new(Some(camera))
        .reconstruct(FrameTime::default(), SIZE.0, SIZE.1, None)
        .ok()
}

/// Cars and people on their ways through the picture, their boxes trembling.
fn tracks(frame: u64) -> Vec<Track> {
    (0..OBJECTS)
        .map(|id| {
            let (row, column) = ((id / 10) as f32, (id % 10) as f32);
            let way = frame as f32 * 0.3;
            let tremble = ((frame * 7 + id * 13) as f32).sin();
            let (x, y) = (60.0 + 110.0 * column + way % 80.0, 250.0 + 70.0 * row);
            let (wide, tall, class) = if id % 2 == 0 {
                (70.0, 40.0, "car")
            } else {
                (20.0, 50.0, "person")
            };
            Track {
                id,
                class: ClassLabel::new(class),
                bbox: BoundingBox::from_xywh(x + tremble, y + 0.5 * tremble, wide, tall),
                confidence: 0.9,
                existence_probability: 1.0,
                status: TrackStatus::Tracked,
                age_s: frame as f32 / 30.0,
                unseen_s: 0.0,
                mask: None,
            }
        })
        .collect()
}

fn update(criterion: &mut Criterion) {
    let Some(view) = view() else { return };
    let mut engine = MotionEngine::new(MotionSettings::default());
    let mut frame = 0;
    let mut step = |tracks: Vec<Track>| {
        frame += 1;
        let time = FrameTime::from_pts_ns(frame * FRAME_NS);
        engine.update(time, &tracks, &view, SIZE.0, SIZE.1)
    };
    for warm_up in 0..90 {
        step(tracks(warm_up));
    }
    let mut next = 90;
    criterion.bench_function("motion update, 50 objects at 30 fps", |bencher| {
        bencher.iter_batched(
            || {
                next += 1;
                tracks(next)
            },
            |tracks| black_box(step(tracks)),
            BatchSize::PerIteration,
        );
    });
}

criterion_group!(benches, update);
criterion_main!(benches);
