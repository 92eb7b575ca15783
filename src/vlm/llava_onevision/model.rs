//! A model folder, opened: pictures and a question in, an answer out.

use std::path::Path;
use std::time::{Duration, Instant};

use burn::tensor::{Device, FloatDType, Tensor};

use super::Error;
use super::cache::KvCache;
use super::chat::{ChatTemplate, ChatTokenizer, Part, Picture, Turn};
use super::config::Config;
use super::device::Place;
use super::generate::{Generation, Sampler};
use super::network::{Network, PictureTokens};
use super::preprocess::{Preprocessor, Rgb};
use super::weights::{Loader, Progress};

/// LLaVA-OneVision with everything it needs.
#[derive(Debug)]
pub struct Model {
    /// What `config.json` says. `video_newline` may be set to another mode.
    pub config: Config,
    /// What `preprocessor_config.json` says.
    pub preprocessor: Preprocessor,
    /// How turns are written; at first, as the folder's author does.
    pub template: ChatTemplate,
    /// What reads and writes text.
    pub tokenizer: ChatTokenizer,
    /// What is computed.
    pub network: Network,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The text.
    pub text: String,
    /// Its tokens, without the one that ended it.
    pub tokens: Vec<u32>,
    /// Whether it ended by itself, and not at the longest allowed.
    pub complete: bool,
    /// The question's share of the prompt, until the first token was known.
    pub prefill: Duration,
    /// The time for all further tokens.
    pub decode: Duration,
}

/// A video that was watched, about which many questions can be asked. Each goes on from the same cache.
#[derive(Debug)]
pub struct Watched {
    cache: KvCache,
}

impl Watched {
    /// Tokens that every question about it shares.
    pub fn tokens(&self) -> usize {
        self.cache.len()
    }
}

