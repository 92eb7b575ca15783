//! The whole of what the picture's edge cuts: the class's cuboid, set on the ground so that the edges of the box that are
//! the object's own fit, and what is cut reaches beyond the picture.
//!
//! For each yaw the place over the ground is found by Gauss–Newton on the edges; its covariance is that of the least
//! squares, with the spread of the class's size among the errors. The yaws are weighed by what their edges leave.

use nalgebra::{Isometry3, Matrix2, Point2, Point3, Unit, Vector2, Vector3, Vector4};

use super::cuboid::{CutEdges, Eye, Heading};
use super::priors::ClassPrior;
use crate::camera::ground_intersection;
use crate::detection::BoundingBox;

/// Yaws that are tried when it is not known which way the object lies, over half a turn, and when it is.
const YAWS: usize = 8;
/// Steps of the search, and the one after which it has come to rest, relative to the distance.
const ITERATIONS: usize = 8;
const SETTLED: f64 = 0.005;
/// Standard deviation of length and width, relative, of what is longer than wide, and of what is not: arms and legs reach
/// out.
const EXTENT_SIGMA: f64 = 0.12;
const LIMBED_EXTENT_SIGMA: f64 = 0.3;
/// How far from the middle of what is seen the object may be, relative to the distance, before its edges are looked at.
const START_SIGMA: f64 = 0.5;
/// Step of the derivatives, relative to the distance.
const DERIVATIVE_STEP: f64 = 1e-3;

/// An object whose box the picture's edge cuts.
#[derive(Clone, Copy, Debug)]
pub(super) struct CutBox<'a> {
    pub bbox: &'a BoundingBox,
    pub cut: CutEdges,
    pub prior: &'a ClassPrior,
    pub heading: Option<Heading>,
    /// Height of the ground in the world, metres.
    pub ground_z_m: f64,
    /// Standard deviation of an edge across and down the picture, pixels.
    pub edge_px: [f64; 2],
}

/// Where the whole of it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Completion {
    /// Direction to the cuboid's centre, camera frame.
    pub bearing_in_camera: Unit<Vector3<f64>>,
    /// Standard deviations of the direction, radians: what is new in every frame, and what stays with the object.
    pub bearing_sigma_rad: f64,
    pub bearing_bias_rad: f64,
    /// Distance of the centre.
    pub range_m: f64,
    /// Relative standard deviations of the distance: what is new in every frame, and what stays with the object.
    pub noise: f64,
    pub bias: f64,
}

/// One yaw's place on the ground.
#[derive(Clone, Copy, Debug)]
struct Place {
    level: Vector2<f64>,
    covariance: Matrix2<f64>,
    white: Matrix2<f64>,
    unlikely: f64,
}

