//! From linear radiance to the 8-bit picture: motion blur, lens blur, vignette, tone curve, noise.

use rand::{Rng, SeedableRng};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;

use super::lens::Lens;
use super::shade::Planes;
use crate::sim::environment::Imaging;

/// Movements shorter than this are not blurred, pixels.
const STILL_PX: f32 = 0.8;
/// Most samples along a movement.
const MAX_TAPS: usize = 12;
/// Side of the squares that share one movement of the camera, pixels.
pub(super) const TILE: usize = 16;

const CURVE: usize = 1024;
/// Draws of noise from which a row starts anywhere.
const NOISE: usize = 1 << 16;

/// How the image of an actor moves while the shutter is open.
pub(super) struct Streak {
    pub(super) id: u16,
    /// Rows and columns of its silhouette: x0, y0, x1, y1.
    pub(super) bounds: [usize; 4],
    /// Pixels, right and down.
    pub(super) motion_px: [f32; 2],
}

/// Develops pictures.
pub(super) struct Developer {
    imaging: Imaging,
    curve: Vec<f32>,
    noise: Vec<f32>,
    scratch: Planes,
    row: Vec<f32>,
}

impl Developer {
    pub(super) fn new(imaging: &Imaging, seed: u64, width: usize) -> Self {
        let mut random = Pcg64::seed_from_u64(seed ^ 0x6e01_5e00);
        let gamma = imaging.gamma.max(0.5);
        // Indexed by the root of the radiance: half of the curve, and evenly spaced for the eye.
        let curve = (0..CURVE)
            .map(|index| 255.0 * (index as f32 / (CURVE - 1) as f32).powf(2.0 / gamma))
            .collect();
        let noise = (0..NOISE + width)
            .map(|_| random.sample::<f32, _>(StandardNormal))
            .collect();
        Self {
            imaging: *imaging,
            curve,
            noise,
            scratch: Planes::default(),
            row: Vec::new(),
        }
    }

    /// Blurs what stands still by the camera's movement; `motion` holds one vector a tile, row by row.
    pub(super) fn blur_static(&mut self, lens: &Lens, motion: &[[f32; 2]], instance: &[u16], planes: &mut Planes) {
        if motion.iter().all(|motion| motion[0].hypot(motion[1]) < STILL_PX) {
            return;
        }
        let whole = [0, 0, lens.width, lens.height];
        self.keep(lens, planes, whole);
        let tiles = lens.width.div_ceil(TILE);
        for y in 0..lens.height {
            for tile in 0..tiles {
                let motion = motion[(y / TILE) * tiles + tile];
                let taps = taps(motion);
                if taps < 2 {
                    continue;
                }
                for x in tile * TILE..((tile + 1) * TILE).min(lens.width) {
                    if instance[y * lens.width + x] == 0 {
                        self.gather(lens, x, y, motion, taps, |at| instance[at] == 0, planes);
                    }
                }
            }
        }
    }

    /// Blurs one actor along its own movement.
    pub(super) fn blur_actor(&mut self, lens: &Lens, streak: &Streak, instance: &[u16], planes: &mut Planes) {
        let taps = taps(streak.motion_px);
        if taps < 2 {
            return;
        }
        let reach = |motion: f32| (0.5 * motion.abs()).ceil() as usize + 1;
        let [x0, y0, x1, y1] = streak.bounds;
        let (dx, dy) = (reach(streak.motion_px[0]), reach(streak.motion_px[1]));
        let around = |times: usize| {
            [
                x0.saturating_sub(times * dx),
                y0.saturating_sub(times * dy),
                (x1 + times * dx).min(lens.width),
                (y1 + times * dy).min(lens.height),
            ]
        };
        self.keep(lens, planes, around(2));
        let [x0, y0, x1, y1] = around(1);
        for y in y0..y1 {
            for x in x0..x1 {
                let own = instance[y * lens.width + x] == streak.id;
                // Over the background only what passes counts; the actor itself mixes with all it passes over.
                self.gather(
                    lens,
                    x,
                    y,
                    streak.motion_px,
                    taps,
                    |at| own || instance[at] == streak.id,
                    planes,
                );
            }
        }
    }

    /// Keeps the radiance of a part of the picture (x0, y0, x1, y1) as it is before a blur.
    fn keep(&mut self, lens: &Lens, planes: &Planes, [x0, y0, x1, y1]: [usize; 4]) {
        for (kept, plane) in self.scratch.iter_mut().zip(planes) {
            kept.resize(plane.len(), 0.0);
            for row in y0..y1 {
                let run = row * lens.width + x0..row * lens.width + x1;
                kept[run.clone()].copy_from_slice(&plane[run]);
            }
        }
    }

