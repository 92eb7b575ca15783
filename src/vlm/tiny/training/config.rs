//! What a training run is told, from a TOML file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::vlm::training::{Trained, cosine_with_warm_up};

/// Settings of a training run of the small model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainSettings {
    /// `tiny`.
    pub model: Trained,
    /// Folder of checkpoints, log and curves.
    pub out: PathBuf,
    /// Everything random is drawn from this.
    pub seed: u64,
    /// Steps of the optimiser in all.
    pub steps: u64,
    /// Clips in a batch; each is asked about eight times.
    pub clips: usize,
    /// Learning rate at its peak.
    pub rate: f64,
    /// Steps over which the learning rate rises.
    pub warm_up: u64,
    /// AdamW's weight decay.
    pub weight_decay: f32,
    /// The greatest norm of one parameter's gradient.
    pub clip_norm: f32,
    /// Share of the batches' clips that are shown with the engine's states.
    pub states_share: f64,
    /// Share of the clips that are shown with pictures.
    pub views_share: f64,
    /// Worlds kept to draw clips from.
    pub worlds: usize,
    /// New worlds a step.
    pub worlds_per_step: f64,
    /// Seeds of the worlds: first and last.
    pub world_seeds: (u64, u64),
    /// Threads that simulate.
    pub workers: usize,
    /// Steps between two checkpoints.
    pub checkpoint_every: u64,
    /// Steps between two lines of the log.
    pub log_every: u64,
    /// Weights to start from (a `model.bpk` of an earlier run).
    pub start: Option<PathBuf>,
}

impl Default for TrainSettings {
    fn default() -> Self {
        Self {
            model: Trained::Tiny,
            out: PathBuf::from("train"),
            seed: 1,
            steps: 3000,
            clips: 8,
            rate: 1e-3,
            warm_up: 100,
            weight_decay: 0.01,
            clip_norm: 1.0,
            states_share: 0.5,
            views_share: 0.8,
            worlds: 300,
            worlds_per_step: 0.6,
            world_seeds: (0, 89_999),
            workers: 1,
            checkpoint_every: 200,
            log_every: 20,
            start: None,
        }
    }
}

impl TrainSettings {
    /// Says which value makes no sense, what was expected and what was found.
    pub fn check(&self) -> Result<(), String> {
        for (name, value) in [
            ("steps", self.steps),
            ("clips", self.clips as u64),
            ("worlds", self.worlds as u64),
            ("workers", self.workers as u64),
            ("checkpoint_every", self.checkpoint_every),
            ("log_every", self.log_every),
        ] {
            if value == 0 {
                return Err(format!("{name}: expected at least 1, found 0"));
            }
        }
        for (name, value) in [("states_share", self.states_share), ("views_share", self.views_share)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(format!("{name}: expected 0 to 1, found {value}"));
            }
        }
        if !(self.rate > 0.0 && self.rate.is_finite()) {
            return Err(format!("rate: expected more than 0, found {}", self.rate));
        }
        if !(self.worlds_per_step >= 0.0 && self.worlds_per_step.is_finite()) {
            return Err(format!(
                "worlds_per_step: expected 0 or more, found {}",
                self.worlds_per_step
            ));
        }
        if self.world_seeds.0 > self.world_seeds.1 {
            return Err(format!(
                "world_seeds: expected first and last, found {} and {}",
                self.world_seeds.0, self.world_seeds.1
            ));
        }
        Ok(())
    }

    /// The learning rate of a step: up in a line, down along a cosine.
    pub fn rate_at(&self, step: u64) -> f64 {
        cosine_with_warm_up(self.rate, self.warm_up, self.steps, step)
    }
}
