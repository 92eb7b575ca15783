//! The path of a trajectory, densely packed: positions with running sums, and the search for a time among them.

use nalgebra::Point3;

use super::trajectory::TIME_TOLERANCE_S;

/// What a window needs of a sample, with running sums since the first sample that was ever pushed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PathPoint {
    pub time_s: f64,
    /// Where the movement so far leads from the first position.
    pub position: Point3<f64>,
    /// Length of the path up to here, metres; stretches in which the object stands add nothing.
    pub length_m: f64,
    /// Unreliable time up to here, seconds.
    pub unreliable_s: f64,
}

/// A point on the path at any time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PathAt {
    pub position: Point3<f64>,
    pub length_m: f64,
    pub unreliable_s: f64,
}

/// Points in order of time; old ones leave at the front. They lie in one piece, as the search wants them.
#[derive(Clone, Debug, Default)]
pub(super) struct Path {
    points: Vec<PathPoint>,
    /// How many at the start of `points` have left.
    gone: usize,
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        self.points() == other.points()
    }
}

impl Path {
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            points: Vec::with_capacity(capacity),
            gone: 0,
        }
    }

    pub fn points(&self) -> &[PathPoint] {
        self.points.get(self.gone..).unwrap_or_default()
    }

    pub fn push(&mut self, point: PathPoint) {
        // Moving the rest down only when at least as many have left keeps a push at constant cost.
        if self.gone > self.points.len() / 2 && self.points.len() == self.points.capacity() {
            self.points.drain(..self.gone);
            self.gone = 0;
        }
        self.points.push(point);
    }

    pub fn pop_front(&mut self) {
        self.gone = (self.gone + 1).min(self.points.len());
    }

    pub fn clear(&mut self) {
        self.points.clear();
        self.gone = 0;
    }

    pub fn search(&self) -> PathSearch<'_> {
        let points = self.points();
        let (first_s, last_s) = match points {
            [first, .., last] => (first.time_s, last.time_s),
            [only] => (only.time_s, only.time_s),
            [] => (f64::NAN, f64::NAN),
        };
        PathSearch {
            points,
            first_s,
            last_s,
            points_per_s: points.len().saturating_sub(1) as f64 / (last_s - first_s),
        }
    }
}

/// A search for times on a path that stays as it is meanwhile.
#[derive(Clone, Copy)]
pub(super) struct PathSearch<'a> {
    points: &'a [PathPoint],
    first_s: f64,
    last_s: f64,
    points_per_s: f64,
}

impl PathSearch<'_> {
    /// The point on the path at `time_s`; `None` outside of it.
    #[inline(always)]
    pub fn at(&self, time_s: f64) -> Option<PathAt> {
        let (index, fraction) = self.locate(time_s)?;
        let a = self.points.get(index)?;
        let b = self.points.get(index + 1).unwrap_or(a);
        Some(PathAt {
            position: Point3::from(a.position.coords + (b.position.coords - a.position.coords) * fraction),
            length_m: a.length_m + (b.length_m - a.length_m) * fraction,
            unreliable_s: a.unreliable_s + (b.unreliable_s - a.unreliable_s) * fraction,
        })
    }

    /// The stretch that holds `time_s`: index of the point before it and how far it is to the next, 0 to 1.
    #[inline(always)]
    pub fn locate(&self, time_s: f64) -> Option<(usize, f64)> {
        if !(self.first_s - TIME_TOLERANCE_S..=self.last_s + TIME_TOLERANCE_S).contains(&time_s) {
            return None;
        }
        let last = self.points.len() - 1;
        if last == 0 {
            return Some((0, 0.0));
        }
        let time_s = time_s.clamp(self.first_s, self.last_s);
        // At an even frame rate the guess is right or one beside it. Which one is left to arithmetic, since a processor
        // could not foresee it.
        let guess = (((time_s - self.first_s) * self.points_per_s) as usize).min(last - 1);
        let early = usize::from(self.points[guess].time_s > time_s);
        let late = usize::from(self.points[guess + 1].time_s < time_s);
        let mut low = (guess + late).saturating_sub(early).min(last - 1);
        if self.points[low].time_s > time_s || self.points[low + 1].time_s < time_s {
            low = self
                .points
                .partition_point(|point| point.time_s <= time_s)
                .clamp(1, last)
                - 1;
        }
        let high = low + 1;
        let (from, to) = (self.points[low].time_s, self.points[high].time_s);
        Some((low, (time_s - from) / (to - from)))
    }
}
