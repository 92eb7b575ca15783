//! From a network's outputs to candidate boxes, one function a family. Every candidate carries its best class only.

use std::path::Path;

use super::super::PerceptionError;
use super::super::session::Output;
use super::grid::{Grid, Level};
use crate::detection::BoundingBox;

/// A box that may be a detection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    /// Pixels of the input while decoding, of the picture afterwards.
    pub bbox: BoundingBox,
    /// Confidence, 0 to 1.
    pub score: f32,
    /// Index of the class.
    pub class: u32,
    /// Index of the tile it was found in.
    pub tile: u32,
}

/// Takes what the decoders find: checks it, filters it, counts what is not finite.
pub(super) struct Collector {
    confidence: f32,
    allowed: Vec<bool>,
    /// Best score and class of each anchor, for outputs that lie class after class.
    best: Vec<(f32, u32)>,
    /// Whether an anchor holds NaN or infinity, likewise.
    broken: Vec<bool>,
    pub found: Vec<Candidate>,
    pub non_finite_rows: u64,
}

impl Collector {
    pub fn new(confidence: f32, allowed: Vec<bool>) -> Self {
        Self {
            confidence,
            allowed,
            best: Vec::new(),
            broken: Vec::new(),
            found: Vec::new(),
            non_finite_rows: 0,
        }
    }

    /// Forgets what was found and counted.
    pub fn clear(&mut self) {
        self.found.clear();
        self.non_finite_rows = 0;
    }

    /// Takes a box unless it is below the confidence, of a class that is not wanted, empty, or not finite.
    fn push(&mut self, bbox: BoundingBox, score: f32, class: usize) {
        let finite = bbox.x0.is_finite() && bbox.y0.is_finite() && bbox.x1.is_finite() && bbox.y1.is_finite();
        if !finite || !score.is_finite() {
            self.non_finite_rows += 1;
            return;
        }
        let wanted = self.allowed.get(class).copied().unwrap_or(false);
        if score >= self.confidence && wanted && bbox.is_valid() {
            self.found.push(Candidate {
                bbox,
                score: score.min(1.0),
                class: class as u32,
                tile: 0,
            });
        }
    }
}

/// An output of another shape than its family's.
#[derive(Debug)]
pub(super) struct WrongShape {
    expected: String,
    found: Vec<i64>,
}

impl WrongShape {
    fn new(expected: impl Into<String>, output: &Output<'_>) -> Self {
        Self {
            expected: expected.into(),
            found: output.dims.clone(),
        }
    }

    /// As an error about the model's output `name`.
    pub fn named(self, path: &Path, name: &str) -> PerceptionError {
        PerceptionError::Contract {
            path: path.to_owned(),
            what: format!("shape of output `{name}`"),
            expected: self.expected,
            found: format!("{:?}", self.found),
        }
    }
}

/// The largest of some scores and its index; NaN and infinity are told apart from any score.
fn best_class(scores: &[f32]) -> Option<(usize, f32)> {
    let mut best = (0, f32::NEG_INFINITY);
    for (class, &score) in scores.iter().enumerate() {
        if !score.is_finite() {
            return None;
        }
        if score > best.1 {
            best = (class, score);
        }
    }
    Some(best)
}

/// YOLOX: rows of x, y, w, h, objectness, classes, one a cell of the strides' grids. xy = (p + cell)·stride,
/// wh = exp(p)·stride, score = objectness · class (both sigmoid already). Ge et al., "YOLOX", 2021; the demo
/// post-processing of its repository.
pub(super) fn yolox(
    output: &Output<'_>,
    grid: &Grid,
    class_count: usize,
    collector: &mut Collector,
) -> Result<(), WrongShape> {
    let width = 5 + class_count;
    let cells = grid.cells();
    if output.dims != [1, cells.len() as i64, width as i64] {
        return Err(WrongShape::new(format!("[1, {}, {width}]", cells.len()), output));
    }
    for (row, &[column, line, stride]) in output.data.chunks_exact(width).zip(cells) {
        let objectness = row[4];
        // A class score is at most 1, so most rows end here.
        if objectness.is_finite() && objectness < collector.confidence {
            continue;
        }
        let Some((class, score)) = best_class(&row[5..]).filter(|_| objectness.is_finite()) else {
            collector.non_finite_rows += 1;
            continue;
        };
        let (x, y) = ((row[0] + column) * stride, (row[1] + line) * stride);
        let (w, h) = (row[2].exp() * stride, row[3].exp() * stride);
        let bbox = BoundingBox::from_xywh(x - 0.5 * w, y - 0.5 * h, w, h);
        collector.push(bbox, objectness * score, class);
    }
    Ok(())
}

