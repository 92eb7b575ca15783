//! The model's sizes and settings, read from `config.json` as Hugging Face and as lmms-lab write it.

mod parts;
mod read;
mod section;
#[cfg(test)]
mod tests;

/// Everything that `config.json` says about the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The vision tower.
    pub vision: VisionConfig,
    /// The language model.
    pub text: TextConfig,
    /// The projector's activation.
    pub projector_activation: Activation,
    /// Whether the projector's layers have a bias.
    pub projector_bias: bool,
    /// How many of the vision tower's layers run before its features are taken.
    pub feature_layer: usize,
    /// The token that stands for an image in `tokenizer.json`, if it has one.
    pub image_token: u32,
    /// The token that stands for a video in `tokenizer.json`, if it has one.
    pub video_token: u32,
    /// The sizes (height, width) in pixels among which a single image chooses.
    pub grid_pinpoints: Vec<(usize, usize)>,
    /// From how many tiles on an image's features are shrunk (the number in `anyres_max_9`).
    pub max_tiles: usize,
    /// Where the newline vector stands in a video.
    pub video_newline: Newline,
    /// Who wrote the folder.
    pub origin: Origin,
}

/// SigLIP's sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct VisionConfig {
    /// Width of a token.
    pub hidden_size: usize,
    /// Width inside the MLP.
    pub intermediate_size: usize,
    /// Number of layers.
    pub layers: usize,
    /// Number of attention heads.
    pub heads: usize,
    /// Side of the square input, pixels.
    pub image_size: usize,
    /// Side of a patch, pixels.
    pub patch_size: usize,
    /// Number of colours.
    pub channels: usize,
    /// Added to the variance in the norms.
    pub layer_norm_eps: f64,
    /// The MLP's activation.
    pub activation: Activation,
}

impl VisionConfig {
    /// Patches along one side.
    pub fn side(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Tokens of one picture.
    pub fn tokens(&self) -> usize {
        self.side() * self.side()
    }
}

/// Qwen2's sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct TextConfig {
    /// Width of a token.
    pub hidden_size: usize,
    /// Width inside the MLP.
    pub intermediate_size: usize,
    /// Number of layers.
    pub layers: usize,
    /// Number of query heads.
    pub heads: usize,
    /// Number of key and value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Rows of the embedding table.
    pub vocab_size: usize,
    /// Base of the rotary angles.
    pub rope_theta: f64,
    /// Added to the mean square in the norms.
    pub rms_norm_eps: f64,
    /// Whether the output layer is the embedding table.
    pub tied_embeddings: bool,
    /// The longest sequence the model was made for, tokens.
    pub max_positions: usize,
}

/// An activation function by its name in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x Φ(x)`, exact.
    Gelu,
    /// The tanh form of GELU.
    GeluTanh,
    /// `x σ(x)`.
    Silu,
}

/// Where the newline vector stands among the tokens of a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Newline {
    /// Once, after the last frame: LLaVA-OneVision.
    #[default]
    OneToken,
    /// After every frame.
    Frame,
    /// After every row of every frame.
    Grid,
    /// Nowhere.
    None,
}

/// Who wrote the folder, which decides the chat template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Hugging Face's conversion (llava-hf).
    HuggingFace,
    /// The original training code (lmms-lab).
    Original,
}
