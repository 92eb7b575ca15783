//! Properties of projection, mounting and scaling.

use std::f64::consts::{FRAC_PI_2, PI};
use std::path::Path;

use nalgebra::{Point2, Point3, Unit, Vector3};
use proptest::prelude::*;

use super::*;

fn distortion() -> impl Strategy<Value = Distortion> {
    let radial = [-0.45..0.45, -0.25..0.25, -0.1..0.1f64];
    let brown_conrady =
        (radial, [-0.004..0.004, -0.004..0.004f64]).prop_map(|(k, p)| Distortion::BrownConrady { k, p });
    let fisheye = [-0.1..0.1, -0.05..0.05, -0.01..0.01, -0.005..0.005f64].prop_map(|k| Distortion::Fisheye { k });
    prop_oneof![Just(Distortion::None), brown_conrady, fisheye]
}

fn intrinsics() -> impl Strategy<Value = Intrinsics> {
    let size = (64..4000u32, 64..4000u32);
    (size, 0.3..3.0f64, 0.9..1.1f64, 0.4..0.6f64, 0.4..0.6f64, distortion()).prop_map(
        |((width, height), focal, ratio, cx, cy, distortion)| {
            let fx = focal * f64::from(width);
            Intrinsics {
                fx,
                fy: fx * ratio,
                cx: cx * f64::from(width),
                cy: cy * f64::from(height),
                width,
                height,
                distortion,
            }
        },
    )
}

fn mounting() -> impl Strategy<Value = Mounting> {
    (0.5..30.0f64, -0.2..1.2f64, -0.5..0.5f64).prop_map(|(height_m, pitch_down_rad, roll_rad)| Mounting {
        height_m,
        pitch_down_rad,
        roll_rad,
    })
}

/// A direction at an angle to the optical axis.
fn ray(angle_rad: f64, turn_rad: f64) -> Vector3<f64> {
    let (across, along) = angle_rad.sin_cos();
    Vector3::new(across * turn_rad.cos(), across * turn_rad.sin(), along)
}

