//! The metric scale: how many metres one unit of the odometry's map is.
//!
//! A Kalman filter on the logarithm of the scale, whose process noise is the odometry's own drift. What measures it errs
//! for seconds in the same direction: a network that sees 10 % too far does so in the next frame too. An error of
//! standard deviation σ that is remembered for τ is, to a filter that is fed every Δt, as good as white noise of variance
//! 2 σ² τ / Δt (equal spectral density at low frequency), and that is what it is taken for. So a depth network that wanders
//! moves the scale only as far as its long mean does, and the map holds it meanwhile.

use std::collections::VecDeque;

/// Drift of the odometry's own scale: standard deviation of its logarithm after one second.
const DRIFT: f64 = 0.003;
/// The same where a cue measures it whose errors do not last: the map need not hold it then, and where landmarks come and
/// go quickly, as ahead of a car, it does not.
const MEASURED_DRIFT: f64 = 0.03;
/// Errors that last no longer than this are short-lived, and the scale counts as measured for so long, seconds.
const SHORT_S: f64 = 1.0;
/// Measurements of one cue that the gate looks back on.
const GATE_LENGTH: usize = 31;
/// Median absolute deviations, as standard deviations, beyond which a measurement is an outlier …
const GATE: f64 = 4.0;
/// … and the least such deviation.
const GATE_FLOOR: f64 = 0.01;
/// Time over which a cue's mean is taken to tell whether cues disagree, seconds.
const MEAN_MEMORY_S: f64 = 3.0;
/// Time over which drift is told, seconds.
const DRIFT_SPAN_S: f64 = 10.0;

/// What tells the scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScaleCue {
    /// Depth of a network against the map's.
    DepthNetwork,
    /// Height of the camera over the ground plane of the map against the mounting.
    CameraHeight,
    /// Sizes of classes against sizes in the map.
    ClassHeights,
    /// The vehicle's speed against the map's.
    Speed,
}

impl ScaleCue {
    const COUNT: usize = 4;
}

/// One measurement of the scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleMeasurement {
    /// What it was read from.
    pub cue: ScaleCue,
    /// Logarithm of metres per map unit.
    pub log_scale: f64,
    /// Its standard deviation.
    pub sigma: f64,
    /// How long an error stays, seconds.
    pub memory_s: f64,
}

#[derive(Clone, Debug, Default)]
struct Channel {
    recent: VecDeque<f64>,
    /// Slow mean, its time, and the stated standard deviation.
    mean: Option<(f64, f64, f64)>,
    updated_s: Option<f64>,
}

/// Filter of the metric scale; see the [module's documentation](self).
#[derive(Clone, Debug)]
pub struct ScaleFilter {
    log_scale: f64,
    variance: f64,
    time_s: Option<f64>,
    /// When a cue whose errors are short-lived last measured it.
    measured_s: Option<f64>,
    channels: [Channel; ScaleCue::COUNT],
    history: VecDeque<(f64, f64)>,
    rejected: u64,
}

impl ScaleFilter {
    /// With what is known of the scale at first: its logarithm and the standard deviation of that.
    pub fn new(log_scale: f64, sigma: f64) -> Self {
        Self {
            log_scale,
            variance: sigma * sigma,
            time_s: None,
            measured_s: None,
            channels: Default::default(),
            history: VecDeque::new(),
            rejected: 0,
        }
    }

    /// Whether a cue whose errors are short-lived tells it now.
    pub fn is_measured(&self) -> bool {
        let short = |then_s: f64| self.time_s.is_some_and(|now_s| now_s - then_s < SHORT_S);
        self.measured_s.is_some_and(short)
    }

    /// Lets time pass.
    pub fn advance(&mut self, time_s: f64) {
        if let Some(before_s) = self.time_s {
            let drift = if self.measured_s.is_some_and(|then_s| time_s - then_s < SHORT_S) {
                MEASURED_DRIFT
            } else {
                DRIFT
            };
            self.variance += drift * drift * (time_s - before_s).clamp(0.0, 10.0);
        }
        self.time_s = Some(time_s);
        self.history.push_back((time_s, self.log_scale));
        while self
            .history
            .front()
            .is_some_and(|(then_s, _)| time_s - then_s > DRIFT_SPAN_S)
        {
            self.history.pop_front();
        }
    }

