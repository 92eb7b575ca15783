//! From the vision tower's features to tokens of the language model: projector, pooling, tiles and newlines.

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};

use super::Error;
use super::anyres::Grid;
use super::config::{Activation, Config, Newline};
use super::linear::LoraLinear;
use super::ops;
use super::weights::Loader;

/// The two layers between the vision tower and the language model, and the newline vector.
#[derive(Module, Debug)]
pub struct Projector {
    /// First layer.
    pub linear_1: LoraLinear,
    /// Second layer.
    pub linear_2: LoraLinear,
    /// `[hidden]`
    newline: Param<Tensor<1>>,
    side: usize,
    #[module(skip)]
    activation: Activation,
}

impl Projector {
    pub(super) fn load(loader: &mut Loader<'_>, config: &Config) -> Result<Self, Error> {
        let (inputs, hidden, bias) = (
            config.vision.hidden_size,
            config.text.hidden_size,
            config.projector_bias,
        );
        Ok(Self {
            linear_1: LoraLinear::load(loader, "projector.linear_1", inputs, hidden, bias)?,
            linear_2: LoraLinear::load(loader, "projector.linear_2", hidden, hidden, bias)?,
            newline: loader.tensor("image_newline", [hidden])?,
            side: config.vision.side(),
            activation: config.projector_activation,
        })
    }

    /// `[patches, vision width]` to `[patches, hidden]`.
    pub fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        self.linear_2
            .forward(ops::activate(self.linear_1.forward(features), self.activation))
    }

    /// One frame's tokens: its projected patches, `[side², hidden]`, shrunk to half the side (rounded up).
    pub fn pool(&self, projected: Tensor<2>) -> Tensor<2> {
        let half = self.side.div_ceil(2);
        resize(projected, (self.side, self.side), (half, half))
    }

    /// A video's tokens from those of its frames, with newlines where `mode` wants them.
    pub fn join_frames(&self, frames: Vec<Tensor<2>>, mode: Newline) -> Tensor<2> {
        let newline = self.newline.val().unsqueeze::<2>();
        let half = self.side.div_ceil(2);
        let mut parts = Vec::with_capacity(2 * frames.len() + 1);
        for frame in frames {
            if mode == Newline::Grid {
                parts.push(self.end_rows(frame, half, half));
            } else {
                parts.push(frame);
            }
            if mode == Newline::Frame {
                parts.push(newline.clone());
            }
        }
        if mode == Newline::OneToken {
            parts.push(newline);
        }
        Tensor::cat(parts, 0)
    }

    /// `[rows * columns, hidden]` to `[rows * (columns + 1), hidden]`: the newline vector ends each row.
    fn end_rows(&self, tokens: Tensor<2>, rows: usize, columns: usize) -> Tensor<2> {
        let [_, hidden] = tokens.dims();
        let newline = self.newline.val().reshape([1, 1, hidden]).expand([rows, 1, hidden]);
        let ended = Tensor::cat(vec![tokens.reshape([rows, columns, hidden]), newline], 1);
        ended.reshape([rows * (columns + 1), hidden])
    }

    /// An image's tokens: those of the whole picture, then those of its tiles, put together, without what was only
    /// padding, and with the newline vector at the end of each row.
    ///
    /// `base` and each tile are `[side², hidden]`; tiles come row by row.
    pub fn join_tiles(&self, base: Tensor<2>, tiles: Vec<Tensor<2>>, grid: &Grid) -> Tensor<2> {
        let [_, hidden] = base.dims();
        let (side, (rows, columns)) = (self.side, grid.tiles);
        let joined: Tensor<3> = Tensor::stack(tiles, 0);
        let joined: Tensor<5> = joined.reshape([rows, columns, side, side, hidden]).swap_dims(1, 2);
        let joined: Tensor<3> = joined.reshape([rows * side, columns * side, hidden]);
        let (top, height) = grid.rows;
        let (left, width) = grid.columns;
        let cut = joined.narrow(0, top, height).narrow(1, left, width);
        let flat = cut.reshape([height * width, hidden]);
        let (flat, (height, width)) = match grid.shrunk {
            Some(size) => (resize(flat, (height, width), size), size),
            None => (flat, (height, width)),
        };
        Tensor::cat(vec![base, self.end_rows(flat, height, width)], 0)
    }

    /// An image that is one of several: its tokens and one newline.
    pub fn join_single(&self, base: Tensor<2>) -> Tensor<2> {
        Tensor::cat(vec![base, self.newline.val().unsqueeze()], 0)
    }
}

/// Bilinear resampling of `[height * width, hidden]`, with the corners not aligned and without anti-aliasing.
fn resize(x: Tensor<2>, from: (usize, usize), to: (usize, usize)) -> Tensor<2> {
    let [_, hidden] = x.dims();
    let (device, dtype) = (x.device(), x.dtype());
    let rows = weights(from.0, to.0, &device, dtype).matmul(x.reshape([from.0, from.1 * hidden]));
    let columns = weights(from.1, to.1, &device, dtype).unsqueeze::<3>();
    columns
        .matmul(rows.reshape([to.0, from.1, hidden]))
        .reshape([to.0 * to.1, hidden])
}

/// The matrix `[to, from]` that resamples one side.
fn weights(from: usize, to: usize, device: &Device, dtype: DType) -> Tensor<2> {
    let mut matrix = vec![0.0_f32; to * from];
    let scale = from as f32 / to as f32;
    for (index, row) in matrix.chunks_exact_mut(from).enumerate() {
        let place = (scale * (index as f32 + 0.5) - 0.5).max(0.0);
        let lower = (place as usize).min(from - 1);
        let upper = (lower + 1).min(from - 1);
        let share = place - lower as f32;
        row[lower] += 1.0 - share;
        row[upper] += share;
    }
    Tensor::from_data(TensorData::new(matrix, [to, from]), (device, dtype))
}
