//! Lens distortion: from a ray to normalised image coordinates and back.
//!
//! The polynomials describe a lens only as far as they grow: beyond that they fold back, and a point at the side of the
//! camera would appear in the middle of the picture. Both directions therefore stop where the polynomial's derivative
//! first reaches zero.

use std::f64::consts::PI;

use nalgebra::{Matrix2, Unit, Vector2, Vector3};

/// Lens distortion.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Distortion {
    /// A pinhole.
    #[default]
    None,
    /// Brown–Conrady, OpenCV's order (k1, k2, p1, p2, k3).
    BrownConrady {
        /// Radial.
        k: [f64; 3],
        /// Tangential.
        p: [f64; 2],
    },
    /// Equidistant fisheye, OpenCV's four coefficients.
    Fisheye {
        /// θ_d = θ (1 + k₁θ² + k₂θ⁴ + k₃θ⁶ + k₄θ⁸).
        k: [f64; 4],
    },
}

/// Why normalised coordinates have no ray.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum NoRay {
    /// They lie outside of what the polynomial describes.
    BeyondLens,
    /// The iteration did not settle; how far it is off in normalised coordinates.
    NotConverged(f64),
}

/// The largest tangent of a pinhole's or Brown–Conrady ray that is considered: 89.94°.
const MAX_TANGENT: f64 = 1000.0;

impl Distortion {
    /// The coefficients, zero-padded, of the radial polynomial r (1 + k₁r² + k₂r⁴ + …).
    fn radial(&self) -> [f64; 4] {
        match *self {
            Self::None => [0.0; 4],
            Self::BrownConrady { k, .. } => [k[0], k[1], k[2], 0.0],
            Self::Fisheye { k } => k,
        }
    }

    /// The largest r (Brown–Conrady: tangent of the angle to the axis; fisheye: the angle) that could be asked for.
    fn r_bound(&self) -> f64 {
        match self {
            Self::Fisheye { .. } => PI,
            _ => MAX_TANGENT,
        }
    }

    /// Normalised coordinates of a point or direction in the camera frame; `None` where the lens does not see it.
    pub(super) fn distort(&self, ray: &Vector3<f64>) -> Option<Vector2<f64>> {
        let xy = match self {
            Self::Fisheye { k } => {
                let across = ray.x.hypot(ray.y);
                let theta = across.atan2(ray.z);
                if theta >= PI || !is_rising_to(k, theta) {
                    return None;
                }
                // At the axis both vanish, and so does what they would scale.
                let scale = if across > 0.0 { grown(k, theta) / across } else { 0.0 };
                ray.xy() * scale
            }
            _ if ray.z <= 0.0 => return None,
            Self::None => ray.xy() / ray.z,
            Self::BrownConrady { k, p } => {
                let xy = ray.xy() / ray.z;
                if !is_rising_to(k, xy.norm()) {
                    return None;
                }
                let (distorted, jacobian) = brown_conrady(k, p, &xy);
                if jacobian.determinant() <= 0.0 {
                    return None;
                }
                distorted
            }
        };
        (xy.x.is_finite() && xy.y.is_finite()).then_some(xy)
    }

    /// The ray in the camera frame that is seen at normalised coordinates.
    pub(super) fn undistort(&self, xy: &Vector2<f64>) -> Result<Unit<Vector3<f64>>, NoRay> {
        match self {
            Self::None => Ok(Unit::new_normalize(xy.push(1.0))),
            Self::Fisheye { k } => {
                let grown = xy.norm();
                let theta = self.shrunk(grown)?;
                if theta >= PI || !is_rising_to(k, theta) {
                    return Err(NoRay::BeyondLens);
                }
                let across = if grown > 0.0 {
                    xy * (theta.sin() / grown)
                } else {
                    Vector2::zeros()
                };
                Ok(Unit::new_normalize(across.push(theta.cos())))
            }
            Self::BrownConrady { k, p } => self.undistort_brown_conrady(k, p, xy),
        }
    }

