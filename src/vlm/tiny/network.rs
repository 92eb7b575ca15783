//! The network: small convolutions see the pictures, and a transformer over one object's tokens, the pictures' tokens and
//! the question's token tells how fast the object was, where it went, and toward which hour it moved at each time.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::{gelu, sigmoid, softmax};
use burn::tensor::{Device, Tensor, TensorData};

use super::bearings::BEARINGS;
use super::clip::{VIEW_CHANNELS, VIEW_HEIGHT, VIEW_WIDTH};
use super::tokens::{COARSE, FINE, QUERY_FEATURES, TOKEN_FEATURES, VIEW_FEATURES};

/// Width of a token inside the network.
const WIDTH: usize = 160;
const HEADS: usize = 5;
const BLOCKS: usize = 5;
/// Channels of the finer and the coarser map.
const FINE_CHANNELS: usize = 48;
const COARSE_CHANNELS: usize = 96;
const LAST_CHANNELS: usize = 96;
/// Answers at each time: twelve hours, standing, logarithm of the step's speed, logarithm of the distance from the camera.
pub const STEP_OUTPUTS: usize = 15;
/// Which of them is standing.
pub const STANDING: usize = 12;
/// Answers over the time asked about: mean and logarithm of sigma of the log speed, and the direction gone.
pub const SPAN_OUTPUTS: usize = 4;

/// Greatest size of the logarithm of how much a told direction counts.
const TRUST: f64 = 4.0;

/// Cosine and sine of each hour's angle, 1 to 12, clockwise from twelve: `[2, STANDING]`.
fn compass(device: &Device) -> Tensor<2> {
    let angles = (1..=STANDING).map(|hour| std::f32::consts::TAU * hour as f32 / STANDING as f32);
    let (cosines, sines): (Vec<f32>, Vec<f32>) = angles.map(|angle| (angle.cos(), angle.sin())).unzip();
    Tensor::from_data(TensorData::new([cosines, sines].concat(), [2, STANDING]), device)
}

/// What the convolutions make of `n` pictures.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `[n, FINE, FINE_CHANNELS]`.
    pub fine: Tensor<3>,
    /// `[n, COARSE, COARSE_CHANNELS]`.
    pub coarse: Tensor<3>,
    /// `[n, WIDTH]`.
    pub whole: Tensor<2>,
}

impl Seen {
    /// Views that were seen one by one, in order, padded with nothing to `views`; `None` without any.
    pub fn joined(seen: &[&Self], views: usize) -> Option<Self> {
        if seen.is_empty() {
            return None;
        }
        let missing = views.saturating_sub(seen.len());
        fn joined<const D: usize>(mut parts: Vec<Tensor<D>>, missing: usize) -> Tensor<D> {
            if let Some(first) = parts.first().filter(|_| missing > 0) {
                let mut shape = first.dims();
                shape[0] = missing;
                let padding = Tensor::zeros(shape, &first.device());
                parts.push(padding);
            }
            Tensor::cat(parts, 0)
        }
        Some(Self {
            fine: joined(seen.iter().map(|seen| seen.fine.clone()).collect(), missing),
            coarse: joined(seen.iter().map(|seen| seen.coarse.clone()).collect(), missing),
            whole: joined(seen.iter().map(|seen| seen.whole.clone()).collect(), missing),
        })
    }
}

/// What the transformer is given of `g` clips with `m` objects each, `t` times and `k` pictures.
#[derive(Clone, Debug)]
pub struct Input {
    /// `[g, m, t, TOKEN_FEATURES]`.
    pub tokens: Tensor<4>,
    /// Cosine and sine of the way at each time, clockwise from the first move, as each of [`BEARINGS`] tells it, or zeros:
    /// `[g, m, t, 2 · BEARINGS]`.
    pub bearings: Tensor<4>,
    /// Logarithm of the mean speed that the engine's states tell and 1, or zeros: `[g, m, 2]`.
    pub pace: Tensor<3>,
    /// `[g, m, QUERY_FEATURES]`.
    pub query: Tensor<3>,
    /// `[g, k, VIEW_FEATURES]`.
    pub views: Tensor<3>,
    /// Which time each picture is of, `[g, t, k]`: 1 or 0.
    pub places: Tensor<3>,
    /// Where the objects are in each picture: `[g, k, m, cells]`.
    pub fine: Tensor<4>,
    /// The same in the coarser map.
    pub coarse: Tensor<4>,
    /// 0 for what is there, a large negative number for padding: `[g, 1 + t + k]`.
    pub bias: Tensor<2>,
}

