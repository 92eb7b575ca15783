//! Resampling of 8-bit planes: rows are blended first (whole rows, which vectorises), then columns.
//!
//! A picture that shrinks more than twofold is averaged over the area each output pixel covers; one that shrinks less or
//! grows is interpolated linearly between pixel centres. Half-resolution chroma is sampled at its own resolution, its
//! samples centred on their 2×2 pixels.

use crate::frame::Plane;

/// Pictures that shrink more than this are averaged instead of interpolated.
const AREA_ABOVE: f64 = 2.0;

/// For each output sample of one axis: the first source sample and the weights of it and those after it.
#[derive(Default)]
pub(super) struct Axis {
    starts: Vec<u32>,
    /// `taps` weights an output sample.
    weights: Vec<f32>,
    taps: usize,
    /// First source sample that any output needs, and how many from there.
    first: usize,
    len: usize,
    key: Option<Key>,
}

type Key = ((f64, f64), usize, usize, f64);

/// Source interval and weights of one output sample, before they are laid into a table.
struct Span {
    first: usize,
    last: usize,
    /// Weight of the first sample, of each between, and of the last; `last` alone counts when `first == last`.
    weights: (f32, f32, f32),
}

/// What an output sample at `index` of `out` covers. `origin` and `length` are the region in full-resolution pixels,
/// `full` the picture's extent there, `density` 0.5 for half-resolution planes.
fn span(index: usize, (origin, length): (f64, f64), full: usize, out: usize, density: f64) -> Span {
    let step = length / out as f64;
    let last_sample = ((full as f64 * density).ceil() as usize).max(1) - 1;
    if step > AREA_ABOVE {
        let start = (origin + index as f64 * step) * density;
        let end = ((origin + (index + 1) as f64 * step) * density).min(last_sample as f64 + 1.0);
        let first = (start.floor() as usize).min(last_sample);
        let last = ((end.ceil() as usize).max(1) - 1).clamp(first, last_sample);
        let area = end - start;
        if first == last || area <= 0.0 {
            return Span {
                first,
                last: first,
                weights: (0.0, 0.0, 1.0),
            };
        }
        let head = (first + 1) as f64 - start;
        let tail = end - last as f64;
        return Span {
            first,
            last,
            weights: ((head / area) as f32, (1.0 / area) as f32, (tail / area) as f32),
        };
    }
    let centre = (origin + (index as f64 + 0.5) * step) * density - 0.5;
    let first = centre.floor().clamp(0.0, last_sample as f64);
    let share = (centre - first).clamp(0.0, 1.0) as f32;
    let first = first as usize;
    if first == last_sample {
        return Span {
            first,
            last: first,
            weights: (0.0, 0.0, 1.0),
        };
    }
    Span {
        first,
        last: first + 1,
        weights: (1.0 - share, 0.0, share),
    }
}

impl Axis {
    /// Tables for `out` samples over the region `(origin, length)` of a picture `full` pixels long.
    pub fn build(&mut self, region: (f64, f64), full: usize, out: usize, density: f64) {
        let key = (region, full, out, density);
        if self.key == Some(key) {
            return;
        }
        self.key = Some(key);
        let spans = |index| span(index, region, full, out, density);
        let (mut first, mut last, mut taps) = (usize::MAX, 0, 1);
        for index in 0..out {
            let span = spans(index);
            first = first.min(span.first);
            last = last.max(span.last);
            taps = taps.max(span.last - span.first + 1);
        }
        self.first = first.min(last);
        self.len = last - self.first + 1;
        self.taps = taps;
        self.starts.clear();
        self.weights.clear();
        self.weights.resize(out * taps, 0.0);
        for (index, weights) in self.weights.chunks_exact_mut(taps).enumerate() {
            let span = spans(index);
            // All outputs read `taps` samples; near the end the window moves back and begins with zero weights.
            let start = (span.first - self.first).min(self.len - taps);
            let shift = span.first - self.first - start;
            let count = span.last - span.first + 1;
            let window = &mut weights[shift..shift + count];
            window.fill(span.weights.1);
            window[0] = span.weights.0;
            window[count - 1] = span.weights.2;
            self.starts.push(start as u32);
        }
    }
}

