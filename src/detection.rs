//! What a detector says about one picture: boxes, classes, confidences, masks.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// An object class by its name (`"car"`), interned: copying and comparing cost nothing.
///
/// Names come from model manifests, so their number is small; an interned name lives as long as the program.
#[derive(Clone, Copy)]
pub struct ClassLabel(&'static str);

impl ClassLabel {
    /// Interns `name`.
    pub fn new(name: &str) -> Self {
        static NAMES: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(name) {
            return Self(known);
        }
        let leaked: &'static str = Box::leak(name.to_owned().into_boxed_str());
        names.insert(leaked);
        Self(leaked)
    }

    /// The name.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl PartialEq for ClassLabel {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for ClassLabel {}

impl std::hash::Hash for ClassLabel {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.as_ptr().hash(state);
    }
}

impl fmt::Debug for ClassLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ClassLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// An axis-aligned box in pixels; `x0 ≤ x1`, `y0 ≤ y1`, the origin at the picture's top-left corner.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct BoundingBox {
    /// Left edge.
    pub x0: f32,
    /// Top edge.
    pub y0: f32,
    /// Right edge.
    pub x1: f32,
    /// Bottom edge.
    pub y1: f32,
}

impl BoundingBox {
    /// From its corners.
    pub fn new(x0: f32, y0: f32, x1: f32, y1: f32) -> Self {
        Self { x0, y0, x1, y1 }
    }

    /// From the top-left corner, width and height.
    pub fn from_xywh(x: f32, y: f32, width: f32, height: f32) -> Self {
        Self::new(x, y, x + width, y + height)
    }

    /// Width in pixels.
    pub fn width(&self) -> f32 {
        self.x1 - self.x0
    }

    /// Height in pixels.
    pub fn height(&self) -> f32 {
        self.y1 - self.y0
    }

    /// Area in square pixels.
    pub fn area(&self) -> f32 {
        self.width().max(0.0) * self.height().max(0.0)
    }

    /// Centre (x, y).
    pub fn center(&self) -> (f32, f32) {
        (0.5 * (self.x0 + self.x1), 0.5 * (self.y0 + self.y1))
    }

    /// Whether all four edges are finite and the box has an area.
    pub fn is_valid(&self) -> bool {
        let finite = self.x0.is_finite() && self.y0.is_finite() && self.x1.is_finite() && self.y1.is_finite();
        finite && self.width() > 0.0 && self.height() > 0.0
    }

    /// Area shared with `other`.
    pub fn intersection(&self, other: &Self) -> f32 {
        let width = self.x1.min(other.x1) - self.x0.max(other.x0);
        let height = self.y1.min(other.y1) - self.y0.max(other.y0);
        width.max(0.0) * height.max(0.0)
    }

    /// Intersection over union, 0 to 1.
    pub fn iou(&self, other: &Self) -> f32 {
        let shared = self.intersection(other);
        let union = self.area() + other.area() - shared;
        if union > 0.0 { shared / union } else { 0.0 }
    }

    /// The part inside a `width`×`height` picture.
    pub fn clipped(&self, width: f32, height: f32) -> Self {
        Self {
            x0: self.x0.clamp(0.0, width),
            y0: self.y0.clamp(0.0, height),
            x1: self.x1.clamp(0.0, width),
            y1: self.y1.clamp(0.0, height),
        }
    }

    /// Scaled about the origin, as when the picture is resized.
    pub fn scaled(&self, sx: f32, sy: f32) -> Self {
        Self {
            x0: self.x0 * sx,
            y0: self.y0 * sy,
            x1: self.x1 * sx,
            y1: self.y1 * sy,
        }
    }
}

/// Which pixels inside a box belong to the object: one byte a cell, 0 or 255, row by row over the box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// Cells across the box.
    pub width: u32,
    /// Cells down the box.
    pub height: u32,
    /// `width · height` cells.
    pub cells: Vec<u8>,
}

/// One object found in one picture.
#[derive(Clone, Debug)]
pub struct Detection {
    /// Where, in pixels of the picture given to the detector.
    pub bbox: BoundingBox,
    /// What.
    pub class: ClassLabel,
    /// How sure, 0 to 1.
    pub confidence: f32,
    /// Which pixels, when the detector says so.
    pub mask: Option<Arc<Mask>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_intern_by_name() {
        assert_eq!(ClassLabel::new("car"), ClassLabel::new(&String::from("car")));
        assert_ne!(ClassLabel::new("car"), ClassLabel::new("bus"));
    }

    #[test]
    fn overlap_of_shifted_boxes() {
        let a = BoundingBox::new(0.0, 0.0, 2.0, 2.0);
        let b = BoundingBox::new(1.0, 0.0, 3.0, 2.0);
        assert!((a.iou(&b) - 1.0 / 3.0).abs() < 1e-6);
        assert_eq!(a.iou(&BoundingBox::default()), 0.0);
    }
}
