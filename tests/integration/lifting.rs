//! Lifting: a cuboid of a class's size is projected through a camera and lifted back from its box.

use std::sync::Arc;

use kinestream::camera::{Camera, Distortion, Intrinsics, IntrinsicsSource, Mounting, MountingSource};
use kinestream::detection::{BoundingBox, ClassLabel};
use kinestream::frame::FrameTime;
use kinestream::kinematics::UnreliableReason;
use kinestream::reconstruction::{
    ClassPriors, CueKind, DepthMap, Lifted, Lifter, Reconstructor, Seen, StaticReconstructor, View,
};
use nalgebra::{Point3, Vector3};
use proptest::prelude::*;

const WIDTH: u32 = 1280;
const HEIGHT: u32 = 720;

fn camera(height_m: f64, pitch_down_rad: f64) -> Camera {
    Camera {
        intrinsics: Intrinsics {
            fx: 900.0,
            fy: 900.0,
            cx: 640.0,
            cy: 360.0,
            width: WIDTH,
            height: HEIGHT,
            distortion: Distortion::None,
        },
        intrinsics_source: IntrinsicsSource::Calibrated,
        mounting: Some(Mounting {
            height_m,
            pitch_down_rad,
            roll_rad: 0.0,
        }),
        mounting_source: MountingSource::Measured,
    }
}

fn view_of(camera: Option<Camera>, depth: Option<DepthMap>) -> View {
    StaticReconstructor::new(camera)
        .reconstruct(FrameTime::default(), WIDTH, HEIGHT, depth.map(Arc::new))
        .unwrap()
}

/// The box of a body of the class's size that stands on the ground, and its centre; `None` when it is not wholly in the picture.
fn appearance(view: &View, class: &str, x: f64, y: f64, yaw: f64) -> Option<(BoundingBox, Point3<f64>)> {
    let (bbox, center) = whole_appearance(view, class, x, y, yaw)?;
    let margin = 10.0;
    let inside =
        bbox.x0 > margin && bbox.y0 > margin && bbox.x1 < WIDTH as f32 - margin && bbox.y1 < HEIGHT as f32 - margin;
    (inside && bbox.height() > 12.0).then_some((bbox, center))
}

/// The same, which may go on outside the picture.
fn whole_appearance(view: &View, class: &str, x: f64, y: f64, yaw: f64) -> Option<(BoundingBox, Point3<f64>)> {
    let priors = ClassPriors::default();
    let prior = priors.get(ClassLabel::new(class)).unwrap();
    let center = Point3::new(x, y, 0.5 * prior.height_m);
    let (sin, cos) = yaw.sin_cos();
    let ahead = Vector3::new(cos, sin, 0.0) * 0.5 * prior.length_m;
    let left = Vector3::new(-sin, cos, 0.0) * 0.5 * prior.width_m;
    let up = Vector3::z() * 0.5 * prior.height_m;
    let (mut x0, mut y0, mut x1, mut y1) = (f64::MAX, f64::MAX, f64::MIN, f64::MIN);
    let mut corners = Vec::new();
    for (level, [long, wide]) in [(-1.0, prior.lower_shares), (0.0, [1.0; 2]), (1.0, prior.upper_shares)] {
        for (along, across) in [(-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0)] {
            corners.push(center + ahead * (along * long) + left * (across * wide) + up * level);
        }
    }
    for point in corners {
        let in_camera = view.world_from_camera.inverse() * point;
        let pixel = view.camera.intrinsics.project(&in_camera)?;
        (x0, y0) = (x0.min(pixel.x), y0.min(pixel.y));
        (x1, y1) = (x1.max(pixel.x), y1.max(pixel.y));
    }
    Some((BoundingBox::new(x0 as f32, y0 as f32, x1 as f32, y1 as f32), center))
}

fn lift(view: &View, class: &str, bbox: &BoundingBox) -> Lifted {
    Lifter::new(Arc::default()).lift_box(&Seen::boxed(*bbox, ClassLabel::new(class)), view, WIDTH, HEIGHT)
}

