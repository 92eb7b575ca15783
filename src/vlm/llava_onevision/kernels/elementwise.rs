//! What stands between the products: activations, norms and rotations, over all cores and in one pass.

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::simd::{exp, sigmoid, sum_of, widened};
use super::{contiguous, tensor};
use crate::vlm::llava_onevision::config::Activation;

/// Values a thread works on at a time.
const CHUNK: usize = 1 << 14;

/// Runs `work` on chunks of `x` and the output; on one core where there is little to do.
fn over(x: &[f32], chunk: usize, work: impl Fn(usize, &[f32], &mut [f32]) + Sync) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    let chunk = chunk.max(1);
    if x.len() <= 2 * CHUNK {
        for (index, (x, y)) in x.chunks(chunk).zip(y.chunks_mut(chunk)).enumerate() {
            work(index, x, y);
        }
    } else {
        let pairs = x.par_chunks(chunk).zip(y.par_chunks_mut(chunk)).enumerate();
        pairs.for_each(|(index, (x, y))| work(index, x, y));
    }
    y
}

/// As many whole rows as make a chunk.
fn rows_of(width: usize) -> usize {
    (CHUNK / width.max(1)).max(1) * width
}

widened! {
    pub fn gelu_tanh(x: &[f32], y: &mut [f32]) = gelu_tanh_body;
}
widened! {
    pub fn silu_times(gate: &[f32], up: &[f32], y: &mut [f32]) = silu_times_body;
}
widened! {
    pub fn layer_norms(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, y: &mut [f32]) = layer_norms_body;
}
widened! {
    pub fn rms_norms(x: &[f32], weight: &[f32], eps: f32, y: &mut [f32]) = rms_norms_body;
}

#[inline(always)]
fn gelu_tanh_body(x: &[f32], y: &mut [f32]) {
    // 0.5 (1 + tanh u) = σ(2u)
    const TWICE: f32 = 2.0 * 0.797_884_6;
    for (x, y) in x.iter().zip(y) {
        *y = x * sigmoid(TWICE * (x + 0.044_715 * x * x * x));
    }
}

#[inline(always)]
fn silu_times_body(gate: &[f32], up: &[f32], y: &mut [f32]) {
    for ((gate, up), y) in gate.iter().zip(up).zip(y) {
        *y = gate / (1.0 + exp(-gate)) * up;
    }
}

#[inline(always)]
fn layer_norms_body(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, y: &mut [f32]) {
    let width = weight.len();
    for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
        let mean = sum_of(x, |value| value) / width as f32;
        let variance = sum_of(x, |value| (value - mean) * (value - mean)) / width as f32;
        let scale = 1.0 / (variance + eps).sqrt();
        for (((x, weight), bias), y) in x.iter().zip(weight).zip(bias).zip(y) {
            *y = (x - mean) * scale * weight + bias;
        }
    }
}

#[inline(always)]
fn rms_norms_body(x: &[f32], weight: &[f32], eps: f32, y: &mut [f32]) {
    let width = weight.len();
    for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
        let scale = 1.0 / (sum_of(x, |value| value * value) / width as f32 + eps).sqrt();
        for ((x, weight), y) in x.iter().zip(weight).zip(y) {
            *y = x * scale * weight;
        }
    }
}

/// The tanh form of GELU; `None` for other activations.
pub fn activate(x: &Tensor<2>, activation: Activation) -> Option<Tensor<2>> {
    if activation != Activation::GeluTanh {
        return None;
    }
    let shape = x.dims();
    let x = contiguous(x)?;
    Some(tensor(over(x.as_slice()?, CHUNK, |_, x, y| gelu_tanh(x, y)), shape))
}

/// `silu(gate) * up`
pub fn gated(gate: &Tensor<2>, up: &Tensor<2>) -> Option<Tensor<2>> {
    let shape = gate.dims();
    let (gate, up) = (contiguous(gate)?, contiguous(up)?);
    let up = up.as_slice::<f32>()?;
    let work = |index, gate: &[f32], y: &mut [f32]| silu_times(gate, &up[index * CHUNK..], y);
    Some(tensor(over(gate.as_slice()?, CHUNK, work), shape))
}

/// Layer norm over the last dimension.
pub fn layer_norm(x: &Tensor<2>, weight: &Tensor<1>, bias: &Tensor<1>, eps: f64) -> Option<Tensor<2>> {
    let shape = x.dims();
    let (x, weight, bias) = (contiguous(x)?, contiguous(weight)?, contiguous(bias)?);
    let (weight, bias) = (weight.as_slice()?, bias.as_slice()?);
    let work = |_, x: &[f32], y: &mut [f32]| layer_norms(x, weight, bias, eps as f32, y);
    Some(tensor(over(x.as_slice()?, rows_of(shape[1]), work), shape))
}

/// Root mean square norm over the last dimension.
pub fn rms_norm(x: &Tensor<2>, weight: &Tensor<1>, eps: f64) -> Option<Tensor<2>> {
    let shape = x.dims();
    let (x, weight) = (contiguous(x)?, contiguous(weight)?);
    let weight = weight.as_slice()?;
    let work = |_, x: &[f32], y: &mut [f32]| rms_norms(x, weight, eps as f32, y);
    Some(tensor(over(x.as_slice()?, rows_of(shape[1]), work), shape))
}

/// Halves of each head turned by its position's angles; shapes as in `ops::rotate`.
pub fn rotate(x: &Tensor<3>, cos: &Tensor<2>, sin: &Tensor<2>) -> Option<Tensor<3>> {
    let [tokens, heads, width] = x.dims();
    let (x, cos, sin) = (contiguous(x)?, contiguous(cos)?, contiguous(sin)?);
    let (cos, sin) = (cos.as_slice::<f32>()?, sin.as_slice::<f32>()?);
    let (half, token) = (width / 2, heads * width);
    let chunk = rows_of(token);
    let work = |index: usize, x: &[f32], y: &mut [f32]| {
        let first = index * chunk / token.max(1);
        for (place, (x, y)) in (first..).zip(x.chunks_exact(token).zip(y.chunks_exact_mut(token))) {
            let angles = place * half..(place + 1) * half;
            let (cos, sin) = (&cos[angles.clone()], &sin[angles]);
            for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
                let (x_left, x_right) = x.split_at(half);
                let (y_left, y_right) = y.split_at_mut(half);
                for index in 0..half {
                    y_left[index] = x_left[index] * cos[index] - x_right[index] * sin[index];
                    y_right[index] = x_right[index] * cos[index] + x_left[index] * sin[index];
                }
            }
        }
    };
    Some(tensor(over(x.as_slice()?, chunk, work), [tokens, heads, width]))
}
