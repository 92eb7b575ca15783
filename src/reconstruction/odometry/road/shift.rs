//! How far the camera has moved along the road between two pictures, by what lies on the road.
//!
//! The road is cut into short stretches along the way, and the mean of each is taken out: what is the same all along (edge
//! lines, kerbs, the shade of a wall) tells nothing of the motion and would agree with any. What is left is compared with
//! the other picture for every shift that may be, over the whole road at once: a texture that is hidden by the noise in
//! any one place still correlates over thousands of samples. How the correlation scatters over the shifts that are wrong
//! tells how far the right one has to stand out.

use std::ops::Range;

use nalgebra::{Point2, UnitQuaternion, Vector3};

use super::{ASIDE, DEPTHS, RoadPrior};
use crate::reconstruction::odometry::gray::{GrayPyramid, Level};
use crate::reconstruction::odometry::lens::{Excluded, Lens};

/// Samples of a stretch.
const SAMPLES: usize = 9;
const HALF: isize = SAMPLES as isize / 2;
/// Stretches at most, and pixels of the floor that is read between two.
const MAX_STRETCHES: usize = 900;
const SPACING: usize = 4;
/// Fewer are no road.
const MIN_STRETCHES: usize = 150;
/// A stretch counts for no more than so many faint ones.
const STRONG: f32 = 6.0;

/// Parts of the road that are compared each for itself: left, middle and right, near and far.
pub(super) const PARTS: usize = 6;
/// Where the middle ends, and the near part, heights.
const MIDDLE: f64 = 1.0;
const NEAR: f64 = 3.5;

/// Share of a part's texture that is taken as moving at least.
const LEAST_MOVING: f64 = 0.3;
/// Correlation of the same pixels of two pictures that something which stands still in them has.
const STANDING: Range<f64> = 0.15..0.65;

/// Correlation of each part and how many samples it rests on.
pub(in crate::reconstruction::odometry) type Parts = [(f64, f64); PARTS];

/// A short stretch of road along the way.
struct Stretch {
    /// Its middle in the camera frame, and how far its samples are apart.
    middle: Vector3<f32>,
    step: f32,
    values: [f32; SAMPLES],
    energy: f32,
    part: usize,
}

/// The road in one picture, ready to be compared with others.
pub(in crate::reconstruction::odometry) struct Along {
    stretches: Vec<Stretch>,
    /// The way in the camera frame: unit, in the plane of the road.
    ahead: Vector3<f64>,
    faint: f32,
}

impl Along {
    /// The road in `here`; `None` where too little of it is to be seen. `ahead` is the way in the camera frame.
    pub fn of(
        here: &GrayPyramid,
        lens: &Lens,
        prior: &RoadPrior,
        ahead: &Vector3<f64>,
        excluded: &Excluded<'_>,
    ) -> Option<Self> {
        let (level, scale) = floor(here)?;
        let down = prior.down_in_camera;
        let ahead = (ahead - down * down.dot(ahead)).try_normalize(1e-3)?;
        let mut stretches = Vec::new();
        for row in (SPACING / 2..level.height).step_by(SPACING) {
            for column in (SPACING / 2..level.width).step_by(SPACING) {
                let at = Point2::new(column as f32 + 0.5, row as f32 + 0.5) * scale;
                let Some(ray) = lens.ray(&at) else { continue };
                let slope = down.dot(&ray);
                if slope * DEPTHS.1 < 1.0
                    || slope * DEPTHS.0 > 1.0
                    || ray.x.abs() > ASIDE * slope
                    || excluded.contains(&at)
                {
                    continue;
                }
                let middle = ray * (prior.height / slope);
                let little = 0.02 * middle.z;
                let Some(beside) = lens.project(&(middle + ahead * little)) else {
                    continue;
                };
                let step = little * f64::from(scale / (beside - at).norm().max(1e-3));
                let (middle, step) = (middle.cast(), step as f32);
                let Some((values, energy)) = sample(level, lens, scale, &middle, &(ahead.cast() * step)) else {
                    continue;
                };
                let aside = ray.x / slope;
                let part = usize::from(aside > -MIDDLE) + usize::from(aside > MIDDLE);
                stretches.push(Stretch {
                    part: 2 * part + usize::from(slope * NEAR < 1.0),
                    middle,
                    step,
                    values,
                    energy,
                });
            }
        }
        if stretches.len() < MIN_STRETCHES {
            return None;
        }
        if stretches.len() > MAX_STRETCHES {
            stretches.select_nth_unstable_by(MAX_STRETCHES, |a, b| b.energy.total_cmp(&a.energy));
            stretches.truncate(MAX_STRETCHES);
        }
        let middle = stretches.len() / 2;
        let (_, faint, _) = stretches.select_nth_unstable_by(middle, |a, b| a.energy.total_cmp(&b.energy));
        let faint = faint.energy.max(1e-3);
        Some(Self {
            stretches,
            ahead,
            faint,
        })
    }

