//! What overlays leave in pictures.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use nalgebra::{Isometry3, Matrix6, Point3, Rotation3, Translation3, UnitQuaternion, Vector3};

use super::*;
use crate::camera::{Camera, Distortion, Intrinsics, IntrinsicsSource, MountingSource};
use crate::detection::BoundingBox;
use crate::frame::{FrameTime, Picture, PixelFormat};
use crate::kinematics::{Reliability, UnreliableReason};
use crate::reconstruction::{PoseSource, ReconstructionHealth, View};
use crate::stkit::{Answer, AnswerSource, AnswerValue, Question, Span, Timings};
use crate::tracking::{Track, TrackStatus};

const WIDTH: u32 = 640;
const HEIGHT: u32 = 360;

fn track(id: u64, bbox: BoundingBox, status: TrackStatus) -> Track {
    Track {
        id,
        class: ClassLabel::new("car"),
        bbox,
        confidence: 0.9,
        existence_probability: 0.95,
        status,
        age_s: 3.0,
        unseen_s: 0.0,
        mask: None,
    }
}

fn object(track_id: u64, x: f64, y: f64, speed_mps: f64) -> ObjectState {
    let live = KinematicState {
        time_s: 2.0,
        position_in_world: Point3::new(x, y, 0.7),
        velocity_in_world_mps: Vector3::new(speed_mps, 0.0, 0.0),
        covariance: Matrix6::identity() * 0.25,
        standstill_probability: 0.0,
    };
    ObjectState {
        track_id,
        class: ClassLabel::new("car"),
        live,
        settled: None,
        movement_clock: Some(3),
        bearing_clock: Some(12),
        reliability: Reliability::Reliable,
    }
}

fn view() -> View {
    // The optical axis along the world's x: columns are the camera's axes in the world.
    let optical = Rotation3::from_basis_unchecked(&[-Vector3::y(), -Vector3::z(), Vector3::x()]);
    View {
        camera: Arc::new(Camera {
            intrinsics: Intrinsics {
                fx: 500.0,
                fy: 500.0,
                cx: 320.0,
                cy: 180.0,
                width: WIDTH,
                height: HEIGHT,
                distortion: Distortion::None,
            },
            intrinsics_source: IntrinsicsSource::Calibrated,
            mounting: None,
            mounting_source: MountingSource::Measured,
        }),
        world_from_camera: Isometry3::from_parts(
            Translation3::new(0.0, 0.0, 2.0),
            UnitQuaternion::from_rotation_matrix(&optical),
        ),
        ego_velocity_in_world_mps: Vector3::zeros(),
        pose_source: PoseSource::Static,
        ground_z_in_world_m: Some(0.0),
        depth: None,
        health: ReconstructionHealth {
            log_scale_sigma: 0.05,
            ..ReconstructionHealth::certain()
        },
        scene: 0,
        relative_focal_sigma: IntrinsicsSource::Calibrated.relative_focal_sigma(),
    }
}

fn answer(text: &str) -> Arc<Answer> {
    Arc::new(Answer {
        question_id: "speed".into(),
        question: Question {
            text: "How fast?".into(),
            task: None,
            subjects: Vec::new(),
            span: Span::Window,
            clock_hour: None,
            inverted: false,
        },
        subjects: vec![1],
        start_s: 0.0,
        end_s: 2.0,
        text: text.into(),
        value: Some(AnswerValue::SpeedMps(3.0)),
        interval: None,
        source: AnswerSource::Geometry,
        confidence: 0.9,
        reliable: true,
        reason: None,
        ambiguous: false,
        geometry: None,
        timings: Timings::default(),
    })
}

fn results() -> FrameResults {
    let mut results = FrameResults::new(FrameTime::from_pts_ns(2_000_000_000), WIDTH, HEIGHT);
    results.tracks = vec![track(
        1,
        BoundingBox::new(100.0, 120.0, 180.0, 190.0),
        TrackStatus::Tracked,
    )];
    results.objects = vec![object(1, 12.0, 1.0, 8.0)];
    results
}

