//! Small pictures: shrunk to what the model sees, with the boxes drawn in.

use super::clip::{VIEW_CHANNELS, VIEW_HEIGHT, VIEW_WIDTH};
use crate::detection::BoundingBox;
use crate::frame::{Picture, PixelFormat};
use crate::vlm::shrink_to;

/// Shrinks a picture of any format to `VIEW_WIDTH · VIEW_HEIGHT · 3` bytes, by averaging samples spread over each cell.
pub fn shrink_picture(picture: &Picture<'_>) -> Vec<u8> {
    shrink_to(picture, VIEW_WIDTH, VIEW_HEIGHT)
}

/// Shrinks a packed RGB picture; `None` when `rgb` does not hold `width · height` pixels, or none.
pub fn shrink(rgb: &[u8], width: usize, height: usize) -> Option<Vec<u8>> {
    let (width, height) = (u32::try_from(width).ok()?, u32::try_from(height).ok()?);
    let picture = Picture::packed(PixelFormat::Rgb, width, height, rgb).ok()?;
    Some(shrink_picture(&picture))
}

/// The brightness of each pixel of a shrunk picture (ITU-R BT.601).
pub fn brightness(rgb: &[u8]) -> Vec<u8> {
    rgb.chunks_exact(3)
        .map(|pixel| {
            let weighted = 77 * u32::from(pixel[0]) + 150 * u32::from(pixel[1]) + 29 * u32::from(pixel[2]);
            (weighted >> 8) as u8
        })
        .collect()
}

/// A view's pixels: colours with the brightness `before` beside them (that of the colours themselves without it).
pub fn with_brightness(rgb: &[u8], before: Option<&[u8]>) -> Vec<u8> {
    let own;
    let before = match before {
        Some(before) if before.len() * 3 == rgb.len() => before,
        _ => {
            own = brightness(rgb);
            &own
        }
    };
    let mut out = Vec::with_capacity(before.len() * VIEW_CHANNELS);
    for (pixel, before) in rgb.chunks_exact(3).zip(before) {
        out.extend_from_slice(pixel);
        out.push(*before);
    }
    out
}

/// Draws a box, given as shares of the picture, one pixel wide.
pub fn draw_box(pixels: &mut [u8], bbox: &BoundingBox, color: [u8; 3]) {
    if !bbox.is_valid() {
        return;
    }
    let place = |share: f32, size: usize| ((share * size as f32).floor().max(0.0) as usize).min(size - 1);
    let (left, right) = (place(bbox.x0, VIEW_WIDTH), place(bbox.x1, VIEW_WIDTH));
    let (top, bottom) = (place(bbox.y0, VIEW_HEIGHT), place(bbox.y1, VIEW_HEIGHT));
    let mut dot = |x: usize, y: usize| {
        let at = (y * VIEW_WIDTH + x) * VIEW_CHANNELS;
        if let Some(pixel) = pixels.get_mut(at..at + 3) {
            pixel.copy_from_slice(&color);
        }
    };
    for x in left..=right {
        dot(x, top);
        dot(x, bottom);
    }
    for y in top..=bottom {
        dot(left, y);
        dot(right, y);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::frame::YuvColor;

    #[test]
    fn a_plain_picture_stays_plain_and_an_edge_stays_in_place() {
        let plain = shrink(&[90; 33 * 21 * 3], 33, 21).unwrap();
        assert!(plain.len() == VIEW_WIDTH * VIEW_HEIGHT * 3 && plain.iter().all(|value| *value == 90));
        let half: Vec<u8> = (0..384 * 640)
            .flat_map(|at| [if at % 640 < 320 { 0 } else { 255 }; 3])
            .collect();
        let half = shrink(&half, 640, 384).unwrap();
        assert_eq!((half[63 * 3], half[64 * 3]), (0, 255));
        assert!(shrink(&[0; 10], 4, 4).is_none());
    }

    #[test]
    fn every_format_shrinks_to_the_same_colours() {
        let (width, height) = (64u32, 40u32);
        let pixels = (width * height) as usize;
        let rgb: Vec<u8> = [200u8, 80, 40].repeat(pixels);
        let packed = Picture::packed(PixelFormat::Rgb, width, height, &rgb).unwrap();
        assert_eq!(shrink_picture(&packed)[..3], [200, 80, 40]);
        // The same colour by BT.601 in full range.
        let luma = vec![111u8; pixels];
        let chroma = [88u8, 191].repeat(pixels / 4);
        let planes = [
            crate::frame::Plane {
                data: &luma,
                stride: width as usize,
            },
            crate::frame::Plane {
                data: &chroma,
                stride: width as usize,
            },
        ];
        let nv12 = Picture::new(PixelFormat::Nv12, width, height, YuvColor::Bt601Full, &planes).unwrap();
        let found = shrink_picture(&nv12);
        for (found, expected) in found[..3].iter().zip([200u8, 80, 40]) {
            assert!(found.abs_diff(expected) <= 2, "{found} for {expected}");
        }
    }

    #[test]
    fn boxes_are_drawn_within_the_picture() {
        let mut pixels = vec![0; VIEW_WIDTH * VIEW_HEIGHT * VIEW_CHANNELS];
        draw_box(&mut pixels, &BoundingBox::new(-0.5, 0.5, 0.25, 2.0), [255, 0, 0]);
        let at = |x: usize, y: usize| pixels[(y * VIEW_WIDTH + x) * VIEW_CHANNELS];
        assert_eq!(
            (at(0, 40), at(32, 60), at(16, 79), at(16, 60), at(40, 40)),
            (255, 255, 255, 0, 0)
        );
    }
}
