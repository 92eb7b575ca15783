//! Windows of true and estimated trajectories, and how well they agree.

use serde::Serialize;

use super::scene::Group;
use crate::kinematics::{RECORD_STEP_S, STANDSTILL_GATE_M, Trajectory, movement_direction, traveled_distance_m};

/// Length of a window, seconds.
pub(crate) const WINDOW_S: f64 = 2.0;
/// From the start of a window to that of the next, seconds.
const STRIDE_S: f64 = 0.1;
const KMH_PER_MPS: f64 = 3.6;
/// A vehicle that is faster than this moves, km/h.
const VEHICLE_MOVES_KMH: f64 = 7.2;
/// A person whose displacement over the window is faster than this moves, km/h: half a slow walk.
const PEDESTRIAN_MOVES_KMH: f64 = 1.8;
/// A vehicle whose displacement over the window is slower than this is parked, km/h. (Its path in the truth is longer:
/// labels jitter.)
const PARKED_KMH: f64 = 1.0;
/// A speed counts as right within this share of the true one.
const ACCURATE_SHARE: f64 = 0.25;

/// How one group of windows is met.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct GroupScore {
    /// Windows scored.
    pub windows: usize,
    /// Windows in which the object has no trajectory of ours.
    pub missed: usize,
    /// Mean absolute error of the speed, km/h.
    pub speed_mae_kmh: Option<f64>,
    /// Mean error of the speed (estimated less true), km/h.
    pub speed_bias_kmh: Option<f64>,
    /// Median of the estimated speed, km/h.
    pub speed_median_kmh: Option<f64>,
    /// Share of windows whose speed is within 25 % of the true one; none for what stands.
    pub acc25: Option<f64>,
    /// Mean absolute relative error of the distance; none for what stands.
    pub distance_mape: Option<f64>,
    /// Share of windows whose clock hour is within one hour of the true one, among those that truly have one.
    pub clock_acc1: Option<f64>,
    /// Share of windows whose true speed lies in the published 95 % interval.
    pub coverage95: Option<f64>,
    /// Mean width of that interval, km/h.
    pub interval_kmh: Option<f64>,
}

/// Scores of one group's states.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StateScores {
    /// Causal states.
    pub live: GroupScore,
    /// States a settle lag behind.
    pub settled: GroupScore,
}

/// What an object does over a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bin {
    VehicleMoving,
    VehicleParked,
    PedestrianMoving,
    PedestrianStanding,
}

/// One window of one object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) bin: Bin,
    pub(crate) true_speed_kmh: f64,
    pub(crate) true_hour: Option<u8>,
    pub(crate) estimate: Option<Estimated>,
}

/// What is estimated of an object over a window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Estimated {
    pub(crate) speed_kmh: f64,
    pub(crate) interval_kmh: (f64, f64),
    pub(crate) hour: Option<u8>,
}

/// The truth of one object.
pub(crate) struct Truth {
    pub(crate) group: Group,
    pub(crate) trajectory: Trajectory,
    /// Times at which it is observable, in milliseconds.
    pub(crate) observable_ms: Vec<i64>,
}

impl Truth {
    /// Starts of the windows at all five samples of which the object is observable, with their group and true speed.
    pub(crate) fn windows(&self) -> Vec<(f64, Bin, f64)> {
        let mut windows = Vec::new();
        let (Some(from_s), Some(to_s)) = (self.trajectory.start_s(), self.trajectory.end_s()) else {
            return windows;
        };
        let count = ((to_s - from_s - WINDOW_S) / STRIDE_S + 1e-6).floor();
        for k in 0..=(count.max(-1.0) as i64) {
            if count < 0.0 {
                break;
            }
            let start_s = from_s + k as f64 * STRIDE_S;
            let samples = (WINDOW_S / RECORD_STEP_S).round() as i64;
            let seen = (0..=samples).all(|sample| self.is_observable(start_s + sample as f64 * RECORD_STEP_S));
            if seen && let Some((bin, speed)) = self.bin(start_s) {
                windows.push((start_s, bin, speed));
            }
        }
        windows
    }

    fn is_observable(&self, time_s: f64) -> bool {
        let ms = (time_s * 1e3).round() as i64;
        let index = self.observable_ms.partition_point(|at| *at < ms - 51);
        self.observable_ms.get(index).is_some_and(|at| *at <= ms + 51)
    }

