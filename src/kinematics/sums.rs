//! What a distance and its uncertainty need of many steps: sums that can be built up step by step, and subtracted.

use std::collections::VecDeque;

use nalgebra::Vector3;

use super::path::{PathAt, PathPoint};
use super::record::{RECORD_STEP_S, RecordStep};

/// Sums over the steps of an object that moves; standing steps add nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct StepSums {
    /// Length travelled, metres.
    pub traveled_m: f64,
    /// Duration of the moving steps, seconds.
    pub moving_s: f64,
    /// Number of moving steps.
    pub moving_steps: f64,
    /// Sum of 1/length, 1/m.
    pub inverse_lengths: f64,
    /// Sum of 1/length², 1/m².
    pub inverse_squares: f64,
    /// Sum of the squared differences between the unit directions of neighbouring steps.
    pub bends: f64,
    /// Unit direction of the newest moving step; zero before the first.
    pub last: Vector3<f64>,
}

impl StepSums {
    #[inline(always)]
    pub fn add(&mut self, step: &RecordStep) {
        if step.traveled_m <= 0.0 {
            return;
        }
        let inverse_length = step.length_m.recip();
        let direction = step.displacement_in_world * inverse_length;
        if self.moving_steps > 0.0 {
            self.bends += (direction - self.last).norm_squared();
        }
        self.traveled_m += step.traveled_m;
        self.moving_s += step.end_s - step.start_s;
        self.moving_steps += 1.0;
        self.inverse_lengths += inverse_length;
        self.inverse_squares += inverse_length * inverse_length;
        self.last = direction;
    }

    /// The sums over the steps since `earlier` was taken.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            traveled_m: self.traveled_m - earlier.traveled_m,
            moving_s: self.moving_s - earlier.moving_s,
            moving_steps: self.moving_steps - earlier.moving_steps,
            inverse_lengths: self.inverse_lengths - earlier.inverse_lengths,
            inverse_squares: self.inverse_squares - earlier.inverse_squares,
            bends: self.bends - earlier.bends,
            last: self.last,
        }
    }
}

/// A sample at which a step of the running sums ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Milestone {
    pub time_s: f64,
    pub at: PathAt,
    /// Over all steps up to here.
    pub sums: StepSums,
}

/// Running sums over steps from sample to sample that last half a second, or as little more as the samples allow.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Milestones(VecDeque<Milestone>);

impl Milestones {
    /// Takes the next point of the path.
    pub fn push(&mut self, point: &PathPoint) {
        let at = PathAt {
            position: point.position,
            length_m: point.length_m,
            unreliable_s: point.unreliable_s,
        };
        let sums = match self.0.back() {
            Some(last) if point.time_s - last.time_s < RECORD_STEP_S => return,
            Some(last) => {
                let mut sums = last.sums;
                sums.add(&RecordStep::new(last.time_s, &last.at, point.time_s, &at));
                sums
            }
            None => StepSums::default(),
        };
        self.0.push_back(Milestone {
            time_s: point.time_s,
            at,
            sums,
        });
    }

    pub fn truncate_before(&mut self, time_s: f64) {
        while self.0.front().is_some_and(|first| first.time_s < time_s) && self.0.len() > 1 {
            self.0.pop_front();
        }
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The first and the last milestone inside a window.
    pub fn within(&self, start_s: f64, end_s: f64) -> Option<(&Milestone, &Milestone)> {
        let first = self.0.partition_point(|milestone| milestone.time_s < start_s);
        let after = self.0.partition_point(|milestone| milestone.time_s <= end_s);
        if first < after {
            self.0.get(first).zip(self.0.get(after - 1))
        } else {
            None
        }
    }
}
