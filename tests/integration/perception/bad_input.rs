//! Models that cannot be used: each with an error that says what was expected and what was found.

use std::path::Path;

use kinestream::perception::{
    DepthModel, DepthSettings, Detector, DetectorSettings, Device, Manifest, Model, PerceptionError, SessionSettings,
};

use super::support::{Rgb, intrinsics, manifest, onnx, session};

fn settings() -> DetectorSettings {
    DetectorSettings {
        session: session(),
        ..DetectorSettings::default()
    }
}

fn refusal(path: &Path) -> String {
    match Detector::load(path, &settings()) {
        Ok(_) => panic!("{} was accepted", path.display()),
        Err(error) => error.to_string(),
    }
}

const YOLOX: &str = r#"
task = "detector"
classes = ["a", "b", "c"]
[input]
name = "images"
size = [64, 64]
padding = "top-left"
color = "bgr"
range = "0-255"
[decode]
family = "yolox"
"#;

/// What a manifest of the YOLOX fixture is refused with after a change.
fn refused_manifest(weights: &str, from: &str, to: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    assert!(YOLOX.contains(from));
    refusal(&manifest(folder.path(), &onnx(weights), &YOLOX.replacen(from, to, 1)))
}

fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

#[test]
fn the_manifest_of_these_tests_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    Detector::load(&manifest(folder.path(), &onnx("yolox"), YOLOX), &settings()).unwrap();
}

#[test]
fn missing_files() {
    assert_says(&refusal(Path::new("no/such.onnx")), &["no/such.onnx", "No such file"]);
    assert_says(&refusal(Path::new("no/such.toml")), &["no/such.toml", "No such file"]);
    assert_says(&refusal(&std::env::temp_dir()), &["expected a file, found a folder"]);
    let folder = tempfile::tempdir().unwrap();
    let text = format!("url = \"https://example.org/w.onnx\"\n{YOLOX}");
    let path = manifest(folder.path(), Path::new("absent.onnx"), &text);
    assert_says(&refusal(&path), &["absent.onnx", "https://example.org/w.onnx"]);
}

#[test]
fn corrupt_weights() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(onnx("yolox")).unwrap();
    for (name, bytes) in [
        ("text.onnx", b"this is no network".as_slice()),
        ("cut.onnx", &bytes[..bytes.len() / 2]),
        ("empty.onnx", b"".as_slice()),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        assert_says(&refusal(&path), &[name]);
    }
}

#[test]
fn wrong_hash() {
    let wrong = "0".repeat(64);
    let sha = format!("task = \"detector\"\nsha256 = \"{wrong}\"");
    let message = refused_manifest("yolox", "task = \"detector\"", &sha);
    assert_says(&message, &["yolox.onnx", &wrong, "found"]);
    // The hash it found is the one it accepts.
    let found = message.split("found ").nth(1).unwrap().split(';').next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let text = format!("sha256 = \"{}\"\n{YOLOX}", found.to_uppercase());
    Detector::load(&manifest(folder.path(), &onnx("yolox"), &text), &settings()).unwrap();
}

#[test]
fn wrong_shapes_are_refused_before_the_first_picture() {
    assert_says(
        &refusal(&onnx("wrong_shape")),
        &["`output`", "[1, 84, 8]", "[1, 80, 8]"],
    );
    let message = refused_manifest("yolox", "[64, 64]", "[96, 64]");
    assert_says(&message, &["input `images`", "96×64", "[1, 3, 64, 64]"]);
    let message = refused_manifest("yolox", "[\"a\", \"b\", \"c\"]", "[\"a\", \"b\"]");
    assert_says(&message, &["[1, 84, 7]", "[1, 84, 8]"]);
    let message = refused_manifest("yolox", "name = \"images\"", "name = \"images\"\nlayout = \"nhwc\"");
    assert_says(&message, &["[batch, height, width, 3]", "[1, 3, 64, 64]"]);
    let message = refused_manifest(
        "yolov8_bytes",
        "name = \"images\"",
        "name = \"images\"\nlayout = \"nhwc\"\nmean = [1, 1, 1]",
    );
    assert_says(&message, &["without mean and std", "u8"]);
}