/// Draws `results` on mid-grey and gives the RGB pixels.
fn drawn(show: Show, results: &FrameResults, width: u32, height: u32) -> Vec<u8> {
    let mut pixels = vec![90u8; (width * height * 3) as usize];
    let mut picture = PictureMut::packed(PixelFormat::Rgb, width, height, &mut pixels).unwrap();
    Overlay::new(show).draw(&mut picture, results);
    pixels
}

/// The bounds of the pixels that are not mid-grey.
fn touched(pixels: &[u8], width: u32) -> Option<(usize, usize, usize, usize)> {
    let width = width as usize;
    let changed = pixels.chunks(3).enumerate().filter(|(_, pixel)| **pixel != [90; 3]);
    changed
        .map(|(index, _)| (index % width, index / width))
        .fold(None, |bounds, (x, y)| {
            let (x0, y0, x1, y1) = bounds.unwrap_or((x, y, x, y));
            Some((x0.min(x), y0.min(y), x1.max(x), y1.max(y)))
        })
}

#[test]
fn without_results_the_picture_stays() {
    let nothing = FrameResults::new(FrameTime::default(), WIDTH, HEIGHT);
    assert_eq!(touched(&drawn(Show::ALL, &nothing, WIDTH, HEIGHT), WIDTH), None);
    assert_eq!(touched(&drawn(Show::NONE, &results(), WIDTH, HEIGHT), WIDTH), None);
}

#[test]
fn a_box_lies_where_the_results_say_at_any_picture_size() {
    let show = Show {
        boxes: true,
        ..Show::NONE
    };
    for (width, height) in [(640, 360), (320, 180), (1281, 721)] {
        let pixels = drawn(show, &results(), width, height);
        let (x0, y0, x1, y1) = touched(&pixels, width).unwrap();
        let scale = f64::from(width) / 640.0;
        for (found, expected) in [(x0, 100.0), (y0, 120.0), (x1, 180.0), (y1, 190.0)] {
            let distance = (found as f64 - expected * scale).abs();
            assert!(distance <= 4.0, "{width}: {found} against {}", expected * scale);
        }
    }
}

#[test]
fn unreliable_boxes_are_dashed_and_lost_ones_grey() {
    let show = Show {
        boxes: true,
        ..Show::NONE
    };
    let count = |results: &FrameResults| {
        let pixels = drawn(show, results, WIDTH, HEIGHT);
        pixels.chunks(3).filter(|pixel| **pixel != [90; 3]).count()
    };
    let reliable = results();
    let mut unreliable = results();
    unreliable.objects[0].reliability = Reliability::Unreliable(UnreliableReason::IntrinsicsAssumed);
    assert!(count(&unreliable) * 4 < count(&reliable) * 3);
    let mut lost = results();
    lost.tracks[0].status = TrackStatus::Lost;
    let pixels = drawn(show, &lost, WIDTH, HEIGHT);
    let colourful = pixels
        .chunks(3)
        .any(|p| p.iter().max().unwrap() - p.iter().min().unwrap() > 20);
    assert!(!colourful);
}

#[test]
fn answers_stay_for_some_seconds_and_newer_ones_replace_them() {
    let show = Show {
        answers: true,
        ..Show::NONE
    };
    let mut overlay = Overlay::new(show);
    let mut frame = |seconds: u64, answers: Vec<Arc<Answer>>| {
        let mut results = FrameResults::new(FrameTime::from_pts_ns(seconds * 1_000_000_000), WIDTH, HEIGHT);
        results.answers = answers;
        let mut pixels = vec![90u8; (WIDTH * HEIGHT * 3) as usize];
        let mut picture = PictureMut::packed(PixelFormat::Rgb, WIDTH, HEIGHT, &mut pixels).unwrap();
        overlay.draw(&mut picture, &results);
        pixels
    };
    let first = frame(1, vec![answer("Object 1 moves at 11 km/h.")]);
    assert!(touched(&first, WIDTH).is_some());
    assert_eq!(frame(4, vec![]), first);
    let second = frame(5, vec![answer("Object 1 moves at 29 km/h.")]);
    assert_eq!(touched(&second, WIDTH), touched(&first, WIDTH), "one line still");
    assert_ne!(second, first);
    assert_eq!(touched(&frame(20, vec![]), WIDTH), None);
}

