//! Bare `.onnx` files: the contract recognised by the names and shapes of inputs and outputs.

use std::path::PathBuf;

use super::PerceptionError;
use super::manifest::{
    ChannelOrder, Classes, DecodeFamily, DecodeSpec, FocalAxis, InputSpec, Layout, Manifest, Outputs, Padding,
    ScaleRule, ScaleSpec, SizeRule, SkySign, Task, Tiling, ValueRange, default_providers,
};
use super::session::{OnnxSession, TensorInfo, describe};

/// Mean colour of ImageNet, 0 to 1.
const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Standard deviation of ImageNet's colours, 0 to 1.
const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];
/// The same mean in bytes, as Metric3D writes it.
const IMAGENET_MEAN_BYTES: [f32; 3] = [123.675, 116.28, 103.53];
/// The same standard deviation in bytes.
const IMAGENET_STD_BYTES: [f32; 3] = [58.395, 57.12, 57.375];

/// The manifest of a known contract, from the model's inputs and outputs.
///
/// # Errors
/// [`PerceptionError::UnknownContract`] lists what the model has.
pub(super) fn recognise(session: &OnnxSession) -> Result<Manifest, PerceptionError> {
    let seen = Seen {
        inputs: session.inputs(),
        outputs: session.outputs(),
    };
    let manifest = detr(&seen)
        .or_else(|| nanodet(&seen))
        .or_else(|| depth(&seen))
        .or_else(|| reid(&seen))
        .or_else(|| single_output_detector(&seen));
    let Some(mut manifest) = manifest else {
        return Err(PerceptionError::UnknownContract {
            path: session.path().to_owned(),
            inputs: describe(session.inputs()),
            outputs: describe(session.outputs()),
        });
    };
    if manifest.task == Task::Detector
        && let Some(names) = session.metadata("names").as_deref().and_then(class_names)
    {
        manifest.classes = Some(Classes::List(names));
    }
    manifest.file = session.path().to_owned();
    Ok(manifest)
}

struct Seen<'a> {
    inputs: &'a [TensorInfo],
    outputs: &'a [TensorInfo],
}

impl Seen<'_> {
    fn input(&self, name: &str) -> Option<&TensorInfo> {
        self.inputs.iter().find(|input| input.name == name)
    }

    fn output(&self, name: &str) -> Option<&TensorInfo> {
        self.outputs.iter().find(|output| output.name == name)
    }
}

/// The size of an NCHW picture input; `default` where it is dynamic.
fn size_rule(input: &TensorInfo, default: [u32; 2]) -> Option<SizeRule> {
    let &[_, channels, height, width] = input.dims.as_slice() else {
        return None;
    };
    if channels != 3 && channels != -1 {
        return None;
    }
    Some(if height > 0 && width > 0 {
        SizeRule::Model
    } else {
        SizeRule::Fixed(default)
    })
}

fn rgb_input(name: &str, size: SizeRule, padding: Padding) -> InputSpec {
    InputSpec {
        name: name.to_owned(),
        layout: Layout::Nchw,
        size,
        padding,
        pad: [114.0; 3],
        color: ChannelOrder::Rgb,
        range: ValueRange::Unit,
        mean: [0.0; 3],
        std: [1.0; 3],
    }
}

fn manifest(name: &str, task: Task, input: InputSpec) -> Manifest {
    Manifest {
        name: name.to_owned(),
        task,
        file: PathBuf::new(),
        sha256: None,
        url: None,
        licence: None,
        providers: default_providers(),
        input,
        outputs: Outputs::default(),
        decode: None,
        classes: None,
        tiling: Tiling::default(),
        scale: None,
    }
}

fn detector(name: &str, input: InputSpec, family: DecodeFamily, class_count: usize) -> Manifest {
    Manifest {
        decode: Some(DecodeSpec {
            family,
            strides: vec![8, 16, 32],
            size_input: None,
            nms_iou: 0.45,
        }),
        classes: Some(numbered_classes(class_count)),
        ..manifest(name, Task::Detector, input)
    }
}

