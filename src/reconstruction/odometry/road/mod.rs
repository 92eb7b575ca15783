//! The road under the camera, from pictures compared directly: how well they agree when the camera has moved along it by so
//! much (`shift`), which speed that makes likely (`speed`), and which plane the road is (`plane`).
//!
//! Asphalt has hardly a corner that could be followed, but much faint texture, and paint that is as clear as it is
//! repetitive. So grey values are compared over the whole road at once.

mod plane;
mod shift;
mod speed;

use nalgebra::Vector3;

pub(super) use plane::find;
pub(super) use shift::{Agreement, Along, Standing};
pub(super) use speed::{Believed, SpeedBelief};

/// What is expected of the road, in map units.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoadPrior {
    /// Downward in the camera frame now.
    pub down_in_camera: Vector3<f64>,
    /// Height of the camera over the road.
    pub height: f64,
    /// Standard deviation of the height's logarithm.
    pub height_sigma: f64,
    /// Standard deviation of the tilt, radians.
    pub tilt_sigma_rad: f64,
}

/// Where road is looked for: depth and distance to the side, in heights of the camera.
const DEPTHS: (f64, f64) = (1.2, 14.0);
const ASIDE: f64 = 4.0;
