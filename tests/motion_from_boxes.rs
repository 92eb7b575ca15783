//! From boxes to metres over time: cars of known truth, seen by a fixed camera as boxes with a detector's noise.
#![allow(clippy::unwrap_used)]

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
    for corner in 0..8 {
        let half = |bit: usize, size: f64| {
            if corner >> bit & 1 == 1 {
                size / 2.0
            } else {
                -size / 2.0
            }
        };
        let up = if corner >> 2 == 1 { SIZE[2] } else { 0.0 };
        let point = Point3::new(x + half(0, SIZE[0]), y + half(1, SIZE[1]), up);
        let pixel = view
            .camera
            .intrinsics
            .project(&view.world_from_camera.inverse_transform_point(&point))
            .unwrap();
        let (u, v) = (pixel.x as f32, pixel.y as f32);
        bounds = BoundingBox::new(bounds.x0.min(u), bounds.y0.min(v), bounds.x1.max(u), bounds.y1.max(v));
    }
    bounds
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
        let track = Track {
            id: 1,
            class: ClassLabel::new("car"),
            bbox: BoundingBox::new(noisy(exact.x0), noisy(exact.y0), noisy(exact.x1), noisy(exact.y1)),
            confidence: 0.9,
            existence_probability: 1.0,
            status: TrackStatus::Tracked,
            age_s: time.seconds() as f32,
            unseen_s: 0.0,
            mask: None,
        };
        let states = motion.update(time, &[track], &view, WIDTH, HEIGHT);
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