/// The source rows of one output row: the first, those between with equal weights, the last.
#[derive(Clone, Copy)]
pub(super) struct RowTaps {
    first: usize,
    last: usize,
    weights: (f32, f32, f32),
}

/// Row tables of one plane resolution.
#[derive(Default)]
pub(super) struct RowTable {
    taps: Vec<RowTaps>,
    key: Option<Key>,
}

impl RowTable {
    /// As [`Axis::build`], for rows.
    pub fn build_rows(&mut self, region: (f64, f64), full: usize, out: usize, density: f64) {
        let key = (region, full, out, density);
        if self.key == Some(key) {
            return;
        }
        self.key = Some(key);
        self.taps.clear();
        self.taps.extend((0..out).map(|index| {
            let span = span(index, region, full, out, density);
            RowTaps {
                first: span.first,
                last: span.last,
                weights: span.weights,
            }
        }));
    }

    /// The source rows of output row `y`.
    pub fn taps(&self, y: usize) -> RowTaps {
        self.taps[y]
    }
}

/// Row tables of luma and chroma.
#[derive(Default)]
pub(super) struct Rows {
    pub luma: RowTable,
    pub chroma: RowTable,
}

/// Most rows whose bytes fit into a 16-bit sum.
const MAX_SUMMED_ROWS: usize = 257;

/// Working rows of the resampler.
#[derive(Default)]
pub(super) struct Sampler {
    sums: Vec<u16>,
    blended: Vec<f32>,
}

impl Sampler {
    /// One output row of a plane with `C` interleaved channels, of which the first `N` are wanted: one row each.
    pub fn sample<const C: usize, const N: usize>(
        &mut self,
        plane: &Plane<'_>,
        rows: RowTaps,
        columns: &Axis,
        out: [&mut Vec<f32>; N],
    ) {
        self.blend_rows(plane, rows, columns.first * C, columns.len * C);
        let out = out.map(Vec::as_mut_slice);
        let blended = self.blended.as_slice();
        match columns.taps {
            1 => sum_columns::<C, N, 1>(blended, columns, out),
            2 => sum_columns::<C, N, 2>(blended, columns, out),
            3 => sum_columns::<C, N, 3>(blended, columns, out),
            4 => sum_columns::<C, N, 4>(blended, columns, out),
            5 => sum_columns::<C, N, 5>(blended, columns, out),
            6 => sum_columns::<C, N, 6>(blended, columns, out),
            7 => sum_columns::<C, N, 7>(blended, columns, out),
            8 => sum_columns::<C, N, 8>(blended, columns, out),
            _ => sum_columns_any::<C, N>(blended, columns, out),
        }
    }

