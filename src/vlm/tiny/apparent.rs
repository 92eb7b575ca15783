//! Where boxes alone put an object: its way over the ground in units of an assumed height, for clips that come without the
//! engine's states.
//!
//! An upright object that stands on the ground at depth Z is seen with the height h ≈ H / Z, and its foot on the ray
//! v = v₀ + H_c / (Z cos θ), where v₀ = −tan θ is the horizon of a camera of height H_c that looks down by θ. Both tell the
//! depth up to a factor that stays the same for an object, so directions and ratios need neither height. The horizon is
//! that for which the heights of all boxes go with their feet best; heights count alone where it cannot be told.

use nalgebra::{Point3, Vector3};

use super::clip::{Clip, ClipCamera, ClipObject, State};
use crate::detection::BoundingBox;

/// What an object of unknown class is taken to be high, metres: between a car and a person.
const HEIGHT_M: f64 = 1.6;
/// Error of an edge of a box, box heights.
const EDGE: f64 = 0.03;
/// Boxes are averaged over times about this far apart, seconds: for states, and for directions, which turn faster than
/// distances change.
const SMOOTHING_S: f64 = 0.6;
const TURNING_S: f64 = 0.35;
/// Logarithm of an object's height varies by so much from one to the next.
const HEIGHT_SPREAD: f64 = 0.35;
/// How cameras are tilted: the horizon's ray, mean and standard deviation.
const HORIZON: (f64, f64) = (-0.2, 0.3);
/// Horizons that are tried: first, step, count.
const GRID: (f64, f64, usize) = (-2.0, 0.02, 121);
/// Least distance of a foot from the horizon, as a tangent.
const LEAST_DROP: f64 = 0.02;

/// A box as rays: tangents of the angles from the optical axis.
#[derive(Clone, Copy, Debug)]
struct Seen {
    time_s: f64,
    across: f64,
    foot: f64,
    width: f64,
    height: f64,
    /// Not cut by the picture's left, right, upper, lower edge.
    whole: [bool; 4],
}

impl Seen {
    fn new(camera: &ClipCamera, time_s: f64, bbox: &BoundingBox) -> Self {
        let ((left, right), (top, bottom)) = (camera.rays_across(bbox), camera.rays_down(bbox));
        Self {
            time_s,
            across: 0.5 * (left + right),
            foot: bottom,
            width: right - left,
            height: (bottom - top).max(1e-4),
            whole: [bbox.x0 > 0.004, bbox.x1 < 0.996, bbox.y0 > 0.004, bbox.y1 < 0.996],
        }
    }

    fn broad(&self) -> bool {
        self.whole[0] && self.whole[1]
    }

    fn upright(&self) -> bool {
        self.whole[2] && self.whole[3]
    }
}

/// States of the clip's objects from their boxes, in a world whose origin is the camera; metres as far as objects are
/// [`HEIGHT_M`] high, and only while the camera does not move.
#[derive(Clone, Debug)]
pub struct Apparent {
    seen: Vec<Vec<Option<Seen>>>,
    /// The horizon's ray and its standard deviation.
    horizon: (f64, f64),
    yaw_rad: f64,
}

impl Apparent {
    /// Looks at all boxes of a clip.
    pub fn new(clip: &Clip) -> Self {
        let seen: Vec<Vec<Option<Seen>>> = clip
            .objects
            .iter()
            .map(|object| {
                let boxes = clip.times_s.iter().zip(&object.boxes);
                boxes
                    .map(|(time_s, bbox)| {
                        let bbox = bbox.filter(BoundingBox::is_valid)?;
                        Some(Seen::new(&clip.camera, *time_s, &bbox))
                    })
                    .collect()
            })
            .collect();
        Self {
            horizon: horizon(&seen),
            seen,
            yaw_rad: clip.camera_yaw_rad.unwrap_or(0.0),
        }
    }

