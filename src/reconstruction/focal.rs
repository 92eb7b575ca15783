//! The focal length, found from the video when no intrinsics are given.
//!
//! How well the keyframe window fits is a function of the focal length that it is read with: the window is adjusted with
//! the focal length a little shorter, as it is, and a little longer, and the parabola through the three costs tells where
//! the best lies and how sharp it is. Each window is one measurement of the logarithm; a Kalman filter holds them together.
//! Only turning tells it: under a turn the picture's rim moves further than its middle, the more the shorter the lens. A camera
//! that drives straight on tells nothing (a longer lens and a deeper scene look alike), so windows that hardly turn are not
//! asked, and the standard deviation stays what was assumed.

/// Half the width of the parabola, in the logarithm: wide, for near its least the cost says more of the window's past than of
/// the lens.
pub(crate) const STEP: f64 = 0.2;
/// A window that turns less than this tells nothing, radians.
pub(crate) const LEAST_TURN: f64 = 0.03;
/// Successive windows share most of their keyframes, and residuals are not independent: information counts this much.
const INFORMATION_SHARE: f64 = 0.03;
/// However well it fits, a window is off by this: lenses bend lines, and older keyframes hold on to the focal length that they
/// were made with.
const WINDOW_SIGMA: f64 = 0.4;
/// A single window moves the logarithm by this much at most.
const MAX_STEP: f64 = 0.15;
/// The estimate is never called better than this.
const MIN_SIGMA: f64 = 0.01;
/// Fields of view that cameras have: the logarithm stays within this of the assumption.
const MAX_OFF: f64 = 0.8;

/// Estimate of the focal length relative to the assumed one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FocalEstimator {
    log_ratio: f64,
    variance: f64,
}

impl FocalEstimator {
    /// With the relative standard deviation of the assumption.
    pub fn new(sigma: f64) -> Self {
        Self {
            log_ratio: 0.0,
            variance: sigma * sigma,
        }
    }

    /// Logarithm of the estimate against the assumption.
    pub fn log_ratio(&self) -> f64 {
        self.log_ratio
    }

    /// Relative standard deviation of the estimate.
    pub fn sigma(&self) -> f64 {
        self.variance.sqrt().max(MIN_SIGMA)
    }

    /// Takes the costs of a window (in variances) read with the estimate times e^-[`STEP`], the estimate, and the estimate
    /// times e^[`STEP`]. Costs without a least between tell nothing but the direction.
    pub fn update(&mut self, costs: [f64; 3]) {
        let [shorter, here, longer] = costs;
        if !costs.iter().all(|cost| cost.is_finite()) {
            return;
        }
        let curvature = (shorter + longer - 2.0 * here) / (STEP * STEP);
        let slope = (longer - shorter) / (2.0 * STEP);
        if curvature <= 0.0 {
            return;
        }
        // The cost is χ²: half its curvature is the information.
        let information = 0.5 * curvature * INFORMATION_SHARE;
        let off = (-slope / curvature).clamp(-MAX_STEP, MAX_STEP);
        if information <= 0.0 {
            return;
        }
        let gain = self.variance / (self.variance + 1.0 / information + WINDOW_SIGMA * WINDOW_SIGMA);
        self.log_ratio = (self.log_ratio + gain * off).clamp(-MAX_OFF, MAX_OFF);
        self.variance *= 1.0 - gain;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parabolas_lead_to_their_least() {
        let mut focal = FocalEstimator::new(0.3);
        let truth = -0.2;
        for _ in 0..400 {
            let cost = |log: f64| 500.0 + 4e4 * (log - truth) * (log - truth);
            let at = focal.log_ratio();
            focal.update([cost(at - STEP), cost(at), cost(at + STEP)]);
        }
        assert!((focal.log_ratio() - truth).abs() < 0.01, "{}", focal.log_ratio());
        assert!(focal.sigma() < 0.03);
    }

    #[test]
    fn flat_costs_tell_nothing() {
        let mut focal = FocalEstimator::new(0.3);
        focal.update([100.0, 100.0, 100.0]);
        focal.update([f64::NAN, 1.0, 1.0]);
        focal.update([1.0, 2.0, 1.0]);
        assert_eq!(focal.log_ratio(), 0.0);
        assert!((focal.sigma() - 0.3).abs() < 1e-12);
    }
}
