//! Where a patch of one picture lies in another: pyramidal Lucas-Kanade in the inverse compositional form (Baker and
//! Matthews 2004), with mean and contrast of the patches made equal so that exposure does not matter.

use nalgebra::{Matrix2, Point2, Vector2};

use super::gray::{GrayPyramid, Level};

/// Side of a patch, pixels.
pub(crate) const PATCH: usize = 8;
/// A patch with its rim, from which gradients are taken.
pub(crate) const RIMMED: usize = PATCH + 2;
const HALF: f32 = 0.5 * (PATCH as f32 - 1.0);
/// Steps at most on each floor.
const MAX_STEPS: usize = 10;
/// A step of less than this ends the search, pixels.
const SMALL_STEP: f32 = 0.02;
/// A position along an edge is taken for at most so many times less certain than across.
const MOST_UNEVEN: f32 = 12.0;

/// A patch to be looked for.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    values: [[f32; PATCH]; PATCH],
    gx: [[f32; PATCH]; PATCH],
    gy: [[f32; PATCH]; PATCH],
    inverse: Matrix2<f32>,
    deviation: f32,
    weak: Vector2<f32>,
}

/// Where a patch was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Match {
    /// Position of its centre, pixels of the floor it was looked for on.
    pub position: Point2<f32>,
    /// Normalised cross-correlation, -1 to 1.
    pub correlation: f32,
    /// Along an edge a patch holds less well than across: the direction in which it holds worst, as long as its standard
    /// deviation that way beyond what it is all around, in those.
    pub weak: Vector2<f32>,
}

impl Template {
    /// From samples with a rim of one; `None` when there is too little texture to tell a place by.
    pub fn new(rimmed: &[[f32; RIMMED]; RIMMED]) -> Option<Self> {
        let mut template = Self {
            values: [[0.0; PATCH]; PATCH],
            gx: [[0.0; PATCH]; PATCH],
            gy: [[0.0; PATCH]; PATCH],
            inverse: Matrix2::zeros(),
            deviation: 0.0,
            weak: Vector2::zeros(),
        };
        let count = (PATCH * PATCH) as f32;
        let (mut mean, mut mean_gx, mut mean_gy) = (0.0, 0.0, 0.0);
        for y in 0..PATCH {
            for x in 0..PATCH {
                let value = rimmed[y + 1][x + 1];
                let gx = 0.5 * (rimmed[y + 1][x + 2] - rimmed[y + 1][x]);
                let gy = 0.5 * (rimmed[y + 2][x + 1] - rimmed[y][x + 1]);
                template.values[y][x] = value;
                template.gx[y][x] = gx;
                template.gy[y][x] = gy;
                mean += value;
                mean_gx += gx;
                mean_gy += gy;
            }
        }
        mean /= count;
        mean_gx /= count;
        mean_gy /= count;
        let (mut xx, mut xy, mut yy, mut squares) = (0.0, 0.0, 0.0, 0.0);
        for y in 0..PATCH {
            for x in 0..PATCH {
                template.values[y][x] -= mean;
                template.gx[y][x] -= mean_gx;
                template.gy[y][x] -= mean_gy;
                let (gx, gy) = (template.gx[y][x], template.gy[y][x]);
                xx += gx * gx;
                xy += gx * gy;
                yy += gy * gy;
                squares += template.values[y][x].powi(2);
            }
        }
        template.deviation = (squares / count).sqrt();
        let least = 0.5 * (xx + yy - ((xx - yy).powi(2) + 4.0 * xy * xy).sqrt());
        if !least.is_finite() || least <= count * 0.5 {
            return None;
        }
        template.inverse = Matrix2::new(xx, xy, xy, yy).try_inverse()?;
        template.weak = weakest(xx, xy, yy, least);
        Some(template)
    }

