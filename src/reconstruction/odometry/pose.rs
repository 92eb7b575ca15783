//! The camera's pose from points whose place is more or less known: robust Gauss-Newton, with random samples where the
//! prediction is not enough.
//!
//! A point is given as a ray from where it was first seen and an inverse depth ρ with its standard deviation. An error
//! of ρ moves the point's image along its epipolar line only, so the residual's covariance is σ²·I + J_ρ J_ρᵀ σ_ρ²: a point
//! of known depth gives two equations for the pose (3D-2D), one of unknown depth the epipolar one (2D-2D), and one far
//! away orientation only. Nothing has to be decided in between.

use nalgebra::{Isometry3, Matrix2, Matrix2x6, Matrix6, Translation3, UnitQuaternion, Vector2, Vector3, Vector6};

/// Squared Mahalanobis distance up to which a residual is an inlier: 99 % of a χ² of two.
pub(crate) const INLIER: f64 = 9.21;
/// What a pose that was not expected at all costs: as much as a few sightings that disagree.
const MOST_UNEXPECTED: f64 = 4.0 * INLIER;
/// Where Huber's function turns linear, standard deviations.
const HUBER: f64 = 1.5;
/// Far points that must agree on a turn.
const MIN_FAR: usize = 12;
const MAX_STEPS: usize = 8;
/// Points in a random sample.
const SAMPLE: usize = 4;
/// A sample's consensus of this share ends the sampling.
const ENOUGH: f64 = 0.75;

/// One point and where it is seen now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sighting {
    /// Where it was first seen from, map.
    pub origin: Vector3<f64>,
    /// Direction in which it was first seen, map, of length 1 / cos to the optical axis there, so that the point is
    /// `origin + direction / inverse_depth`.
    pub direction: Vector3<f64>,
    /// Inverse of the depth along that camera's optical axis.
    pub inverse_depth: f64,
    pub inverse_depth_sigma: f64,
    /// x / z and y / z in the camera's frame now.
    pub seen: Vector2<f64>,
    /// Standard deviation of `seen`.
    pub sigma: f64,
    /// Direction in which `seen` is held worst, as long as the standard deviation that this adds.
    pub weak: Vector2<f64>,
}

/// Residual of one sighting with its derivatives.
struct Residual {
    error: Vector2<f64>,
    by_pose: Matrix2x6<f64>,
    information: Matrix2<f64>,
}

impl Sighting {
    /// The point in the camera frame, times its inverse depth.
    pub fn in_camera(&self, map_from_camera: &Isometry3<f64>) -> Vector3<f64> {
        map_from_camera.rotation.inverse()
            * (self.direction + self.inverse_depth * (self.origin - map_from_camera.translation.vector))
    }

    fn residual(&self, map_from_camera: &Isometry3<f64>, weak: &Vector2<f64>) -> Option<Residual> {
        let q = self.in_camera(map_from_camera);
        if q.z < 0.05 {
            return None;
        }
        let (u, v) = (q.x / q.z, q.y / q.z);
        let project = nalgebra::Matrix2x3::new(1.0 / q.z, 0.0, -u / q.z, 0.0, 1.0 / q.z, -v / q.z);
        let by_turn = project * q.cross_matrix();
        let by_shift = project * (-self.inverse_depth);
        let mut by_pose = Matrix2x6::zeros();
        by_pose.fixed_columns_mut::<3>(0).copy_from(&by_shift);
        by_pose.fixed_columns_mut::<3>(3).copy_from(&by_turn);
        let by_depth =
            project * (map_from_camera.rotation.inverse() * (self.origin - map_from_camera.translation.vector));
        let spread = by_depth * self.inverse_depth_sigma;
        let covariance =
            Matrix2::identity() * self.sigma.powi(2) + spread * spread.transpose() + weak * weak.transpose();
        Some(Residual {
            error: Vector2::new(u, v) - self.seen,
            by_pose,
            information: covariance.try_inverse()?,
        })
    }

    /// Squared Mahalanobis distance of the sighting from where the point should be seen; infinite behind the camera. What has
    /// slid along its edge counts as off here: where all the rest is well held, it says nothing for a pose.
    pub fn distance(&self, map_from_camera: &Isometry3<f64>) -> f64 {
        self.residual(map_from_camera, &Vector2::zeros())
            .map_or(f64::INFINITY, |r| (r.error.transpose() * r.information * r.error)[0])
    }
}

/// What is expected of the pose before anything is seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub map_from_camera: Isometry3<f64>,
    /// Standard deviations of position (map units) and orientation (radians).
    pub position_sigma: f64,
    pub rotation_sigma: f64,
    /// Whether no number of sightings speaks against it.
    pub firm: bool,
}

