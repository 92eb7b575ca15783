//! The three parts together: what is computed and trained, without files, text and pictures.

use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{FloatDType, Int, Tensor, TensorData};

use super::Error;
use super::anyres::Grid;
use super::cache::KvCache;
use super::chat::{Part, Picture};
use super::config::{Config, Newline};
use super::features::Projector;
use super::language::LanguageModel;
use super::linear::LoraLinear;
use super::preprocess::Pixels;
use super::vision::VisionTower;
use super::weights::Loader;

/// Vision tower, projector and language model.
#[derive(Module, Debug)]
pub struct Network {
    /// The vision tower.
    pub vision: VisionTower,
    /// Between vision tower and language model.
    pub projector: Projector,
    /// The language model.
    pub language: LanguageModel,
}

/// The tokens of the pictures of a conversation, `[tokens, hidden]` each.
#[derive(Clone, Debug, Default)]
pub struct PictureTokens {
    /// Single images.
    pub images: Vec<Tensor<2>>,
    /// Videos.
    pub videos: Vec<Tensor<2>>,
}

impl PictureTokens {
    /// The same as constants of a differentiated computation: for a vision tower that is not trained.
    #[must_use]
    pub fn for_training(self) -> Self {
        let constant = |list: Vec<Tensor<2>>| list.into_iter().map(Tensor::from_inner).collect();
        Self {
            images: constant(self.images),
            videos: constant(self.videos),
        }
    }
}

impl Network {
    pub(super) fn load(loader: &mut Loader<'_>, config: &Config) -> Result<Self, Error> {
        Ok(Self {
            vision: VisionTower::load(loader, &config.vision, config.feature_layer)?,
            projector: Projector::load(loader, config)?,
            language: LanguageModel::load(loader, &config.text)?,
        })
    }

    /// One frame's tokens: `[side² of the pooled grid, hidden]`. They depend on nothing but the frame, so they may be
    /// kept for the next window.
    pub fn frame_tokens(&self, frame: &Pixels) -> Tensor<2> {
        self.projector.pool(self.projector.forward(self.vision.forward(frame)))
    }

    /// A video's tokens from those of its frames.
    pub fn video_tokens(&self, frames: Vec<Tensor<2>>, newline: Newline) -> Tensor<2> {
        self.projector.join_frames(frames, newline)
    }

    /// A single image's tokens.
    pub fn image_tokens(&self, whole: &Pixels, tiles: &[Pixels], grid: &Grid) -> Tensor<2> {
        let project = |pixels| self.projector.forward(self.vision.forward(pixels));
        self.projector
            .join_tiles(project(whole), tiles.iter().map(project).collect(), grid)
    }

    /// The tokens of one of several images.
    pub fn image_tokens_of_several(&self, pixels: &Pixels) -> Tensor<2> {
        self.projector
            .join_single(self.projector.forward(self.vision.forward(pixels)))
    }

    /// The language model's input for the parts of a prompt: `[tokens, hidden]`.
    ///
    /// # Errors
    ///
    /// When a part names a picture that is not there or a token that the model does not know, or there is nothing.
    pub fn embed(&self, parts: &[Part], pictures: &PictureTokens) -> Result<Tensor<2>, Error> {
        let mut tensors = Vec::with_capacity(parts.len());
        for part in parts {
            tensors.push(match part {
                Part::Text { tokens, .. } => {
                    let rows = self.language.config().vocab_size;
                    if let Some(token) = tokens.iter().find(|token| **token as usize >= rows) {
                        return Err(Error::Input(format!(
                            "token {token}, but the model knows {rows} tokens"
                        )));
                    }
                    self.language.embed(tokens)
                }
                Part::Picture(picture) => picture_tokens(*picture, pictures)?.clone(),
            });
        }
        if tensors.is_empty() {
            return Err(Error::Input("the prompt is empty".to_owned()));
        }
        Ok(Tensor::cat(tensors, 0))
    }

