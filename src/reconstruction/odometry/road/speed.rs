//! What is believed of the speed along the road: a probability for every speed that a vehicle may have.
//!
//! One pair of pictures often agrees with several speeds: texture is faint, and paint repeats itself. A vehicle's speed
//! changes slowly, so what does not last is sorted out from picture to picture (a hidden Markov model on a grid).

use super::shift::{PARTS, Parts};

/// Speeds at most, and the steps of the grid: the larger of the two, the second relative. Metres per second.
const MAX_SPEED_MPS: f64 = 50.0;
const STEP_MPS: f64 = 0.12;
const RELATIVE_STEP: f64 = 0.02;
/// Speeds beyond this are rarer and rarer, metres per second.
const FAST_MPS: f64 = 36.0;
const FAST_SIGMA_MPS: f64 = 3.0;
/// Standard deviation of the acceleration, metres per second squared.
const ACCELERATION_MPS2: f64 = 4.0;
/// Share of the belief that is spread over all speeds in a second: what was believed may have been wrong.
const DOUBT_PER_S: f64 = 0.004;
/// Speeds less likely than this are not asked for.
const NEGLIGIBLE: f64 = 1e-4;
/// Neighbouring samples err together, and roads are not quite flat: what correlations tell counts this much.
const SHARE: f64 = 0.04;

/// Chance that a part of the road is hidden: by something that moves, or its shadow.
const HIDDEN: f64 = 0.1;

/// A belief about the speed.
#[derive(Clone, Debug)]
pub(in crate::reconstruction::odometry) struct SpeedBelief {
    speeds: Vec<f64>,
    chances: Vec<f64>,
}

/// The speed that is believed.
#[derive(Clone, Copy, Debug)]
pub(in crate::reconstruction::odometry) struct Believed {
    pub speed_mps: f64,
    pub sigma_mps: f64,
    /// Its chance against all speeds that differ by more than a tenth.
    pub chance: f64,
}

impl Default for SpeedBelief {
    fn default() -> Self {
        let mut speeds = vec![0.0];
        let mut speed = 0.0;
        while speed < MAX_SPEED_MPS {
            speed += STEP_MPS.max(RELATIVE_STEP * speed);
            speeds.push(speed);
        }
        let chances = speeds.iter().map(|speed| usual(*speed)).collect();
        let mut belief = Self { speeds, chances };
        belief.normalise();
        belief
    }
}

/// How likely a speed of the grid is before anything is seen: every speed alike, but for those that few drive at.
fn usual(speed_mps: f64) -> f64 {
    let off = ((speed_mps - FAST_MPS) / FAST_SIGMA_MPS).max(0.0);
    (-0.5 * off * off).exp() * STEP_MPS.max(RELATIVE_STEP * speed_mps)
}

impl SpeedBelief {
    fn normalise(&mut self) {
        let sum: f64 = self.chances.iter().sum();
        if sum > 0.0 && sum.is_finite() {
            for chance in &mut self.chances {
                *chance /= sum;
            }
        } else {
            *self = Self::default();
        }
    }

    /// Lets time pass.
    pub fn advance(&mut self, dt_s: f64) {
        let sigma = ACCELERATION_MPS2 * dt_s;
        let doubt = (DOUBT_PER_S * dt_s).min(1.0);
        let widths = |speed: f64| STEP_MPS.max(RELATIVE_STEP * speed);
        let before = std::mem::take(&mut self.chances);
        self.chances = vec![0.0; before.len()];
        for (from, chance) in before.iter().enumerate().filter(|(_, chance)| **chance > 1e-12) {
            let speed = self.speeds[from];
            let reach = 3.0 * sigma + 1e-9;
            let first = self.speeds.partition_point(|other| *other < speed - reach);
            let end = self.speeds.partition_point(|other| *other <= speed + reach);
            let density = |to: usize| {
                let off = (self.speeds[to] - speed) / sigma;
                (-0.5 * off * off).exp() * widths(self.speeds[to])
            };
            let total: f64 = (first..end).map(density).sum();
            for to in first..end {
                self.chances[to] += chance * density(to) / total;
            }
        }
        let whole: f64 = self.speeds.iter().map(|speed| usual(*speed)).sum();
        for (chance, speed) in self.chances.iter_mut().zip(&self.speeds) {
            *chance = *chance * (1.0 - doubt) + doubt * usual(*speed) / whole;
        }
        self.normalise();
    }

