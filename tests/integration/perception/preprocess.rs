//! Pre-processing against tensors made by `tests/golden/make_preprocess.py`.

use half::f16;
use kinestream::frame::{Picture, PixelFormat, Plane, YuvColor};
use kinestream::perception::{
    ChannelOrder, InputSpec, Layout, Padding, Preprocessor, Region, SizeRule, TensorBuffer, ValueRange,
};
use serde_json::Value;

use super::support::fixture;

/// The formula of the golden's pictures.
fn sample(x: usize, y: usize, channel: usize, low: usize, span: usize) -> u8 {
    (low + (x * 3 + y * 2 + channel * 37 + (x * x * 7 + y * y * 5 + x * y) % 41) % span) as u8
}

/// Rows of `samples` bytes with some bytes of padding after each, as decoders leave them.
fn plane(width: usize, height: usize, samples: usize, value: impl Fn(usize, usize, usize) -> u8) -> (Vec<u8>, usize) {
    let stride = width * samples + 5;
    let mut data = vec![0xEE; stride * height];
    for y in 0..height {
        for x in 0..width {
            for channel in 0..samples {
                data[y * stride + x * samples + channel] = value(x, y, channel);
            }
        }
    }
    (data, stride)
}

fn planes(case: &Value) -> (PixelFormat, Vec<(Vec<u8>, usize)>) {
    let (width, height) = (number(&case["width"]), number(&case["height"]));
    let chroma = (width.div_ceil(2), height.div_ceil(2));
    let luma = |x: usize, y: usize, _: usize| sample(x, y, 0, 60, 120);
    let half = |channel: usize| move |x: usize, y: usize, extra: usize| sample(x, y, channel + extra, 110, 36);
    let color = |x: usize, y: usize, channel: usize| {
        if channel == 3 {
            0xAA
        } else {
            sample(x, y, channel, 0, 256)
        }
    };
    match case["format"].as_str().unwrap() {
        "nv12" => (
            PixelFormat::Nv12,
            vec![plane(width, height, 1, luma), plane(chroma.0, chroma.1, 2, half(1))],
        ),
        "i420" => (
            PixelFormat::I420,
            vec![
                plane(width, height, 1, luma),
                plane(chroma.0, chroma.1, 1, half(1)),
                plane(chroma.0, chroma.1, 1, half(2)),
            ],
        ),
        "rgb" => (PixelFormat::Rgb, vec![plane(width, height, 3, color)]),
        "bgr" => (PixelFormat::Bgr, vec![plane(width, height, 3, color)]),
        "rgbx" => (PixelFormat::Rgbx, vec![plane(width, height, 4, color)]),
        "bgrx" => (PixelFormat::Bgrx, vec![plane(width, height, 4, color)]),
        "gray8" => (PixelFormat::Gray8, vec![plane(width, height, 1, color)]),
        other => panic!("unknown format {other}"),
    }
}