impl Expected {
    /// Squared Mahalanobis distance of a pose from the expected one.
    fn distance(&self, pose: &Isometry3<f64>) -> f64 {
        let off = difference(&self.map_from_camera, pose);
        off.fixed_rows::<3>(0).norm_squared() / self.position_sigma.powi(2)
            + off.fixed_rows::<3>(3).norm_squared() / self.rotation_sigma.powi(2)
    }
}

/// A pose and how well the sightings agree with it.
#[derive(Clone, Debug)]
pub(crate) struct Solved {
    pub map_from_camera: Isometry3<f64>,
    /// Of (shift, turn) in the camera frame.
    pub covariance: Matrix6<f64>,
    pub inliers: Vec<bool>,
    pub inlier_count: usize,
}

/// A pose moved by (shift, turn) in its own frame.
pub(crate) fn moved(pose: &Isometry3<f64>, by: &Vector6<f64>) -> Isometry3<f64> {
    let shift = Vector3::new(by[0], by[1], by[2]);
    let turn = UnitQuaternion::from_scaled_axis(Vector3::new(by[3], by[4], by[5]));
    Isometry3::from_parts(
        Translation3::from(pose.translation.vector + pose.rotation * shift),
        pose.rotation * turn,
    )
}

/// (shift, turn) in the frame of `from` that leads to `to`.
pub(crate) fn difference(from: &Isometry3<f64>, to: &Isometry3<f64>) -> Vector6<f64> {
    let relative = from.inv_mul(to);
    let turn = relative.rotation.scaled_axis();
    let shift = relative.translation.vector;
    Vector6::new(shift.x, shift.y, shift.z, turn.x, turn.y, turn.z)
}

/// A far point as it was seen before and is seen now: rays (x / z, y / z, 1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Far {
    pub before: Vector3<f64>,
    pub now: Vector3<f64>,
    /// Direction in which `now` is held worst, as long as the standard deviation that this adds, in those that it has all
    /// around.
    pub weak: Vector2<f64>,
}

impl Far {
    /// Brings an error of `now` to the same standard deviation in all directions.
    pub fn whitening(&self) -> Matrix2<f64> {
        let square = self.weak.norm_squared();
        if square < 1e-9 {
            return Matrix2::identity();
        }
        let excess = 1.0 - 1.0 / (1.0 + square).sqrt();
        Matrix2::identity() - self.weak * self.weak.transpose() * (excess / square)
    }
}

/// How a camera has turned (`before` from `now`) by far points, robustly; `pixel` is the angle of one. `None` where too few
/// agree.
pub(crate) fn turn(pairs: &[Far], guess: &UnitQuaternion<f64>, pixel: f64) -> Option<UnitQuaternion<f64>> {
    let mut turn = UnitQuaternion::new_normalize(guess.into_inner());
    let mut agreeing = 0;
    for round in 0..8 {
        // From coarse to fine: the guess may be some pixels off.
        let tolerance = pixel * (12.0 / f64::from(1 << round)).max(1.0);
        let mut information = nalgebra::Matrix3::identity() * 1e-6;
        let mut gradient = Vector3::zeros();
        agreeing = 0;
        for far in pairs {
            let Far { before, now, .. } = far;
            let whitening = far.whitening();
            let q = turn * now;
            if q.z < 0.05 {
                continue;
            }
            let error = whitening * Vector2::new(q.x / q.z - before.x, q.y / q.z - before.y);
            let project =
                nalgebra::Matrix2x3::new(1.0 / q.z, 0.0, -q.x / (q.z * q.z), 0.0, 1.0 / q.z, -q.y / (q.z * q.z));
            let by_turn = -whitening * project * turn.to_rotation_matrix().matrix() * now.cross_matrix();
            let off = error.norm() / tolerance;
            agreeing += usize::from(off < 3.0);
            let weight = 1.0 / (1.0 + off * off).powi(2);
            information += by_turn.transpose() * by_turn * weight;
            gradient += by_turn.transpose() * error * weight;
        }
        turn *= UnitQuaternion::from_scaled_axis(information.cholesky()?.solve(&-gradient));
    }
    (agreeing >= MIN_FAR && agreeing * 3 >= pairs.len() && turn.coords.iter().all(|value| value.is_finite()))
        .then_some(turn)
}

