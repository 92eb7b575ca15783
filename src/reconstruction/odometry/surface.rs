//! The depth of what a landmark lies on, read from a depth map.

use nalgebra::Point2;

use super::lens::Lens;
use crate::perception::DepthMap;

/// Pixels between the depths that are looked at.
const STEP: f32 = 2.0;
/// Depths that differ by less than this belong to one surface, whatever its shape.
const ALIKE: f64 = 0.1;
/// How far the middle may lie off the mean of its neighbours on a slanted plane: a share of their difference, and of
/// itself.
const UNEVEN: (f32, f32) = (0.25, 0.02);

/// Networks know what is near better than they state, and hardly tell one hundred metres from two: their relative error
/// is this share of the stated one at the lens and grows by as much as is stated every so many metres.
const NEAR_SHARE: f64 = 0.4;
const USUAL_M: f64 = 25.0;

/// Depth of the surface at a position and its relative standard deviation. A corner at a depth edge belongs to what is in
/// front, so there it is the nearest within a small neighbourhood, and less certain. A plane that is seen at a grazing
/// angle, such as a road, is no edge, however much the depths differ: its inverse depth changes evenly.
pub(super) fn surface(depth: &DepthMap, lens: &Lens, position: &Point2<f32>) -> Option<(f64, f64)> {
    let at = |dx: f32, dy: f32| {
        depth.at(
            (position.x + STEP * dx) / lens.width,
            (position.y + STEP * dy) / lens.height,
        )
    };
    let center = at(0.0, 0.0);
    let (mut least, mut most, mut count) = (f32::INFINITY, 0.0f32, usize::from(center.is_some()));
    if let Some(depth_m) = center {
        (least, most) = (depth_m, depth_m);
    }
    let mut even = true;
    for (dx, dy) in [(1.0, 0.0), (1.0, 1.0), (0.0, 1.0), (-1.0, 1.0)] {
        let pair = [at(dx, dy), at(-dx, -dy)];
        for depth_m in pair.into_iter().flatten() {
            least = least.min(depth_m);
            most = most.max(depth_m);
            count += 1;
        }
        even &= match (center, pair) {
            (Some(center), [Some(a), Some(b)]) => {
                let (a, b, c) = (a.recip(), b.recip(), center.recip());
                (a + b - 2.0 * c).abs() < UNEVEN.0 * (a - b).abs() + UNEVEN.1 * c
            }
            _ => false,
        };
    }
    if count < 5 {
        return None;
    }
    let sigma = f64::from(depth.relative_sigma) * (NEAR_SHARE + f64::from(center.unwrap_or(least)) / USUAL_M);
    let spread = f64::from(most / least).ln();
    match center {
        Some(center) if spread <= ALIKE => Some((f64::from(center), sigma)),
        // A pixel is a sixth of what separates the outermost depths.
        Some(center) if even => Some((f64::from(center), sigma.hypot(spread / 6.0))),
        None if spread <= ALIKE => Some((f64::from(least), sigma)),
        _ => Some((f64::from(least), sigma.max(0.5 * spread.min(1.0)))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::camera::Intrinsics;

    fn lens() -> Lens {
        Lens::new(&Intrinsics::from_horizontal_fov(1.2, 320, 192).unwrap(), 1)
    }

    fn map(depth_m: impl Fn(usize, usize) -> f32) -> DepthMap {
        DepthMap {
            width: 160,
            height: 96,
            depth_m: (0..160 * 96).map(|cell| depth_m(cell % 160, cell / 160)).collect(),
            relative_sigma: 0.1,
        }
    }

    #[test]
    fn a_road_seen_at_a_grazing_angle_is_no_edge() {
        // 12 cells below the horizon: neighbours differ by a twelfth each way.
        let road = map(|_, row| 300.0 / (row as f32 - 47.5).max(0.5));
        let (depth_m, sigma) = surface(&road, &lens(), &Point2::new(161.0, 121.0)).unwrap();
        assert!((depth_m - 300.0 / 12.5).abs() < 1e-3, "{depth_m}");
        assert!(sigma < 0.2, "{sigma}");
    }

    #[test]
    fn a_corner_at_an_edge_belongs_to_what_is_in_front() {
        let pole = map(|column, _| if column < 80 { 6.0 } else { 30.0 });
        let (depth_m, sigma) = surface(&pole, &lens(), &Point2::new(161.0, 121.0)).unwrap();
        assert!((depth_m - 6.0).abs() < 1e-6);
        assert!(sigma > 0.4);
    }
}
