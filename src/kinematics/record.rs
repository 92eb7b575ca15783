//! The trajectory of record: steps of 0.5 s from the start of a window, as the ST-VLM paper (section 3.2) takes them.

use nalgebra::Vector3;

use super::path::{PathAt, PathSearch};
use super::trajectory::{TIME_TOLERANCE_S, Trajectory};

/// Time between two positions of record, seconds.
pub const RECORD_STEP_S: f64 = 0.5;

/// The most positions a label of STKit is computed from: 20 s.
pub const RECORD_MAX_SAMPLES: usize = 40;

/// The movement between two positions of record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecordStep {
    /// Start, seconds of stream time.
    pub start_s: f64,
    /// End, seconds of stream time. 0.5 s after the start, or less for the rest at the end of a window.
    pub end_s: f64,
    /// From the position at the start to the one at the end, metres.
    pub displacement_in_world: Vector3<f64>,
    /// Length of the displacement, metres.
    pub length_m: f64,
    /// Length that counts as travelled, metres: that of the displacement, or less when the object stood for a part of
    /// the time.
    pub traveled_m: f64,
}

impl RecordStep {
    #[inline(always)]
    pub(super) fn new(start_s: f64, from: &PathAt, end_s: f64, to: &PathAt) -> Self {
        let displacement_in_world = to.position - from.position;
        let length_m = displacement_in_world.norm();
        Self {
            start_s,
            end_s,
            displacement_in_world,
            length_m,
            traveled_m: length_m.min(to.length_m - from.length_m),
        }
    }

    /// Length of the displacement over the ground, metres.
    pub fn horizontal_m(&self) -> f64 {
        self.displacement_in_world.x.hypot(self.displacement_in_world.y)
    }

    /// Whether the step is long enough to have a direction: it moves at least `gate_m` over the ground, and the object
    /// was not standing throughout.
    pub fn moves(&self, gate_m: f64) -> bool {
        self.traveled_m > 0.0 && self.horizontal_m() >= gate_m
    }
}

/// The steps of record over a window; see [`Trajectory::record_steps`].
#[derive(Clone)]
pub struct RecordSteps<'a> {
    path: PathSearch<'a>,
    start_s: f64,
    end_s: f64,
    taken: usize,
    at_s: f64,
    at: Option<PathAt>,
}

impl Trajectory {
    /// The steps of 0.5 s from `start_s` to `end_s`; the last is shorter when the window is no multiple of 0.5 s. Empty
    /// unless the trajectory covers the start, and ends where it ends.
    pub fn record_steps(&self, start_s: f64, end_s: f64) -> RecordSteps<'_> {
        let path = self.path_search();
        RecordSteps {
            path,
            start_s,
            end_s,
            taken: 0,
            at_s: start_s,
            at: path.at(start_s),
        }
    }
}

impl Iterator for RecordSteps<'_> {
    type Item = RecordStep;

    #[inline(always)]
    fn next(&mut self) -> Option<RecordStep> {
        let from = self.at?;
        let left_s = self.end_s - self.at_s;
        if left_s <= TIME_TOLERANCE_S {
            return None;
        }
        self.taken += 1;
        let end_s = if left_s <= RECORD_STEP_S + TIME_TOLERANCE_S {
            self.end_s
        } else {
            self.start_s + self.taken as f64 * RECORD_STEP_S
        };
        let to = self.path.at(end_s)?;
        let start_s = std::mem::replace(&mut self.at_s, end_s);
        self.at = Some(to);
        Some(RecordStep::new(start_s, &from, end_s, &to))
    }
}
