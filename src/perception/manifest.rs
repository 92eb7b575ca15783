//! The model manifest: a TOML file that says all that running a model's weights needs.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::PerceptionError;
use super::contract::COCO_80;
use crate::settings::{self, SettingsError};

/// What a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Finds objects.
    Detector,
    /// Measures metric depth.
    Depth,
    /// Describes the looks of an object, to recognise it.
    Reid,
}

/// Order of the input tensor's axes after the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// Channels, rows, columns.
    #[default]
    Nchw,
    /// Rows, columns, channels.
    Nhwc,
}

/// How the size of the input tensor is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "expected [width, height] or { multiple_of = …, long_side = … }"
)]
pub enum SizeRule {
    /// As the model's fixed input shape says.
    #[default]
    #[serde(skip_deserializing)]
    Model,
    /// This width and height, pixels.
    Fixed([u32; 2]),
    /// The picture's proportions, scaled so that the long side comes nearest to `long_side`, both sides rounded to
    /// multiples. For models with a dynamic input.
    MultipleOf {
        /// Both sides are multiples of this.
        multiple_of: u32,
        /// Length of the long side, pixels.
        long_side: u32,
    },
}

/// How a picture of other proportions is laid into the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Padding {
    /// Proportions kept, the picture in the top-left corner.
    TopLeft,
    /// Proportions kept, the picture in the centre.
    Centre,
    /// Stretched to the whole input.
    Stretch,
}

/// Order of the colour channels in the tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelOrder {
    /// Red first.
    #[default]
    Rgb,
    /// Blue first.
    Bgr,
}

/// Values of black and white before `mean` and `std`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Deserialize)]
pub enum ValueRange {
    /// 0 to 1.
    #[default]
    #[serde(rename = "0-1")]
    Unit,
    /// 0 to 255.
    #[serde(rename = "0-255")]
    Byte,
}

/// The model's picture input.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Name of the input.
    pub name: String,
    /// Order of its axes.
    #[serde(default)]
    pub layout: Layout,
    /// Its size; as the model says when absent.
    #[serde(default)]
    pub size: SizeRule,
    /// How pictures of other proportions are laid into it.
    pub padding: Padding,
    /// Colour around the picture: red, green, blue, 0 to 255.
    #[serde(default = "grey_114")]
    pub pad: [f32; 3],
    /// Order of the colour channels.
    #[serde(default)]
    pub color: ChannelOrder,
    /// Range of the values.
    #[serde(default)]
    pub range: ValueRange,
    /// Subtracted: red, green, blue, in the units of `range`.
    #[serde(default)]
    pub mean: [f32; 3],
    /// Divided by: red, green, blue, in the units of `range`.
    #[serde(default = "ones")]
    pub std: [f32; 3],
}

fn grey_114() -> [f32; 3] {
    [114.0; 3]
}

fn ones() -> [f32; 3] {
    [1.0; 3]
}

/// Names of the model's outputs by what they hold; each decode family uses its own.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Outputs {
    /// Detections: YOLOX, YOLOv8/11, end-to-end.
    pub predictions: Option<String>,
    /// Class indices: RT-DETR, D-FINE.
    pub labels: Option<String>,
    /// Boxes: RT-DETR, D-FINE.
    pub boxes: Option<String>,
    /// Scores: RT-DETR, D-FINE.
    pub scores: Option<String>,
    /// Class scores, one output a stride: NanoDet.
    pub class_scores: Vec<String>,
    /// Edge distance distributions, one output a stride: NanoDet.
    pub distances: Vec<String>,
    /// Depth or disparity.
    pub depth: Option<String>,
    /// Sky of a depth model.
    pub sky: Option<String>,
    /// Embedding of a ReID model.
    pub embedding: Option<String>,
}

