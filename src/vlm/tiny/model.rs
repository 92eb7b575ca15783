//! The model with its weights, ready to be asked.

use std::path::Path;

use burn::module::{Module, ModuleMapper, Param};
use burn::store::ModuleRecord;
use burn::tensor::{Bytes, Device, FloatDType, Tensor};
use thiserror::Error;

use super::batch::{Asked, input, most_views, picture};
use super::clip::{Clip, View};
use super::findings::Findings;
use super::network::{Network, SPAN_OUTPUTS, STEP_OUTPUTS, Seen};
use super::tokens::{States, own_axis_rad};

/// Why there is no model.
#[derive(Debug, Error)]
#[error("the small model's weights cannot be used: {0}")]
pub struct WeightsError(String);

/// The weights that the library carries, 16-bit floats.
static BUILTIN: &[u8] = include_bytes!("../../../models/kinestream-tiny-vlm.bpk");

/// Rounds every weight to 16 bits.
struct Halving;

impl ModuleMapper for Halving {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| tensor.cast(FloatDType::F16))
    }
}

/// A network's weights as a file's bytes, 16-bit floats.
pub fn packed(network: Network) -> Result<Vec<u8>, WeightsError> {
    let bytes = network.map(&mut Halving).into_record().into_bytes();
    bytes
        .map(|bytes| bytes.to_vec())
        .map_err(|error| WeightsError(error.to_string()))
}

/// The small ST-VLM.
#[derive(Debug)]
pub struct TinyVlm {
    network: Network,
    device: Device,
}

impl TinyVlm {
    /// With weights from a file that training left.
    pub fn load(path: &Path) -> Result<Self, WeightsError> {
        let bytes = std::fs::read(path).map_err(|error| WeightsError(format!("{}: {error}", path.display())))?;
        Self::from_bytes(bytes).map_err(|error| WeightsError(format!("{}: {}", path.display(), error.0)))
    }

    /// With the weights that the library carries.
    pub fn builtin() -> Result<Self, WeightsError> {
        Self::from_bytes(BUILTIN.to_vec())
    }

    /// With weights from memory.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, WeightsError> {
        let device = Device::flex();
        let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(bytes));
        let record = record
            .map_err(|error| WeightsError(error.to_string()))?
            .cast_to_module_dtype();
        let network = Network::new(&device).try_load_record(record);
        let network = network.map_err(|error| WeightsError(error.to_string()))?;
        Ok(Self { network, device })
    }

    /// Sees one view: the convolutions' share of the work. What they make of it depends on nothing but its pixels, so it may be
    /// kept for every clip and question that shows the same view.
    pub fn see(&self, view: &View) -> Seen {
        self.network.see(picture(&view.pixels, &self.device))
    }

    /// What it finds about each row (index of the object, start and end in seconds) of a clip.
    pub fn find(&self, clip: &Clip, rows: &[(usize, (f64, f64))], with_states: bool) -> Vec<Findings> {
        let seen: Vec<Seen> = clip.views.iter().map(|view| self.see(view)).collect();
        self.find_seen(clip, &seen.iter().collect::<Vec<_>>(), rows, with_states)
    }

    /// The same with the clip's views [seen](Self::see) already, one for each in their order; nothing where they do not match.
    pub fn find_seen(
        &self,
        clip: &Clip,
        seen: &[&Seen],
        rows: &[(usize, (f64, f64))],
        with_states: bool,
    ) -> Vec<Findings> {
        if rows.is_empty() || clip.times_s.is_empty() || seen.len() != clip.views.len() {
            return Vec::new();
        }
        let asked = [Asked {
            clip,
            rows,
            with_states,
        }];
        let seen = Seen::joined(seen, most_views(&asked));
        let output = self.network.answer(input(&asked, &self.device), seen);
        let [_, times, _] = output.steps.dims();
        let span = output.span.into_data().convert::<f32>();
        let steps = output.steps.into_data().convert::<f32>();
        let (Ok(span), Ok(steps)) = (span.as_slice::<f32>(), steps.as_slice::<f32>()) else {
            return Vec::new();
        };
        let known = States::of(clip, with_states);
        rows.iter()
            .zip(
                span.chunks_exact(SPAN_OUTPUTS)
                    .zip(steps.chunks_exact(times * STEP_OUTPUTS)),
            )
            .map(|((object, span_s), (span, steps))| {
                let own = known
                    .get(*object)
                    .map_or(0.0, |states| own_axis_rad(clip, states, *span_s));
                Findings::new(clip, *span_s, own, span, steps)
            })
            .collect()
    }
}
