//! When a world's camera takes its pictures: at a nominal rate, with jitter, the same times for the same seed.

use rand::{Rng, SeedableRng};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;

use super::world::World;

/// Keeps these draws apart from those of the scenes, which start from the seed itself.
const STREAM: u64 = 0x7469_6d69_6e67;

/// A picture is taken at most this part of the nominal time early or late, so that time always grows.
const MOST_OF_PERIOD: f64 = 0.45;

/// The times of a camera's pictures, seconds since the world began: endless, ascending, from zero.
#[derive(Clone, Debug)]
pub struct FrameTimes {
    frame: u64,
    period_s: f64,
    sigma_s: f64,
    random: Pcg64,
}

impl FrameTimes {
    /// Of `frame_rate` pictures a second. `jitter` is the standard deviation of the time between two pictures, of the
    /// nominal time; each picture is early or late by itself, so the rate does not drift.
    pub fn new(frame_rate: f64, jitter: f64, seed: u64) -> Self {
        let period_s = frame_rate.recip();
        Self {
            frame: 0,
            period_s,
            // The time between two pictures has the variance of both.
            sigma_s: jitter.max(0.0) * period_s / std::f64::consts::SQRT_2,
            random: Pcg64::seed_from_u64(seed ^ STREAM),
        }
    }

    /// Of a world's camera.
    pub fn of(world: &World) -> Self {
        Self::new(world.frame_rate, world.jitter, world.settings.seed)
    }
}

impl Iterator for FrameTimes {
    type Item = f64;

    fn next(&mut self) -> Option<f64> {
        let nominal_s = self.frame as f64 * self.period_s;
        let draw: f64 = self.random.sample(StandardNormal);
        let most_s = MOST_OF_PERIOD * self.period_s;
        let late_s = if self.frame == 0 {
            0.0
        } else {
            (draw * self.sigma_s).clamp(-most_s, most_s)
        };
        self.frame += 1;
        Some(nominal_s + late_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_grow_at_the_nominal_rate_with_the_jitter_asked_for() {
        for (frame_rate, jitter) in [(25.0, 0.0), (30.0, 0.05), (10.0, 0.2), (15.0, 3.0)] {
            let times: Vec<f64> = FrameTimes::new(frame_rate, jitter, 7).take(20_001).collect();
            assert_eq!(times[0], 0.0);
            let steps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!(steps.iter().all(|&step_s| step_s > 0.0));
            let mean = steps.iter().sum::<f64>() / steps.len() as f64;
            assert!((mean * frame_rate - 1.0).abs() < 1e-3, "{mean}");
            let variance = steps.iter().map(|step_s| (step_s - mean).powi(2)).sum::<f64>() / steps.len() as f64;
            let found = variance.sqrt() * frame_rate;
            // Beyond some jitter times would fall behind each other, and are held.
            if jitter <= 0.2 {
                assert!((found - jitter).abs() < 0.03 * jitter + 1e-9, "{found} for {jitter}");
            }
        }
    }

    #[test]
    fn a_seed_gives_the_same_times_and_another_seed_others() {
        let times = |seed| FrameTimes::new(25.0, 0.1, seed).take(50).collect::<Vec<_>>();
        assert_eq!(times(3), times(3));
        assert_ne!(times(3), times(4));
    }
}
