//! Object detectors: a picture in, boxes with classes out.

mod decode;
mod grid;
mod nms;
mod tiles;

use std::path::Path;

use super::PerceptionError;
use super::device::Device;
use super::manifest::{Classes, DecodeFamily, DecodeSpec, Manifest, Task, Tiling};
use super::model::{Model, SessionSettings};
use super::preprocess::{Geometry, Preprocessor, Region};
use super::session::{Feed, RunOutputs};
use crate::detection::{ClassLabel, Detection};
use crate::frame::Picture;

use self::decode::{Candidate, Collector};
use self::grid::Grid;
use self::nms::Suppressor;
use self::tiles::Tile;

/// Most candidates above the confidence that suppression looks at, the most confident first. More are dropped and counted.
pub const MAX_CANDIDATES: usize = 3000;
/// Most detections in one picture, the most confident first. More are dropped and counted.
pub const MAX_DETECTIONS: usize = 300;

/// How a detector is used.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectorSettings {
    /// How its session runs.
    pub session: SessionSettings,
    /// Detections below this confidence, 0 to 1, are left out.
    pub confidence: f32,
    /// Names of the classes to report; all when empty.
    pub classes: Vec<String>,
    /// Instead of the manifest's `decode.nms_iou`.
    pub nms_iou: Option<f32>,
    /// Instead of the manifest's `tiling`.
    pub tiling: Option<Tiling>,
}

impl Default for DetectorSettings {
    fn default() -> Self {
        Self {
            session: SessionSettings::default(),
            confidence: 0.25,
            classes: Vec::new(),
            nms_iou: None,
            tiling: None,
        }
    }
}

/// What a detector has dropped so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct DetectorStats {
    /// Pictures seen.
    pub pictures: u64,
    /// Rows of the output that held NaN or infinity where a detection would have been.
    pub non_finite_rows: u64,
    /// Candidates beyond [`MAX_CANDIDATES`].
    pub dropped_candidates: u64,
    /// Detections beyond [`MAX_DETECTIONS`], before they were compared with each other.
    pub dropped_detections: u64,
}

/// An object detector with its session and buffers.
pub struct Detector {
    model: Model,
    decode: DecodeSpec,
    outputs: OutputNames,
    preprocessor: Preprocessor,
    classes: Vec<ClassLabel>,
    collector: Collector,
    suppressor: Suppressor,
    grid: Grid,
    tiling: Tiling,
    tiles: Vec<Tile>,
    candidates: Vec<Candidate>,
    nms_iou: f32,
    stats: DetectorStats,
}

/// Names of the outputs that the decode family reads.
enum OutputNames {
    Predictions(String),
    Detr {
        labels: String,
        boxes: String,
        scores: String,
    },
    Nanodet {
        class_scores: Vec<String>,
        distances: Vec<String>,
    },
}

impl Detector {
    /// Opens a detector (`.toml` manifest, `.onnx` of a known contract, or the word
    /// [`DEFAULT_MODEL`](super::DEFAULT_MODEL) for the built-in one), checks it, and runs it once.
    ///
    /// # Errors
    /// See [`Model::open`]; besides, an unknown class in the filter, and outputs of other shapes than the contract's.
    pub fn load(path: &Path, settings: &DetectorSettings) -> Result<Self, PerceptionError> {
        Self::from_model(Model::open_for(Task::Detector, path, &settings.session)?, settings)
    }

    /// From a model that is open already.
    pub fn from_model(model: Model, settings: &DetectorSettings) -> Result<Self, PerceptionError> {
        model.expect_task(Task::Detector)?;
        for (name, value) in [("confidence", Some(settings.confidence)), ("nms_iou", settings.nms_iou)] {
            if let Some(value) = value.filter(|value| !(0.0..=1.0).contains(value)) {
                return Err(PerceptionError::Setting {
                    name,
                    expected: "0 to 1",
                    found: value.to_string(),
                });
            }
        }
        let manifest = model.manifest();
        let Some(decode) = manifest.decode.clone() else {
            return Err(model.session.mismatch("manifest", "a section `decode`", "none"));
        };
        let names = manifest
            .classes
            .as_ref()
            .and_then(Classes::names)
            .filter(|names| !names.is_empty())
            .ok_or_else(|| model.session.mismatch("classes", "at least one name", "none"))?;
        let allowed = allowed_classes(model.path(), &names, &settings.classes)?;
        let outputs = output_names(&model, &decode)?;
        let tiling = settings.tiling.clone().unwrap_or_else(|| manifest.tiling.clone());
        let preprocessor = model.preprocessor()?;
        let mut detector = Self {
            nms_iou: settings.nms_iou.unwrap_or(decode.nms_iou),
            decode,
            outputs,
            preprocessor,
            classes: names.iter().map(|name| ClassLabel::new(name)).collect(),
            collector: Collector::new(settings.confidence, allowed),
            suppressor: Suppressor::default(),
            grid: Grid::default(),
            tiling,
            tiles: Vec::new(),
            candidates: Vec::new(),
            stats: DetectorStats::default(),
            model,
        };
        detector.warm_up()?;
        Ok(detector)
    }