#[test]
fn wrong_names() {
    let message = refused_manifest("yolox", "name = \"images\"", "name = \"image\"");
    assert_says(&message, &["`image`", "`images` f32 [1, 3, 64, 64]"]);
    let message = refused_manifest("yolox", "[decode]", "[outputs]\npredictions = \"boxes\"\n[decode]");
    assert_says(&message, &["`boxes`", "`output` f32 [1, 84, 8]"]);
    let message = refused_manifest("yolox", "padding", "paddding");
    assert_says(&message, &["model.toml:", "did you mean `padding`?"]);
}

#[test]
fn unknown_contracts_list_what_they_have() {
    assert_says(
        &refusal(&onnx("unknown")),
        &["`tokens` f32 [1, 16]", "`logits` f32 [1, 16]", "docs/models.md"],
    );
}

#[test]
fn a_model_for_another_task() {
    assert_says(&refusal(&onnx("metric3d")), &["Detector", "Depth"]);
    let error = DepthModel::load(&onnx("yolox"), &DepthSettings { session: session() })
        .err()
        .unwrap();
    assert_says(&error.to_string(), &["expected Depth, found Detector"]);
}

#[test]
fn unknown_classes_and_settings_out_of_range() {
    let with = |change: fn(&mut DetectorSettings)| {
        let mut settings = settings();
        change(&mut settings);
        Detector::load(&onnx("yolov8"), &settings).err().unwrap().to_string()
    };
    let message = with(|settings| settings.classes = vec!["persn".into()]);
    assert_says(&message, &["`persn`", "did you mean `person`?", "car, person"]);
    assert_says(
        &with(|settings| settings.confidence = f32::NAN),
        &["confidence", "0 to 1", "NaN"],
    );
    assert_says(
        &with(|settings| settings.nms_iou = Some(3.0)),
        &["nms_iou", "0 to 1", "3"],
    );
}

#[test]
fn a_device_that_is_not_here() {
    let session = SessionSettings {
        device: Device::Cuda(0),
        ..session()
    };
    match Model::open(&onnx("yolox"), &session) {
        Ok(model) => assert_eq!(model.device(), Device::Cuda(0)),
        Err(error) => assert_says(&error.to_string(), &["yolox.onnx", "cuda:0"]),
    }
    let auto = SessionSettings {
        device: Device::Auto,
        ..session
    };
    Model::open(&onnx("yolox"), &auto).unwrap();
}

#[test]
fn depth_without_a_focal_length() {
    let mut model = DepthModel::load(&onnx("metric3d"), &DepthSettings { session: session() }).unwrap();
    let picture = Rgb::plain(64, 48, [9; 3]);
    for fx in [0.0, -5.0, f64::NAN, f64::INFINITY] {
        let error = model
            .estimate(&picture.picture(), &intrinsics(64, 48, fx, 50.0))
            .unwrap_err();
        assert!(matches!(error, PerceptionError::Setting { .. }), "{error}");
    }
}

/// Sizes at the edges: one pixel, one row, one column.
#[test]
fn the_smallest_pictures() {
    let mut detector = Detector::load(&onnx("yolox"), &settings()).unwrap();
    let mut depth = DepthModel::load(&onnx("depth_anything_2"), &DepthSettings { session: session() }).unwrap();
    for (width, height) in [(1, 1), (1, 700), (900, 1), (3, 2)] {
        let picture = Rgb::plain(width, height, [120, 90, 60]);
        for detection in detector.detect(&picture.picture()).unwrap() {
            assert!(detection.bbox.x1 <= width as f32 && detection.bbox.y1 <= height as f32);
        }
        depth
            .estimate(&picture.picture(), &intrinsics(width, height, 100.0, 100.0))
            .unwrap();
    }
}

/// Every manifest that is handed out is accepted, whether or not its weights are here.
#[test]
fn the_published_manifests_are_accepted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            Manifest::load(&path).unwrap();
            count += 1;
        }
    }
    assert!(count > 0);
}
