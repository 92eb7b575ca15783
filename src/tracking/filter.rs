//! A Kalman filter of a box in time: centre, width and height, each with its rate of change.
//!
//! The four quantities are independent, so each is a two-state filter in plain scalars. Rates decay exponentially
//! (an Ornstein–Uhlenbeck process), which keeps long predictions of unseen objects from running away. Noise is
//! proportional to the object's size, so that near and far objects are treated alike.

use crate::detection::BoundingBox;

use super::camera_motion::LocalMotion;
use super::settings::TrackerSettings;

/// Index of the centre's x, its y, the width and the height.
pub(super) const CX: usize = 0;
pub(super) const CY: usize = 1;
const W: usize = 2;
const H: usize = 3;

/// How far a step in time carries value and rate; the same for all boxes of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeStep {
    dt: f64,
    center: (f64, f64),
    size: (f64, f64),
    center_noise: f64,
    size_noise: f64,
}

impl TimeStep {
    /// A step of `dt` seconds.
    pub(super) fn new(dt: f64, settings: &TrackerSettings) -> Self {
        let decay = |tau: f64| {
            let keep = (-dt / tau).exp();
            (tau * (1.0 - keep), keep)
        };
        Self {
            dt,
            center: decay(settings.velocity_decay_s),
            size: decay(settings.growth_decay_s),
            center_noise: settings.acceleration_sigma.powi(2),
            size_noise: settings.growth_sigma.powi(2),
        }
    }
}

/// One quantity and its rate with their covariance.
#[derive(Clone, Copy, Debug, Default)]
struct Axis {
    value: f64,
    rate: f64,
    value_var: f64,
    covariance: f64,
    rate_var: f64,
}

impl Axis {
    fn predict(&mut self, dt: f64, (reach, keep): (f64, f64), noise: f64) {
        self.value += reach * self.rate;
        self.value_var += 2.0 * reach * self.covariance + reach * reach * self.rate_var + noise * dt * dt * dt / 3.0;
        self.covariance = keep * (self.covariance + reach * self.rate_var) + 0.5 * noise * dt * dt;
        self.rate *= keep;
        self.rate_var = keep * keep * self.rate_var + noise * dt;
    }

    fn update(&mut self, measured: f64, variance: f64) {
        let innovation_var = self.value_var + variance;
        let (gain, rate_gain) = (self.value_var / innovation_var, self.covariance / innovation_var);
        let innovation = measured - self.value;
        self.value += gain * innovation;
        self.rate += rate_gain * innovation;
        self.rate_var -= rate_gain * self.covariance;
        self.covariance *= 1.0 - gain;
        self.value_var *= 1.0 - gain;
    }
}

/// The filtered box.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BoxFilter {
    axes: [Axis; 4],
}

impl BoxFilter {
    /// Starts at a detection, at rest.
    pub(super) fn new(bbox: &BoundingBox, settings: &TrackerSettings) -> Self {
        let size = size_of(bbox);
        let variance = (settings.measurement_sigma * size).powi(2);
        let speed_var = (settings.initial_speed_sigma * size).powi(2);
        let growth_var = (settings.growth_sigma * size).powi(2);
        let axis = |value, rate_var| Axis {
            value,
            rate: 0.0,
            value_var: variance,
            covariance: 0.0,
            rate_var,
        };
        let [cx, cy, w, h] = measurement(bbox);
        Self {
            axes: [
                axis(cx, speed_var),
                axis(cy, speed_var),
                axis(w, growth_var),
                axis(h, growth_var),
            ],
        }
    }

    /// Moves on in time.
    pub(super) fn predict(&mut self, step: &TimeStep) {
        let area = self.size().powi(2);
        for axis in &mut self.axes[..2] {
            axis.predict(step.dt, step.center, step.center_noise * area);
        }
        for axis in &mut self.axes[2..] {
            axis.predict(step.dt, step.size, step.size_noise * area);
        }
        self.keep_positive();
    }

