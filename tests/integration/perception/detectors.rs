//! Every detector contract, on networks made by `tests/golden/make_onnx.py`.

use kinestream::detection::{ClassLabel, Detection};
use kinestream::perception::{Detector, DetectorSettings, MAX_CANDIDATES, MAX_DETECTIONS, Tiling, TilingMode};
use serde_json::Value;

use super::support::{Rgb, fixture, manifest, onnx, session};

fn golden() -> Value {
    serde_json::from_slice(&std::fs::read(fixture("onnx/golden.json")).unwrap()).unwrap()
}

fn settings() -> DetectorSettings {
    DetectorSettings {
        session: session(),
        confidence: 0.1,
        ..DetectorSettings::default()
    }
}

fn picture(golden: &Value) -> Rgb {
    let number = |value: &Value| value.as_u64().unwrap();
    let color = [0, 1, 2].map(|index| number(&golden["color"][index]) as u8);
    Rgb::plain(
        number(&golden["picture"][0]) as u32,
        number(&golden["picture"][1]) as u32,
        color,
    )
}

fn assert_found(name: &str, found: &[Detection], classes: &[ClassLabel], expected: &Value) {
    let expected = expected["detections"].as_array().unwrap();
    assert_eq!(found.len(), expected.len(), "{name}: {found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        let class = classes[expected["class"].as_u64().unwrap() as usize];
        assert_eq!(found.class, class, "{name}: {found:?} {expected}");
        let confidence = expected["confidence"].as_f64().unwrap() as f32;
        assert!(
            (found.confidence - confidence).abs() < 2e-3,
            "{name}: {found:?} {expected}"
        );
        let bbox = &found.bbox;
        for (index, edge) in [bbox.x0, bbox.y0, bbox.x1, bbox.y1].into_iter().enumerate() {
            let wanted = expected["box"][index].as_f64().unwrap() as f32;
            // Half floats in one of the fixtures.
            assert!((edge - wanted).abs() < 0.02, "{name}: {found:?} {expected}");
        }
    }
}

#[test]
fn contracts_are_recognised_and_decoded() {
    let golden = golden();
    let picture = picture(&golden);
    for (name, contract) in [
        ("yolox", "YOLOX"),
        ("yolov8", "YOLOv8 / YOLO11"),
        ("yolov8_f16", "YOLOv8 / YOLO11"),
        ("end_to_end", "end-to-end YOLO"),
        ("detr", "RT-DETR / D-FINE"),
        ("nanodet", "NanoDet"),
    ] {
        let mut detector = Detector::load(&onnx(name), &settings()).unwrap();
        assert_eq!(detector.manifest().name, contract);
        let classes = detector.classes().to_vec();
        for _ in 0..2 {
            let found = detector.detect(&picture.picture()).unwrap();
            assert_found(name, &found, &classes, &golden["detectors"][name]);
        }
        assert_eq!(detector.stats().non_finite_rows, 0);
        assert_eq!(detector.stats().pictures, 2);
    }
}

#[test]
fn class_names_come_from_metadata_coco_or_numbers() {
    let names = |name: &str| -> Vec<&str> {
        let detector = Detector::load(&onnx(name), &settings()).unwrap();
        detector.classes().iter().map(|class| class.as_str()).collect()
    };
    assert_eq!(names("yolov8"), ["car", "person", "driver's cab"]);
    assert_eq!(names("yolox"), ["class 0", "class 1", "class 2"]);
    assert_eq!(names("detr")[..3], ["person", "bicycle", "car"]);
}

#[test]
fn a_manifest_says_what_names_cannot() {
    let golden = golden();
    let folder = tempfile::tempdir().unwrap();
    let bytes = manifest(
        folder.path(),
        &onnx("yolov8_bytes"),
        r#"
        task = "detector"
        classes = ["red", "green", "blue"]
        [input]
        name = "images"
        layout = "nhwc"
        padding = "centre"
        range = "0-255"
        [decode]
        family = "yolov8"
        "#,
    );
    let mut detector = Detector::load(&bytes, &settings()).unwrap();
    let classes = detector.classes().to_vec();
    let found = detector.detect(&picture(&golden).picture()).unwrap();
    assert_found("yolov8_bytes", &found, &classes, &golden["detectors"]["yolov8_bytes"]);
}

