//! The tuning loop: draws, steps, logs, validates, saves, and goes on where it was.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsAccumulator, GradientsParams, ModuleOptimizer};
use burn::tensor::{FloatDType, Tensor};
use serde::{Deserialize, Serialize};

use super::checkpoint::Checkpoint;
use super::config::{Method, TuneSettings};
use super::data::{DataSet, Sample};
use super::error::TuneError;
use super::gradients::{clip, numbered};
use super::mixture::Mixture;
use super::validation::{Validated, Validation};
use crate::vlm::llava_onevision::chat::{ChatTemplate, ChatTokenizer, Part};
use crate::vlm::llava_onevision::config::Config;
use crate::vlm::llava_onevision::features::Projector;
use crate::vlm::llava_onevision::network::{Network, PictureTokens};
use crate::vlm::llava_onevision::preprocess::{Pixels, Preprocessor};
use crate::vlm::llava_onevision::{Model, Place, Progress, load_network, lora, save_network};

/// A line of the log: means since the line before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TuneLine {
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// Cross entropy of what the assistant says, a token.
    pub loss: f32,
    /// Norm of all gradients together, before it was bounded.
    pub norm: f64,
    /// Learning rate.
    pub rate: f64,
    /// Tokens learned from a second, those of pictures included.
    pub tokens_per_s: f64,
    /// Minutes that are left at this speed.
    pub minutes_left: f64,
    /// What validation found at this step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Validated>,
}

/// What a run leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuned {
    /// The adapter's folder, for `method = "lora"`.
    pub adapter: Option<PathBuf>,
    /// The whole model's folder, for `method = "full"` and where the adapter was merged.
    pub model: Option<PathBuf>,
}

/// What does not change during a run.
struct Fixed {
    config: Config,
    tokenizer: ChatTokenizer,
    template: ChatTemplate,
    preprocessor: Preprocessor,
    /// The network as it was, outside of training: what is not trained sees with it.
    eyes: Network,
}

