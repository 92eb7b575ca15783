//! The grey picture that features are followed in: reduced to a working size, with a pyramid of halvings above it.
//!
//! Positions are in pixels of the pyramid's ground floor, counted from the corner: the first pixel's centre is (0.5, 0.5),
//! so a position on the floor above is half of it.

use nalgebra::{Point2, Vector2};

use crate::frame::{Picture, PixelFormat};

/// Pictures are reduced by a whole factor until neither side is longer than this, pixels.
const MAX_SIDE: u32 = 960;
/// Floors are added until the next would be less than this, pixels.
const MIN_SIDE: usize = 24;
/// Floors at most.
const MAX_LEVELS: usize = 5;

/// One floor: 8-bit grey, row by row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Level {
    pub width: usize,
    pub height: usize,
    pub data: Vec<u8>,
}

impl Level {
    /// Reads an `N`×`N` grid of samples one pixel apart whose first sample is at the position (`x`, `y`), bilinearly.
    /// `false` when the grid leaves the picture.
    #[inline]
    pub fn sample<const N: usize>(&self, x: f32, y: f32, out: &mut [[f32; N]; N]) -> bool {
        let (x, y) = (x - 0.5, y - 0.5);
        if !(x >= 0.0 && y >= 0.0) {
            return false;
        }
        let (left, top) = (x as usize, y as usize);
        if left + N + 1 > self.width || top + N + 1 > self.height {
            return false;
        }
        let (a, b) = (x - left as f32, y - top as f32);
        let (w00, w01) = ((1.0 - a) * (1.0 - b), a * (1.0 - b));
        let (w10, w11) = ((1.0 - a) * b, a * b);
        for (row, out) in out.iter_mut().enumerate() {
            let upper = (top + row) * self.width + left;
            let lower = upper + self.width;
            let (Some(upper), Some(lower)) = (self.data.get(upper..=upper + N), self.data.get(lower..=lower + N))
            else {
                return false;
            };
            for (column, out) in out.iter_mut().enumerate() {
                *out = w00 * f32::from(upper[column])
                    + w01 * f32::from(upper[column + 1])
                    + w10 * f32::from(lower[column])
                    + w11 * f32::from(lower[column + 1]);
            }
        }
        true
    }

    /// One bilinear sample; `None` outside.
    #[inline]
    pub fn at(&self, x: f32, y: f32) -> Option<f32> {
        let (x, y) = (x - 0.5, y - 0.5);
        if !(x >= 0.0 && y >= 0.0) {
            return None;
        }
        let (left, top) = (x as usize, y as usize);
        if left + 1 >= self.width || top + 1 >= self.height {
            return None;
        }
        let (a, b) = (x - left as f32, y - top as f32);
        let upper = top * self.width + left;
        let read = |index: usize| match self.data.get(index..index + 2) {
            Some(&[one, next]) => Some((f32::from(one), f32::from(next))),
            _ => None,
        };
        let ((w00, w01), (w10, w11)) = (read(upper)?, read(upper + self.width)?);
        let (above, below) = (w00 + (w01 - w00) * a, w10 + (w11 - w10) * a);
        Some(above + (below - above) * b)
    }

    /// `N` bilinear samples along a parabola: at `middle + k · slope + k² · bend` for k around 0. `None` when it leaves the
    /// picture. In fixed point, as the positions are read most often.
    #[inline]
    pub fn parabola<const N: usize>(
        &self,
        middle: Point2<f32>,
        slope: Vector2<f32>,
        bend: Vector2<f32>,
    ) -> Option<[f32; N]> {
        const ONE: f32 = 65536.0;
        let half = (N / 2) as f32;
        let first = middle - slope * half + bend * (half * half);
        // Of the middle and both ends the whole parabola is no further than its bend away.
        let last = middle + slope * half + bend * (half * half);
        let rim = 0.5 + (bend * (half * half)).amax();
        let (low, high) = (first.inf(&last).inf(&middle), first.sup(&last).sup(&middle));
        let inside = low.x >= rim
            && low.y >= rim
            && high.x + rim < self.width as f32 - 1.0
            && high.y + rim < self.height as f32 - 1.0;
        if !inside {
            return None;
        }
        let fixed = |value: f32| (value * ONE) as i32;
        let (mut x, mut y) = (fixed(first.x - 0.5), fixed(first.y - 0.5));
        // First and second differences.
        let step = slope - bend * (2.0 * half - 1.0);
        let (mut step_x, mut step_y) = (fixed(step.x), fixed(step.y));
        let (more_x, more_y) = (fixed(2.0 * bend.x), fixed(2.0 * bend.y));
        let mut values = [0.0; N];
        for value in &mut values {
            let upper = (y >> 16) as usize * self.width + (x >> 16) as usize;
            let cells = self.data.get(upper..upper + self.width + 2)?;
            let (a, b) = ((x >> 8) & 255, (y >> 8) & 255);
            let cell = |index: usize| i32::from(cells[index]);
            let above = (cell(0) << 8) + (cell(1) - cell(0)) * a;
            let below = (cell(self.width) << 8) + (cell(self.width + 1) - cell(self.width)) * a;
            *value = ((above << 8) + (below - above) * b) as f32 * (1.0 / ONE);
            x += step_x;
            y += step_y;
            step_x += more_x;
            step_y += more_y;
        }
        Some(values)
    }

