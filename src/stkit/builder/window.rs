//! The labels of one object over one window: what records are made from, for whoever wants to compare.

use super::candidates::speed_kmh;
use super::grid::{GridTrack, STEP_S, angle_between_deg};
use super::scene::MAX_GAP_S;
use crate::datasets::ObjectTrack;

/// One object over a window, at a position every 0.5 s.
pub struct LabelWindow(GridTrack);

impl LabelWindow {
    /// The window of so many steps of 0.5 s from `start_s` on; `None` when the object is not known throughout.
    pub fn new(object: &ObjectTrack, start_s: f64, steps: usize) -> Option<Self> {
        let at = |point: usize| {
            let sample = object.at(start_s + point as f64 * STEP_S, MAX_GAP_S)?;
            Some(sample.center_in_world)
        };
        let points: Vec<_> = (0..=steps).map(at).collect::<Option<_>>()?;
        (steps > 0).then(|| {
            let visible = vec![true; points.len()];
            Self(GridTrack::new(0, 0, points, &visible))
        })
    }

    fn end(&self) -> usize {
        self.0.len() - 1
    }

    /// Distance travelled, metres.
    pub fn distance_m(&self) -> f64 {
        self.0.distance_m(0, self.end()).0
    }

    /// Mean speed, km/h.
    pub fn speed_kmh(&self) -> f64 {
        speed_kmh(self.distance_m(), 0, self.end())
    }

    /// Clock hour of the last step; `None` when the object stands then.
    pub fn hour(&self) -> Option<u8> {
        self.0.direction(0, self.end()).map(|direction| direction.hour)
    }

    /// Hour, first step and the step after the last of each time throughout which the object moves toward one hour.
    pub fn runs(&self) -> Vec<(u8, usize, usize)> {
        let runs = self.0.runs(0, self.end()).into_iter();
        runs.map(|run| (run.hour, run.start, run.end)).collect()
    }

    /// Angle between the displacements of two objects over their windows, degrees.
    pub fn angle_to_deg(&self, other: &Self) -> f64 {
        let heading = |window: &Self| window.0.displacement(0, window.end()).1;
        angle_between_deg(heading(self), heading(other))
    }
}
