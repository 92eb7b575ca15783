//! Noise on the truth: white, or with a memory, the same strength either way.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, StandardNormal};

use crate::detection::BoundingBox;

/// How much noise is put on boxes and distances.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoiseSettings {
    /// Standard deviation of the distance, relative.
    pub range: f64,
    /// Standard deviation of the position across the line of sight, relative to the distance.
    pub lateral: f64,
    /// Standard deviation of a box's centre, width and height, relative to its width and height.
    pub box_jitter: f64,
    /// Correlation time of all of these, seconds; 0 for white noise.
    pub memory_s: f64,
}

const SOURCES: usize = 7;

/// The noise of one object: seven independent first-order Gauss–Markov processes of unit variance.
#[derive(Clone, Debug)]
pub(super) struct ObjectNoise {
    random: StdRng,
    values: [f64; SOURCES],
    time_s: Option<f64>,
}

/// The noise of one frame, in standard deviations.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draw {
    pub range: f64,
    pub across: [f64; 2],
    pub box_center: [f64; 2],
    pub box_size: [f64; 2],
}

impl ObjectNoise {
    pub fn new(seed: u64, scene: u64, object: u64) -> Self {
        let mixed = seed
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .wrapping_add(scene.wrapping_mul(0xD1B5_4A32_D192_ED03))
            .wrapping_add(object.wrapping_mul(0x8CB9_2BA7_2F3D_8DD7));
        Self {
            random: StdRng::seed_from_u64(mixed),
            values: [0.0; SOURCES],
            time_s: None,
        }
    }

    pub fn draw(&mut self, time_s: f64, memory_s: f64) -> Draw {
        let keep = match self.time_s {
            Some(last_s) if memory_s > 0.0 => (-(time_s - last_s) / memory_s).exp(),
            _ => 0.0,
        };
        self.time_s = Some(time_s);
        for value in &mut self.values {
            let fresh: f64 = StandardNormal.sample(&mut self.random);
            *value = keep * *value + (1.0 - keep * keep).sqrt() * fresh;
        }
        let [range, a, b, c, d, e, f] = self.values;
        Draw {
            range,
            across: [a, b],
            box_center: [c, d],
            box_size: [e, f],
        }
    }
}

impl Draw {
    pub fn jittered(&self, bbox: &BoundingBox, box_jitter: f64) -> BoundingBox {
        let (x, y) = bbox.center();
        let (wide, tall) = (bbox.width(), bbox.height());
        let shift = |value: f64| (box_jitter * value) as f32;
        let (x, y) = (
            x + wide * shift(self.box_center[0]),
            y + tall * shift(self.box_center[1]),
        );
        let (wide, tall) = (
            wide * (1.0 + shift(self.box_size[0])).max(0.2),
            tall * (1.0 + shift(self.box_size[1])).max(0.2),
        );
        BoundingBox::new(x - 0.5 * wide, y - 0.5 * tall, x + 0.5 * wide, y + 0.5 * tall)
    }
}