/// Robust least squares from `start` over the sightings picked by `used`; the pose and the information matrix.
fn refine(
    sightings: &[Sighting],
    used: impl Fn(usize) -> bool,
    start: &Isometry3<f64>,
    expected: Option<&Expected>,
    steps: usize,
    huber: bool,
) -> Option<(Isometry3<f64>, Matrix6<f64>)> {
    let mut pose = *start;
    let mut information = Matrix6::zeros();
    for _ in 0..steps {
        information = Matrix6::zeros();
        let mut gradient = Vector6::zeros();
        if let Some(expected) = expected {
            let off = difference(&expected.map_from_camera, &pose);
            for axis in 0..6 {
                let sigma = if axis < 3 {
                    expected.position_sigma
                } else {
                    expected.rotation_sigma
                };
                let weight = sigma.powi(-2);
                information[(axis, axis)] += weight;
                gradient[axis] += weight * off[axis];
            }
        }
        for (_, sighting) in sightings.iter().enumerate().filter(|(index, _)| used(*index)) {
            let Some(residual) = sighting.residual(&pose, &sighting.weak) else {
                continue;
            };
            let weighted = residual.information * residual.error;
            let distance = residual.error.dot(&weighted).sqrt();
            let weight = if huber && distance > HUBER {
                HUBER / distance
            } else {
                1.0
            };
            let left = residual.by_pose.transpose() * weight;
            information += left * residual.information * residual.by_pose;
            gradient += left * weighted;
        }
        let mut damped = information;
        for axis in 0..6 {
            damped[(axis, axis)] *= 1.0 + 1e-6;
            damped[(axis, axis)] += 1e-9;
        }
        let step = damped.cholesky()?.solve(&-gradient);
        if !step.iter().all(|value| value.is_finite()) {
            return None;
        }
        pose = moved(&pose, &step);
        if step.norm() < 1e-7 {
            break;
        }
    }
    Some((pose, information))
}

fn score(sightings: &[Sighting], pose: &Isometry3<f64>) -> (f64, usize) {
    let (mut cost, mut inliers) = (0.0, 0);
    for sighting in sightings {
        let distance = sighting.distance(pose);
        cost += distance.min(INLIER);
        inliers += usize::from(distance < INLIER);
    }
    (cost, inliers)
}

/// The pose that most sightings agree with. `guesses` are tried as they are; where the best of them does not convince,
/// poses from random samples are tried too. `None` when fewer than four sightings agree with any.
pub(crate) fn solve(
    sightings: &[Sighting],
    guesses: &[Isometry3<f64>],
    expected: Option<&Expected>,
    tries: usize,
) -> Option<Solved> {
    let count = sightings.len();
    if count < SAMPLE {
        return None;
    }
    let mut best: Option<(f64, usize, Isometry3<f64>)> = None;
    let mut offer = |pose: Isometry3<f64>| {
        let (cost, inliers) = score(sightings, &pose);
        let cost = cost
            + expected.map_or(0.0, |expected| {
                let most = if expected.firm { f64::INFINITY } else { MOST_UNEXPECTED };
                expected.distance(&pose).min(most)
            });
        if best.as_ref().is_none_or(|(least, ..)| cost < *least) {
            best = Some((cost, inliers, pose));
        }
        best.as_ref().map_or(0, |(_, inliers, _)| *inliers)
    };
    for guess in guesses {
        offer(*guess);
        if let Some((pose, _)) = refine(sightings, |_| true, guess, None, MAX_STEPS, true) {
            offer(pose);
        }
    }
    let mut random = XorShift(0x9e37_79b9_7f4a_7c15 ^ count as u64);
    for _ in 0..tries {
        if offer(*guesses.first()?) as f64 >= ENOUGH * count as f64 {
            break;
        }
        let mut picked = [0; SAMPLE].map(|_: usize| random.below(count));
        picked.sort_unstable();
        if picked.windows(2).any(|pair| pair[0] == pair[1]) {
            continue;
        }
        let sample = picked.map(|index| sightings[index]);
        if let Some((pose, _)) = refine(&sample, |_| true, guesses.first()?, None, 5, false) {
            offer(pose);
        }
    }
    let (_, _, mut pose) = best?;
    let mut information = Matrix6::zeros();
    let mut inliers = vec![false; count];
    let mut inlier_count = 0;
    for _ in 0..3 {
        let mut now = 0;
        for (inlier, sighting) in inliers.iter_mut().zip(sightings) {
            *inlier = sighting.distance(&pose) < INLIER;
            now += usize::from(*inlier);
        }
        if now < SAMPLE {
            return None;
        }
        let settled = now == inlier_count;
        inlier_count = now;
        (pose, information) = refine(sightings, |index| inliers[index], &pose, expected, 4, true)?;
        if settled {
            break;
        }
    }
    let covariance = information.try_inverse()?;
    Some(Solved {
        map_from_camera: pose,
        covariance,
        inliers,
        inlier_count,
    })
}

/// Marsaglia's xorshift: samples that are the same on every run.
struct XorShift(u64);

impl XorShift {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use nalgebra::Point3;
    use proptest::prelude::*;

