//! What one frame says about where one object is: a direction and one or more distances along it.

use nalgebra::{Matrix3, Point3, Unit, Vector3};

/// What a distance was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CueKind {
    /// A depth network's depth inside the object.
    Depth,
    /// The size of its box against the size of its class.
    Size,
    /// Where its box meets the ground plane.
    Ground,
}

impl CueKind {
    /// All cues, in the order in which they are indexed.
    pub const ALL: [Self; 3] = [Self::Depth, Self::Size, Self::Ground];

    /// Index into per-cue arrays.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// One cue for the distance of an object's centre from the camera.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RangeCue {
    /// Distance along the line of sight, metres.
    pub range_m: f64,
    /// Relative standard deviation of what changes from frame to frame.
    pub noise: f64,
    /// Relative standard deviation of what stays with the object (its own size against its class's, the camera's tilt).
    pub bias: f64,
}

impl RangeCue {
    /// Relative standard deviation in all.
    pub fn sigma(&self) -> f64 {
        self.noise.hypot(self.bias)
    }
}

/// Where one object is seen in one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    /// Optical centre, world.
    pub camera_in_world: Point3<f64>,
    /// Direction from the camera to the object's centre, world.
    pub bearing_in_world: Unit<Vector3<f64>>,
    /// Standard deviation of the direction, radians, in any direction across it: what changes from frame to frame.
    pub bearing_sigma_rad: f64,
    /// … and what stays with the object, while it is `completed`.
    pub bearing_bias_rad: f64,
    /// The edge of a fixed camera's picture cuts it, and what is beyond was added by its class's size: its direction and its
    /// distance over the ground have errors that have nothing to do with those of a whole box.
    pub completed: bool,
    /// Distances, by [`CueKind::index`].
    pub cues: [Option<RangeCue>; 3],
    /// Relative standard deviation of the scale that all objects share: an assumed focal length or camera height.
    pub scale_sigma: f64,
    /// Standard deviation of the world's vertical, radians: an unknown tilt of the camera. Motion over the ground may then
    /// show as motion up or down.
    pub tilt_sigma_rad: f64,
}

impl Observation {
    /// The distance that follows from all cues, weighted by their covariance, and its relative standard deviation;
    /// `None` without a cue.
    ///
    /// Logarithms are averaged. Where the cues scatter more than their covariances allow, the result's is widened by
    /// the ratio (Birge 1932).
    pub fn range(&self) -> Option<(f64, f64)> {
        let (mut weights, mut sum, mut count) = (0.0, 0.0, 0.0);
        for cue in self.cues.iter().flatten() {
            let weight = cue.sigma().powi(-2);
            weights += weight;
            sum += weight * cue.range_m.ln();
            count += 1.0;
        }
        if weights <= 0.0 {
            return None;
        }
        let mean = sum / weights;
        let chi2: f64 = self
            .cues
            .iter()
            .flatten()
            .map(|cue| ((cue.range_m.ln() - mean) / cue.sigma()).powi(2))
            .sum();
        let birge = if count > 1.0 {
            (chi2 / (count - 1.0)).max(1.0)
        } else {
            1.0
        };
        Some((mean.exp(), (birge / weights).sqrt()))
    }

    /// Whether two cues differ by more than three standard deviations of their difference.
    pub fn cues_disagree(&self) -> bool {
        let cues: Vec<_> = self.cues.iter().flatten().collect();
        cues.iter().enumerate().any(|(i, a)| {
            cues[i + 1..]
                .iter()
                .any(|b| (a.range_m / b.range_m).ln().abs() > 3.0 * a.sigma().hypot(b.sigma()))
        })
    }

    /// Widens every cue's errors until they agree as well as their covariances say.
    pub(crate) fn widen_to_agree(&mut self) {
        let cues = self.cues.iter().flatten();
        let fused = 1.0 / cues.map(|cue| cue.sigma().powi(-2)).sum::<f64>();
        let Some((_, sigma)) = self.range() else { return };
        let factor = sigma / fused.sqrt();
        for cue in self.cues.iter_mut().flatten() {
            cue.noise *= factor;
            cue.bias *= factor;
        }
    }

    /// The object's centre in the world with its covariance, m²: wide along the line of sight, narrow across it.
    /// `None` without a cue. The shared scale is not in it.
    pub fn position(&self) -> Option<(Point3<f64>, Matrix3<f64>)> {
        let (range_m, sigma) = self.range()?;
        let u = self.bearing_in_world.into_inner();
        let along = u * u.transpose();
        let across = Matrix3::identity() - along;
        let bearing_sigma_rad = self.bearing_sigma_rad.hypot(self.bearing_bias_rad);
        let covariance = along * (sigma * range_m).powi(2) + across * (bearing_sigma_rad * range_m).powi(2);
        Some((self.camera_in_world + u * range_m, covariance))
    }
}
