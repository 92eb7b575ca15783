//! The camera: intrinsics with distortion, mounting, and the file that holds them.
//!
//! Camera frame: OpenCV's optical frame, x right, y down, z forward. World: ISO 8855, x forward, y left, z up.

mod distortion;
mod file;
mod intrinsics;
mod mounting;
mod write;

use nalgebra::{Isometry3, Point2, Point3};
use thiserror::Error;

pub use distortion::Distortion;
pub use intrinsics::{Intrinsics, IntrinsicsError, IntrinsicsSource, UnprojectError};
pub use mounting::{Mounting, MountingSource, ground_intersection};

/// The field of view that is assumed when nothing is known, degrees, along the picture's longer side: in the middle of
/// what phones, webcams and fixed-lens surveillance cameras have. How far off that may be:
/// [`IntrinsicsSource::relative_focal_sigma`].
pub const ASSUMED_FIELD_OF_VIEW_DEG: f64 = 70.0;

/// Standard deviation of a camera's tilt when nothing is known of its mounting, radians: any tilt from level to straight down
/// is as likely as another, so half of the variance of level motion shows as upright motion.
pub const UNKNOWN_TILT_SIGMA_RAD: f64 = std::f64::consts::FRAC_PI_4;

/// Pictures whose aspect ratios differ by more than this share are not the same picture resized. It admits the few rows
/// that codecs pad (1088 for 1080).
pub const ASPECT_TOLERANCE: f64 = 0.02;

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

/// Why a camera does not fit a picture.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
pub enum CameraError {
    /// A number is out of range.
    #[error(transparent)]
    Intrinsics(#[from] IntrinsicsError),
    /// The picture has another shape than the one the camera was described for, so it was cropped or stretched in an
    /// unknown way.
    #[error(
        "the camera is described for {}×{} pixels (aspect {:.3}), the picture has {}×{} (aspect {:.3}); \
         describe it for a picture of that shape",
        described.0, described.1, f64::from(described.0) / f64::from(described.1),
        found.0, found.1, f64::from(found.0) / f64::from(found.1),
    )]
    Aspect {
        /// Width and height the camera is described for.
        described: (u32, u32),
        /// Width and height of the picture.
        found: (u32, u32),
    },
}

impl Camera {
    /// A camera of which only the picture's size is known: the field of view is
    /// [`ASSUMED_FIELD_OF_VIEW_DEG`], and nothing is said about the mounting. What is measured with it is to be marked as
    /// unreliable.
    pub fn assumed(width: u32, height: u32) -> Result<Self, IntrinsicsError> {
        let mut intrinsics = Intrinsics::from_horizontal_fov(ASSUMED_FIELD_OF_VIEW_DEG.to_radians(), width, height)?;
        let longer_by = f64::from(height.max(width)) / f64::from(width);
        intrinsics.fx *= longer_by;
        intrinsics.fy *= longer_by;
        Ok(Self {
            intrinsics,
            intrinsics_source: IntrinsicsSource::AssumedFieldOfView,
            mounting: None,
            mounting_source: MountingSource::Assumed,
        })
    }

    /// The same camera for its picture resized to `width`×`height`; an error when the aspect ratio differs by more than
    /// [`ASPECT_TOLERANCE`].
    pub fn scaled_to(&self, width: u32, height: u32) -> Result<Self, CameraError> {
        let described = (self.intrinsics.width, self.intrinsics.height);
        if width == 0 || height == 0 || described.0 == 0 || described.1 == 0 {
            return Err(IntrinsicsError::Empty { width, height }.into());
        }
        let aspect = |(width, height): (u32, u32)| f64::from(width) / f64::from(height);
        if (aspect((width, height)) / aspect(described)).ln().abs() > ASPECT_TOLERANCE.ln_1p() {
            return Err(CameraError::Aspect {
                described,
                found: (width, height),
            });
        }
        Ok(Self {
            intrinsics: self.intrinsics.scaled_to(width, height),
            ..self.clone()
        })
    }

    /// The pose of a camera that does not move: that of its mounting. When no mounting is known the camera is taken as
    /// level, and the world's origin lies in the camera itself: lengths are right whatever the tilt, heights are relative
    /// to the camera.
    pub fn world_from_camera(&self) -> Isometry3<f64> {
        self.mounting
            .unwrap_or_else(|| Mounting::level(0.0))
            .world_from_camera()
    }

    /// Standard deviation of the tilt, radians: how far the world's vertical may be off.
    pub fn tilt_sigma_rad(&self) -> f64 {
        self.mounting
            .map_or(UNKNOWN_TILT_SIGMA_RAD, |_| self.mounting_source.tilt_sigma_rad())
    }

    /// The point of the ground (z = 0 in the world) that a pixel shows; `None` when no mounting is known, at the horizon
    /// and above, and where the lens shows nothing.
    pub fn ground_point(&self, pixel: &Point2<f64>) -> Option<Point3<f64>> {
        let world_from_camera = self.mounting?.world_from_camera();
        let ray = self.intrinsics.unproject(pixel).ok()?;
        ground_intersection(&world_from_camera, &ray, 0.0)
    }
}

#[cfg(test)]
mod tests;