    /// The manifest, as written or as recognised.
    pub fn manifest(&self) -> &Manifest {
        self.model.manifest()
    }

    /// Where the network runs.
    pub fn device(&self) -> Device {
        self.model.device()
    }

    /// Names of all classes that the model knows, in its order.
    pub fn classes(&self) -> &[ClassLabel] {
        &self.classes
    }

    /// What was dropped so far.
    pub fn stats(&self) -> DetectorStats {
        self.stats
    }

    /// Finds the objects of a picture, the most confident first; boxes are in its pixels and inside it.
    ///
    /// # Errors
    /// [`PerceptionError::Run`] when inference fails, [`PerceptionError::Contract`] when outputs change their shape.
    pub fn detect(&mut self, picture: &Picture<'_>) -> Result<Vec<Detection>, PerceptionError> {
        self.stats.pictures += 1;
        let (width, height) = (picture.width(), picture.height());
        let whole = Region::whole(width, height);
        let input = self.preprocessor.input_size(whole);
        tiles::cut(&self.tiling, whole, input, &mut self.tiles);
        self.candidates.clear();
        for index in 0..self.tiles.len() {
            let tile = self.tiles[index];
            let geometry = self.preprocessor.fill(picture, tile.region);
            self.infer(&geometry)?;
            for candidate in self.collector.found.drain(..) {
                self.candidates.push(Candidate {
                    bbox: geometry.to_picture(&candidate.bbox),
                    tile: index as u32,
                    ..candidate
                });
            }
        }
        self.stats.non_finite_rows += std::mem::take(&mut self.collector.non_finite_rows);
        Ok(self.finish(width as f32, height as f32))
    }

    /// Fills the input tensor from a picture without running the network: the first tile of it, when it is tiled.
    pub fn prepare(&mut self, picture: &Picture<'_>) -> Geometry {
        let whole = Region::whole(picture.width(), picture.height());
        let input = self.preprocessor.input_size(whole);
        tiles::cut(&self.tiling, whole, input, &mut self.tiles);
        let region = self.tiles.first().map_or(whole, |tile| tile.region);
        self.preprocessor.fill(picture, region)
    }

    /// Runs only the session on the input tensor as it is: what the network alone costs, for benchmarks.
    pub fn infer_raw(&mut self) -> Result<(), PerceptionError> {
        let dims = self.preprocessor.dims();
        run_session(&mut self.model, &self.decode, &self.preprocessor, &dims).map(drop)
    }

    /// Runs the network on the input tensor and collects its candidates, in pixels of the input.
    fn infer(&mut self, geometry: &Geometry) -> Result<(), PerceptionError> {
        let dims = self.preprocessor.dims();
        let outputs = run_session(&mut self.model, &self.decode, &self.preprocessor, &dims)?;
        self.grid
            .update(&self.decode.strides, geometry.input_width, geometry.input_height);
        self.collector.found.clear();
        let class_count = self.classes.len();
        match &self.outputs {
            OutputNames::Predictions(name) => {
                let output = outputs.get(name)?;
                let decoded = match self.decode.family {
                    DecodeFamily::Yolox => decode::yolox(&output, &self.grid, class_count, &mut self.collector),
                    DecodeFamily::Yolov8 => decode::yolov8(&output, class_count, &mut self.collector),
                    _ => decode::end_to_end(&output, class_count, &mut self.collector),
                };
                decoded.map_err(|shape| shape.named(outputs.path(), name))
            }
            OutputNames::Detr { labels, boxes, scores } => {
                let (labels_out, boxes_out) = (outputs.get(labels)?, outputs.get(boxes)?);
                let scores_out = outputs.get(scores)?;
                decode::detr(&labels_out, &boxes_out, &scores_out, class_count, &mut self.collector)
                    .map_err(|shape| shape.named(outputs.path(), boxes))
            }
            OutputNames::Nanodet {
                class_scores,
                distances,
            } => {
                for (index, (scores, distances)) in class_scores.iter().zip(distances).enumerate() {
                    let (scores_out, distances_out) = (outputs.get(scores)?, outputs.get(distances)?);
                    let Some(level) = self.grid.level(index) else { continue };
                    decode::nanodet(&scores_out, &distances_out, level, class_count, &mut self.collector)
                        .map_err(|shape| shape.named(outputs.path(), scores))?;
                }
                Ok(())
            }
        }
    }