impl Model {
    /// Opens a folder as Hugging Face or lmms-lab publish it: `config.json`, `tokenizer.json`,
    /// `preprocessor_config.json` and the weights.
    ///
    /// # Errors
    ///
    /// When a file is absent or wrong; all that is wrong with the weights is one error.
    pub fn load(folder: &Path, place: Place, mut progress: impl FnMut(Progress<'_>)) -> Result<Self, Error> {
        let (device, dtype) = place.open()?;
        let config = Config::read(folder)?;
        Ok(Self {
            preprocessor: Preprocessor::read(folder, &config)?,
            template: ChatTemplate::of(config.origin),
            tokenizer: ChatTokenizer::read(folder)?,
            network: load_network(folder, &config, &device, dtype, &mut progress)?,
            config,
        })
    }

    /// A frame's tokens, `[tokens, hidden]`: the expensive part, worth keeping for the next window.
    pub fn frame_tokens(&self, frame: &Rgb) -> Tensor<2> {
        self.network.frame_tokens(&self.preprocessor.frame(frame))
    }

    /// Single images' tokens. One image alone is looked at in tiles, several are not.
    pub fn image_tokens(&self, images: &[Rgb]) -> Vec<Tensor<2>> {
        match images {
            [image] => {
                let (whole, tiles, grid) = self.preprocessor.image(image, &self.config);
                vec![self.network.image_tokens(&whole, &tiles, &grid)]
            }
            _ => {
                let pixels = images.iter().map(|image| self.preprocessor.image_of_several(image));
                pixels
                    .map(|pixels| self.network.image_tokens_of_several(&pixels))
                    .collect()
            }
        }
    }

    /// Watches a video given as its frames' tokens, in order of time.
    ///
    /// # Errors
    ///
    /// When there is no frame, or the tokenizer fails.
    pub fn watch(&self, frames: Vec<Tensor<2>>) -> Result<Watched, Error> {
        if frames.is_empty() {
            return Err(Error::Input("a video needs at least one frame".to_owned()));
        }
        let video = self.network.video_tokens(frames, self.config.video_newline);
        let pictures = PictureTokens {
            images: Vec::new(),
            videos: vec![video],
        };
        let (shared, _) = self.video_prompt("")?;
        let mut cache = KvCache::new();
        let x = self.network.embed(&shared, &pictures)?;
        self.network.language.forward(x, &mut cache);
        Ok(Watched { cache })
    }

    /// The prompt of a question about a video: what does not depend on the question, and the rest.
    fn video_prompt(&self, question: &str) -> Result<(Vec<Part>, Vec<Part>), Error> {
        let turn = Turn::question(vec![Picture::Video(0)], question);
        let mut shared = self.tokenizer.parts(&self.template, &[turn], true)?;
        let end = shared
            .iter()
            .rposition(|part| matches!(part, Part::Picture(_)))
            .map_or(0, |place| place + 1);
        let rest = shared.split_off(end);
        Ok((shared, rest))
    }

    /// Answers a question about a watched video.
    ///
    /// # Errors
    ///
    /// When the prompt is longer than the model's longest sequence, or the device or the tokenizer fails.
    pub fn ask(&self, watched: &mut Watched, question: &str, settings: &Generation) -> Result<Reply, Error> {
        let (_, rest) = self.video_prompt(question)?;
        let x = self.network.embed(&rest, &PictureTokens::default())?;
        let cache = watched.cache.fork();
        self.write(x, cache, settings)
    }

    /// Answers a question about the frames of a video, from scratch.
    ///
    /// # Errors
    ///
    /// As [`Model::watch`] and [`Model::ask`].
    pub fn answer(&self, frames: &[Rgb], question: &str, settings: &Generation) -> Result<Reply, Error> {
        let frames = frames.iter().map(|frame| self.frame_tokens(frame)).collect();
        self.ask(&mut self.watch(frames)?, question, settings)
    }

    /// The assistant's next turn in a conversation about pictures.
    ///
    /// # Errors
    ///
    /// When a turn names a picture that is not there, the prompt is too long, or the device or the tokenizer fails.
    pub fn chat(&self, turns: &[Turn], pictures: &PictureTokens, settings: &Generation) -> Result<Reply, Error> {
        let parts = self.tokenizer.parts(&self.template, turns, true)?;
        let x = self.network.embed(&parts, pictures)?;
        self.write(x, KvCache::new(), settings)
    }

    fn write(&self, prompt: Tensor<2>, mut cache: KvCache, settings: &Generation) -> Result<Reply, Error> {
        let (length, longest) = (cache.len() + prompt.dims()[0], self.config.text.max_positions);
        if length + settings.max_tokens > longest {
            return Err(Error::Input(format!(
                "a prompt of {length} tokens and an answer of up to {} exceed the model's {longest}",
                settings.max_tokens
            )));
        }
        let start = Instant::now();
        let mut sampler = Sampler::new(settings);
        let mut logits = self.network.advance(prompt, &mut cache)?;
        let prefill = start.elapsed();
        let start = Instant::now();
        let mut tokens = Vec::new();
        let mut complete = false;
        while tokens.len() < settings.max_tokens {
            let token = sampler.next(&logits);
            if self.tokenizer.stops().contains(&token) {
                complete = true;
                break;
            }
            tokens.push(token);
            if tokens.len() < settings.max_tokens {
                logits = self
                    .network
                    .advance(self.network.language.embed(&[token]), &mut cache)?;
            }
        }
        let decode = start.elapsed();
        Ok(Reply {
            text: self.tokenizer.decode(&tokens)?,
            tokens,
            complete,
            prefill,
            decode,
        })
    }
}

/// The weights of a folder alone, in `dtype` on `device`.
///
/// # Errors
///
/// As [`Model::load`].
pub fn load_network(
    folder: &Path,
    config: &Config,
    device: &Device,
    dtype: FloatDType,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Network, Error> {
    Loader::load(folder, config, device, dtype, progress, |loader| {
        Network::load(loader, config)
    })
}