#[test]
fn only_wanted_classes_and_confidences_are_reported() {
    let golden = golden();
    let picture = picture(&golden);
    let settings = DetectorSettings {
        classes: vec!["Person".into()],
        ..settings()
    };
    let mut detector = Detector::load(&onnx("yolov8"), &settings).unwrap();
    let found = detector.detect(&picture.picture()).unwrap();
    assert!(
        !found.is_empty()
            && found
                .iter()
                .all(|detection| detection.class == ClassLabel::new("person"))
    );

    let settings = DetectorSettings {
        confidence: 0.5,
        ..self::settings()
    };
    let mut detector = Detector::load(&onnx("yolov8"), &settings).unwrap();
    let found = detector.detect(&picture.picture()).unwrap();
    assert!(!found.is_empty() && found.iter().all(|detection| detection.confidence >= 0.5));
}

#[test]
fn a_crowd_is_bounded_and_counted() {
    let golden = golden();
    let mut detector = Detector::load(&onnx("crowd"), &settings()).unwrap();
    let picture = Rgb::plain(704, 704, [90; 3]);
    let found = detector.detect(&picture.picture()).unwrap();
    assert_eq!(found.len(), MAX_DETECTIONS);
    // Scores fall from anchor to anchor, so the first ones are kept.
    assert!(found.windows(2).all(|pair| pair[0].confidence >= pair[1].confidence));
    assert!(
        found
            .iter()
            .all(|detection| detection.confidence > 0.95 - 4.1e-5 * MAX_DETECTIONS as f32)
    );
    let stats = detector.stats();
    let anchors = golden["crowd"]["anchors"].as_u64().unwrap();
    assert_eq!(stats.dropped_candidates, anchors - MAX_CANDIDATES as u64);
    assert_eq!(stats.dropped_detections, (MAX_CANDIDATES - MAX_DETECTIONS) as u64);
}

#[test]
fn rows_that_are_not_finite_are_dropped_and_counted() {
    let golden = golden();
    let mut detector = Detector::load(&onnx("yolox_nan"), &settings()).unwrap();
    assert_eq!(detector.stats().non_finite_rows, 0);
    let classes = detector.classes().to_vec();
    let found = detector.detect(&picture(&golden).picture()).unwrap();
    assert_found("yolox_nan", &found, &classes, &golden["detectors"]["yolox_nan"]);
    assert_eq!(detector.stats().non_finite_rows, 4);
}

#[test]
fn a_crop_is_seen_at_its_own_scale() {
    let golden = golden();
    let tiling = Tiling {
        mode: TilingMode::Crop,
        crop: [0.5, 0.0, 1.0, 1.0],
        ..Tiling::default()
    };
    let settings = DetectorSettings {
        tiling: Some(tiling),
        ..settings()
    };
    let mut whole = Detector::load(&onnx("end_to_end"), &self::settings()).unwrap();
    let mut crop = Detector::load(&onnx("end_to_end"), &settings).unwrap();
    let narrow = picture(&golden);
    let wide = Rgb::plain(256, 64, [200, 100, 50]);
    let (found, shifted) = (
        whole.detect(&narrow.picture()).unwrap(),
        crop.detect(&wide.picture()).unwrap(),
    );
    assert_eq!(found.len(), shifted.len());
    for (a, b) in found.iter().zip(&shifted) {
        assert!((a.bbox.x0 + 128.0 - b.bbox.x0).abs() < 1e-3 && (a.bbox.y1 - b.bbox.y1).abs() < 1e-3);
    }
}

#[test]
fn tiles_see_the_picture_piece_by_piece() {
    let tiling = Tiling {
        mode: TilingMode::Tiles,
        overlap: 0.0,
        columns: Some(2),
        ..Tiling::default()
    };
    let settings = DetectorSettings {
        tiling: Some(tiling),
        ..settings()
    };
    let mut detector = Detector::load(&onnx("end_to_end"), &settings).unwrap();
    // The left tile is red, the right one black: the same rows score only on the left, except the padding's.
    let picture = Rgb::new(256, 64, |u, _| if u < 0.5 { [255.0, 0.0, 0.0] } else { [0.0; 3] });
    let found = detector.detect(&picture.picture()).unwrap();
    let label = ClassLabel::new("car");
    let red: Vec<_> = found.iter().filter(|detection| detection.class == label).collect();
    assert_eq!(red.len(), 1);
    assert!(
        red[0].bbox.x1 <= 128.0 && (red[0].confidence - 1.0).abs() < 1e-3,
        "{red:?}"
    );
}

#[test]
fn the_session_runs_alone_on_a_tensor_cut_before() {
    let golden = golden();
    let mut detector = Detector::load(&onnx("yolox"), &settings()).unwrap();
    let geometry = detector.prepare(&picture(&golden).picture());
    assert_eq!((geometry.width, geometry.height), (64, 32));
    detector.infer_raw().unwrap();
}
