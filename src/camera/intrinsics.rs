//! Intrinsics: how a point in front of the camera becomes a pixel.
//!
//! Pixel coordinates count from the picture's top-left corner, so the centre of the first pixel is (0.5, 0.5) and a
//! resized picture needs nothing but a factor. (OpenCV counts from that pixel's centre: its cx and cy are 0.5 less.)

use std::f64::consts::{PI, TAU};

use nalgebra::{Point2, Point3, Unit, Vector2, Vector3};
use thiserror::Error;

use super::distortion::{Distortion, NoRay};

/// How well the intrinsics are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IntrinsicsSource {
    /// From a calibration.
    Calibrated,
    /// From a field of view that the camera file states, say from a data sheet.
    StatedFieldOfView,
    /// From an assumed field of view.
    AssumedFieldOfView,
    /// Estimated from the video.
    Estimated,
}

impl IntrinsicsSource {
    /// Relative standard deviation of the focal length: what a distance from a known size is uncertain by on this account
    /// alone. Common to all frames, so it does not average out.
    ///
    /// A calibration is good to half a percent, a data sheet to some percent. Common cameras (phones, webcams, dash and
    /// surveillance cameras without a tele lens) have fields of view between 50° and 100°, which is a factor of 1.6 up or
    /// down from the assumed 70°; that is taken as one and a half standard deviations.
    pub fn relative_focal_sigma(self) -> f64 {
        match self {
            Self::Calibrated => 0.005,
            Self::StatedFieldOfView => 0.05,
            Self::AssumedFieldOfView => 0.3,
            Self::Estimated => 0.1,
        }
    }
}

/// Pinhole intrinsics with distortion, for a picture of a given size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Intrinsics {
    /// Focal length across, pixels.
    pub fx: f64,
    /// Focal length down, pixels.
    pub fy: f64,
    /// Principal point, pixels from the left edge.
    pub cx: f64,
    /// Principal point, pixels from the top edge.
    pub cy: f64,
    /// Picture width, pixels.
    pub width: u32,
    /// Picture height, pixels.
    pub height: u32,
    /// Lens distortion.
    pub distortion: Distortion,
}

/// Why numbers do not make intrinsics.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
pub enum IntrinsicsError {
    /// Width or height is zero.
    #[error("a picture needs at least one pixel, found {width}×{height}")]
    Empty {
        /// Width found.
        width: u32,
        /// Height found.
        height: u32,
    },
    /// No such lens has that field of view.
    #[error("a horizontal field of view lies between 0° and {most_deg}°, found {found_deg}°")]
    FieldOfView {
        /// Degrees that the model cannot reach.
        most_deg: f64,
        /// Degrees found.
        found_deg: f64,
    },
    /// The distortion polynomial folds back within the field of view.
    #[error("the distortion describes a field of view of at most {most_deg:.1}°, found {found_deg}°")]
    BeyondLens {
        /// Degrees up to which the polynomial rises.
        most_deg: f64,
        /// Degrees found.
        found_deg: f64,
    },
}

/// Why a pixel has no ray.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
pub enum UnprojectError {
    /// The pixel lies where the distortion model would fold back: the lens shows nothing there.
    #[error("pixel ({x:.1}, {y:.1}) lies outside of what the distortion model describes")]
    BeyondLens {
        /// Pixels from the left edge.
        x: f64,
        /// Pixels from the top edge.
        y: f64,
    },
    /// The iteration did not settle.
    #[error("undistorting pixel ({x:.1}, {y:.1}) did not converge: still {residual_px:.2e} pixels off")]
    NotConverged {
        /// Pixels from the left edge.
        x: f64,
        /// Pixels from the top edge.
        y: f64,
        /// How far off the last iterate is, pixels.
        residual_px: f64,
    },
    /// The pixel is not a finite point.
    #[error("pixel ({x}, {y}) is not a finite point")]
    NotFinite {
        /// Pixels from the left edge.
        x: f64,
        /// Pixels from the top edge.
        y: f64,
    },
}

impl Intrinsics {
    /// A pinhole with square pixels and the principal point in the middle. `fov_rad` is the angle between the left and the
    /// right edge, between 0 and π.
    pub fn from_horizontal_fov(fov_rad: f64, width: u32, height: u32) -> Result<Self, IntrinsicsError> {
        Self::with_distortion(fov_rad, width, height, Distortion::None)
    }

