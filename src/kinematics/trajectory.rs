//! A trajectory: time-ordered samples with running sums, so that a question about any window costs O(log n).
//!
//! Between two samples the position is interpolated linearly by time, so neither the frame rate nor dropped frames
//! matter. Beside each sample stands the length of the path so far: the length between two times is a difference.
//!
//! How an object moved between two samples is the difference of their positions when these are labels. An estimator's
//! positions are where it takes the object to be at each time, with what it knew by then: they also shift when it learns more
//! of the distance, and that is no movement. What it says of movement is the velocity ([`Displacement`]).

use std::collections::VecDeque;

use nalgebra::{Matrix3, Point3, Vector3};
use thiserror::Error;

use super::path::{Path, PathPoint, PathSearch};
use super::record::RECORD_STEP_S;
use super::sums::Milestones;

/// Times that differ by less than this, in seconds, are the same time: it absorbs the rounding of nanoseconds to `f64`.
pub(crate) const TIME_TOLERANCE_S: f64 = 1e-6;

/// Objects are seen when frames are, so what is known of one begins a little after the time asked about, or ends a little before
/// its end. So little, seconds, is not missed where directions and states are asked for.
pub(crate) const BETWEEN_FRAMES_S: f64 = 0.2;

/// The longest time between two samples, in seconds, over which interpolation is trusted: as long as an identity may be
/// out of sight. Across a longer gap values are still given, but not as reliable.
pub const MAX_RELIABLE_GAP_S: f64 = 2.0;

/// The share of a window's time that may be unreliable (say, while the object was hidden for a moment) before a value
/// over the window is.
pub const MAX_UNRELIABLE_SHARE: f64 = 0.1;

/// Position and velocity of an object at one time, with their covariances.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Stream time, seconds.
    pub time_s: f64,
    /// Centre of the object in the world, metres.
    pub position_in_world: Point3<f64>,
    /// Velocity in the world, metres per second.
    pub velocity_in_world_mps: Vector3<f64>,
    /// Covariance of the position, m².
    pub position_covariance: Matrix3<f64>,
    /// Covariance of the velocity, (m/s)².
    pub velocity_covariance: Matrix3<f64>,
    /// Whether the standstill test says that the object stands.
    pub standing: bool,
    /// Whether the sample is to be trusted within its covariance.
    pub reliable: bool,
}

impl Sample {
    fn non_finite_field(&self) -> Option<&'static str> {
        let all = |values: &[f64]| values.iter().all(|value| value.is_finite());
        if !self.time_s.is_finite() {
            Some("time_s")
        } else if !all(self.position_in_world.coords.as_slice()) {
            Some("position_in_world")
        } else if !all(self.velocity_in_world_mps.as_slice()) {
            Some("velocity_in_world_mps")
        } else if !all(self.position_covariance.as_slice()) {
            Some("position_covariance")
        } else if !all(self.velocity_covariance.as_slice()) {
            Some("velocity_covariance")
        } else {
            None
        }
    }

    /// Between `self` and `later`, `fraction` (0 to 1) of the way.
    fn interpolated(&self, later: &Self, fraction: f64) -> Self {
        let mix = |a: f64, b: f64| a + (b - a) * fraction;
        let gap_s = later.time_s - self.time_s;
        Self {
            time_s: mix(self.time_s, later.time_s),
            position_in_world: self.position_in_world + (later.position_in_world - self.position_in_world) * fraction,
            velocity_in_world_mps: self.velocity_in_world_mps.lerp(&later.velocity_in_world_mps, fraction),
            // The mean of two covariances is never less than the covariance of the mean of two errors, however they
            // are correlated.
            position_covariance: self.position_covariance * (1.0 - fraction) + later.position_covariance * fraction,
            velocity_covariance: self.velocity_covariance * (1.0 - fraction) + later.velocity_covariance * fraction,
            standing: self.standing && later.standing,
            reliable: self.reliable && later.reliable && gap_s <= MAX_RELIABLE_GAP_S,
        }
    }
}

