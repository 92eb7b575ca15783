//! Every depth contract, on networks that answer with a weighted sum of the colours they are fed.

use kinestream::perception::{DepthMap, DepthModel, DepthSettings};

use super::support::{Rgb, intrinsics, manifest, onnx, session};

fn settings() -> DepthSettings {
    DepthSettings { session: session() }
}

/// Colours that say where a pixel is: red across, blue down.
fn ramp(width: u32, height: u32) -> Rgb {
    Rgb::new(width, height, |u, v| [40.0 + 200.0 * u, 90.0, 40.0 + 200.0 * v])
}

/// What the networks of `make_onnx.py` answer at a place of the ramp.
fn answer(u: f64, v: f64) -> f64 {
    0.02 * (40.0 + 200.0 * u) + 0.03 * 90.0 + 0.05 * (40.0 + 200.0 * v)
}

fn assert_ramp(name: &str, map: &DepthMap, metres: impl Fn(f64) -> f64) {
    for u in [0.02, 0.3, 0.5, 0.71, 0.98] {
        for v in [0.02, 0.4, 0.5, 0.98] {
            let found = f64::from(
                map.at(u as f32, v as f32)
                    .unwrap_or_else(|| panic!("{name}: unknown at {u}, {v}")),
            );
            let expected = metres(answer(u, v));
            assert!(
                (found / expected - 1.0).abs() < 0.01,
                "{name} at {u}, {v}: {found} {expected}"
            );
        }
    }
}

#[test]
fn metric3d_scales_with_the_focal_length_of_its_input() {
    for name in ["metric3d", "metric3d_community"] {
        let mut model = DepthModel::load(&onnx(name), &settings()).unwrap();
        for (width, height, scale) in [(640, 360, 1064.0 / 640.0), (300, 400, 616.0 / 400.0)] {
            let fx = 500.0;
            let camera = intrinsics(width, height, fx, 700.0);
            let map = model.estimate(&ramp(width, height).picture(), &camera).unwrap();
            assert_ramp(name, &map, |value| value * fx * scale / 1000.0);
            // Only the picture is left of the padded map.
            let (columns, rows) = (f64::from(map.width), f64::from(map.height));
            assert!((columns / rows / (f64::from(width) / f64::from(height)) - 1.0).abs() < 0.01);
        }
    }
}

#[test]
fn intrinsics_of_another_size_are_rescaled() {
    let mut model = DepthModel::load(&onnx("metric3d"), &settings()).unwrap();
    let picture = ramp(640, 360);
    let full = model
        .estimate(&picture.picture(), &intrinsics(1920, 1080, 1500.0, 1500.0))
        .unwrap();
    let same = model
        .estimate(&picture.picture(), &intrinsics(640, 360, 500.0, 500.0))
        .unwrap();
    assert_eq!(full.depth_m, same.depth_m);
}

#[test]
fn metric3d_depths_are_clamped() {
    let mut model = DepthModel::load(&onnx("metric3d"), &settings()).unwrap();
    let map = model
        .estimate(&ramp(640, 360).picture(), &intrinsics(640, 360, 5e5, 5e5))
        .unwrap();
    assert!(map.depth_m.iter().all(|depth| *depth == 300.0));
}

#[test]
fn a_dynamic_model_takes_the_size_of_its_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let path = manifest(
        folder.path(),
        &onnx("metric3d_community"),
        r#"
        task = "depth"
        [input]
        name = "pixel_values"
        size = { multiple_of = 28, long_side = 448 }
        padding = "stretch"
        range = "0-255"
        mean = [123.675, 116.28, 103.53]
        std = [58.395, 57.12, 57.375]
        [outputs]
        depth = "predicted_depth"
        [scale]
        rule = "focal-ratio"
        focal_px = 1000
        relative_sigma = 0.07
        "#,
    );
    let mut model = DepthModel::load(&path, &settings()).unwrap();
    for (width, height, size) in [(640, 360, (448, 252)), (300, 400, (336, 448))] {
        let map = model
            .estimate(&ramp(width, height).picture(), &intrinsics(width, height, 800.0, 800.0))
            .unwrap();
        assert_eq!((map.width, map.height), size);
        assert_eq!(map.relative_sigma, 0.07);
        assert_ramp("dynamic", &map, |value| {
            value * 0.8 * f64::from(size.0) / f64::from(width)
        });
    }
}