    /// As [`Intrinsics::from_horizontal_fov`], for a lens with distortion: the angle between the edges is that of the
    /// distorted picture, and of a fisheye may exceed π.
    pub fn with_distortion(
        fov_rad: f64,
        width: u32,
        height: u32,
        distortion: Distortion,
    ) -> Result<Self, IntrinsicsError> {
        if width == 0 || height == 0 {
            return Err(IntrinsicsError::Empty { width, height });
        }
        let found_deg = fov_rad.to_degrees();
        let most_rad = if matches!(distortion, Distortion::Fisheye { .. }) {
            TAU
        } else {
            PI
        };
        if !(fov_rad > 0.0 && fov_rad < most_rad) {
            return Err(IntrinsicsError::FieldOfView {
                most_deg: most_rad.to_degrees(),
                found_deg,
            });
        }
        let (sin, cos) = (0.5 * fov_rad).sin_cos();
        let at_edge = |x: f64| distortion.distort(&Vector3::new(x, 0.0, cos)).map(|xy| xy.x.abs());
        // Half the distance between the edges; the tangential part shifts both the same way.
        let half = at_edge(-sin)
            .zip(at_edge(sin))
            .map(|(left, right)| 0.5 * (left + right));
        let focal = half.map(|half| 0.5 * f64::from(width) / half);
        match focal {
            Some(focal) if focal.is_finite() && focal > 0.0 => Ok(Self {
                fx: focal,
                fy: focal,
                cx: 0.5 * f64::from(width),
                cy: 0.5 * f64::from(height),
                width,
                height,
                distortion,
            }),
            _ => Err(IntrinsicsError::BeyondLens {
                found_deg,
                most_deg: 2.0 * distortion.max_angle_rad().to_degrees(),
            }),
        }
    }

    /// The angle between the rays at the left and the right edge in the principal point's row, radians; a lens whose
    /// distortion model ends inside the picture counts as far as it goes.
    pub fn horizontal_fov_rad(&self) -> f64 {
        let angle = |x: f64| match self.unproject(&Point2::new(x, self.cy)) {
            Ok(ray) => ray.x.hypot(ray.y).atan2(ray.z),
            Err(_) => self.distortion.max_angle_rad(),
        };
        angle(0.0) + angle(f64::from(self.width))
    }

    /// The pixel at which a point of the camera frame (x right, y down, z forward; metres) appears. It may lie outside of
    /// the picture. `None` for a point that the lens does not see: behind a pinhole, or beyond the range in which the
    /// distortion polynomial rises.
    pub fn project(&self, point_in_camera: &Point3<f64>) -> Option<Point2<f64>> {
        let xy = self.distortion.distort(&point_in_camera.coords)?;
        let pixel = Point2::new(self.fx * xy.x + self.cx, self.fy * xy.y + self.cy);
        (pixel.x.is_finite() && pixel.y.is_finite()).then_some(pixel)
    }

    /// The direction, in the camera frame, in which a pixel looks.
    pub fn unproject(&self, pixel: &Point2<f64>) -> Result<Unit<Vector3<f64>>, UnprojectError> {
        let (x, y) = (pixel.x, pixel.y);
        let xy = Vector2::new((x - self.cx) / self.fx, (y - self.cy) / self.fy);
        if !(xy.x.is_finite() && xy.y.is_finite()) {
            return Err(UnprojectError::NotFinite { x, y });
        }
        self.distortion.undistort(&xy).map_err(|no_ray| match no_ray {
            NoRay::BeyondLens => UnprojectError::BeyondLens { x, y },
            NoRay::NotConverged(off) => UnprojectError::NotConverged {
                x,
                y,
                residual_px: off * self.fx.max(self.fy),
            },
        })
    }

    /// For the same picture, resized to `width`×`height` pixels. [`super::Camera::scaled_to`] also checks that the shape
    /// is kept.
    pub fn scaled_to(&self, width: u32, height: u32) -> Self {
        let across = f64::from(width) / f64::from(self.width);
        let down = f64::from(height) / f64::from(self.height);
        Self {
            fx: self.fx * across,
            fy: self.fy * down,
            cx: self.cx * across,
            cy: self.cy * down,
            width,
            height,
            distortion: self.distortion,
        }
    }
}
