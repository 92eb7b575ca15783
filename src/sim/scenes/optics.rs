//! Cameras: intrinsics, distortion, mounting, frame rate and its jitter.

use std::ops::Range;

use nalgebra::Point2;

use super::draw::Draw;
use crate::camera::{Camera, Distortion, Intrinsics, IntrinsicsSource, Mounting, MountingSource};
use crate::sim::world::WorldSettings;

/// Frame rates of common cameras.
const FRAME_RATES: [f64; 9] = [10.0, 12.5, 15.0, 20.0, 24.0, 25.0, 25.0, 29.97, 30.0];

/// Intrinsics with a horizontal field of view from `fov_deg` (unless the settings say), a principal point off the middle,
/// and in two worlds of five a lens with distortion.
pub(super) fn intrinsics(draw: &mut Draw, settings: &WorldSettings, fov_deg: Range<f64>) -> Intrinsics {
    let drawn_deg = draw.uniform(fov_deg);
    let fov_rad = settings.horizontal_fov_deg.unwrap_or(drawn_deg).to_radians();
    let (width, height) = (settings.width, settings.height);
    let shift = [(); 2].map(|()| draw.normal(0.0, 0.006, -0.015..0.015));
    let mut strength = if draw.chance(0.4) { 1.0 } else { 0.0 };
    let k1 = draw.uniform(-0.3..0.1);
    let k2 = draw.uniform(-0.02..0.04);
    let p = [(); 2].map(|()| draw.normal(0.0, 0.0005, -0.001..0.001));
    loop {
        let distortion = if strength < 0.05 {
            Distortion::None
        } else {
            Distortion::BrownConrady {
                k: [strength * k1, strength * k2, 0.0],
                p: p.map(|value| strength * value),
            }
        };
        match Intrinsics::with_distortion(fov_rad, width, height, distortion) {
            Ok(mut intrinsics) => {
                intrinsics.cx += shift[0] * f64::from(width);
                intrinsics.cy += shift[1] * f64::from(width);
                if sees_its_surroundings(&intrinsics) || strength == 0.0 {
                    return intrinsics;
                }
            }
            // Only a lens can be at fault: the size and the field of view were checked by `World::new`.
            Err(error) => assert!(strength > 0.0, "a pinhole of {fov_rad} rad: {error}"),
        }
        strength = if strength < 0.05 { 0.0 } else { 0.7 * strength };
    }
}

/// Whether the distortion polynomial reaches well beyond the picture's corners, as that of a real lens does.
fn sees_its_surroundings(intrinsics: &Intrinsics) -> bool {
    let (width, height) = (f64::from(intrinsics.width), f64::from(intrinsics.height));
    [-0.15, 1.15].iter().all(|x| {
        [-0.15, 1.15]
            .iter()
            .all(|y| intrinsics.unproject(&Point2::new(x * width, y * height)).is_ok())
    })
}

/// The camera as its owner measured it.
pub(super) fn camera(intrinsics: Intrinsics, mounting: Mounting) -> Camera {
    Camera {
        intrinsics,
        intrinsics_source: IntrinsicsSource::Calibrated,
        mounting: Some(mounting),
        mounting_source: MountingSource::Measured,
    }
}

/// Roll of a camera that was put up by hand, radians.
pub(super) fn roll_rad(draw: &mut Draw) -> f64 {
    draw.normal(0.0, 0.8, -2.0..2.0).to_radians()
}

/// Frames a second, and the jitter of the time between them as a share of it.
pub(super) fn timing(draw: &mut Draw, settings: &WorldSettings) -> (f64, f64) {
    let drawn = FRAME_RATES[draw.below(FRAME_RATES.len())];
    let jitter = if draw.chance(0.5) {
        draw.uniform(0.0..0.02)
    } else {
        draw.uniform(0.02..0.1)
    };
    (settings.frame_rate.unwrap_or(drawn), jitter)
}