    /// Blends the bytes `start..start + len` of the rows into `self.blended`.
    fn blend_rows(&mut self, plane: &Plane<'_>, rows: RowTaps, start: usize, len: usize) {
        let row = |index: usize| &plane.data[index * plane.stride + start..][..len];
        let (head, middle, tail) = rows.weights;
        self.blended.resize(len, 0.0);
        let blended = self.blended.as_mut_slice();
        let last = row(rows.last);
        if rows.first == rows.last {
            for (target, &value) in blended.iter_mut().zip(last) {
                *target = f32::from(value);
            }
            return;
        }
        let first = row(rows.first);
        let between = rows.last - rows.first - 1;
        if between == 0 {
            for ((target, &a), &b) in blended.iter_mut().zip(first).zip(last) {
                *target = head * f32::from(a) + tail * f32::from(b);
            }
            return;
        }
        if between > MAX_SUMMED_ROWS {
            for ((target, &a), &b) in blended.iter_mut().zip(first).zip(last) {
                *target = head * f32::from(a) + tail * f32::from(b);
            }
            for index in rows.first + 1..rows.last {
                for (target, &value) in blended.iter_mut().zip(row(index)) {
                    *target += middle * f32::from(value);
                }
            }
            return;
        }
        self.sums.resize(len, 0);
        let sums = self.sums.as_mut_slice();
        let mut next = rows.first + 1;
        for (sum, &value) in sums.iter_mut().zip(row(next)) {
            *sum = u16::from(value);
        }
        next += 1;
        while next + 1 < rows.last {
            for ((sum, &a), &b) in sums.iter_mut().zip(row(next)).zip(row(next + 1)) {
                *sum += u16::from(a) + u16::from(b);
            }
            next += 2;
        }
        if next < rows.last {
            for (sum, &value) in sums.iter_mut().zip(row(next)) {
                *sum += u16::from(value);
            }
        }
        for (((target, &sum), &a), &b) in blended.iter_mut().zip(sums.iter()).zip(first).zip(last) {
            *target = head * f32::from(a) + middle * f32::from(sum) + tail * f32::from(b);
        }
    }
}

/// Weighted sums over a number of columns that the compiler knows.
fn sum_columns<const C: usize, const N: usize, const K: usize>(
    blended: &[f32],
    columns: &Axis,
    mut out: [&mut [f32]; N],
) {
    let (weights, _) = columns.weights.as_chunks::<K>();
    for (index, (start, weights)) in columns.starts.iter().zip(weights).enumerate() {
        let window = &blended[*start as usize * C..][..K * C];
        for (channel, out) in out.iter_mut().enumerate() {
            let mut sum = 0.0;
            for tap in 0..K {
                sum += window[tap * C + channel] * weights[tap];
            }
            out[index] = sum;
        }
    }
}

fn sum_columns_any<const C: usize, const N: usize>(blended: &[f32], columns: &Axis, mut out: [&mut [f32]; N]) {
    let weights = columns.weights.chunks_exact(columns.taps);
    for (index, (start, weights)) in columns.starts.iter().zip(weights).enumerate() {
        let window = &blended[*start as usize * C..];
        for (channel, out) in out.iter_mut().enumerate() {
            let samples = window.iter().skip(channel).step_by(C);
            out[index] = samples.zip(weights).map(|(sample, weight)| sample * weight).sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_every_output_sum_to_one() {
        for (length, full, out) in [
            (1920.0, 1920, 416),
            (100.0, 300, 90),
            (5.0, 5, 64),
            (1.0, 1, 8),
            (9.0, 40, 1),
        ] {
            for density in [1.0, 0.5] {
                let mut axis = Axis::default();
                axis.build((0.0, length), full, out, density);
                assert_eq!(axis.starts.len(), out);
                for (start, weights) in axis.starts.iter().zip(axis.weights.chunks_exact(axis.taps)) {
                    let sum: f32 = weights.iter().sum();
                    assert!((sum - 1.0).abs() < 1e-5, "{sum}");
                    assert!(*start as usize + axis.taps <= axis.len);
                }
            }
        }
    }

    #[test]
    fn many_rows_do_not_overflow() {
        let data = vec![255u8; 600];
        let plane = Plane { data: &data, stride: 1 };
        for (rows, out) in [(600usize, 1usize), (514, 2), (259, 1)] {
            let mut table = RowTable::default();
            table.build_rows((0.0, rows as f64), rows, out, 1.0);
            let mut columns = Axis::default();
            columns.build((0.0, 1.0), 1, 1, 1.0);
            let mut value = vec![0.0];
            Sampler::default().sample::<1, 1>(&plane, table.taps(0), &columns, [&mut value]);
            assert!((value[0] - 255.0).abs() < 0.01, "{}", value[0]);
        }
    }
}