    /// The patch around a position of a floor.
    pub fn around(level: &Level, position: Point2<f32>) -> Option<Self> {
        let mut rimmed = [[0.0; RIMMED]; RIMMED];
        let rim = HALF + 1.0;
        level
            .sample(position.x - rim, position.y - rim, &mut rimmed)
            .then(|| Self::new(&rimmed))
            .flatten()
    }

    /// Looks for the patch near a position of a floor; `None` when the search leaves the picture or runs away further than
    /// `reach` pixels.
    pub fn find(&self, level: &Level, near: Point2<f32>, reach: f32) -> Option<Match> {
        let mut position = near;
        let mut patch = [[0.0; PATCH]; PATCH];
        let count = (PATCH * PATCH) as f32;
        for step in 0..=MAX_STEPS {
            if !level.sample(position.x - HALF, position.y - HALF, &mut patch) {
                return None;
            }
            let mut mean = 0.0;
            for row in &patch {
                mean += row.iter().sum::<f32>();
            }
            mean /= count;
            let (mut squares, mut product, mut bx, mut by, mut tx, mut ty) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
            for (y, row) in patch.iter().enumerate() {
                for (x, value) in row.iter().enumerate() {
                    let value = value - mean;
                    let wanted = self.values[y][x];
                    squares += value * value;
                    product += value * wanted;
                    bx += self.gx[y][x] * value;
                    by += self.gy[y][x] * value;
                    tx += self.gx[y][x] * wanted;
                    ty += self.gy[y][x] * wanted;
                }
            }
            let deviation = (squares / count).sqrt();
            if deviation < 1e-3 {
                return None;
            }
            let correlation = product / count / (deviation * self.deviation);
            if step == MAX_STEPS {
                return Some(Match {
                    position,
                    correlation,
                    weak: self.weak,
                });
            }
            let gain = (self.deviation / deviation).clamp(0.25, 4.0);
            let move_by = self.inverse * Vector2::new(gain * bx - tx, gain * by - ty);
            let length = move_by.norm();
            if !length.is_finite() {
                return None;
            }
            position -= if length > 2.0 {
                move_by * (2.0 / length)
            } else {
                move_by
            };
            if (position - near).norm() > reach {
                return None;
            }
            if length < SMALL_STEP {
                return Some(Match {
                    position,
                    correlation,
                    weak: self.weak,
                });
            }
        }
        None
    }
}

/// [`Match::weak`] of a patch whose gradients have these products and this least eigenvalue. Noise alone would make the
/// standard deviations differ by the square root of the eigenvalues' ratio; but what little texture an edge has along it is the
/// grid of the pixels, which does not move with it, and so they differ by the ratio.
fn weakest(xx: f32, xy: f32, yy: f32, least: f32) -> Vector2<f32> {
    let most = xx + yy - least;
    let excess = (most / least).min(MOST_UNEVEN).powi(2) - 1.0;
    // Of the two rows of the matrix less its eigenvalue the longer is across; what is at right angles to it is along.
    let (a, b) = (Vector2::new(xx - least, xy), Vector2::new(xy, yy - least));
    let across = if a.norm_squared() > b.norm_squared() { a } else { b };
    across.try_normalize(1e-6).map_or_else(Vector2::zeros, |across| {
        Vector2::new(-across.y, across.x) * excess.max(0.0).sqrt()
    })
}