fn number(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

fn three(value: &Value) -> [f32; 3] {
    [0, 1, 2].map(|index| value[index].as_f64().unwrap() as f32)
}

fn spec(case: &Value) -> InputSpec {
    InputSpec {
        name: "images".into(),
        layout: if case["layout"] == "nhwc" {
            Layout::Nhwc
        } else {
            Layout::Nchw
        },
        size: SizeRule::Fixed([number(&case["input"][0]) as u32, number(&case["input"][1]) as u32]),
        padding: match case["padding"].as_str().unwrap() {
            "top-left" => Padding::TopLeft,
            "centre" => Padding::Centre,
            _ => Padding::Stretch,
        },
        pad: three(&case["pad"]),
        color: if case["color"] == "bgr" {
            ChannelOrder::Bgr
        } else {
            ChannelOrder::Rgb
        },
        range: if case["range"] == "0-1" {
            ValueRange::Unit
        } else {
            ValueRange::Byte
        },
        mean: three(&case["mean"]),
        std: three(&case["std"]),
    }
}

fn yuv_color(case: &Value) -> YuvColor {
    match (case["matrix"].as_str().unwrap(), case["full_range"].as_bool().unwrap()) {
        ("bt601", false) => YuvColor::Bt601Limited,
        ("bt601", true) => YuvColor::Bt601Full,
        (_, false) => YuvColor::Bt709Limited,
        (_, true) => YuvColor::Bt709Full,
    }
}

fn region(case: &Value) -> Region {
    let [x, y, width, height] = [0, 1, 2, 3].map(|index| number(&case["region"][index]) as u32);
    Region { x, y, width, height }
}

fn cases() -> Vec<Value> {
    serde_json::from_slice(&std::fs::read(fixture("preprocess.json")).unwrap()).unwrap()
}

#[test]
fn tensors_agree_with_numpy_to_a_level_of_255() {
    let blob = std::fs::read(fixture("preprocess.bin")).unwrap();
    let golden: Vec<f32> = blob
        .chunks_exact(2)
        .map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32())
        .collect();
    for case in cases() {
        let (format, planes) = planes(&case);
        let borrowed: Vec<Plane<'_>> = planes
            .iter()
            .map(|(data, stride)| Plane { data, stride: *stride })
            .collect();
        let (width, height) = (number(&case["width"]) as u32, number(&case["height"]) as u32);
        let picture = Picture::new(format, width, height, yuv_color(&case), &borrowed).unwrap();
        let spec = spec(&case);
        let unit = if spec.range == ValueRange::Unit {
            1.0 / 255.0
        } else {
            1.0
        };
        let level = unit / spec.std.iter().copied().fold(f32::INFINITY, f32::min);
        let expected = &golden[number(&case["offset"])..][..number(&case["len"])];
        let mut preprocessor = Preprocessor::new(spec, TensorBuffer::F32(Vec::new()));
        // The second time nothing is allocated or padded anew.
        for _ in 0..2 {
            preprocessor.fill(&picture, region(&case));
            let TensorBuffer::F32(found) = preprocessor.tensor() else {
                panic!()
            };
            assert_eq!(found.len(), expected.len(), "{case}");
            for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
                // Half a level for the golden's 16-bit floats and rounding; one is allowed.
                assert!(
                    (found - expected).abs() <= 0.5 * level,
                    "{case} at {index}: {found} {expected}"
                );
            }
        }
    }
}

#[test]
fn half_floats_and_bytes_hold_the_same_values() {
    let case = &cases()[0];
    let (format, planes) = planes(case);
    let borrowed: Vec<Plane<'_>> = planes
        .iter()
        .map(|(data, stride)| Plane { data, stride: *stride })
        .collect();
    let picture = Picture::new(format, 160, 90, yuv_color(case), &borrowed).unwrap();
    let mut tensors = [
        TensorBuffer::F32(Vec::new()),
        TensorBuffer::F16(Vec::new()),
        TensorBuffer::U8(Vec::new()),
    ]
    .map(|buffer| {
        let mut preprocessor = Preprocessor::new(spec(case), buffer);
        preprocessor.fill(&picture, region(case));
        match preprocessor.tensor() {
            TensorBuffer::F32(data) => data.clone(),
            TensorBuffer::F16(data) => data.iter().map(|value| value.to_f32()).collect(),
            TensorBuffer::U8(data) => data.iter().map(|value| f32::from(*value)).collect(),
        }
    })
    .into_iter();
    let full = tensors.next().unwrap();
    for other in tensors {
        for (a, b) in full.iter().zip(&other) {
            assert!((a - b).abs() <= 0.501, "{a} {b}");
        }
    }
}

/// A smaller region leaves no trace of a larger one that was there before.
#[test]
fn padding_is_renewed_when_the_geometry_changes() {
    let white = vec![255u8; 64 * 64 * 3];
    let picture = Picture::packed(PixelFormat::Rgb, 64, 64, &white).unwrap();
    let mut spec = spec(&cases()[0]);
    spec.pad = [0.0; 3];
    let mut preprocessor = Preprocessor::new(spec, TensorBuffer::F32(Vec::new()));
    preprocessor.fill(&picture, Region::whole(64, 64));
    let geometry = preprocessor.fill(
        &picture,
        Region {
            x: 0,
            y: 0,
            width: 64,
            height: 16,
        },
    );
    let TensorBuffer::F32(data) = preprocessor.tensor() else {
        panic!()
    };
    let sum: f32 = data.iter().sum();
    assert_eq!(sum, 255.0 * 3.0 * (geometry.width * geometry.height) as f32);
}

#[test]
fn sizes_follow_the_proportions_when_the_model_is_free() {
    let mut spec = spec(&cases()[0]);
    spec.size = SizeRule::MultipleOf {
        multiple_of: 14,
        long_side: 504,
    };
    let preprocessor = Preprocessor::new(spec, TensorBuffer::F32(Vec::new()));
    assert_eq!(preprocessor.input_size(Region::whole(1920, 1080)), (504, 280));
    assert_eq!(preprocessor.input_size(Region::whole(480, 640)), (378, 504));
    assert_eq!(preprocessor.input_size(Region::whole(4000, 1)), (504, 14));
}