fn reaches(lens: &Intrinsics) -> f64 {
    lens.distortion.max_angle_rad()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_projected_ray_comes_back(lens in intrinsics(), share in 0.0..0.95f64, turn in -PI..PI, depth in 0.1..100.0f64) {
        // Short of the edge, where the lens hardly tells rays apart.
        let direction = ray(share * reaches(&lens).min(1.3), turn);
        if let Some(pixel) = lens.project(&Point3::from(direction * depth)) {
            let back = lens.unproject(&pixel).unwrap();
            prop_assert!((back.into_inner() - direction).norm() < 1e-7, "{back:?} {direction:?}");
        } else {
            // The tangential part may fold a little earlier than the radial one.
            let tangential = matches!(lens.distortion, Distortion::BrownConrady { .. });
            prop_assert!(tangential && share > 0.6);
        }
    }

    #[test]
    fn an_unprojected_pixel_comes_back(lens in intrinsics(), x in -0.5..1.5f64, y in -0.5..1.5f64) {
        let pixel = Point2::new(x * f64::from(lens.width), y * f64::from(lens.height));
        if let Ok(ray) = lens.unproject(&pixel) {
            let back = lens.project(&Point3::from(ray.into_inner() * 7.0)).unwrap();
            prop_assert!((back - pixel).norm() < 1e-6, "{back:?} {pixel:?}");
        }
        if lens.distortion == Distortion::None {
            prop_assert!(lens.unproject(&pixel).is_ok());
        }
    }

    #[test]
    fn farther_from_the_axis_is_farther_from_the_principal_point(
        mut lens in intrinsics(), a in 0.0..3.1f64, b in 0.0..3.1f64, turn in -PI..PI,
    ) {
        if let Distortion::BrownConrady { p, .. } = &mut lens.distortion {
            *p = [0.0; 2];
        }
        let off_center = |angle: f64| {
            let pixel = lens.project(&Point3::from(ray(angle, turn)))?;
            Some((pixel - Point2::new(lens.cx, lens.cy)).norm())
        };
        let (near, far) = (a.min(b), a.max(b));
        if far - near > 1e-6 {
            match (off_center(near), off_center(far)) {
                (Some(near_px), Some(far_px)) => prop_assert!(far_px > near_px),
                (None, Some(_)) => prop_assert!(false, "{near} is not seen, but {far} is"),
                _ => {}
            }
        }
        // What never folds back is considered up to 89.94° only.
        if far > reaches(&lens) + 1e-9 && (reaches(&lens) < 1.569 || far >= FRAC_PI_2) {
            prop_assert_eq!(off_center(far), None);
        }
        if !matches!(lens.distortion, Distortion::Fisheye { .. }) && far >= FRAC_PI_2 {
            prop_assert_eq!(off_center(far), None);
        }
    }

    #[test]
    fn a_resized_picture_shows_the_same(lens in intrinsics(), factor in 0.1..4.0f64, angle in 0.0..1.2f64, turn in -PI..PI) {
        let (width, height) = (f64::from(lens.width) * factor, f64::from(lens.height) * factor);
        let scaled = lens.scaled_to(width.ceil() as u32, height.ceil() as u32);
        let point = Point3::from(ray(angle, turn) * 3.0);
        match (lens.project(&point), scaled.project(&point)) {
            (Some(pixel), Some(in_scaled)) => {
                let x = pixel.x / f64::from(lens.width) * f64::from(scaled.width);
                let y = pixel.y / f64::from(lens.height) * f64::from(scaled.height);
                prop_assert!((in_scaled - Point2::new(x, y)).norm() < 1e-6 * (1.0 + x.abs() + y.abs()));
            }
            (None, None) => {}
            other => prop_assert!(false, "{other:?}"),
        }
        prop_assert!((lens.horizontal_fov_rad() - scaled.horizontal_fov_rad()).abs() < 1e-7);
    }

    #[test]
    fn world_and_camera_are_inverse(mounting in mounting(), p in [-50.0..50.0, -50.0..50.0, -50.0..50.0f64]) {
        let world_from_camera = mounting.world_from_camera();
        let point = Point3::from(p);
        let back = world_from_camera.inverse_transform_point(&(world_from_camera * point));
        prop_assert!((back - point).norm() < 1e-9);
        prop_assert!((world_from_camera * Point3::origin() - Point3::new(0.0, 0.0, mounting.height_m)).norm() < 1e-12);
        // A picture's heading is the world's x axis: the optical axis has no part to the left.
        prop_assert!((world_from_camera * Vector3::z()).y.abs() < 1e-12);
        prop_assert!(((world_from_camera * Vector3::z()).z + mounting.pitch_down_rad.sin()).abs() < 1e-12);
    }

    #[test]
    fn a_point_on_the_ground_is_found_from_its_pixel(
        lens in intrinsics(), mounting in mounting(), x in 1.0..80.0f64, y in -20.0..20.0f64,
    ) {
        let camera = Camera {
            intrinsics: lens,
            intrinsics_source: IntrinsicsSource::Calibrated,
            mounting: Some(mounting),
            mounting_source: MountingSource::Measured,
        };
        let on_ground = Point3::new(x, y, 0.0);
        let in_camera = camera.world_from_camera().inverse_transform_point(&on_ground);
        let angle = in_camera.x.hypot(in_camera.y).atan2(in_camera.z);
        if angle > 0.9 * reaches(&lens) {
            return Ok(());
        }
        if let Some(pixel) = lens.project(&in_camera) {
            let found = camera.ground_point(&pixel).unwrap();
            prop_assert!((found - on_ground).norm() < 1e-5 * x.hypot(y) * x.hypot(y), "{found:?} {on_ground:?}");
        }
    }

    #[test]
    fn no_number_makes_it_panic(
        values in prop::array::uniform9(prop::num::f64::ANY), fisheye in any::<bool>(), width in 0..5u32, height in 0..5u32,
    ) {
        let [fx, fy, cx, cy, a, b, c, x, y] = values;
        let distortion = if fisheye {
            Distortion::Fisheye { k: [a, b, c, a] }
        } else {
            Distortion::BrownConrady { k: [a, b, c], p: [b, c] }
        };
        let lens = Intrinsics { fx, fy, cx, cy, width, height, distortion };
        if let Some(pixel) = lens.project(&Point3::new(x, y, c)) {
            prop_assert!(pixel.x.is_finite() && pixel.y.is_finite());
        }
        if let Ok(ray) = lens.unproject(&Point2::new(x, y)) {
            prop_assert!((ray.norm() - 1.0).abs() < 1e-9);
        }
        let _ = Intrinsics::from_horizontal_fov(x, width, height);
        let _ = lens.horizontal_fov_rad();
    }
}