/// Tunes, or goes on tuning. `loading` hears of the weights that are read, `told` of every line of the log.
///
/// # Errors
/// Settings, samples, pictures or a folder that are not what they should be, or a loss that is no number any more.
pub fn tune(
    settings: &TuneSettings,
    mut loading: impl FnMut(Progress<'_>),
    mut told: impl FnMut(&TuneLine),
) -> Result<Tuned, TuneError> {
    settings.check().map_err(TuneError::Setting)?;
    let out = &settings.out;
    fs::create_dir_all(out).map_err(|error| TuneError::file(out, error))?;
    let sets = settings.data.iter().map(DataSet::open).collect::<Result<Vec<_>, _>>()?;
    let sizes: Vec<(usize, f64)> = sets
        .iter()
        .map(DataSet::len)
        .zip(settings.data.iter().map(|data| data.share))
        .collect();
    let validation = match &settings.validation {
        Some(validation) => Some((validation.every, Validation::read(validation, settings.seed)?)),
        None => None,
    };
    let resumed = Checkpoint::newest(out)?;
    let (fixed, mut network) = open(settings, resumed.as_ref(), &mut loading)?;
    let mut optimizer: ModuleOptimizer = AdamWConfig::new().with_weight_decay(settings.weight_decay).init();
    if let Some(checkpoint) = &resumed {
        optimizer = checkpoint.optimizer(optimizer)?;
    }
    let mut step = resumed.map_or(0, |checkpoint| checkpoint.step);
    let mut mixture = Mixture::new(&sizes, settings.seed);
    mixture.skip(step * settings.samples as u64);
    let mut since = Since::new();
    while step < settings.steps {
        let mut gathered = GradientsAccumulator::new();
        let mut loss_of_step = 0.0;
        for _ in 0..settings.samples {
            let (set, index) = mixture
                .draw()
                .ok_or_else(|| TuneError::Setting("data: expected samples, found none in all files".to_owned()))?;
            let sample = sets[set].sample(index, settings.frames)?;
            let (loss, tokens) = loss(settings, &fixed, &network, &sample)?;
            let loss = loss / settings.samples as f32;
            loss_of_step += loss.clone().into_scalar::<f32>();
            since.tokens += tokens;
            gathered.accumulate(&network, GradientsParams::from_grads(loss.backward(), &network));
        }
        if !loss_of_step.is_finite() {
            return Err(TuneError::Diverged {
                step,
                loss: loss_of_step,
            });
        }
        let mut gradients = gathered.grads();
        since.norm += clip(&network, &mut gradients, settings.clip_norm);
        since.loss += loss_of_step;
        since.steps += 1;
        let rate = settings.rate_at(step);
        network = optimizer.step(rate, network, gradients);
        step += 1;
        let last = step == settings.steps;
        let due = |every: u64| step.is_multiple_of(every) || last;
        if due(settings.log_every) || validation.as_ref().is_some_and(|(every, _)| due(*every)) {
            let mut line = since.line(step, settings.steps, rate);
            if let Some((_, validation)) = validation.as_ref().filter(|(every, _)| due(*every)) {
                line.validation = Some(validation.run(&fixed.model(network.valid()), settings.frames)?);
            }
            log(&out.join("log.jsonl"), &line)?;
            told(&line);
            since = Since::new();
        }
        if due(settings.checkpoint_every) {
            Checkpoint::write(settings, &fixed.config, &mut network.valid(), &optimizer, step)?;
        }
    }
    leave(settings, &fixed.config, network.valid())
}

/// The folder's parts, and the network as it is trained, from its newest checkpoint where there is one.
fn open(
    settings: &TuneSettings,
    resumed: Option<&Checkpoint>,
    loading: &mut dyn FnMut(Progress<'_>),
) -> Result<(Fixed, Network), TuneError> {
    let folder = &settings.checkpoint;
    let place: Place = settings.device.parse()?;
    let (device, _) = place.open()?;
    let config = Config::read(folder)?;
    let mut load = |folder: &Path| load_network(folder, &config, &device, FloatDType::F32, loading);
    let weights = match (settings.method, resumed) {
        (Method::Full, Some(checkpoint)) => checkpoint.model(),
        _ => folder.clone(),
    };
    let mut network = load(&weights)?;
    let eyes = network.clone();
    match settings.method {
        Method::Lora => match resumed {
            Some(checkpoint) => {
                let found = lora::load(&mut network, &checkpoint.adapter())?;
                if found != settings.adapters() {
                    return Err(TuneError::Setting(format!(
                        "lora: the checkpoint in {} has other adapters; expected {found:?}, or another `out`",
                        settings.out.display()
                    )));
                }
            }
            None => {
                lora::attach(&mut network, &settings.adapters(), settings.seed)?;
            }
        },
        Method::Full => {
            network.projector = network.projector.set_require_grad(true);
            network.language = network.language.set_require_grad(true);
            if settings.train_vision {
                network.vision = network.vision.set_require_grad(true);
            }
        }
    }
    let fixed = Fixed {
        tokenizer: ChatTokenizer::read(folder)?,
        template: ChatTemplate::of(config.origin),
        preprocessor: Preprocessor::read(folder, &config)?,
        eyes,
        config,
    };
    Ok((fixed, numbered(network).train()))
}

impl Fixed {
    /// A model to ask.
    fn model(&self, network: Network) -> Model {
        Model {
            config: self.config.clone(),
            preprocessor: self.preprocessor.clone(),
            template: self.template.clone(),
            tokenizer: self.tokenizer.clone(),
            network,
        }
    }
}

/// The loss of a sample, and how many tokens it has.
fn loss(
    settings: &TuneSettings,
    fixed: &Fixed,
    network: &Network,
    sample: &Sample,
) -> Result<(Tensor<1>, usize), TuneError> {
    let pictures = pictures(settings, fixed, network, sample);
    let parts = fixed.tokenizer.parts(&fixed.template, &sample.turns, false)?;
    let shown = pictures
        .images
        .iter()
        .chain(&pictures.videos)
        .map(|tokens| tokens.dims()[0]);
    let said = parts.iter().map(|part| match part {
        Part::Text { tokens, .. } => tokens.len(),
        Part::Picture(_) => 0,
    });
    let tokens = shown.sum::<usize>() + said.sum::<usize>();
    let longest = fixed.config.text.max_positions;
    if tokens > longest {
        return Err(TuneError::Setting(format!(
            "frames: a sample of {tokens} tokens exceeds the model's {longest}; show fewer than {} frames",
            settings.frames
        )));
    }
    Ok((network.loss(&parts, &pictures)?, tokens))
}

/// The tokens of a sample's pictures. What is not trained is not differentiated.
fn pictures(settings: &TuneSettings, fixed: &Fixed, network: &Network, sample: &Sample) -> PictureTokens {
    let eyes = &fixed.eyes;
    let frozen = |pixels: &Pixels| eyes.vision.forward(pixels);
    if settings.train_vision {
        let project = |pixels: &Pixels| network.projector.forward(network.vision.forward(pixels));
        return joined(fixed, &network.projector, project, sample);
    }
    match settings.method {
        Method::Full => {
            let project = |pixels: &Pixels| network.projector.forward(Tensor::from_inner(frozen(pixels)));
            joined(fixed, &network.projector, project, sample)
        }
        Method::Lora => {
            let project = |pixels: &Pixels| eyes.projector.forward(frozen(pixels));
            joined(fixed, &eyes.projector, project, sample).for_training()
        }
    }
}

fn joined(
    fixed: &Fixed,
    projector: &Projector,
    project: impl Fn(&Pixels) -> Tensor<2>,
    sample: &Sample,
) -> PictureTokens {
    let preprocessor = &fixed.preprocessor;
    let images = match sample.images.as_slice() {
        [image] => {
            let (whole, tiles, grid) = preprocessor.image(image, &fixed.config);
            vec![projector.join_tiles(project(&whole), tiles.iter().map(&project).collect(), &grid)]
        }
        several => several
            .iter()
            .map(|image| projector.join_single(project(&preprocessor.image_of_several(image))))
            .collect(),
    };
    let frames: Vec<Tensor<2>> = sample
        .frames
        .iter()
        .map(|frame| projector.pool(project(&preprocessor.frame(frame))))
        .collect();
    let videos = match frames.is_empty() {
        true => Vec::new(),
        false => vec![projector.join_frames(frames, fixed.config.video_newline)],
    };
    PictureTokens { images, videos }
}

/// Sums since the last line of the log.
struct Since {
    start: Instant,
    steps: u64,
    loss: f32,
    norm: f64,
    tokens: usize,
}

impl Since {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            steps: 0,
            loss: 0.0,
            norm: 0.0,
            tokens: 0,
        }
    }

    fn line(&self, step: u64, steps: u64, rate: f64) -> TuneLine {
        let (count, elapsed_s) = (self.steps.max(1) as f64, self.start.elapsed().as_secs_f64());
        TuneLine {
            step,
            steps,
            loss: self.loss / count as f32,
            norm: self.norm / count,
            rate,
            tokens_per_s: self.tokens as f64 / elapsed_s.max(1e-9),
            minutes_left: (steps - step) as f64 * elapsed_s / count / 60.0,
            validation: None,
        }
    }
}

/// Writes what the run was for.
fn leave(settings: &TuneSettings, config: &Config, mut network: Network) -> Result<Tuned, TuneError> {
    let (adapter, model) = (settings.out.join("adapter"), settings.out.join("model"));
    let mut tuned = Tuned {
        adapter: None,
        model: None,
    };
    if settings.method == Method::Lora {
        lora::save(&mut network, &settings.adapters(), &adapter)?;
        tuned.adapter = Some(adapter);
    }
    if settings.method == Method::Full || settings.merge {
        lora::merge(&mut network);
        save_network(&network, config, &settings.checkpoint, &model)?;
        tuned.model = Some(model);
    }
    Ok(tuned)
}

fn log(path: &Path, line: &TuneLine) -> Result<(), TuneError> {
    let text = serde_json::to_string(line).map_err(|error| TuneError::file(path, error))?;
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| writeln!(file, "{text}"))
        .map_err(|error| TuneError::file(path, error))
}
