//! The vision tower: SigLIP, from patches of one picture to one feature a patch.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};

use super::Error;
use super::config::{Activation, VisionConfig};
use super::linear::LoraLinear;
use super::ops;
use super::preprocess::Pixels;
use super::weights::Loader;

/// SigLIP's encoder without its last norm and pooling head.
#[derive(Module, Debug)]
pub struct VisionTower {
    patch_embedding: LoraLinear,
    /// `[patches, hidden]`
    positions: Param<Tensor<2>>,
    /// The layers that run.
    pub layers: Vec<VisionLayer>,
    patch_size: usize,
    side: usize,
}

/// One encoder layer.
#[derive(Module, Debug)]
pub struct VisionLayer {
    norm1: LayerNorm,
    /// Queries.
    pub q: LoraLinear,
    /// Keys.
    pub k: LoraLinear,
    /// Values.
    pub v: LoraLinear,
    /// After attention.
    pub out: LoraLinear,
    norm2: LayerNorm,
    /// First layer of the MLP.
    pub fc1: LoraLinear,
    /// Second layer of the MLP.
    pub fc2: LoraLinear,
    heads: usize,
    #[module(skip)]
    activation: Activation,
}

#[derive(Module, Debug)]
struct LayerNorm {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
    eps: f64,
}

impl LayerNorm {
    fn load(loader: &mut Loader<'_>, name: &str, width: usize, eps: f64) -> Result<Self, Error> {
        Ok(Self {
            weight: loader.tensor(&format!("{name}.weight"), [width])?,
            bias: loader.tensor(&format!("{name}.bias"), [width])?,
            eps,
        })
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        ops::layer_norm(x, self.weight.val(), self.bias.val(), self.eps)
    }
}

impl VisionTower {
    /// Reads all layers; `used` of them run.
    pub(super) fn load(loader: &mut Loader<'_>, config: &VisionConfig, used: usize) -> Result<Self, Error> {
        let (hidden, patch) = (config.hidden_size, config.patch_size);
        let name = "vision.embeddings.patch_embedding";
        let kernel = loader.tensor(&format!("{name}.weight"), [hidden, config.channels, patch, patch])?;
        let width = config.channels * patch * patch;
        let patch_embedding = LoraLinear {
            // While names are compared, tensors hold a single value.
            weight: kernel_as_matrix(&kernel, hidden, width),
            bias: Some(loader.tensor(&format!("{name}.bias"), [hidden])?),
            lora: None,
        };
        let positions = loader.tensor("vision.embeddings.position_embedding.weight", [config.tokens(), hidden])?;
        let layers = (0..config.layers)
            .map(|index| VisionLayer::load(loader, &format!("vision.encoder.layers.{index}"), config))
            .take(config.layers)
            .collect::<Result<Vec<_>, _>>()?;
        let layers = layers.into_iter().take(used).collect();
        Ok(Self {
            patch_embedding,
            positions,
            layers,
            patch_size: patch,
            side: config.side(),
        })
    }

    /// The embedding of each patch with its position: `[patches, hidden]`.
    pub fn embed(&self, pixels: &Pixels) -> Tensor<2> {
        let device = self.positions.val().device();
        let dtype = self.positions.val().dtype();
        let (rows, width) = (
            self.side * self.side,
            pixels.channels() * self.patch_size * self.patch_size,
        );
        let data = TensorData::new(pixels.patches(self.patch_size, self.side), [rows, width]);
        self.patch_embedding.forward(Tensor::from_data(data, (&device, dtype))) + self.positions.val()
    }

    /// The features of one picture: `[patches, hidden]`.
    pub fn forward(&self, pixels: &Pixels) -> Tensor<2> {
        self.layers.iter().fold(self.embed(pixels), |x, layer| layer.forward(x))
    }
}

/// A convolution without overlap is a matrix product over patches.
fn kernel_as_matrix(kernel: &Param<Tensor<4>>, hidden: usize, width: usize) -> Param<Tensor<2>> {
    let kernel = kernel.val();
    let matrix = if kernel.shape().num_elements() == hidden * width {
        kernel.reshape([hidden, width])
    } else {
        kernel.reshape([1, 1])
    };
    super::weights::frozen(matrix)
}

impl VisionLayer {
    fn load(loader: &mut Loader<'_>, name: &str, config: &VisionConfig) -> Result<Self, Error> {
        let (hidden, inner, eps) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        let attention = |loader: &mut Loader<'_>, part: &str| {
            LoraLinear::load(loader, &format!("{name}.self_attn.{part}"), hidden, hidden, true)
        };
        Ok(Self {
            norm1: LayerNorm::load(loader, &format!("{name}.layer_norm1"), hidden, eps)?,
            q: attention(loader, "q_proj")?,
            k: attention(loader, "k_proj")?,
            v: attention(loader, "v_proj")?,
            out: attention(loader, "out_proj")?,
            norm2: LayerNorm::load(loader, &format!("{name}.layer_norm2"), hidden, eps)?,
            fc1: LoraLinear::load(loader, &format!("{name}.mlp.fc1"), hidden, inner, true)?,
            fc2: LoraLinear::load(loader, &format!("{name}.mlp.fc2"), inner, hidden, true)?,
            heads: config.heads,
            activation: config.activation,
        })
    }

    /// `[patches, hidden]` to the same.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let [rows, hidden] = x.dims();
        let heads = |x: Tensor<2>| x.reshape([rows, self.heads, hidden / self.heads]);
        let normed = self.norm1.forward(x.clone());
        let q = heads(self.q.forward(normed.clone()));
        let k = heads(self.k.forward(normed.clone()));
        let v = heads(self.v.forward(normed));
        let x = x + self.out.forward(ops::attend_all(q, k, v).reshape([rows, hidden]));
        let inner = ops::activate(self.fc1.forward(self.norm2.forward(x.clone())), self.activation);
        x + self.fc2.forward(inner)
    }
}
