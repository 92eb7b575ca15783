//! How a body of a class's size appears: its box in the picture against distance and yaw, whatever the camera's tilt.
//!
//! From above, the height of an object's box is not its height seen straight on but a mixture with its length. So the
//! class's body, a cuboid that tapers towards roof and wheels or head and feet, is projected for several yaws, and for each
//! the distance is sought at which it is as tall as the box in the picture. How wide it then would be says how likely that
//! yaw is. Where the ground is known, so does whether the body stands on it there: the place is sought at which it stands
//! and its lower edge is the box's, and the two distances should be one.

use nalgebra::{Isometry3, Point2, Point3, Unit, UnitQuaternion, Vector3};

use super::priors::ClassPrior;
use crate::camera::{Intrinsics, ground_intersection};
use crate::detection::BoundingBox;

/// Yaws tried for what is clearly longer than wide, over half a turn: after that a cuboid looks the same.
const YAWS: usize = 8;
/// Yaws tried for what is about as long as wide, over a quarter turn.
const YAWS_SQUARE: usize = 2;
/// Least standard deviation of the centre across the line of sight, relative to half of the extent along it: yaws lie
/// between those tried.
const BEARING_SHARE: f64 = 0.15;
/// Relative standard deviation of a class's length and width, for how likely a yaw is.
const ASPECT_SIGMA: f64 = 0.15;
/// No heading is surer than this, radians: bodies drift a little, and boxes are no cuboids.
const LEAST_HEADING_RAD: f64 = 0.1;
const ITERATIONS: usize = 6;
/// A place on the ground is found when the last step towards it was less than this share of its distance.
const SETTLED: f64 = 0.02;

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
    /// Where it stands on the ground, when that is known.
    pub standing: Option<Standing>,
}

/// The cuboid placed on the ground so that its lower edge is the box's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Standing {
    /// Distance of the centre.
    pub range_m: f64,
    /// Relative standard deviation of the distance because the yaw is not known.
    pub yaw_sigma: f64,
}

/// The ground that objects stand on, and how well a box's lower edge tells where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ground {
    /// Its height in the world.
    pub z_in_world_m: f64,
    /// Standard deviation of the angle under which the lower edge is seen, radians: the edge's and the camera's tilt.
    pub angle_sigma_rad: f64,
    /// Relative standard deviation of the camera's height.
    pub height_sigma: f64,
}

impl Ground {
    /// Relative change of a distance a radian of the angle under which the ground `level_m` away is seen.
    pub fn lever(height_m: f64, level_m: f64, range_m: f64) -> f64 {
        (level_m * level_m + height_m * height_m) / height_m / range_m
    }
}

/// Relative standard deviations of what a box is measured by, edges alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct BoxNoise {
    pub across: f64,
    pub down: f64,
}

/// What one yaw makes of a box.
#[derive(Clone, Copy, Debug)]
struct Hypothesis {
    weight: f64,
    log_range: f64,
    half_depth_m: f64,
    bearing: Unit<Vector3<f64>>,
    log_standing: Option<f64>,
}

/// Which way an object's length lies, as far as its movement tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heading {
    /// Direction of its length over the ground, radians counter-clockwise from the world's x; front and back are alike.
    pub yaw_rad: f64,
    /// Standard deviation, radians.
    pub sigma_rad: f64,
}

impl Heading {
    /// How unlikely it is that an object lies `aside_rad` from it, 0 to π: the square of how many standard deviations.
    pub(super) fn unlikely(&self, aside_rad: f64) -> f64 {
        let turned = aside_rad.min(std::f64::consts::PI - aside_rad);
        (turned / self.sigma_rad.max(LEAST_HEADING_RAD)).powi(2)
    }
}

