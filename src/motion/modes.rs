//! Interacting multiple models: at rest, cruising, manoeuvring, in a burst of acceleration; and the smoother that looks back through them.
//!
//! Forward: the IMM filter (Blom and Bar-Shalom 1988). Backward: smoothing of the mode probabilities by the backward
//! recursion of a hidden Markov model over the modes' likelihoods, and of the states by one Rauch–Tung–Striebel step a
//! mode towards the mixture of the later smoothed states (Nadarajah, Tharmarasa, McDonald, Kirubarajan, "IMM forward
//! filtering and backward smoothing for maneuvering target tracking", 2012).

use nalgebra::Matrix3;

use super::filter::{Covariance, Errors, Estimate, Measurement, Motion, SORTS, Vector};

pub(super) const MODES: usize = 4;
/// Index of the standstill hypothesis.
pub(super) const STANDING: usize = 0;

/// Beyond this many standard deviations a residual's pull stays what it is there (Huber's estimator).
const HUBER_SIGMAS: f64 = 3.0;
/// Beyond this many it has none.
const REJECTED_SIGMAS: f64 = 7.0;
/// No hypothesis is ever given up.
const LEAST_PROBABILITY: f64 = 1e-6;

/// What a standing object may pick up before it counts as moving, m/s.
const SLOW_MPS: f64 = 0.3;

/// Below this a hypothesis starts again from the estimate over all.
const REVIVED_PROBABILITY: f64 = 1e-5;

/// Below this a hypothesis is not smoothed.
const NEGLIGIBLE_PROBABILITY: f64 = 1e-4;

/// Expected changes of mode in a second, from row to column.
const CHANGES_PER_S: [[f64; MODES]; MODES] = [
    [0.0, 0.03, 0.15, 0.0025],
    [0.01, 0.0, 0.25, 0.005],
    [0.05, 0.60, 0.0, 0.025],
    [0.10, 0.40, 2.0, 0.0],
];

/// What the hypotheses say about motion for objects of one class.
pub(super) type Motions = [Motion; MODES];

/// One estimate a hypothesis, with its probability.
#[derive(Clone, Debug)]
pub(super) struct Modes {
    pub estimates: [Estimate; MODES],
    pub probabilities: [f64; MODES],
    /// Likelihood of the newest measurements under each hypothesis, up to a common factor.
    pub likelihoods: [f64; MODES],
}

impl Modes {
    /// Moves on by `dt_s`: mixes the hypotheses, then predicts each.
    pub fn predict(&mut self, dt_s: f64, motions: &Motions, errors: &Errors) {
        let transition = transition(&self.estimates, dt_s);
        let mut predicted = [0.0; MODES];
        let mixed: [Estimate; MODES] = std::array::from_fn(|to| {
            let mut weights: [f64; MODES] = std::array::from_fn(|from| transition[from][to] * self.probabilities[from]);
            predicted[to] = weights.iter().sum();
            weights.iter_mut().for_each(|weight| *weight /= predicted[to]);
            mixture(&self.estimates, &weights)
        });
        self.estimates = std::array::from_fn(|mode| mixed[mode].predicted(dt_s, motions[mode], errors).0);
        self.probabilities = predicted;
        self.likelihoods = [1.0; MODES];
    }

    /// Takes the measurements of one frame. False when a direction, or all distances, were too far off to be used: what
    /// fits does not make up for what does not.
    pub fn update(&mut self, measurements: impl Iterator<Item = Measurement>) -> bool {
        let mut log_likelihoods = [0.0; MODES];
        // Of each direction and of distances: how many came, how many were used.
        let (mut came, mut used) = ([0; SORTS], [0; SORTS]);
        for measurement in measurements {
            let innovations: [_; MODES] = std::array::from_fn(|mode| self.estimates[mode].innovation(&measurement));
            // The gate is that of the hypothesis which explains the measurement best, and the same for all: else the
            // hypothesis that is most wrong would be punished least.
            let nearest = innovations
                .iter()
                .min_by(|a, b| (a.residual.powi(2) / a.variance).total_cmp(&(b.residual.powi(2) / b.variance)));
            let Some(nearest) = nearest else { continue };
            let sigmas2 = nearest.residual.powi(2) / nearest.variance;
            let sort = measurement.sort();
            came[sort] += 1;
            if sigmas2.is_nan() || sigmas2 >= REJECTED_SIGMAS.powi(2) {
                continue;
            }
            used[sort] += 1;
            // A residual r has the pull of one at the gate when its variance S grows to r²/(gate·√S)·…: r/S' = gate/√S.
            let inflation = if sigmas2 > HUBER_SIGMAS.powi(2) {
                nearest.residual.abs() * nearest.variance.sqrt() / HUBER_SIGMAS - nearest.variance
            } else {
                0.0
            };
            for (mode, innovation) in innovations.iter().enumerate() {
                let variance = innovation.variance + inflation;
                log_likelihoods[mode] -= 0.5 * (innovation.residual.powi(2) / variance + variance.ln());
                self.estimates[mode].update(innovation, inflation);
            }
        }
        let most = log_likelihoods.iter().copied().fold(f64::MIN, f64::max);
        self.likelihoods = log_likelihoods.map(|value| (value - most).exp());
        for (probability, likelihood) in self.probabilities.iter_mut().zip(&self.likelihoods) {
            *probability = (*probability * likelihood).max(LEAST_PROBABILITY);
        }
        normalize(&mut self.probabilities);
        self.revive();
        came.iter().zip(used).all(|(came, used)| *came == 0 || used > 0)
    }

