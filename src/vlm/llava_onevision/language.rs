//! The language model: Qwen2, with grouped key heads, rotary positions and a cache.

use burn::module::{Module, Param};
use burn::tensor::module::embedding;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::Error;
use super::cache::KvCache;
use super::config::TextConfig;
use super::linear::LoraLinear;
use super::ops;
use super::weights::Loader;

/// Qwen2.
#[derive(Module, Debug)]
pub struct LanguageModel {
    /// `[vocabulary, hidden]`
    embeddings: Param<Tensor<2>>,
    /// The decoder's layers.
    pub layers: Vec<DecoderLayer>,
    norm: Param<Tensor<1>>,
    /// Absent where the embedding table is the output layer as well.
    head: Option<LoraLinear>,
    #[module(skip)]
    config: TextConfig,
}

/// One decoder layer.
#[derive(Module, Debug)]
pub struct DecoderLayer {
    norm1: Param<Tensor<1>>,
    /// Queries.
    pub q: LoraLinear,
    /// Keys.
    pub k: LoraLinear,
    /// Values.
    pub v: LoraLinear,
    /// After attention.
    pub o: LoraLinear,
    norm2: Param<Tensor<1>>,
    /// The MLP's gate.
    pub gate: LoraLinear,
    /// Beside the gate.
    pub up: LoraLinear,
    /// Back to the token's width.
    pub down: LoraLinear,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    eps: f64,
}

/// Cosines and sines of the positions of some tokens, `[tokens, head width / 2]` each.
#[derive(Clone, Debug)]
struct Rotation {
    cos: Tensor<2>,
    sin: Tensor<2>,
}

impl Rotation {
    /// Computed in f32, as the original does.
    fn new(config: &TextConfig, first: usize, tokens: usize, device: &Device) -> Self {
        let half = config.head_dim / 2;
        let theta = config.rope_theta as f32;
        let frequencies: Vec<f32> = (0..half)
            .map(|i| 1.0 / theta.powf((2 * i) as f32 / config.head_dim as f32))
            .collect();
        let angles = |function: fn(f32) -> f32| {
            let row = |position: usize| {
                frequencies
                    .iter()
                    .map(move |frequency| function(position as f32 * frequency))
            };
            let values: Vec<f32> = (first..first + tokens).flat_map(row).collect();
            Tensor::from_data(TensorData::new(values, [tokens, half]), (device, DType::F32))
        };
        Self {
            cos: angles(f32::cos),
            sin: angles(f32::sin),
        }
    }
}

impl LanguageModel {
    pub(super) fn load(loader: &mut Loader<'_>, config: &TextConfig) -> Result<Self, Error> {
        let (hidden, vocabulary) = (config.hidden_size, config.vocab_size);
        let layers = (0..config.layers)
            .map(|index| DecoderLayer::load(loader, &format!("language.layers.{index}"), config))
            .collect::<Result<_, _>>()?;
        let head = if config.tied_embeddings {
            None
        } else {
            Some(LoraLinear::load(loader, "lm_head", hidden, vocabulary, false)?)
        };
        Ok(Self {
            embeddings: loader.tensor("language.embed_tokens.weight", [vocabulary, hidden])?,
            layers,
            norm: loader.tensor("language.norm.weight", [hidden])?,
            head,
            config: config.clone(),
        })
    }

    /// The sizes.
    pub fn config(&self) -> &TextConfig {
        &self.config
    }

    /// Where the weights lie.
    pub fn device(&self) -> Device {
        self.embeddings.val().device()
    }