/// How a detector's outputs become boxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecodeFamily {
    /// Grid offsets by stride, objectness × class (YOLOX, Ge et al. 2021).
    Yolox,
    /// Centre boxes and class scores without objectness (YOLOv8, YOLO11).
    Yolov8,
    /// Final boxes, no suppression needed (YOLOv10, YOLO26).
    EndToEnd,
    /// Labels, boxes, scores of a DETR (RT-DETR v2, D-FINE).
    Detr,
    /// Distributions over edge distances (NanoDet).
    Nanodet,
}

/// The decode family and its constants.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecodeSpec {
    /// How outputs become boxes.
    pub family: DecodeFamily,
    /// Grid strides in pixels: YOLOX and NanoDet.
    #[serde(default = "three_strides")]
    pub strides: Vec<u32>,
    /// Name of the input that takes the picture's size: RT-DETR, D-FINE.
    #[serde(default)]
    pub size_input: Option<String>,
    /// Boxes of one class that overlap more than this (intersection over union) are one object.
    #[serde(default = "default_iou")]
    pub nms_iou: f32,
}

fn three_strides() -> Vec<u32> {
    vec![8, 16, 32]
}

fn default_iou() -> f32 {
    0.45
}

/// How a depth model's output becomes metres.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScaleRule {
    /// The output is in metres.
    Metres,
    /// Metres = output × focal length in pixels of the network's input / `focal_px`.
    FocalRatio,
    /// Metres = s / (a + b · output), for a sigmoid disparity.
    SigmoidDisparity,
}

/// Which focal length a scale rule takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FocalAxis {
    /// The horizontal one.
    #[default]
    X,
    /// The mean of both.
    Mean,
}

/// Which cells of the sky output are sky.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SkySign {
    /// Found out from the first pictures: sky lies above what is not sky.
    #[default]
    Auto,
    /// Values at or above the threshold are sky.
    High,
    /// Values below the threshold are sky.
    Low,
}

/// A depth model's scale rule and its constants.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaleSpec {
    /// How the output becomes metres.
    pub rule: ScaleRule,
    /// Focal length that the output is scaled to, pixels: 1000 for Metric3D, 300 for Depth Anything 3.
    #[serde(default)]
    pub focal_px: Option<f64>,
    /// Which of the camera's focal lengths is meant.
    #[serde(default)]
    pub focal_axis: FocalAxis,
    /// Numerator of the sigmoid disparity, metres.
    #[serde(default)]
    pub s: Option<f64>,
    /// Disparity offset.
    #[serde(default)]
    pub a: Option<f64>,
    /// Disparity factor.
    #[serde(default)]
    pub b: Option<f64>,
    /// Depths are clamped to at least this, metres.
    #[serde(default)]
    pub min_m: f64,
    /// Depths are clamped to at most this, metres.
    #[serde(default = "default_max_m")]
    pub max_m: f64,
    /// Relative standard deviation of a depth.
    #[serde(default = "default_sigma")]
    pub relative_sigma: f32,
    /// Name of the input that takes the 3×3 intrinsics of the network's picture, where there is one.
    #[serde(default)]
    pub intrinsics_input: Option<String>,
    /// Which values of the sky output are sky.
    #[serde(default)]
    pub sky: SkySign,
    /// Threshold on the sky output.
    #[serde(default = "default_sky_threshold")]
    pub sky_threshold: f32,
}

fn default_max_m() -> f64 {
    300.0
}

fn default_sigma() -> f32 {
    0.1
}

fn default_sky_threshold() -> f32 {
    0.3
}

/// A detector's class names, in the order of the model.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "expected a list of names or \"coco80\"")]
pub enum Classes {
    /// A known set: `"coco80"`.
    Named(String),
    /// The names.
    List(Vec<String>),
}

impl Classes {
    /// The names; `None` for an unknown set.
    pub fn names(&self) -> Option<Vec<String>> {
        match self {
            Self::List(names) => Some(names.clone()),
            Self::Named(set) if set == "coco80" => Some(COCO_80.iter().map(|name| (*name).to_owned()).collect()),
            Self::Named(_) => None,
        }
    }
}