    /// Of one object at each of the clip's times; `None` where too little is seen around it.
    pub fn states(&self, clip: &Clip, object: usize) -> Vec<Option<State>> {
        let Some(seen) = self.seen.get(object) else {
            return vec![None; clip.times_s.len()];
        };
        // How much the depth by the foot counts against that by the height: by their errors.
        let drop_of = |seen: &Seen| (seen.foot - self.horizon.0).max(LEAST_DROP);
        let upright: Vec<(f64, f64)> = seen
            .iter()
            .flatten()
            .filter(|seen| seen.upright())
            .map(|seen| (seen.height.ln(), drop_of(seen).ln()))
            .collect();
        // Depth by the foot is told in the object's height: by how many of them the foot is below the horizon.
        let offset = upright.iter().map(|(height, drop)| height - drop).sum::<f64>() / upright.len().max(1) as f64;
        clip.times_s
            .iter()
            .map(|time_s| {
                let across = Local::of(*time_s, seen, |seen| seen.broad().then_some((seen.across, 1.0)))?;
                let height = Local::of(*time_s, seen, |seen| {
                    let by_height = seen.upright().then(|| (seen.height.ln(), (EDGE * 1.4).powi(-2)));
                    let sigma = (EDGE * seen.height).hypot(self.horizon.1) / drop_of(seen);
                    let by_foot = (seen.whole[3] && !upright.is_empty())
                        .then(|| (drop_of(seen).ln() + offset, sigma.max(1e-3).powi(-2)));
                    match (by_height, by_foot) {
                        (Some((a, weight_a)), Some((b, weight_b))) => {
                            let total = weight_a + weight_b;
                            Some(((a * weight_a + b * weight_b) / total, total))
                        }
                        (one, other) => one.or(other),
                    }
                })?;
                Some(self.state(across, height))
            })
            .collect()
    }

    fn state(&self, across: Local, height: Local) -> State {
        let depth_m = (HEIGHT_M / height.value.exp()).clamp(0.5, 300.0);
        let depth_rate_mps = -depth_m * height.rate;
        // Along the ground, not along the optical axis: the foot is below the axis where the camera looks down.
        let stretch = (1.0 + self.horizon.0.powi(2)).sqrt();
        let (ahead_m, ahead_mps) = (depth_m * stretch, depth_rate_mps * stretch);
        let left_m = -across.value * depth_m;
        let left_mps = -(across.rate * depth_m + across.value * depth_rate_mps);
        let (sin, cos) = self.yaw_rad.sin_cos();
        let turned = |ahead: f64, left: f64| Vector3::new(cos * ahead - sin * left, sin * ahead + cos * left, 0.0);
        State {
            position_in_world: Point3::from(turned(ahead_m, left_m)),
            velocity_in_world_mps: turned(ahead_mps, left_mps),
            position_sigma_m: depth_m * (height.sigma * height.sigma + across.sigma * across.sigma).sqrt(),
            velocity_sigma_mps: depth_m * height.sigma / SMOOTHING_S,
            standing: false,
        }
    }
}

/// Where an object's box is seen over time: its edges, each where the picture does not cut it. What enters the picture or
/// leaves it is told by the edge that is seen: the middle of what is left of the box moves half as fast.
pub struct Edges(Vec<Seen>);

/// A box and how it moves at a time, as tangents of the angles from the optical axis.
#[derive(Clone, Copy, Debug)]
pub struct Moving {
    /// Its middle to the right.
    pub across: f64,
    /// Its middle downward.
    pub down: f64,
    /// Rate of `across`, per second.
    pub across_rate: f64,
    /// Rate of `down`, per second.
    pub down_rate: f64,
    /// Height of the box, of the same unit.
    pub height: f64,
}

impl Edges {
    /// Of an object's boxes.
    pub fn new(clip: &Clip, object: &ClipObject) -> Self {
        let boxes = clip.times_s.iter().zip(&object.boxes);
        let seen = boxes.filter_map(|(time_s, bbox)| {
            let bbox = bbox.filter(BoundingBox::is_valid)?;
            Some(Seen::new(&clip.camera, *time_s, &bbox))
        });
        Self(seen.collect())
    }

    /// At a time; `None` where no edge across or none downward is seen around it.
    pub fn at(&self, time_s: f64) -> Option<Moving> {
        let local = |of: &dyn Fn(&Seen) -> Option<f64>| {
            let values = self.0.iter().filter_map(|seen| Some((seen.time_s, of(seen)?, 1.0)));
            Local::of_values(time_s, TURNING_S, values)
        };
        let edge = |whole: usize, at: &dyn Fn(&Seen) -> f64| local(&|seen| seen.whole[whole].then(|| at(seen)));
        let across_rate = rate(
            edge(0, &|seen| seen.across - 0.5 * seen.width),
            edge(1, &|seen| seen.across + 0.5 * seen.width),
        )?;
        let down_rate = rate(edge(2, &|seen| seen.foot - seen.height), edge(3, &|seen| seen.foot))?;
        Some(Moving {
            across: local(&|seen| Some(seen.across))?.value,
            down: local(&|seen| Some(seen.foot - 0.5 * seen.height))?.value,
            across_rate,
            down_rate,
            height: local(&|seen| Some(seen.height.ln()))?.value.exp(),
        })
    }
}

