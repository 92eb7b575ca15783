//! The depth of what a landmark lies on, read from a depth map.

use nalgebra::Point2;

use super::lens::Lens;
use crate::perception::DepthMap;

/// Depth of the surface at a position and its relative standard deviation: the nearest within a small neighbourhood,
/// because a corner at a depth edge belongs to what is in front; less certain where the depths there differ.
pub(super) fn surface(depth: &DepthMap, lens: &Lens, position: &Point2<f32>) -> Option<(f64, f64)> {
    let (mut least, mut most, mut count) = (f32::INFINITY, 0.0f32, 0);
    let center = depth.at(position.x / lens.width, position.y / lens.height);
    for dy in [-2.0, 0.0, 2.0] {
        for dx in [-2.0, 0.0, 2.0] {
            if let Some(depth_m) = depth.at((position.x + dx) / lens.width, (position.y + dy) / lens.height) {
                least = least.min(depth_m);
                most = most.max(depth_m);
                count += 1;
            }
        }
    }
    if count < 5 {
        return None;
    }
    let sigma = f64::from(depth.relative_sigma);
    let spread = f64::from(most / least).ln();
    if spread > 0.1 {
        return Some((f64::from(least), sigma.max(0.5 * spread.min(1.0))));
    }
    Some((f64::from(center.unwrap_or(least)), sigma))
}
