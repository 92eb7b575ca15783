//! An object on the grid of record (a position every 0.5 s), and the seven labels from it.
//!
//! Labels are computed from prefix sums over the grid, so that every window of a recording can be looked at. They follow
//! the definitions of `docs/stkit.md` and share no code with [`crate::kinematics`], which the geometric answers come from.

use nalgebra::{Point3, Vector3};

/// Time between two positions, seconds.
pub(super) const STEP_S: f64 = 0.5;
/// The most steps of a clip: 40 positions.
pub(super) const MAX_STEPS: usize = 39;
/// The shortest movement over the ground within a step that has a direction, metres.
pub(super) const GATE_M: f64 = 0.25;
/// An angle this close to the edge between two answers is ambiguous, degrees.
pub(super) const AMBIGUOUS_DEG: f64 = 5.0;
/// Half an hour of the clock, degrees.
const HALF_HOUR_DEG: f64 = 15.0;

/// One object over consecutive points of the grid.
pub(super) struct GridTrack {
    /// Index of the object in its recording.
    pub object: usize,
    /// Index on the grid of its first point.
    pub first: usize,
    /// Positions in the world, metres.
    pub points: Vec<Point3<f64>>,
    raw: Steps,
    smoothed: Steps,
    /// How many of the points before each one are visible.
    visible_before: Vec<u32>,
}

/// What is known of the steps between the points.
struct Steps {
    /// Length of the path up to each point.
    length_m: Vec<f64>,
    /// Direction of each step over the ground, radians counterclockwise from x; `None` below the gate.
    heading_rad: Vec<Option<f64>>,
    /// First moving step at or after each step; the number of steps where there is none.
    next_moving: Vec<usize>,
}

impl Steps {
    /// With `gate`, steps below the standstill gate add no length.
    fn new(points: &[Point3<f64>], gate: bool) -> Self {
        let count = points.len().saturating_sub(1);
        let mut length_m = Vec::with_capacity(points.len());
        length_m.push(0.0);
        let mut heading_rad = Vec::with_capacity(count);
        let mut total_m = 0.0;
        for pair in points.windows(2) {
            let step: Vector3<f64> = pair[1] - pair[0];
            let moves = step.xy().norm() >= GATE_M;
            if moves || !gate {
                total_m += step.norm();
            }
            length_m.push(total_m);
            heading_rad.push(moves.then(|| step.y.atan2(step.x)));
        }
        let mut next_moving = vec![count; count + 1];
        for step in (0..count).rev() {
            next_moving[step] = if heading_rad[step].is_some() {
                step
            } else {
                next_moving[step + 1]
            };
        }
        Self {
            length_m,
            heading_rad,
            next_moving,
        }
    }

    fn distance_m(&self, start: usize, end: usize) -> f64 {
        self.length_m[end] - self.length_m[start]
    }

    /// Angle of a step against the first moving one from `start` on, degrees clockwise.
    fn angle_deg(&self, start: usize, step: usize) -> Option<f64> {
        let reference = (*self.heading_rad.get(*self.next_moving.get(start)?)?)?;
        let current = (*self.heading_rad.get(step)?)?;
        Some(wrapped_deg((reference - current).to_degrees()))
    }
}

/// Into (−180, 180].
fn wrapped_deg(angle_deg: f64) -> f64 {
    let angle = angle_deg.rem_euclid(360.0);
    if angle > 180.0 { angle - 360.0 } else { angle }
}

/// The clock hour nearest to an angle, 1 to 12.
pub(super) fn hour_of(angle_deg: f64) -> u8 {
    match (angle_deg / 30.0).round().rem_euclid(12.0) as u8 {
        0 => 12,
        hour => hour,
    }
}

/// How far an angle is from the nearest edge between two hours, degrees.
pub(super) fn margin_deg(angle_deg: f64) -> f64 {
    let from_center = angle_deg - 30.0 * (angle_deg / 30.0).round();
    HALF_HOUR_DEG - from_center.abs()
}

/// A direction with how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct GridDirection {
    pub hour: u8,
    pub margin_deg: f64,
    /// From smoothed positions.
    pub smoothed_hour: Option<u8>,
}

/// A time throughout which an object moves toward one hour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct GridRun {
    pub hour: u8,
    pub start: usize,
    pub end: usize,
    /// The least margin of its own steps and of the moving ones right before and after.
    pub margin_deg: f64,
}

