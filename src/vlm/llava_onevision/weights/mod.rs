//! Weights from a folder into tensors: files, names, and one report of all that does not fit.

mod checkpoint;
mod names;
mod save;

use std::collections::BTreeSet;
use std::path::Path;

use burn::module::{Param, ParamId};
use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};

use super::config::Config;
use super::error::{Error, WeightFaults};
use checkpoint::Checkpoint;
pub(super) use checkpoint::{entries, is_float, map, to_f32};
pub use save::save;

/// How far the reading of weights has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The tensor just read.
    pub tensor: &'a str,
    /// Values read.
    pub done: usize,
    /// Values in all.
    pub total: usize,
}

/// Hands out tensors by name. The model is built twice with it: first only to compare names and shapes, then for real.
pub(super) struct Loader<'a> {
    checkpoint: Checkpoint,
    device: &'a Device,
    dtype: FloatDType,
    progress: &'a mut dyn FnMut(Progress<'_>),
    checking: bool,
    faults: WeightFaults,
    asked: BTreeSet<String>,
    done: usize,
    total: usize,
}

impl Loader<'_> {
    /// Builds what `build` describes from the weights in `folder`.
    pub fn load<M>(
        folder: &Path,
        config: &Config,
        device: &Device,
        dtype: FloatDType,
        progress: &mut dyn FnMut(Progress<'_>),
        build: impl Fn(&mut Loader<'_>) -> Result<M, Error>,
    ) -> Result<M, Error> {
        let mut checkpoint = Checkpoint::open(folder)?;
        let faults = checkpoint.take_faults();
        let mut loader = Loader {
            checkpoint,
            device,
            dtype,
            progress,
            checking: true,
            faults,
            asked: BTreeSet::new(),
            done: 0,
            total: 0,
        };
        build(&mut loader)?;
        loader.report(config)?;
        loader.checking = false;
        build(&mut loader)
    }

    fn report(&mut self, config: &Config) -> Result<(), Error> {
        let mut faults = std::mem::take(&mut self.faults);
        for name in self.checkpoint.names() {
            let unused = names::is_unused(name, config.vision.layers, config.text.tied_embeddings);
            if !self.asked.contains(name) && !unused {
                faults.unexpected.push(name.to_owned());
            }
        }
        if !faults.damaged.is_empty() {
            // What a damaged file held is not known, so that nothing can be said to be missing.
            faults.missing.clear();
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(Box::new(faults).into())
        }
    }

    /// The tensor `name` (canonical) of that shape, as a parameter that is not trained.
    pub fn tensor<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Result<Param<Tensor<D>>, Error> {
        if self.checking {
            self.check(name, &shape);
            return Ok(frozen(Tensor::zeros([1; D], self.device)));
        }
        let found = self
            .checkpoint
            .read_f32(name)
            .filter(|(values, _)| values.len() == shape.iter().product::<usize>());
        let (values, _) = found.ok_or_else(|| Error::Input(format!("the tensor {name} changed while it was read")))?;
        self.done += values.len();
        (self.progress)(Progress {
            tensor: name,
            done: self.done,
            total: self.total,
        });
        let data = TensorData::new(values, shape);
        Ok(frozen(Tensor::from_data(data, (self.device, DType::from(self.dtype)))))
    }

    fn check(&mut self, name: &str, shape: &[usize]) {
        self.asked.insert(name.to_owned());
        self.total += shape.iter().product::<usize>();
        match self.checkpoint.describe(name) {
            None => self.faults.missing.push(name.to_owned()),
            Some((dtype, found)) if found != shape || !is_float(dtype) => {
                let expected = format!("{shape:?} of F32, F16 or BF16");
                self.faults
                    .misshaped
                    .push((name.to_owned(), expected, format!("{found:?} of {dtype:?}")));
            }
            Some(_) => {}
        }
    }
}

/// A parameter that the optimiser leaves alone until it is told otherwise.
pub(super) fn frozen<const D: usize>(tensor: Tensor<D>) -> Param<Tensor<D>> {
    Param::initialized(ParamId::new(), tensor)
}
