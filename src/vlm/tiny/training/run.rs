//! The training loop: draws, steps, logs, saves, and goes on where it was.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::grad_clipping::GradientClippingConfig;
use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::store::ModuleRecord;
use burn::tensor::{Device, Tensor};
use rand::Rng;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::config::TrainSettings;
use super::groups::{Group, Senses, draw};
use super::losses::{Loss, Targets};
use super::pool::Pool;
use super::worlds::Timeline;
use crate::sim::WorldError;
use crate::vlm::tiny::batch::{Asked, input, pictures};
use crate::vlm::tiny::network::Network;
use crate::vlm::tiny::packed;

/// Keeps the draws of the steps apart from those of the worlds.
const STREAM: u128 = 0x0073_7465_7073;

/// Why training stopped.
#[derive(Debug, Error)]
pub enum TrainError {
    /// A setting makes no sense.
    #[error("{0}")]
    Setting(String),
    /// A world cannot be built.
    #[error(transparent)]
    World(#[from] WorldError),
    /// A file cannot be written or read.
    #[error("{}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// The loss is no number any more.
    #[error("the loss of step {step} is {loss}: lower the rate")]
    Diverged {
        /// The step.
        step: u64,
        /// The loss.
        loss: f32,
    },
}

fn file_error(path: &Path, error: impl std::fmt::Display) -> TrainError {
    TrainError::File {
        path: path.to_owned(),
        message: error.to_string(),
    }
}

/// A line of the log: means since the line before.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogLine {
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// The loss.
    pub loss: f32,
    /// Its parts.
    pub speed: f32,
    /// Cross-entropy of the hours.
    pub hours: f32,
    /// Of the heading.
    pub heading: f32,
    /// Of the steps' speeds.
    pub step_speed: f32,
    /// Of the distances.
    pub range: f32,
    /// Learning rate.
    pub rate: f64,
    /// Rows learned from a second.
    pub rows_per_s: f64,
    /// Minutes that are left at this speed.
    pub minutes_left: f64,
}

/// Where a run stands.
struct Run {
    network: Network,
    optimizer: ModuleOptimizer,
    step: u64,
}

fn optimizer(settings: &TrainSettings) -> ModuleOptimizer {
    AdamWConfig::new()
        .with_weight_decay(settings.weight_decay)
        .with_beta_2(0.99)
        .with_grad_clipping(Some(GradientClippingConfig::Norm(settings.clip_norm)))
        .init()
}

impl Run {
    fn new(settings: &TrainSettings, device: &Device) -> Result<Self, TrainError> {
        device.seed(settings.seed);
        let mut run = Self {
            network: Network::new(device),
            optimizer: optimizer(settings),
            step: 0,
        };
        if let Some(path) = &settings.start {
            // Parts that the earlier network did not have begin at random.
            let record = ModuleRecord::load(path).map_err(|error| file_error(path, error))?;
            let record = record.cast_to_module_dtype().allow_partial(true).allow_unused(true);
            let network = run.network.try_load_record(record);
            run.network = network.map_err(|error| file_error(path, error))?;
        }
        Ok(run)
    }

    /// The newest checkpoint's step is in `step`; its files carry it in their names, so that a run killed while it saves
    /// goes on from the one before.
    fn resume(mut self, folder: &Path) -> Result<Self, TrainError> {
        let path = folder.join("step");
        let Ok(text) = fs::read_to_string(&path) else {
            return Ok(self);
        };
        self.step = text.trim().parse().map_err(|error| file_error(&path, error))?;
        let path = folder.join(format!("network-{}.bpk", self.step));
        self.network = self
            .network
            .try_load_file(&path)
            .map_err(|error| file_error(&path, error))?;
        let path = folder.join(format!("optimizer-{}.bpk", self.step));
        self.optimizer = self.optimizer.load(&path).map_err(|error| file_error(&path, error))?;
        Ok(self)
    }