#[test]
fn a_level_camera_looks_along_x_with_left_on_the_left() {
    let world_from_camera = Mounting::level(2.0).world_from_camera();
    assert!((world_from_camera * Vector3::z() - Vector3::x()).norm() < 1e-12);
    assert!((world_from_camera * Vector3::x() + Vector3::y()).norm() < 1e-12);
    assert!((world_from_camera * Vector3::y() + Vector3::z()).norm() < 1e-12);
}

#[test]
fn roll_is_clockwise_seen_from_behind() {
    let rolled = Mounting {
        roll_rad: 0.1,
        ..Mounting::level(2.0)
    };
    // The camera's right side sinks.
    let right_in_world = rolled.world_from_camera() * Vector3::x();
    assert!(right_in_world.z < 0.0 && right_in_world.y < 0.0);
}

#[test]
fn the_sky_has_no_ground_point() {
    let level = Mounting::level(1.5).world_from_camera();
    let toward = |y: f64| Unit::new_normalize(Vector3::new(0.0, y, 1.0));
    assert_eq!(ground_intersection(&level, &toward(-0.1), 0.0), None);
    assert_eq!(ground_intersection(&level, &toward(0.0), 0.0), None);
    let ahead = ground_intersection(&level, &toward(0.1), 0.0).unwrap();
    assert!((ahead - Point3::new(15.0, 0.0, 0.0)).norm() < 1e-9);
    assert_eq!(ground_intersection(&level, &toward(0.1), 2.0), None);
}

/// The formulas of OpenCV's documentation (`calib3d` and `fisheye`), worked out by hand.
#[test]
fn projection_follows_the_published_formulas() {
    let mut lens = Intrinsics::from_horizontal_fov(FRAC_PI_2, 1000, 1000).unwrap();
    let point = Point3::new(0.3, -0.2, 1.0);
    lens.distortion = Distortion::BrownConrady {
        k: [-0.3, 0.1, -0.02],
        p: [0.001, -0.002],
    };
    // r² = 0.13; radial = 1 − 0.039 + 0.00169 − 0.00004394
    let radial = 0.962_646_06;
    let x = 0.3 * radial + 2.0 * 0.001 * 0.3 * -0.2 - 0.002 * (0.13 + 2.0 * 0.09);
    let y = -0.2 * radial + 0.001 * (0.13 + 2.0 * 0.04) + 2.0 * -0.002 * 0.3 * -0.2;
    let pixel = lens.project(&point).unwrap();
    assert!((pixel - Point2::new(500.0 + 500.0 * x, 500.0 + 500.0 * y)).norm() < 1e-9);

    lens.distortion = Distortion::Fisheye {
        k: [0.01, -0.02, 0.003, -0.0004],
    };
    let r = 0.13f64.sqrt();
    let theta = r.atan();
    let grown =
        theta * (1.0 + 0.01 * theta.powi(2) - 0.02 * theta.powi(4) + 0.003 * theta.powi(6) - 0.0004 * theta.powi(8));
    let expected = Point2::new(500.0 + 500.0 * grown * 0.3 / r, 500.0 - 500.0 * grown * 0.2 / r);
    assert!((lens.project(&point).unwrap() - expected).norm() < 1e-9);
}

