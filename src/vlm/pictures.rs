//! Pictures of records with the boxes drawn in, as large models are shown them.

use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use thiserror::Error;

use crate::stkit::{COLORS, Record};

/// The longer side of the pictures that are shown, pixels.
const MAX_SIDE: u32 = 768;
/// Width of a drawn box, as a share of the picture's longer side.
const BOX_SHARE: f64 = 0.004;

/// Why a picture cannot be read.
#[derive(Debug, Error)]
#[error("{}: {message}", path.display())]
pub struct PictureFileError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub message: String,
}

/// Width and height of a picture when its longer side is at most 768 pixels.
pub fn fitted(width: u32, height: u32) -> (u32, u32) {
    let scale = (f64::from(MAX_SIDE) / f64::from(width.max(height).max(1))).min(1.0);
    let side = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
    (side(width), side(height))
}

/// The red, green and blue of a box's colour by its name; red for a name that is none.
pub fn color_of(name: &str) -> [u8; 3] {
    let known = COLORS.iter().find(|(known, _)| *known == name);
    known.map_or([255, 0, 0], |(_, color)| *color)
}

/// Reads a picture file, shrunk so that its longer side is at most 768 pixels.
///
/// # Errors
/// The file cannot be read, or is no JPEG or PNG picture.
pub fn read_picture(path: &Path) -> Result<RgbImage, PictureFileError> {
    let picture = image::open(path).map_err(|error| PictureFileError {
        path: path.to_owned(),
        message: error.to_string(),
    })?;
    let picture = picture.into_rgb8();
    let (width, height) = fitted(picture.width(), picture.height());
    Ok(if (width, height) == picture.dimensions() {
        picture
    } else {
        image::imageops::thumbnail(&picture, width, height)
    })
}

/// The picture of a frame with the boxes of its time.
///
/// # Errors
/// As [`read_picture`].
pub fn marked_picture(path: &Path, record: &Record, time_s: f64) -> Result<RgbImage, PictureFileError> {
    let mut picture = read_picture(path)?;
    // Boxes are in pixels of the camera, which the picture may be a resized copy of.
    let described = match record.camera {
        Some(camera) => (camera.width, camera.height),
        None => image::image_dimensions(path).unwrap_or(picture.dimensions()),
    };
    let (across, down) = (
        f64::from(picture.width()) / f64::from(described.0.max(1)),
        f64::from(picture.height()) / f64::from(described.1.max(1)),
    );
    for object in &record.objects {
        for [_, x0, y0, x1, y1] in object.boxes.iter().filter(|[at_s, ..]| (at_s - time_s).abs() < 1e-3) {
            let edges = [x0 * across, y0 * down, x1 * across, y1 * down];
            draw_box(&mut picture, edges, color_of(&object.color));
        }
    }
    Ok(picture)
}

/// Draws a rectangle's outline, its edges (left, top, right, bottom) in pixels; what lies beyond the picture is cut.
pub fn draw_box(picture: &mut RgbImage, edges: [f64; 4], color: [u8; 3]) {
    let (width, height) = (i64::from(picture.width()), i64::from(picture.height()));
    let thick = ((width.max(height) as f64 * BOX_SHARE).round() as i64).max(2);
    let [x0, y0, x1, y1] = edges.map(|edge| edge.round() as i64);
    let mut fill = |from: (i64, i64), to: (i64, i64)| {
        for y in from.1.clamp(0, height)..to.1.clamp(0, height) {
            for x in from.0.clamp(0, width)..to.0.clamp(0, width) {
                picture.put_pixel(x as u32, y as u32, Rgb(color));
            }
        }
    };
    fill((x0, y0), (x1, y0 + thick));
    fill((x0, y1 - thick), (x1, y1));
    fill((x0, y0), (x0 + thick, y1));
    fill((x1 - thick, y0), (x1, y1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_beyond_the_edge_is_cut() {
        let mut picture = RgbImage::new(20, 10);
        draw_box(&mut picture, [-5.0, 2.0, 30.0, 8.0], [255, 0, 0]);
        assert_eq!(picture.get_pixel(10, 2), &Rgb([255, 0, 0]));
        assert_eq!(picture.get_pixel(10, 5), &Rgb([0, 0, 0]));
    }

    #[test]
    fn large_pictures_are_shrunk_and_small_ones_kept() {
        assert_eq!(fitted(1920, 1080), (768, 432));
        assert_eq!(fitted(1080, 1920), (432, 768));
        assert_eq!(fitted(640, 384), (640, 384));
        assert_eq!(fitted(100_000, 1), (768, 1));
    }
}