    fn bin(&self, start_s: f64) -> Option<(Bin, f64)> {
        let end_s = start_s + WINDOW_S;
        let path_kmh = traveled_distance_m(&self.trajectory, start_s, end_s).ok()?.value / WINDOW_S * KMH_PER_MPS;
        let (start, end) = (self.trajectory.at(start_s)?, self.trajectory.at(end_s)?);
        let net_kmh = (end.position_in_world - start.position_in_world).norm() / WINDOW_S * KMH_PER_MPS;
        match self.group {
            Group::Vehicle if path_kmh > VEHICLE_MOVES_KMH => Some((Bin::VehicleMoving, path_kmh)),
            Group::Vehicle if net_kmh < PARKED_KMH => Some((Bin::VehicleParked, path_kmh)),
            Group::Pedestrian if net_kmh > PEDESTRIAN_MOVES_KMH => Some((Bin::PedestrianMoving, path_kmh)),
            Group::Pedestrian if net_kmh < PARKED_KMH => Some((Bin::PedestrianStanding, path_kmh)),
            _ => None,
        }
    }
}

pub(crate) fn hour(trajectory: &Trajectory, start_s: f64, end_s: f64) -> Option<u8> {
    movement_direction(trajectory, start_s, end_s, STANDSTILL_GATE_M)
        .ok()
        .map(|direction| direction.hour.get())
}

pub(crate) fn estimated(trajectory: &Trajectory, start_s: f64, end_s: f64) -> Option<Estimated> {
    let distance = traveled_distance_m(trajectory, start_s, end_s).ok()?;
    let kmh = |distance_m: f64| distance_m / WINDOW_S * KMH_PER_MPS;
    let (low, high) = distance.interval_95();
    Some(Estimated {
        speed_kmh: kmh(distance.value),
        interval_kmh: (kmh(low), kmh(high)),
        hour: hour(trajectory, start_s, end_s),
    })
}

/// Scores windows of one group; `moves` tells whether their objects do.
pub(crate) fn score<'a>(windows: impl IntoIterator<Item = &'a Window>, moves: bool) -> GroupScore {
    let mut missed = 0;
    let mut bias = 0.0;
    let mut errors = Vec::new();
    let mut speeds = Vec::new();
    let (mut accurate, mut relative, mut covered, mut width) = (0.0, 0.0, 0.0, 0.0);
    let (mut hours, mut hours_right) = (0.0, 0.0);
    for window in windows {
        let Some(estimate) = window.estimate else {
            missed += 1;
            continue;
        };
        let error = (estimate.speed_kmh - window.true_speed_kmh).abs();
        bias += estimate.speed_kmh - window.true_speed_kmh;
        errors.push(error);
        speeds.push(estimate.speed_kmh);
        accurate += f64::from(u8::from(error <= ACCURATE_SHARE * window.true_speed_kmh));
        relative += error / window.true_speed_kmh.max(1e-9);
        let (low, high) = estimate.interval_kmh;
        covered += f64::from(u8::from(low <= window.true_speed_kmh && window.true_speed_kmh <= high));
        width += high - low;
        if let Some(true_hour) = window.true_hour {
            hours += 1.0;
            let right = estimate.hour.is_some_and(|hour| {
                let apart = (i32::from(hour) - i32::from(true_hour)).rem_euclid(12);
                apart.min(12 - apart) <= 1
            });
            hours_right += f64::from(u8::from(right));
        }
    }
    let count = errors.len() as f64;
    let mean = |sum: f64| (count > 0.0).then(|| sum / count);
    GroupScore {
        windows: errors.len(),
        missed,
        speed_mae_kmh: mean(errors.iter().sum()),
        speed_bias_kmh: mean(bias),
        speed_median_kmh: median(&mut speeds),
        acc25: mean(accurate).filter(|_| moves),
        distance_mape: mean(relative).filter(|_| moves),
        clock_acc1: (moves && hours > 0.0).then(|| hours_right / hours),
        coverage95: mean(covered),
        interval_kmh: mean(width),
    }
}

pub(crate) fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    let lower = if values.len().is_multiple_of(2) {
        *values.get(middle.checked_sub(1)?)?
    } else {
        upper
    };
    Some(0.5 * (lower + upper))
}
