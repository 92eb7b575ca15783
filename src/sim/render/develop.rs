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
const MAX_TAPS: usize = 8;
/// Samples farther apart would show as copies, pixels: longer movements are blurred as if they were shorter.
const TAP_PX: f32 = 4.0;
/// Side of the squares that share one movement of the camera, pixels.
pub(super) const TILE: usize = 16;

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
    bend: f32,
    bytes: [Vec<u8>; 3],
    noise: Vec<f32>,
    scratch: Planes,
    row: Vec<f32>,
}

impl Developer {
    pub(super) fn new(imaging: &Imaging, seed: u64, width: usize) -> Self {
        let mut random = Pcg64::seed_from_u64(seed ^ 0x6e01_5e00);
        // The root of the radiance bent by a parabola that meets radiance^(1/gamma) at a quarter of the root.
        let exponent = 2.0 / imaging.gamma.clamp(1.0, 4.0);
        let bend = (0.25f32.powf(exponent - 1.0) - 1.0) / 0.75;
        let noise = (0..NOISE + width)
            .map(|_| random.sample::<f32, _>(StandardNormal))
            .collect();
        Self {
            imaging: *imaging,
            bend,
            noise,
            bytes: Default::default(),
            scratch: Planes::default(),
            row: Vec::new(),
        }
    }

    /// Blurs what stands still by the camera's movement; `motion` holds one vector a tile, row by row.
    pub(super) fn blur_static(&mut self, lens: &Lens, motion: &[[f32; 2]], instance: &[u16], planes: &mut Planes) {
        if motion.iter().all(|motion| motion[0].hypot(motion[1]) < STILL_PX) {
            return;
        }
        for (kept, plane) in self.scratch.iter_mut().zip(planes.iter_mut()) {
            kept.resize(plane.len(), 0.0);
            std::mem::swap(kept, plane);
        }
        let tiles = lens.width.div_ceil(TILE);
        for (index, motion) in motion.iter().enumerate() {
            let path = Path::new(*motion, lens.width);
            let (x0, y0) = (index % tiles * TILE, index / tiles * TILE);
            let (x1, y1) = ((x0 + TILE).min(lens.width), (y0 + TILE).min(lens.height));
            if path.taps < 2 {
                for (plane, kept) in planes.iter_mut().zip(&self.scratch) {
                    for row in y0..y1 {
                        let run = row * lens.width + x0..row * lens.width + x1;
                        plane[run.clone()].copy_from_slice(&kept[run]);
                    }
                }
                continue;
            }
            if path.stays_in_static(lens, instance, [x0, y0, x1, y1]) {
                for (plane, kept) in planes.iter_mut().zip(&self.scratch) {
                    for row in y0..y1 {
                        let first = row * lens.width + x0;
                        path.mean_of_run(kept, first, &mut plane[first..first + (x1 - x0)]);
                    }
                }
                continue;
            }
            for y in y0..y1 {
                for x in x0..x1 {
                    let own = y * lens.width + x;
                    if instance[own] == 0 {
                        self.gather(lens, x, y, &path, |at| instance[at] == 0, planes);
                    } else {
                        for (plane, kept) in planes.iter_mut().zip(&self.scratch) {
                            plane[own] = kept[own];
                        }
                    }
                }
            }
        }
    }