    /// A hypothesis that has become all but impossible has lost its way: it goes on from where the object is. (The place
    /// where a driving car would stand is soon behind the camera.)
    fn revive(&mut self) {
        if self
            .probabilities
            .iter()
            .any(|probability| *probability < REVIVED_PROBABILITY)
        {
            let merged = self.merged();
            for (estimate, probability) in self.estimates.iter_mut().zip(&self.probabilities) {
                if *probability < REVIVED_PROBABILITY {
                    *estimate = merged.clone();
                }
            }
        }
    }

    /// The estimate over all hypotheses.
    pub fn merged(&self) -> Estimate {
        mixture(&self.estimates, &self.probabilities)
    }
}

/// One step of the smoother: from the smoothed modes at the later node back to `earlier`. `backward` holds, for each mode
/// at the later node, the likelihood of all measurements after it; it is brought back to the earlier node too.
pub(super) fn smoothed_step(
    earlier: &Modes,
    later: &Modes,
    later_smoothed: &[Estimate; MODES],
    backward: &mut [f64; MODES],
    dt_s: f64,
    motions: &Motions,
    errors: &Errors,
) -> [Estimate; MODES] {
    let mut transition = transition(&earlier.estimates, dt_s);
    // Who stood a moment ago can not be fast now.
    for to in (0..MODES).filter(|to| *to != STANDING) {
        transition[STANDING][to] *= standing_plausibility(&later_smoothed[to]);
    }
    let mut weights = [[0.0; MODES]; MODES];
    let mut earlier_backward = [0.0; MODES];
    for mode in 0..MODES {
        weights[mode] = std::array::from_fn(|to| transition[mode][to] * later.likelihoods[to] * backward[to]);
        earlier_backward[mode] = weights[mode].iter().sum();
        weights[mode]
            .iter_mut()
            .for_each(|weight| *weight /= earlier_backward[mode]);
    }
    normalize(&mut earlier_backward);
    *backward = earlier_backward;
    let probabilities = smoothed_probabilities(earlier, backward);
    let step = |mode: usize| {
        let toward = mixture(later_smoothed, &weights[mode]);
        rts_step(&earlier.estimates[mode], &toward, dt_s, motions[mode], errors)
    };
    let likeliest = (0..MODES).fold(0, |best, mode| {
        if probabilities[mode] > probabilities[best] {
            mode
        } else {
            best
        }
    });
    let best = step(likeliest);
    std::array::from_fn(|mode| {
        // What is all but impossible is not worth the work: its weight in every mixture is nothing.
        if mode == likeliest || probabilities[mode] < NEGLIGIBLE_PROBABILITY {
            best.clone()
        } else {
            step(mode)
        }
    })
}

/// Probabilities of the modes of a node given all measurements.
pub(super) fn smoothed_probabilities(node: &Modes, backward: &[f64; MODES]) -> [f64; MODES] {
    let mut probabilities = std::array::from_fn(|mode| node.probabilities[mode] * backward[mode]);
    normalize(&mut probabilities);
    probabilities
}

fn rts_step(filtered: &Estimate, later: &Estimate, dt_s: f64, motion: Motion, errors: &Errors) -> Estimate {
    let (predicted, cross) = filtered.predicted(dt_s, motion, errors);
    let Some(factor) = predicted.covariance.cholesky() else {
        return filtered.clone();
    };
    // Gᵀ = P⁻¹ (P_filtered Fᵀ)ᵀ
    let gain = factor.solve(&cross.transpose()).transpose();
    let mean = filtered.mean + gain * (later.mean - predicted.mean);
    let covariance = filtered.covariance + gain * (later.covariance - predicted.covariance) * gain.transpose();
    Estimate {
        mean,
        covariance: symmetric(covariance),
    }
}

/// Mean and covariance of a mixture.
pub(super) fn mixture(estimates: &[Estimate; MODES], weights: &[f64; MODES]) -> Estimate {
    let mut mean = Vector::zeros();
    for (estimate, weight) in estimates.iter().zip(weights) {
        mean.axpy(*weight, &estimate.mean, 1.0);
    }
    let mut covariance = Covariance::zeros();
    for (estimate, weight) in estimates.iter().zip(weights) {
        let spread = estimate.mean - mean;
        covariance += estimate.covariance * *weight;
        covariance.ger(*weight, &spread, &spread, 1.0);
    }
    Estimate { mean, covariance }
}

fn symmetric(matrix: Covariance) -> Covariance {
    (matrix + matrix.transpose()) * 0.5
}

fn normalize(weights: &mut [f64; MODES]) {
    let sum: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= sum);
}

/// Probabilities of going from mode to mode in `dt_s`. What moves comes to rest only where it may be slow enough.
fn transition(estimates: &[Estimate; MODES], dt_s: f64) -> [[f64; MODES]; MODES] {
    std::array::from_fn(|from| {
        let mut rates = CHANGES_PER_S[from];
        if from != STANDING {
            rates[STANDING] *= standing_plausibility(&estimates[from]);
        }
        let leaving: f64 = rates.iter().sum();
        let gone = 1.0 - (-leaving * dt_s).exp();
        std::array::from_fn(|to| {
            if from == to {
                1.0 - gone
            } else {
                gone * rates[to] / leaving
            }
        })
    })
}

/// How well a velocity goes with standing: the likelihood of zero against that of the mean.
fn standing_plausibility(estimate: &Estimate) -> f64 {
    let velocity = estimate.velocity();
    let mut covariance: Matrix3<f64> = estimate.covariance.fixed_view::<3, 3>(3, 3).into_owned();
    for axis in 0..3 {
        covariance[(axis, axis)] += SLOW_MPS * SLOW_MPS;
    }
    let Some(factor) = covariance.cholesky() else {
        return 1.0;
    };
    (-0.5 * velocity.dot(&factor.solve(&velocity))).exp()
}