    /// Suppression, merging across tiles, limits, class names.
    fn finish(&mut self, width: f32, height: f32) -> Vec<Detection> {
        self.candidates.retain_mut(|candidate| {
            candidate.bbox = candidate.bbox.clipped(width, height);
            candidate.bbox.is_valid()
        });
        self.stats.dropped_candidates += nms::keep_best(&mut self.candidates, MAX_CANDIDATES) as u64;
        let final_boxes = matches!(self.decode.family, DecodeFamily::EndToEnd | DecodeFamily::Detr);
        let tiled = self.tiles.len() > 1;
        if !final_boxes || tiled {
            // Boxes that one tile's network calls final are left alone among themselves.
            let same_tile = !final_boxes;
            // Merging needs the parts; it is quadratic, so they are bounded too.
            let limit = if tiled { 4 * MAX_DETECTIONS } else { MAX_DETECTIONS };
            self.stats.dropped_detections +=
                self.suppressor
                    .suppress(&mut self.candidates, self.nms_iou, same_tile, limit) as u64;
        }
        if tiled {
            tiles::merge(&mut self.candidates, &self.tiles);
        }
        if self.candidates.len() > MAX_DETECTIONS {
            self.stats.dropped_detections += (self.candidates.len() - MAX_DETECTIONS) as u64;
            self.candidates.truncate(MAX_DETECTIONS);
        }
        let classes = &self.classes;
        self.candidates
            .iter()
            .filter_map(|candidate| {
                Some(Detection {
                    bbox: candidate.bbox,
                    class: *classes.get(candidate.class as usize)?,
                    confidence: candidate.score,
                    mask: None,
                })
            })
            .collect()
    }

    /// Runs the network once on padding: allocates its memory, and shows outputs of wrong shape before the first picture.
    fn warm_up(&mut self) -> Result<(), PerceptionError> {
        let (width, height) = self.preprocessor.input_size(Region::whole(1280, 720));
        let pixels = vec![114u8; width as usize * height as usize];
        let picture = Picture::packed(crate::frame::PixelFormat::Gray8, width, height, &pixels).map_err(|error| {
            self.model
                .session
                .mismatch("input size", "a picture", error.to_string())
        })?;
        let geometry = self.preprocessor.fill(&picture, Region::whole(width, height));
        self.infer(&geometry)?;
        self.collector.clear();
        Ok(())
    }
}

fn run_session<'s>(
    model: &'s mut Model,
    decode: &DecodeSpec,
    preprocessor: &Preprocessor,
    dims: &[i64; 4],
) -> Result<RunOutputs<'s>, PerceptionError> {
    let (width, height) = match model.manifest.input.layout {
        super::manifest::Layout::Nchw => (dims[3], dims[2]),
        super::manifest::Layout::Nhwc => (dims[2], dims[1]),
    };
    let name = model.manifest.input.name.as_str();
    let picture = (name, dims.as_slice(), Feed::Tensor(preprocessor.tensor()));
    match &decode.size_input {
        // The network scales its boxes to the size it is told: the input's, so that all families share one way back.
        Some(size_input) => {
            let size = [width, height];
            model.session.run(&[picture, (size_input, &[1, 2], Feed::I64(&size))])
        }
        None => model.session.run(&[picture]),
    }
}

fn output_names(model: &Model, decode: &DecodeSpec) -> Result<OutputNames, PerceptionError> {
    let given = &model.manifest.outputs;
    Ok(match decode.family {
        DecodeFamily::Yolox => OutputNames::Predictions(model.output_name(given.predictions.as_ref(), "output")?),
        DecodeFamily::Yolov8 | DecodeFamily::EndToEnd => {
            OutputNames::Predictions(model.output_name(given.predictions.as_ref(), "output0")?)
        }
        DecodeFamily::Detr => OutputNames::Detr {
            labels: model.output_name(given.labels.as_ref(), "labels")?,
            boxes: model.output_name(given.boxes.as_ref(), "boxes")?,
            scores: model.output_name(given.scores.as_ref(), "scores")?,
        },
        DecodeFamily::Nanodet => {
            let named = |given: &[String], prefix: &str| -> Result<Vec<String>, PerceptionError> {
                if given.is_empty() {
                    let names = decode.strides.iter().map(|stride| format!("{prefix}{stride}"));
                    return names.map(|name| model.output_name(None, &name)).collect();
                }
                if given.len() != decode.strides.len() {
                    return Err(model.session.mismatch(
                        "outputs",
                        format!("one output for each of the strides {:?}", decode.strides),
                        given.join(", "),
                    ));
                }
                given.iter().map(|name| model.output_name(Some(name), name)).collect()
            };
            OutputNames::Nanodet {
                class_scores: named(&given.class_scores, "cls_pred_stride_")?,
                distances: named(&given.distances, "dis_pred_stride_")?,
            }
        }
    })
}

/// For each class of the model whether it is reported.
fn allowed_classes(path: &Path, names: &[String], filter: &[String]) -> Result<Vec<bool>, PerceptionError> {
    if filter.is_empty() {
        return Ok(vec![true; names.len()]);
    }
    let mut allowed = vec![false; names.len()];
    for wanted in filter {
        let mut known = false;
        for (name, allowed) in names.iter().zip(&mut allowed) {
            if name.eq_ignore_ascii_case(wanted.trim()) {
                (*allowed, known) = (true, true);
            }
        }
        if !known {
            let hint = names
                .iter()
                .map(|name| (strsim::jaro_winkler(name, wanted), name))
                .filter(|(score, _)| *score > 0.7)
                .max_by(|a, b| a.0.total_cmp(&b.0))
                .map(|(_, name)| name.clone());
            return Err(PerceptionError::Class {
                path: path.to_owned(),
                found: wanted.clone(),
                hint,
                known: names.join(", "),
            });
        }
    }
    Ok(allowed)
}