impl GridTrack {
    pub fn new(object: usize, first: usize, points: Vec<Point3<f64>>, visible: &[bool]) -> Self {
        let raw = Steps::new(&points, false);
        let smoothed = Steps::new(&smoothed(&points), true);
        let mut seen = 0;
        let mut visible_before = vec![0];
        for visible in visible {
            seen += u32::from(*visible);
            visible_before.push(seen);
        }
        Self {
            object,
            first,
            points,
            raw,
            smoothed,
            visible_before,
        }
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Share of the points from `start` to `end` at which the object is visible.
    pub fn visible_share(&self, start: usize, end: usize) -> f64 {
        f64::from(self.visible_before[end + 1] - self.visible_before[start]) / (end + 1 - start) as f64
    }

    /// Distance travelled, metres: of record, and smoothed.
    pub fn distance_m(&self, start: usize, end: usize) -> (f64, f64) {
        (self.raw.distance_m(start, end), self.smoothed.distance_m(start, end))
    }

    /// Direction of the last step against the first moving one.
    pub fn direction(&self, start: usize, end: usize) -> Option<GridDirection> {
        let last = end.checked_sub(1)?;
        let angle_deg = self.raw.angle_deg(start, last)?;
        Some(GridDirection {
            hour: hour_of(angle_deg),
            margin_deg: margin_deg(angle_deg),
            smoothed_hour: self.smoothed.angle_deg(start, last).map(hour_of),
        })
    }

    /// All times throughout which the object moves toward one hour.
    pub fn runs(&self, start: usize, end: usize) -> Vec<GridRun> {
        runs(&self.raw, start, end)
    }

    /// The longest such time toward `hour` from smoothed positions.
    pub fn smoothed_run(&self, start: usize, end: usize, hour: u8) -> Option<GridRun> {
        let runs = runs(&self.smoothed, start, end).into_iter().rev();
        runs.filter(|run| run.hour == hour)
            .max_by_key(|run| run.end - run.start)
    }

    /// Movement over the ground from `start` to `end`: length in metres and heading in degrees, counterclockwise.
    pub fn displacement(&self, start: usize, end: usize) -> (f64, f64) {
        let way = (self.points[end] - self.points[start]).xy();
        (way.norm(), way.y.atan2(way.x).to_degrees())
    }
}

fn runs(steps: &Steps, start: usize, end: usize) -> Vec<GridRun> {
    let mut runs: Vec<GridRun> = Vec::new();
    let mut unbroken = false;
    let mut before_margin = f64::INFINITY;
    for step in start..end {
        let Some(angle_deg) = steps.angle_deg(start, step) else {
            unbroken = false;
            before_margin = f64::INFINITY;
            continue;
        };
        let (hour, margin) = (hour_of(angle_deg), margin_deg(angle_deg));
        match runs.last_mut() {
            Some(run) if unbroken => {
                run.margin_deg = run.margin_deg.min(margin);
                if run.hour == hour {
                    run.end = step + 1;
                } else {
                    runs.push(GridRun {
                        hour,
                        start: step,
                        end: step + 1,
                        margin_deg: margin.min(before_margin),
                    });
                }
            }
            _ => runs.push(GridRun {
                hour,
                start: step,
                end: step + 1,
                margin_deg: margin,
            }),
        }
        before_margin = margin;
        unbroken = true;
    }
    runs
}

/// Angle between two displacements, degrees in [0, 180].
pub(super) fn angle_between_deg(first: f64, second: f64) -> f64 {
    wrapped_deg(first - second).abs()
}

/// Positions smoothed by local quadratics over seven points (Savitzky and Golay, 1964), fewer at the ends.
fn smoothed(points: &[Point3<f64>]) -> Vec<Point3<f64>> {
    const SEVEN: [f64; 7] = [-2.0, 3.0, 6.0, 7.0, 6.0, 3.0, -2.0];
    const FIVE: [f64; 5] = [-3.0, 12.0, 17.0, 12.0, -3.0];
    const THREE: [f64; 3] = [1.0, 2.0, 1.0];
    let mean = |at: usize, weights: &[f64]| {
        let from = at - weights.len() / 2;
        let total: f64 = weights.iter().sum();
        let sum = weights
            .iter()
            .zip(&points[from..])
            .fold(Vector3::zeros(), |sum, (weight, point)| sum + point.coords * *weight);
        Point3::from(sum / total)
    };
    (0..points.len())
        .map(|at| match at.min(points.len() - 1 - at) {
            0 => points[at],
            1 => mean(at, &THREE),
            2 => mean(at, &FIVE),
            _ => mean(at, &SEVEN),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn track(points: &[(f64, f64)]) -> GridTrack {
        let points: Vec<_> = points.iter().map(|(x, y)| Point3::new(*x, *y, 0.0)).collect();
        let visible = vec![true; points.len()];
        GridTrack::new(0, 0, points, &visible)
    }

    #[test]
    fn a_right_turn_reads_three_oclock() {
        let turn = track(&[(0.0, 0.0), (1.0, 0.0), (2.0, 0.0), (2.0, -1.0), (2.0, -2.0)]);
        let direction = turn.direction(0, 4).unwrap();
        assert_eq!(direction.hour, 3);
        assert!((direction.margin_deg - 15.0).abs() < 1e-9);
        assert_eq!(turn.distance_m(0, 4).0, 4.0);
        let runs = turn.runs(0, 4);
        let found: Vec<_> = runs.iter().map(|run| (run.hour, run.start, run.end)).collect();
        assert_eq!(found, [(12, 0, 2), (3, 2, 4)]);
        // From after the turn it goes straight on.
        assert_eq!(turn.direction(2, 4).unwrap().hour, 12);
    }

    #[test]
    fn what_trembles_stands_when_smoothed() {
        let parked: Vec<(f64, f64)> = (0..20).map(|k| (0.1 * f64::from(k % 2), 0.0)).collect();
        let parked = track(&parked);
        let (raw_m, smoothed_m) = parked.distance_m(0, 19);
        assert!(raw_m > 1.8 && smoothed_m == 0.0);
        assert_eq!(parked.direction(0, 19), None);
        assert!(parked.runs(0, 19).is_empty());
    }

    #[test]
    fn hours_lie_about_multiples_of_thirty_degrees() {
        assert_eq!(
            (hour_of(-14.9), hour_of(15.1), hour_of(180.0), hour_of(-90.0)),
            (12, 1, 6, 9)
        );
        assert!((margin_deg(44.0) - 1.0).abs() < 1e-9);
        assert_eq!(angle_between_deg(170.0, -170.0), 20.0);
    }
}