    fn sightings(pose: &Isometry3<f64>, depths_known: bool, wrong: usize) -> Vec<Sighting> {
        let mut random = XorShift(7);
        let mut uniform = |low: f64, high: f64| low + (high - low) * random.below(100_000) as f64 / 1e5;
        (0..60)
            .map(|index| {
                let depth = uniform(2.0, 20.0);
                let direction = Vector3::new(uniform(-0.6, 0.6), uniform(-0.4, 0.4), 1.0);
                let point = Point3::from(direction * depth);
                let seen = pose.inverse_transform_point(&point);
                let mut seen = Vector2::new(seen.x / seen.z, seen.y / seen.z);
                if index < wrong {
                    seen += Vector2::new(0.05 + 0.01 * index as f64, -0.04);
                }
                Sighting {
                    origin: Vector3::zeros(),
                    direction,
                    inverse_depth: if depths_known { 1.0 / depth } else { 0.2 },
                    inverse_depth_sigma: if depths_known { 1e-4 } else { 0.2 },
                    seen,
                    sigma: 1e-3,
                    weak: Vector2::zeros(),
                }
            })
            .collect()
    }

    proptest! {
        #[test]
        fn known_depths_give_the_pose_whatever_a_third_says(
            shift in prop::array::uniform3(-0.4f64..0.4),
            turn in prop::array::uniform3(-0.15f64..0.15),
        ) {
            let truth = moved(&Isometry3::identity(), &Vector6::new(shift[0], shift[1], shift[2], turn[0], turn[1], turn[2]));
            let solved = solve(&sightings(&truth, true, 20), &[Isometry3::identity()], None, 200).unwrap();
            let off = difference(&truth, &solved.map_from_camera);
            prop_assert!(off.norm() < 2e-3, "off by {off}");
            prop_assert!(solved.inlier_count >= 38);
        }

        #[test]
        fn differences_and_moves_are_inverse(values in prop::array::uniform6(-1.0f64..1.0)) {
            let by = Vector6::from_row_slice(&values);
            let start = moved(&Isometry3::identity(), &Vector6::new(0.3, -0.2, 0.9, 0.4, 0.1, -0.7));
            prop_assert!((difference(&start, &moved(&start, &by)) - by).norm() < 1e-9);
        }
    }

    #[test]
    fn what_slides_along_edges_does_not_take_the_camera_along() {
        let truth = moved(&Isometry3::identity(), &Vector6::new(0.1, 0.0, 0.3, 0.0, 0.02, 0.0));
        let mut seen = sightings(&truth, true, 0);
        // Two of three lie on edges that run across the picture, and slid a standard deviation or two.
        let slide = Vector2::new(0.002, 0.0);
        for sighting in seen
            .iter_mut()
            .enumerate()
            .filter(|(index, _)| index % 3 > 0)
            .map(|(_, s)| s)
        {
            sighting.seen += slide;
            sighting.weak = Vector2::new(0.012, 0.0);
        }
        let off = |seen: &[Sighting]| {
            let solved = solve(seen, &[Isometry3::identity()], None, 50).unwrap();
            difference(&truth, &solved.map_from_camera).norm()
        };
        assert!(off(&seen) < 5e-4, "off by {}", off(&seen));
        seen.iter_mut().for_each(|sighting| sighting.weak = Vector2::zeros());
        assert!(off(&seen) > 1e-3, "off by {}", off(&seen));
    }

    #[test]
    fn a_turn_is_told_across_edges() {
        let truth = UnitQuaternion::from_scaled_axis(Vector3::new(0.01, -0.03, 0.005));
        let pairs: Vec<Far> = (0..40)
            .map(|index| {
                let now = Vector3::new((index % 8) as f64 * 0.12 - 0.42, (index / 8) as f64 * 0.1 - 0.2, 1.0);
                let slid = if index % 2 == 0 { 0.004 } else { 0.0 };
                let before = truth * (now - Vector3::new(slid, 0.0, 0.0));
                Far {
                    before: before / before.z,
                    now,
                    weak: Vector2::new(if index % 2 == 0 { 12.0 } else { 0.0 }, 0.0),
                }
            })
            .collect();
        let found = turn(&pairs, &UnitQuaternion::identity(), 1.0 / 500.0).unwrap();
        assert!(found.angle_to(&truth) < 2e-4, "off by {}", found.angle_to(&truth));
    }

    #[test]
    fn unknown_depths_still_give_the_orientation() {
        let truth = moved(&Isometry3::identity(), &Vector6::new(0.0, 0.0, 0.0, 0.02, -0.05, 0.01));
        let expected = Expected {
            map_from_camera: Isometry3::identity(),
            position_sigma: 0.1,
            rotation_sigma: 1.0,
            firm: false,
        };
        let solved = solve(
            &sightings(&truth, false, 0),
            &[Isometry3::identity()],
            Some(&expected),
            100,
        )
        .unwrap();
        let off = difference(&truth, &solved.map_from_camera);
        assert!(off.fixed_rows::<3>(3).norm() < 2e-3, "off by {off}");
        assert!(off.fixed_rows::<3>(0).norm() < 0.05, "off by {off}");
    }
}