    fn undistort_brown_conrady(
        &self,
        k: &[f64; 3],
        p: &[f64; 2],
        target: &Vector2<f64>,
    ) -> Result<Unit<Vector3<f64>>, NoRay> {
        let grown = target.norm();
        let radius = match self.shrunk(grown) {
            Ok(radius) => radius,
            // The tangential part may bring the point back inside; the iteration tells.
            Err(NoRay::BeyondLens) if *p != [0.0; 2] => 0.99 * self.limit(),
            Err(no_ray) => return Err(no_ray),
        };
        let mut xy = if grown > 0.0 {
            target * (radius / grown)
        } else {
            Vector2::zeros()
        };
        let tolerance = 1e-12 * (1.0 + grown);
        let mut off = f64::INFINITY;
        for _ in 0..30 {
            let (distorted, jacobian) = brown_conrady(k, p, &xy);
            let residual = target - distorted;
            off = residual.norm();
            if off <= tolerance {
                break;
            }
            match jacobian.try_inverse() {
                Some(inverse) => xy += inverse * residual,
                None => break,
            }
        }
        if off.is_nan() || off > 1e3 * tolerance {
            return Err(NoRay::NotConverged(off));
        }
        let ray = Unit::new_normalize(xy.push(1.0));
        // A solution on the far side of a fold is not what the lens shows there.
        if self.distort(&ray).is_none() {
            return Err(NoRay::BeyondLens);
        }
        Ok(ray)
    }

