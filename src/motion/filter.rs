//! The extended Kalman filter of one object under one hypothesis of motion.
//!
//! State, 11 numbers: position p and velocity v in the world (SI), the errors of the three distance cues and the two errors
//! of the direction, each in units of its own standard deviation. The errors are what makes the covariance true: an error
//! that stays with the object (its own size against its class's) or wanders over a second (a depth network's) must not be
//! averaged away as if it were new in every frame. Each is a first-order Gauss–Markov process (Bar-Shalom, Li,
//! Kirubarajan, "Estimation with Applications to Tracking and Navigation", 2001, section 8.2: state augmentation for
//! coloured measurement noise).
//!
//! Measurements are scalars with independent white noise, taken one after another: two directions and the logarithm of
//! each distance.

use nalgebra::{Matrix3, Point3, SMatrix, SVector, Unit, Vector3};

use crate::reconstruction::{CueKind, Observation};

pub(super) const DIM: usize = 11;
const VELOCITY: usize = 3;
const CUES: usize = 6;
const BEARING: usize = 9;
/// Number of error states: three cues, two directions.
pub(super) const ERRORS: usize = 5;

/// Number of sorts of measurements: two directions and the distance.
pub(super) const SORTS: usize = 3;

/// Nearer than this nothing is measured: directions lose their meaning.
const LEAST_RANGE_M: f64 = 0.1;

pub(super) type Vector = SVector<f64, DIM>;
pub(super) type Covariance = SMatrix<f64, DIM, DIM>;

/// The error of one measurement: a white part, and one that wanders about zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct ErrorModel {
    /// Variance of the white part.
    pub white: f64,
    /// Standard deviation of the part that wanders.
    pub sigma: f64,
    /// How fast that one forgets, 1/s.
    pub rate: f64,
}

/// The error models of the three cues and the two directions.
pub(super) type Errors = [ErrorModel; ERRORS];

/// How the object is assumed to move between two frames.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Motion {
    /// At rest: no velocity, and a position that creeps by this much per √s, metres.
    Standing { creep_m: f64, velocity_sigma_mps: f64 },
    /// Constant velocity disturbed by white acceleration; spectral densities in (m/s²)²·s, level and upright.
    Moving { level: f64, upright: f64 },
}

/// Mean and covariance.
#[derive(Clone, Debug)]
pub(super) struct Estimate {
    pub mean: Vector,
    pub covariance: Covariance,
}

impl Estimate {
    /// Before anything is measured: somewhere around `position`.
    pub fn born(position: Point3<f64>, position_sigma_m: f64, velocity_sigma: Vector3<f64>) -> Self {
        let mut mean = Vector::zeros();
        mean.fixed_rows_mut::<3>(0).copy_from(&position.coords);
        let mut covariance = Covariance::zeros();
        for axis in 0..3 {
            covariance[(axis, axis)] = position_sigma_m.powi(2);
            covariance[(VELOCITY + axis, VELOCITY + axis)] = velocity_sigma[axis].powi(2);
        }
        for index in CUES..DIM {
            covariance[(index, index)] = 1.0;
        }
        Self { mean, covariance }
    }

    pub fn position(&self) -> Point3<f64> {
        Point3::new(self.mean[0], self.mean[1], self.mean[2])
    }

    pub fn velocity(&self) -> Vector3<f64> {
        Vector3::new(self.mean[3], self.mean[4], self.mean[5])
    }

