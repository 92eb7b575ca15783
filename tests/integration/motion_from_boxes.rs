//! From boxes to metres over time: cars of known truth, seen by a fixed camera as boxes with a detector's noise.

use kinestream::camera::{Camera, Intrinsics, IntrinsicsSource, Mounting, MountingSource};
use kinestream::detection::{BoundingBox, ClassLabel};
use kinestream::frame::FrameTime;
use kinestream::motion::{MotionEngine, MotionSettings};
use kinestream::reconstruction::{Reconstructor, StaticReconstructor, View};
use kinestream::tracking::{Track, TrackStatus};
use nalgebra::Point3;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, Normal};

const WIDTH: u32 = 1280;
const HEIGHT: u32 = 720;
/// Length, width, height of the car, metres: near the class's prior, so that what is tested is the estimator.
const SIZE: [f64; 3] = [4.3, 1.8, 1.5];

fn camera() -> Camera {
    Camera {
        intrinsics: Intrinsics::from_horizontal_fov(70f64.to_radians(), WIDTH, HEIGHT).unwrap(),
        intrinsics_source: IntrinsicsSource::Calibrated,
        mounting: Some(Mounting {
            height_m: 6.0,
            pitch_down_rad: 14f64.to_radians(),
            roll_rad: 0.0,
        }),
        mounting_source: MountingSource::Measured,
    }
}

/// The box around a car that looks along the world's x, its centre above (x, y).
fn seen(view: &View, x: f64, y: f64) -> BoundingBox {
    let mut bounds = BoundingBox::new(f32::MAX, f32::MAX, f32::MIN, f32::MIN);
    // Wheels, body, roof: height, and shares of length and width.
    for (up, long, wide) in [(0.0, 0.65, 1.0), (0.5 * SIZE[2], 1.0, 1.0), (SIZE[2], 0.5, 0.75)] {
        for (along, across) in [(-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5)] {
            let point = Point3::new(x + along * long * SIZE[0], y + across * wide * SIZE[1], up);
            let pixel = view
                .camera
                .intrinsics
                .project(&view.world_from_camera.inverse_transform_point(&point))
                .unwrap();
            let (u, v) = (pixel.x as f32, pixel.y as f32);
            bounds = BoundingBox::new(bounds.x0.min(u), bounds.y0.min(v), bounds.x1.max(u), bounds.y1.max(v));
        }
    }
    bounds
}

fn track(bbox: BoundingBox, time: FrameTime) -> Track {
    Track {
        id: 1,
        class: ClassLabel::new("car"),
        bbox,
        confidence: 0.9,
        existence_probability: 1.0,
        status: TrackStatus::Tracked,
        age_s: time.seconds() as f32,
        unseen_s: 0.0,
        mask: None,
    }
}

/// Estimated over true distance, and speed along x over the true one, after 7 s at 25 frames/s.
fn ratios(start_x: f64, speed_mps: f64, edge_noise_px: f64, seed: u64) -> (f64, f64) {
    let mut random = StdRng::seed_from_u64(seed);
    let noise = Normal::new(0.0, edge_noise_px).unwrap();
    let mut reconstructor = StaticReconstructor::new(Some(camera()));
    let mut motion = MotionEngine::new(MotionSettings::default());
    let mut newest = None;
    for index in 0..175u64 {
        let time = FrameTime::from_pts_ns(index * 40_000_000);
        let view = reconstructor.reconstruct(time, WIDTH, HEIGHT, None).unwrap();
        let (x, y) = (start_x + speed_mps * time.seconds(), -2.0);
        let exact = seen(&view, x, y);
        let mut noisy = |edge: f32| edge + noise.sample(&mut random) as f32;
        let bbox = BoundingBox::new(noisy(exact.x0), noisy(exact.y0), noisy(exact.x1), noisy(exact.y1));
        let states = motion.update(time, &[track(bbox, time)], &view, WIDTH, HEIGHT);
        let eye = Point3::from(view.world_from_camera.translation.vector);
        let truth = Point3::new(x, y, SIZE[2] / 2.0);
        newest = states.first().map(|state| {
            let distance = (state.live.position_in_world - eye).norm() / (truth - eye).norm();
            (distance, state.live.velocity_in_world_mps.x / speed_mps)
        });
    }
    newest.unwrap()
}

