//! How much of the measurement noise is new in every frame, learnt from the measurements.
//!
//! A network's errors are correlated in time, and by how much differs between networks, cameras and frame rates. What is
//! new in every frame shows in how far a measurement lies off the line between its two neighbours: the object's own motion
//! cancels there up to its acceleration, which over two frames is little. The ratio of that to what a white noise of the
//! stated size would give is the white share; the rest is taken to wander with the stated memory.

use nalgebra::{Unit, Vector3};

use super::filter::{ERRORS, ErrorModel, Errors};
use crate::reconstruction::{CueKind, Observation};

/// Longest time between the first and the last of three neighbours, seconds.
const MAX_SPAN_S: f64 = 0.45;
/// Largest turn of the line of sight between them, radians: beyond it the motion is not a line.
const MAX_TURN_RAD: f64 = 0.15;
/// Squared deviation, in units of the expected, beyond which a triple counts as an outlier of this size.
const MAX_RATIO: f64 = 12.0;
/// Triples after which an old one weighs 1/e.
const MEMORY: f64 = 3000.0;
/// Weight, in triples, of the share assumed at the start.
const START_WEIGHT: f64 = 30.0;
/// Share assumed at the start.
const START_SHARE: f64 = 0.5;
/// The white share stays in this range; above 1 the noise is larger than stated.
const SHARE_RANGE: (f64, f64) = (0.02, 9.0);
/// Correlation time of errors that belong to the object or to the camera's mounting, seconds.
const BIAS_MEMORY_S: f64 = 100.0;

/// Number of groups of errors: three cues and the direction.
const GROUPS: usize = 4;
const BEARING: usize = 3;

/// The white share of each group's noise, common to all objects of a camera.
#[derive(Clone, Debug)]
pub(super) struct NoiseColor {
    groups: [Share; GROUPS],
    memory_s: f64,
}

#[derive(Clone, Copy, Debug)]
struct Share {
    ratio: f64,
    leak: f64,
    weight: f64,
}

impl Share {
    fn start() -> Self {
        Self {
            ratio: START_SHARE * START_WEIGHT,
            leak: 0.0,
            weight: START_WEIGHT,
        }
    }

    fn add(&mut self, ratio: f64, leak: f64) {
        let keep = 1.0 - 1.0 / MEMORY;
        self.ratio = self.ratio * keep + ratio.min(MAX_RATIO);
        self.leak = self.leak * keep + leak;
        self.weight = self.weight * keep + 1.0;
    }

    /// The mean ratio is share + (1 − share) · leak.
    fn white(&self) -> f64 {
        let (ratio, leak) = (self.ratio / self.weight, self.leak / self.weight);
        ((ratio - leak) / (1.0 - leak).max(0.1)).clamp(SHARE_RANGE.0, SHARE_RANGE.1)
    }
}

/// The last two observations of one object.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Neighbours([Option<(f64, Observation)>; 2]);

impl NoiseColor {
    pub fn new(memory_s: f64) -> Self {
        Self {
            groups: [Share::start(); GROUPS],
            memory_s,
        }
    }

    /// Learns from an object's next observation.
    pub fn observe(&mut self, neighbours: &mut Neighbours, time_s: f64, observation: &Observation) {
        if let [Some((t0, first)), Some((t1, middle))] = &neighbours.0 {
            self.learn([(*t0, first), (*t1, middle), (time_s, observation)]);
        }
        neighbours.0 = [neighbours.0[1], Some((time_s, *observation))];
    }

    fn learn(&mut self, [(t0, first), (t1, middle), (t2, last)]: [(f64, &Observation); 3]) {
        if first.completed != middle.completed || last.completed != middle.completed {
            return;
        }
        let (d0, d2) = (t1 - t0, t2 - t1);
        let span = d0 + d2;
        if !(d0 > 0.0 && d2 > 0.0 && span < MAX_SPAN_S) {
            return;
        }
        let turn = angle(&first.bearing_in_world, &last.bearing_in_world);
        if turn > MAX_TURN_RAD {
            return;
        }
        let (w0, w2) = (d2 / span, d0 / span);
        let norm = 1.0 + w0 * w0 + w2 * w2;
        let correlation = |dt: f64| (-dt / self.memory_s).exp();
        let leak =
            (norm - 2.0 * w0 * correlation(d0) - 2.0 * w2 * correlation(d2) + 2.0 * w0 * w2 * correlation(span)) / norm;
        for kind in CueKind::ALL {
            let index = kind.index();
            if let (Some(a), Some(b), Some(c)) = (first.cues[index], middle.cues[index], last.cues[index])
                && b.noise > 0.0
            {
                let off = b.range_m.ln() - w0 * a.range_m.ln() - w2 * c.range_m.ln();
                self.groups[index].add((off / b.noise).powi(2) / norm, leak);
            }
        }
        let off = middle.bearing_in_world.into_inner()
            - first.bearing_in_world.into_inner() * w0
            - last.bearing_in_world.into_inner() * w2;
        let sigma = middle.bearing_sigma_rad;
        if sigma > 0.0 {
            self.groups[BEARING].add(0.5 * off.norm_squared() / (sigma * sigma * norm), leak);
        }
    }

    /// The error models for an observation.
    pub fn errors(&self, observation: &Observation) -> Errors {
        let mut errors = Errors::default();
        for kind in CueKind::ALL {
            let index = kind.index();
            if let Some(cue) = observation.cues[index] {
                errors[index] = self.error(index, cue.noise, cue.bias);
            }
        }
        for error in &mut errors[CueKind::ALL.len()..ERRORS] {
            *error = self.error(BEARING, observation.bearing_sigma_rad, observation.bearing_bias_rad);
        }
        errors
    }

    /// Two processes, one that wanders with the noise's memory and one that stays, are taken as one that has their
    /// variance and, over short times, their rate of change.
    fn error(&self, group: usize, noise: f64, bias: f64) -> ErrorModel {
        let share = self.groups[group].white();
        let wandering = noise * noise * (1.0 - share).max(0.0);
        let staying = bias * bias;
        let variance = wandering + staying;
        let rate = if variance > 0.0 {
            (wandering / self.memory_s + staying / BIAS_MEMORY_S) / variance
        } else {
            1.0 / self.memory_s
        };
        ErrorModel {
            white: noise * noise * share,
            sigma: variance.sqrt(),
            rate,
        }
    }
}

fn angle(a: &Unit<Vector3<f64>>, b: &Unit<Vector3<f64>>) -> f64 {
    a.cross(b).norm().atan2(a.dot(b))
}
