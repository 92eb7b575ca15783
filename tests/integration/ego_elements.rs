//! kinerecon with a moving camera in harnesses: `ego=visual`, `ego=external` by file and by events, wrong settings.

use std::io::Write;
use std::sync::{Arc, Once};

use gst::prelude::*;
use gst_check::Harness;
use kinestream::detection::{BoundingBox, ClassLabel};
use kinestream::gst::{events, metadata};
use kinestream::reconstruction::{EgoMoment, EgoMotion, MovableRegion, PoseSource, View};
use nalgebra::Isometry3;

const WIDTH: usize = 320;
const HEIGHT: usize = 192;

fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().unwrap();
        kinestream::gst::register(None).unwrap();
    });
}

fn harness(description: &str) -> Harness {
    init();
    let mut harness = Harness::new_parse(description);
    harness.set_src_caps(
        gst::Caps::builder("video/x-raw")
            .field("format", "GRAY8")
            .field("width", WIDTH as i32)
            .field("height", HEIGHT as i32)
            .field("framerate", gst::Fraction::new(10, 1))
            .build(),
    );
    harness
}

/// A textured picture, shifted.
fn frame(pts_ms: u64, shift: f64) -> gst::Buffer {
    let texture = |x: f64, y: f64| {
        110.0
            + 40.0 * (0.21 * x + 0.07 * y).sin()
            + 35.0 * (0.17 * y - 0.11 * x).sin()
            + 25.0 * (0.05 * x * (0.031 * y).cos()).sin()
    };
    let pixels = (0..WIDTH * HEIGHT)
        .map(|cell| texture((cell % WIDTH) as f64 - shift, (cell / WIDTH) as f64) as u8)
        .collect();
    let mut buffer = gst::Buffer::from_mut_slice::<Vec<u8>>(pixels);
    let writable = buffer.get_mut().unwrap();
    writable.set_pts(gst::ClockTime::from_mseconds(pts_ms));
    writable.set_duration(gst::ClockTime::from_mseconds(100));
    buffer
}

fn pass(harness: &mut Harness, buffer: gst::Buffer) -> Arc<View> {
    harness.push(buffer).unwrap();
    let buffer = harness.pull().unwrap();
    metadata::results(&buffer).unwrap().view.clone().unwrap()
}

#[test]
fn a_shifting_picture_is_a_moving_camera_and_a_still_one_stands() {
    let mut harness = harness("kinerecon ego=visual");
    let views: Vec<_> = (0..12)
        .map(|k| pass(&mut harness, frame(100 * k, 3.0 * k as f64)))
        .collect();
    for view in &views {
        assert_eq!(view.pose_source, PoseSource::Visual);
        assert!(!view.health.lost);
    }
    // Without depth and height a shift is a turn as well as a step aside.
    let step = views[0].world_from_camera.inv_mul(&views[11].world_from_camera);
    assert!(
        step.rotation.angle() > 0.05 || step.translation.vector.norm() > 0.3,
        "{step}"
    );
    let at = views[11].world_from_camera;
    for k in 12..20 {
        let view = pass(&mut harness, frame(100 * k, 33.0));
        // One picture that looks like the last is not yet a stop from full speed: 0.3 s are.
        if k >= 15 {
            assert_eq!(view.ego_velocity_in_world_mps.norm(), 0.0);
        }
        assert!((view.world_from_camera.translation.vector - at.translation.vector).norm() < 0.05);
    }
}

