//! Products with weight matrices: over all cores also where there is only one row.
#![allow(unsafe_code)]

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::simd::{dot, widened};
use super::{contiguous, tensor};

/// Up to so many rows every weight is read once and used at once; with more, blocked products are quicker.
const FEW_ROWS: usize = 4;
/// Weights a thread works on at a time.
const CHUNK: usize = 1 << 16;

/// `x Wᵀ + b`: `[rows, in]`, `[out, in]`, `[out]` to `[rows, out]`.
pub fn linear(x: &Tensor<2>, weight: &Tensor<2>, bias: Option<&Tensor<1>>) -> Option<Tensor<2>> {
    let ([rows, inputs], [outputs, _]) = (x.dims(), weight.dims());
    let (x, weight) = (contiguous(x)?, contiguous(weight)?);
    let bias = match bias {
        Some(bias) => Some(contiguous(bias)?),
        None => None,
    };
    let bias = match &bias {
        Some(bias) => Some(bias.as_slice::<f32>()?),
        None => None,
    };
    let (x, weight) = (x.as_slice::<f32>()?, weight.as_slice::<f32>()?);
    if inputs == 0 || x.len() != rows * inputs || weight.len() != outputs * inputs {
        return None;
    }
    let values = if rows <= FEW_ROWS {
        few_rows(x, weight, bias, rows, inputs, outputs)
    } else {
        many_rows(x, weight, bias, rows, inputs, outputs)
    };
    Some(tensor(values, [rows, outputs]))
}

fn few_rows(x: &[f32], weight: &[f32], bias: Option<&[f32]>, rows: usize, inputs: usize, outputs: usize) -> Vec<f32> {
    let mut y = vec![0.0; rows * outputs];
    let chunk = (CHUNK / inputs).clamp(1, outputs.div_ceil(rayon::current_num_threads()));
    for (row, y) in x.chunks_exact(inputs).zip(y.chunks_exact_mut(outputs)) {
        let work = |(index, y): (usize, &mut [f32])| {
            let start = index * chunk;
            products(row, &weight[start * inputs..(start + y.len()) * inputs], y);
            if let Some(bias) = bias {
                y.iter_mut().zip(&bias[start..]).for_each(|(y, bias)| *y += bias);
            }
        };
        if outputs * inputs <= CHUNK {
            y.chunks_mut(chunk).enumerate().for_each(work);
        } else {
            y.par_chunks_mut(chunk).enumerate().for_each(work);
        }
    }
    y
}

widened! {
    /// `y[i]` is the product of `x` and the `i`th row of `weight`.
    pub fn products(x: &[f32], weight: &[f32], y: &mut [f32]) = products_body;
}

#[inline(always)]
fn products_body(x: &[f32], weight: &[f32], y: &mut [f32]) {
    for (row, y) in weight.chunks_exact(x.len()).zip(y) {
        *y = dot(x, row);
    }
}

fn many_rows(x: &[f32], weight: &[f32], bias: Option<&[f32]>, rows: usize, inputs: usize, outputs: usize) -> Vec<f32> {
    let mut y = match bias {
        Some(bias) => bias.repeat(rows),
        None => vec![0.0; rows * outputs],
    };
    let (read, alpha) = (bias.is_some(), if bias.is_some() { 1.0 } else { 0.0 });
    // SAFETY: `y`, `x` and `weight` are `[rows, outputs]`, `[rows, inputs]` and `[outputs, inputs]` long, as checked by
    // the caller, and the strides are those of such matrices.
    unsafe {
        gemm::gemm(
            rows,
            outputs,
            inputs,
            y.as_mut_ptr(),
            1,
            outputs as isize,
            read,
            x.as_ptr(),
            1,
            inputs as isize,
            weight.as_ptr(),
            inputs as isize,
            1,
            alpha,
            1.0_f32,
            false,
            false,
            false,
            gemm::Parallelism::Rayon(0),
        );
    }
    y
}