    /// Goes on from `cache` with `x` `[tokens, hidden]` and gives the logits after the last token.
    ///
    /// # Errors
    ///
    /// When the device fails.
    pub fn advance(&self, x: Tensor<2>, cache: &mut KvCache) -> Result<Vec<f32>, Error> {
        let [tokens, _] = x.dims();
        let hidden = self.language.forward(x, cache);
        let logits = self.language.logits(hidden.narrow(0, tokens - 1, 1));
        logits
            .try_into_vec_as::<f32>()
            .map_err(|error| Error::Execution(format!("{error:?}")))
    }

    /// The mean cross entropy of what the parts mark as spoken, for training: `[1]`.
    ///
    /// # Errors
    ///
    /// When nothing is spoken, or as [`Network::embed`].
    pub fn loss(&self, parts: &[Part], pictures: &PictureTokens) -> Result<Tensor<1>, Error> {
        let (mut rows, mut targets) = (Vec::new(), Vec::new());
        let mut position = 0_usize;
        for part in parts {
            match part {
                Part::Text { tokens, spoken } => {
                    for (place, token) in (position..).zip(tokens) {
                        // A token is predicted by the position before it.
                        if let (true, Some(before)) = (*spoken, place.checked_sub(1)) {
                            rows.push(before as i64);
                            targets.push(i64::from(*token));
                        }
                    }
                    position += tokens.len();
                }
                Part::Picture(picture) => position += picture_tokens(*picture, pictures)?.dims()[0],
            }
        }
        if rows.is_empty() {
            return Err(Error::Input("the sample has no answer to learn".to_owned()));
        }
        let x = self.embed(parts, pictures)?;
        let (device, count) = (x.device(), rows.len());
        let hidden = self.language.forward_uncached(x, |_, _| {});
        let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [count]), &device);
        let logits = self.language.logits(hidden.select(0, rows)).cast(FloatDType::F32);
        let targets = Tensor::<2, Int>::from_data(TensorData::new(targets, [count, 1]), &device);
        Ok(log_softmax(logits, 1).gather(1, targets).mean().neg())
    }

    /// Calls `visit` with every projection and its name as a module of transformers' `LlavaOnevisionModel`.
    pub fn for_each_linear(&mut self, visit: &mut dyn FnMut(&str, &mut LoraLinear)) {
        for (index, layer) in self.vision.layers.iter_mut().enumerate() {
            let name = format!("model.vision_tower.encoder.layers.{index}");
            visit(&format!("{name}.self_attn.q_proj"), &mut layer.q);
            visit(&format!("{name}.self_attn.k_proj"), &mut layer.k);
            visit(&format!("{name}.self_attn.v_proj"), &mut layer.v);
            visit(&format!("{name}.self_attn.out_proj"), &mut layer.out);
            visit(&format!("{name}.mlp.fc1"), &mut layer.fc1);
            visit(&format!("{name}.mlp.fc2"), &mut layer.fc2);
        }
        visit("model.multi_modal_projector.linear_1", &mut self.projector.linear_1);
        visit("model.multi_modal_projector.linear_2", &mut self.projector.linear_2);
        for (index, layer) in self.language.layers.iter_mut().enumerate() {
            let name = format!("model.language_model.layers.{index}");
            visit(&format!("{name}.self_attn.q_proj"), &mut layer.q);
            visit(&format!("{name}.self_attn.k_proj"), &mut layer.k);
            visit(&format!("{name}.self_attn.v_proj"), &mut layer.v);
            visit(&format!("{name}.self_attn.o_proj"), &mut layer.o);
            visit(&format!("{name}.mlp.gate_proj"), &mut layer.gate);
            visit(&format!("{name}.mlp.up_proj"), &mut layer.up);
            visit(&format!("{name}.mlp.down_proj"), &mut layer.down);
        }
    }
}

fn picture_tokens(picture: Picture, pictures: &PictureTokens) -> Result<&Tensor<2>, Error> {
    let (kind, list, index) = match picture {
        Picture::Image(index) => ("image", &pictures.images, index),
        Picture::Video(index) => ("video", &pictures.videos, index),
    };
    list.get(index).ok_or_else(|| {
        Error::Input(format!(
            "the prompt asks for {kind} {index}, but there are {}",
            list.len()
        ))
    })
}