/// Whatever the noise of the boxes, its mean effect on distance and speed is small.
#[test]
fn noisy_boxes_do_not_pull_moving_cars_towards_the_camera() {
    for (start_x, speed_mps) in [(12.0, 3.2), (70.0, -7.0), (14.0, 5.0)] {
        for edge_noise_px in [0.05, 1.0] {
            let runs: Vec<_> = (0..4)
                .map(|seed| ratios(start_x, speed_mps, edge_noise_px, seed))
                .collect();
            let mean = |pick: fn(&(f64, f64)) -> f64| runs.iter().map(pick).sum::<f64>() / runs.len() as f64;
            let (distance, speed) = (mean(|run| run.0), mean(|run| run.1));
            let case = format!("from {start_x} m at {speed_mps} m/s, {edge_noise_px} px");
            assert!((distance - 1.0).abs() < 0.05, "{case}: distance × {distance:.3}");
            assert!((speed - 1.0).abs() < 0.12, "{case}: speed × {speed:.3}");
        }
    }
}

/// A camera that hangs steeply over a car park and says nothing of it, as most clips from the web do. The car drives
/// towards the picture's upper edge, along it, or askew.
#[test]
fn what_moves_under_an_unknown_camera_that_looks_steeply_down_does_not_stand() {
    let steep = Camera {
        mounting: Some(Mounting {
            height_m: 18.0,
            pitch_down_rad: 65f64.to_radians(),
            roll_rad: 0.0,
        }),
        ..camera()
    };
    for (from, velocity_mps) in [
        ((2.0, -1.0), (3.0, 0.0)),
        ((14.0, 2.0), (-3.0, 0.0)),
        ((7.0, 5.0), (0.0, -3.0)),
        ((4.0, -4.0), (2.0, 2.0)),
        ((8.0, 0.0), (0.0, 0.0)),
        ((4.0, 0.0), (2.0, 0.0)),
        ((12.0, -3.0), (-2.0, 0.0)),
        ((7.0, 3.0), (0.0, -2.0)),
    ] {
        let mut random = StdRng::seed_from_u64(5);
        let noise = Normal::new(0.0, 1.0).unwrap();
        let truth = StaticReconstructor::new(Some(steep.clone()))
            .reconstruct(FrameTime::default(), WIDTH, HEIGHT, None)
            .unwrap();
        let mut unknown = StaticReconstructor::new(None);
        let mut motion = MotionEngine::new(MotionSettings::default());
        let (mut standing, mut frames, mut speeds) = (0, 0, Vec::new());
        for index in 0..75u64 {
            let time = FrameTime::from_pts_ns(index * 40_000_000);
            let view = unknown.reconstruct(time, WIDTH, HEIGHT, None).unwrap();
            let at = |from: f64, speed_mps: f64| from + speed_mps * time.seconds();
            let exact = seen(&truth, at(from.0, velocity_mps.0), at(from.1, velocity_mps.1));
            let mut noisy = |edge: f32| edge + noise.sample(&mut random) as f32;
            let bbox = BoundingBox::new(noisy(exact.x0), noisy(exact.y0), noisy(exact.x1), noisy(exact.y1));
            let states = motion.update(time, &[track(bbox, time)], &view, WIDTH, HEIGHT);
            assert!(states.iter().all(|state| !state.reliability.is_reliable()));
            let Some(state) = states.first().filter(|_| time.seconds() > 1.0) else {
                continue;
            };
            frames += 1;
            standing += u32::from(state.live.standstill_probability > 0.5);
            speeds.push(state.live.velocity_in_world_mps.norm());
        }
        let case = format!("{velocity_mps:?} m/s from {from:?}: {standing} of {frames} frames standing, {speeds:.1?}");
        let speed_mps = f64::hypot(velocity_mps.0, velocity_mps.1);
        if speed_mps == 0.0 {
            assert!(standing * 10 > frames * 9, "{case}");
        } else {
            // From the second second on, nearly always.
            assert!(standing * 6 < frames, "{case}");
            let mean = speeds.iter().sum::<f64>() / speeds.len() as f64;
            // Neither focal length nor tilt is known: the scale is a guess, and a level camera's is short here.
            assert!((0.25..2.0).contains(&(mean / speed_mps)), "{case}");
        }
    }
}
