//! What makes odometry fail: each case in a rendered street.

use std::sync::Arc;

use kinestream::detection::ClassLabel;
use kinestream::frame::{FrameTime, Picture, PixelFormat};
use kinestream::reconstruction::SceneFrame;
use kinestream::reconstruction::{ClassPriors, PoseSource, Reconstructor, View, VisualReconstructor};
use nalgebra::Isometry3;

use super::world::{Block, HEIGHT, Shot, WIDTH, World, camera, displacement_error, pose};

const FPS: f64 = 20.0;

fn odometry() -> VisualReconstructor {
    VisualReconstructor::new(Some(camera()), Arc::new(ClassPriors::default()))
}

/// A drive: how far along x, how far to the left and which way at each time.
fn drive(
    world: &World,
    times: impl Iterator<Item = f64>,
    way: impl Fn(f64) -> (f64, f64, f64),
    change: impl Fn(&mut Shot<'_>),
) -> Vec<(f64, Isometry3<f64>, View)> {
    let camera = camera();
    let mut odometry = odometry();
    times
        .map(|time_s| {
            let (x, y, yaw) = way(time_s);
            let mut shot = Shot::new(world, time_s, pose(&camera, x, y, yaw));
            change(&mut shot);
            let view = shot.give(&mut odometry, &camera);
            (time_s, shot.truth, view)
        })
        .collect()
}

fn frames(seconds: f64) -> impl Iterator<Item = f64> {
    (0..(seconds * FPS) as usize).map(|index| index as f64 / FPS)
}

/// Error of the displacement over the whole drive relative to its length, and frames lost.
fn drift(run: &[(f64, Isometry3<f64>, View)]) -> (f64, usize) {
    let (first, last) = (run.first().unwrap(), run.last().unwrap());
    let length: f64 = run
        .windows(2)
        .map(|pair| (pair[1].1.translation.vector - pair[0].1.translation.vector).norm())
        .sum();
    let error = displacement_error([&first.2, &last.2], [&first.1, &last.1]);
    (
        error / length,
        run.iter().filter(|(_, _, view)| view.health.lost).count(),
    )
}

fn worst_speed_error(run: &[(f64, Isometry3<f64>, View)], from_s: f64, speed: impl Fn(f64) -> f64) -> f64 {
    run.iter()
        .filter(|(time_s, ..)| *time_s >= from_s)
        .map(|(time_s, _, view)| (view.ego_velocity_in_world_mps.norm() - speed(*time_s)).abs())
        .fold(0.0, f64::max)
}

#[test]
fn a_drive_is_followed_with_a_network_that_is_off_in_patches() {
    let run = drive(
        &World::street(1),
        frames(5.0),
        |t| (8.0 * t, 0.3 * (0.8 * t).sin(), 0.03 * t.sin()),
        |_| {},
    );
    let (drift, lost) = drift(&run);
    println!("drift {drift}");
    assert!(drift < 0.03, "drift {drift}");
    assert_eq!(lost, 0);
    assert!(
        run.iter()
            .all(|(_, _, view)| view.pose_source == PoseSource::Visual && view.scene == 0)
    );
}

#[test]
fn the_height_over_the_road_tells_metres_where_no_network_looks() {
    let run = drive(
        &World::street(2),
        frames(6.0),
        |t| (8.0 * t, 0.0, 0.02 * (0.7 * t).sin()),
        |shot| shot.depth_factor = None,
    );
    let (drift, lost) = drift(&run);
    println!("drift {drift}");
    assert!(drift < 0.06, "drift {drift}");
    assert_eq!(lost, 0);
}

#[test]
fn pure_rotation_is_no_motion() {
    let run = drive(
        &World::street(3),
        frames(4.0),
        |t| (0.0, 0.0, 0.5 * (0.8 * t).sin()),
        |_| {},
    );
    for (time_s, truth, view) in &run {
        let moved = (view.world_from_camera.translation.vector - run[0].2.world_from_camera.translation.vector).norm();
        assert!(moved < 0.15, "moved by {moved} m at {time_s} s");
        let turned = run[0].2.world_from_camera.rotation.inverse() * view.world_from_camera.rotation;
        let wanted = run[0].1.rotation.inverse() * truth.rotation;
        assert!(
            turned.angle_to(&wanted) < 0.02,
            "{} rad off at {time_s} s",
            turned.angle_to(&wanted)
        );
        assert!(!view.health.lost);
        assert!(
            view.ego_velocity_in_world_mps.norm() < 0.6,
            "{} m/s at {time_s} s",
            view.ego_velocity_in_world_mps.norm()
        );
    }
}

/// A hand-held camera that pans while its bearer walks on is no tripod.
#[test]
fn a_slow_walk_while_panning_is_a_walk() {
    let run = drive(
        &World::street(3),
        frames(5.0),
        |t| (0.8 * t, 0.0, 0.4 * (0.8 * t).sin()),
        |_| {},
    );
    let (drift, lost) = drift(&run);
    println!("drift {drift}");
    assert!(drift < 0.12, "drift {drift}");
    assert_eq!(lost, 0);
    let held = run
        .iter()
        .filter(|(time_s, _, view)| *time_s > 1.0 && view.ego_velocity_in_world_mps.norm() == 0.0)
        .count();
    assert_eq!(held, 0, "held in {held} frames");
}

/// The car drives, stops, and stands while everything around it goes on.
#[test]
fn a_full_stop_in_moving_traffic_is_a_stop() {
    let mut world = World::street(4);
    for index in 0..8 {
        let x = -20.0 + 11.0 * f64::from(index);
        world = world
            .with(Block::vehicle("car", [x + 6.0, 3.2], [4.4, 1.8, 1.5], [-7.0, 0.0]))
            .with(Block::vehicle("truck", [x - 40.0, -3.4], [8.0, 2.4, 3.2], [9.0, 0.0]));
    }
    let x_at = |t: f64| if t < 2.0 { 6.0 * t - 1.5 * t * t } else { 6.0 };
    let run = drive(&world, frames(6.0), |t| (x_at(t), 0.0, 0.0), |_| {});
    let (drift, lost) = drift(&run);
    assert!(drift < 0.05, "drift {drift}");
    assert_eq!(lost, 0);
    let standing: Vec<_> = run.iter().filter(|(time_s, ..)| *time_s > 3.0).collect();
    for (time_s, _, view) in &standing {
        let speed = view.ego_velocity_in_world_mps.norm();
        assert!(speed < 0.1, "{speed} m/s at {time_s} s");
    }
    let still = standing
        .iter()
        .filter(|(_, _, view)| view.ego_velocity_in_world_mps.norm() == 0.0)
        .count();
    assert!(still * 10 >= standing.len() * 8, "{still} of {}", standing.len());
}

#[test]
fn a_truck_before_most_of_the_picture_does_not_take_the_camera_along() {
    // It passes on the left, an arm's length away; at its nearest four fifths of the picture are truck.
    let world = World::street(5).with(Block::vehicle("truck", [-14.0, 1.5], [16.0, 2.4, 4.0], [11.0, 0.0]));
    let run = drive(&world, frames(4.0), |t| (2.0 * t, -0.5, 0.5), |_| {});
    let camera = camera();
    let covered = run
        .iter()
        .map(|(time_s, truth, _)| {
            let area: f32 = world
                .movable(&camera, truth, *time_s)
                .iter()
                .map(|region| region.bbox.area())
                .sum();
            area / (WIDTH * HEIGHT) as f32
        })
        .fold(0.0f32, f32::max);
    println!("covers {covered}");
    assert!(covered > 0.75, "the truck covers only {covered}");
    let (drift, lost) = drift(&run);
    println!("drift {drift}");
    assert!(drift < 0.06, "drift {drift}");
    assert_eq!(lost, 0);
}

#[test]
fn a_jump_of_the_exposure_is_no_motion() {
    let run = drive(
        &World::street(6),
        frames(4.0),
        |t| (6.0 * t, 0.0, 0.0),
        |shot| {
            if (1.5..2.5).contains(&shot.time_s) {
                shot.exposure = (0.45, 5.0);
            } else if shot.time_s >= 2.5 {
                shot.exposure = (1.3, 10.0);
            }
        },
    );
    let (drift, lost) = drift(&run);
    assert!(drift < 0.03, "drift {drift}");
    assert_eq!(lost, 0);
    let worst = worst_speed_error(&run, 0.5, |_| 6.0);
    assert!(worst < 0.8, "speed off by {worst} m/s");
}

#[test]
fn a_shot_cut_begins_a_new_scene_without_a_jump() {
    let (before, after) = (World::street(7), World::street(99));
    let camera = camera();
    let mut odometry = odometry();
    let mut scenes = Vec::new();
    for time_s in frames(4.0) {
        let truth = if time_s < 2.0 {
            pose(&camera, 6.0 * time_s, 0.0, 0.0)
        } else {
            pose(&camera, 90.0 + 3.0 * time_s, 1.0, 2.4)
        };
        let world = if time_s < 2.0 { &before } else { &after };
        let view = Shot::new(world, time_s, truth).give(&mut odometry, &camera);
        let speed = view.ego_velocity_in_world_mps.norm();
        assert!(speed < 8.0, "{speed} m/s at {time_s} s");
        scenes.push((time_s, view.scene, view.health.lost));
    }
    for (time_s, scene, lost) in scenes {
        if time_s < 2.0 {
            assert_eq!((scene, lost), (0, false), "at {time_s} s");
        } else if time_s > 2.3 {
            assert_eq!((scene, lost), (1, false), "at {time_s} s");
        }
    }
}

#[test]
fn a_frame_rate_that_falls_from_30_to_5_is_no_change_of_speed() {
    let times = (0..60)
        .map(|index| f64::from(index) / 30.0)
        .chain((0..15).map(|index| 2.0 + f64::from(index) / 5.0));
    let run = drive(&World::street(8), times, |t| (5.0 * t, 0.0, 0.04 * t.sin()), |_| {});
    let (drift, lost) = drift(&run);
    println!("drift {drift}");
    assert!(drift < 0.04, "drift {drift}");
    assert_eq!(lost, 0);
    let worst = worst_speed_error(&run, 0.5, |_| 5.0);
    assert!(worst < 0.8, "speed off by {worst} m/s");
}

#[test]
fn two_seconds_of_black_are_told_and_got_over() {
    let run = drive(
        &World::street(9),
        frames(6.0),
        // It stands while nothing is seen, so that the way afterwards is that of before.
        |t| {
            (
                if t < 1.5 {
                    4.0 * t
                } else if t < 4.5 {
                    6.0
                } else {
                    6.0 + 4.0 * (t - 4.5)
                },
                0.0,
                0.0,
            )
        },
        |shot| {
            if (2.0..4.0).contains(&shot.time_s) {
                shot.exposure = (0.0, 16.0);
            }
        },
    );
    for (time_s, _, view) in &run {
        if (2.0..4.0).contains(time_s) {
            assert!(view.health.lost, "at {time_s} s");
        } else if *time_s < 2.0 || *time_s > 4.2 {
            assert!(!view.health.lost, "at {time_s} s");
        }
        assert_eq!(view.scene, 0, "at {time_s} s");
    }
    let (drift, _) = drift(&run);
    println!("drift {drift}");
    assert!(drift < 0.04, "drift {drift}");
}

#[test]
fn a_network_that_drifts_by_a_fifth_in_five_seconds_changes_neither_scale_nor_depth() {
    let factor = |t: f64| 1.0 + 0.2 * (t / 5.0).min(1.0);
    let world = World::street(10).with(Block::vehicle("car", [40.0, 2.0], [4.2, 1.8, 1.5], [6.0, 0.0]));
    let run = drive(
        &world,
        frames(6.0),
        |t| (6.0 * t, 0.0, 0.0),
        |shot| shot.depth_factor = Some(factor(shot.time_s)),
    );
    let (drift, lost) = drift(&run);
    println!("drift {drift}");
    assert!(drift < 0.05, "drift {drift}");
    assert_eq!(lost, 0);
    // A car that keeps its distance does so in the depth that is handed on.
    let read = |view: &View| f64::from(view.depth.as_ref().unwrap().at(0.5, 0.62).unwrap());
    let near = |time_s: f64| {
        run.iter()
            .find(|(t, ..)| *t >= time_s)
            .map(|(.., view)| read(view))
            .unwrap()
    };
    let (early, late) = (near(0.5), near(5.5));
    println!("depth {early} then {late}");
    assert!((late / early).ln().abs() < 0.12, "{early} m became {late} m");
    assert!(run.last().unwrap().2.health.scale_disagreement.unwrap() > 0.08);
}

/// What is known of a frame before any is seen.
#[test]
fn pictures_without_anything_to_see_are_lost_and_nothing_else() {
    let mut odometry = odometry();
    for index in 0..10u64 {
        let gray = vec![if index % 2 == 0 { 0 } else { 128 }; (WIDTH * HEIGHT) as usize];
        let view = odometry
            .reconstruct_frame(&SceneFrame {
                time: FrameTime::from_pts_ns(index * 50_000_000),
                width: WIDTH,
                height: HEIGHT,
                picture: Some(Picture::packed(PixelFormat::Gray8, WIDTH, HEIGHT, &gray).unwrap()),
                depth: None,
                movable: &[],
            })
            .unwrap();
        assert!(view.health.lost);
        assert!(
            view.world_from_camera
                .translation
                .vector
                .iter()
                .all(|value| value.is_finite())
        );
    }
}

/// A parked car that is driven past stands in the world.
#[test]
fn a_parked_car_seen_from_a_moving_camera_stands() {
    use kinestream::detection::BoundingBox;
    use kinestream::motion::{MotionEngine, MotionSettings};
    use kinestream::tracking::{Track, TrackStatus};

    let mut world = World::street(11);
    for (index, x) in [22.0, 34.0, 46.0].into_iter().enumerate() {
        let side = if index % 2 == 0 { 3.4 } else { -3.6 };
        world = world.with(Block::vehicle("car", [x, side], [4.3, 1.8, 1.5], [0.0, 0.0]));
    }
    let camera = camera();
    let mut odometry = odometry();
    let mut engine = MotionEngine::new(MotionSettings::default());
    let mut speeds = Vec::new();
    for time_s in frames(4.0) {
        let shot = Shot::new(&world, time_s, pose(&camera, 6.0 * time_s, 0.0, 0.0));
        let view = shot.give(&mut odometry, &camera);
        let regions = world.movable(&camera, &shot.truth, time_s);
        let tracks: Vec<Track> = regions
            .iter()
            .enumerate()
            .map(|(index, region)| track(index as u64, region.bbox))
            .collect();
        let states = engine.update(
            FrameTime::from_pts_ns((time_s * 1e9) as u64),
            &tracks,
            &view,
            WIDTH,
            HEIGHT,
        );
        if time_s > 2.0 {
            speeds.extend(
                states
                    .iter()
                    .filter(|state| state.reliability.is_reliable())
                    .filter_map(|state| Some(state.settled.as_ref()?.velocity_in_world_mps.norm())),
            );
        }
    }
    speeds.sort_unstable_by(f64::total_cmp);
    println!("{} states, median {:?} m/s", speeds.len(), speeds.get(speeds.len() / 2));
    assert!(speeds.len() > 20, "{}", speeds.len());
    assert!(speeds[speeds.len() / 2] < 0.42, "{} m/s", speeds[speeds.len() / 2]);

    fn track(id: u64, bbox: BoundingBox) -> Track {
        Track {
            id,
            bbox,
            class: ClassLabel::new("car"),
            confidence: 0.9,
            existence_probability: 0.95,
            status: TrackStatus::Tracked,
            age_s: 1.0,
            unseen_s: 0.0,
            mask: None,
        }
    }
}