/// COCO's names for 80 classes; numbers when a model does not say what its classes are.
fn numbered_classes(count: usize) -> Classes {
    if count == COCO_80.len() {
        return Classes::Named("coco80".to_owned());
    }
    Classes::List((0..count).map(|index| format!("class {index}")).collect())
}

fn detr(seen: &Seen<'_>) -> Option<Manifest> {
    let input = seen.input("images")?;
    seen.input("orig_target_sizes")?;
    for name in ["labels", "boxes", "scores"] {
        seen.output(name)?;
    }
    let size = size_rule(input, [640, 640])?;
    let mut found = detector(
        "RT-DETR / D-FINE",
        rgb_input("images", size, Padding::Stretch),
        DecodeFamily::Detr,
        COCO_80.len(),
    );
    if let Some(decode) = found.decode.as_mut() {
        decode.size_input = Some("orig_target_sizes".to_owned());
    }
    Some(found)
}

fn nanodet(seen: &Seen<'_>) -> Option<Manifest> {
    let named = |prefix: &str| -> Option<Vec<(u32, &TensorInfo)>> {
        let mut found: Vec<(u32, &TensorInfo)> = seen
            .outputs
            .iter()
            .filter_map(|output| Some((output.name.strip_prefix(prefix)?.parse().ok()?, output)))
            .collect();
        found.sort_by_key(|(stride, _)| *stride);
        (!found.is_empty()).then_some(found)
    };
    let classes = named("cls_pred_stride_")?;
    let distances = named("dis_pred_stride_")?;
    let strides: Vec<u32> = classes.iter().map(|(stride, _)| *stride).collect();
    if strides.contains(&0) || !distances.iter().map(|(stride, _)| stride).eq(&strides) {
        return None;
    }
    let input = seen.inputs.first()?;
    let class_count = usize::try_from(*classes.first()?.1.dims.last()?).ok()?;
    let names = |list: &[(u32, &TensorInfo)]| list.iter().map(|(_, output)| output.name.clone()).collect();
    let spec = InputSpec {
        pad: [0.0; 3],
        color: ChannelOrder::Bgr,
        range: ValueRange::Byte,
        mean: IMAGENET_MEAN_BYTES,
        std: IMAGENET_STD_BYTES,
        ..rgb_input(&input.name, size_rule(input, [416, 416])?, Padding::Centre)
    };
    let mut found = detector("NanoDet", spec, DecodeFamily::Nanodet, class_count);
    found.outputs.class_scores = names(&classes);
    found.outputs.distances = names(&distances);
    if let Some(decode) = found.decode.as_mut() {
        decode.strides = strides;
    }
    Some(found)
}

/// YOLOX, YOLOv8/11 and end-to-end YOLO differ by the shape of their one output.
fn single_output_detector(seen: &Seen<'_>) -> Option<Manifest> {
    let ([input], [output]) = (seen.inputs, seen.outputs) else {
        return None;
    };
    let &[_, rows, columns] = output.dims.as_slice() else {
        return None;
    };
    let size = |default| size_rule(input, default);
    let cells = |sides: &[i64]| -> Option<i64> {
        let (height, width) = (*sides.get(2)?, *sides.get(3)?);
        (height > 0 && width > 0).then(|| [8, 16, 32].iter().map(|s| (height / s) * (width / s)).sum())
    };
    let cells = cells(&input.dims);
    let fits = |count: i64| count == -1 || cells.is_none_or(|cells| cells == count);
    let (family, name, spec, class_count) = if columns == 6 && (1..=1000).contains(&rows) && cells != Some(rows) {
        let spec = rgb_input(&input.name, size([640, 640])?, Padding::Centre);
        (DecodeFamily::EndToEnd, "end-to-end YOLO", spec, COCO_80.len())
    } else if columns > 5 && output.name == "output" {
        let spec = InputSpec {
            color: ChannelOrder::Bgr,
            range: ValueRange::Byte,
            ..rgb_input(&input.name, size([640, 640])?, Padding::TopLeft)
        };
        (DecodeFamily::Yolox, "YOLOX", spec, usize::try_from(columns - 5).ok()?)
    } else if rows > 4 && fits(columns) && (columns == -1 || rows < columns) && output.name == "output0" {
        let spec = rgb_input(&input.name, size([640, 640])?, Padding::Centre);
        (
            DecodeFamily::Yolov8,
            "YOLOv8 / YOLO11",
            spec,
            usize::try_from(rows - 4).ok()?,
        )
    } else {
        return None;
    };
    let mut found = detector(name, spec, family, class_count);
    found.outputs.predictions = Some(output.name.clone());
    Some(found)
}