    fn halve_into(&self, half: &mut Self) {
        half.width = self.width / 2;
        half.height = self.height / 2;
        half.data.resize(half.width * half.height, 0);
        for (row, out) in half.data.chunks_exact_mut(half.width.max(1)).enumerate() {
            let upper = &self.data[2 * row * self.width..][..2 * half.width];
            let lower = &self.data[(2 * row + 1) * self.width..][..2 * half.width];
            let pairs = upper.chunks_exact(2).zip(lower.chunks_exact(2));
            for (out, (upper, lower)) in out.iter_mut().zip(pairs) {
                let sum = u16::from(upper[0]) + u16::from(upper[1]) + u16::from(lower[0]) + u16::from(lower[1]);
                *out = ((sum + 2) >> 2) as u8;
            }
        }
    }
}

/// A grey picture and its halvings.
#[derive(Clone, Debug, Default)]
pub(crate) struct GrayPyramid {
    /// From the ground floor up.
    pub levels: Vec<Level>,
    /// Pixels of the picture to one of the ground floor.
    pub factor: u32,
}

impl GrayPyramid {
    /// The factor by which a picture of this size is reduced.
    pub fn factor_for(width: u32, height: u32) -> u32 {
        width.max(height).div_ceil(MAX_SIDE).max(1)
    }

    /// Fills this pyramid from a picture; memory is used again.
    pub fn fill(&mut self, picture: &Picture<'_>) {
        self.factor = Self::factor_for(picture.width(), picture.height());
        if self.levels.is_empty() {
            self.levels.push(Level::default());
        }
        reduce(picture, self.factor as usize, &mut self.levels[0]);
        let mut count = 1;
        while count < MAX_LEVELS {
            let below = &self.levels[count - 1];
            if below.width / 2 < MIN_SIDE || below.height / 2 < MIN_SIDE {
                break;
            }
            if self.levels.len() == count {
                self.levels.push(Level::default());
            }
            let (lower, upper) = self.levels.split_at_mut(count);
            lower[count - 1].halve_into(&mut upper[0]);
            count += 1;
        }
        self.levels.truncate(count);
    }

    pub fn width(&self) -> usize {
        self.levels.first().map_or(0, |level| level.width)
    }

    pub fn height(&self) -> usize {
        self.levels.first().map_or(0, |level| level.height)
    }

    /// The highest floor.
    pub fn top(&self) -> Option<&Level> {
        self.levels.last()
    }

    /// Standard deviation of the highest floor's grey values: what is left of the picture's contrast when fine texture and
    /// noise are averaged away.
    pub fn contrast(&self) -> f32 {
        let Some(top) = self.top().filter(|top| !top.data.is_empty()) else {
            return 0.0;
        };
        let count = top.data.len() as f32;
        let mean = top.data.iter().map(|value| f32::from(*value)).sum::<f32>() / count;
        let squares: f32 = top.data.iter().map(|value| (f32::from(*value) - mean).powi(2)).sum();
        (squares / count).sqrt()
    }
}

