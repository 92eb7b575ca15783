//! Random draws of a world: one generator, and the distributions the scenes use.

use std::ops::Range;

use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, Exp1, StandardNormal};
use rand_pcg::Pcg64;

/// A stream of random draws that is a function of its seed alone.
#[derive(Clone, Debug)]
pub(super) struct Draw(Pcg64);

impl Draw {
    /// The stream of a seed; `purpose` separates streams of one seed from each other.
    pub(super) fn new(seed: u64, purpose: u64) -> Self {
        Self(Pcg64::seed_from_u64(
            seed ^ purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17),
        ))
    }

    /// A stream of its own, so that what is drawn from it does not shift what is drawn here later.
    pub(super) fn fork(&mut self) -> Self {
        Self(Pcg64::seed_from_u64(self.0.random()))
    }

    /// Uniform in a range; the range's start when it is empty.
    pub(super) fn uniform(&mut self, range: Range<f64>) -> f64 {
        let share: f64 = self.0.random();
        range.start + share * (range.end - range.start).max(0.0)
    }

    /// Uniform in the logarithm.
    pub(super) fn log_uniform(&mut self, range: Range<f64>) -> f64 {
        self.uniform(range.start.ln()..range.end.ln()).exp()
    }

    /// Normal, cut off at the range's ends.
    pub(super) fn normal(&mut self, mean: f64, sigma: f64, range: Range<f64>) -> f64 {
        let standard: f64 = StandardNormal.sample(&mut self.0);
        (mean + sigma * standard).clamp(range.start, range.end)
    }

    /// Exponential with a mean: the wait for the next of events that come at random.
    pub(super) fn wait(&mut self, mean: f64) -> f64 {
        let standard: f64 = Exp1.sample(&mut self.0);
        mean * standard
    }

    /// True with a probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.0.random::<f64>() < probability
    }

    /// A whole number below `count`, which is taken as at least 1.
    pub(super) fn below(&mut self, count: usize) -> usize {
        self.0.random_range(0..count.max(1))
    }

    /// A whole number in a range, both ends included.
    pub(super) fn whole(&mut self, least: usize, most: usize) -> usize {
        least + self.below(most + 1 - least.min(most))
    }

    /// One of several; each is as likely as its weight.
    pub(super) fn weighted<T: Copy>(&mut self, choices: &[(f64, T)], otherwise: T) -> T {
        let total: f64 = choices.iter().map(|(weight, _)| weight).sum();
        let mut left = self.uniform(0.0..total);
        for (weight, choice) in choices {
            left -= weight;
            if left < 0.0 {
                return *choice;
            }
        }
        otherwise
    }

    /// Either sign.
    pub(super) fn sign(&mut self) -> f64 {
        if self.chance(0.5) { 1.0 } else { -1.0 }
    }

    /// A seed.
    pub(super) fn seed(&mut self) -> u64 {
        self.0.random()
    }

    /// A colour round another: brightness and each channel vary by the shares given.
    pub(super) fn color(&mut self, [red, green, blue]: [f64; 3], brightness: f64, tint: f64) -> [f32; 3] {
        let scale = self.uniform(1.0 - brightness..1.0 + brightness);
        [red, green, blue].map(|value| {
            let factor = scale * self.uniform(1.0 - tint..1.0 + tint);
            (value * factor).clamp(0.01, 0.95) as f32
        })
    }
}
