//! Wide pictures in overlapping tiles, and the boxes of all tiles put together again.

use super::super::manifest::{Tiling, TilingMode};
use super::super::preprocess::Region;
use super::decode::Candidate;
use crate::detection::BoundingBox;

/// A part of the picture that the network sees at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub region: Region,
    /// Whether its left, top, right, bottom edge cuts through the part that all tiles cover together.
    pub inner: [bool; 4],
}

/// The tiles of a picture for a network whose input has the given size.
pub(super) fn cut(tiling: &Tiling, whole: Region, input: (u32, u32), tiles: &mut Vec<Tile>) {
    tiles.clear();
    let outer = |region| Tile {
        region,
        inner: [false; 4],
    };
    match tiling.mode {
        TilingMode::None => tiles.push(outer(whole)),
        TilingMode::Crop => {
            let [left, top, right, bottom] = tiling.crop;
            let (w, h) = (whole.width as f32, whole.height as f32);
            let bbox = BoundingBox::new(left * w, top * h, right * w, bottom * h);
            tiles.push(outer(
                Region::covering(&bbox, whole.width, whole.height).unwrap_or(whole),
            ));
        }
        TilingMode::Tiles => {
            let (width, height) = (f64::from(whole.width), f64::from(whole.height));
            let aspect = f64::from(input.0.max(1)) / f64::from(input.1.max(1));
            let overlap = f64::from(tiling.overlap);
            // As many tiles of the input's proportions as cover the longer way, unless the manifest says how many.
            let auto_columns = count_along(width, height * aspect, overlap);
            let auto_rows = count_along(height, width / aspect, overlap);
            let columns = tiling.columns.unwrap_or(auto_columns);
            let rows = tiling.rows.unwrap_or(auto_rows);
            for row in 0..rows {
                for column in 0..columns {
                    let (x, w) = place(whole.width, columns, column, overlap);
                    let (y, h) = place(whole.height, rows, row, overlap);
                    let region = Region {
                        x,
                        y,
                        width: w,
                        height: h,
                    };
                    let inner = [column > 0, row > 0, column + 1 < columns, row + 1 < rows];
                    tiles.push(Tile { region, inner });
                }
            }
            if tiling.whole && tiles.len() > 1 {
                tiles.push(outer(whole));
            }
        }
    }
}

/// How many tiles of the given length cover `length` with the given overlap; at most 16.
fn count_along(length: f64, tile: f64, overlap: f64) -> u32 {
    if tile <= 0.0 || length <= tile {
        return 1;
    }
    // The small slack keeps 16:9 pictures on a 16:9 input in one tile despite rounding.
    let count = ((length - tile * overlap) / (tile * (1.0 - overlap)) - 0.05).ceil();
    (count as u32).clamp(1, 16)
}

/// Start and length of one of `count` equal tiles along `length` pixels.
fn place(length: u32, count: u32, index: u32, overlap: f64) -> (u32, u32) {
    if count <= 1 {
        return (0, length);
    }
    let tile = f64::from(length) / (f64::from(count) - f64::from(count - 1) * overlap);
    let size = (tile.ceil() as u32).clamp(1, length.max(1));
    let free = f64::from(length - size);
    ((free * f64::from(index) / f64::from(count - 1)).round() as u32, size)
}

/// Boxes of one object that overlap this much of the smaller one are parts of it.
const SAME_OBJECT_SHARE: f32 = 0.6;
/// Two halves at facing tile edges are one object when they agree this much along the edge.
const HALVES_AGREE: f32 = 0.7;

/// Joins what different tiles saw of the same object: a part inside a whole, and two halves at a tile's edge. Candidates
/// are sorted by confidence and stay so.
pub(super) fn merge(candidates: &mut Vec<Candidate>, tiles: &[Tile]) {
    let mut index = 0;
    while index < candidates.len() {
        let mut other = index + 1;
        while other < candidates.len() {
            let (a, b) = (candidates[index], candidates[other]);
            if a.class == b.class && a.tile != b.tile && are_one(&a, &b, tiles) {
                candidates[index].bbox = union(&a.bbox, &b.bbox);
                candidates.remove(other);
                // The larger box may now meet what it missed before.
                other = index + 1;
            } else {
                other += 1;
            }
        }
        index += 1;
    }
}

fn are_one(a: &Candidate, b: &Candidate, tiles: &[Tile]) -> bool {
    let (cut_a, cut_b) = (cut_edges(a, tiles), cut_edges(b, tiles));
    // Only an object that a tile's edge cuts can be seen in parts.
    if !cut_a.contains(&true) && !cut_b.contains(&true) {
        return false;
    }
    let smaller = a.bbox.area().min(b.bbox.area());
    if smaller > 0.0 && a.bbox.intersection(&b.bbox) / smaller > SAME_OBJECT_SHARE {
        return true;
    }
    let across = interval_iou((a.bbox.y0, a.bbox.y1), (b.bbox.y0, b.bbox.y1)) > HALVES_AGREE;
    let down = interval_iou((a.bbox.x0, a.bbox.x1), (b.bbox.x0, b.bbox.x1)) > HALVES_AGREE;
    let overlap = a.bbox.intersection(&b.bbox) > 0.0;
    overlap
        && ((across && (cut_a[2] && cut_b[0] || cut_a[0] && cut_b[2]))
            || (down && (cut_a[3] && cut_b[1] || cut_a[1] && cut_b[3])))
}

