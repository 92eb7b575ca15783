//! Bicubic resizing with anti-aliasing, bit for bit as Pillow's `Image.resize(..., BICUBIC)` on 8-bit pictures: weights in
//! whole numbers of 22 bits, columns first, and a picture of bytes between the two passes.

use super::preprocess::Rgb;

/// Bits of a weight.
const PRECISION: u32 = 32 - 8 - 2;
/// The cubic's reach in pixels of the coarser of the two pictures.
const SUPPORT: f64 = 2.0;

/// The source pixels that make up one target pixel.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn taps(from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let support = SUPPORT * stretch;
    let tap = |index: usize| {
        let center = (index as f64 + 0.5) * scale;
        let first = (center - support + 0.5).max(0.0) as usize;
        let end = ((center + support + 0.5) as usize).min(from);
        let weights: Vec<f64> = (first..end)
            .map(|x| cubic((x as f64 - center + 0.5) * (1.0 / stretch)))
            .collect();
        let sum: f64 = weights.iter().sum();
        let norm = if sum == 0.0 { 1.0 } else { 1.0 / sum };
        let unit = f64::from(1u32 << PRECISION);
        // Halves are rounded away from zero.
        let whole = |weight: f64| (weight * norm * unit).round() as i32;
        Taps {
            first,
            weights: weights.into_iter().map(whole).collect(),
        }
    };
    (0..to).map(tap).collect()
}

fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// `picture` in another size.
pub fn resize_bicubic(picture: &Rgb, height: usize, width: usize) -> Rgb {
    let wide = if picture.width() == width {
        picture.clone()
    } else {
        resize_rows(picture, width)
    };
    if wide.height() == height {
        wide
    } else {
        resize_columns(&wide, height)
    }
}

fn resize_rows(picture: &Rgb, width: usize) -> Rgb {
    let taps = taps(picture.width(), width);
    let mut data = Vec::with_capacity(picture.height() * width * 3);
    for row in picture.data().chunks_exact(picture.width() * 3) {
        for Taps { first, weights } in &taps {
            let mut sums = [1 << (PRECISION - 1); 3];
            for (pixel, weight) in row.chunks_exact(3).skip(*first).zip(weights) {
                for (sum, &byte) in sums.iter_mut().zip(pixel) {
                    *sum += i32::from(byte) * weight;
                }
            }
            data.extend(sums.map(to_byte));
        }
    }
    Rgb::from_parts(picture.height(), width, data)
}

fn resize_columns(picture: &Rgb, height: usize) -> Rgb {
    let stride = picture.width() * 3;
    let mut data = Vec::with_capacity(height * stride);
    let mut sums = vec![0_i32; stride];
    for Taps { first, weights } in taps(picture.height(), height) {
        sums.fill(1 << (PRECISION - 1));
        for (row, weight) in picture.data().chunks_exact(stride).skip(first).zip(weights) {
            for (sum, &byte) in sums.iter_mut().zip(row) {
                *sum += i32::from(byte) * weight;
            }
        }
        data.extend(sums.iter().map(|&sum| to_byte(sum)));
    }
    Rgb::from_parts(height, picture.width(), data)
}
