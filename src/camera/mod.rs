//! The camera: intrinsics with distortion, mounting, and the file that holds them.

mod intrinsics;
mod mounting;

pub use intrinsics::{Distortion, Intrinsics, IntrinsicsSource};
pub use mounting::{Mounting, MountingSource};

/// One camera: what a pixel means and where the camera hangs.
#[derive(Clone, Debug, PartialEq)]
pub struct Camera {
    /// Focal lengths, principal point, distortion.
    pub intrinsics: Intrinsics,
    /// Whether the intrinsics are calibrated or assumed.
    pub intrinsics_source: IntrinsicsSource,
    /// Height and tilt over the ground; `None` when nothing is known or assumed about it.
    pub mounting: Option<Mounting>,
    /// Whether the mounting is measured or assumed.
    pub mounting_source: MountingSource,
}
