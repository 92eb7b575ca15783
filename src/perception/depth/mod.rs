//! Metric depth networks: a picture and its focal length in, metres along the optical axis out.

mod map;
mod sky;

use std::path::Path;

use super::PerceptionError;
use super::device::Device;
use super::manifest::{FocalAxis, Manifest, ScaleRule, ScaleSpec, Task};
use super::model::{Model, SessionSettings};
use super::preprocess::{Geometry, Preprocessor, Region};
use super::session::{Feed, Output, RunOutputs};
use crate::camera::Intrinsics;
use crate::frame::{Picture, PixelFormat};

pub use map::DepthMap;

use self::sky::SkyRule;

/// How a depth model is used.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DepthSettings {
    /// How its session runs.
    pub session: SessionSettings,
}

/// What a depth model could not use so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct DepthStats {
    /// Pictures seen.
    pub pictures: u64,
    /// Cells that held NaN or infinity; they are unknown in the map.
    pub non_finite_cells: u64,
}

/// A metric depth network with its session and buffers.
pub struct DepthModel {
    model: Model,
    scale: ScaleSpec,
    depth_output: String,
    sky_output: Option<String>,
    sky: SkyRule,
    preprocessor: Preprocessor,
    stats: DepthStats,
}

impl DepthModel {
    /// Opens a depth model (`.toml` manifest, `.onnx` of a known contract, or the word
    /// [`DEFAULT_MODEL`](super::DEFAULT_MODEL) for the built-in one), checks it, and runs it once.
    ///
    /// # Errors
    /// See [`Model::open`]; besides, outputs of other shapes than the contract's.
    pub fn load(path: &Path, settings: &DepthSettings) -> Result<Self, PerceptionError> {
        Self::from_model(Model::open_for(Task::Depth, path, &settings.session)?)
    }

    /// From a model that is open already.
    pub fn from_model(model: Model) -> Result<Self, PerceptionError> {
        model.expect_task(Task::Depth)?;
        let manifest = model.manifest();
        let Some(scale) = manifest.scale.clone() else {
            return Err(model.session.mismatch("manifest", "a section `scale`", "none"));
        };
        let depth_output = model.output_name(manifest.outputs.depth.as_ref(), "depth")?;
        let sky_output = manifest
            .outputs
            .sky
            .as_ref()
            .map(|name| model.output_name(Some(name), name))
            .transpose()?;
        let preprocessor = model.preprocessor()?;
        let mut depth = Self {
            sky: SkyRule::new(scale.sky, scale.sky_threshold),
            scale,
            depth_output,
            sky_output,
            preprocessor,
            stats: DepthStats::default(),
            model,
        };
        depth.warm_up()?;
        Ok(depth)
    }

    /// The manifest, as written or as recognised.
    pub fn manifest(&self) -> &Manifest {
        self.model.manifest()
    }

    /// Where the network runs.
    pub fn device(&self) -> Device {
        self.model.device()
    }

    /// What could not be used so far.
    pub fn stats(&self) -> DepthStats {
        self.stats
    }

