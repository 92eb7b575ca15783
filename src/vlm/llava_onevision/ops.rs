//! The operations that the model is made of. Each is written in burn's own operations, which run on every device and
//! can be differentiated; on the processor, outside of training, the ones that matter run in `kernels` instead.

use burn::tensor::activation::{gelu, sigmoid, softmax};
use burn::tensor::module::layer_norm as burn_layer_norm;
use burn::tensor::{Bool, FloatDType, Tensor};

use super::config::Activation;
use super::kernels::{self, Mask};

/// `x Wᵀ + b`: `[rows, in]`, `[out, in]`, `[out]` to `[rows, out]`.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    if let Some(y) = kernels::linear(&x, &weight, bias.as_ref()) {
        return y;
    }
    let y = x.matmul(weight.transpose());
    match bias {
        Some(bias) => y + bias.unsqueeze(),
        None => y,
    }
}

/// The activation, element by element.
pub fn activate(x: Tensor<2>, activation: Activation) -> Tensor<2> {
    if let Some(y) = kernels::activate(&x, activation) {
        return y;
    }
    match activation {
        Activation::Gelu => gelu(x),
        Activation::GeluTanh => {
            // 0.5 (1 + tanh u) = σ(2u)
            let cubic = x.clone().powi_scalar(3).mul_scalar(0.044_715);
            let u = (x.clone() + cubic).mul_scalar((2.0 / std::f64::consts::PI).sqrt());
            x * sigmoid(u.mul_scalar(2.0))
        }
        Activation::Silu => x.clone() * sigmoid(x),
    }
}

/// `silu(gate) * up`
pub fn gated(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    match kernels::gated(&gate, &up) {
        Some(y) => y,
        None => activate(gate, Activation::Silu) * up,
    }
}

/// Layer norm over the last dimension.
pub fn layer_norm(x: Tensor<2>, weight: Tensor<1>, bias: Tensor<1>, eps: f64) -> Tensor<2> {
    match kernels::layer_norm(&x, &weight, &bias, eps) {
        Some(y) => y,
        None => burn_layer_norm(x, weight, Some(bias), eps),
    }
}

/// Root mean square norm over the last dimension, computed in f32 whatever the weights' type.
pub fn rms_norm(x: Tensor<2>, weight: Tensor<1>, eps: f64) -> Tensor<2> {
    if let Some(y) = kernels::rms_norm(&x, &weight, eps) {
        return y;
    }
    let dtype = x.dtype();
    let x = x.cast(FloatDType::F32);
    let scale = x.clone().square().mean_dim(1).add_scalar(eps).sqrt().recip();
    (x * scale).cast(dtype) * weight.unsqueeze()
}

/// Rotates halves of each head by its position's angles: `x` `[tokens, heads, width]`, `cos` and `sin`
/// `[tokens, width / 2]` in f32.
pub fn rotate(x: Tensor<3>, cos: Tensor<2>, sin: Tensor<2>) -> Tensor<3> {
    if let Some(y) = kernels::rotate(&x, &cos, &sin) {
        return y;
    }
    let [_, _, width] = x.dims();
    let dtype = x.dtype();
    let x = x.cast(FloatDType::F32);
    let (cos, sin) = (cos.unsqueeze_dim::<3>(1), sin.unsqueeze_dim::<3>(1));
    let left = x.clone().narrow(2, 0, width / 2);
    let right = x.narrow(2, width / 2, width / 2);
    let turned = [
        left.clone() * cos.clone() - right.clone() * sin.clone(),
        right * cos + left * sin,
    ];
    Tensor::cat(turned.into(), 2).cast(dtype)
}

/// Softmax in f32 over the last dimension.
fn softmax_f32(scores: Tensor<4>) -> Tensor<4> {
    let dtype = scores.dtype();
    softmax(scores.cast(FloatDType::F32), 3).cast(dtype)
}