#[test]
fn the_inset_puts_objects_where_they_are() {
    let show = Show {
        birdseye: true,
        ..Show::NONE
    };
    let with = |objects: Vec<ObjectState>| {
        let mut results = FrameResults::new(FrameTime::default(), WIDTH, HEIGHT);
        results.view = Some(Arc::new(view()));
        results.objects = objects;
        drawn(show, &results, WIDTH, HEIGHT)
    };
    // One object 15 m ahead, 4 m to the left or right; the range is 20 m in each.
    let center = |y: f64| {
        let pixels = with(vec![object(1, 15.0, y, 0.0)]);
        let color = color_of(1);
        let hits: Vec<usize> = pixels
            .chunks(3)
            .enumerate()
            .filter(|(_, pixel)| pixel.iter().zip(color).all(|(a, b)| a.abs_diff(b) < 12))
            .map(|(index, _)| index)
            .collect();
        assert!(!hits.is_empty());
        let x = hits.iter().map(|i| (i % WIDTH as usize) as f64).sum::<f64>() / hits.len() as f64;
        let y = hits.iter().map(|i| (i / WIDTH as usize) as f64).sum::<f64>() / hits.len() as f64;
        (x, y)
    };
    let (left, right) = (center(4.0), center(-4.0));
    let side = f64::from(HEIGHT) * 0.36;
    let per_metre = side.floor() * 0.88 / 20.0;
    assert!((right.0 - left.0 - 8.0 * per_metre).abs() < 2.0, "{left:?} {right:?}");
    assert!((right.1 - left.1).abs() < 1.0);
}

#[test]
fn speeds_carry_the_interval_along_the_movement() {
    let mut state = object(1, 10.0, 0.0, 10.0).live;
    state.covariance[(3, 3)] = 4.0;
    let (speed, half) = ground_speed_mps(&state).unwrap();
    assert!((speed - 10.0).abs() < 1e-9);
    assert!((half - 1.96 * 2.0).abs() < 1e-9);
    state.covariance[(3, 3)] = f64::NAN;
    assert_eq!(ground_speed_mps(&state), None);
}

#[test]
fn broken_numbers_draw_nothing_and_end() {
    let mut results = results();
    results.view = Some(Arc::new(view()));
    results.tracks.push(track(
        2,
        BoundingBox::new(f32::NAN, 0.0, 1.0, 1.0),
        TrackStatus::Tracked,
    ));
    results
        .tracks
        .push(track(3, BoundingBox::new(-1e30, -1e30, 1e30, 1e30), TrackStatus::Lost));
    results.tracks.push(track(
        4,
        BoundingBox::new(900.0, 10.0, 950.0, 40.0),
        TrackStatus::Tracked,
    ));
    results.objects.push(object(2, f64::NAN, f64::INFINITY, f64::NAN));
    results.objects.push(object(3, 1e300, -1e300, 1e300));
    drawn(Show::ALL, &results, WIDTH, HEIGHT);
    drawn(Show::ALL, &results, 1, 1);
    drawn(Show::ALL, &results, 3, 200);
}

#[test]
fn a_snapshot_is_a_jpeg_of_at_most_the_width_asked() {
    let pixels = vec![70u8; (WIDTH * HEIGHT * 3) as usize];
    let picture = Picture::packed(PixelFormat::Rgb, WIDTH, HEIGHT, &pixels).unwrap();
    let options = SnapshotOptions {
        max_width: 321,
        ..SnapshotOptions::default()
    };
    let file = snapshot_jpeg(&mut Overlay::default(), &picture, &results(), options).unwrap();
    assert_eq!(file[..2], [0xff, 0xd8]);
    // The frame header (SOF0) holds height and width after its length and precision.
    let header = file.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    let size = |at: usize| u16::from_be_bytes([file[header + at], file[header + at + 1]]);
    assert_eq!((size(7), size(5)), (321, 180));
    let nothing = SnapshotOptions {
        max_width: 0,
        ..SnapshotOptions::default()
    };
    assert!(matches!(
        snapshot_jpeg(&mut Overlay::default(), &picture, &results(), nothing),
        Err(SnapshotError::Picture { .. })
    ));
}