/// Answers for `g · m` rows.
#[derive(Clone, Debug)]
pub struct Output {
    /// `[rows, SPAN_OUTPUTS]`.
    pub span: Tensor<2>,
    /// `[rows, t, STEP_OUTPUTS]`.
    pub steps: Tensor<3>,
}

/// The network with its weights.
#[derive(Module, Debug)]
pub struct Network {
    conv1: Conv2d,
    conv2: Conv2d,
    conv3: Conv2d,
    conv4: Conv2d,
    whole: Linear,
    view_in: Linear,
    fine_in: Linear,
    coarse_in: Linear,
    token_in: Linear,
    token_mid: Linear,
    query_in: Linear,
    blocks: Vec<Block>,
    norm: LayerNorm,
    span_mid: Linear,
    span_out: Linear,
    step_out: Linear,
    trusts: Linear,
    pace_trust: Linear,
}

/// Pre-normalised self-attention and a two-layer perceptron.
#[derive(Module, Debug)]
struct Block {
    norm_attention: LayerNorm,
    qkv: Linear,
    out: Linear,
    norm_mlp: LayerNorm,
    up: Linear,
    down: Linear,
}

impl Block {
    fn new(device: &Device) -> Self {
        Self {
            norm_attention: LayerNormConfig::new(WIDTH).init(device),
            qkv: LinearConfig::new(WIDTH, 3 * WIDTH).init(device),
            out: LinearConfig::new(WIDTH, WIDTH).init(device),
            norm_mlp: LayerNormConfig::new(WIDTH).init(device),
            up: LinearConfig::new(WIDTH, 3 * WIDTH).init(device),
            down: LinearConfig::new(3 * WIDTH, WIDTH).init(device),
        }
    }

    /// `x` is `[rows, s, WIDTH]`, `bias` `[rows, HEADS or 1, 1, s]`.
    fn forward(&self, x: Tensor<3>, bias: &Tensor<4>) -> Tensor<3> {
        let [rows, length, _] = x.dims();
        let each = WIDTH / HEADS;
        let qkv = self.qkv.forward(self.norm_attention.forward(x.clone()));
        let part = |index: usize| {
            qkv.clone()
                .narrow(2, index * WIDTH, WIDTH)
                .reshape([rows, length, HEADS, each])
                .swap_dims(1, 2)
        };
        let scores = part(0).matmul(part(1).swap_dims(2, 3)) * (1.0 / (each as f64).sqrt()) + bias.clone();
        let mixed = softmax(scores, 3).matmul(part(2));
        let x = x + self.out.forward(mixed.swap_dims(1, 2).reshape([rows, length, WIDTH]));
        let mlp = self
            .down
            .forward(gelu(self.up.forward(self.norm_mlp.forward(x.clone()))));
        x + mlp
    }
}

impl Network {
    /// A network with random weights.
    pub fn new(device: &Device) -> Self {
        let conv = |inputs: usize, outputs: usize, kernel: usize| {
            Conv2dConfig::new([inputs, outputs], [kernel, kernel])
                .with_stride([2, 2])
                .with_padding(PaddingConfig2d::Explicit(
                    kernel / 2,
                    kernel / 2,
                    kernel / 2,
                    kernel / 2,
                ))
                .init(device)
        };
        let cells = (VIEW_WIDTH / 16) * (VIEW_HEIGHT / 16);
        Self {
            conv1: conv(VIEW_CHANNELS, 24, 5),
            conv2: conv(24, FINE_CHANNELS, 3),
            conv3: conv(FINE_CHANNELS, COARSE_CHANNELS, 3),
            conv4: conv(COARSE_CHANNELS, LAST_CHANNELS, 3),
            whole: LinearConfig::new(LAST_CHANNELS * cells, WIDTH).init(device),
            view_in: LinearConfig::new(VIEW_FEATURES, WIDTH).init(device),
            fine_in: LinearConfig::new(FINE_CHANNELS, WIDTH).init(device),
            coarse_in: LinearConfig::new(COARSE_CHANNELS, WIDTH).init(device),
            token_in: LinearConfig::new(TOKEN_FEATURES, WIDTH).init(device),
            token_mid: LinearConfig::new(WIDTH, WIDTH).init(device),
            query_in: LinearConfig::new(QUERY_FEATURES, WIDTH).init(device),
            blocks: (0..BLOCKS).map(|_| Block::new(device)).collect(),
            norm: LayerNormConfig::new(WIDTH).init(device),
            span_mid: LinearConfig::new(WIDTH, WIDTH).init(device),
            span_out: LinearConfig::new(WIDTH, SPAN_OUTPUTS).init(device),
            step_out: LinearConfig::new(WIDTH, STEP_OUTPUTS).init(device),
            trusts: LinearConfig::new(WIDTH, BEARINGS).init(device),
            pace_trust: LinearConfig::new(WIDTH, 1).init(device),
        }
    }