    /// Takes what two pictures say of each speed, part by part of the road: `agreement` gives each part's correlation and
    /// how many samples it rests on. Unlikely speeds are asked for only when `all` are.
    pub fn compare(&mut self, all: bool, mut agreement: impl FnMut(f64) -> Option<Parts>) {
        let most = self.chances.iter().copied().fold(0.0, f64::max);
        let tell = |(correlation, samples): (f64, f64)| {
            let agreed = correlation.clamp(0.0, 0.999);
            -0.5 * SHARE * samples * (1.0 - agreed * agreed).ln()
        };
        let mut told: Vec<Option<[f64; PARTS]>> = self
            .speeds
            .iter()
            .zip(&self.chances)
            .map(|(speed, chance)| {
                let asked = all || *chance > NEGLIGIBLE * most;
                asked.then(|| agreement(*speed).map(|parts| parts.map(tell))).flatten()
            })
            .collect();
        for part in 0..PARTS {
            let best = told.iter().flatten().map(|told| told[part]).fold(0.0, f64::max);
            for told in told.iter_mut().flatten() {
                told[part] = (HIDDEN + (1.0 - HIDDEN) * (told[part] - best).exp()).ln();
            }
        }
        let told: Vec<Option<f64>> = told.iter().map(|told| told.map(|told| told.iter().sum())).collect();
        let least = told.iter().flatten().copied().fold(f64::INFINITY, f64::min);
        if !least.is_finite() {
            return;
        }
        for (chance, told) in self.chances.iter_mut().zip(&told) {
            *chance *= told.unwrap_or(least).exp();
        }
        self.normalise();
    }

    pub fn believed(&self) -> Believed {
        let near = |speed: f64, other: f64| (other - speed).abs() <= (0.1 * speed).max(0.6);
        let mass = |speed: f64| -> f64 {
            self.speeds
                .iter()
                .zip(&self.chances)
                .filter(|(other, _)| near(speed, **other))
                .map(|(_, chance)| *chance)
                .sum()
        };
        let best = self
            .speeds
            .iter()
            .zip(&self.chances)
            .max_by(|a, b| a.1.total_cmp(b.1))
            .map_or(0.0, |(speed, _)| *speed);
        let chance = mass(best);
        let moment = |power: i32, about: f64| -> f64 {
            self.speeds
                .iter()
                .zip(&self.chances)
                .filter(|(other, _)| near(best, **other))
                .map(|(speed, chance)| chance * (speed - about).powi(power))
                .sum::<f64>()
                / chance.max(1e-12)
        };
        let speed_mps = moment(1, 0.0);
        Believed {
            speed_mps,
            sigma_mps: moment(2, speed_mps).max(0.0).sqrt(),
            chance,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every part agrees at one speed, but for those that show something else moving.
    fn agree(speed_mps: f64, truth_mps: f64, other_mps: f64, hidden: usize) -> Parts {
        let peak = |at: f64| (0.3 * (-0.5 * ((speed_mps - at) / 1.0).powi(2)).exp(), 600.0);
        std::array::from_fn(|part| peak(if part < hidden { other_mps } else { truth_mps }))
    }

    #[test]
    fn a_speed_is_known_after_some_pictures_whatever_passes_on_one_side() {
        let mut belief = SpeedBelief::default();
        for _ in 0..10 {
            belief.advance(0.04);
            belief.compare(true, |speed_mps| Some(agree(speed_mps, 24.0, 44.0, 2)));
        }
        let believed = belief.believed();
        assert!(believed.chance > 0.95, "{believed:?}");
        assert!((believed.speed_mps - 24.0).abs() < 0.5, "{believed:?}");
    }

    #[test]
    fn pictures_that_agree_with_nothing_tell_nothing() {
        let mut belief = SpeedBelief::default();
        for _ in 0..10 {
            belief.advance(0.04);
            belief.compare(true, |_| Some([(0.02, 600.0); PARTS]));
        }
        assert!(belief.believed().chance < 0.3);
    }
}
