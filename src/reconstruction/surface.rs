//! The depth of an object's visible surface, read from a depth map.

use super::view::DepthMap;
use crate::detection::{BoundingBox, Mask};

/// Cells read across and down at most.
const GRID: usize = 20;
/// Share of a box's width and height that counts as its core when there is no mask.
const CORE: f32 = 0.5;
/// Depths within this ratio of each other belong to the same surface.
const SAME_SURFACE: f32 = 1.15;
/// The surface must hold this share of the readings.
const LEAST_SHARE: f32 = 0.3;

/// Depth along the optical axis, metres, of the surface that fills most of the mask, else of the box's core: the mode, not
/// the median, because the background shows through. `None` when no surface does.
pub(super) fn surface_depth_m(
    map: &DepthMap,
    bbox: &BoundingBox,
    mask: Option<&Mask>,
    width: u32,
    height: u32,
) -> Option<f64> {
    let mut depths = [0.0f32; GRID * GRID];
    let mut count = 0;
    for row in 0..GRID {
        for column in 0..GRID {
            let (mut u, mut v) = ((column as f32 + 0.5) / GRID as f32, (row as f32 + 0.5) / GRID as f32);
            match mask {
                Some(mask) => {
                    let (x, y) = ((u * mask.width as f32) as usize, (v * mask.height as f32) as usize);
                    if mask
                        .cells
                        .get(y * mask.width as usize + x)
                        .is_none_or(|cell| *cell < 128)
                    {
                        continue;
                    }
                }
                None => {
                    u = 0.5 + (u - 0.5) * CORE;
                    v = 0.5 + (v - 0.5) * CORE;
                }
            }
            let x = (bbox.x0 + u * bbox.width()) / width as f32;
            let y = (bbox.y0 + v * bbox.height()) / height as f32;
            if let Some(depth) = map.at(x, y) {
                depths[count] = depth;
                count += 1;
            }
        }
    }
    let depths = depths.get_mut(..count)?;
    depths.sort_unstable_by(f32::total_cmp);
    let (mut best, mut start) = (0..0, 0);
    for end in 0..depths.len() {
        while depths[end] > depths[start] * SAME_SURFACE {
            start += 1;
        }
        if end + 1 - start > best.len() {
            best = start..end + 1;
        }
    }
    let surface = &depths[best];
    if surface.is_empty() || (surface.len() as f32) < LEAST_SHARE * count as f32 {
        return None;
    }
    Some(surface.iter().map(|depth| f64::from(*depth)).sum::<f64>() / surface.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(depth: impl Fn(u32, u32) -> f32) -> DepthMap {
        let cells = (0..40 * 40).map(|cell| depth(cell % 40, cell / 40));
        DepthMap {
            width: 40,
            height: 40,
            depth_m: cells.collect(),
            relative_sigma: 0.1,
        }
    }

    #[test]
    fn the_background_that_shows_through_does_not_count() {
        let map = map(|x, _| if x % 5 < 3 { 10.0 } else { 40.0 });
        let bbox = BoundingBox::new(0.0, 0.0, 400.0, 400.0);
        assert_eq!(surface_depth_m(&map, &bbox, None, 400, 400), Some(10.0));
    }

    #[test]
    fn unknown_depth_is_no_depth() {
        let map = map(|_, _| f32::NAN);
        let bbox = BoundingBox::new(0.0, 0.0, 400.0, 400.0);
        assert_eq!(surface_depth_m(&map, &bbox, None, 400, 400), None);
    }
}
