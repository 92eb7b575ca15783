//! From convex polygons of the camera frame to spans of pixels.

use std::ops::Range;

use nalgebra::Vector3;

use super::lens::Lens;

/// Behind a bending lens edges longer than this are drawn in pieces, pixels; the sagitta of a piece stays well below a
/// pixel for the distortions of ordinary lenses.
const STRAIGHT_PX: f32 = 24.0;

/// Scratch space of the rasteriser.
#[derive(Debug, Default)]
pub(super) struct Raster {
    polygon: Vec<Vector3<f32>>,
    clipped: Vec<Vector3<f32>>,
    pixels: Vec<[f32; 2]>,
    spans: Vec<[f32; 2]>,
}

impl Raster {
    /// Calls `fill` with the row and the columns of every run of pixels whose centres a convex polygon covers.
    pub(super) fn fill(
        &mut self,
        lens: &Lens,
        vertices: impl IntoIterator<Item = Vector3<f32>>,
        mut fill: impl FnMut(usize, Range<usize>),
    ) {
        self.polygon.clear();
        self.polygon.extend(vertices);
        lens.clip(&mut self.polygon, &mut self.clipped);
        if self.polygon.len() < 3 {
            return;
        }
        self.pixels.clear();
        self.pixels.extend(self.polygon.iter().map(|point| lens.project(point)));
        if lens.bends && longest_edge(&self.pixels) > STRAIGHT_PX {
            for index in 1..self.polygon.len() - 1 {
                let corners = [0, index, index + 1];
                let triangle = corners.map(|corner| (self.polygon[corner], self.pixels[corner]));
                fill_pieces(lens, triangle, 12, &mut self.spans, &mut fill);
            }
        } else {
            fill_polygon(lens, &self.pixels, &mut self.spans, &mut fill);
        }
    }
}

fn longest_edge(pixels: &[[f32; 2]]) -> f32 {
    let ends = pixels.iter().zip(pixels.iter().cycle().skip(1));
    ends.map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1])).fold(0.0, f32::max)
}

/// Halves the longest edge until all are short. Two neighbours split their common edge at the same points, so that no
/// crack opens between them.
fn fill_pieces(
    lens: &Lens,
    triangle: [(Vector3<f32>, [f32; 2]); 3],
    depth: u32,
    spans: &mut Vec<[f32; 2]>,
    fill: &mut impl FnMut(usize, Range<usize>),
) {
    let pixels = triangle.map(|(_, pixel)| pixel);
    let length = |a: usize, b: usize| (pixels[a][0] - pixels[b][0]).hypot(pixels[a][1] - pixels[b][1]);
    let edges = [length(0, 1), length(1, 2), length(2, 0)];
    let longest = (0..3).max_by(|a, b| edges[*a].total_cmp(&edges[*b])).unwrap_or(0);
    if depth == 0 || edges[longest] <= STRAIGHT_PX {
        fill_polygon(lens, &pixels, spans, fill);
        return;
    }
    let [a, b, c] = [longest, (longest + 1) % 3, (longest + 2) % 3].map(|corner| triangle[corner]);
    let middle = (a.0 + b.0) * 0.5;
    let middle = (middle, lens.project(&middle));
    fill_pieces(lens, [a, middle, c], depth - 1, spans, fill);
    fill_pieces(lens, [middle, b, c], depth - 1, spans, fill);
}

fn fill_polygon(
    lens: &Lens,
    pixels: &[[f32; 2]],
    spans: &mut Vec<[f32; 2]>,
    fill: &mut impl FnMut(usize, Range<usize>),
) {
    let (mut top, mut bottom) = (f32::MAX, f32::MIN);
    for pixel in pixels {
        if !(pixel[0].is_finite() && pixel[1].is_finite()) {
            return;
        }
        (top, bottom) = (top.min(pixel[1]), bottom.max(pixel[1]));
    }
    // A row belongs to the polygon when its centre does.
    let first = (top - 0.5).ceil().max(0.0) as usize;
    let end = ((bottom - 0.5).ceil().max(0.0) as usize).min(lens.height);
    if first >= end {
        return;
    }
    spans.clear();
    spans.resize(end - first, [f32::MAX, f32::MIN]);
    for (a, b) in pixels.iter().zip(pixels.iter().cycle().skip(1)) {
        let (upper, lower) = if a[1] <= b[1] { (a, b) } else { (b, a) };
        let from = ((upper[1] - 0.5).ceil().max(first as f32)) as usize;
        let to = ((lower[1] - 0.5).ceil().max(0.0) as usize).min(end);
        if from >= to {
            continue;
        }
        let slope = (lower[0] - upper[0]) / (lower[1] - upper[1]);
        let mut x = upper[0] + (from as f32 + 0.5 - upper[1]) * slope;
        for span in &mut spans[from - first..to - first] {
            *span = [span[0].min(x), span[1].max(x)];
            x += slope;
        }
    }
    for (index, [left, right]) in spans.iter().enumerate() {
        let start = (left - 0.5).ceil().max(0.0) as usize;
        let stop = ((right - 0.5).ceil().max(0.0) as usize).min(lens.width);
        if start < stop {
            fill(first + index, start..stop);
        }
    }
}
