//! What the trainings of both models share: which one a file is about, and the learning rate's way.

use serde::{Deserialize, Serialize};

/// Which model a training's settings are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trained {
    /// The small ST-VLM, on simulated worlds.
    #[default]
    Tiny,
    /// A LLaVA-OneVision folder, on records.
    LlavaOnevision,
}

/// The learning rate of a step: up in a line over `warm_up` steps, down along a cosine to a hundredth of `rate` at the last of
/// `steps`.
pub fn cosine_with_warm_up(rate: f64, warm_up: u64, steps: u64, step: u64) -> f64 {
    let up = ((step + 1) as f64 / warm_up.max(1) as f64).min(1.0);
    let share = step as f64 / steps.max(1) as f64;
    rate * up * (0.01 + 0.99 * 0.5 * (1.0 + (std::f64::consts::PI * share.min(1.0)).cos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_and_falls() {
        let at = |step| cosine_with_warm_up(1e-3, 10, 100, step);
        assert!((at(0) - 1e-4).abs() < 2e-6 && at(4) < at(9));
        assert!(at(20) > at(50) && at(50) > at(99));
        assert!((at(1000) - 1e-5).abs() < 1e-12);
    }
}