    /// The way in the camera frame.
    pub fn ahead(&self) -> Vector3<f64> {
        self.ahead
    }

    /// What `other` shows at the very same pixels: where pictures carry something that stands still in them (dirt, reflections,
    /// what a codec leaves of faint texture), that agrees with a camera that does not move, however fast it is.
    pub fn standing(&self, other: &GrayPyramid, lens: &Lens) -> Option<Standing> {
        let (level, scale) = floor(other)?;
        let ahead = self.ahead.cast::<f32>();
        let mut sums = Sums::default();
        let mut still = Vec::with_capacity(self.stretches.len());
        for stretch in &self.stretches {
            let seen = sample(level, lens, scale, &stretch.middle, &(ahead * stretch.step));
            let (values, theirs) = seen.unwrap_or(([0.0; SAMPLES], 0.0));
            if theirs > 0.0 {
                let product: f32 = values
                    .iter()
                    .zip(&stretch.values)
                    .map(|(value, here)| value * here)
                    .sum();
                sums.add(product, stretch.energy, theirs, self.weight(stretch.energy, theirs));
            }
            still.push(values);
        }
        // Where most of the picture stands still it is the camera that does; where hardly anything does, nothing is to be
        // taken out.
        if !STANDING.contains(&sums.correlation().0) {
            still.fill([0.0; SAMPLES]);
        }
        Some(Standing(still))
    }

    /// One strong stretch does not speak for the road.
    fn weight(&self, own: f32, theirs: f32) -> f32 {
        (STRONG * self.faint / own.max(theirs).max(1e-6)).min(1.0)
    }

    /// How well `other` agrees when the camera, turned by `turn` (other from here), has moved ahead by `shift` since;
    /// `None` where they hardly show the same road.
    pub fn compare(
        &self,
        other: &GrayPyramid,
        standing: &Standing,
        lens: &Lens,
        turn: &UnitQuaternion<f64>,
        shift: f64,
    ) -> Option<Agreement> {
        let (level, scale) = floor(other)?;
        let rotation = turn.to_rotation_matrix().matrix().cast::<f32>();
        let way = rotation * self.ahead.cast();
        let moved = way * shift as f32;
        let mut parts = [Sums::default(); PARTS];
        let mut count = 0;
        for (stretch, still) in self.stretches.iter().zip(&standing.0) {
            let middle = rotation * stretch.middle + moved;
            let Some((values, b)) = sample(level, lens, scale, &middle, &(way * stretch.step)) else {
                continue;
            };
            let a: f32 = values
                .iter()
                .zip(&stretch.values)
                .map(|(value, here)| value * here)
                .sum();
            let weight = self.weight(stretch.energy, b);
            let sums = &mut parts[stretch.part];
            sums.add(a, stretch.energy, b, weight);
            let (mut own, mut theirs, mut square) = (0.0, 0.0, 0.0);
            for ((here, there), still) in stretch.values.iter().zip(&values).zip(still) {
                own += here * still;
                theirs += there * still;
                square += still * still;
            }
            sums.own_standing += f64::from(weight * own);
            sums.their_standing += f64::from(weight * theirs);
            sums.standing += f64::from(weight * square);
            count += 1;
        }
        (count >= MIN_STRETCHES).then_some(Agreement(parts))
    }
}