/// How far an object moved between two samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Displacement {
    /// The difference of the positions: of labels, or of a track that is smoothed as a whole.
    #[default]
    OfPositions,
    /// The integral of the velocities (trapezoidal rule), drawn back to the positions over [`REVISION_MEMORY`]: of the
    /// states of an estimator that settles a fixed lag behind. Nothing while the object stands; and across more than
    /// [`RECORD_STEP_S`] without a sample the difference of the positions tells more.
    OfStates,
}

impl Displacement {
    /// From `earlier`, which movement alone leads to at `path`, to `later`.
    fn between(self, earlier: &Sample, path: &Point3<f64>, later: &Sample) -> Vector3<f64> {
        let gap_s = later.time_s - earlier.time_s;
        if self == Self::OfPositions || gap_s > RECORD_STEP_S {
            return later.position_in_world - earlier.position_in_world;
        }
        if earlier.standing && later.standing {
            return Vector3::zeros();
        }
        let moved = 0.5 * gap_s * (earlier.velocity_in_world_mps + later.velocity_in_world_mps);
        let off = later.position_in_world - (path + moved);
        moved + off * (1.0 - (-gap_s / revision_time_s(later)).exp())
    }
}

/// Over what time a path of movement is drawn back to the positions: this many times as long as the velocity's error takes
/// to become as large as the position's. Shorter, and second thoughts about the distance look like movement; longer, and an
/// error of the velocity at the start of a track is never made good. Chosen on KITTI (noise seed 1) and simulated courts and
/// squares (seeds 90002 to 90010) among 1 to 7, infinity and the differences of positions.
pub const REVISION_MEMORY: f64 = 4.0;

fn revision_time_s(sample: &Sample) -> f64 {
    let level = |covariance: &Matrix3<f64>| (covariance[(0, 0)] + covariance[(1, 1)]).max(0.0).sqrt();
    let (position_m, velocity_mps) = (level(&sample.position_covariance), level(&sample.velocity_covariance));
    // Both are 0 for states without errors, whose positions and velocities agree.
    REVISION_MEMORY * position_m / velocity_mps.max(1e-6)
}

/// Why a sample was not taken.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
pub enum TrajectoryError {
    /// Time does not move on.
    #[error("a sample must be later than {last_s} s, found {found_s} s")]
    TimeNotIncreasing {
        /// Time of the newest sample.
        last_s: f64,
        /// Time of the sample given.
        found_s: f64,
    },
    /// A number is NaN or infinite.
    #[error("a sample needs finite numbers, `{field}` has others")]
    NotFinite {
        /// The field.
        field: &'static str,
    },
}

/// Time-ordered samples of one object. How far back it reaches is up to the caller ([`Trajectory::truncate_before`]).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trajectory {
    samples: VecDeque<Sample>,
    path: Path,
    milestones: Milestones,
    relative_scale_sigma: f64,
    displacement: Displacement,
}

impl Trajectory {
    /// Without samples.
    pub fn new() -> Self {
        Self::default()
    }

