//! What the network's numbers say: speeds with their spread, directions, hours at each time.

use super::clip::Clip;
use super::network::{STANDING, STEP_OUTPUTS};

/// An 80 % interval reaches so many standard deviations to either side.
pub const Z80: f64 = 1.2816;

/// What the model finds about one object over one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Findings {
    /// Start and end of the time, seconds of the clip.
    pub span_s: (f64, f64),
    /// Median of the mean speed, m/s.
    pub speed_mps: f64,
    /// Standard deviation of its logarithm.
    pub log_sigma: f64,
    /// Direction from start to end, radians counter-clockwise from the optical axis at the clip's start.
    pub heading_rad: f64,
    /// How sure that direction is, 0 to 1.
    pub heading_sureness: f64,
    /// At each time of the clip, the probabilities of hours 1 to 12 and of standing for the step before it.
    pub hours: Vec<(f64, [f32; STANDING + 1])>,
}

impl Findings {
    /// From a row of the network's outputs; `own_axis_rad` is the direction that its heading is told from.
    pub(super) fn new(clip: &Clip, span_s: (f64, f64), own_axis_rad: f64, span: &[f32], steps: &[f32]) -> Self {
        let at = |index: usize| f64::from(span.get(index).copied().unwrap_or(0.0));
        let hours = clip
            .times_s
            .iter()
            .zip(steps.chunks_exact(STEP_OUTPUTS))
            .map(|(time_s, outputs)| (*time_s, softmax(outputs)))
            .collect();
        Self {
            span_s,
            speed_mps: at(0).clamp(-6.0, 6.0).exp(),
            log_sigma: at(1).clamp(-4.0, 1.5).exp(),
            heading_rad: at(3).atan2(at(2)) + own_axis_rad,
            heading_sureness: at(2).hypot(at(3)).min(1.0),
            hours,
        }
    }

    /// The interval that holds the true value of `median`, which goes with the speed, with 80 % probability.
    pub fn interval80(&self, median: f64) -> (f64, f64) {
        spread(median, self.log_sigma, Z80)
    }

    /// Clock hour of the last step, and its probability among the hours; `None` when it stands then.
    pub fn last_hour(&self) -> Option<(u8, f64)> {
        let (_, hours) = self
            .hours
            .iter()
            .rev()
            .find(|(time_s, _)| *time_s <= self.span_s.1 + 0.02)?;
        let moving = hours.get(..STANDING)?;
        let (best, likeliest) = moving.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
        let total: f32 = moving.iter().sum();
        (total > 0.02).then(|| (best as u8 + 1, f64::from(likeliest / total)))
    }

    /// When it moves toward `hour`, seconds of the clip: the stretch whose expected overlap with the true one, intersection
    /// over union, is greatest. Who asks when it does knows that it does; steps stand or fall together, so their probabilities
    /// count relative to the greatest.
    pub fn run_toward(&self, hour: u8) -> Option<(f64, f64)> {
        let class = usize::from(hour).checked_sub(1).filter(|class| *class < STANDING)?;
        let (start_s, end_s) = self.span_s;
        let inside: Vec<(f64, f64, f64)> = self
            .hours
            .windows(2)
            .filter(|pair| pair[0].0 >= start_s - 0.02 && pair[1].0 <= end_s + 0.02)
            .map(|pair| (pair[0].0, pair[1].0, f64::from(pair[1].1[class])))
            .collect();
        let most = inside.iter().map(|(.., likely)| *likely).fold(1e-6, f64::max);
        let whole: f64 = inside.iter().map(|(.., likely)| likely / most).sum();
        let mut best: Option<(f64, f64, f64)> = None;
        for (first, (from_s, ..)) in inside.iter().enumerate() {
            let mut shared = 0.0;
            for (steps, (_, to_s, likely)) in (1u32..).zip(&inside[first..]) {
                shared += likely / most;
                let overlap = shared / (f64::from(steps) + whole - shared);
                if best.is_none_or(|(_, _, greatest)| overlap > greatest) {
                    best = Some((*from_s, *to_s, overlap));
                }
            }
        }
        best.map(|(from_s, to_s, _)| (from_s, to_s))
    }

    /// How likely the steps of that run are toward `hour`, on average.
    pub fn run_confidence(&self, hour: u8) -> f64 {
        let Some((start_s, end_s)) = self.run_toward(hour) else {
            return 0.0;
        };
        let class = usize::from(hour) - 1;
        let inside: Vec<f64> = self
            .hours
            .iter()
            .filter(|(time_s, _)| *time_s > start_s && *time_s <= end_s + 0.02)
            .map(|(_, hours)| f64::from(hours[class]))
            .collect();
        inside.iter().sum::<f64>() / inside.len().max(1) as f64
    }

    /// The probability that this object was faster over its time than `other` over the same.
    pub fn faster_than(&self, other: &Self) -> f64 {
        let apart = (self.speed_mps / other.speed_mps).ln();
        let spread = self.log_sigma.hypot(other.log_sigma).max(1e-3);
        // The logistic function is the normal distribution's, nearly, with its argument stretched by 1.702.
        1.0 / (1.0 + (-1.702 * apart / spread).exp())
    }

    /// Angle between the ways of two objects, degrees in 0 to 180.
    pub fn angle_to_deg(&self, other: &Self) -> f64 {
        let angle = (self.heading_rad - other.heading_rad).to_degrees().rem_euclid(360.0);
        angle.min(360.0 - angle)
    }
}

/// From so many standard deviations of the logarithm below `median` to as many above.
pub(super) fn spread(median: f64, log_sigma: f64, deviations: f64) -> (f64, f64) {
    let factor = (deviations * log_sigma).exp();
    (median / factor, median * factor)
}

fn softmax(outputs: &[f32]) -> [f32; STANDING + 1] {
    let greatest = outputs[..=STANDING].iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut out = [0.0; STANDING + 1];
    let mut total = 0.0;
    for (out, value) in out.iter_mut().zip(outputs) {
        *out = (value - greatest).exp();
        total += *out;
    }
    out.map(|value| value / total)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn findings(speed_mps: f64, likely: &[f32]) -> Findings {
        let hours = |(at, likely): (usize, &f32)| {
            let mut hours = [(1.0 - likely) / 12.0; STANDING + 1];
            hours[2] = *likely;
            (at as f64 * 0.5, hours)
        };
        Findings {
            span_s: (0.0, (likely.len() - 1) as f64 * 0.5),
            speed_mps,
            log_sigma: 0.2,
            heading_rad: 0.0,
            heading_sureness: 1.0,
            hours: likely.iter().enumerate().map(hours).collect(),
        }
    }

    #[test]
    fn a_run_is_the_likeliest_stretch() {
        let found = findings(1.0, &[0.0, 0.1, 0.9, 0.4, 0.9, 0.05, 0.6, 0.1]);
        assert_eq!(found.run_toward(3), Some((0.5, 2.0)));
        assert_eq!(found.run_toward(13), None);
        assert_eq!(findings(1.0, &[0.0, 0.1, 0.9]).last_hour().unwrap().0, 3);
    }

    #[test]
    fn comparisons_are_antisymmetric() {
        let (slow, fast) = (findings(2.0, &[0.0, 0.0]), findings(3.0, &[0.0, 0.0]));
        assert!((slow.faster_than(&fast) + fast.faster_than(&slow) - 1.0).abs() < 1e-12);
        assert!(fast.faster_than(&slow) > 0.8);
        let (low, high) = fast.interval80(3.0);
        assert!((low * high - 9.0).abs() < 1e-9 && low < 3.0);
    }
}