    /// Takes a measurement at the time last advanced to; whether it passed the gate. Numbers that are not finite, and
    /// standard deviations that are not positive, do not pass.
    pub fn update(&mut self, measured: &ScaleMeasurement) -> bool {
        let sound = measured.log_scale.is_finite() && measured.sigma.is_finite() && measured.sigma > 0.0;
        let Some(now_s) = self.time_s.filter(|_| sound && measured.memory_s >= 0.0) else {
            self.rejected += 1;
            return false;
        };
        let channel = &mut self.channels[measured.cue as usize];
        let passed = gate(&mut channel.recent, measured.log_scale);
        if !passed {
            self.rejected += 1;
            return false;
        }
        let dt = channel
            .updated_s
            .map_or(1.0 / 30.0, |before_s| now_s - before_s)
            .clamp(1e-3, 1.0);
        channel.updated_s = Some(now_s);
        channel.mean = Some(match channel.mean {
            Some((mean, ..)) => {
                let share = 1.0 - (-dt / MEAN_MEMORY_S).exp();
                (mean + share * (measured.log_scale - mean), now_s, measured.sigma)
            }
            None => (measured.log_scale, now_s, measured.sigma),
        });
        if measured.memory_s <= SHORT_S {
            self.measured_s = Some(now_s);
        }
        let variance = measured.sigma.powi(2) * (2.0 * measured.memory_s / dt).max(1.0);
        let gain = self.variance / (self.variance + variance);
        self.log_scale += gain * (measured.log_scale - self.log_scale);
        self.variance *= 1.0 - gain;
        true
    }

    /// Logarithm of metres per map unit.
    pub fn log_scale(&self) -> f64 {
        self.log_scale
    }

    /// Its standard deviation.
    pub fn sigma(&self) -> f64 {
        self.variance.sqrt()
    }

    /// How far the logarithm moved over the last ten seconds.
    pub fn drift(&self) -> f64 {
        self.history.front().map_or(0.0, |(_, then)| self.log_scale - then)
    }

    /// The greatest difference between the recent mean of a cue and the estimate, as a logarithm and in standard
    /// deviations; `None` before anything is measured.
    pub fn disagreement(&self) -> Option<(f64, f64)> {
        let now_s = self.time_s?;
        self.channels
            .iter()
            .filter_map(|channel| channel.mean)
            .filter(|(_, then_s, _)| now_s - then_s < 2.0 * MEAN_MEMORY_S)
            .map(|(mean, _, sigma)| {
                (
                    mean - self.log_scale,
                    (mean - self.log_scale).abs() / sigma.hypot(self.sigma()),
                )
            })
            .max_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// Measurements that did not pass.
    pub fn rejected(&self) -> u64 {
        self.rejected
    }
}

/// Whether a value fits those before; it is kept in any case, so that a lasting change passes in the end.
fn gate(recent: &mut VecDeque<f64>, value: f64) -> bool {
    let mut passed = true;
    if recent.len() >= 5 {
        let mut sorted: Vec<f64> = recent.iter().copied().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let median = sorted[sorted.len() / 2];
        for value in &mut sorted {
            *value = (*value - median).abs();
        }
        sorted.sort_unstable_by(f64::total_cmp);
        let deviation = (1.4826 * sorted[sorted.len() / 2]).max(GATE_FLOOR);
        passed = (value - median).abs() <= GATE * deviation;
    }
    recent.push_back(value);
    if recent.len() > GATE_LENGTH {
        recent.pop_front();
    }
    passed
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn depth(log_scale: f64) -> ScaleMeasurement {
        ScaleMeasurement {
            cue: ScaleCue::DepthNetwork,
            log_scale,
            sigma: 0.1,
            memory_s: 30.0,
        }
    }

    #[test]
    fn a_network_that_drifts_by_a_fifth_in_five_seconds_does_not_take_the_scale_along() {
        let mut filter = ScaleFilter::new(0.0, 0.1);
        for frame in 0..300 {
            let time_s = f64::from(frame) / 30.0;
            filter.advance(time_s);
            filter.update(&depth(0.2 * (time_s / 5.0).min(1.0)));
        }
        assert!(filter.log_scale().abs() < 0.03, "{}", filter.log_scale());
        assert!(filter.disagreement().unwrap().0 > 0.1);
    }

    #[test]
    fn a_height_that_is_known_better_wins() {
        let mut filter = ScaleFilter::new(0.0, 0.1);
        for frame in 0..600 {
            filter.advance(f64::from(frame) / 30.0);
            filter.update(&depth(0.1));
            filter.update(&ScaleMeasurement {
                cue: ScaleCue::CameraHeight,
                log_scale: -0.05,
                sigma: 0.03,
                memory_s: 5.0,
            });
        }
        assert!((filter.log_scale() + 0.05).abs() < 0.02, "{}", filter.log_scale());
        assert!(filter.sigma() < 0.03);
    }

    #[test]
    fn outliers_are_kept_out_and_lasting_changes_come_in() {
        let mut filter = ScaleFilter::new(0.0, 0.1);
        let measure = |log_scale: f64| ScaleMeasurement {
            cue: ScaleCue::Speed,
            log_scale,
            sigma: 0.02,
            memory_s: 0.0,
        };
        for frame in 0..30 {
            filter.advance(f64::from(frame) / 30.0);
            assert!(filter.update(&measure(0.001 * f64::from(frame % 3))));
        }
        assert!(!filter.update(&measure(0.8)));
        assert!(!filter.update(&measure(f64::NAN)));
        assert!(filter.log_scale().abs() < 0.01);
        assert_eq!(filter.rejected(), 2);
        for frame in 30..600 {
            filter.advance(f64::from(frame) / 30.0);
            filter.update(&measure(0.3));
        }
        assert!((filter.log_scale() - 0.3).abs() < 0.02);
    }
}