    /// Without samples, and with room for `capacity` of them.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            samples: VecDeque::with_capacity(capacity),
            path: Path::with_capacity(capacity),
            ..Self::default()
        }
    }

    /// Without samples, for the states of an estimator: movement is [`Displacement::OfStates`].
    pub fn estimated() -> Self {
        Self {
            displacement: Displacement::OfStates,
            ..Self::default()
        }
    }

    /// A copy of the samples from `start_s` to `end_s`, both included, with `shift_s` added to their times.
    pub fn between(&self, start_s: f64, end_s: f64, shift_s: f64) -> Self {
        let mut cut = Self {
            displacement: self.displacement,
            relative_scale_sigma: self.relative_scale_sigma,
            ..Self::default()
        };
        for sample in self
            .samples()
            .filter(|sample| (start_s..=end_s).contains(&sample.time_s))
        {
            let mut sample = *sample;
            sample.time_s += shift_s;
            // Refused only where times become equal, seconds that differ by less than their rounding.
            let _ = cut.push(sample);
        }
        cut
    }

    /// Relative standard deviation of an error of scale that all samples share (an assumed focal length, an assumed
    /// camera height): 0.1 for 10 %. It does not average out over a window, so it is kept apart from the samples'
    /// covariances, and every distance and speed is widened by it.
    pub fn relative_scale_sigma(&self) -> f64 {
        self.relative_scale_sigma
    }

    /// Sets [`Trajectory::relative_scale_sigma`]. What is not a number of at least 0 counts as 0.
    pub fn set_relative_scale_sigma(&mut self, relative_sigma: f64) {
        self.relative_scale_sigma = if relative_sigma.is_finite() {
            relative_sigma.max(0.0)
        } else {
            0.0
        };
    }

    /// Appends a sample. Time must strictly increase and every number be finite.
    pub fn push(&mut self, sample: Sample) -> Result<(), TrajectoryError> {
        if let Some(field) = sample.non_finite_field() {
            return Err(TrajectoryError::NotFinite { field });
        }
        let (position, length_m, unreliable_s) = match (self.samples.back(), self.path.points().last()) {
            (Some(last), Some(point)) => {
                let gap_s = sample.time_s - last.time_s;
                if gap_s <= 0.0 {
                    return Err(TrajectoryError::TimeNotIncreasing {
                        last_s: last.time_s,
                        found_s: sample.time_s,
                    });
                }
                let stands = last.standing && sample.standing;
                let trusted = last.reliable && sample.reliable && gap_s <= MAX_RELIABLE_GAP_S;
                let moved = self.displacement.between(last, &point.position, &sample);
                let position = match self.displacement {
                    // Sums would only round.
                    Displacement::OfPositions => sample.position_in_world,
                    Displacement::OfStates => point.position + moved,
                };
                (
                    position,
                    point.length_m + if stands { 0.0 } else { moved.norm() },
                    point.unreliable_s + if trusted { 0.0 } else { gap_s },
                )
            }
            _ => (sample.position_in_world, 0.0, 0.0),
        };
        let point = PathPoint {
            time_s: sample.time_s,
            position,
            length_m,
            unreliable_s,
        };
        self.path.push(point);
        self.milestones.push(&point);
        self.samples.push_back(sample);
        Ok(())
    }

    /// Forgets what no window that starts at `time_s` or later needs: all samples before the last one that is not later
    /// than `time_s`.
    pub fn truncate_before(&mut self, time_s: f64) {
        while match self.path.points() {
            [only] => only.time_s < time_s,
            [_, second, ..] => second.time_s <= time_s,
            [] => false,
        } {
            self.path.pop_front();
            self.samples.pop_front();
        }
        match self.start_s() {
            Some(start_s) => self.milestones.truncate_before(start_s),
            None => self.milestones.clear(),
        }
    }

    /// Forgets all samples.
    pub fn clear(&mut self) {
        self.samples.clear();
        self.path.clear();
        self.milestones.clear();
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// The oldest sample.
    pub fn first(&self) -> Option<&Sample> {
        self.samples.front()
    }

    /// The newest sample.
    pub fn last(&self) -> Option<&Sample> {
        self.samples.back()
    }

    /// Time of the oldest sample, seconds.
    pub fn start_s(&self) -> Option<f64> {
        self.first().map(|sample| sample.time_s)
    }

    /// Time of the newest sample, seconds.
    pub fn end_s(&self) -> Option<f64> {
        self.last().map(|sample| sample.time_s)
    }

    /// The samples, oldest first.
    pub fn samples(&self) -> impl DoubleEndedIterator<Item = &Sample> + ExactSizeIterator {
        self.samples.iter()
    }

    /// The part of [`start_s`, `end_s`] that the trajectory covers; `None` when it is empty or a single instant.
    pub fn overlap(&self, start_s: f64, end_s: f64) -> Option<(f64, f64)> {
        let start_s = start_s.max(self.start_s()?);
        let end_s = end_s.min(self.end_s()?);
        (end_s > start_s).then_some((start_s, end_s))
    }

    /// The sample at `time_s`, interpolated linearly between its neighbours; `None` outside the trajectory.
    pub fn at(&self, time_s: f64) -> Option<Sample> {
        let (index, fraction) = self.path.search().locate(time_s)?;
        let earlier = self.samples.get(index)?;
        match self.samples.get(index + 1) {
            Some(later) if fraction > 0.0 => Some(earlier.interpolated(later, fraction)),
            _ => Some(*earlier),
        }
    }

    /// Samples at `start_s`, `start_s + step_s`, … up to and including `end_s`, as far as the trajectory covers them.
    /// None when `step_s` is not positive.
    pub fn resampled(&self, start_s: f64, end_s: f64, step_s: f64) -> Vec<Sample> {
        let (Some(known_start_s), Some(known_end_s)) = (self.start_s(), self.end_s()) else {
            return Vec::new();
        };
        if step_s <= 0.0 || !(step_s.is_finite() && start_s.is_finite() && end_s.is_finite()) {
            return Vec::new();
        }
        let last_s = end_s.min(known_end_s);
        let skipped = ((known_start_s - start_s - TIME_TOLERANCE_S) / step_s).ceil().max(0.0);
        let count = ((last_s - start_s + TIME_TOLERANCE_S) / step_s).floor() - skipped + 1.0;
        (0..count.max(0.0) as usize)
            .filter_map(|k| self.at(start_s + (skipped + k as f64) * step_s))
            .collect()
    }

    /// Length of the path between two times, metres, in O(log n): the sum of the distances between neighbouring
    /// samples, where stretches in which the object stands add nothing. `None` unless the trajectory covers the window.
    ///
    /// It is never less than the distance of record ([`crate::kinematics::traveled_distance_m`]), which takes the chords
    /// of 0.5 s, and the two agree for straight motion without noise.
    pub fn path_length_m(&self, start_s: f64, end_s: f64) -> Option<f64> {
        if start_s > end_s {
            return None;
        }
        let search = self.path.search();
        Some(search.at(end_s)?.length_m - search.at(start_s)?.length_m)
    }

    /// `time_s`, or the nearest time that the trajectory covers where that is no farther than frames are apart
    /// ([`BETWEEN_FRAMES_S`]).
    pub(crate) fn nearest_known_s(&self, time_s: f64) -> f64 {
        let (Some(start_s), Some(end_s)) = (self.start_s(), self.end_s()) else {
            return time_s;
        };
        let nearest_s = time_s.clamp(start_s, end_s);
        if (nearest_s - time_s).abs() <= BETWEEN_FRAMES_S {
            nearest_s
        } else {
            time_s
        }
    }

    /// Where the object went: the positions at `times_s`, shifted so that they differ by the movement and lie, on average,
    /// where the estimates do. For labels they are the positions. `None` where the trajectory has none.
    pub fn moved_through(&self, times_s: &[f64]) -> Vec<Option<Point3<f64>>> {
        let search = self.path.search();
        let mut points: Vec<Option<Point3<f64>>> = times_s
            .iter()
            .map(|time_s| search.at(*time_s).map(|at| at.position))
            .collect();
        if self.displacement == Displacement::OfStates {
            let off = points.iter().zip(times_s).filter_map(|(point, time_s)| {
                let estimate = self.at(*time_s)?.position_in_world;
                point.map(|point| estimate - point)
            });
            let (sum, count) = off.fold((Vector3::zeros(), 0.0), |(sum, count), off| (sum + off, count + 1.0));
            let shift = sum / f64::max(count, 1.0);
            points.iter_mut().flatten().for_each(|point| *point += shift);
        }
        points
    }

    /// Whether no more than [`MAX_UNRELIABLE_SHARE`] of the window's time is unreliable; `None` unless the trajectory
    /// covers the window. O(log n).
    pub fn is_reliable(&self, start_s: f64, end_s: f64) -> Option<bool> {
        if start_s > end_s {
            return None;
        }
        if start_s == end_s {
            return self.at(start_s).map(|sample| sample.reliable);
        }
        let search = self.path.search();
        let unreliable_s = search.at(end_s)?.unreliable_s - search.at(start_s)?.unreliable_s;
        Some(unreliable_s <= MAX_UNRELIABLE_SHARE * (end_s - start_s))
    }

    /// A search on the path.
    pub(super) fn path_search(&self) -> PathSearch<'_> {
        self.path.search()
    }

    /// Running sums over steps of half a second.
    pub(super) fn milestones(&self) -> &Milestones {
        &self.milestones
    }
}