/// Follows the patch around `from` in one picture to another, from coarse to fine, beginning at `guess`; positions are
/// those of the ground floor.
pub(crate) fn follow(
    from_picture: &GrayPyramid,
    to_picture: &GrayPyramid,
    from: Point2<f32>,
    guess: Point2<f32>,
    floors: usize,
) -> Option<Match> {
    let floors = floors.min(from_picture.levels.len()).min(to_picture.levels.len());
    let mut position = guess;
    let mut found = None;
    for floor in (0..floors).rev() {
        let scale = 1.0 / (1usize << floor) as f32;
        let Some(template) = Template::around(from_picture.levels.get(floor)?, from * scale) else {
            // Coarse floors may lack texture or room; the ground floor may not.
            if floor == 0 {
                return None;
            }
            continue;
        };
        match template.find(to_picture.levels.get(floor)?, position * scale, 8.0) {
            Some(at) => {
                position = at.position / scale;
                found = Some(Match { position, ..at });
            }
            None if floor == 0 => return None,
            None => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::frame::{Picture, PixelFormat};

    fn texture(x: f32, y: f32) -> f32 {
        let wave = |a: f32, b: f32, c: f32| (a * x + b * y + c).sin();
        // Detail that a patch can hold, on shapes that the coarse floors still show.
        let fine = 14.0 * wave(0.61, 0.17, 0.5) + 14.0 * wave(-0.23, 0.57, 2.2);
        110.0 + fine + 25.0 * wave(0.13, 0.05, 0.3) + 20.0 * wave(-0.06, 0.17, 1.0) + 15.0 * wave(0.021, -0.043, 2.0)
    }

    fn pyramid(shift: (f32, f32), gain: f32, offset: f32) -> GrayPyramid {
        let (width, height) = (320, 240);
        let data: Vec<u8> = (0..width * height)
            .map(|cell| {
                let (x, y) = ((cell % width) as f32 + 0.5, (cell / width) as f32 + 0.5);
                (gain * texture(x - shift.0, y - shift.1) + offset)
                    .round()
                    .clamp(0.0, 255.0) as u8
            })
            .collect();
        let mut pyramid = GrayPyramid::default();
        pyramid.fill(&Picture::packed(PixelFormat::Gray8, width as u32, height as u32, &data).unwrap());
        pyramid
    }

    #[test]
    fn shifts_are_found_to_a_fraction_of_a_pixel_whatever_the_exposure() {
        let from = pyramid((0.0, 0.0), 1.0, 0.0);
        for (shift, gain, offset) in [
            ((3.3, -1.8), 1.0, 0.0),
            ((11.6, 7.4), 0.5, 10.0),
            ((-6.25, 2.5), 1.2, -30.0),
        ] {
            let to = pyramid(shift, gain, offset);
            for at in [Point2::new(100.0, 80.0), Point2::new(211.3, 140.7)] {
                let found = follow(&from, &to, at, at, 4).unwrap();
                let error = (found.position - at - Vector2::new(shift.0, shift.1)).norm();
                assert!(error < 0.1, "shift {shift:?}, gain {gain}: off by {error}");
                assert!(found.correlation > 0.98);
            }
        }
    }

    #[test]
    fn a_place_on_an_edge_is_held_across_it_only() {
        let patch = |value: &dyn Fn(f32, f32) -> f32| {
            let mut rimmed = [[0.0; RIMMED]; RIMMED];
            for (y, row) in rimmed.iter_mut().enumerate() {
                for (x, cell) in row.iter_mut().enumerate() {
                    *cell = value(x as f32 - 4.5, y as f32 - 4.5);
                }
            }
            Template::new(&rimmed).unwrap().weak
        };
        let (sin, cos) = 0.4f32.sin_cos();
        let edge = patch(&|x, y| 100.0 + 40.0 * (cos * y - sin * x).tanh() + 3.0 * (1.5 * x).sin());
        let along = Vector2::new(cos, sin);
        assert!(edge.norm() > 4.0, "{edge}");
        assert!(edge.dot(&along).abs() > 0.95 * edge.norm(), "{edge}");
        assert!(edge.norm() <= MOST_UNEVEN);
        let corner = patch(&|x, y| if x > 0.0 && y > 0.0 { 150.0 } else { 80.0 });
        assert!(corner.norm() < 1.5, "{corner}");
    }

    #[test]
    fn flat_pictures_give_nothing() {
        let from = pyramid((0.0, 0.0), 1.0, 0.0);
        let flat = pyramid((0.0, 0.0), 0.0, 90.0);
        let at = Point2::new(100.0, 80.0);
        assert!(follow(&from, &flat, at, at, 4).is_none());
        assert!(follow(&flat, &from, at, at, 4).is_none());
    }
}