    /// The embeddings of tokens: `[tokens, hidden]`.
    pub fn embed(&self, tokens: &[u32]) -> Tensor<2> {
        let device = self.device();
        let ids: Vec<i64> = tokens.iter().map(|&token| i64::from(token)).collect();
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [1, tokens.len()]), &device);
        embedding(self.embeddings.val(), ids).squeeze_dim(0)
    }

    /// The hidden states after the last norm of tokens `[tokens, hidden]` that follow what `cache` has seen.
    pub fn forward(&self, x: Tensor<2>, cache: &mut KvCache) -> Tensor<2> {
        let [tokens, _] = x.dims();
        let rotation = Rotation::new(&self.config, cache.len(), tokens, &x.device());
        let mut x = x;
        for (index, layer) in self.layers.iter().enumerate() {
            x = layer.forward(x, &rotation, |k, v| cache.extend(index, k, v));
        }
        cache.advance(tokens);
        self.last_norm(x)
    }

    /// As [`LanguageModel::forward`] from the first position on, without a cache: for training, and for looking at
    /// each layer's output through `seen`.
    pub fn forward_uncached(&self, x: Tensor<2>, mut seen: impl FnMut(usize, &Tensor<2>)) -> Tensor<2> {
        let [tokens, _] = x.dims();
        let rotation = Rotation::new(&self.config, 0, tokens, &x.device());
        let mut x = x;
        for (index, layer) in self.layers.iter().enumerate() {
            x = layer.forward(x, &rotation, |k, v| vec![(k, v)]);
            seen(index, &x);
        }
        self.last_norm(x)
    }

    fn last_norm(&self, x: Tensor<2>) -> Tensor<2> {
        ops::rms_norm(x, self.norm.val(), self.config.rms_norm_eps)
    }

    /// Hidden states `[tokens, hidden]` to logits `[tokens, vocabulary]`.
    pub fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        match &self.head {
            Some(head) => head.forward(hidden),
            None => ops::linear(hidden, self.embeddings.val(), None),
        }
    }
}

impl DecoderLayer {
    fn load(loader: &mut Loader<'_>, name: &str, config: &TextConfig) -> Result<Self, Error> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (queries, keys) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        let mut linear = |part: &str, inputs, outputs, bias| {
            LoraLinear::load(loader, &format!("{name}.{part}"), inputs, outputs, bias)
        };
        let q = linear("self_attn.q_proj", hidden, queries, true)?;
        let k = linear("self_attn.k_proj", hidden, keys, true)?;
        let v = linear("self_attn.v_proj", hidden, keys, true)?;
        let o = linear("self_attn.o_proj", queries, hidden, false)?;
        let gate = linear("mlp.gate_proj", hidden, inner, false)?;
        let up = linear("mlp.up_proj", hidden, inner, false)?;
        let down = linear("mlp.down_proj", inner, hidden, false)?;
        Ok(Self {
            norm1: loader.tensor(&format!("{name}.input_layernorm.weight"), [hidden])?,
            q,
            k,
            v,
            o,
            norm2: loader.tensor(&format!("{name}.post_attention_layernorm.weight"), [hidden])?,
            gate,
            up,
            down,
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
            eps: config.rms_norm_eps,
        })
    }

    /// `remember` takes the new keys and values `[kv heads, tokens, width]` and gives back all pieces.
    fn forward(
        &self,
        x: Tensor<2>,
        rotation: &Rotation,
        remember: impl FnOnce(Tensor<3>, Tensor<3>) -> Vec<(Tensor<3>, Tensor<3>)>,
    ) -> Tensor<2> {
        let [tokens, _] = x.dims();
        let split = |x: Tensor<2>, heads| x.reshape([tokens, heads, self.head_dim]);
        let turn = |x| ops::rotate(x, rotation.cos.clone(), rotation.sin.clone());
        let normed = ops::rms_norm(x.clone(), self.norm1.val(), self.eps);
        let q = turn(split(self.q.forward(normed.clone()), self.heads));
        let k = turn(split(self.k.forward(normed.clone()), self.kv_heads)).swap_dims(0, 1);
        let v = split(self.v.forward(normed), self.kv_heads).swap_dims(0, 1);
        let pieces = remember(k, v);
        let attended = ops::attend_causal(q, &pieces).reshape([tokens, self.heads * self.head_dim]);
        let x = x + self.o.forward(attended);
        let normed = ops::rms_norm(x.clone(), self.norm2.val(), self.eps);
        let inner = ops::gated(self.gate.forward(normed.clone()), self.up.forward(normed));
        x + self.down.forward(inner)
    }
}