    /// Blurs one actor along its own movement.
    pub(super) fn blur_actor(&mut self, lens: &Lens, streak: &Streak, instance: &[u16], planes: &mut Planes) {
        let path = Path::new(streak.motion_px, lens.width);
        if path.taps < 2 {
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
                self.gather(lens, x, y, &path, |at| own || instance[at] == streak.id, planes);
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

    /// The mean over a movement centred on (x, y); samples that do not count, or lie outside, leave the pixel's own colour.
    #[inline]
    fn gather(
        &self,
        lens: &Lens,
        x: usize,
        y: usize,
        path: &Path,
        counts: impl Fn(usize) -> bool,
        planes: &mut Planes,
    ) {
        let own = y * lens.width + x;
        let inside = x >= path.reach[0]
            && x + path.reach[0] < lens.width
            && y >= path.reach[1]
            && y + path.reach[1] < lens.height;
        let [red, green, blue] = &self.scratch;
        let mut sum = [0.0; 3];
        for offset in &path.offsets[..path.taps] {
            let at = if inside { own.wrapping_add_signed(*offset) } else { own };
            let source = if counts(at) { at } else { own };
            sum[0] += red[source];
            sum[1] += green[source];
            sum[2] += blue[source];
        }
        for (plane, sum) in planes.iter_mut().zip(sum) {
            plane[own] = sum * path.share;
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
        let bend = self.bend;
        for y in 0..height {
            let off_y = (y as f32 - middle_y) * scale;
            let row = y * width..(y + 1) * width;
            for (plane, bytes) in planes.iter().zip(&mut self.bytes) {
                bytes.resize(width, 0);
                let offset = random.random_range(0..NOISE);
                let noise = &self.noise[offset..offset + width];
                let values = plane[row.clone()].iter().zip(noise);
                for ((x, byte), (value, noise)) in bytes.iter_mut().enumerate().zip(values) {
                    let off_x = (x as f32 - middle_x) * scale;
                    let falloff = 1.0 - vignette * 0.5 * (off_x * off_x + off_y * off_y);
                    let root = (value * falloff).clamp(0.0, 1.0).sqrt();
                    let tone = 255.0 * root * (1.0 + bend * (1.0 - root)) + sigma * noise;
                    // Adding 2^23 leaves the rounded number in the lowest bits.
                    *byte = (tone.clamp(0.0, 255.0) + 8_388_608.0).to_bits() as u8;
                }
            }
            let [red, green, blue] = &self.bytes;
            let bytes = rgb[3 * row.start..3 * row.end].chunks_exact_mut(3);
            for (((byte, red), green), blue) in bytes.zip(red).zip(green).zip(blue) {
                byte.copy_from_slice(&[*red, *green, *blue]);
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

/// Where a movement passes, as steps from a pixel to the pixels along it.
struct Path {
    taps: usize,
    offsets: [isize; MAX_TAPS],
    share: f32,
    /// Columns and rows that it reaches either way.
    reach: [usize; 2],
}

impl Path {
    fn new(motion: [f32; 2], width: usize) -> Self {
        let whole = motion[0].hypot(motion[1]);
        let length = whole.min(TAP_PX * MAX_TAPS as f32);
        let motion = motion.map(|motion| motion * (length / whole.max(STILL_PX)));
        let taps = if length < STILL_PX || !length.is_finite() {
            0
        } else {
            (length.ceil() as usize + 1).min(MAX_TAPS)
        };
        let mut path = Self {
            taps,
            offsets: [0; MAX_TAPS],
            share: 1.0 / taps.max(1) as f32,
            reach: [0; 2],
        };
        for (tap, offset) in path.offsets.iter_mut().enumerate().take(taps) {
            let along = (tap as f32 + 0.5) / taps as f32 - 0.5;
            let [x, y] = motion.map(|motion| (along * motion).round() as isize);
            *offset = y * width as isize + x;
            path.reach[0] = path.reach[0].max(x.unsigned_abs());
            path.reach[1] = path.reach[1].max(y.unsigned_abs());
        }
        path
    }
    /// Whether a movement from anywhere in a tile (x0, y0, x1, y1) stays inside the picture and meets nothing that moves.
    fn stays_in_static(&self, lens: &Lens, instance: &[u16], [x0, y0, x1, y1]: [usize; 4]) -> bool {
        let [dx, dy] = self.reach;
        if x0 < dx || y0 < dy || x1 + dx > lens.width || y1 + dy > lens.height {
            return false;
        }
        (y0 - dy..y1 + dy).all(|row| {
            let run = row * lens.width + x0 - dx..row * lens.width + x1 + dx;
            instance[run].iter().all(|id| *id == 0)
        })
    }

    /// The means over the movements centred on the pixels from `first` on, all of which count.
    fn mean_of_run(&self, from: &[f32], first: usize, out: &mut [f32]) {
        let mut sums = [0.0f32; TILE];
        let sums = &mut sums[..out.len()];
        for offset in &self.offsets[..self.taps] {
            let start = first.wrapping_add_signed(*offset);
            for (sum, value) in sums.iter_mut().zip(&from[start..]) {
                *sum += value;
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = *sum * self.share;
        }
    }
}