/// Whether a box ends at its tile's inner left, top, right, bottom edge.
fn cut_edges(candidate: &Candidate, tiles: &[Tile]) -> [bool; 4] {
    let Some(tile) = tiles.get(candidate.tile as usize) else {
        return [false; 4];
    };
    let region = tile.region;
    let (left, top) = (region.x as f32, region.y as f32);
    let (right, bottom) = (left + region.width as f32, top + region.height as f32);
    // Networks place a cut edge only roughly.
    let near = 0.02 * region.width.max(region.height) as f32;
    let bbox = &candidate.bbox;
    [
        tile.inner[0] && bbox.x0 <= left + near,
        tile.inner[1] && bbox.y0 <= top + near,
        tile.inner[2] && bbox.x1 >= right - near,
        tile.inner[3] && bbox.y1 >= bottom - near,
    ]
}

fn interval_iou(a: (f32, f32), b: (f32, f32)) -> f32 {
    let shared = (a.1.min(b.1) - a.0.max(b.0)).max(0.0);
    let union = a.1.max(b.1) - a.0.min(b.0);
    if union > 0.0 { shared / union } else { 0.0 }
}

fn union(a: &BoundingBox, b: &BoundingBox) -> BoundingBox {
    BoundingBox::new(a.x0.min(b.x0), a.y0.min(b.y0), a.x1.max(b.x1), a.y1.max(b.y1))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn tiling() -> Tiling {
        Tiling {
            mode: TilingMode::Tiles,
            ..Tiling::default()
        }
    }

    proptest! {
        #[test]
        fn tiles_cover_every_pixel(
            (w, h) in (1u32..4000, 1u32..3000), overlap in 0f32..0.8, (iw, ih) in (32u32..1000, 32u32..1000),
        ) {
            let mut tiles = Vec::new();
            cut(&Tiling { overlap, ..tiling() }, Region::whole(w, h), (iw, ih), &mut tiles);
            let mut columns = vec![false; w as usize];
            let mut rows = vec![false; h as usize];
            for Tile { region, .. } in &tiles {
                prop_assert!(region.x + region.width <= w && region.y + region.height <= h);
                columns[region.x as usize..(region.x + region.width) as usize].fill(true);
                rows[region.y as usize..(region.y + region.height) as usize].fill(true);
            }
            prop_assert!(!columns.contains(&false) && !rows.contains(&false));
        }
    }

    #[test]
    fn a_wide_picture_gets_square_tiles() {
        let mut tiles = Vec::new();
        cut(&tiling(), Region::whole(1242, 375), (416, 416), &mut tiles);
        assert_eq!(tiles.len(), 4);
        assert!(
            tiles
                .iter()
                .all(|tile| tile.region.height == 375 && (360..400).contains(&tile.region.width))
        );
        assert_eq!(tiles[0].inner, [false, false, true, false]);
        cut(&tiling(), Region::whole(640, 640), (416, 416), &mut tiles);
        assert_eq!(tiles.len(), 1);
    }

    #[test]
    fn halves_at_a_tile_edge_become_one() {
        let mut tiles = Vec::new();
        let whole = Region::whole(1000, 500);
        cut(
            &Tiling {
                columns: Some(2),
                rows: Some(1),
                ..tiling()
            },
            whole,
            (416, 416),
            &mut tiles,
        );
        let right_edge = tiles[0].region.width as f32;
        let left_edge = tiles[1].region.x as f32;
        let found = |x0: f32, x1: f32, y0: f32, score: f32, tile: u32| Candidate {
            bbox: BoundingBox::new(x0, y0, x1, 300.0),
            score,
            class: 0,
            tile,
        };
        let mut candidates = vec![
            found(300.0, right_edge, 200.0, 0.9, 0),
            found(left_edge + 1.0, 800.0, 202.0, 0.8, 1),
            found(700.0, 790.0, 20.0, 0.7, 1),
        ];
        merge(&mut candidates, &tiles);
        assert_eq!(candidates.len(), 2);
        assert_eq!((candidates[0].bbox.x0, candidates[0].bbox.x1), (300.0, 800.0));

        // Two whole cars in the overlap that touch no edge stay two.
        let mut candidates = vec![
            found(left_edge + 30.0, left_edge + 80.0, 200.0, 0.9, 0),
            found(left_edge + 60.0, left_edge + 130.0, 200.0, 0.8, 1),
        ];
        merge(&mut candidates, &tiles);
        assert_eq!(candidates.len(), 2);
    }
}