    /// The state `dt_s` later, and the product P Fᵀ that a smoother needs to come back.
    pub fn predicted(&self, dt_s: f64, motion: Motion, errors: &Errors) -> (Self, Covariance) {
        let mut decay = [0.0; ERRORS];
        for (decay, error) in decay.iter_mut().zip(errors) {
            *decay = (-error.rate * dt_s).exp();
        }
        // F is the identity but for p ← p + v·dt (moving) or v ← 0 (standing), and the decay of the errors.
        let mut mean = self.mean;
        let mut cross = self.covariance;
        match motion {
            Motion::Moving { .. } => {
                for axis in 0..3 {
                    mean[axis] += dt_s * mean[VELOCITY + axis];
                    for row in 0..DIM {
                        cross[(row, axis)] += dt_s * cross[(row, VELOCITY + axis)];
                    }
                }
            }
            Motion::Standing { .. } => {
                for axis in VELOCITY..CUES {
                    mean[axis] = 0.0;
                    cross.column_mut(axis).fill(0.0);
                }
            }
        }
        for (index, decay) in decay.iter().enumerate() {
            mean[CUES + index] *= decay;
            cross.column_mut(CUES + index).scale_mut(*decay);
        }
        let mut covariance = cross;
        match motion {
            Motion::Moving { level, upright } => {
                for axis in 0..3 {
                    for column in 0..DIM {
                        covariance[(axis, column)] += dt_s * covariance[(VELOCITY + axis, column)];
                    }
                    let density = if axis == 2 { upright } else { level };
                    let (p, v) = (axis, VELOCITY + axis);
                    let mixed = 0.5 * density * dt_s.powi(2);
                    covariance[(p, p)] += density * dt_s.powi(3) / 3.0;
                    covariance[(p, v)] += mixed;
                    covariance[(v, p)] += mixed;
                    covariance[(v, v)] += density * dt_s;
                }
            }
            Motion::Standing {
                creep_m,
                velocity_sigma_mps,
            } => {
                for axis in 0..3 {
                    covariance.row_mut(VELOCITY + axis).fill(0.0);
                    covariance[(axis, axis)] += creep_m.powi(2) * dt_s;
                    covariance[(VELOCITY + axis, VELOCITY + axis)] = velocity_sigma_mps.powi(2);
                }
            }
        }
        for (index, decay) in decay.iter().enumerate() {
            covariance.row_mut(CUES + index).scale_mut(*decay);
            covariance[(CUES + index, CUES + index)] += 1.0 - decay * decay;
        }
        (Self { mean, covariance }, cross)
    }

    /// What a measurement would change.
    pub fn innovation(&self, measurement: &Measurement) -> Innovation {
        let (residual, gradient) = measurement.residual(self.position(), &self.mean);
        let (error, sigma) = (CUES + measurement.error, measurement.model.sigma);
        let mut gain = self.covariance.column(error) * sigma;
        for axis in 0..3 {
            gain.axpy(gradient[axis], &self.covariance.column(axis), 1.0);
        }
        let variance = gradient.dot(&Vector3::new(gain[0], gain[1], gain[2])) + gain[error] * sigma;
        Innovation {
            camera: measurement.camera,
            residual,
            variance: variance.max(0.0) + measurement.model.white,
            gain,
        }
    }

    /// Takes a measurement whose white noise is widened by `inflation` (a variance is added).
    pub fn update(&mut self, innovation: &Innovation, inflation: f64) {
        let variance = innovation.variance + inflation;
        let line = self.position() - innovation.camera;
        self.mean.axpy(innovation.residual / variance, &innovation.gain, 1.0);
        self.covariance
            .ger(-1.0 / variance, &innovation.gain, &innovation.gain, 1.0);
        self.carry_along(&line, &(self.position() - innovation.camera));
    }

    /// Turns and stretches the position's covariance with the line of sight, as if it were held in polar coordinates: what
    /// is not known of the distance must stay along the line when a direction moves the line. In fixed axes each noisy
    /// direction would cut a little off it, and the distance would wander away with false confidence (Aidala and Hammel,
    /// "Utilization of modified polar coordinates for bearings-only tracking", 1983).
    fn carry_along(&mut self, before: &Vector3<f64>, after: &Vector3<f64>) {
        let (from, to) = (before.norm(), after.norm());
        if !(from > LEAST_RANGE_M && to > LEAST_RANGE_M) {
            return;
        }
        let (u, w) = (before / from, after / to);
        let cosine = u.dot(&w);
        if cosine < 0.0 {
            return;
        }
        // The smallest turn of u into w (Rodrigues), without an angle: it holds where they are equal.
        let cross = u.cross(&w).cross_matrix();
        let turn = Matrix3::identity() + cross + cross * cross / (1.0 + cosine);
        let carried = turn * (to / from);
        let rows = carried * self.covariance.fixed_rows::<3>(0);
        self.covariance.fixed_rows_mut::<3>(0).copy_from(&rows);
        let columns = self.covariance.fixed_columns::<3>(0) * carried.transpose();
        self.covariance.fixed_columns_mut::<3>(0).copy_from(&columns);
    }

    /// Whether all numbers are finite and all variances positive.
    pub fn is_sound(&self) -> bool {
        let finite = self
            .mean
            .iter()
            .chain(self.covariance.iter())
            .all(|value| value.is_finite());
        finite && (0..DIM).all(|index| self.covariance[(index, index)] > 0.0)
    }
}

