//! How an upright box of a class's size appears: its box in the picture against distance and yaw, whatever the camera's
//! tilt.
//!
//! From above, the height of an object's box is not its height seen straight on but a mixture with its length. So the box
//! of the class's cuboid is projected for several yaws, and for each the distance is sought at which it is as tall as the
//! box in the picture. How wide it then would be says how likely that yaw is.

use nalgebra::{Isometry3, Point2, Point3, Unit, UnitQuaternion, Vector3};

use super::priors::ClassPrior;
use crate::camera::Intrinsics;
use crate::detection::BoundingBox;

/// Yaws tried for what is clearly longer than wide, over half a turn: after that a cuboid looks the same.
const YAWS: usize = 8;
/// Length over width from which yaw matters.
const LONG: f64 = 1.3;
/// Least standard deviation of the centre across the line of sight, relative to half of the extent along it: yaws lie
/// between those tried.
const BEARING_SHARE: f64 = 0.15;
/// Relative standard deviation of a class's length and width, for how likely a yaw is.
const ASPECT_SIGMA: f64 = 0.15;
const ITERATIONS: usize = 6;

/// Which edges of a box lie on the picture's edge: there the object may go on outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CutEdges {
    pub left: bool,
    pub top: bool,
    pub right: bool,
    pub bottom: bool,
}

impl CutEdges {
    /// Edges within one pixel or half a percent of the picture's edge count as cut.
    pub fn of(bbox: &BoundingBox, width: u32, height: u32) -> Self {
        let (width, height) = (width as f32, height as f32);
        let (across, down) = ((0.005 * width).max(1.0), (0.005 * height).max(1.0));
        Self {
            left: bbox.x0 <= across,
            top: bbox.y0 <= down,
            right: bbox.x1 >= width - across,
            bottom: bbox.y1 >= height - down,
        }
    }

    pub fn any(self) -> bool {
        self.across() || self.down()
    }

    pub fn across(self) -> bool {
        self.left || self.right
    }

    pub fn down(self) -> bool {
        self.top || self.bottom
    }
}

/// The class's cuboid fitted to a box.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct CuboidFit {
    /// Direction to the cuboid's centre, camera frame.
    pub bearing_in_camera: Unit<Vector3<f64>>,
    /// Standard deviation of the direction because the yaw is not known, radians.
    pub bearing_sigma_rad: f64,
    /// Distance of the centre.
    pub range_m: f64,
    /// Relative standard deviation of the distance because the yaw is not known.
    pub yaw_sigma: f64,
    /// Half of its extent over the ground along the line of sight, metres, and the standard deviation of that.
    pub half_depth_m: f64,
    pub half_depth_sigma_m: f64,
}

/// The camera as a cuboid is seen by it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Eye<'a> {
    pub intrinsics: &'a Intrinsics,
    pub world_from_camera: &'a Isometry3<f64>,
}