    /// Solves r (1 + k₁r² + …) = `grown` for r on the rising part of the polynomial.
    fn shrunk(&self, grown_target: f64) -> Result<f64, NoRay> {
        let k = self.radial();
        let tolerance = 1e-13 * (1.0 + grown_target);
        let mut r = grown_target.min(self.r_bound());
        for _ in 0..20 {
            let off = grown(&k, r) - grown_target;
            if off.abs() <= tolerance {
                break;
            }
            r -= off / slope(&k, r);
        }
        if r >= 0.0 && (grown(&k, r) - grown_target).abs() <= tolerance && is_rising_to(&k, r) {
            return Ok(r);
        }
        // Newton left the rising part, or there is no solution on it.
        let (mut low, mut high) = (0.0, self.limit());
        if grown_target.is_nan() || grown(&k, high) < grown_target {
            return Err(NoRay::BeyondLens);
        }
        while high - low > f64::EPSILON * high {
            let middle = 0.5 * (low + high);
            if middle <= low || middle >= high {
                break;
            }
            if grown(&k, middle) < grown_target {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The r at which the polynomial stops rising, at most [`Distortion::r_bound`].
    pub(super) fn limit(&self) -> f64 {
        let bound = self.r_bound();
        first_root(&slope_coefficients(&self.radial()), bound * bound).map_or(bound, f64::sqrt)
    }

    /// The largest angle between the optical axis and a ray that the model describes, radians.
    pub(super) fn max_angle_rad(&self) -> f64 {
        match self {
            Self::Fisheye { .. } => self.limit(),
            _ => self.limit().atan(),
        }
    }
}

/// Distorted normalised coordinates (OpenCV's `calib3d` documentation) and their derivative.
fn brown_conrady(k: &[f64; 3], p: &[f64; 2], xy: &Vector2<f64>) -> (Vector2<f64>, Matrix2<f64>) {
    let (x, y) = (xy.x, xy.y);
    let s = xy.norm_squared();
    let radial = 1.0 + s * (k[0] + s * (k[1] + s * k[2]));
    let radial_slope = k[0] + s * (2.0 * k[1] + s * 3.0 * k[2]);
    let distorted = Vector2::new(
        x * radial + 2.0 * p[0] * x * y + p[1] * (s + 2.0 * x * x),
        y * radial + p[0] * (s + 2.0 * y * y) + 2.0 * p[1] * x * y,
    );
    let mixed = 2.0 * (x * y * radial_slope + p[0] * x + p[1] * y);
    let jacobian = Matrix2::new(
        radial + 2.0 * x * x * radial_slope + 2.0 * p[0] * y + 6.0 * p[1] * x,
        mixed,
        mixed,
        radial + 2.0 * y * y * radial_slope + 6.0 * p[0] * y + 2.0 * p[1] * x,
    );
    (distorted, jacobian)
}

/// r (1 + k₁r² + k₂r⁴ + …).
fn grown(k: &[f64], r: f64) -> f64 {
    let s = r * r;
    r * (1.0 + s * k.iter().rev().fold(0.0, |sum, k| sum * s + k))
}

/// The derivative of [`grown`].
fn slope(k: &[f64], r: f64) -> f64 {
    let s = r * r;
    let odd = |index: usize| (2 * index + 3) as f64;
    1.0 + s * k.iter().enumerate().rev().fold(0.0, |sum, (i, k)| sum * s + odd(i) * k)
}

/// The derivative of [`grown`] as a polynomial in s = r².
fn slope_coefficients(k: &[f64]) -> [f64; 5] {
    let mut coefficients = [1.0, 0.0, 0.0, 0.0, 0.0];
    for (index, (to, k)) in coefficients[1..].iter_mut().zip(k).enumerate() {
        *to = (2 * index + 3) as f64 * k;
    }
    coefficients
}

/// Whether [`grown`] rises all the way from 0 to `r`.
fn is_rising_to(k: &[f64], r: f64) -> bool {
    let s = r * r;
    // With the negative terms alone the slope only falls: where that is above zero, all before it is.
    let pessimistic = |sum: f64, (i, k): (usize, &f64)| sum * s + (2 * i + 3) as f64 * k.min(0.0);
    if 1.0 + s * k.iter().enumerate().rev().fold(0.0, pessimistic) > 0.0 {
        return true;
    }
    s.is_finite() && first_root(&slope_coefficients(k), s).is_none()
}

/// The smallest x in (0, `bound`] where a polynomial (constant term first) changes its sign.
fn first_root(coefficients: &[f64; 5], bound: f64) -> Option<f64> {
    let (roots, count) = sign_changes(coefficients, 4, bound);
    (count > 0).then_some(roots[0])
}

/// All sign changes of a polynomial of at most the 4th degree in (0, `bound`], in order: between two stationary points,
/// which are the derivative's sign changes, there is at most one.
fn sign_changes(coefficients: &[f64; 5], degree: usize, bound: f64) -> ([f64; 4], usize) {
    let mut found = ([0.0; 4], 0);
    if degree == 0 {
        return found;
    }
    let value = |x: f64| coefficients.iter().rev().fold(0.0, |sum, c| sum * x + c);
    let mut derivative = [0.0; 5];
    for (index, c) in coefficients.iter().enumerate().skip(1) {
        derivative[index - 1] = index as f64 * c;
    }
    let (stationary, count) = sign_changes(&derivative, degree - 1, bound);
    let mut from = 0.0;
    for &to in stationary[..count].iter().chain([&bound]) {
        let rises = value(from) < 0.0;
        if (value(to) < 0.0) != rises || value(to) == 0.0 {
            let (mut low, mut high) = (from, to);
            for _ in 0..200 {
                let middle = 0.5 * (low + high);
                if middle <= low || middle >= high {
                    break;
                }
                if (value(middle) < 0.0) == rises && value(middle) != 0.0 {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            if found.1 < found.0.len() {
                found.0[found.1] = high;
                found.1 += 1;
            }
        }
        from = to;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_root_is_the_smallest() {
        // (x − 1)(x − 2)(x − 3)(x − 4)
        let quartic = [24.0, -50.0, 35.0, -10.0, 1.0];
        let (roots, count) = sign_changes(&quartic, 4, 10.0);
        assert_eq!(count, 4);
        for (root, expected) in roots.iter().zip([1.0, 2.0, 3.0, 4.0]) {
            assert!((root - expected).abs() < 1e-9, "{roots:?}");
        }
        assert_eq!(first_root(&quartic, 0.5), None);
        assert_eq!(first_root(&[1.0, 0.0, 1.0, 0.0, 0.0], 1e6), None);
        assert_eq!(first_root(&[1.0, -0.5, 0.0, 0.0, 0.0], 1e6), Some(2.0));
    }

    #[test]
    fn barrel_distortion_stops_where_it_would_fold_back() {
        // r (1 − r²/3) rises up to r = 1, where it is 2/3.
        let lens = Distortion::BrownConrady {
            k: [-1.0 / 3.0, 0.0, 0.0],
            p: [0.0; 2],
        };
        assert!((lens.limit() - 1.0).abs() < 1e-9);
        assert!(lens.distort(&Vector3::new(0.99, 0.0, 1.0)).is_some());
        assert!(lens.distort(&Vector3::new(1.01, 0.0, 1.0)).is_none());
        assert_eq!(lens.undistort(&Vector2::new(0.67, 0.0)), Err(NoRay::BeyondLens));
        assert!(lens.undistort(&Vector2::new(0.66, 0.0)).is_ok());
    }

    #[test]
    fn a_fisheye_sees_behind_itself() {
        let lens = Distortion::Fisheye { k: [0.0; 4] };
        let ray = Vector3::new(1.0, 0.0, -0.2);
        let seen = lens.distort(&ray).unwrap();
        assert!(seen.x > std::f64::consts::FRAC_PI_2);
        assert!((lens.undistort(&seen).unwrap().into_inner() - ray.normalize()).norm() < 1e-12);
        assert!(lens.distort(&-Vector3::z()).is_none());
        assert!(Distortion::None.distort(&ray).is_none());
    }
}