/// What runs a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    /// The processor.
    Cpu,
    /// CUDA.
    Cuda,
    /// TensorRT.
    Tensorrt,
}

/// Which part of a picture the detector sees at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TilingMode {
    /// The whole picture.
    #[default]
    None,
    /// Overlapping tiles, each seen at its own scale.
    Tiles,
    /// One part of it.
    Crop,
}

/// How wide pictures are cut for the detector.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tiling {
    /// Whole picture, tiles or crop.
    pub mode: TilingMode,
    /// Share of a tile that its neighbour sees too, 0 to 0.8.
    #[serde(default = "default_overlap")]
    pub overlap: f32,
    /// Tiles across; as many as keep a tile's proportions near the model's input when absent.
    #[serde(default)]
    pub columns: Option<u32>,
    /// Tiles down; likewise.
    #[serde(default)]
    pub rows: Option<u32>,
    /// Whether the whole picture is seen as well: finds what is larger than a tile.
    #[serde(default)]
    pub whole: bool,
    /// The part that is seen with mode `crop`: left, top, right, bottom as shares of the picture.
    #[serde(default = "everything")]
    pub crop: [f32; 4],
}

fn default_overlap() -> f32 {
    0.2
}

fn everything() -> [f32; 4] {
    [0.0, 0.0, 1.0, 1.0]
}

impl Default for Tiling {
    fn default() -> Self {
        Self {
            mode: TilingMode::None,
            overlap: default_overlap(),
            columns: None,
            rows: None,
            whole: false,
            crop: everything(),
        }
    }
}

/// A model: its weights, and everything that running them needs.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name of the model in logs and status.
    pub name: String,
    /// What it is for.
    pub task: Task,
    /// The weights; relative to the manifest's folder.
    pub file: PathBuf,
    /// Hash of the weights, hexadecimal; not checked when absent.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Where the weights come from.
    #[serde(default)]
    pub url: Option<String>,
    /// Licence of the weights.
    #[serde(default)]
    pub licence: Option<String>,
    /// Which execution providers to try, in order, when the device is `auto`.
    #[serde(default = "default_providers")]
    pub providers: Vec<Provider>,
    /// The picture input.
    pub input: InputSpec,
    /// Names of the outputs.
    #[serde(default)]
    pub outputs: Outputs,
    /// Detectors: how outputs become boxes.
    #[serde(default)]
    pub decode: Option<DecodeSpec>,
    /// Detectors: names of the classes.
    #[serde(default)]
    pub classes: Option<Classes>,
    /// Detectors: how wide pictures are cut.
    #[serde(default)]
    pub tiling: Tiling,
    /// Depth: how the output becomes metres.
    #[serde(default)]
    pub scale: Option<ScaleSpec>,
}

pub(super) fn default_providers() -> Vec<Provider> {
    vec![Provider::Cuda, Provider::Cpu]
}

impl Manifest {
    /// Reads and checks a manifest; `file` becomes relative to the working directory.
    ///
    /// # Errors
    /// Unknown keys with line and nearest key, missing sections, values out of range.
    pub fn load(path: &Path) -> Result<Self, PerceptionError> {
        let mut manifest: Self = settings::load(path)?;
        manifest.check(path)?;
        if let Some(folder) = path.parent() {
            manifest.file = folder.join(&manifest.file);
        }
        Ok(manifest)
    }

