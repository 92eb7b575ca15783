//! A depth network's wander: a slow random walk of its scale.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, StandardNormal};

/// Factors on depth, frame by frame: the exponential of a Gaussian random walk that begins at zero, smoothed over half a
/// second, whose greatest excursion over the recording is `size`.
#[derive(Clone, Copy, Debug)]
pub struct DepthWander {
    size: f64,
    seed: u64,
}

impl DepthWander {
    /// A walk of this size.
    pub fn new(size: f64, seed: u64) -> Self {
        Self { size, seed }
    }

    /// One factor for each of `count` frames.
    pub fn factors(&self, count: usize) -> Vec<f64> {
        let mut random = StdRng::seed_from_u64(self.seed);
        let (mut level, mut smooth) = (0.0, 0.0);
        let walk: Vec<f64> = (0..count)
            .map(|_| {
                let here = smooth;
                let step: f64 = StandardNormal.sample(&mut random);
                level += step;
                smooth += (level - smooth) / 15.0;
                here
            })
            .collect();
        let most = walk.iter().fold(0.0f64, |most, value| most.max(value.abs()));
        let scale = if most > 0.0 { (1.0 + self.size).ln() / most } else { 0.0 };
        walk.iter().map(|value| (value * scale).exp()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_walk_begins_at_one_and_reaches_its_size() {
        for seed in 0..5 {
            let factors = DepthWander::new(0.1, seed).factors(300);
            assert_eq!(factors[0], 1.0);
            let most = factors.iter().fold(0.0f64, |most, factor| most.max(factor.ln().abs()));
            assert!((most - 1.1f64.ln()).abs() < 1e-9);
            assert!(factors.windows(2).all(|pair| (pair[1] - pair[0]).abs() < 0.02));
        }
        assert!(DepthWander::new(0.0, 1).factors(10).iter().all(|factor| *factor == 1.0));
    }
}
