//! From surfaces to linear radiance.

use std::ops::Range;

use nalgebra::Matrix3;

use super::lens::Lens;
use super::surface::Surface;
use super::texture::{self, Patterns};
use crate::sim::environment::{Environment, Texture};

/// The sun does not reach the pixel.
pub(super) const SUN_HIDDEN: u8 = 1;
/// Something stands on this piece of ground.
pub(super) const UNDER_BODY: u8 = 2;

/// How much of the sky's light reaches the ground under a body.
const UNDER_BODY_LIGHT: f32 = 0.45;

/// Linear radiance as planes of red, green and blue.
pub(super) type Planes = [Vec<f32>; 3];

/// What is needed to shade any pixel of one picture.
pub(super) struct Shader<'a> {
    pub(super) lens: &'a Lens,
    pub(super) environment: &'a Environment,
    pub(super) patterns: &'a Patterns,
    pub(super) world_from_camera: Matrix3<f32>,
}

impl Shader<'_> {
    /// Shades a run of pixels of one row that all show `surface` (`None`: the sky).
    pub(super) fn run(
        &self,
        surface: Option<&Surface>,
        pixels: Range<usize>,
        shadow: &[u8],
        inverse_depth: &[f32],
        out: &mut Planes,
    ) {
        match surface {
            Some(surface) => self.surface(surface, pixels, shadow, inverse_depth, out),
            None => self.sky(pixels, out),
        }
    }

    fn surface(&self, surface: &Surface, pixels: Range<usize>, shadow: &[u8], inverse_depth: &[f32], out: &mut Planes) {
        let (x, y) = (&self.lens.ray_x[pixels.clone()], &self.lens.ray_y[pixels.clone()]);
        let (shadow, inverse_depth) = (&shadow[pixels.clone()], &inverse_depth[pixels.clone()]);
        let [red, green, blue] = out;
        let (red, green, blue) = (&mut red[pixels.clone()], &mut green[pixels.clone()], &mut blue[pixels]);
        let imaging = &self.environment.imaging;
        let gains: [f32; 3] = std::array::from_fn(|channel| imaging.exposure * imaging.gains[channel]);
        let haze = imaging.haze_per_m;
        let horizon = self.environment.light.horizon;
        let pattern = self.patterns.get(surface.pattern);
        let patterned = surface.pattern_mix[1] > 0.0;
        let [base, per_unit] = surface.pattern_mix;
        for index in 0..x.len() {
            let depth = 1.0 / inverse_depth[index];
            let mut factor = [1.0; 3];
            if patterned {
                let (x, y) = (x[index], y[index]);
                let u = surface.u[3] + depth * (surface.u[0] * x + surface.u[1] * y + surface.u[2]);
                let v = surface.v[3] + depth * (surface.v[0] * x + surface.v[1] * y + surface.v[2]);
                // A grazing view stretches the footprint one way; its mean grows with the root of the stretch.
                let grazing = (depth / surface.offset_m).max(1.0).sqrt();
                let texel = pattern.sample(u, v, surface.footprint * depth * grazing);
                factor = [texel[0], texel[1], texel[2]].map(|value| base + per_unit * f32::from(value));
            }
            let flags = shadow[index];
            let radiance = if flags & SUN_HIDDEN != 0 {
                &surface.shaded
            } else {
                &surface.lit
            };
            let reach = if flags & UNDER_BODY != 0 { UNDER_BODY_LIGHT } else { 1.0 };
            // exp(-a) as a rational function: exact to a percent where it matters.
            let a = haze * depth;
            let clear = 1.0 / (1.0 + a * (1.0 + a * (0.5 + a * (1.0 / 6.0))));
            let blend = |channel: usize| {
                gains[channel]
                    * (reach * radiance[channel] * factor[channel] * clear + horizon[channel] * (1.0 - clear))
            };
            red[index] = blend(0);
            green[index] = blend(1);
            blue[index] = blend(2);
        }
    }

    fn sky(&self, pixels: Range<usize>, out: &mut Planes) {
        let imaging = &self.environment.imaging;
        let light = &self.environment.light;
        let pattern = self.patterns.get(texture::index(Texture::Concrete));
        let turn = &self.world_from_camera;
        let full = self.environment.light.horizon.map(|channel| 1.1 * channel);
        for pixel in pixels {
            let (x, y) = (self.lens.ray_x[pixel], self.lens.ray_y[pixel]);
            let direction = |row: usize| turn[(row, 0)] * x + turn[(row, 1)] * y + turn[(row, 2)];
            let (forward, left, up) = (direction(0), direction(1), direction(2).max(0.0));
            let norm = (forward * forward + left * left + up * up).sqrt();
            let elevation = (2.0 * up / norm).min(1.0);
            let reach = 0.35 / (up / norm + 0.12);
            let texel = pattern.sample(forward / norm * reach * 0.3, left / norm * reach * 0.3, 0.004 * reach);
            let cloud = light.clouds * ((f32::from(texel[0]) - 118.0) / 24.0).clamp(0.0, 1.0);
            for channel in 0..3 {
                let clear = light.horizon[channel] + (light.zenith[channel] - light.horizon[channel]) * elevation;
                let radiance = clear + cloud * (full[channel] - clear);
                out[channel][pixel] = imaging.exposure * imaging.gains[channel] * radiance;
            }
        }
    }
}