    /// Metric depth of a picture. The map covers the whole picture at the network's own resolution; cells that are sky, not
    /// positive or not finite are NaN. `intrinsics` may be for another size of the same picture.
    ///
    /// # Errors
    /// A focal length that is not positive; failed inference; outputs of another shape than the contract's.
    pub fn estimate(&mut self, picture: &Picture<'_>, intrinsics: &Intrinsics) -> Result<DepthMap, PerceptionError> {
        let (fx, fy) = (intrinsics.fx, intrinsics.fy);
        let known = fx.is_finite() && fy.is_finite() && fx > 0.0 && fy > 0.0;
        if !known || intrinsics.width == 0 || intrinsics.height == 0 {
            return Err(PerceptionError::Setting {
                name: "intrinsics",
                expected: "focal lengths and a picture size above 0",
                found: format!("fx {fx}, fy {fy} for {}×{}", intrinsics.width, intrinsics.height),
            });
        }
        self.stats.pictures += 1;
        let whole = Region::whole(picture.width(), picture.height());
        let geometry = self.preprocessor.fill(picture, whole);
        let camera = NetworkCamera::new(intrinsics, picture, &geometry);
        let dims = self.preprocessor.dims();
        let outputs = run_session(&mut self.model, &self.scale, &self.preprocessor, &dims, &camera)?;
        let output = outputs.get(&self.depth_output)?;
        let depth = Plane::new(&output, &self.depth_output, &outputs)?;
        let (columns, rows) = depth.content(&geometry);
        let to_metres = Metres::new(&self.scale, &camera);
        let mut non_finite = 0u64;
        let mut depth_m = Vec::with_capacity(columns.len() * rows.len());
        for &row in &rows {
            let line = &depth.data[row * depth.width..][..depth.width];
            for &column in &columns {
                let value = line[column];
                non_finite += u64::from(!value.is_finite());
                depth_m.push(to_metres.apply(value));
            }
        }
        if let Some(name) = &self.sky_output {
            let output = outputs.get(name)?;
            let sky = Plane::new(&output, name, &outputs)?;
            if (sky.width, sky.height) != (depth.width, depth.height) {
                return Err(sky.wrong_shape(format!("[…, {}, {}] like the depth", depth.height, depth.width)));
            }
            self.sky.mark(sky.data, sky.width, &columns, &rows, &mut depth_m);
        }
        self.stats.non_finite_cells += non_finite;
        Ok(DepthMap {
            width: columns.len() as u32,
            height: rows.len() as u32,
            depth_m,
            relative_sigma: self.scale.relative_sigma,
        })
    }

    /// Runs the network once on padding: allocates its memory, and shows outputs of wrong shape before the first picture.
    fn warm_up(&mut self) -> Result<(), PerceptionError> {
        let (width, height) = self.preprocessor.input_size(Region::whole(1280, 720));
        let pixels = vec![114u8; width as usize * height as usize];
        let picture = Picture::packed(PixelFormat::Gray8, width, height, &pixels).map_err(|error| {
            self.model
                .session
                .mismatch("input size", "a picture", error.to_string())
        })?;
        let focal = f64::from(width);
        let intrinsics = Intrinsics {
            fx: focal,
            fy: focal,
            cx: 0.5 * f64::from(width),
            cy: 0.5 * f64::from(height),
            width,
            height,
            distortion: crate::camera::Distortion::None,
        };
        self.estimate(&picture, &intrinsics)?;
        self.stats = DepthStats::default();
        self.sky = SkyRule::new(self.scale.sky, self.scale.sky_threshold);
        Ok(())
    }
}

/// The camera as the network sees it: intrinsics in pixels of its input.
struct NetworkCamera {
    fx: f64,
    fy: f64,
    cx: f64,
    cy: f64,
}

impl NetworkCamera {
    fn new(intrinsics: &Intrinsics, picture: &Picture<'_>, geometry: &Geometry) -> Self {
        let (sx, sy) = geometry.scale();
        let sx = sx * f64::from(picture.width()) / f64::from(intrinsics.width);
        let sy = sy * f64::from(picture.height()) / f64::from(intrinsics.height);
        // Pixel centres lie at whole numbers, so the edges of the picture at −0.5.
        Self {
            fx: intrinsics.fx * sx,
            fy: intrinsics.fy * sy,
            cx: (intrinsics.cx + 0.5) * sx - 0.5 + f64::from(geometry.left),
            cy: (intrinsics.cy + 0.5) * sy - 0.5 + f64::from(geometry.top),
        }
    }
}

