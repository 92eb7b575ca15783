//! Smooth-edged shapes: each pixel's opacity is its coverage, taken from the signed distance to the shape's edge.

use super::canvas::{Area, Ink, OPAQUE, PictureMut};

/// A point in pixels; whole numbers are pixels' top-left corners.
pub(super) type Point = (f32, f32);

/// Draws a straight line with round ends.
pub(super) fn line(picture: &mut PictureMut, from: Point, to: Point, thickness: f32, ink: &Ink, opacity: f32) {
    let radius = thickness / 2.0;
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let length_squared = dx * dx + dy * dy;
    let length = length_squared.sqrt();
    if !length.is_finite() {
        return;
    }
    let reach = radius + 1.0;
    let bounds = bounds_of(&[from, to], reach).intersection(&picture.clip());
    for y in bounds.y0..bounds.y1 {
        let py = y as f32 + 0.5 - from.1;
        // Where this row meets the band around the line: the rest of a long diagonal's bounding box is empty.
        let (mut x0, mut x1) = (bounds.x0, bounds.x1);
        if dy.abs() > 1e-3 {
            let middle = from.0 + py * dx / dy;
            let half = reach * length / dy.abs() + 1.0;
            x0 = x0.max((middle - half).floor() as i32);
            x1 = x1.min((middle + half).ceil() as i32);
        }
        for x in x0..x1 {
            let px = x as f32 + 0.5 - from.0;
            let along = if length_squared > 0.0 {
                ((px * dx + py * dy) / length_squared).clamp(0.0, 1.0)
            } else {
                0.0
            };
            let distance = (px - along * dx).hypot(py - along * dy) - radius;
            cover(picture, x, y, distance, ink, opacity);
        }
    }
}

/// The pieces of a dashed line, for lines of the given thickness: dashes and the gaps between their round ends are about
/// four times as long as thick.
pub(super) fn dashes(from: Point, to: Point, thickness: f32) -> impl Iterator<Item = (Point, Point)> {
    let length = (to.0 - from.0).hypot(to.1 - from.1);
    let (dash, period) = (thickness * 3.0, thickness * 8.0);
    let count = if length.is_finite() {
        (length / period).ceil()
    } else {
        0.0
    };
    let at = move |distance: f32| {
        let share = (distance / length).min(1.0);
        (from.0 + share * (to.0 - from.0), from.1 + share * (to.1 - from.1))
    };
    (0..count as u32).map(move |index| {
        let start = index as f32 * period;
        (at(start), at(start + dash))
    })
}

/// Draws connected lines.
pub(super) fn polyline(picture: &mut PictureMut, points: &[Point], thickness: f32, ink: &Ink, opacity: f32) {
    for pair in points.windows(2) {
        line(picture, pair[0], pair[1], thickness, ink, opacity);
    }
}

/// Fills a circle.
pub(super) fn disc(picture: &mut PictureMut, center: Point, radius: f32, ink: &Ink, opacity: f32) {
    distance_shape(picture, center, radius, ink, opacity, |r| r - radius);
}

/// Draws a circle's outline.
pub(super) fn ring(picture: &mut PictureMut, center: Point, radius: f32, thickness: f32, ink: &Ink, opacity: f32) {
    let reach = radius + thickness;
    distance_shape(picture, center, reach, ink, opacity, |r| {
        (r - radius).abs() - thickness / 2.0
    });
}

/// Fills a rectangle with rounded corners.
pub(super) fn rounded(picture: &mut PictureMut, area: &Area, radius: f32, ink: &Ink, opacity: f32) {
    let middle = ((area.x0 + area.x1) as f32 / 2.0, (area.y0 + area.y1) as f32 / 2.0);
    let (half_width, half_height) = (area.width() as f32 / 2.0, area.height() as f32 / 2.0);
    let radius = radius.min(half_width).min(half_height);
    let corner = radius.ceil() as i32;
    let full = (opacity * f32::from(OPAQUE)) as u16;
    let drawn = area.intersection(&picture.clip());
    for y in drawn.y0..drawn.y1 {
        if y >= area.y0 + corner && y < area.y1 - corner {
            picture.blend_span(y, area.x0, area.x1, ink, full);
            continue;
        }
        picture.blend_span(y, area.x0 + corner, area.x1 - corner, ink, full);
        for x in (area.x0..area.x0 + corner).chain((area.x1 - corner).max(area.x0 + corner)..area.x1) {
            let qx = (x as f32 + 0.5 - middle.0).abs() - half_width + radius;
            let qy = (y as f32 + 0.5 - middle.1).abs() - half_height + radius;
            cover(picture, x, y, qx.max(0.0).hypot(qy.max(0.0)) - radius, ink, opacity);
        }
    }
}

