//! Corners to follow: the strongest of each empty cell of a grid, after Shi and Tomasi (1994).

use nalgebra::Point2;

use super::gray::GrayPyramid;

/// Sum of gradient products over (2 · this + 1)² pixels.
const RADIUS: usize = 2;
/// Least eigenvalue of the mean gradient product that counts as texture, grey levels squared.
const MIN_RESPONSE: f32 = 4.0;
/// Pixels from the picture's edge in which nothing is looked for, on the floor that is searched.
const MARGIN: usize = 7;

/// Which cells of a grid over the picture are to be searched.
#[derive(Clone, Debug)]
pub(crate) struct Grid {
    pub columns: usize,
    pub rows: usize,
    pub cell: f32,
    pub taken: Vec<bool>,
}

impl Grid {
    /// About `count` square cells over a picture of this size, all empty.
    pub fn new(width: usize, height: usize, count: usize) -> Self {
        let cell = ((width * height) as f32 / count.max(1) as f32).sqrt().max(12.0);
        let (columns, rows) = ((width as f32 / cell) as usize, (height as f32 / cell) as usize);
        Self {
            columns: columns.max(1),
            rows: rows.max(1),
            cell,
            taken: vec![false; columns.max(1) * rows.max(1)],
        }
    }

    /// Index of the cell at a position.
    pub fn index(&self, position: &Point2<f32>) -> Option<usize> {
        let (x, y) = (position.x / self.cell, position.y / self.cell);
        (x >= 0.0 && y >= 0.0 && (x as usize) < self.columns && (y as usize) < self.rows)
            .then(|| y as usize * self.columns + x as usize)
    }

    /// Marks the cell at a position as taken; `false` when it was or lies outside.
    pub fn take(&mut self, position: &Point2<f32>) -> bool {
        match self.index(position) {
            Some(index) => !std::mem::replace(&mut self.taken[index], true),
            None => false,
        }
    }
}

/// The strongest corner of each cell that is not taken and where `allowed` says yes, in pixels of the ground floor.
pub(crate) fn find(picture: &GrayPyramid, grid: &Grid, allowed: impl Fn(&Point2<f32>) -> bool) -> Vec<Point2<f32>> {
    // One floor up the search costs a quarter, and what is found there is texture rather than noise.
    let floor = usize::from(picture.levels.len() > 1 && picture.width() >= 400);
    let Some(level) = picture.levels.get(floor) else {
        return Vec::new();
    };
    let scale = (1usize << floor) as f32;
    let cell = grid.cell / scale;
    let mut found = Vec::new();
    let mut products = Vec::new();
    for (index, _) in grid.taken.iter().enumerate().filter(|(_, taken)| !**taken) {
        let (column, row) = (index % grid.columns, index / grid.columns);
        let x0 = ((column as f32 * cell) as usize).max(MARGIN);
        let y0 = ((row as f32 * cell) as usize).max(MARGIN);
        let x1 = (((column + 1) as f32 * cell) as usize).min(level.width.saturating_sub(MARGIN));
        let y1 = (((row + 1) as f32 * cell) as usize).min(level.height.saturating_sub(MARGIN));
        if x0 >= x1 || y0 >= y1 {
            continue;
        }
        // Gradient products over the cell and its rim.
        let (across, down) = (x1 - x0 + 2 * RADIUS, y1 - y0 + 2 * RADIUS);
        products.clear();
        for y in y0 - RADIUS..y1 + RADIUS {
            let row = &level.data[y * level.width..][..level.width];
            let above = &level.data[(y - 1) * level.width..][..level.width];
            let below = &level.data[(y + 1) * level.width..][..level.width];
            for x in x0 - RADIUS..x1 + RADIUS {
                let dx = i32::from(row[x + 1]) - i32::from(row[x - 1]);
                let dy = i32::from(below[x]) - i32::from(above[x]);
                products.push([dx * dx, dx * dy, dy * dy]);
            }
        }
        // Columns first: sums over 2·RADIUS+1 rows.
        let kept = down - 2 * RADIUS;
        let mut sums = vec![[0i32; 3]; across * kept];
        for y in 0..kept {
            for dy in 0..=2 * RADIUS {
                let source = &products[(y + dy) * across..][..across];
                for (sum, product) in sums[y * across..][..across].iter_mut().zip(source) {
                    for (sum, product) in sum.iter_mut().zip(product) {
                        *sum += product;
                    }
                }
            }
        }
        let mut best: Option<(f32, Point2<f32>)> = None;
        let samples = ((2 * RADIUS + 1) * (2 * RADIUS + 1) * 4) as f32;
        for y in 0..kept {
            for x in 0..across - 2 * RADIUS {
                let mut sum = [0i32; 3];
                for window in &sums[y * across + x..][..=2 * RADIUS] {
                    for (sum, value) in sum.iter_mut().zip(window) {
                        *sum += value;
                    }
                }
                let [xx, xy, yy] = sum.map(|value| value as f32 / samples);
                let least = 0.5 * (xx + yy - ((xx - yy).powi(2) + 4.0 * xy * xy).sqrt());
                if least > best.map_or(MIN_RESPONSE, |(response, _)| response) {
                    let position = Point2::new((x0 + x) as f32 + 0.5, (y0 + y) as f32 + 0.5) * scale;
                    if allowed(&position) {
                        best = Some((least, position));
                    }
                }
            }
        }
        found.extend(best.map(|(_, position)| position));
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::frame::{Picture, PixelFormat};

    #[test]
    fn corners_of_squares_are_found_and_edges_are_not() {
        let (width, height) = (320usize, 240usize);
        // A vertical edge on the left, a bright square on the right.
        let data: Vec<u8> = (0..width * height)
            .map(|cell| {
                let (x, y) = (cell % width, cell / width);
                if x < 60 || ((200..240).contains(&x) && (100..140).contains(&y)) {
                    200
                } else {
                    50
                }
            })
            .collect();
        let mut pyramid = GrayPyramid::default();
        pyramid.fill(&Picture::packed(PixelFormat::Gray8, 320, 240, &data).unwrap());
        let found = find(&pyramid, &Grid::new(width, height, 100), |_| true);
        assert!(!found.is_empty());
        for corner in &found {
            let near = |edges: [f32; 2], value: f32| edges.iter().any(|edge| (value - edge).abs() < 4.0);
            assert!(
                near([200.0, 240.0], corner.x) && near([100.0, 140.0], corner.y),
                "{corner}"
            );
        }
        assert!(find(&pyramid, &Grid::new(width, height, 100), |at| at.x < 150.0).is_empty());
    }
}