/// Mean of `factor`×`factor` pixels' luma.
fn reduce(picture: &Picture<'_>, factor: usize, out: &mut Level) {
    out.width = picture.width() as usize / factor;
    out.height = picture.height() as usize / factor;
    out.data.resize(out.width * out.height, 0);
    let Some(plane) = picture.planes().first() else { return };
    // BT.601 weights in 256ths; the exact matrix does not matter for following texture.
    let (bytes, weights) = match picture.format() {
        PixelFormat::Nv12 | PixelFormat::I420 | PixelFormat::Gray8 => (1, [256, 0, 0]),
        PixelFormat::Rgb => (3, [77, 150, 29]),
        PixelFormat::Bgr => (3, [29, 150, 77]),
        PixelFormat::Rgbx => (4, [77, 150, 29]),
        PixelFormat::Bgrx => (4, [29, 150, 77]),
    };
    let luma = |pixel: &[u8]| -> u32 {
        if bytes == 1 {
            u32::from(pixel[0]) << 8
        } else {
            weights[0] * u32::from(pixel[0]) + weights[1] * u32::from(pixel[1]) + weights[2] * u32::from(pixel[2])
        }
    };
    let samples = (factor * factor) as u32;
    let mut sums = vec![0u32; if factor > 1 { out.width } else { 0 }];
    for (row, out_row) in out.data.chunks_exact_mut(out.width.max(1)).enumerate() {
        let line = |index: usize| plane.data.get(index * plane.stride..).unwrap_or(&[]);
        if factor == 1 {
            let source = line(row);
            if bytes == 1 {
                let length = out_row.len().min(source.len());
                out_row[..length].copy_from_slice(&source[..length]);
            } else {
                for (out, pixel) in out_row.iter_mut().zip(source.chunks_exact(bytes)) {
                    *out = (luma(pixel) >> 8) as u8;
                }
            }
            continue;
        }
        sums.fill(0);
        for sub in 0..factor {
            let source = line(row * factor + sub);
            for (sum, block) in sums.iter_mut().zip(source.chunks(bytes * factor)) {
                *sum += block.chunks_exact(bytes).map(luma).sum::<u32>();
            }
        }
        for (out, sum) in out_row.iter_mut().zip(&sums) {
            *out = ((sum / samples) >> 8) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn sampling_is_bilinear_and_counts_from_the_corner() {
        let level = Level {
            width: 20,
            height: 20,
            data: (0..400).map(|cell| (cell % 20 * 5 + cell / 20 * 3) as u8).collect(),
        };
        assert!((level.at(3.5, 4.5).unwrap() - (15.0 + 12.0)).abs() < 1e-4);
        assert!((level.at(4.0, 4.5).unwrap() - (17.5 + 12.0)).abs() < 1e-4);
        let (middle, slope, bend) = (
            Point2::new(9.3, 8.1),
            Vector2::new(0.9, -0.7),
            Vector2::new(-0.05, 0.03),
        );
        let along: [f32; 5] = level.parabola(middle, slope, bend).unwrap();
        for (value, k) in along.iter().zip([-2.0, -1.0, 0.0, 1.0, 2.0]) {
            let at = middle + slope * k + bend * (k * k);
            assert!((value - level.at(at.x, at.y).unwrap()).abs() < 0.05);
        }
        assert!(level.parabola::<5>(Point2::new(1.5, 8.0), slope, bend).is_none());
        let mut grid = [[0.0; 4]; 4];
        assert!(level.sample(3.75, 4.5, &mut grid));
        assert!((grid[1][2] - (5.25 * 5.0 + 15.0)).abs() < 1e-3);
        assert!(!level.sample(16.5, 4.5, &mut grid));
    }

    #[test]
    fn large_pictures_are_averaged_and_formats_agree() {
        let (width, height) = (1280usize, 720usize);
        let gray: Vec<u8> = (0..width * height)
            .map(|cell| ((cell % width / 2) % 251) as u8)
            .collect();
        let rgb: Vec<u8> = gray.iter().flat_map(|value| [*value; 3]).collect();
        let mut from_gray = GrayPyramid::default();
        from_gray.fill(&Picture::packed(PixelFormat::Gray8, 1280, 720, &gray).unwrap());
        let mut from_rgb = GrayPyramid::default();
        from_rgb.fill(&Picture::packed(PixelFormat::Rgb, 1280, 720, &rgb).unwrap());
        assert_eq!((from_gray.width(), from_gray.height(), from_gray.factor), (640, 360, 2));
        assert_eq!(from_gray.levels[0].data, from_rgb.levels[0].data);
        assert_eq!(from_gray.levels[0].data[7], 7);
        assert_eq!(from_gray.levels.len(), 4);
    }
}
