//! Where a region of a picture lies in a model's input, and back.

use super::super::manifest::Padding;
use crate::detection::BoundingBox;

/// A rectangle of whole pixels in a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Region {
    /// Left edge, pixels.
    pub x: u32,
    /// Top edge, pixels.
    pub y: u32,
    /// Width, pixels.
    pub width: u32,
    /// Height, pixels.
    pub height: u32,
}

impl Region {
    /// A whole picture.
    pub fn whole(width: u32, height: u32) -> Self {
        Self {
            x: 0,
            y: 0,
            width,
            height,
        }
    }

    /// The pixels that a box touches inside a `width`×`height` picture; `None` when there is none.
    pub fn covering(bbox: &BoundingBox, width: u32, height: u32) -> Option<Self> {
        if !bbox.is_valid() {
            return None;
        }
        let inside = bbox.clipped(width as f32, height as f32);
        let (x0, y0) = (inside.x0.floor() as u32, inside.y0.floor() as u32);
        let (x1, y1) = (inside.x1.ceil() as u32, inside.y1.ceil() as u32);
        (x1 > x0 && y1 > y0).then(|| Self {
            x: x0,
            y: y0,
            width: x1 - x0,
            height: y1 - y0,
        })
    }

    /// The part inside a `width`×`height` picture, at least one pixel.
    pub fn clipped(self, width: u32, height: u32) -> Self {
        let x = self.x.min(width.saturating_sub(1));
        let y = self.y.min(height.saturating_sub(1));
        Self {
            x,
            y,
            width: self.width.clamp(1, width.saturating_sub(x).max(1)),
            height: self.height.clamp(1, height.saturating_sub(y).max(1)),
        }
    }
}

/// How a region of a picture lies in the input tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Geometry {
    /// The region, pixels of the picture.
    pub region: Region,
    /// Width of the input, pixels.
    pub input_width: u32,
    /// Height of the input, pixels.
    pub input_height: u32,
    /// Left edge of the region in the input.
    pub left: u32,
    /// Top edge of the region in the input.
    pub top: u32,
    /// Width of the region in the input.
    pub width: u32,
    /// Height of the region in the input.
    pub height: u32,
}

impl Geometry {
    /// Lays `region` into an input of the given size.
    pub fn fit(region: Region, input_width: u32, input_height: u32, padding: Padding) -> Self {
        let (width, height) = match padding {
            Padding::Stretch => (input_width, input_height),
            Padding::TopLeft | Padding::Centre => {
                let scale = (f64::from(input_width) / f64::from(region.width))
                    .min(f64::from(input_height) / f64::from(region.height));
                let side = |side: u32, limit: u32| ((f64::from(side) * scale).round() as u32).clamp(1, limit.max(1));
                (side(region.width, input_width), side(region.height, input_height))
            }
        };
        let (left, top) = match padding {
            Padding::Centre => ((input_width - width) / 2, (input_height - height) / 2),
            Padding::TopLeft | Padding::Stretch => (0, 0),
        };
        Self {
            region,
            input_width,
            input_height,
            left,
            top,
            width,
            height,
        }
    }

    /// Input pixels per picture pixel, across and down.
    pub fn scale(&self) -> (f64, f64) {
        (
            f64::from(self.width) / f64::from(self.region.width),
            f64::from(self.height) / f64::from(self.region.height),
        )
    }

    /// A box in pixels of the input, in pixels of the picture; not clipped.
    pub fn to_picture(&self, bbox: &BoundingBox) -> BoundingBox {
        let (sx, sy) = self.scale();
        let x = |x: f32| ((f64::from(x) - f64::from(self.left)) / sx + f64::from(self.region.x)) as f32;
        let y = |y: f32| ((f64::from(y) - f64::from(self.top)) / sy + f64::from(self.region.y)) as f32;
        BoundingBox::new(x(bbox.x0), y(bbox.y0), x(bbox.x1), y(bbox.y1))
    }

    /// A box in pixels of the picture, in pixels of the input.
    pub fn to_input(&self, bbox: &BoundingBox) -> BoundingBox {
        let (sx, sy) = self.scale();
        let x = |x: f32| ((f64::from(x) - f64::from(self.region.x)) * sx + f64::from(self.left)) as f32;
        let y = |y: f32| ((f64::from(y) - f64::from(self.region.y)) * sy + f64::from(self.top)) as f32;
        BoundingBox::new(x(bbox.x0), y(bbox.y0), x(bbox.x1), y(bbox.y1))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn paddings() -> impl Strategy<Value = Padding> {
        prop_oneof![Just(Padding::TopLeft), Just(Padding::Centre), Just(Padding::Stretch)]
    }

    proptest! {
        #[test]
        fn boxes_survive_the_round_trip(
            (w, h) in (1u32..4000, 1u32..4000), (iw, ih) in (8u32..1300, 8u32..1300), (x, y) in (0u32..3000, 0u32..3000),
            padding in paddings(), (bx, by, bw, bh) in (0f32..1.0, 0f32..1.0, 0.1f32..1.0, 0.1f32..1.0),
        ) {
            let region = Region { x, y, width: w, height: h };
            let geometry = Geometry::fit(region, iw, ih, padding);
            prop_assert!(geometry.left + geometry.width <= iw && geometry.top + geometry.height <= ih);
            let bbox = BoundingBox::from_xywh(
                x as f32 + bx * w as f32, y as f32 + by * h as f32, bw * w as f32, bh * h as f32,
            );
            let back = geometry.to_picture(&geometry.to_input(&bbox));
            for (a, b) in [(back.x0, bbox.x0), (back.y0, bbox.y0), (back.x1, bbox.x1), (back.y1, bbox.y1)] {
                // Single precision at the input's resolution, seen at the picture's.
                prop_assert!((a - b).abs() <= 1e-3 + 1e-6 * (w.max(h) as f32) * 8.0, "{back:?} {bbox:?}");
            }
        }

        #[test]
        fn kept_proportions_touch_one_pair_of_edges(
            (w, h) in (16u32..4000, 16u32..4000), (iw, ih) in (64u32..1300, 64u32..1300),
        ) {
            let geometry = Geometry::fit(Region::whole(w, h), iw, ih, Padding::Centre);
            prop_assert!(geometry.width == iw || geometry.height == ih);
        }
    }

    #[test]
    fn a_box_outside_covers_nothing() {
        assert_eq!(Region::covering(&BoundingBox::new(-5.0, 0.0, -1.0, 9.0), 10, 10), None);
        assert_eq!(
            Region::covering(&BoundingBox::new(f32::NAN, 0.0, 1.0, 9.0), 10, 10),
            None
        );
        let corner = Region::covering(&BoundingBox::new(8.5, 8.5, 20.0, 20.0), 10, 10).unwrap();
        assert_eq!((corner.x, corner.width), (8, 2));
    }
}