    /// Checks what the types cannot say; `path` names the manifest in errors.
    pub fn check(&self, path: &Path) -> Result<(), SettingsError> {
        let invalid = |message: String| {
            Err(SettingsError::Invalid {
                path: path.to_owned(),
                message,
            })
        };
        let input = &self.input;
        if let Some(value) = input.std.iter().find(|std| !std.is_finite() || **std <= 0.0) {
            return invalid(format!("input.std: expected values above 0, found {value}"));
        }
        if let Some(value) = input.mean.iter().find(|mean| !mean.is_finite()) {
            return invalid(format!("input.mean: expected finite values, found {value}"));
        }
        if let Some(value) = input.pad.iter().find(|pad| !(0.0..=255.0).contains(*pad)) {
            return invalid(format!("input.pad: expected values from 0 to 255, found {value}"));
        }
        match input.size {
            SizeRule::Fixed(sides) if sides.iter().any(|side| !(1..=MAX_SIDE).contains(side)) => {
                return invalid(format!(
                    "input.size: expected sides from 1 to {MAX_SIDE}, found {sides:?}"
                ));
            }
            SizeRule::MultipleOf { multiple_of, long_side }
                if multiple_of == 0 || !(multiple_of..=MAX_SIDE).contains(&long_side) =>
            {
                return invalid(format!(
                    "input.size: expected 1 ≤ multiple_of ≤ long_side ≤ {MAX_SIDE}, found {multiple_of} and {long_side}"
                ));
            }
            _ => {}
        }
        if let Some(sha256) = &self.sha256
            && (sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()))
        {
            return invalid(format!("sha256: expected 64 hexadecimal digits, found `{sha256}`"));
        }
        match self.task {
            Task::Detector => self.check_detector(path),
            Task::Depth => self.check_depth(path),
            Task::Reid => Ok(()),
        }
    }

    fn check_detector(&self, path: &Path) -> Result<(), SettingsError> {
        let invalid = |message: String| {
            Err(SettingsError::Invalid {
                path: path.to_owned(),
                message,
            })
        };
        let Some(decode) = &self.decode else {
            return invalid("decode: expected a section with `family` for task detector, found none".into());
        };
        if !(0.0..=1.0).contains(&decode.nms_iou) {
            return invalid(format!("decode.nms_iou: expected 0 to 1, found {}", decode.nms_iou));
        }
        if decode.strides.is_empty() || decode.strides.contains(&0) {
            return invalid(format!(
                "decode.strides: expected pixels above 0, found {:?}",
                decode.strides
            ));
        }
        match &self.classes {
            None => return invalid("classes: expected a list of names or \"coco80\", found none".into()),
            Some(Classes::Named(set)) if self.classes.as_ref().and_then(Classes::names).is_none() => {
                return invalid(format!(
                    "classes: expected a list of names or \"coco80\", found \"{set}\""
                ));
            }
            Some(Classes::List(names)) if names.is_empty() => {
                return invalid("classes: expected at least one name, found none".into());
            }
            _ => {}
        }
        let tiling = &self.tiling;
        if !(0.0..=0.8).contains(&tiling.overlap) {
            return invalid(format!("tiling.overlap: expected 0 to 0.8, found {}", tiling.overlap));
        }
        for (key, count) in [("columns", tiling.columns), ("rows", tiling.rows)] {
            if count.is_some_and(|count| !(1..=16).contains(&count)) {
                return invalid(format!(
                    "tiling.{key}: expected 1 to 16, found {}",
                    count.unwrap_or_default()
                ));
            }
        }
        let [left, top, right, bottom] = tiling.crop;
        let inside = tiling.crop.iter().all(|edge| (0.0..=1.0).contains(edge));
        if !(inside && left < right && top < bottom) {
            return invalid(format!(
                "tiling.crop: expected left < right and top < bottom from 0 to 1, found {:?}",
                tiling.crop
            ));
        }
        Ok(())
    }

    fn check_depth(&self, path: &Path) -> Result<(), SettingsError> {
        let invalid = |message: String| {
            Err(SettingsError::Invalid {
                path: path.to_owned(),
                message,
            })
        };
        let Some(scale) = &self.scale else {
            return invalid("scale: expected a section with `rule` for task depth, found none".into());
        };
        let positive = |value: Option<f64>| value.is_some_and(|value| value.is_finite() && value > 0.0);
        match scale.rule {
            ScaleRule::Metres => {}
            ScaleRule::FocalRatio if !positive(scale.focal_px) => {
                return invalid(format!(
                    "scale.focal_px: expected pixels above 0 for rule focal-ratio, found {:?}",
                    scale.focal_px
                ));
            }
            ScaleRule::SigmoidDisparity if !positive(scale.s) || scale.a.is_none() || !positive(scale.b) => {
                return invalid(format!(
                    "scale: expected s > 0, a and b > 0 for rule sigmoid-disparity, found s {:?}, a {:?}, b {:?}",
                    scale.s, scale.a, scale.b
                ));
            }
            ScaleRule::FocalRatio | ScaleRule::SigmoidDisparity => {}
        }
        if !(scale.min_m >= 0.0 && scale.min_m < scale.max_m && scale.max_m.is_finite()) {
            return invalid(format!(
                "scale: expected 0 ≤ min_m < max_m, found {} and {}",
                scale.min_m, scale.max_m
            ));
        }
        if !(scale.relative_sigma > 0.0 && scale.relative_sigma.is_finite()) {
            return invalid(format!(
                "scale.relative_sigma: expected a value above 0, found {}",
                scale.relative_sigma
            ));
        }
        Ok(())
    }
}