/// The rate of a box between two edges: of both where both are seen as long, else of the one that is.
fn rate(one: Option<Local>, other: Option<Local>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) if (one.sigma - other.sigma).abs() < 1e-9 => Some(0.5 * (one.rate + other.rate)),
        (Some(one), Some(other)) if one.sigma < other.sigma => Some(one.rate),
        (_, Some(other)) => Some(other.rate),
        (one, None) => one.map(|one| one.rate),
    }
}

/// A value and its rate at a time, from what is known around it.
#[derive(Clone, Copy, Debug)]
struct Local {
    value: f64,
    rate: f64,
    sigma: f64,
}

impl Local {
    /// A straight line through what `of` says of the boxes around `time_s`: each with a weight, the inverse of its variance.
    fn of(time_s: f64, seen: &[Option<Seen>], of: impl Fn(&Seen) -> Option<(f64, f64)>) -> Option<Self> {
        let values = seen.iter().flatten().filter_map(|seen| {
            let (value, weight) = of(seen)?;
            Some((seen.time_s, value, weight))
        });
        Self::of_values(time_s, SMOOTHING_S, values)
    }

    /// The same through values with their times and weights, those that are `smoothing_s` away counting little.
    fn of_values(time_s: f64, smoothing_s: f64, values: impl Iterator<Item = (f64, f64, f64)>) -> Option<Self> {
        let mut sums = [0.0f64; 5];
        for (value_s, value, weight) in values {
            let dt_s = value_s - time_s;
            if dt_s.abs() > 3.0 * smoothing_s {
                continue;
            }
            let weight = weight * (-0.5 * (dt_s / smoothing_s).powi(2)).exp();
            let terms = [1.0, dt_s, dt_s * dt_s, value, dt_s * value];
            for (sum, term) in sums.iter_mut().zip(terms) {
                *sum += weight * term;
            }
        }
        let [total, first, second, value, slope] = sums;
        if total <= 0.0 {
            return None;
        }
        // One time alone has no rate.
        let second = second + 1e-3 * total;
        let determinant = total * second - first * first;
        Some(Self {
            value: (second * value - first * slope) / determinant,
            rate: (total * slope - first * value) / determinant,
            sigma: total.sqrt().recip().clamp(1e-3, 1.0),
        })
    }
}

/// The horizon's ray for which heights go with feet best, and its standard deviation.
fn horizon(seen: &[Vec<Option<Seen>>]) -> (f64, f64) {
    let objects: Vec<Vec<&Seen>> = seen
        .iter()
        .map(|seen| seen.iter().flatten().filter(|seen| seen.upright()).collect())
        .filter(|seen: &Vec<&Seen>| !seen.is_empty())
        .collect();
    let costs: Vec<(f64, f64)> = (0..GRID.2)
        .map(|index| {
            let ray = GRID.0 + GRID.1 * index as f64;
            (ray, cost(ray, &objects))
        })
        .collect();
    let least = costs.iter().map(|(_, cost)| *cost).fold(f64::INFINITY, f64::min);
    let weight = |cost: f64| (-0.5 * (cost - least)).exp();
    let total: f64 = costs.iter().map(|(_, cost)| weight(*cost)).sum();
    let mean = costs.iter().map(|(ray, cost)| ray * weight(*cost)).sum::<f64>() / total;
    let variance = costs
        .iter()
        .map(|(ray, cost)| (ray - mean).powi(2) * weight(*cost))
        .sum::<f64>()
        / total;
    if mean.is_finite() && variance.is_finite() {
        (mean, variance.sqrt())
    } else {
        HORIZON
    }
}