    /// Sees pictures: `[n, VIEW_CHANNELS, VIEW_HEIGHT, VIEW_WIDTH]`, 0 to 1.
    pub fn see(&self, pictures: Tensor<4>) -> Seen {
        let [count, ..] = pictures.dims();
        let x = gelu(self.conv1.forward(pictures * 4.0 - 2.0));
        let fine = gelu(self.conv2.forward(x));
        let coarse = gelu(self.conv3.forward(fine.clone()));
        let last = gelu(self.conv4.forward(coarse.clone()));
        let cells = |map: Tensor<4>, channels: usize, (columns, rows): (usize, usize)| {
            map.reshape([count, channels, columns * rows]).swap_dims(1, 2)
        };
        let [_, channels, rows, columns] = last.dims();
        Seen {
            fine: cells(fine, FINE_CHANNELS, FINE),
            coarse: cells(coarse, COARSE_CHANNELS, COARSE),
            whole: self.whole.forward(last.reshape([count, channels * rows * columns])),
        }
    }

    /// Answers about all rows; `seen` is of the `g · k` pictures in the order of `input`.
    pub fn answer(&self, input: Input, seen: Option<Seen>) -> Output {
        let [clips, objects, times, _] = input.tokens.dims();
        let [_, views, _] = input.views.dims();
        let mut tokens = self.token_mid.forward(gelu(self.token_in.forward(input.tokens)));
        let mut view_tokens = self.view_in.forward(input.views);
        if let Some(seen) = seen {
            let at_boxes = |map: Tensor<3>, weights: Tensor<4>, into: &Linear| {
                let [_, cells, channels] = map.dims();
                // [g, k, m, cells] x [g, k, cells, channels] -> [g, k, m · WIDTH]
                let found = weights.matmul(map.reshape([clips, views, cells, channels]));
                into.forward(found).reshape([clips, views, objects * WIDTH])
            };
            let looked =
                at_boxes(seen.fine, input.fine, &self.fine_in) + at_boxes(seen.coarse, input.coarse, &self.coarse_in);
            let placed = input.places.matmul(looked).reshape([clips, times, objects, WIDTH]);
            tokens = tokens + placed.swap_dims(1, 2);
            view_tokens = view_tokens + seen.whole.reshape([clips, views, WIDTH]);
        }
        let rows = clips * objects;
        let query = self.query_in.forward(input.query).reshape([rows, 1, WIDTH]);
        let view_tokens = view_tokens
            .unsqueeze_dim::<4>(1)
            .repeat_dim(1, objects)
            .reshape([rows, views, WIDTH]);
        let length = 1 + times + views;
        let bias = input
            .bias
            .unsqueeze_dim::<3>(1)
            .repeat_dim(1, objects)
            .reshape([rows, 1, 1, length]);
        let mut x = Tensor::cat(vec![query, tokens.reshape([rows, times, WIDTH]), view_tokens], 1);
        for block in &self.blocks {
            x = block.forward(x, &bias);
        }
        let x = self.norm.forward(x);
        let asked = x.clone().narrow(1, 0, 1).reshape([rows, WIDTH]);
        let x = x.narrow(1, 1, times);
        let steps = self.step_out.forward(x.clone());
        // The hours start from what is told, as a von Mises distribution: the network decides how much each way counts.
        let trusts = self.trusts.forward(x).clamp(-TRUST, TRUST).exp();
        let told = input.bearings.reshape([rows, times, BEARINGS, 2]) * trusts.unsqueeze_dim::<4>(3);
        let told = told
            .sum_dim(2)
            .reshape([rows * times, 2])
            .matmul(compass(&steps.device()))
            .reshape([rows, times, STANDING]);
        let hours = steps.clone().narrow(2, 0, STANDING) + told;
        let others = steps.narrow(2, STANDING, STEP_OUTPUTS - STANDING);
        let asked = gelu(self.span_mid.forward(asked));
        let span = self.span_out.forward(asked.clone());
        // So does the speed: between what the network makes of all it sees and what the states tell.
        let pace = input.pace.reshape([rows, 2]);
        let trust = sigmoid(self.pace_trust.forward(asked)) * pace.clone().narrow(1, 1, 1);
        let own = span.clone().narrow(1, 0, 1);
        let speed = own.clone() + trust * (pace.narrow(1, 0, 1) - own);
        Output {
            span: Tensor::cat(vec![speed, span.narrow(1, 1, SPAN_OUTPUTS - 1)], 1),
            steps: Tensor::cat(vec![hours, others], 2),
        }
    }
}
