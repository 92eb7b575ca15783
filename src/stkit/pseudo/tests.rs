//! Trajectories through the filters, and what is asked about those that pass.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use nalgebra::{Isometry3, Matrix3, Point3, Vector3};

use super::*;
use crate::camera::Camera;
use crate::datasets::LabelSource;
use crate::detection::{BoundingBox, ClassLabel};
use crate::kinematics::{KinematicState, ObjectState, Reliability, Sample, Trajectory, UnreliableReason};
use crate::motion::{StoredTrajectory, TrajectoryStore};
use crate::reconstruction::{PoseSource, ReconstructionHealth, View};
use crate::stkit::{Label, Task};
use crate::tracking::{Track, TrackStatus};

const FRAME_S: f64 = 0.1;

fn view() -> View {
    View {
        camera: Arc::new(Camera::assumed(640, 384).unwrap()),
        relative_focal_sigma: 0.0,
        world_from_camera: Isometry3::identity(),
        ego_velocity_in_world_mps: Vector3::zeros(),
        pose_source: PoseSource::Static,
        ground_z_in_world_m: None,
        depth: None,
        scene: 0,
        health: ReconstructionHealth::certain(),
    }
}

fn track(id: u64, confidence: f32) -> Track {
    let x = 40.0 * id as f32;
    Track {
        id,
        class: ClassLabel::new("car"),
        bbox: BoundingBox::new(x, 100.0, x + 60.0, 160.0),
        confidence,
        existence_probability: 1.0,
        status: TrackStatus::Tracked,
        age_s: 1.0,
        unseen_s: 0.0,
        mask: None,
    }
}

fn state(id: u64, reliability: Reliability) -> ObjectState {
    ObjectState {
        track_id: id,
        class: ClassLabel::new("car"),
        live: KinematicState {
            time_s: 0.0,
            position_in_world: Point3::origin(),
            velocity_in_world_mps: Vector3::zeros(),
            covariance: nalgebra::Matrix6::zeros(),
            standstill_probability: 0.0,
        },
        settled: None,
        movement_clock: None,
        bearing_clock: None,
        reliability,
    }
}

/// One object of a stream: its speed, how sure its place is, how sure the detector, how often its cues disagree.
struct Given {
    speed_mps: f64,
    sigma_m: f64,
    confidence: f32,
    reliability: Reliability,
}

const GOOD: Given = Given {
    speed_mps: 4.0,
    sigma_m: 0.05,
    confidence: 0.9,
    reliability: Reliability::Reliable,
};

/// A stream of `seconds` of these objects, which drive along x side by side.
fn pieces(given: &[Given], seconds: f64, limits: Limits) -> Vec<Piece> {
    let mut store = TrajectoryStore::new(f64::INFINITY, usize::MAX);
    let frames = (seconds / FRAME_S).round() as usize;
    for (index, given) in given.iter().enumerate() {
        let mut settled = Trajectory::new();
        for frame in 0..=frames {
            let time_s = frame as f64 * FRAME_S;
            settled
                .push(Sample {
                    time_s,
                    position_in_world: Point3::new(given.speed_mps * time_s, 5.0 * index as f64, 0.0),
                    velocity_in_world_mps: Vector3::x() * given.speed_mps,
                    position_covariance: Matrix3::identity() * given.sigma_m * given.sigma_m,
                    velocity_covariance: Matrix3::identity() * given.sigma_m * given.sigma_m,
                    standing: false,
                    reliable: true,
                })
                .unwrap();
        }
        store.insert(StoredTrajectory {
            track_id: index as u64 + 1,
            class: ClassLabel::new("car"),
            settled,
            live: Trajectory::new(),
            reliability: Reliability::Reliable,
        });
    }
    let settings = ObserverSettings {
        limits,
        ..ObserverSettings::default()
    };
    let mut observer = Observer::new("road.mp4", settings);
    let view = view();
    let tracks: Vec<Track> = (1..)
        .zip(given)
        .map(|(id, given)| track(id, given.confidence))
        .collect();
    let objects: Vec<ObjectState> = (1..)
        .zip(given)
        .map(|(id, given)| state(id, given.reliability))
        .collect();
    let mut pieces = Vec::new();
    for frame in 0..=frames {
        let seen = Observed {
            time_s: frame as f64 * FRAME_S,
            width: 640,
            height: 384,
            view: &view,
            tracks: &tracks,
            objects: &objects,
        };
        pieces.extend(observer.frame(&seen, |read| read(&store)));
    }
    pieces.extend(observer.finish(|read| read(&store)));
    pieces
}