#[test]
fn what_a_wide_lens_cannot_show_is_an_error() {
    let mut lens = Intrinsics::from_horizontal_fov(2.0, 1000, 600).unwrap();
    lens.distortion = Distortion::BrownConrady {
        k: [-0.4, 0.0, 0.0],
        p: [0.001, 0.0],
    };
    assert!(matches!(
        lens.unproject(&Point2::new(0.0, 0.0)),
        Err(UnprojectError::BeyondLens { .. } | UnprojectError::NotConverged { .. })
    ));
    assert!(matches!(
        lens.unproject(&Point2::new(f64::NAN, 0.0)),
        Err(UnprojectError::NotFinite { .. })
    ));
    assert!(lens.unproject(&Point2::new(500.0, 300.0)).is_ok());
}

#[test]
fn an_assumed_camera_says_so() {
    for (width, height) in [(1920, 1080), (1080, 1920)] {
        let camera = Camera::assumed(width, height).unwrap();
        assert_eq!(camera.intrinsics_source, IntrinsicsSource::AssumedFieldOfView);
        assert_eq!(camera.mounting, None);
        assert_eq!(camera.ground_point(&Point2::new(500.0, 1000.0)), None);
        let expected = 960.0 / (0.5 * ASSUMED_FIELD_OF_VIEW_DEG.to_radians()).tan();
        assert!((camera.intrinsics.fx - expected).abs() < 1e-9);
    }
    assert!(Camera::assumed(0, 1080).is_err());
}

#[test]
fn a_picture_of_another_shape_is_refused() {
    let camera = Camera::assumed(1920, 1080).unwrap();
    let half = camera.scaled_to(960, 540).unwrap();
    assert!((half.intrinsics.fx - 0.5 * camera.intrinsics.fx).abs() < 1e-9);
    assert!(camera.scaled_to(1920, 1088).is_ok());
    let error = camera.scaled_to(640, 480).unwrap_err().to_string();
    assert!(error.contains("1920×1080") && error.contains("640×480"), "{error}");
    assert!(camera.scaled_to(0, 480).is_err());
}

#[test]
fn the_example_files_are_cameras() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/cameras");
    let mut read = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let camera = Camera::load(&path).unwrap_or_else(|error| panic!("{error}"));
        let Intrinsics { width, height, .. } = camera.intrinsics;
        let foot = Point2::new(0.5 * f64::from(width), 0.9 * f64::from(height));
        assert!(camera.ground_point(&foot).is_some(), "{}", path.display());
        read += 1;
    }
    assert!(read >= 3);
    let error = Camera::load(Path::new("no/such/camera.toml")).unwrap_err().to_string();
    assert!(error.starts_with("no/such/camera.toml: "), "{error}");
}

/// The two recipes of docs/camera.md for measuring the pitch.
#[test]
fn the_pitch_can_be_read_off_a_picture() {
    let lens = Intrinsics::from_horizontal_fov(1.2, 1280, 720).unwrap();
    let (pitch_down_rad, height_m) = (0.21f64, 4.3);
    let mounting = Mounting {
        pitch_down_rad,
        ..Mounting::level(height_m)
    };
    let row = |point: Point3<f64>| {
        let in_camera = mounting.world_from_camera().inverse_transform_point(&point);
        lens.project(&in_camera).unwrap().y
    };
    let horizon = row(Point3::new(1e9, 0.0, 0.0));
    assert!((((lens.cy - horizon) / lens.fy).atan() - pitch_down_rad).abs() < 1e-6);
    let mark = row(Point3::new(17.0, 0.0, 0.0));
    let by_mark = (height_m / 17.0).atan() - ((mark - lens.cy) / lens.fy).atan();
    assert!((by_mark - pitch_down_rad).abs() < 1e-9);
}