/// What one box is, beside where its edges are.
#[derive(Clone, Copy, Debug)]
pub(super) struct BoxFacts {
    /// Left and right edge are the object's.
    pub width_is_whole: bool,
    pub noise: BoxNoise,
    pub ground: Option<Ground>,
    pub heading: Option<Heading>,
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
    pub fn fit(&self, bbox: &BoundingBox, prior: &ClassPrior, facts: &BoxFacts) -> Option<CuboidFit> {
        let BoxFacts {
            width_is_whole,
            noise,
            ground,
            heading,
        } = *facts;
        let long = prior.is_long();
        let (count, turn) = if long {
            (YAWS, std::f64::consts::PI)
        } else {
            (YAWS_SQUARE, std::f64::consts::FRAC_PI_2)
        };
        let size_sigma = prior.height_sigma_m / prior.height_m;
        let mut hypotheses = [None; YAWS];
        let heading = heading.filter(|_| long);
        // The first of the yaws is the one it heads for, where that is known.
        let first = match heading {
            Some(heading) => heading.yaw_rad - self.azimuth_rad(bbox)?,
            None => 0.0,
        };
        for (index, slot) in hypotheses.iter_mut().enumerate().take(count) {
            let aside = turn * index as f64 / count as f64;
            let yaw = first + aside;
            let Some((bearing, range_m, width_ratio)) = self.fit_at(bbox, prior, yaw) else {
                continue;
            };
            let standing = ground.and_then(|ground| self.stand_at(bbox, prior, yaw, &ground));
            let mut unlikely = 0.0;
            if let Some(heading) = heading {
                unlikely += heading.unlikely(aside);
            }
            if width_is_whole && long {
                unlikely += (width_ratio.ln() / ASPECT_SIGMA.hypot(noise.across).hypot(size_sigma)).powi(2);
            }
            if let Some((standing_m, sigma)) = standing {
                unlikely += ((range_m / standing_m).ln() / size_sigma.hypot(noise.down).hypot(sigma)).powi(2);
            }
            *slot = Some(Hypothesis {
                weight: (-0.5 * unlikely).exp() + 1e-3,
                log_range: range_m.ln(),
                half_depth_m: half_depth_m(prior, yaw),
                bearing,
                log_standing: standing.map(|(standing_m, _)| standing_m.ln()),
            });
        }
        let hypotheses = || hypotheses.iter().flatten();
        let (log_range, yaw_sigma) = spread(hypotheses().map(|h| (h.weight, h.log_range)))?;
        let (half_depth_m, half_depth_sigma_m) = spread(hypotheses().map(|h| (h.weight, h.half_depth_m)))?;
        let weights: f64 = hypotheses().map(|h| h.weight).sum();
        let mean_bearing = hypotheses()
            .map(|h| h.bearing.into_inner() * h.weight)
            .sum::<Vector3<f64>>();
        let bearing = Unit::try_new(mean_bearing, 1e-9)?;
        let off = |h: &Hypothesis| (h.bearing.into_inner() - bearing.into_inner()).norm_squared();
        let bearing_variance = hypotheses().map(|h| h.weight * off(h)).sum::<f64>() / weights;
        // Standing is said only where every yaw can stand: a mean over some would lean to those.
        let stands = hypotheses().all(|h| h.log_standing.is_some());
        let standing = stands
            .then(|| spread(hypotheses().filter_map(|h| Some((h.weight, h.log_standing?)))))
            .flatten();
        Some(CuboidFit {
            bearing_in_camera: bearing,
            bearing_sigma_rad: bearing_variance
                .sqrt()
                .max(BEARING_SHARE * half_depth_m / log_range.exp()),
            range_m: log_range.exp(),
            yaw_sigma,
            half_depth_m,
            half_depth_sigma_m: half_depth_sigma_m.max(0.1 * half_depth_m),
            standing: standing.map(|(log_standing, yaw_sigma)| Standing {
                range_m: log_standing.exp(),
                yaw_sigma,
            }),
        })
    }

    /// Distance of the centre of a cuboid that stands on the ground with its lower edge at the box's, for one yaw against
    /// the line of sight, and the relative standard deviation of that distance. `None` where the lower edge does not show
    /// the ground.
    fn stand_at(&self, bbox: &BoundingBox, prior: &ClassPrior, yaw: f64, ground: &Ground) -> Option<(f64, f64)> {
        let below = |pixel: Point2<f64>| {
            let ray = self.intrinsics.unproject(&pixel).ok()?;
            ground_intersection(self.world_from_camera, &ray, ground.z_in_world_m)
        };
        let eye = Point3::from(self.world_from_camera.translation.vector);
        let contact = below(Point2::new(f64::from(bbox.center().0), f64::from(bbox.y1)))?;
        let away = (contact - eye).xy().try_normalize(1e-9).unwrap_or_default();
        let mut center = contact + away.push(0.0) * half_depth_m(prior, yaw) + Vector3::z() * (0.5 * prior.height_m);
        let mut moved_m = f64::INFINITY;
        for _ in 0..ITERATIONS {
            let (low, high) = self.appearance(&self.world_from_camera.inverse_transform_point(&center), prior, yaw)?;
            let step = contact - below(Point2::new(0.5 * (low.x + high.x), high.y))?;
            center += step;
            moved_m = step.norm();
        }
        let range_m = (center - eye).norm();
        let (height_m, level_m) = (eye.z - ground.z_in_world_m, (contact - eye).xy().norm());
        let sigma = (Ground::lever(height_m, level_m, range_m) * ground.angle_sigma_rad).hypot(ground.height_sigma);
        (moved_m < SETTLED * range_m).then_some((range_m, sigma))
    }