/// Longest side of a network's input, pixels.
pub(super) const MAX_SIDE: u32 = 8192;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const YOLOX: &str = r#"
        name = "test"
        task = "detector"
        file = "test.onnx"
        classes = "coco80"
        [input]
        name = "images"
        size = [416, 416]
        padding = "top-left"
        color = "bgr"
        range = "0-255"
        [decode]
        family = "yolox"
    "#;

    fn parse(text: &str) -> Result<Manifest, SettingsError> {
        let path = Path::new("model.toml");
        let manifest: Manifest = settings::parse(text, path)?;
        manifest.check(path)?;
        Ok(manifest)
    }

    #[test]
    fn a_short_manifest_has_sensible_defaults() {
        let manifest = parse(YOLOX).unwrap();
        assert_eq!(manifest.input.size, SizeRule::Fixed([416, 416]));
        assert_eq!(manifest.input.pad, [114.0; 3]);
        assert_eq!(manifest.decode.unwrap().strides, [8, 16, 32]);
        assert_eq!(manifest.classes.unwrap().names().unwrap().len(), 80);
        assert_eq!(manifest.tiling, Tiling::default());
    }

    #[test]
    fn a_typo_names_the_nearest_key() {
        let message = parse(&YOLOX.replace("padding", "paddding")).unwrap_err().to_string();
        assert!(message.ends_with("did you mean `padding`?"), "{message}");
    }

    #[test]
    fn values_out_of_range_say_what_was_expected() {
        for (from, to, expected) in [
            ("[416, 416]", "[0, 416]", "input.size"),
            ("[416, 416]", "{ multiple_of = 0, long_side = 9 }", "multiple_of"),
            ("family = \"yolox\"", "family = \"yolox\"\nnms_iou = 1.5", "found 1.5"),
            ("\"coco80\"", "\"coco\"", "found \"coco\""),
            ("\"coco80\"", "[]", "at least one name"),
            ("\"0-255\"", "\"0-255\"\nstd = [1, 0, 1]", "input.std"),
            ("\"test.onnx\"", "\"test.onnx\"\nsha256 = \"12\"", "64 hexadecimal"),
        ] {
            let message = parse(&YOLOX.replace(from, to)).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        let depth = "name='d'\ntask='depth'\nfile='d.onnx'\n[input]\nname='i'\npadding='centre'\n";
        assert!(parse(depth).unwrap_err().to_string().contains("scale"));
        let ratio = format!("{depth}[scale]\nrule='focal-ratio'\n");
        assert!(parse(&ratio).unwrap_err().to_string().contains("focal_px"));
    }
}