/// How well two pictures of the road agree.
#[derive(Clone, Copy)]
pub(in crate::reconstruction::odometry) struct Agreement([Sums; PARTS]);

impl Agreement {
    /// Part by part.
    pub fn parts(&self) -> Parts {
        self.0.map(|sums| sums.correlation())
    }

    /// Correlation of all parts together.
    pub fn whole(&self) -> f64 {
        let whole = self.0.iter().fold(Sums::default(), |whole, part| whole.merged(part));
        whole.correlation().0
    }
}

/// Sums of products of grey values.
#[derive(Clone, Copy, Default)]
struct Sums {
    product: f64,
    own: f64,
    theirs: f64,
    squares: f64,
    /// What stands still in the pictures: by itself, by this picture, and by the other.
    standing: f64,
    own_standing: f64,
    their_standing: f64,
}

/// The other picture at the pixels of this one's stretches.
pub(in crate::reconstruction::odometry) struct Standing(Vec<[f32; SAMPLES]>);

impl Sums {
    fn add(&mut self, product: f32, own: f32, theirs: f32, weight: f32) {
        self.product += f64::from(weight * product);
        self.theirs += f64::from(weight * theirs);
        self.own += f64::from(weight * own);
        self.squares += f64::from(weight * own).powi(2);
    }

    fn merged(self, other: &Self) -> Self {
        Self {
            product: self.product + other.product,
            own: self.own + other.own,
            theirs: self.theirs + other.theirs,
            squares: self.squares + other.squares,
            standing: self.standing + other.standing,
            own_standing: self.own_standing + other.own_standing,
            their_standing: self.their_standing + other.their_standing,
        }
    }

    /// Correlation and how many samples it rests on.
    fn correlation(&self) -> (f64, f64) {
        if self.own <= 0.0 || self.theirs <= 0.0 {
            return (0.0, 0.0);
        }
        let samples = (SAMPLES - 1) as f64 * self.own * self.own / self.squares;
        if self.standing <= 0.0 {
            return (self.product / (self.own * self.theirs).sqrt(), samples);
        }
        // The partial correlation, given what stands still.
        let (own, theirs) = (self.own_standing / self.standing, self.their_standing / self.standing);
        let product = self.product - own * self.their_standing;
        let left = |whole: f64, part: f64| (whole - part).max(LEAST_MOVING * whole);
        let squares = left(self.own, own * self.own_standing) * left(self.theirs, theirs * self.their_standing);
        (product / squares.sqrt(), samples)
    }
}

/// The floor that is read, and pixels of the ground floor to one of it.
fn floor(picture: &GrayPyramid) -> Option<(&Level, f32)> {
    let floor = usize::from(picture.width() >= 400 && picture.levels.len() > 1);
    Some((picture.levels.get(floor)?, (1usize << floor) as f32))
}

/// Grey values along the way around a point of the road, their mean taken out, and the sum of their squares.
#[inline]
fn sample(
    level: &Level,
    lens: &Lens,
    scale: f32,
    middle: &Vector3<f32>,
    step: &Vector3<f32>,
) -> Option<([f32; SAMPLES], f32)> {
    let end = step * HALF as f32;
    let project = |point: &Vector3<f32>| {
        if point.z < 0.05 {
            None
        } else {
            lens.project_quickly(point)
        }
    };
    let (far, near, here) = (project(&(middle + end))?, project(&(middle - end))?, project(middle)?);
    // The picture of a line, as a parabola through three of its points.
    let to_floor = 1.0 / scale;
    let here = here * to_floor;
    let (far, near) = (far * to_floor - here, near * to_floor - here);
    let slope = (far - near) / (2.0 * HALF as f32);
    let bend = (far + near) / (2.0 * (HALF * HALF) as f32);
    let values = level.parabola(here, slope, bend)?;
    let mean = values.iter().sum::<f32>() / SAMPLES as f32;
    let values = values.map(|value| value - mean);
    let squares = values.iter().map(|value| value * value).sum();
    Some((values, squares))
}
