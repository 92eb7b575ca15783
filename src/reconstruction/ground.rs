//! The ground plane from points of the scene: how high the camera is over it and where down is.
//!
//! On a plane the inverse depth is linear in the ray: ρ = n · r / h, with n the plane's downward normal in the camera
//! frame, h the camera's height, r = (x / z, y / z, 1). So three numbers are fitted: the plane through three points that
//! most points agree with (or the expected one, when it is as good), then least squares with Tukey's weights.

use nalgebra::{Matrix3, Unit, Vector3};

/// A relative difference of inverse depths beyond this does not count, in the first and the last round.
const TOLERANCE: (f64, f64) = (0.25, 0.12);
const ROUNDS: usize = 5;
/// Planes through three points that are tried.
const TRIALS: usize = 60;
/// A tried plane's height may be off what is expected by this factor.
const MAX_HEIGHT_FACTOR: f64 = 3.0;
/// Least number and share of points that must lie on the plane.
const MIN_POINTS: usize = 25;
const MIN_SHARE: f64 = 0.35;
/// The plane may be tilted this far against what is expected, radians.
const MAX_TILT_RAD: f64 = 0.25;

/// A plane under the camera.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroundPlane {
    /// Unit normal, downward, camera frame.
    pub down_in_camera: Unit<Vector3<f64>>,
    /// Distance of the camera, in the points' unit.
    pub height: f64,
    /// Relative standard deviation of the height, from the points' scatter.
    pub height_sigma: f64,
}

/// Fits a plane to points given by rays (x / z, y / z, 1) and inverse depths; `None` when too few lie on one near the
/// expected one.
pub(crate) fn fit(
    points: &[(Vector3<f64>, f64)],
    expected_down: &Vector3<f64>,
    expected_height: f64,
) -> Option<GroundPlane> {
    if points.len() < MIN_POINTS || expected_height <= 0.0 {
        return None;
    }
    let mut plane = first_plane(points, expected_down, expected_height);
    let mut normal = Matrix3::zeros();
    let (mut count, mut squares) = (0usize, 0.0);
    for round in 0..ROUNDS {
        let part = round as f64 / (ROUNDS - 1) as f64;
        let tolerance = TOLERANCE.0 * (TOLERANCE.1 / TOLERANCE.0).powf(part);
        normal = Matrix3::zeros();
        let mut right = Vector3::zeros();
        (count, squares) = (0, 0.0);
        for (ray, inverse_depth) in points {
            let off = (plane.dot(ray) / inverse_depth - 1.0) / tolerance;
            if off.abs() >= 1.0 {
                continue;
            }
            let weight = (1.0 - off * off).powi(2) / (inverse_depth * inverse_depth);
            normal += ray * ray.transpose() * weight;
            right += ray * (inverse_depth * weight);
            count += 1;
            squares += (off * tolerance).powi(2);
        }
        if count < MIN_POINTS {
            return None;
        }
        plane = normal.cholesky()?.solve(&right);
    }
    let length = plane.norm();
    let down_in_camera = Unit::try_new(plane, 1e-12)?;
    if (count as f64) < MIN_SHARE * points.len() as f64 || down_in_camera.angle(expected_down) > MAX_TILT_RAD {
        return None;
    }
    let scatter = (squares / count as f64).sqrt().max(0.01);
    let covariance = normal.try_inverse()? * scatter * scatter;
    let along = down_in_camera
        .dot(&(covariance * down_in_camera.into_inner()))
        .max(0.0)
        .sqrt();
    Some(GroundPlane {
        down_in_camera,
        height: 1.0 / length,
        height_sigma: along / length,
    })
}

/// The plane, as downward normal over height, that most points agree with.
fn first_plane(points: &[(Vector3<f64>, f64)], expected_down: &Vector3<f64>, expected_height: f64) -> Vector3<f64> {
    let agreement = |plane: &Vector3<f64>| -> f64 {
        let off = |(ray, inverse_depth): &(Vector3<f64>, f64)| plane.dot(ray) / inverse_depth - 1.0;
        let weights = points.iter().map(|point| 1.0 - (off(point) / TOLERANCE.1).powi(2));
        weights.filter(|weight| *weight > 0.0).sum()
    };
    let mut best = expected_down / expected_height;
    let mut most = agreement(&best);
    for trial in 0..TRIALS {
        // Three points far apart, others in each trial: steps by shares that have no common period with the rows.
        let at = |share: f64| points[((trial as f64 * 0.618_034 + share).fract() * points.len() as f64) as usize];
        let (a, b, c) = (at(0.0), at(0.297), at(0.713 + 0.11 * (trial % 7) as f64));
        let rays = Matrix3::from_rows(&[a.0.transpose(), b.0.transpose(), c.0.transpose()]);
        let Some(plane) = rays.lu().solve(&Vector3::new(a.1, b.1, c.1)) else {
            continue;
        };
        let factor = plane.norm() * expected_height;
        let plausible =
            (1.0 / MAX_HEIGHT_FACTOR..MAX_HEIGHT_FACTOR).contains(&factor) && plane.angle(expected_down) < MAX_TILT_RAD;
        let agreeing = if plausible { agreement(&plane) } else { 0.0 };
        if agreeing > most {
            (best, most) = (plane, agreeing);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_road_is_found_under_kerbs_and_walls(
            pitch in -0.1f64..0.1,
            roll in -0.08f64..0.08,
            height in 1.0f64..2.2,
        ) {
            let down = Vector3::new(roll, 1.0, pitch).normalize();
            let mut points = Vec::new();
            for row in 0..12 {
                for column in 0..20 {
                    let ray = Vector3::new(column as f64 * 0.06 - 0.57, 0.12 + row as f64 * 0.035, 1.0);
                    let ground = down.dot(&ray) / height;
                    let wrong = (row * 20 + column) % 4 == 0;
                    let jitter = 1.0 + 0.02 * (((row * 7 + column * 13) % 11) as f64 / 5.0 - 1.0);
                    points.push((ray, if wrong { ground * 1.8 } else { ground * jitter }));
                }
            }
            let plane = fit(&points, &Vector3::y(), 1.5).unwrap();
            prop_assert!((plane.height / height - 1.0).abs() < 0.03);
            prop_assert!(plane.down_in_camera.angle(&down) < 0.01);
        }
    }

    #[test]
    fn a_wall_is_no_ground() {
        let wall: Vec<_> = (0..100)
            .map(|index| {
                (
                    Vector3::new((index % 10) as f64 * 0.1 - 0.5, (index / 10) as f64 * 0.05, 1.0),
                    0.2,
                )
            })
            .collect();
        assert!(fit(&wall, &Vector3::y(), 1.5).is_none());
    }
}
