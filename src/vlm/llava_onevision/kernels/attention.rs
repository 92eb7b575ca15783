//! Attention in tiles: scores of some queries with some keys at a time, with a running maximum and sum, so that the
//! matrix of all scores never exists ("flash attention", Dao et al. 2022).
#![allow(unsafe_code)]

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use rayon::prelude::*;

use super::simd::{exp, largest, sum_of, widened};
use super::{contiguous, plain, tensor};

/// Rows of a tile: queries times the heads that share a key head.
const ROWS: usize = 256;
/// Columns of a tile: keys. 256 by 512 scores are 512 KiB, which fits into a core's second cache.
const COLUMNS: usize = 512;

/// Which keys a query sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// All.
    None,
    /// Those up to its own; the queries are the last positions.
    Causal,
}

/// A matrix within a tensor's storage.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    values: &'a [f32],
    /// From row to row; columns lie side by side.
    stride: usize,
}

impl Matrix<'_> {
    /// Where `count` rows from `first` on begin, if the storage has them.
    fn rows(self, first: usize, count: usize, width: usize) -> Option<*const f32> {
        let rows = self.values.get(first * self.stride..)?;
        (rows.len() >= (count - 1) * self.stride + width).then_some(rows.as_ptr())
    }
}

/// `[heads, positions, width]` in any order of the first two.
struct Heads {
    tensor: FlexTensor,
    positions: usize,
}

impl Heads {
    fn new(tensor: &Tensor<3>) -> Option<Self> {
        let [_, positions, width] = tensor.dims();
        let found = plain(tensor)?;
        let strides = found.layout().strides();
        let usable = strides.last() == Some(&1) && strides.iter().all(|stride| *stride >= 0);
        let found = if usable || width == 1 {
            found
        } else {
            found.to_contiguous()
        };
        Some(Self {
            tensor: found,
            positions,
        })
    }

    fn head(&self, head: usize) -> Option<Matrix<'_>> {
        let layout = self.tensor.layout();
        let step = |index: usize| {
            layout
                .strides()
                .get(index)
                .and_then(|stride| usize::try_from(*stride).ok())
        };
        let start = layout.start_offset() + head * step(0)?;
        Some(Matrix {
            values: self.tensor.storage::<f32>().get(start..)?,
            stride: step(1)?,
        })
    }
}

/// Attention of `q` `[tokens, heads, width]` over keys and values in pieces `[kv heads, positions, width]`. Query heads
/// share key heads in groups, one group after the other.
pub fn attend(q: &Tensor<3>, pieces: &[(Tensor<3>, Tensor<3>)], mask: Mask) -> Option<Tensor<3>> {
    let [tokens, heads, width] = q.dims();
    let q = contiguous(q)?;
    let q = q.as_slice::<f32>()?;
    let kv_heads = pieces.first()?.0.dims()[0];
    if kv_heads == 0 || heads % kv_heads != 0 || width == 0 {
        return None;
    }
    let group = heads / kv_heads;
    let pieces: Option<Vec<(Heads, Heads)>> = pieces
        .iter()
        .map(|(k, v)| Some((Heads::new(k)?, Heads::new(v)?)))
        .collect();
    let pieces = pieces?;
    let positions: usize = pieces.iter().map(|(k, _)| k.positions).sum();
    let past = positions.checked_sub(tokens)?;
    let block = (ROWS / group).clamp(1, tokens.max(1));
    let blocks = tokens.div_ceil(block);
    let work = |item: usize| {
        let (head, start) = (item / blocks, item % blocks * block);
        let count = block.min(tokens - start);
        let mut tile = Tile::new(count * group, width);
        let scale = (width as f32).powf(-0.5);
        for token in 0..count {
            let from = ((start + token) * heads + head * group) * width;
            tile.queries
                .extend(q[from..from + group * width].iter().map(|value| value * scale));
        }
        let mut first = 0;
        for (k, v) in &pieces {
            let (keys, values) = (k.head(head)?, v.head(head)?);
            for column in (0..k.positions).step_by(COLUMNS) {
                let place = first + column;
                let limit = match mask {
                    Mask::None => positions,
                    Mask::Causal => past + start + count,
                };
                let columns = COLUMNS.min(k.positions - column).min(limit.saturating_sub(place));
                if columns == 0 {
                    break;
                }
                let (key, value) = (keys.rows(column, columns, width)?, values.rows(column, columns, width)?);
                // How many of the tile's keys the row's query sees.
                let seen = |row: usize| match mask {
                    Mask::None => columns,
                    Mask::Causal => (past + start + row / group + 1).saturating_sub(place).min(columns),
                };
                // SAFETY: `rows` has checked that so many rows follow.
                unsafe { tile.add(key, keys.stride, value, values.stride, columns, seen) };
            }
            first += k.positions;
        }
        Some(tile.finish())
    };
    let items = 0..kv_heads * blocks;
    let outputs: Option<Vec<Vec<f32>>> = if items.len() == 1 {
        items.map(work).collect()
    } else {
        items.into_par_iter().map(work).collect()
    };
    let mut y = vec![0.0; tokens * heads * width];
    for (item, output) in outputs?.iter().enumerate() {
        let (head, start) = (item / blocks, item % blocks * block);
        for (token, values) in (start..).zip(output.chunks_exact(group * width)) {
            let to = (token * heads + head * group) * width;
            y[to..to + group * width].copy_from_slice(values);
        }
    }
    Some(tensor(y, [tokens, heads, width]))
}