    /// Takes a detection in; `sigma` is the standard deviation of its centre and sides as a share of its size.
    pub(super) fn update(&mut self, bbox: &BoundingBox, sigma: f64) {
        let variance = (sigma * size_of(bbox)).powi(2);
        for (axis, value) in self.axes.iter_mut().zip(measurement(bbox)) {
            axis.update(value, variance);
        }
        self.keep_positive();
    }

    /// Follows the background's motion in the picture.
    pub(super) fn follow(&mut self, near: &LocalMotion) {
        let [cx, cy, w, h] = &mut self.axes;
        (cx.value, cy.value) = near.center;
        let j = &near.jacobian;
        (cx.rate, cy.rate) = (
            j[0][0] * cx.rate + j[0][1] * cy.rate,
            j[1][0] * cx.rate + j[1][1] * cy.rate,
        );
        for side in [w, h] {
            side.value *= near.scale;
            side.rate *= near.scale;
        }
        let area = near.scale * near.scale;
        for axis in &mut self.axes {
            axis.value_var *= area;
            axis.covariance *= area;
            axis.rate_var *= area;
        }
    }

    /// The filtered box.
    pub(super) fn bounding_box(&self) -> BoundingBox {
        let [cx, cy, w, h] = self.axes.map(|axis| axis.value);
        BoundingBox::new(
            (cx - 0.5 * w) as f32,
            (cy - 0.5 * h) as f32,
            (cx + 0.5 * w) as f32,
            (cy + 0.5 * h) as f32,
        )
    }

    /// The centre.
    pub(super) fn center(&self) -> (f64, f64) {
        (self.axes[CX].value, self.axes[CY].value)
    }

    /// Standard deviation of the centre in pixels.
    pub(super) fn center_sigma(&self) -> f64 {
        self.axes[CX].value_var.max(self.axes[CY].value_var).max(0.0).sqrt()
    }

    fn size(&self) -> f64 {
        (self.axes[W].value * self.axes[H].value).max(1.0).sqrt()
    }

    /// A shrinking prediction stops at one pixel.
    fn keep_positive(&mut self) {
        for axis in &mut self.axes[2..] {
            if axis.value < 1.0 {
                axis.value = 1.0;
                axis.rate = axis.rate.max(0.0);
            }
        }
    }
}

/// √(width · height), at least one pixel.
pub(super) fn size_of(bbox: &BoundingBox) -> f64 {
    f64::from(bbox.area()).max(1.0).sqrt()
}

fn measurement(bbox: &BoundingBox) -> [f64; 4] {
    let (x, y) = bbox.center();
    [x, y, bbox.width(), bbox.height()].map(f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(t: f64) -> BoundingBox {
        BoundingBox::from_xywh(100.0 + 40.0 * t as f32, 50.0, 40.0, 100.0)
    }

    #[test]
    fn constant_motion_is_learnt_at_any_frame_rate() {
        let settings = TrackerSettings {
            velocity_decay_s: 1e6,
            ..TrackerSettings::default()
        };
        for fps in [5.0, 25.0, 60.0] {
            let step = TimeStep::new(1.0 / fps, &settings);
            let mut filter = BoxFilter::new(&moved(0.0), &settings);
            for k in 1..=(4.0 * fps) as usize {
                filter.predict(&step);
                filter.update(&moved(k as f64 / fps), settings.measurement_sigma);
            }
            assert!(
                (filter.axes[CX].rate - 40.0).abs() < 0.5,
                "{fps} fps: {}",
                filter.axes[CX].rate
            );
        }
    }

    #[test]
    fn one_long_step_equals_many_short_ones() {
        let settings = TrackerSettings::default();
        let mut once = BoxFilter::new(&moved(0.0), &settings);
        once.axes[CX].rate = 40.0;
        let mut often = once;
        once.predict(&TimeStep::new(0.4, &settings));
        for _ in 0..10 {
            often.predict(&TimeStep::new(0.04, &settings));
        }
        assert!((once.center().0 - often.center().0).abs() < 1e-9);
        assert!((once.center_sigma() / often.center_sigma() - 1.0).abs() < 0.05);
    }
}