#[test]
fn depth_anything_3_scales_with_the_mean_focal_length() {
    for name in ["depth_anything_3", "depth_anything_3_low"] {
        let mut model = DepthModel::load(&onnx(name), &settings()).unwrap();
        // Red everywhere above blue: no sky.
        let picture = Rgb::new(960, 540, |u, v| [150.0 + 100.0 * u, 90.0, 20.0 + 100.0 * v]);
        let camera = intrinsics(960, 540, 900.0, 1000.0);
        for _ in 0..4 {
            let map = model.estimate(&picture.picture(), &camera).unwrap();
            let focal = 0.5 * (900.0 * 504.0 / 960.0 + 1000.0 * 280.0 / 540.0);
            for (u, v) in [(0.1f32, 0.2f32), (0.5, 0.5), (0.9, 0.95)] {
                let value = 0.02 * (150.0 + 100.0 * u) + 0.03 * 90.0 + 0.05 * (20.0 + 100.0 * v);
                let expected = value * focal / 300.0;
                // Before the sign is known, one picture may be lost.
                if let Some(found) = map.at(u, v) {
                    assert!((found / expected - 1.0).abs() < 0.01, "{name}: {found} {expected}");
                }
            }
        }
        let map = model.estimate(&picture.picture(), &camera).unwrap();
        assert!(map.depth_m.iter().all(|depth| depth.is_finite()), "{name}");
    }
}

#[test]
fn depth_anything_3_sky_is_unknown_whatever_its_sign() {
    for name in ["depth_anything_3", "depth_anything_3_low"] {
        let mut model = DepthModel::load(&onnx(name), &settings()).unwrap();
        let picture = Rgb::new(960, 540, |_, v| {
            if v < 0.3 {
                [60.0, 60.0, 240.0]
            } else {
                [120.0, 100.0, 80.0]
            }
        });
        let camera = intrinsics(960, 540, 900.0, 900.0);
        for _ in 0..3 {
            let map = model.estimate(&picture.picture(), &camera).unwrap();
            assert_eq!(map.at(0.5, 0.1), None, "{name}");
            assert!(map.at(0.5, 0.6).is_some(), "{name}");
        }
    }
}

#[test]
fn depth_anything_2_is_in_metres_already() {
    let mut model = DepthModel::load(&onnx("depth_anything_2"), &settings()).unwrap();
    for fx in [300.0, 3000.0] {
        let map = model
            .estimate(&ramp(640, 360).picture(), &intrinsics(640, 360, fx, fx))
            .unwrap();
        assert_ramp("depth_anything_2", &map, |value| value);
    }
}

#[test]
fn unidepth_is_in_metres_and_may_be_told_the_camera() {
    let mut model = DepthModel::load(&onnx("unidepth"), &settings()).unwrap();
    let map = model
        .estimate(&ramp(640, 360).picture(), &intrinsics(640, 360, 500.0, 500.0))
        .unwrap();
    assert_ramp("unidepth", &map, |value| value);

    let mut model = DepthModel::load(&onnx("unidepth_camera"), &settings()).unwrap();
    let map = model
        .estimate(&ramp(640, 360).picture(), &intrinsics(640, 360, 500.0, 500.0))
        .unwrap();
    assert_ramp("unidepth_camera", &map, |value| value * 616.0 / 640.0);
}

#[test]
fn disparity_becomes_depth_by_the_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let path = manifest(
        folder.path(),
        &onnx("disparity"),
        r#"
        task = "depth"
        [input]
        name = "input"
        padding = "stretch"
        [outputs]
        depth = "disparity"
        [scale]
        rule = "sigmoid-disparity"
        s = 5.4
        a = 0.01
        b = 9.99
        max_m = 80
        "#,
    );
    let mut model = DepthModel::load(&path, &settings()).unwrap();
    let map = model
        .estimate(&ramp(640, 360).picture(), &intrinsics(640, 360, 500.0, 500.0))
        .unwrap();
    assert_eq!((map.width, map.height), (320, 96));
    assert_ramp("disparity", &map, |value| 5.4 / (0.01 + 9.99 * value / 255.0));
}

#[test]
fn cells_that_are_not_finite_are_unknown_and_counted() {
    let mut model = DepthModel::load(&onnx("depth_nan"), &settings()).unwrap();
    assert_eq!(model.stats().non_finite_cells, 0);
    let picture = Rgb::new(518, 518, |u, _| match u {
        u if u < 0.25 => [250.0, 100.0, 100.0],
        u if u > 0.75 => [100.0, 100.0, 250.0],
        _ => [100.0; 3],
    });
    let map = model
        .estimate(&picture.picture(), &intrinsics(518, 518, 500.0, 500.0))
        .unwrap();
    assert_eq!((map.at(0.1, 0.5), map.at(0.9, 0.5)), (None, None));
    assert_eq!(map.at(0.5, 0.5), Some(1.0));
    let half = 518 * 518 / 2;
    assert!(
        model.stats().non_finite_cells.abs_diff(half) < 518 * 4,
        "{:?}",
        model.stats()
    );
}
