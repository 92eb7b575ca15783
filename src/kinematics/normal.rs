//! The normal distribution, as far as probabilities of comparisons and clock hours need it.

use std::f64::consts::{SQRT_2, TAU};

/// Half the width of a 95 % interval in standard deviations.
pub(crate) const Z_95: f64 = 1.959_963_984_540_054;

/// Probability that a standard normal variable is less than `x`. Absolute error below 1e-7 (the rational Chebyshev fit
/// of erfc in Press et al., Numerical Recipes, section 6.2).
pub(crate) fn cumulative(x: f64) -> f64 {
    let z = x.abs() / SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * z);
    let coefficients = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let polynomial = coefficients.iter().rev().fold(0.0, |sum, c| sum * t + c);
    let upper_tail = 0.5 * t * (polynomial - z * z).exp();
    if x >= 0.0 { 1.0 - upper_tail } else { upper_tail }
}

/// Probability that an angle lies within `half_width` of 0, for an estimate `offset` away from 0 with standard deviation
/// `sigma`, all in radians, on the circle. With `sigma` 0 it is 0 or 1.
pub(crate) fn angle_within(offset: f64, half_width: f64, sigma: f64) -> f64 {
    if sigma <= 0.0 {
        return if offset.abs() <= half_width { 1.0 } else { 0.0 };
    }
    // A sigma of a full turn is as good as no knowledge; beyond it the sum over turns would only grow longer.
    let sigma = sigma.min(TAU);
    let turns = (3.0 * sigma / TAU).ceil() as i32 + 1;
    let probability: f64 = (-turns..=turns)
        .map(|turn| {
            let center = offset + f64::from(turn) * TAU;
            cumulative((half_width - center) / sigma) - cumulative((-half_width - center) / sigma)
        })
        .sum();
    probability.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cumulative_agrees_with_tables() {
        for (x, expected) in [
            (0.0, 0.5),
            (1.0, 0.841_344_746),
            (-1.0, 0.158_655_254),
            (Z_95, 0.975),
            (3.0, 0.998_650_102),
            (-8.0, 0.0),
        ] {
            assert!((cumulative(x) - expected).abs() < 2e-7, "{x}: {}", cumulative(x));
        }
    }

    #[test]
    fn an_unknown_angle_is_spread_over_the_circle() {
        let hour = TAU / 24.0;
        assert!((angle_within(0.3, hour, 100.0) - 1.0 / 12.0).abs() < 1e-4);
        assert!(angle_within(0.0, hour, 0.01) > 0.999_999);
        assert_eq!(angle_within(0.1, hour, 0.0), 1.0);
        assert_eq!(angle_within(0.3, hour, 0.0), 0.0);
    }
}