fn distance_shape(
    picture: &mut PictureMut,
    center: Point,
    reach: f32,
    ink: &Ink,
    opacity: f32,
    distance: impl Fn(f32) -> f32,
) {
    if !(center.0.is_finite() && center.1.is_finite() && reach.is_finite()) {
        return;
    }
    let bounds = bounds_of(&[center], reach + 1.0).intersection(&picture.clip());
    for y in bounds.y0..bounds.y1 {
        for x in bounds.x0..bounds.x1 {
            let from_center = (x as f32 + 0.5 - center.0).hypot(y as f32 + 0.5 - center.1);
            cover(picture, x, y, distance(from_center), ink, opacity);
        }
    }
}

/// Blends one pixel by how much of it lies inside a shape whose edge is `distance` away (negative inside).
fn cover(picture: &mut PictureMut, x: i32, y: i32, distance: f32, ink: &Ink, opacity: f32) {
    let coverage = (0.5 - distance).clamp(0.0, 1.0);
    if coverage > 0.0 {
        picture.blend(x, y, ink, (coverage * opacity * f32::from(OPAQUE)) as u16);
    }
}

fn bounds_of(points: &[Point], reach: f32) -> Area {
    let mut bounds = Area::new(i32::MAX, i32::MAX, i32::MIN, i32::MIN);
    for (x, y) in points {
        bounds.x0 = bounds.x0.min((x - reach).floor() as i32);
        bounds.y0 = bounds.y0.min((y - reach).floor() as i32);
        bounds.x1 = bounds.x1.max((x + reach).ceil() as i32);
        bounds.y1 = bounds.y1.max((y + reach).ceil() as i32);
    }
    bounds
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::frame::PixelFormat;

    /// The summed luma of what `draw` leaves on black, as a number of fully covered pixels.
    fn covered(draw: impl FnOnce(&mut PictureMut, &Ink)) -> f32 {
        let mut data = vec![0u8; 64 * 64];
        let mut picture = PictureMut::packed(PixelFormat::Gray8, 64, 64, &mut data).unwrap();
        let white = picture.ink([255; 3]);
        draw(&mut picture, &white);
        // White of the default, limited range is 235.
        data.iter().map(|sample| f32::from(*sample)).sum::<f32>() / 235.0
    }

    #[test]
    fn shapes_cover_their_area() {
        let disc_area = covered(|picture, ink| disc(picture, (32.0, 32.0), 20.0, ink, 1.0));
        assert!(
            (disc_area / (std::f32::consts::PI * 400.0) - 1.0).abs() < 0.01,
            "{disc_area}"
        );
        let line_area = covered(|picture, ink| line(picture, (10.0, 10.0), (40.0, 50.0), 4.0, ink, 1.0));
        let expected = 50.0 * 4.0 + std::f32::consts::PI * 4.0;
        assert!(
            (line_area / expected - 1.0).abs() < 0.02,
            "{line_area} against {expected}"
        );
        let area = Area::new(4, 6, 50, 30);
        let rounded_area = covered(|picture, ink| rounded(picture, &area, 6.0, ink, 1.0));
        let expected = 46.0 * 24.0 - (4.0 - std::f32::consts::PI) * 36.0;
        assert!(
            (rounded_area / expected - 1.0).abs() < 0.01,
            "{rounded_area} against {expected}"
        );
    }

    #[test]
    fn dashes_leave_as_much_as_they_cover() {
        let pieces: Vec<_> = dashes((0.0, 0.0), (0.0, 160.0), 2.0).collect();
        assert_eq!(pieces.len(), 10);
        assert_eq!(pieces[1], ((0.0, 16.0), (0.0, 22.0)));
        assert_eq!(dashes((0.0, 0.0), (f32::NAN, 3.0), 2.0).count(), 0);
        assert_eq!(dashes((1.0, 1.0), (1.0, 1.0), 2.0).count(), 0);
    }

    #[test]
    fn coordinates_beyond_all_bounds_draw_nothing_and_end() {
        let far = covered(|picture, ink| {
            line(picture, (f32::NAN, 0.0), (3.0, 3.0), 2.0, ink, 1.0);
            line(picture, (1e30, 1e30), (f32::INFINITY, 0.0), 2.0, ink, 1.0);
            disc(picture, (f32::NAN, 3.0), 2.0, ink, 1.0);
            ring(picture, (-500.0, -500.0), 20.0, 2.0, ink, 1.0);
        });
        assert_eq!(far, 0.0);
    }
}