/// Mahalanobis distance of the lifted position from the true one, and the relative error.
fn miss(lifted: &Lifted, truth: &Point3<f64>) -> (f64, f64) {
    let (position, covariance) = lifted.observation.unwrap().position().unwrap();
    let off = position - truth;
    let distance = (covariance.try_inverse().unwrap() * off).dot(&off).sqrt();
    let range = (lifted.observation.unwrap().camera_in_world - truth).norm();
    (distance, off.norm() / range)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_cuboid_is_lifted_back_within_its_covariance(
        (height, pitch_deg) in prop_oneof![Just((1.6, 2.0)), Just((3.0, 8.0)), Just((6.0, 20.0)), Just((12.0, 45.0)), Just((25.0, 75.0))],
        class in prop_oneof![Just("car"), Just("person"), Just("truck"), Just("bus"), Just("bicycle")],
        x in 1.0..60.0f64,
        y in -20.0..20.0f64,
        yaw in 0.0..std::f64::consts::TAU,
    ) {
        let view = view_of(Some(camera(height, f64::to_radians(pitch_deg))), None);
        let Some((bbox, truth)) = appearance(&view, class, x, y, yaw) else { return Ok(()) };
        let lifted = lift(&view, class, &bbox);
        let (sigmas, relative) = miss(&lifted, &truth);
        // The worst of all yaws, which the box does not tell.
        prop_assert!(sigmas < 3.0, "{sigmas} sigma, {relative} of the distance: {lifted:?}");
        prop_assert!(relative < 0.2, "{relative} of the distance: {lifted:?}");
        prop_assert!(lifted.reliability.is_reliable(), "{:?}", lifted.reliability);
    }

    #[test]
    fn size_alone_holds_from_above(pitch_deg in 30.0..80.0f64, x in 2.0..25.0f64, yaw in 0.0..std::f64::consts::TAU) {
        let mut view = view_of(Some(camera(12.0, pitch_deg.to_radians())), None);
        let Some((bbox, truth)) = appearance(&view, "car", x, 0.0, yaw) else { return Ok(()) };
        view.ground_z_in_world_m = None;
        let lifted = lift(&view, "car", &bbox);
        let (sigmas, relative) = miss(&lifted, &truth);
        prop_assert!(sigmas < 4.0 && relative < 0.3, "{sigmas} sigma, {relative} of the distance: {lifted:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_the_pictures_edge_cuts_is_completed_within_its_covariance(
        (height, pitch_deg) in prop_oneof![Just((3.0, 8.0)), Just((6.0, 20.0)), Just((12.0, 45.0))],
        class in prop_oneof![Just("car"), Just("person"), Just("truck")],
        x in 1.0..40.0f64,
        y in -30.0..30.0f64,
        yaw in 0.0..std::f64::consts::TAU,
    ) {
        let view = view_of(Some(camera(height, f64::to_radians(pitch_deg))), None);
        let Some((whole, truth)) = whole_appearance(&view, class, x, y, yaw) else { return Ok(()) };
        let bbox = whole.clipped(WIDTH as f32, HEIGHT as f32);
        let shown = bbox.area() / whole.area();
        if !bbox.is_valid() || bbox.height() < 20.0 || !(0.4..0.95).contains(&shown) {
            return Ok(());
        }
        let lifted = lift(&view, class, &bbox);
        // Where the edges tell too little nothing is said.
        if lifted.observation.is_none_or(|observation| observation.position().is_none()) {
            return Ok(());
        }
        let (sigmas, relative) = miss(&lifted, &truth);
        prop_assert!(sigmas < 4.0, "{sigmas} sigma, {relative} of the distance, {shown} shown: {lifted:?}");
        prop_assert_eq!(lifted.reliability.reason(), Some(UnreliableReason::Truncated));
    }
}

#[test]
fn half_a_car_at_the_edge_is_placed_where_the_whole_car_is() {
    let view = view_of(Some(camera(6.0, f64::to_radians(20.0))), None);
    // Lengthways across the picture, its front at the middle of what the picture's left edge leaves.
    let (whole, truth) = whole_appearance(&view, "car", 15.0, 10.8, std::f64::consts::FRAC_PI_2).unwrap();
    let bbox = whole.clipped(WIDTH as f32, HEIGHT as f32);
    let shown = bbox.area() / whole.area();
    assert!((0.3..0.7).contains(&shown), "{shown} of it is shown");
    let across_m = |bearing: &Vector3<f64>| {
        let range_m = (truth - view.world_from_camera.translation.vector).coords.norm();
        let line = (truth - view.world_from_camera.translation.vector).coords / range_m;
        (bearing - line * bearing.dot(&line)).norm() * range_m
    };
    let (x, y) = bbox.center();
    let middle = view
        .camera
        .intrinsics
        .unproject(&nalgebra::Point2::new(f64::from(x), f64::from(y)))
        .unwrap();
    let naive_m = across_m(&(view.world_from_camera.rotation * middle.into_inner()));
    let whole_m = across_m(&lift(&view, "car", &bbox).observation.unwrap().bearing_in_world);
    assert!(
        naive_m > 0.8 && whole_m < 0.5 * naive_m,
        "{whole_m} m off, the middle of what is seen {naive_m} m"
    );
}

#[test]
fn the_height_of_the_box_is_not_the_height_of_the_object_from_above() {
    let view = view_of(Some(camera(12.0, 1.0)), None);
    let (bbox, truth) = appearance(&view, "car", 7.0, 0.0, 0.0).unwrap();
    let range = (truth - view.world_from_camera.translation.vector).coords.norm();
    let naive = 900.0 * 1.5 / f64::from(bbox.height());
    assert!((naive / range - 1.0).abs() > 0.4, "naive {naive} m of {range} m");
    assert!(miss(&lift(&view, "car", &bbox), &truth).1 < 0.1);
}

#[test]
fn a_cut_edge_is_not_measured_by() {
    let view = view_of(Some(camera(1.6, 0.0)), None);
    let bottom = lift(&view, "person", &BoundingBox::new(600.0, 200.0, 700.0, HEIGHT as f32));
    // A head at the camera's own height and the width of arms: next to nothing.
    let weak = |cue: &kinestream::reconstruction::RangeCue| cue.sigma() > 0.2;
    assert!(!bottom.reliability.is_reliable());
    assert!(
        bottom
            .observation
            .is_none_or(|seen| seen.cues.iter().flatten().all(weak))
    );
    let top = lift(&view, "person", &BoundingBox::new(600.0, 0.0, 800.0, 700.0));
    let cues = top.observation.unwrap().cues;
    assert!(cues[CueKind::Size.index()].is_none() && cues[CueKind::Ground.index()].is_some());
    assert_eq!(top.reliability.reason(), Some(UnreliableReason::Truncated));
}

#[test]
fn ground_contact_says_little_where_it_grazes() {
    let view = view_of(Some(camera(1.6, 0.0)), None);
    let ground = |x: f64| {
        let (bbox, _) = appearance(&view, "car", x, 0.0, 0.0).unwrap();
        lift(&view, "car", &bbox).observation.unwrap().cues[CueKind::Ground.index()].map(|cue| cue.sigma())
    };
    let (near, far) = (ground(10.0).unwrap(), ground(60.0));
    assert!(near < 0.15, "{near}");
    assert!(far.is_none_or(|far| far > 0.25), "{far:?}");
}

#[test]
fn depth_is_that_of_the_surface_and_half_the_object_lies_behind() {
    let depth = DepthMap {
        width: 64,
        height: 36,
        depth_m: vec![18.0; 64 * 36],
        relative_sigma: 0.1,
    };
    let view = view_of(Some(camera(1.6, 0.0)), Some(depth));
    let (bbox, _) = appearance(&view, "car", 20.0, 0.0, 0.0).unwrap();
    let cue = lift(&view, "car", &bbox).observation.unwrap().cues[CueKind::Depth.index()].unwrap();
    assert!((18.8..20.6).contains(&cue.range_m), "{cue:?}");
}

#[test]
fn what_is_assumed_is_said() {
    let unknown = view_of(None, None);
    let (bbox, _) = appearance(&view_of(Some(camera(1.6, 0.0)), None), "car", 15.0, 0.0, 0.3).unwrap();
    let lifted = lift(&unknown, "car", &bbox);
    assert_eq!(lifted.reliability.reason(), Some(UnreliableReason::IntrinsicsAssumed));
    let sigma = |lifted: &Lifted| {
        let observation = lifted.observation.unwrap();
        observation.range().unwrap().1.hypot(observation.scale_sigma)
    };
    let known = lift(&view_of(Some(camera(1.6, 0.0)), None), "car", &bbox);
    assert!(sigma(&lifted) > 2.0 * sigma(&known));
    let unmounted = Camera {
        mounting: None,
        mounting_source: MountingSource::Assumed,
        ..camera(1.6, 0.0)
    };
    let lifted = lift(&view_of(Some(unmounted), None), "car", &bbox);
    assert_eq!(lifted.reliability.reason(), Some(UnreliableReason::MountingAssumed));
    assert!(lifted.observation.unwrap().cues[CueKind::Ground.index()].is_none());
}

#[test]
fn cues_that_contradict_each_other_are_widened_and_said() {
    let depth = DepthMap {
        width: 64,
        height: 36,
        depth_m: vec![80.0; 64 * 36],
        relative_sigma: 0.1,
    };
    let view = view_of(Some(camera(1.6, 0.0)), Some(depth));
    let (bbox, _) = appearance(&view, "car", 20.0, 0.0, 0.0).unwrap();
    let lifted = lift(&view, "car", &bbox);
    assert_eq!(lifted.reliability.reason(), Some(UnreliableReason::CuesDisagree));
    assert!(lifted.observation.unwrap().range().unwrap().1 > 0.15);
}

#[test]
fn boxes_without_sense_are_nowhere() {
    let view = view_of(Some(camera(1.6, 0.0)), None);
    for bbox in [
        BoundingBox::new(f32::NAN, 0.0, 10.0, 10.0),
        BoundingBox::new(10.0, 10.0, 10.0, 10.0),
        BoundingBox::new(f32::NEG_INFINITY, 0.0, f32::INFINITY, 10.0),
    ] {
        assert!(lift(&view, "car", &bbox).observation.is_none());
    }
}

#[test]
fn what_something_nearer_covers_is_less_certain() {
    let view = view_of(Some(camera(6.0, 20f64.to_radians())), None);
    let (bbox, _) = appearance(&view, "person", 15.0, 1.0, 0.0).unwrap();
    let spread = |covered: f64| {
        let seen = Seen {
            covered,
            ..Seen::boxed(bbox, ClassLabel::new("person"))
        };
        let lifted = Lifter::new(Arc::default()).lift_box(&seen, &view, WIDTH, HEIGHT);
        let (_, covariance) = lifted.observation.unwrap().position().unwrap();
        covariance.trace().sqrt()
    };
    let (free, touched, hidden) = (spread(0.0), spread(0.05), spread(0.6));
    assert!(free < touched && touched < hidden, "{free}, {touched}, {hidden} m");
}