/// Residual, its variance, and P Hᵀ.
#[derive(Clone, Debug)]
pub(super) struct Innovation {
    camera: Point3<f64>,
    pub residual: f64,
    pub variance: f64,
    pub gain: Vector,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Direction across the line of sight, along this unit vector.
    Across(Vector3<f64>),
    /// Logarithm of the distance.
    LogRange(f64),
}

/// One scalar measurement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measurement {
    camera: Point3<f64>,
    kind: Kind,
    /// Index of the error state that it carries.
    error: usize,
    model: ErrorModel,
}

impl Measurement {
    /// What it measures: one of the two directions (0, 1) or the distance (2), whichever cue it is from.
    pub fn sort(&self) -> usize {
        match self.kind {
            Kind::Across(_) => self.error - (BEARING - CUES),
            Kind::LogRange(_) => SORTS - 1,
        }
    }

    /// Residual, and gradient of the measurement with respect to the position.
    fn residual(&self, position: Point3<f64>, mean: &Vector) -> (f64, Vector3<f64>) {
        let line = position - self.camera;
        let range = line.norm().max(LEAST_RANGE_M);
        let error = mean[CUES + self.error] * self.model.sigma;
        match self.kind {
            Kind::Across(axis) => {
                // The measured direction is not quite the line: without the second term noise would have a pull along the
                // line of sight, always towards the camera.
                let along = axis.dot(&line) / range;
                (-along - error, (axis - line * (along / range)) / range)
            }
            Kind::LogRange(log_range) => (log_range - range.ln() - error, line / (range * range)),
        }
    }

    /// The measurements in an observation.
    pub fn of(observation: &Observation, errors: &Errors) -> impl Iterator<Item = Self> {
        let camera = observation.camera_in_world;
        let (e1, e2) = across(&observation.bearing_in_world);
        let directions = [(e1, 0), (e2, 1)]
            .into_iter()
            .map(move |(axis, index)| (Kind::Across(axis), 3 + index));
        let cues = CueKind::ALL.into_iter().filter_map(|kind| {
            let cue = observation.cues[kind.index()]?;
            Some((Kind::LogRange(cue.range_m.ln()), kind.index()))
        });
        directions.chain(cues).map(move |(kind, error)| Self {
            camera,
            kind,
            error,
            model: errors[error],
        })
    }
}

const _: () = assert!(BEARING == CUES + 3 && CUES + ERRORS == DIM);

/// Two unit vectors across a direction: level, and the one that completes the right-handed frame.
pub(super) fn across(direction: &Unit<Vector3<f64>>) -> (Vector3<f64>, Vector3<f64>) {
    let level = Vector3::z()
        .cross(direction)
        .try_normalize(1e-6)
        .unwrap_or_else(Vector3::y);
    (level, direction.cross(&level))
}

#[cfg(test)]
mod tests {
    use nalgebra::Unit;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    #[test]
    fn directions_alone_say_nothing_about_the_distance() {
        const SIGMA_RAD: f64 = 0.002;
        let camera = Point3::new(0.0, 0.0, 6.0);
        let position = Point3::new(40.0, -5.0, 0.7);
        let line = position - camera;
        let mut errors = Errors::default();
        for error in &mut errors[BEARING - CUES..] {
            *error = ErrorModel {
                white: SIGMA_RAD * SIGMA_RAD,
                sigma: 0.0,
                rate: 1.0,
            };
        }
        let motion = Motion::Standing {
            creep_m: 0.0,
            velocity_sigma_mps: 0.01,
        };
        let mut random = StdRng::seed_from_u64(3);
        let mut estimate = Estimate::born(position, 8.0, Vector3::repeat(1.0));
        for _ in 0..200 {
            estimate = estimate.predicted(0.04, motion, &errors).0;
            let (e1, e2) = across(&Unit::new_normalize(line));
            let mut noise = || -> f64 { SIGMA_RAD * Distribution::<f64>::sample(&StandardNormal, &mut random) };
            let seen = line.normalize() + e1 * noise() + e2 * noise();
            let observation = Observation {
                camera_in_world: camera,
                bearing_in_world: Unit::new_normalize(seen),
                bearing_sigma_rad: SIGMA_RAD,
                bearing_bias_rad: 0.0,
                completed: false,
                cues: [None; 3],
                scale_sigma: 0.0,
                tilt_sigma_rad: 0.0,
            };
            for measurement in Measurement::of(&observation, &errors) {
                estimate.update(&estimate.innovation(&measurement), 0.0);
            }
        }
        let range = (estimate.position() - camera).norm();
        assert!(
            (range / line.norm() - 1.0).abs() < 0.05,
            "{range} m of {} m",
            line.norm()
        );
    }
}