    /// The mean over a movement centred on (x, y); samples that do not count leave the pixel's own colour.
    #[allow(clippy::too_many_arguments)]
    fn gather(
        &self,
        lens: &Lens,
        x: usize,
        y: usize,
        motion: [f32; 2],
        taps: usize,
        counts: impl Fn(usize) -> bool,
        planes: &mut Planes,
    ) {
        let own = y * lens.width + x;
        let mut sum = [0.0; 3];
        for tap in 0..taps {
            let share = (tap as f32 + 0.5) / taps as f32 - 0.5;
            let clamp = |at: f32, size: usize| (at.max(0.0) as usize).min(size - 1);
            let at_x = clamp(x as f32 + 0.5 + share * motion[0], lens.width);
            let at_y = clamp(y as f32 + 0.5 + share * motion[1], lens.height);
            let at = at_y * lens.width + at_x;
            let source = if counts(at) { at } else { own };
            for (sum, plane) in sum.iter_mut().zip(&self.scratch) {
                *sum += plane[source];
            }
        }
        for (plane, sum) in planes.iter_mut().zip(sum) {
            plane[own] = sum / taps as f32;
        }
    }

    /// The picture; `frame` chooses the noise.
    pub(super) fn develop(&mut self, lens: &Lens, planes: &mut Planes, frame: u64, rgb: &mut Vec<u8>) {
        let (width, height) = (lens.width, lens.height);
        for plane in planes.iter_mut() {
            self.blur(plane, width, height);
        }
        rgb.resize(width * height * 3, 0);
        let Imaging { noise, vignette, .. } = self.imaging;
        let sigma = 255.0 * noise;
        let mut random = Pcg64::seed_from_u64(frame);
        let scale = 2.0 / (width.max(height) as f32);
        let (middle_x, middle_y) = (0.5 * width as f32, 0.5 * height as f32);
        for y in 0..height {
            let off_y = (y as f32 - middle_y) * scale;
            let row = y * width..(y + 1) * width;
            let bytes = &mut rgb[3 * row.start..3 * row.end];
            for (channel, plane) in planes.iter().enumerate() {
                let offset = random.random_range(0..NOISE);
                let noise = &self.noise[offset..offset + width];
                for (x, (value, noise)) in plane[row.clone()].iter().zip(noise).enumerate() {
                    let off_x = (x as f32 - middle_x) * scale;
                    let falloff = 1.0 - vignette * 0.5 * (off_x * off_x + off_y * off_y);
                    let root = (value * falloff).clamp(0.0, 1.0).sqrt();
                    let tone = self.curve[(root * (CURVE - 1) as f32 + 0.5) as usize];
                    // The cast saturates.
                    bytes[3 * x + channel] = (tone + sigma * noise + 0.5) as u8;
                }
            }
        }
    }

    /// A separable three-tap kernel of the lens's blur.
    fn blur(&mut self, plane: &mut [f32], width: usize, height: usize) {
        let sigma = self.imaging.blur_px;
        if sigma < 0.1 {
            return;
        }
        let side = (-0.5 / (sigma * sigma)).exp();
        let (side, middle) = (side / (1.0 + 2.0 * side), 1.0 / (1.0 + 2.0 * side));
        self.row.resize(2 * width, 0.0);
        let (kept, above) = self.row.split_at_mut(width);
        for y in 0..height {
            let row = &mut plane[y * width..(y + 1) * width];
            kept.copy_from_slice(row);
            for (out, taps) in row[1..].iter_mut().zip(kept.windows(3)) {
                *out = middle * taps[1] + side * (taps[0] + taps[2]);
            }
        }
        above.copy_from_slice(&plane[..width]);
        for y in 1..height.saturating_sub(1) {
            let (before, below) = plane.split_at_mut((y + 1) * width);
            let row = &mut before[y * width..];
            for ((value, above), below) in row.iter_mut().zip(above.iter_mut()).zip(&below[..width]) {
                let own = *value;
                *value = middle * own + side * (*above + below);
                *above = own;
            }
        }
    }
}

fn taps(motion: [f32; 2]) -> usize {
    let length = motion[0].hypot(motion[1]);
    if length < STILL_PX {
        0
    } else {
        (length.ceil() as usize + 1).min(MAX_TAPS)
    }
}