/// Only the part that does not shift lies outside of what may move: the camera stands.
#[test]
fn boxes_told_from_behind_are_left_out() {
    let mut harness = harness("kinerecon ego=visual");
    let half_shifted = |pts_ms: u64, shift: f64| {
        let mut still = frame(pts_ms, 0.0);
        let moving = frame(pts_ms, shift);
        {
            let moving = moving.map_readable().unwrap();
            let mut writable = still.get_mut().unwrap().map_writable().unwrap();
            for row in 0..HEIGHT {
                let part = row * WIDTH + WIDTH * 3 / 10..(row + 1) * WIDTH;
                writable[part.clone()].copy_from_slice(&moving[part]);
            }
        }
        still
    };
    let movable = events::Movable {
        width: WIDTH as u32,
        height: HEIGHT as u32,
        regions: vec![MovableRegion {
            bbox: BoundingBox::new(0.3 * WIDTH as f32, 0.0, WIDTH as f32, HEIGHT as f32),
            mask: None,
            class: ClassLabel::new("truck"),
        }],
    };
    let mut last = None;
    for k in 0..12 {
        assert!(harness.push_upstream_event(movable.to_event()));
        last = Some(pass(&mut harness, half_shifted(100 * k, 4.0 * k as f64)));
    }
    let view = last.unwrap();
    assert!(!view.health.lost);
    assert!(view.world_from_camera.translation.vector.norm() < 0.05);
    assert_eq!(view.ego_velocity_in_world_mps.norm(), 0.0);
}

#[test]
fn a_file_tells_the_pose_again_after_a_flush() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "time_s,x_m,y_m,z_m,qw,qx,qy,qz").unwrap();
    for k in 0..40 {
        writeln!(file, "{},{},0,0,1,0,0,0", 0.1 * f64::from(k), 0.5 * f64::from(k)).unwrap();
    }
    let mut harness = harness(&format!("kinerecon ego=external ego-file={}", file.path().display()));
    for round in 0..2 {
        for k in 0..10u64 {
            let view = pass(&mut harness, frame(100 * k, 0.0));
            assert_eq!(view.pose_source, PoseSource::External, "round {round}");
            if k == 0 {
                assert!(view.world_from_camera.translation.x.abs() < 0.3);
            }
        }
        harness.push_event(gst::event::FlushStart::new());
        harness.push_event(gst::event::FlushStop::new(true));
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        harness.push_event(gst::event::Segment::new(&segment));
    }
}

#[test]
fn events_from_both_sides_tell_the_pose() {
    for upstream in [true, false] {
        let mut harness = harness("kinerecon ego=external");
        for k in 0..10u64 {
            let ego = events::Ego {
                time: EgoMoment::Stream(0.1 * k as f64),
                motion: EgoMotion::Pose {
                    world_from_ego: Isometry3::translation(3.0, 7.0, 0.0),
                },
            };
            if upstream {
                assert!(harness.push_upstream_event(ego.to_upstream_event()));
            } else {
                assert!(harness.push_event(ego.to_downstream_event()));
            }
            let view = pass(&mut harness, frame(100 * k, 0.0));
            assert_eq!(view.pose_source, PoseSource::External);
            let at = view.world_from_camera.translation.vector;
            assert!((at.x - 3.0).abs() < 0.05 && (at.y - 7.0).abs() < 0.05, "{at}");
        }
    }
}

#[test]
fn wrong_ego_files_are_refused_before_playing() {
    init();
    let refused = |description: &str, expected: &str| {
        let description = format!("videotestsrc num-buffers=1 ! {description} ! fakesink");
        let pipeline = gst::parse::launch(&description)
            .unwrap()
            .downcast::<gst::Pipeline>()
            .unwrap();
        let _ = pipeline.set_state(gst::State::Playing);
        let message = pipeline
            .bus()
            .unwrap()
            .timed_pop_filtered(gst::ClockTime::from_seconds(30), &[gst::MessageType::Error])
            .expect("no error on the bus");
        let gst::MessageView::Error(error) = message.view() else {
            panic!("{message:?}")
        };
        assert!(error.error().to_string().contains(expected), "{}", error.error());
        pipeline.set_state(gst::State::Null).unwrap();
    };
    refused("kinerecon ego=external ego-file=/no/ego.csv", "/no/ego.csv");
    refused("kinerecon ego-file=/no/ego.csv", "ego=external");
}