impl CutBox<'_> {
    /// `None` where no yaw can stand there, or the edges do not tell where.
    pub fn complete(&self, eye: &Eye<'_>) -> Option<Completion> {
        let start = self.start(eye)?;
        let origin = eye.world_from_camera.translation.vector;
        let sight = (start - origin.xy()).try_normalize(1e-6)?;
        let heading = self.heading.filter(|_| self.prior.is_long());
        let first = heading.map_or(sight.y.atan2(sight.x), |heading| heading.yaw_rad);
        let places = (0..YAWS).filter_map(|index| {
            let aside = std::f64::consts::PI * index as f64 / YAWS as f64;
            let mut place = self.place(eye, start, first + aside)?;
            if let Some(heading) = heading {
                place.unlikely += heading.unlikely(aside);
            }
            Some(place)
        });
        let places: Vec<Place> = places.collect();
        let least = places.iter().map(|place| place.unlikely).fold(f64::INFINITY, f64::min);
        let weight = |place: &Place| (-0.5 * (place.unlikely - least)).exp();
        let weights: f64 = places.iter().map(weight).sum();
        if weights.is_nan() || weights <= 0.0 {
            return None;
        }
        let level = places
            .iter()
            .map(|place| place.level * weight(place))
            .sum::<Vector2<f64>>()
            / weights;
        let mut covariance = Matrix2::zeros();
        let mut white = Matrix2::zeros();
        for place in &places {
            let off = place.level - level;
            covariance += (place.covariance + off * off.transpose()) * (weight(place) / weights);
            white += place.white * (weight(place) / weights);
        }
        let center = self.center(level);
        let line = center.coords - origin;
        let range_m = line.norm();
        let along = line.xy().try_normalize(1e-6)?;
        let across = Vector2::new(-along.y, along.x);
        // Over the ground; along the line of sight it is less by its slope.
        let slope = line.xy().norm() / range_m;
        let variance = |matrix: &Matrix2<f64>, axis: &Vector2<f64>| axis.dot(&(matrix * axis)).max(0.0);
        // What is new in every frame, and the rest, which stays.
        let parts = |axis: &Vector2<f64>, slope: f64| {
            let total = slope * variance(&covariance, axis).sqrt() / range_m;
            let noise = (slope * variance(&white, axis).sqrt() / range_m).min(total);
            (noise, (total * total - noise * noise).max(0.0).sqrt())
        };
        let (noise, bias) = parts(&along, slope);
        let (bearing_sigma_rad, bearing_bias_rad) = parts(&across, 1.0);
        let bearing = eye.world_from_camera.rotation.inverse() * line;
        Some(Completion {
            bearing_in_camera: Unit::try_new(bearing, 1e-9)?,
            bearing_sigma_rad,
            bearing_bias_rad,
            range_m,
            noise,
            bias,
        })
    }

    fn center(&self, level: Vector2<f64>) -> Point3<f64> {
        Point3::new(level.x, level.y, self.ground_z_m + 0.5 * self.prior.height_m)
    }

    /// Where the middle of what is seen would stand.
    fn start(&self, eye: &Eye<'_>) -> Option<Vector2<f64>> {
        let (x, y) = self.bbox.center();
        let ray = eye
            .intrinsics
            .unproject(&Point2::new(f64::from(x), f64::from(y)))
            .ok()?;
        let half_up_m = self.ground_z_m + 0.5 * self.prior.height_m;
        Some(ground_intersection(eye.world_from_camera, &ray, half_up_m)?.coords.xy())
    }

    fn place(&self, eye: &Eye<'_>, start: Vector2<f64>, yaw_in_world_rad: f64) -> Option<Place> {
        let camera_from_world = eye.world_from_camera.inverse();
        let origin = eye.world_from_camera.translation.vector.xy();
        let mut level = start;
        let mut moved_m = f64::INFINITY;
        let range_m = (start - origin).norm().max(1.0);
        let start_weight = (START_SIGMA * range_m).powi(-2);
        let mut solved = None;
        for _ in 0..ITERATIONS {
            let off = self.off(eye, &camera_from_world, level, yaw_in_world_rad)?;
            let step_m = DERIVATIVE_STEP * range_m;
            let slope = |axis: Vector2<f64>| -> Option<Vector4<f64>> {
                let moved = self.off(eye, &camera_from_world, level + axis * step_m, yaw_in_world_rad)?;
                Some((moved - off) / step_m)
            };
            let slopes = [slope(Vector2::x())?, slope(Vector2::y())?];
            let edges_px = self.edges_px(eye, (level - origin).norm());
            let mut information = Matrix2::identity() * start_weight;
            let mut pull = (start - level) * start_weight;
            let mut gains = [Vector2::zeros(); 4];
            let mut unlikely = 0.0;
            for (edge, gain) in gains.iter_mut().enumerate() {
                let gradient = Vector2::new(slopes[0][edge], slopes[1][edge]);
                let weight = edges_px[edge].powi(-2);
                information += gradient * gradient.transpose() * weight;
                pull -= gradient * (off[edge] * weight);
                unlikely += off[edge].powi(2) * weight;
                *gain = gradient * weight;
            }
            let covariance = information.try_inverse()?;
            let step = covariance * pull;
            level += step;
            moved_m = step.norm();
            let mut white = Matrix2::zeros();
            for (edge, gain) in gains.into_iter().enumerate() {
                let gain = covariance * gain;
                white += gain * gain.transpose() * self.edge_px[edge % 2].powi(2);
            }
            solved = Some((covariance, white, unlikely));
            if moved_m < SETTLED * range_m {
                break;
            }
        }
        let (covariance, white, unlikely): (Matrix2<f64>, _, f64) =
            solved.filter(|_| moved_m < 4.0 * SETTLED * range_m)?;
        Some(Place {
            level,
            // Edges that do not go together were not what they were taken for.
            covariance: covariance * unlikely.max(1.0),
            white,
            unlikely,
        })
    }

    /// Standard deviations of left, top, right and bottom edge, pixels: as the box tells them, and as the class's objects
    /// differ in size.
    fn edges_px(&self, eye: &Eye<'_>, range_m: f64) -> [f64; 4] {
        let per_m = eye.intrinsics.fx / range_m.max(1.0);
        let extent_sigma = if self.prior.is_long() {
            EXTENT_SIGMA
        } else {
            LIMBED_EXTENT_SIGMA
        };
        let extent_m = self.prior.mean_half_extent_m() * extent_sigma;
        let across = self.edge_px[0].hypot(extent_m * per_m);
        let top = self.edge_px[1].hypot(self.prior.height_sigma_m * per_m);
        let bottom = self.edge_px[1].hypot(0.5 * extent_m * per_m);
        [across, top, across, bottom]
    }

    /// How far the edges of the cuboid's box are from those seen, pixels: left, top, right, bottom. A cut edge is off only
    /// by what it falls short of the picture's.
    fn off(
        &self,
        eye: &Eye<'_>,
        camera_from_world: &Isometry3<f64>,
        level: Vector2<f64>,
        yaw_in_world_rad: f64,
    ) -> Option<Vector4<f64>> {
        let center = camera_from_world * self.center(level);
        let away = level - eye.world_from_camera.translation.vector.xy();
        let (low, high) = eye.appearance(&center, self.prior, yaw_in_world_rad - away.y.atan2(away.x))?;
        let seen = self.bbox;
        let low_off = |predicted: f64, seen: f32, cut: bool| {
            let off = predicted - f64::from(seen);
            if cut { off.max(0.0) } else { off }
        };
        let high_off = |predicted: f64, seen: f32, cut: bool| {
            let off = predicted - f64::from(seen);
            if cut { off.min(0.0) } else { off }
        };
        Some(Vector4::new(
            low_off(low.x, seen.x0, self.cut.left),
            low_off(low.y, seen.y0, self.cut.top),
            high_off(high.x, seen.x1, self.cut.right),
            high_off(high.y, seen.y1, self.cut.bottom),
        ))
    }
}
