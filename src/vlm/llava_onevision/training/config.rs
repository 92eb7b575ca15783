//! What tuning is told, from a TOML file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::vlm::llava_onevision::lora::LoraSettings;
use crate::vlm::training::{Trained, cosine_with_warm_up};

/// Which weights are trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Low-rank adapters beside the language model's projections.
    #[default]
    Lora,
    /// The projector and the language model themselves.
    Full,
}

/// Records to learn from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSettings {
    /// JSONL, or a JSON list: STKit records, or LLaVA-style conversations with `image` or `frames`.
    pub path: PathBuf,
    /// What their pictures are relative to.
    #[serde(default = "here")]
    pub root: PathBuf,
    /// Its part of all samples, relative to the others'.
    #[serde(default = "one")]
    pub share: f64,
}

/// STKit records to validate on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidationSettings {
    /// STKit records (JSONL).
    pub path: PathBuf,
    /// What their pictures are relative to.
    #[serde(default = "here")]
    pub root: PathBuf,
    /// Steps between two validations; there is one after the last step, too.
    #[serde(default = "every")]
    pub every: u64,
    /// Records that are asked each time, at most; always the same ones.
    #[serde(default = "questions")]
    pub questions: usize,
}

fn here() -> PathBuf {
    PathBuf::from(".")
}

fn one() -> f64 {
    1.0
}

fn every() -> u64 {
    500
}

fn questions() -> usize {
    200
}

/// The adapters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Adapters {
    /// The inner width.
    pub rank: usize,
    /// Their product is scaled with alpha / rank.
    pub alpha: f64,
    /// The last part of the names of the layers they are attached to.
    pub targets: Vec<String>,
}

impl Default for Adapters {
    fn default() -> Self {
        let LoraSettings {
            rank, alpha, targets, ..
        } = LoraSettings::default();
        Self { rank, alpha, targets }
    }
}

/// Settings of a tuning run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TuneSettings {
    /// `llava-onevision`.
    pub model: Trained,
    /// The folder that is tuned, as llava-hf or lmms-lab publish it.
    pub checkpoint: PathBuf,
    /// Folder of checkpoints, log and curves, and in the end of the adapter or the model.
    pub out: PathBuf,
    /// Where it runs: `auto`, `cpu`, `vulkan[:N]`, `cuda[:N]`; always in f32.
    pub device: String,
    /// Everything random is drawn from this.
    pub seed: u64,
    /// Steps of the optimiser in all.
    pub steps: u64,
    /// Samples of a step, one after the other; their gradients are gathered.
    pub samples: usize,
    /// Learning rate at its peak.
    pub rate: f64,
    /// Steps over which the learning rate rises.
    pub warm_up: u64,
    /// AdamW's weight decay.
    pub weight_decay: f32,
    /// The greatest norm of all gradients together.
    pub clip_norm: f64,
    /// Which weights.
    pub method: Method,
    /// For `method = "lora"`.
    pub lora: Adapters,
    /// Whether the vision tower is trained as well.
    pub train_vision: bool,
    /// For `method = "lora"`: whether the model with the adapters merged into it is left beside them.
    pub merge: bool,
    /// Frames of a video at most, spread evenly.
    pub frames: usize,
    /// What is learned from.
    pub data: Vec<DataSettings>,
    /// What is validated on.
    pub validation: Option<ValidationSettings>,
    /// Steps between two checkpoints.
    pub checkpoint_every: u64,
    /// Steps between two lines of the log.
    pub log_every: u64,
}

impl Default for TuneSettings {
    fn default() -> Self {
        Self {
            model: Trained::LlavaOnevision,
            checkpoint: PathBuf::new(),
            out: PathBuf::from("train"),
            device: "auto".to_owned(),
            seed: 1,
            steps: 1000,
            samples: 16,
            rate: 1e-4,
            warm_up: 30,
            weight_decay: 0.0,
            clip_norm: 1.0,
            method: Method::Lora,
            lora: Adapters::default(),
            train_vision: false,
            merge: false,
            frames: 32,
            data: Vec::new(),
            validation: None,
            checkpoint_every: 100,
            log_every: 5,
        }
    }
}

impl TuneSettings {
    /// Says which value makes no sense, what was expected and what was found.
    pub fn check(&self) -> Result<(), String> {
        if self.checkpoint.as_os_str().is_empty() {
            return Err("checkpoint: expected a LLaVA-OneVision folder, found nothing".to_owned());
        }
        if self.data.is_empty() {
            return Err("data: expected at least one [[data]] with `path`, found none".to_owned());
        }
        for (name, value) in [
            ("steps", self.steps),
            ("samples", self.samples as u64),
            ("frames", self.frames as u64),
            ("checkpoint_every", self.checkpoint_every),
            ("log_every", self.log_every),
            ("lora.rank", self.lora.rank as u64),
            (
                "validation.every",
                self.validation.as_ref().map_or(1, |validation| validation.every),
            ),
            (
                "validation.questions",
                self.validation
                    .as_ref()
                    .map_or(1, |validation| validation.questions as u64),
            ),
        ] {
            if value == 0 {
                return Err(format!("{name}: expected at least 1, found 0"));
            }
        }
        let shares = self.data.iter().map(|data| ("data.share", data.share));
        let positive = [
            ("rate", self.rate),
            ("clip_norm", self.clip_norm),
            ("lora.alpha", self.lora.alpha),
        ];
        for (name, value) in positive.into_iter().chain(shares) {
            if !(value > 0.0 && value.is_finite()) {
                return Err(format!("{name}: expected more than 0, found {value}"));
            }
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            return Err(format!("weight_decay: expected 0 or more, found {}", self.weight_decay));
        }
        Ok(())
    }

    /// The learning rate of a step.
    pub fn rate_at(&self, step: u64) -> f64 {
        cosine_with_warm_up(self.rate, self.warm_up, self.steps, step)
    }

    /// The adapters as they are attached.
    pub fn adapters(&self) -> LoraSettings {
        LoraSettings {
            rank: self.lora.rank,
            alpha: self.lora.alpha,
            targets: self.lora.targets.clone(),
            vision: self.train_vision,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_example_parses_and_nonsense_is_named() {
        let text = include_str!("../../../../configs/train-llava.toml");
        let settings: TuneSettings = toml::from_str(text).unwrap();
        settings.check().unwrap();
        assert_eq!((settings.model, settings.data.len()), (Trained::LlavaOnevision, 2));
        for (change, message) in [
            ("samples = 0\n", "samples: expected at least 1, found 0"),
            ("rate = 0.0\n", "rate: expected more than 0, found 0"),
        ] {
            let key = change.split(' ').next().unwrap();
            let changed: String = text
                .lines()
                .map(|line| match line.starts_with(&format!("{key} = ")) {
                    true => change.to_owned(),
                    false => format!("{line}\n"),
                })
                .collect();
            let settings: TuneSettings = toml::from_str(&changed).unwrap();
            assert_eq!(settings.check().unwrap_err(), message);
        }
        let error = TuneSettings::default().check().unwrap_err();
        assert!(error.contains("checkpoint"), "{error}");
    }
}