    /// Direction, distance, and width of the box over the predicted width, for one yaw against the line of sight.
    fn fit_at(&self, bbox: &BoundingBox, prior: &ClassPrior, yaw: f64) -> Option<(Unit<Vector3<f64>>, f64, f64)> {
        let (center_x, center_y) = bbox.center();
        let target = Point2::new(f64::from(center_x), f64::from(center_y));
        let (wide, tall) = (f64::from(bbox.width()), f64::from(bbox.height()));
        let mut bearing = self.intrinsics.unproject(&target).ok()?;
        // The near side makes most of the box, so it is its distance that goes with the box's height.
        let side_m = half_depth_m(prior, yaw);
        let mut range_m = side_m + self.intrinsics.fy * prior.height_m / tall;
        let mut width_ratio = 1.0;
        for _ in 0..ITERATIONS {
            let center = Point3::from(bearing.into_inner() * range_m);
            let (low, high) = self.appearance(&center, prior, yaw)?;
            let (seen_wide, seen_tall) = (high.x - low.x, high.y - low.y);
            if !(seen_wide > 0.0 && seen_tall > 0.0) {
                return None;
            }
            width_ratio = wide / seen_wide;
            range_m = side_m + (range_m - side_m).max(0.0) * seen_tall / tall;
            let at = self.intrinsics.project(&center)?;
            let off = target - nalgebra::center(&low, &high);
            bearing = self.intrinsics.unproject(&(at + off)).ok()?;
        }
        (range_m.is_finite() && range_m > 0.0).then_some((bearing, range_m, width_ratio))
    }

    /// Direction over the ground in which a box's middle is seen, radians counter-clockwise from the world's x.
    fn azimuth_rad(&self, bbox: &BoundingBox) -> Option<f64> {
        let (x, y) = bbox.center();
        let ray = self
            .intrinsics
            .unproject(&Point2::new(f64::from(x), f64::from(y)))
            .ok()?;
        let sight = self.world_from_camera.rotation * ray.into_inner();
        Some(sight.y.atan2(sight.x))
    }

    /// Upper left and lower right corner of the box in which a cuboid appears. `center` is in the camera frame; `yaw` is
    /// against the line of sight over the ground.
    pub(super) fn appearance(
        &self,
        center: &Point3<f64>,
        prior: &ClassPrior,
        yaw: f64,
    ) -> Option<(Point2<f64>, Point2<f64>)> {
        let to_world = &self.world_from_camera.rotation;
        let sight = to_world * center.coords;
        let azimuth = sight.y.atan2(sight.x);
        let turn = to_world.inverse() * UnitQuaternion::from_axis_angle(&Vector3::z_axis(), azimuth + yaw);
        let ahead = turn * Vector3::new(0.5 * prior.length_m, 0.0, 0.0);
        let left = turn * Vector3::new(0.0, 0.5 * prior.width_m, 0.0);
        let up = turn * Vector3::new(0.0, 0.0, 0.5 * prior.height_m);
        let mut low = Point2::new(f64::INFINITY, f64::INFINITY);
        let mut high = Point2::new(f64::NEG_INFINITY, f64::NEG_INFINITY);
        // As long and wide as it is half-way up, and smaller at its ends: roof, head, wheels, feet.
        for (level, [long, wide]) in [(-1.0, prior.lower_shares), (0.0, [1.0; 2]), (1.0, prior.upper_shares)] {
            for (along, across) in [(-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0)] {
                let corner = center + ahead * (along * long) + left * (across * wide) + up * level;
                let pixel = self.intrinsics.project(&corner)?;
                low = low.inf(&pixel);
                high = high.sup(&pixel);
            }
        }
        Some((low, high))
    }
}

/// Half of a cuboid's extent over the ground along the line of sight, metres.
fn half_depth_m(prior: &ClassPrior, yaw: f64) -> f64 {
    0.5 * (prior.length_m * yaw.cos().abs() + prior.width_m * yaw.sin().abs())
}

/// Mean and standard deviation of weighted values; `None` without weight.
fn spread(weighted: impl Iterator<Item = (f64, f64)> + Clone) -> Option<(f64, f64)> {
    let weights: f64 = weighted.clone().map(|(weight, _)| weight).sum();
    if weights <= 0.0 {
        return None;
    }
    let mean = weighted.clone().map(|(weight, value)| weight * value).sum::<f64>() / weights;
    let variance = weighted
        .map(|(weight, value)| weight * (value - mean).powi(2))
        .sum::<f64>()
        / weights;
    Some((mean, variance.sqrt()))
}