impl Eye<'_> {
    /// The cuboid fitted to a box whose upper and lower edge are the object's. `None` where the lens or the geometry does
    /// not allow it.
    pub fn fit(&self, bbox: &BoundingBox, prior: &ClassPrior, width_is_whole: bool, noise: f64) -> Option<CuboidFit> {
        let count = if prior.length_m / prior.width_m > LONG { YAWS } else { 1 };
        let mut fits = [None; YAWS];
        let (mut weights, mut mean_log_range, mut mean_depth) = (0.0, 0.0, 0.0);
        let mut mean_bearing = Vector3::zeros();
        for (index, slot) in fits.iter_mut().enumerate().take(count) {
            let yaw = std::f64::consts::PI * index as f64 / count as f64;
            let Some((bearing, range_m, width_ratio)) = self.fit_at(bbox, prior, yaw) else {
                continue;
            };
            let weight = if width_is_whole && count > 1 {
                let off = width_ratio.ln() / ASPECT_SIGMA.hypot(noise).hypot(prior.height_sigma_m / prior.height_m);
                (-0.5 * off * off).exp() + 1e-3
            } else {
                1.0
            };
            let half_depth = 0.5 * (prior.length_m * yaw.cos().abs() + prior.width_m * yaw.sin());
            let half_depth = if count == 1 {
                0.25 * (prior.length_m + prior.width_m)
            } else {
                half_depth
            };
            weights += weight;
            mean_log_range += weight * range_m.ln();
            mean_depth += weight * half_depth;
            mean_bearing += bearing.into_inner() * weight;
            *slot = Some((weight, range_m.ln(), half_depth, bearing));
        }
        if weights <= 0.0 {
            return None;
        }
        mean_log_range /= weights;
        mean_depth /= weights;
        let mean_bearing = Unit::try_new(mean_bearing, 1e-9)?;
        let (mut variance, mut depth_variance, mut bearing_variance) = (0.0, 0.0, 0.0);
        for (weight, log_range, half_depth, bearing) in fits.into_iter().flatten() {
            variance += weight * (log_range - mean_log_range).powi(2) / weights;
            bearing_variance += weight * (bearing.into_inner() - mean_bearing.into_inner()).norm_squared() / weights;
            depth_variance += weight * (half_depth - mean_depth).powi(2) / weights;
        }
        Some(CuboidFit {
            bearing_in_camera: mean_bearing,
            bearing_sigma_rad: bearing_variance
                .sqrt()
                .max(BEARING_SHARE * mean_depth / mean_log_range.exp()),
            range_m: mean_log_range.exp(),
            yaw_sigma: variance.sqrt(),
            half_depth_m: mean_depth,
            half_depth_sigma_m: depth_variance.sqrt().max(0.1 * mean_depth),
        })
    }

    /// Direction, distance, and width of the box over the predicted width, for one yaw against the line of sight.
    fn fit_at(&self, bbox: &BoundingBox, prior: &ClassPrior, yaw: f64) -> Option<(Unit<Vector3<f64>>, f64, f64)> {
        let (center_x, center_y) = bbox.center();
        let target = Point2::new(f64::from(center_x), f64::from(center_y));
        let (wide, tall) = (f64::from(bbox.width()), f64::from(bbox.height()));
        let mut bearing = self.intrinsics.unproject(&target).ok()?;
        let mut range_m = self.intrinsics.fy * prior.height_m / tall;
        let mut width_ratio = 1.0;
        for _ in 0..ITERATIONS {
            let center = Point3::from(bearing.into_inner() * range_m);
            let (low, high) = self.appearance(&center, prior, yaw)?;
            let (seen_wide, seen_tall) = (high.x - low.x, high.y - low.y);
            if !(seen_wide > 0.0 && seen_tall > 0.0) {
                return None;
            }
            width_ratio = wide / seen_wide;
            range_m *= seen_tall / tall;
            let at = self.intrinsics.project(&center)?;
            let off = target - nalgebra::center(&low, &high);
            bearing = self.intrinsics.unproject(&(at + off)).ok()?;
        }
        (range_m.is_finite() && range_m > 0.0).then_some((bearing, range_m, width_ratio))
    }

    /// Upper left and lower right corner of the box in which a cuboid appears. `center` is in the camera frame; `yaw` is
    /// against the line of sight over the ground.
    fn appearance(&self, center: &Point3<f64>, prior: &ClassPrior, yaw: f64) -> Option<(Point2<f64>, Point2<f64>)> {
        let to_world = &self.world_from_camera.rotation;
        let sight = to_world * center.coords;
        let azimuth = sight.y.atan2(sight.x);
        let turn = to_world.inverse() * UnitQuaternion::from_axis_angle(&Vector3::z_axis(), azimuth + yaw);
        let ahead = turn * Vector3::new(0.5 * prior.length_m, 0.0, 0.0);
        let left = turn * Vector3::new(0.0, 0.5 * prior.width_m, 0.0);
        let up = turn * Vector3::new(0.0, 0.0, 0.5 * prior.height_m);
        let mut low = Point2::new(f64::INFINITY, f64::INFINITY);
        let mut high = Point2::new(f64::NEG_INFINITY, f64::NEG_INFINITY);
        for corner in 0..8u8 {
            let sign = |bit: u8| if corner & bit == 0 { -1.0 } else { 1.0 };
            let pixel = self
                .intrinsics
                .project(&(center + ahead * sign(1) + left * sign(2) + up * sign(4)))?;
            low = low.inf(&pixel);
            high = high.sup(&pixel);
        }
        Some((low, high))
    }
}