fn depth(seen: &Seen<'_>) -> Option<Manifest> {
    let imagenet = |name: &str, size: SizeRule, padding: Padding| InputSpec {
        mean: IMAGENET_MEAN,
        std: IMAGENET_STD,
        pad: IMAGENET_MEAN_BYTES,
        ..rgb_input(name, size, padding)
    };
    let metres = ScaleSpec {
        rule: ScaleRule::Metres,
        focal_px: None,
        focal_axis: FocalAxis::X,
        s: None,
        a: None,
        b: None,
        min_m: 0.0,
        max_m: 300.0,
        relative_sigma: 0.1,
        intrinsics_input: None,
        sky: SkySign::Auto,
        sky_threshold: 0.3,
    };
    let focal = |focal_px: f64| ScaleSpec {
        rule: ScaleRule::FocalRatio,
        focal_px: Some(focal_px),
        ..metres.clone()
    };
    let (name, spec, output, scale) = if let (Some(input), Some(output)) =
        (seen.input("pixel_values"), seen.output("predicted_depth"))
        && seen.output("predicted_normal").is_some()
    {
        let dynamic = input.dims.get(2..4).is_some_and(|sides| sides.contains(&-1));
        let size = if dynamic {
            SizeRule::Fixed([1064, 616])
        } else {
            SizeRule::Model
        };
        let spec = InputSpec {
            range: ValueRange::Byte,
            mean: IMAGENET_MEAN_BYTES,
            std: IMAGENET_STD_BYTES,
            pad: IMAGENET_MEAN_BYTES,
            ..rgb_input("pixel_values", size, Padding::Centre)
        };
        ("Metric3D v2 (normalised outside)", spec, output, focal(1000.0))
    } else if let (Some(input), Some(output)) = (seen.input("image"), seen.output("pred_depth")) {
        let spec = InputSpec {
            range: ValueRange::Byte,
            pad: IMAGENET_MEAN_BYTES,
            ..rgb_input("image", size_rule(input, [1064, 616])?, Padding::Centre)
        };
        ("Metric3D v2", spec, output, focal(1000.0))
    } else if let (Some(input), Some(camera), Some(output), Some(_)) = (
        seen.input("image"),
        seen.input("K"),
        seen.output("depth"),
        seen.output("sky"),
    ) {
        let scale = ScaleSpec {
            intrinsics_input: Some(camera.name.clone()),
            sky: SkySign::High,
            sky_threshold: 0.5,
            ..metres.clone()
        };
        let spec = rgb_input("image", size_rule(input, [320, 192])?, Padding::Stretch);
        ("Kinestream depth", spec, output, scale)
    } else if let (Some(output), Some(_)) = (seen.output("depth"), seen.output("sky")) {
        let input = seen.inputs.first()?;
        let spec = imagenet(&input.name, size_rule(input, [504, 280])?, Padding::Stretch);
        let scale = ScaleSpec {
            focal_axis: FocalAxis::Mean,
            ..focal(300.0)
        };
        ("Depth Anything 3 metric", spec, output, scale)
    } else if let (Some(input), Some(output), Some(_)) =
        (seen.input("image"), seen.output("depth"), seen.output("out_K"))
    {
        let spec = imagenet("image", size_rule(input, [616, 462])?, Padding::Centre);
        let scale = ScaleSpec {
            intrinsics_input: seen.input("K").map(|input| input.name.clone()),
            ..metres.clone()
        };
        ("UniDepth v2", spec, output, scale)
    } else if let ([input], [output]) = (seen.inputs, seen.outputs)
        && input.name == "image"
        && output.name == "depth"
        && input.dims.get(2..4) == Some(&[518, 518])
    {
        let spec = imagenet("image", SizeRule::Model, Padding::Stretch);
        let scale = ScaleSpec {
            max_m: 80.0,
            relative_sigma: 0.15,
            ..metres.clone()
        };
        ("Depth Anything V2 metric", spec, output, scale)
    } else {
        return None;
    };
    let mut found = manifest(name, Task::Depth, spec);
    found.outputs.depth = Some(output.name.clone());
    found.outputs.sky = seen.output("sky").map(|sky| sky.name.clone());
    found.scale = Some(scale);
    Some(found)
}