fn run_session<'s>(
    model: &'s mut Model,
    scale: &ScaleSpec,
    preprocessor: &Preprocessor,
    dims: &[i64; 4],
    camera: &NetworkCamera,
) -> Result<RunOutputs<'s>, PerceptionError> {
    let name = model.manifest.input.name.as_str();
    let picture = (name, dims.as_slice(), Feed::Tensor(preprocessor.tensor()));
    match &scale.intrinsics_input {
        Some(input) => {
            let NetworkCamera { fx, fy, cx, cy } = *camera;
            let matrix = [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0].map(|value| value as f32);
            model.session.run(&[picture, (input, &[1, 3, 3], Feed::F32(&matrix))])
        }
        None => model.session.run(&[picture]),
    }
}

/// A scale rule with its constants folded: metres from a value of the output.
struct Metres {
    rule: ScaleRule,
    factor: f64,
    scale: ScaleSpec,
}

impl Metres {
    fn new(scale: &ScaleSpec, camera: &NetworkCamera) -> Self {
        let focal = match scale.focal_axis {
            FocalAxis::X => camera.fx,
            FocalAxis::Mean => 0.5 * (camera.fx + camera.fy),
        };
        let factor = match (scale.rule, scale.focal_px) {
            (ScaleRule::FocalRatio, Some(focal_px)) => focal / focal_px,
            _ => 1.0,
        };
        Self {
            rule: scale.rule,
            factor,
            scale: scale.clone(),
        }
    }

    /// NaN where the value is no depth.
    fn apply(&self, value: f32) -> f32 {
        let value = f64::from(value);
        let metres = match self.rule {
            ScaleRule::Metres | ScaleRule::FocalRatio => value * self.factor,
            ScaleRule::SigmoidDisparity => {
                let (s, a, b) = (self.scale.s, self.scale.a, self.scale.b);
                let denominator = a.unwrap_or(0.0) + b.unwrap_or(1.0) * value;
                s.unwrap_or(1.0) / denominator
            }
        };
        if metres.is_finite() && metres > 0.0 {
            metres.clamp(self.scale.min_m, self.scale.max_m) as f32
        } else {
            f32::NAN
        }
    }
}

/// An output that is one plane of cells.
struct Plane<'a> {
    name: &'a str,
    path: &'a Path,
    dims: &'a [i64],
    data: &'a [f32],
    width: usize,
    height: usize,
}

impl<'a> Plane<'a> {
    fn new(output: &'a Output<'_>, name: &'a str, outputs: &'a RunOutputs<'_>) -> Result<Self, PerceptionError> {
        let side = |from_end: usize| {
            let index = output.dims.len().checked_sub(from_end)?;
            usize::try_from(*output.dims.get(index)?).ok()
        };
        let (width, height) = (side(1).unwrap_or(0), side(2).unwrap_or(0));
        let plane = Self {
            name,
            path: outputs.path(),
            dims: &output.dims,
            data: &output.data,
            width,
            height,
        };
        if width == 0 || height == 0 || output.data.len() != width * height {
            return Err(plane.wrong_shape("one plane […, height, width]".to_owned()));
        }
        Ok(plane)
    }

    fn wrong_shape(&self, expected: String) -> PerceptionError {
        PerceptionError::Contract {
            path: self.path.to_owned(),
            what: format!("shape of output `{}`", self.name),
            expected,
            found: format!("{:?}", self.dims),
        }
    }

    /// Columns and rows of the plane that hold the picture, without the padding.
    fn content(&self, geometry: &Geometry) -> (Vec<usize>, Vec<usize>) {
        let axis = |cells: usize, input: u32, start: u32, length: u32| -> Vec<usize> {
            let ratio = cells as f64 / f64::from(input.max(1));
            let count = ((f64::from(length) * ratio).round() as usize).clamp(1, cells);
            let step = f64::from(length) * ratio / count as f64;
            let first = f64::from(start) * ratio;
            (0..count)
                .map(|index| ((first + (index as f64 + 0.5) * step) as usize).min(cells - 1))
                .collect()
        };
        (
            axis(self.width, geometry.input_width, geometry.left, geometry.width),
            axis(self.height, geometry.input_height, geometry.top, geometry.height),
        )
    }
}
