//! A linear layer with an optional low-rank adapter beside its weight.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::Error;
use super::ops;
use super::weights::{Loader, frozen};

/// `y = x Wᵀ + b`, and `+ s (x A) B` where an adapter is attached. The weight keeps the file's layout.
#[derive(Module, Debug)]
pub struct LoraLinear {
    /// `[out, in]`
    pub weight: Param<Tensor<2>>,
    /// `[out]`
    pub bias: Option<Param<Tensor<1>>>,
    /// The adapter.
    pub lora: Option<LoraPair>,
}

/// The two factors of an adapter.
#[derive(Module, Debug)]
pub struct LoraPair {
    /// `[in, rank]`
    pub a: Param<Tensor<2>>,
    /// `[rank, out]`
    pub b: Param<Tensor<2>>,
    /// What their product is multiplied with: alpha / rank.
    pub scale: f64,
}

impl LoraLinear {
    /// Reads `{name}.weight` and, where `bias` is set, `{name}.bias`.
    pub(super) fn load(
        loader: &mut Loader<'_>,
        name: &str,
        inputs: usize,
        outputs: usize,
        bias: bool,
    ) -> Result<Self, Error> {
        let weight = loader.tensor(&format!("{name}.weight"), [outputs, inputs])?;
        let bias = if bias {
            Some(loader.tensor(&format!("{name}.bias"), [outputs])?)
        } else {
            None
        };
        Ok(Self {
            weight,
            bias,
            lora: None,
        })
    }

    /// `[in, out]` sizes.
    pub fn sizes(&self) -> [usize; 2] {
        let [outputs, inputs] = self.weight.dims();
        [inputs, outputs]
    }

    /// `[tokens, in]` to `[tokens, out]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let bias = self.bias.as_ref().map(Param::val);
        match &self.lora {
            None => ops::linear(x, self.weight.val(), bias),
            Some(LoraPair { a, b, scale }) => {
                let low = x.clone().matmul(a.val()).matmul(b.val()).mul_scalar(*scale);
                ops::linear(x, self.weight.val(), bias) + low
            }
        }
    }

    /// Adds the adapter's product to the weight and drops the adapter.
    pub fn merge(&mut self) {
        if let Some(LoraPair { a, b, scale }) = self.lora.take() {
            let product = a.val().matmul(b.val()).mul_scalar(scale).transpose();
            let merged = self.weight.val() + product;
            self.weight = frozen(merged.detach());
        }
    }
}