/// A person ReID model sees upright pictures of 256×128 and answers with one vector.
fn reid(seen: &Seen<'_>) -> Option<Manifest> {
    let ([input], [output]) = (seen.inputs, seen.outputs) else {
        return None;
    };
    if input.dims.get(1..4) != Some(&[3, 256, 128]) || output.dims.len() != 2 {
        return None;
    }
    let spec = InputSpec {
        mean: IMAGENET_MEAN,
        std: IMAGENET_STD,
        ..rgb_input(&input.name, SizeRule::Model, Padding::Stretch)
    };
    let mut found = manifest("ReID", Task::Reid, spec);
    found.outputs.embedding = Some(output.name.clone());
    Some(found)
}

/// Class names as Ultralytics exports carry them: `{0: 'person', 1: "traffic light"}`, indices in order from 0.
fn class_names(text: &str) -> Option<Vec<String>> {
    let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    let mut names = Vec::new();
    while !rest.is_empty() {
        let (index, after) = rest.split_once(':')?;
        if index.trim().parse() != Ok(names.len()) {
            return None;
        }
        let after = after.trim_start();
        let quote = after.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
        let (name, after) = after.get(1..)?.split_once(quote)?;
        names.push(name.to_owned());
        rest = after.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    (!names.is_empty()).then_some(names)
}

/// The 80 classes of COCO detection, in the order of its detectors.
pub(super) const COCO_80: [&str; 80] = [
    "person",
    "bicycle",
    "car",
    "motorcycle",
    "airplane",
    "bus",
    "train",
    "truck",
    "boat",
    "traffic light",
    "fire hydrant",
    "stop sign",
    "parking meter",
    "bench",
    "bird",
    "cat",
    "dog",
    "horse",
    "sheep",
    "cow",
    "elephant",
    "bear",
    "zebra",
    "giraffe",
    "backpack",
    "umbrella",
    "handbag",
    "tie",
    "suitcase",
    "frisbee",
    "skis",
    "snowboard",
    "sports ball",
    "kite",
    "baseball bat",
    "baseball glove",
    "skateboard",
    "surfboard",
    "tennis racket",
    "bottle",
    "wine glass",
    "cup",
    "fork",
    "knife",
    "spoon",
    "bowl",
    "banana",
    "apple",
    "sandwich",
    "orange",
    "broccoli",
    "carrot",
    "hot dog",
    "pizza",
    "donut",
    "cake",
    "chair",
    "couch",
    "potted plant",
    "bed",
    "dining table",
    "toilet",
    "tv",
    "laptop",
    "mouse",
    "remote",
    "keyboard",
    "cell phone",
    "microwave",
    "oven",
    "toaster",
    "sink",
    "refrigerator",
    "book",
    "clock",
    "vase",
    "scissors",
    "teddy bear",
    "hair drier",
    "toothbrush",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_names_of_ultralytics_metadata() {
        let names = class_names("{0: 'person', 1: \"driver's seat\", 2: 'car'}");
        assert_eq!(
            names.as_deref().map(|names| names.join("|")).as_deref(),
            Some("person|driver's seat|car")
        );
        for text in ["", "{}", "{1: 'person'}", "{0: person}", "{0: 'a', 2: 'b'}", "{0: 'é"] {
            assert_eq!(class_names(text), None, "{text}");
        }
    }
}
