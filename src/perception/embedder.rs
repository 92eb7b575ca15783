//! ReID networks: the looks of each box as a unit vector, to recognise an object after a gap.

use std::path::Path;

use super::PerceptionError;
use super::device::Device;
use super::manifest::{Manifest, Task};
use super::model::{Model, SessionSettings};
use super::preprocess::{Preprocessor, Region};
use super::session::Feed;
use crate::detection::BoundingBox;
use crate::frame::Picture;

/// Most boxes of one picture that are described; more are left out and counted.
pub const MAX_EMBEDDINGS: usize = 64;
/// Most pictures in one run of a model whose batch is free.
const MAX_BATCH: usize = 16;

/// How a ReID model is used.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct EmbedderSettings {
    /// How its session runs.
    pub session: SessionSettings,
}

/// A ReID network with its session and buffers.
pub struct Embedder {
    model: Model,
    output: String,
    preprocessor: Preprocessor,
    batch: usize,
    fixed_batch: bool,
    dropped_boxes: u64,
    non_finite_rows: u64,
}

impl Embedder {
    /// Opens a ReID model (`.toml` manifest, or `.onnx` of the known contract), checks it, and runs it once.
    ///
    /// # Errors
    /// See [`Model::open`]; besides, outputs of other shapes than the contract's.
    pub fn load(path: &Path, settings: &EmbedderSettings) -> Result<Self, PerceptionError> {
        let model = Model::open(path, &settings.session)?;
        model.expect_task(Task::Reid)?;
        let output = model.output_name(model.manifest().outputs.embedding.as_ref(), "output")?;
        let preprocessor = model.preprocessor()?;
        let mut embedder = Self {
            batch: model.batch(MAX_BATCH)?,
            fixed_batch: model.batch(usize::MAX)? != usize::MAX,
            output,
            preprocessor,
            dropped_boxes: 0,
            non_finite_rows: 0,
            model,
        };
        let pixels = [114u8; 4];
        let picture = Picture::packed(crate::frame::PixelFormat::Gray8, 2, 2, &pixels).map_err(|error| {
            embedder
                .model
                .session
                .mismatch("input size", "a picture", error.to_string())
        })?;
        embedder.embed(&picture, &[BoundingBox::new(0.0, 0.0, 2.0, 2.0)])?;
        embedder.non_finite_rows = 0;
        Ok(embedder)
    }

    /// The manifest, as written or as recognised.
    pub fn manifest(&self) -> &Manifest {
        self.model.manifest()
    }

    /// Where the network runs.
    pub fn device(&self) -> Device {
        self.model.device()
    }

    /// Boxes beyond [`MAX_EMBEDDINGS`] so far.
    pub fn dropped_boxes(&self) -> u64 {
        self.dropped_boxes
    }

    /// Vectors that held NaN or infinity so far.
    pub fn non_finite_rows(&self) -> u64 {
        self.non_finite_rows
    }

    /// A vector of length 1 for each box, in their order; `None` for a box outside the picture, beyond
    /// [`MAX_EMBEDDINGS`], or whose vector is zero or not finite.
    ///
    /// # Errors
    /// Failed inference; an output of another shape than one row a picture.
    pub fn embed(
        &mut self,
        picture: &Picture<'_>,
        boxes: &[BoundingBox],
    ) -> Result<Vec<Option<Vec<f32>>>, PerceptionError> {
        let mut embeddings = vec![None; boxes.len()];
        let described = boxes.len().min(MAX_EMBEDDINGS);
        self.dropped_boxes += (boxes.len() - described) as u64;
        let mut inside = Vec::with_capacity(described);
        for (index, bbox) in boxes[..described].iter().enumerate() {
            if let Some(region) = Region::covering(bbox, picture.width(), picture.height()) {
                inside.push((index, region));
            }
        }
        for chunk in inside.chunks(self.batch) {
            self.preprocessor
                .set_batch(if self.fixed_batch { self.batch } else { chunk.len() });
            for (slot, (_, region)) in chunk.iter().enumerate() {
                self.preprocessor.fill_slot(slot, picture, *region);
            }
            let dims = self.preprocessor.dims();
            let name = self.model.manifest.input.name.as_str();
            let feed = (name, dims.as_slice(), Feed::Tensor(self.preprocessor.tensor()));
            let outputs = self.model.session.run(&[feed])?;
            let output = outputs.get(&self.output)?;
            let rows = usize::try_from(dims[0]).unwrap_or(1);
            let width = output.data.len() / rows.max(1);
            if output.dims.first() != Some(&dims[0]) || width == 0 || output.data.len() != rows * width {
                return Err(PerceptionError::Contract {
                    path: outputs.path().to_owned(),
                    what: format!("shape of output `{}`", self.output),
                    expected: format!("[{rows}, length]"),
                    found: format!("{:?}", output.dims),
                });
            }
            for ((index, _), row) in chunk.iter().zip(output.data.chunks_exact(width)) {
                embeddings[*index] = unit(row);
                self.non_finite_rows += u64::from(row.iter().any(|value| !value.is_finite()));
            }
        }
        Ok(embeddings)
    }
}

/// A vector scaled to length 1; `None` when it has no direction.
fn unit(row: &[f32]) -> Option<Vec<f32>> {
    let length = row
        .iter()
        .map(|value| f64::from(*value) * f64::from(*value))
        .sum::<f64>()
        .sqrt();
    (length.is_finite() && length > 0.0).then(|| row.iter().map(|value| (f64::from(*value) / length) as f32).collect())
}
