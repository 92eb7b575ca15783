//! Where a run stands, on disk: the trained weights, the optimiser's memory and the step, so that it goes on as if it had not
//! been interrupted.

use std::fs;
use std::path::{Path, PathBuf};

use burn::optim::ModuleOptimizer;

use super::config::{Method, TuneSettings};
use super::error::TuneError;
use crate::vlm::llava_onevision::config::Config;
use crate::vlm::llava_onevision::network::Network;
use crate::vlm::llava_onevision::{lora, save_network};

const STEP: &str = "step";
const OPTIMIZER: &str = "optimizer.bpk";
const ADAPTER: &str = "adapter";
const MODEL: &str = "model";

/// A checkpoint's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Steps done.
    pub step: u64,
    folder: PathBuf,
}

impl Checkpoint {
    /// The newest one of a run's folder; `None` before the first.
    pub fn newest(out: &Path) -> Result<Option<Self>, TuneError> {
        let path = out.join(STEP);
        let Ok(text) = fs::read_to_string(&path) else {
            return Ok(None);
        };
        let step: u64 = text.trim().parse().map_err(|error| TuneError::file(&path, error))?;
        Ok(Some(Self {
            step,
            folder: out.join(name(step)),
        }))
    }

    /// The folder of the whole model, for `method = "full"`.
    pub fn model(&self) -> PathBuf {
        self.folder.join(MODEL)
    }

    /// The folder of the adapter, for `method = "lora"`.
    pub fn adapter(&self) -> PathBuf {
        self.folder.join(ADAPTER)
    }

    /// The optimiser with its memory.
    pub fn optimizer(&self, optimizer: ModuleOptimizer) -> Result<ModuleOptimizer, TuneError> {
        let path = self.folder.join(OPTIMIZER);
        optimizer.load(&path).map_err(|error| TuneError::file(&path, error))
    }

    /// Writes a checkpoint; the one before goes when this one is whole. `network` is outside of training.
    pub fn write(
        settings: &TuneSettings,
        config: &Config,
        network: &mut Network,
        optimizer: &ModuleOptimizer,
        step: u64,
    ) -> Result<(), TuneError> {
        let out = &settings.out;
        let (part, whole) = (out.join(format!("{}.part", name(step))), out.join(name(step)));
        for folder in [&part, &whole] {
            if folder.exists() {
                fs::remove_dir_all(folder).map_err(|error| TuneError::file(folder, error))?;
            }
        }
        fs::create_dir_all(&part).map_err(|error| TuneError::file(&part, error))?;
        match settings.method {
            Method::Lora => lora::save(network, &settings.adapters(), &part.join(ADAPTER))?,
            Method::Full => save_network(network, config, &settings.checkpoint, &part.join(MODEL))?,
        }
        let path = part.join(OPTIMIZER);
        optimizer.save(&path).map_err(|error| TuneError::file(&path, error))?;
        fs::rename(&part, &whole).map_err(|error| TuneError::file(&whole, error))?;
        let (path, beside) = (out.join(STEP), out.join(format!("{STEP}.part")));
        fs::write(&beside, step.to_string()).map_err(|error| TuneError::file(&beside, error))?;
        fs::rename(&beside, &path).map_err(|error| TuneError::file(&path, error))?;
        for entry in fs::read_dir(out)
            .map_err(|error| TuneError::file(out, error))?
            .flatten()
        {
            let old = entry.file_name().to_string_lossy().into_owned();
            if old.starts_with("checkpoint-") && old != name(step) {
                // What cannot be removed is in nobody's way.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        Ok(())
    }
}

fn name(step: u64) -> String {
    format!("checkpoint-{step}")
}
