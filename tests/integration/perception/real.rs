//! YOLOX-nano on frames of real videos, against what numpy decodes from the same frames.

use kinestream::perception::{Detector, DetectorSettings};

use super::support::{Rgb, session};
use crate::support::real_data;

fn detector() -> Option<Detector> {
    let path = real_data("models/yolox_nano.onnx")?;
    let settings = DetectorSettings {
        session: session(),
        ..DetectorSettings::default()
    };
    Some(Detector::load(&path, &settings).unwrap())
}

#[test]
fn the_bare_file_is_recognised() {
    let Some(mut detector) = detector() else { return };
    assert_eq!(detector.manifest().name, "YOLOX");
    assert_eq!(detector.classes()[2].as_str(), "car");
    let grey = Rgb::plain(640, 360, [114; 3]);
    assert!(detector.detect(&grey.picture()).unwrap().is_empty());
}

#[cfg(feature = "gstreamer")]
mod video {
    use gst::prelude::*;
    use kinestream::detection::{BoundingBox, Detection};
    use kinestream::frame::{Picture, PixelFormat, Plane, YuvColor};
    use serde_json::Value;

    use super::super::support::fixture;
    use crate::support::real_data;

    /// Frame `index` of a video as tightly packed samples.
    fn frame(path: &std::path::Path, format: &str, index: usize) -> (gst_video::VideoInfo, Vec<u8>) {
        gst::init().unwrap();
        let launch = format!(
            "filesrc location={} ! decodebin ! videoconvert ! video/x-raw,format={format} ! appsink name=sink sync=false",
            path.display()
        );
        let pipeline = gst::parse::launch(&launch)
            .unwrap()
            .downcast::<gst::Pipeline>()
            .unwrap();
        let sink = pipeline
            .by_name("sink")
            .unwrap()
            .downcast::<gst_app::AppSink>()
            .unwrap();
        sink.set_max_buffers(4);
        pipeline.set_state(gst::State::Playing).unwrap();
        for _ in 0..index {
            sink.pull_sample().unwrap();
        }
        let sample = sink.pull_sample().unwrap();
        let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
        let data = sample.buffer().unwrap().map_readable().unwrap().to_vec();
        pipeline.set_state(gst::State::Null).unwrap();
        (info, data)
    }

    fn picture<'a>(info: &gst_video::VideoInfo, data: &'a [u8]) -> Picture<'a> {
        let format = match info.format() {
            gst_video::VideoFormat::Rgb => PixelFormat::Rgb,
            gst_video::VideoFormat::Nv12 => PixelFormat::Nv12,
            gst_video::VideoFormat::I420 => PixelFormat::I420,
            other => panic!("{other:?}"),
        };
        let color = match info.colorimetry().matrix() {
            gst_video::VideoColorMatrix::Bt601 => YuvColor::Bt601Limited,
            _ => YuvColor::Bt709Limited,
        };
        let planes: Vec<Plane<'a>> = (0..info.n_planes() as usize)
            .map(|plane| Plane {
                data: &data[info.offset()[plane]..],
                stride: info.stride()[plane] as usize,
            })
            .collect();
        Picture::new(format, info.width(), info.height(), color, &planes).unwrap()
    }

    fn golden() -> Vec<Value> {
        serde_json::from_slice(&std::fs::read(fixture("yolox_nano.json")).unwrap()).unwrap()
    }

    /// How each golden detection well above the threshold is found: overlap and difference of confidence.
    fn matches(golden: &Value, found: &[Detection], classes: &[kinestream::detection::ClassLabel]) -> Vec<(f32, f32)> {
        let sure = |expected: &&Value| expected["confidence"].as_f64().unwrap() > 0.3;
        let number = |value: &Value| value.as_f64().unwrap() as f32;
        let expected = golden["detections"].as_array().unwrap();
        expected
            .iter()
            .filter(sure)
            .map(|expected| {
                let edges = &expected["box"];
                let bbox = BoundingBox::new(
                    number(&edges[0]),
                    number(&edges[1]),
                    number(&edges[2]),
                    number(&edges[3]),
                );
                let class = classes[expected["class"].as_u64().unwrap() as usize];
                found
                    .iter()
                    .filter(|found| found.class == class)
                    .map(|found| {
                        (
                            found.bbox.iou(&bbox),
                            (found.confidence - number(&expected["confidence"])).abs(),
                        )
                    })
                    .max_by(|a, b| a.0.total_cmp(&b.0))
                    .unwrap_or_else(|| panic!("{expected} is not among {found:#?}"))
            })
            .collect()
    }

    #[test]
    fn frames_agree_with_numpy_in_every_format() {
        let Some(mut detector) = super::detector() else { return };
        let classes = detector.classes().to_vec();
        for golden in golden() {
            let Some(path) = real_data(golden["video"].as_str().unwrap()) else {
                return;
            };
            let index = golden["frame"].as_u64().unwrap() as usize;
            // The golden comes from RGB; the chroma of the other formats is sampled another way than videoconvert does.
            for (format, overlap, confidence) in [("RGB", 0.99, 0.005), ("I420", 0.9, 0.06), ("NV12", 0.9, 0.06)] {
                let (info, data) = frame(&path, format, index);
                let found = detector.detect(&picture(&info, &data)).unwrap();
                let matches = matches(&golden, &found, &classes);
                assert!(!matches.is_empty());
                for (iou, difference) in matches {
                    assert!(
                        iou > overlap && difference < confidence,
                        "{format} {index}: {iou} {difference}"
                    );
                }
            }
        }
    }
}