/// Some queries and what they have gathered so far.
struct Tile {
    width: usize,
    /// `[rows, width]`, scaled
    queries: Vec<f32>,
    /// `[rows, columns]`
    scores: Vec<f32>,
    /// `[rows, width]`
    output: Vec<f32>,
    /// The largest score of each row.
    most: Vec<f32>,
    /// The sum of each row's weights.
    sum: Vec<f32>,
}

impl Tile {
    fn new(rows: usize, width: usize) -> Self {
        Self {
            width,
            queries: Vec::with_capacity(rows * width),
            scores: Vec::new(),
            output: vec![0.0; rows * width],
            most: vec![f32::NEG_INFINITY; rows],
            sum: vec![0.0; rows],
        }
    }

    /// Adds `columns` keys and values, of which row `r` sees the first `seen(r)`.
    ///
    /// # Safety
    ///
    /// `keys` and `values` must point to `columns` rows of `width` values, as far apart as their strides.
    unsafe fn add(
        &mut self,
        keys: *const f32,
        key_stride: usize,
        values: *const f32,
        value_stride: usize,
        columns: usize,
        seen: impl Fn(usize) -> usize,
    ) {
        let (rows, width) = (self.most.len(), self.width);
        self.scores.resize(rows * columns, 0.0);
        // SAFETY: the caller's promise for `keys`; the other two are as long as their shapes say.
        unsafe {
            product(
                [rows, columns, width],
                (self.scores.as_mut_ptr(), columns),
                false,
                (self.queries.as_ptr(), [width, 1]),
                (keys, [1, key_stride]),
            );
        }
        for (row, scores) in self.scores.chunks_exact_mut(columns).enumerate() {
            let (scores, hidden) = scores.split_at_mut(seen(row).min(columns));
            hidden.fill(0.0);
            if !scores.is_empty() {
                let output = &mut self.output[row * width..(row + 1) * width];
                weigh(scores, &mut self.most[row], &mut self.sum[row], output);
            }
        }
        // SAFETY: the caller's promise for `values`; the other two are as long as their shapes say.
        unsafe {
            product(
                [rows, width, columns],
                (self.output.as_mut_ptr(), width),
                true,
                (self.scores.as_ptr(), [columns, 1]),
                (values, [value_stride, 1]),
            );
        }
    }

    fn finish(mut self) -> Vec<f32> {
        for (output, sum) in self.output.chunks_exact_mut(self.width).zip(&self.sum) {
            output.iter_mut().for_each(|value| *value /= sum);
        }
        self.output
    }
}

widened! {
    /// Scores into weights relative to the row's largest score so far; what was gathered is scaled to match.
    pub fn weigh(scores: &mut [f32], most: &mut f32, sum: &mut f32, output: &mut [f32]) = weigh_body;
}

#[inline(always)]
fn weigh_body(scores: &mut [f32], most: &mut f32, sum: &mut f32, output: &mut [f32]) {
    let now = largest(scores).max(*most);
    let keep = exp(*most - now);
    *most = now;
    for score in scores.iter_mut() {
        *score = exp(*score - now);
    }
    *sum = *sum * keep + sum_of(scores, |weight| weight);
    if keep != 1.0 {
        output.iter_mut().for_each(|value| *value *= keep);
    }
}

/// `dst = lhs rhs`, or `dst += lhs rhs`, for `[m, n, k]` on one core. Strides are from row to row and column to column.
///
/// # Safety
///
/// The pointers must be good for the shapes and strides.
unsafe fn product(
    [m, n, k]: [usize; 3],
    (dst, dst_row): (*mut f32, usize),
    add: bool,
    (lhs, [lhs_row, lhs_column]): (*const f32, [usize; 2]),
    (rhs, [rhs_row, rhs_column]): (*const f32, [usize; 2]),
) {
    let alpha = if add { 1.0 } else { 0.0 };
    // SAFETY: the caller's promise.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst,
            1,
            dst_row as isize,
            add,
            lhs,
            lhs_column as isize,
            lhs_row as isize,
            rhs,
            rhs_column as isize,
            rhs_row as isize,
            alpha,
            1.0_f32,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
