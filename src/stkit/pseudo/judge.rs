//! The third filter, task by task: how sure the value is that is asked for.

use super::filters::Limits;
use crate::kinematics::{
    ClockHour, Measured, STANDSTILL_GATE_M, Trajectory, compare_direction, compare_distance, movement_direction,
    traveled_distance_m,
};
use crate::stkit::Task;
use crate::stkit::builder::{Judge, Judged};

/// Judges questions about the trajectories of one piece.
pub struct PieceJudge<'a> {
    limits: &'a Limits,
    /// By index of the object in the recording, seconds from its first label.
    settled: &'a [Trajectory],
}

impl<'a> PieceJudge<'a> {
    /// Of the objects whose settled trajectories are given, in the order of the recording.
    pub fn new(limits: &'a Limits, settled: &'a [Trajectory]) -> Self {
        Self { limits, settled }
    }

    fn of(&self, asked: &Judged, index: usize) -> Result<&'a Trajectory, &'static str> {
        let object = asked.objects.get(index).copied().flatten();
        object
            .and_then(|object| self.settled.get(object))
            .ok_or("no trajectory")
    }

    fn sure(&self, probability: f64, reason: &'static str) -> Result<Option<f64>, &'static str> {
        if probability >= self.limits.least_probability {
            Ok(None)
        } else {
            Err(reason)
        }
    }
}

/// Half the 95 % interval relative to the value.
pub(super) fn relative_half_width(measured: &Measured) -> f64 {
    let (low, high) = measured.interval_95();
    0.5 * (high - low) / measured.value.max(1e-9)
}

impl Judge for PieceJudge<'_> {
    fn judge(&self, asked: &Judged) -> Result<Option<f64>, &'static str> {
        const UNKNOWN: &str = "not known throughout";
        let (start_s, end_s) = asked.span_s;
        let first = self.of(asked, 0)?;
        match asked.task {
            Task::TraveledDistance | Task::TravelingSpeed => {
                let measured = traveled_distance_m(first, start_s, end_s).map_err(|_| UNKNOWN)?;
                let share = relative_half_width(&measured);
                if share <= self.limits.most_half_width {
                    Ok(Some(share))
                } else {
                    Err("wide interval")
                }
            }
            Task::MovementDirection => {
                let direction =
                    movement_direction(first, start_s, end_s, STANDSTILL_GATE_M).map_err(|_| "no direction")?;
                self.sure(direction.hour_probability, "unsure hour")
            }
            Task::DirectionTimestamp => {
                let hour = ClockHour::new(asked.hour).ok_or("no hour")?;
                let runs = crate::kinematics::direction_runs(first, start_s, end_s, STANDSTILL_GATE_M)
                    .map_err(|_| "no direction")?;
                let run = runs.iter().find(|run| run.hour == hour).ok_or("no direction")?;
                // Where the run ends decides how well it overlaps the truth.
                let direction =
                    movement_direction(first, start_s, run.end_s, STANDSTILL_GATE_M).map_err(|_| "no direction")?;
                self.sure(direction.hour_probability, "unsure hour")
            }
            Task::TraveledDistanceComparison | Task::TravelingSpeedComparison => {
                let comparison = compare_distance(first, self.of(asked, 1)?, start_s, end_s).map_err(|_| UNKNOWN)?;
                self.sure(comparison.probability, "unsure order")
            }
            Task::MovementDirectionComparison => {
                let comparison = compare_direction(first, self.of(asked, 1)?, start_s, end_s, STANDSTILL_GATE_M)
                    .map_err(|_| "no direction")?;
                self.sure(comparison.probability, "unsure direction")
            }
        }
    }
}