/// Attention of every token to every other: three times `[tokens, heads, width]` to the same.
pub fn attend_all(q: Tensor<3>, k: Tensor<3>, v: Tensor<3>) -> Tensor<3> {
    let heads = [(k.clone().swap_dims(0, 1), v.clone().swap_dims(0, 1))];
    if let Some(y) = kernels::attend(&q, &heads, Mask::None) {
        return y;
    }
    let [_, _, width] = q.dims();
    let heads_first = |x: Tensor<3>| x.swap_dims(0, 1).unsqueeze::<4>();
    let scores = heads_first(q)
        .matmul(heads_first(k).transpose())
        .mul_scalar((width as f64).powf(-0.5));
    softmax_f32(scores)
        .matmul(heads_first(v))
        .squeeze_dim::<3>(0)
        .swap_dims(0, 1)
}

/// How many query rows are attended at once; bounds the scores that exist at one time.
const QUERY_BLOCK: usize = 256;

/// Causal attention with shared key heads.
///
/// `q` `[tokens, heads, width]` are the queries of the last `tokens` positions. Keys and values come in pieces
/// `[kv heads, positions, width]`, in order of position; the last `tokens` positions are the queries' own.
pub fn attend_causal(q: Tensor<3>, pieces: &[(Tensor<3>, Tensor<3>)]) -> Tensor<3> {
    if let Some(y) = kernels::attend(&q, pieces, Mask::Causal) {
        return y;
    }
    let [tokens, heads, width] = q.dims();
    let kv_heads = pieces.first().map_or(1, |(k, _)| k.dims()[0]);
    let positions: usize = pieces.iter().map(|(k, _)| k.dims()[1]).sum();
    let past = positions - tokens;
    // [kv heads, queries per key head, tokens, width]
    let q = q
        .mul_scalar((width as f64).powf(-0.5))
        .reshape([tokens, kv_heads, heads / kv_heads, width])
        .permute([1, 2, 0, 3]);
    let mut blocks = Vec::with_capacity(tokens.div_ceil(QUERY_BLOCK));
    for start in (0..tokens).step_by(QUERY_BLOCK) {
        let rows = QUERY_BLOCK.min(tokens - start);
        let visible = past + start + rows;
        let block = attend_block(q.clone().narrow(2, start, rows), pieces, visible);
        blocks.push(block);
    }
    let joined = if blocks.len() == 1 {
        blocks.remove(0)
    } else {
        Tensor::cat(blocks, 2)
    };
    joined.permute([2, 0, 1, 3]).reshape([tokens, heads, width])
}

/// One block of queries `[kv heads, group, rows, width]` (already scaled), the last of which sees `visible` positions.
fn attend_block(q: Tensor<4>, pieces: &[(Tensor<3>, Tensor<3>)], visible: usize) -> Tensor<4> {
    let [_, _, rows, _] = q.dims();
    let mut scores = Vec::with_capacity(pieces.len());
    let mut values = Vec::with_capacity(pieces.len());
    let mut left = visible;
    for (k, v) in pieces {
        let used = left.min(k.dims()[1]);
        if used == 0 {
            break;
        }
        left -= used;
        scores.push(
            q.clone()
                .matmul(k.clone().narrow(1, 0, used).unsqueeze_dim::<4>(1).transpose()),
        );
        values.push(v.clone().narrow(1, 0, used).unsqueeze_dim::<4>(1));
    }
    let mut joined = if scores.len() == 1 {
        scores.remove(0)
    } else {
        Tensor::cat(scores, 3)
    };
    if rows > 1 {
        let device = joined.device();
        let hidden: Tensor<2, Bool> = Tensor::tril_mask([rows, visible], (visible - rows) as i64, &device);
        let hidden = hidden.unsqueeze::<4>().expand(joined.dims());
        joined = joined.mask_fill(hidden, f32::NEG_INFINITY);
    }
    let weights = softmax_f32(joined);
    let mut start = 0;
    let mut sum: Option<Tensor<4>> = None;
    for value in values {
        let positions = value.dims()[2];
        let part = weights.clone().narrow(3, start, positions).matmul(value);
        start += positions;
        sum = Some(match sum {
            Some(sum) => sum + part,
            None => part,
        });
    }
    sum.unwrap_or(q)
}
