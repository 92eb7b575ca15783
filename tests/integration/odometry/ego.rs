//! What the vehicle tells of its own motion, alone and together with the pictures.

use std::sync::Arc;

use kinestream::frame::FrameTime;
use kinestream::reconstruction::{ClassPriors, EgoMotion, EgoSample, PoseSource, Reconstructor, VisualReconstructor};
use nalgebra::{Isometry3, Translation3, UnitQuaternion, Vector3};

use super::world::{HEIGHT, Shot, WIDTH, World, camera, displacement_error, pose};

fn with_ego() -> VisualReconstructor {
    VisualReconstructor::with_ego(Some(camera()), Arc::new(ClassPriors::default()))
}

fn ego(x: f64, y: f64, yaw: f64) -> Isometry3<f64> {
    Isometry3::from_parts(
        Translation3::new(x, y, 0.0),
        UnitQuaternion::from_axis_angle(&Vector3::z_axis(), yaw),
    )
}

#[test]
fn a_told_pose_is_taken_without_a_picture() {
    let camera = camera();
    let mut reconstructor = with_ego();
    for index in 0..60u32 {
        let time_s = f64::from(index) / 20.0;
        let sample = EgoSample {
            time_s,
            motion: EgoMotion::Pose {
                world_from_ego: ego(7.0 * time_s, 2.0, 0.1 * time_s),
            },
        };
        reconstructor.tell_ego(&sample);
        let view = reconstructor
            .reconstruct(FrameTime::from_pts_ns((time_s * 1e9) as u64), WIDTH, HEIGHT, None)
            .unwrap();
        let truth = pose(&camera, 7.0 * time_s, 2.0, 0.1 * time_s);
        assert!((view.world_from_camera.translation.vector - truth.translation.vector).norm() < 1e-6);
        assert!(view.world_from_camera.rotation.angle_to(&truth.rotation) < 1e-6);
        assert_eq!(view.pose_source, PoseSource::External);
        assert!(!view.health.lost);
        if index > 10 {
            assert!((view.ego_velocity_in_world_mps.norm() - 7.0).abs() < 0.05);
        }
    }
}

#[test]
fn nothing_told_and_nothing_seen_is_lost() {
    let mut reconstructor = with_ego();
    let view = reconstructor
        .reconstruct(FrameTime::default(), WIDTH, HEIGHT, None)
        .unwrap();
    assert!(view.health.lost);
}

/// The vehicle's speed gives the metres that the depth network gets wrong by a quarter.
#[test]
fn the_vehicles_speed_corrects_the_scale() {
    let world = World::street(21);
    let camera = camera();
    let mut reconstructor = with_ego();
    let mut speeds = Vec::new();
    for index in 0..100u32 {
        let time_s = f64::from(index) / 20.0;
        reconstructor.tell_ego(&EgoSample {
            time_s,
            motion: EgoMotion::Speed {
                speed_mps: 7.0,
                yaw_rate_radps: None,
            },
        });
        let mut shot = Shot::new(&world, time_s, pose(&camera, 7.0 * time_s, 0.0, 0.0));
        shot.depth_factor = Some(1.25);
        let view = shot.give(&mut reconstructor, &camera);
        if time_s > 2.5 {
            speeds.push(view.ego_velocity_in_world_mps.norm());
        }
    }
    let mean = speeds.iter().sum::<f64>() / speeds.len() as f64;
    assert!((mean - 7.0).abs() < 0.3, "{mean} m/s");
}

/// Poses with a late clock and metres of absolute error in the network: the fused way is the told one, and the offset of
/// the clock is found.
#[test]
fn told_poses_and_pictures_are_fused_and_the_clock_is_set() {
    let world = World::street(22);
    let camera = camera();
    let offset_s = 0.12;
    let way = |t: f64| (5.0 * t, 0.4 * (0.9 * t).sin(), 0.12 * (1.6 * t).sin());
    let mut reconstructor = with_ego();
    let mut views = Vec::new();
    for index in 0..140u32 {
        let time_s = f64::from(index) / 20.0;
        let (x, y, yaw) = way(time_s - offset_s);
        reconstructor.tell_ego(&EgoSample {
            time_s,
            motion: EgoMotion::Pose {
                world_from_ego: ego(x, y, yaw),
            },
        });
        let (x, y, yaw) = way(time_s);
        let shot = Shot::new(&world, time_s, pose(&camera, x, y, yaw));
        let view = shot.give(&mut reconstructor, &camera);
        views.push((shot.truth, view));
    }
    let found_s = reconstructor.ego_clock_offset_s().unwrap();
    println!("offset {found_s}");
    assert!((found_s - offset_s).abs() < 0.03, "{found_s} s");
    let (first, last) = (&views[100], &views[139]);
    let error = displacement_error([&first.1, &last.1], [&first.0, &last.0]);
    assert!(error < 0.4, "{error} m over {} m", 5.0 * 39.0 / 20.0);
    assert!(views.iter().all(|(_, view)| !view.health.lost));
}