fn rejections(given: &[Given], limits: Limits) -> Vec<Option<Rejection>> {
    let pieces = pieces(given, 10.0, limits);
    assert_eq!(pieces.len(), 1);
    pieces[0].verdicts.iter().map(|verdict| verdict.rejection).collect()
}

#[test]
fn each_filter_rejects_what_it_should() {
    let unreliable = |reason| Given {
        reliability: Reliability::Unreliable(reason),
        ..GOOD
    };
    let given = [
        GOOD,
        Given { sigma_m: 20.0, ..GOOD },
        Given {
            confidence: 0.2,
            ..GOOD
        },
        Given {
            speed_mps: 90.0,
            ..GOOD
        },
        unreliable(UnreliableReason::CuesDisagree),
        unreliable(UnreliableReason::PoseLost),
        unreliable(UnreliableReason::IntrinsicsAssumed),
    ];
    let expected = [
        None,
        Some(Rejection::WideInterval),
        Some(Rejection::UnsureDetection),
        Some(Rejection::ImpossibleSpeed),
        Some(Rejection::CuesDisagree),
        Some(Rejection::Unreliable),
        Some(Rejection::CameraAssumed),
    ];
    assert_eq!(rejections(&given, Limits::default()), expected);
    let assumed = Limits {
        assumed_camera: true,
        ..Limits::default()
    };
    assert_eq!(rejections(&given, assumed)[6], None);
}

#[test]
fn labels_are_the_settled_distances_with_their_intervals() {
    let slow = Given { speed_mps: 2.0, ..GOOD };
    let pieces = pieces(&[GOOD, slow], 12.0, Limits::default());
    let (records, _) = pieces[0].records(8, 1);
    assert!(!records.is_empty());
    for PseudoRecord { record, .. } in &records {
        assert_eq!(record.label_source, LabelSource::Pseudo);
        assert_eq!(record.data_source, "video");
        if let Label::DistanceM(distance_m) = record.answer {
            let speed_mps = if record.objects[0].track_id == crate::stkit::TrackId::Number(1) {
                4.0
            } else {
                2.0
            };
            let expected_m = speed_mps * (record.span[1] - record.span[0]);
            assert!((distance_m - expected_m).abs() < 1e-6);
            assert!(record.quality.relative_half_width.unwrap() <= Limits::default().most_half_width);
        }
    }
    let bins: Vec<(Task, u8)> = records.iter().map(|found| (found.record.task, found.bin)).collect();
    assert!(bins.iter().any(|(task, _)| *task == Task::TraveledDistance));
    assert!(bins.iter().any(|(task, _)| *task == Task::TravelingSpeedComparison));
    let taken = balanced(&bins, 4);
    for task in Task::ALL {
        let count = bins
            .iter()
            .zip(&taken)
            .filter(|((of, _), taken)| *of == task && **taken)
            .count();
        assert!(count <= 4, "{task:?} {count}");
    }
}

#[test]
fn a_long_stream_comes_in_pieces_that_lose_no_time() {
    let pieces = pieces(&[GOOD], 100.0, Limits::default());
    let starts: Vec<f64> = pieces.iter().map(|piece| piece.start_s).collect();
    let expected = [0.0, 30.0, 60.0, 90.0];
    assert_eq!(starts.len(), expected.len());
    for (start, expected) in starts.iter().zip(expected) {
        assert!((start - expected).abs() < 1.5 * FRAME_S, "{starts:?}");
    }
    let total_m: f64 = pieces
        .iter()
        .flat_map(|piece| &piece.verdicts)
        .map(|verdict| verdict.distance_m)
        .sum();
    assert!((total_m - 400.0).abs() < 4.0 * 4.0 * FRAME_S + 1.0, "{total_m}");
}