/// YOLOv8, YOLO11: centre x, y, width, height and class scores of all anchors, row after row of the output; also accepts
/// the transposed output. Rows after the class scores (mask coefficients) are not read.
pub(super) fn yolov8(output: &Output<'_>, class_count: usize, collector: &mut Collector) -> Result<(), WrongShape> {
    let wanted = 4 + class_count;
    let wrong = || WrongShape::new(format!("[1, {wanted}, anchors]"), output);
    let &[1, rows, columns] = output.dims.as_slice() else {
        return Err(wrong());
    };
    let (rows, columns) = (rows as usize, columns as usize);
    if columns == wanted && rows != wanted {
        for row in output.data.chunks_exact(columns) {
            let Some((class, score)) = best_class(&row[4..]) else {
                collector.non_finite_rows += 1;
                continue;
            };
            if score >= collector.confidence {
                collector.push(centre_box(row[0], row[1], row[2], row[3]), score, class);
            }
        }
        return Ok(());
    }
    if rows < wanted || columns == 0 {
        return Err(wrong());
    }
    let mut best = std::mem::take(&mut collector.best);
    let mut broken = std::mem::take(&mut collector.broken);
    best.clear();
    best.resize(columns, (f32::NEG_INFINITY, 0));
    broken.clear();
    broken.resize(columns, false);
    for (class, scores) in output.data.chunks_exact(columns).skip(4).take(class_count).enumerate() {
        for ((best, broken), &score) in best.iter_mut().zip(&mut broken).zip(scores) {
            *broken |= !score.is_finite();
            if score > best.0 {
                *best = (score, class as u32);
            }
        }
    }
    for (anchor, (&(score, class), &broken)) in best.iter().zip(&broken).enumerate() {
        if broken {
            collector.non_finite_rows += 1;
        } else if score >= collector.confidence {
            let at = |row: usize| output.data[row * columns + anchor];
            collector.push(centre_box(at(0), at(1), at(2), at(3)), score, class as usize);
        }
    }
    collector.best = best;
    collector.broken = broken;
    Ok(())
}

fn centre_box(x: f32, y: f32, w: f32, h: f32) -> BoundingBox {
    BoundingBox::from_xywh(x - 0.5 * w, y - 0.5 * h, w, h)
}

/// A class index that came as a float; `None` when it is no index of the model's classes.
fn class_index(value: f32, class_count: usize) -> Option<usize> {
    let index = value.round();
    (index >= 0.0 && index < class_count as f32).then_some(index as usize)
}

/// End-to-end YOLO: rows of x0, y0, x1, y1, score, class. Unused rows have score 0.
pub(super) fn end_to_end(output: &Output<'_>, class_count: usize, collector: &mut Collector) -> Result<(), WrongShape> {
    if !matches!(output.dims.as_slice(), [1, _, 6]) {
        return Err(WrongShape::new("[1, detections, 6]", output));
    }
    let (rows, _) = output.data.as_chunks::<6>();
    for &[x0, y0, x1, y1, score, class] in rows {
        if !class.is_finite() {
            collector.non_finite_rows += 1;
        } else if let Some(class) = class_index(class, class_count) {
            collector.push(BoundingBox::new(x0, y0, x1, y1), score, class);
        }
    }
    Ok(())
}

/// RT-DETR v2, D-FINE: labels, boxes x0 y0 x1 y1, scores.
pub(super) fn detr(
    labels: &Output<'_>,
    boxes: &Output<'_>,
    scores: &Output<'_>,
    class_count: usize,
    collector: &mut Collector,
) -> Result<(), WrongShape> {
    let count = scores.data.len();
    if boxes.dims.last() != Some(&4) || boxes.data.len() != count * 4 || labels.data.len() != count {
        return Err(WrongShape::new(
            format!("[1, {count}, 4] for {count} scores and as many labels"),
            boxes,
        ));
    }
    let (boxes, _) = boxes.data.as_chunks::<4>();
    for ((&[x0, y0, x1, y1], &score), &label) in boxes.iter().zip(scores.data.iter()).zip(labels.data.iter()) {
        if !label.is_finite() {
            collector.non_finite_rows += 1;
        } else if let Some(class) = class_index(label, class_count) {
            collector.push(BoundingBox::new(x0, y0, x1, y1), score, class);
        }
    }
    Ok(())
}

/// NanoDet, one feature map: class scores (sigmoid already) and, for each of the four edges, a distribution over the
/// distance from the cell's centre in strides. Distance = expectation of the softmax (Li et al., "Generalized Focal
/// Loss", 2020, section 3.2).
pub(super) fn nanodet(
    scores: &Output<'_>,
    distances: &Output<'_>,
    level: Level,
    class_count: usize,
    collector: &mut Collector,
) -> Result<(), WrongShape> {
    let cells = level.cells();
    if scores.data.len() != cells * class_count || scores.dims.last() != Some(&(class_count as i64)) {
        return Err(WrongShape::new(format!("[1, {cells}, {class_count}]"), scores));
    }
    let bins = distances.data.len() / (cells * 4).max(1);
    if bins < 2 || distances.data.len() != cells * 4 * bins || distances.dims.last() != Some(&(4 * bins as i64)) {
        return Err(WrongShape::new(format!("[1, {cells}, 4·(reg_max + 1)]"), distances));
    }
    let stride = level.stride as f32;
    let rows = scores.data.chunks_exact(class_count);
    for (cell, (scores, edges)) in rows.zip(distances.data.chunks_exact(4 * bins)).enumerate() {
        let Some((class, score)) = best_class(scores) else {
            collector.non_finite_rows += 1;
            continue;
        };
        if score < collector.confidence {
            continue;
        }
        let (column, row) = level.position(cell);
        let (x, y) = ((column + 0.5) * stride, (row + 0.5) * stride);
        let mut edge = [0.0; 4];
        for (distance, logits) in edge.iter_mut().zip(edges.chunks_exact(bins)) {
            *distance = expectation(logits) * stride;
        }
        let bbox = BoundingBox::new(x - edge[0], y - edge[1], x + edge[2], y + edge[3]);
        collector.push(bbox, score, class);
    }
    Ok(())
}

/// Expected index under the softmax of some logits.
fn expectation(logits: &[f32]) -> f32 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (mut sum, mut weighted) = (0.0, 0.0);
    for (index, logit) in logits.iter().enumerate() {
        let weight = (logit - largest).exp();
        sum += weight;
        weighted += weight * index as f32;
    }
    weighted / sum
}