    fn save(&self, folder: &Path) -> Result<(), TrainError> {
        let step = self.step;
        let network = folder.join(format!("network-{step}.bpk"));
        let saved = self.network.clone().save_file(&network);
        saved.map_err(|error| file_error(&network, error))?;
        let optimizer = folder.join(format!("optimizer-{step}.bpk"));
        let saved = self.optimizer.save(&optimizer);
        saved.map_err(|error| file_error(&optimizer, error))?;
        let path = folder.join("step");
        let part = folder.join("step.part");
        fs::write(&part, step.to_string()).map_err(|error| file_error(&part, error))?;
        fs::rename(&part, &path).map_err(|error| file_error(&path, error))?;
        for entry in fs::read_dir(folder)
            .map_err(|error| file_error(folder, error))?
            .flatten()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            let of_a_checkpoint = name.starts_with("network-") || name.starts_with("optimizer-");
            if of_a_checkpoint && !name.ends_with(&format!("-{step}.bpk")) {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }
}

/// Trains, or goes on training, and leaves `model.bpk` in the run's folder. `told` hears of every line of the log.
pub fn train(settings: &TrainSettings, mut told: impl FnMut(&LogLine)) -> Result<Network, TrainError> {
    settings.check().map_err(TrainError::Setting)?;
    fs::create_dir_all(&settings.out).map_err(|error| file_error(&settings.out, error))?;
    let device = Device::flex().autodiff();
    let mut run = Run::new(settings, &device)?.resume(&settings.out)?;
    let mut pool = Pool::new(settings, run.step).map_err(|error| file_error(&settings.out, error))?;
    let mut sums = [0.0f32; 6];
    let (mut counted, mut since) = (0u64, Instant::now());
    while run.step < settings.steps {
        let groups = draw_groups(settings, &pool.at(run.step)?, run.step);
        let loss = loss(&run.network, &groups, &device);
        let numbers: Vec<f32> = std::iter::once(loss.total.clone())
            .chain(loss.parts)
            .map(|part| part.into_scalar::<f32>())
            .collect();
        if let Some(total) = numbers.first().filter(|loss| !loss.is_finite()) {
            return Err(TrainError::Diverged {
                step: run.step,
                loss: *total,
            });
        }
        let gradients = GradientsParams::from_grads(loss.total.backward(), &run.network);
        run.network = run.optimizer.step(settings.rate_at(run.step), run.network, gradients);
        run.step += 1;
        counted += 1;
        for (sum, number) in sums.iter_mut().zip(&numbers) {
            *sum += number;
        }
        if run.step.is_multiple_of(settings.log_every) || run.step == settings.steps {
            let mean = sums.map(|sum| sum / counted as f32);
            let per_step_s = since.elapsed().as_secs_f64() / counted as f64;
            let rows: usize = groups.iter().map(|group| group.rows.len()).sum();
            let line = LogLine {
                step: run.step,
                steps: settings.steps,
                loss: mean[0],
                speed: mean[1],
                hours: mean[2],
                heading: mean[3],
                step_speed: mean[4],
                range: mean[5],
                rate: settings.rate_at(run.step),
                rows_per_s: rows as f64 / per_step_s,
                minutes_left: (settings.steps - run.step) as f64 * per_step_s / 60.0,
            };
            log(&settings.out.join("log.jsonl"), &line)?;
            told(&line);
            (sums, counted, since) = ([0.0; 6], 0, Instant::now());
        }
        if run.step.is_multiple_of(settings.checkpoint_every) || run.step == settings.steps {
            run.save(&settings.out)?;
        }
    }
    let network = run.network.valid();
    let path = settings.out.join("model.bpk");
    let bytes = packed(network.clone()).map_err(|error| file_error(&path, error))?;
    fs::write(&path, bytes).map_err(|error| file_error(&path, error))?;
    Ok(network)
}

/// The loss of a network over groups.
pub fn loss(network: &Network, groups: &[Group], device: &Device) -> Loss {
    let rows: Vec<Vec<(usize, (f64, f64))>> = groups
        .iter()
        .map(|group| group.rows.iter().map(|row| (row.object, row.span_s)).collect())
        .collect();
    let asked: Vec<Asked<'_>> = groups
        .iter()
        .zip(&rows)
        .map(|(group, rows)| Asked {
            clip: &group.clip,
            rows,
            with_states: group.senses.states,
        })
        .collect();
    let seen = pictures(&asked, device).map(|pictures: Tensor<4>| network.see(pictures));
    let output = network.answer(input(&asked, device), seen);
    Targets::new(groups, device).loss(output)
}

/// The clips of a step.
fn draw_groups(settings: &TrainSettings, worlds: &[std::sync::Arc<Timeline>], step: u64) -> Vec<Group> {
    let mut random = Pcg64::new(u128::from(settings.seed) << 64 | u128::from(step), STREAM);
    let mut groups = Vec::with_capacity(settings.clips);
    // Worlds in which nothing can be asked about are rare; a window of nothing but such worlds ends the search.
    for _ in 0..settings.clips * 50 {
        if groups.len() == settings.clips || worlds.is_empty() {
            break;
        }
        let world = &worlds[random.random_range(0..worlds.len())];
        let states = random.random::<f64>() < settings.states_share;
        let senses = Senses {
            states,
            views: random.random::<f64>() < settings.views_share,
        };
        groups.extend(draw(world, senses, &mut random));
    }
    groups
}

fn log(path: &Path, line: &LogLine) -> Result<(), TrainError> {
    let text = serde_json::to_string(line).map_err(|error| file_error(path, error))?;
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| writeln!(file, "{text}"))
        .map_err(|error| file_error(path, error))
}