/// Twice the negative logarithm of a horizon's likelihood, less a constant.
fn cost(ray: f64, objects: &[Vec<&Seen>]) -> f64 {
    // Errors of a box last: so many in a row tell as much as one.
    const ALIKE: f64 = 2.0;
    let mut cost = ((ray - HORIZON.0) / HORIZON.1).powi(2);
    let mut means: Vec<(f64, f64)> = Vec::with_capacity(objects.len());
    for seen in objects {
        let ratios = seen.iter().map(|seen| {
            let drop = (seen.foot - ray).max(LEAST_DROP);
            // Above the horizon no foot can be.
            let above = (ray + LEAST_DROP - seen.foot).max(0.0);
            (seen.height.ln() - drop.ln(), above)
        });
        let (mut sum, mut squares, mut above) = (0.0, 0.0, 0.0f64);
        for (ratio, over) in ratios {
            sum += ratio;
            squares += ratio * ratio;
            above = above.max(over);
        }
        let count = seen.len() as f64;
        let mean = sum / count;
        let variance = (EDGE * 2.0).powi(2);
        cost += (squares - count * mean * mean).max(0.0) / (variance * ALIKE) + (above / 0.01).powi(2);
        means.push((mean, HEIGHT_SPREAD.powi(2) + variance * ALIKE / count));
    }
    // Objects are about as high as each other.
    let weights: f64 = means.iter().map(|(_, variance)| 1.0 / variance).sum();
    if weights > 0.0 {
        let common = means.iter().map(|(mean, variance)| mean / variance).sum::<f64>() / weights;
        cost += means
            .iter()
            .map(|(mean, variance)| (mean - common).powi(2) / variance)
            .sum::<f64>();
    }
    cost
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A camera 6 m high that looks down by `pitch_deg`; objects 1.7 m high that walk straight on from a place (ahead, left)
    /// with a velocity.
    fn clip(pitch_deg: f64, ways: &[[f64; 4]]) -> Clip {
        let camera = ClipCamera::from_pixels((500.0, 500.0), (320.0, 192.0), (640, 384));
        let (sin, cos) = pitch_deg.to_radians().sin_cos();
        let times_s: Vec<f64> = (0..=12).map(|at| f64::from(at) * 0.5).collect();
        let project = |ahead: f64, left: f64, up: f64| {
            let down = 6.0 - up;
            let (z, y) = (ahead * cos + down * sin, down * cos - ahead * sin);
            (camera.cx + camera.fx * -left / z, camera.cy + camera.fy * y / z)
        };
        let objects = ways.iter().map(|[ahead, left, ahead_mps, left_mps]| {
            let boxes = times_s.iter().map(|time_s| {
                let (ahead, left) = (ahead + ahead_mps * time_s, left + left_mps * time_s);
                let ((x0, y1), (_, y0)) = (project(ahead, left + 0.3, 0.0), project(ahead, left, 1.7));
                let (x1, _) = project(ahead, left - 0.3, 0.0);
                Some(BoundingBox::new(x0 as f32, y0 as f32, x1 as f32, y1 as f32))
            });
            ClipObject {
                boxes: boxes.collect(),
                states: vec![None; times_s.len()],
            }
        });
        Clip {
            objects: objects.collect(),
            times_s: times_s.clone(),
            camera,
            camera_yaw_rad: Some(0.5),
            views: Vec::new(),
        }
    }

    #[test]
    fn boxes_tell_directions_over_the_ground() {
        for pitch_deg in [2.0, 12.0, 25.0] {
            let clip = clip(pitch_deg, &[[16.0, -3.0, 0.7, 1.0], [24.0, 4.0, -1.2, 0.2]]);
            let apparent = Apparent::new(&clip);
            for (object, (ahead, left)) in [(0.7f64, 1.0f64), (-1.2, 0.2)].into_iter().enumerate() {
                let states = apparent.states(&clip, object);
                let state = states[6].unwrap();
                let velocity = state.velocity_in_world_mps;
                let told = velocity.y.atan2(velocity.x) - 0.5;
                let off = (told - left.atan2(ahead)).sin().atan2((told - left.atan2(ahead)).cos());
                assert!(off.to_degrees().abs() < 15.0, "{pitch_deg}: {}", off.to_degrees());
                let speed = velocity.norm() / ahead.hypot(left);
                assert!((0.6..1.5).contains(&speed), "{pitch_deg}: {speed}");
            }
        }
    }

    #[test]
    fn what_enters_the_picture_moves_as_fast_as_its_front() {
        let mut clip = clip(5.0, &[[16.0, 0.0, 0.0, 0.0]]);
        // To the right by a tenth of the picture a second, its back beyond the picture's left edge until 3 s.
        let boxes = clip.times_s.iter().map(|time_s| {
            let front = 0.1 + 0.1 * *time_s as f32;
            Some(BoundingBox::new((front - 0.4).max(0.0), 0.4, front, 0.5))
        });
        clip.objects[0].boxes = boxes.collect();
        let edges = Edges::new(&clip, &clip.objects[0]);
        for time_s in [0.75, 2.25, 5.25] {
            let moving = edges.at(time_s).unwrap();
            let rate = 0.1 / clip.camera.fx;
            assert!((moving.across_rate - rate).abs() < 0.01 * rate, "{time_s}: {moving:?}");
            assert!(moving.down_rate.abs() < 0.01 * rate, "{time_s}: {moving:?}");
        }
    }

    #[test]
    fn who_is_not_seen_has_no_state() {
        let mut clip = clip(5.0, &[[16.0, 0.0, 1.0, 0.0]]);
        clip.objects[0].boxes = vec![None; clip.times_s.len()];
        let states = Apparent::new(&clip).states(&clip, 0);
        assert!(states.len() == clip.times_s.len() && states.iter().all(Option::is_none));
    }
}
