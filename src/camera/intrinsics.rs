//! Intrinsics: how a point in front of the camera becomes a pixel.

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

/// How well the intrinsics are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IntrinsicsSource {
    /// From a calibration.
    Calibrated,
    /// From an assumed field of view.
    AssumedFieldOfView,
    /// Estimated from the video.
    Estimated,
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
