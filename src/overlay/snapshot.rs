//! One picture with its overlay as a JPEG file in memory.

use jpeg_encoder::{ColorType, Encoder, EncodingError};
use thiserror::Error;

use super::canvas::matrix_of;
use super::{Overlay, PictureMut};
use crate::frame::{Picture, PictureError, PixelFormat};
use crate::results::FrameResults;

/// How a snapshot is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotOptions {
    /// JPEG quality, 1 to 100.
    pub quality: u8,
    /// Wider pictures are scaled down to this width, pixels.
    pub max_width: u32,
}

impl Default for SnapshotOptions {
    fn default() -> Self {
        Self {
            quality: 80,
            max_width: 1280,
        }
    }
}

/// Why there is no snapshot.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// The scaled picture is none.
    #[error("a snapshot of a {width}×{height} picture, at most {max_width} wide: {source}")]
    Picture {
        /// Width of the picture given.
        width: u32,
        /// Height of the picture given.
        height: u32,
        /// The limit asked for.
        max_width: u32,
        /// What is wrong with it.
        source: PictureError,
    },
    /// A JPEG file holds at most 65,535 pixels each way.
    #[error("a JPEG picture holds at most 65535×65535 pixels, found {width}×{height}")]
    TooLarge {
        /// Width found.
        width: u32,
        /// Height found.
        height: u32,
    },
    /// The encoder's reason.
    #[error("the snapshot cannot be encoded: {0}")]
    Encode(#[from] EncodingError),
}

/// `picture`, scaled down where it is wider than asked, with what `overlay` draws of `results`, as a JPEG file.
pub fn snapshot_jpeg(
    overlay: &mut Overlay,
    picture: &Picture,
    results: &FrameResults,
    options: SnapshotOptions,
) -> Result<Vec<u8>, SnapshotError> {
    let width = picture.width().min(options.max_width);
    let height = (u64::from(picture.height()) * u64::from(width) / u64::from(picture.width())).max(1) as u32;
    let (Ok(jpeg_width), Ok(jpeg_height)) = (u16::try_from(width), u16::try_from(height)) else {
        return Err(SnapshotError::TooLarge { width, height });
    };
    let mut rgb = rgb_scaled(picture, width, height);
    let mut canvas =
        PictureMut::packed(PixelFormat::Rgb, width, height, &mut rgb).map_err(|source| SnapshotError::Picture {
            width: picture.width(),
            height: picture.height(),
            max_width: options.max_width,
            source,
        })?;
    overlay.draw(&mut canvas, results);
    let mut file = Vec::new();
    Encoder::new(&mut file, options.quality.clamp(1, 100)).encode(&rgb, jpeg_width, jpeg_height, ColorType::Rgb)?;
    Ok(file)
}

/// Packed RGB of the given, not larger size: each pixel is the mean of those it covers.
fn rgb_scaled(picture: &Picture, width: u32, height: u32) -> Vec<u8> {
    let (from_width, from_height) = (picture.width() as usize, picture.height() as usize);
    let (width, height) = (width as usize, height as usize);
    let (kr, kb, full) = matrix_of(picture.color());
    let (offset, luma_gain, chroma_gain) = if full {
        (0.0, 1.0, 1.0)
    } else {
        (16.0, 255.0 / 219.0, 255.0 / 224.0)
    };
    let kg = 1.0 - kr - kb;
    let (red, blue) = (2.0 * (1.0 - kr) * chroma_gain, 2.0 * (1.0 - kb) * chroma_gain);
    let sample = |plane: usize, x: usize, y: usize| {
        let plane = &picture.planes()[plane];
        plane.data.get(y * plane.stride + x).copied().map_or(0.0, f32::from)
    };
    let yuv = |y: f32, u: f32, v: f32| {
        let (luma, cb, cr) = ((y - offset) * luma_gain, u - 128.0, v - 128.0);
        let green = luma - (kr * red * cr + kb * blue * cb) / kg;
        [luma + red * cr, green, luma + blue * cb]
    };
    let pixel = |x: usize, y: usize| match picture.format() {
        PixelFormat::Gray8 => yuv(sample(0, x, y), 128.0, 128.0),
        PixelFormat::Nv12 => yuv(
            sample(0, x, y),
            sample(1, x / 2 * 2, y / 2),
            sample(1, x / 2 * 2 + 1, y / 2),
        ),
        PixelFormat::I420 => yuv(sample(0, x, y), sample(1, x / 2, y / 2), sample(2, x / 2, y / 2)),
        PixelFormat::Rgb => [0, 1, 2].map(|c| sample(0, x * 3 + c, y)),
        PixelFormat::Bgr => [2, 1, 0].map(|c| sample(0, x * 3 + c, y)),
        PixelFormat::Rgbx => [0, 1, 2].map(|c| sample(0, x * 4 + c, y)),
        PixelFormat::Bgrx => [2, 1, 0].map(|c| sample(0, x * 4 + c, y)),
    };
    let mut rgb = Vec::with_capacity(width * height * 3);
    for row in 0..height {
        let rows = row * from_height / height..((row + 1) * from_height).div_ceil(height);
        for column in 0..width {
            let columns = column * from_width / width..((column + 1) * from_width).div_ceil(width);
            let mut sum = [0.0f32; 3];
            for y in rows.clone() {
                for x in columns.clone() {
                    let found = pixel(x, y);
                    sum.iter_mut().zip(found).for_each(|(sum, found)| *sum += found);
                }
            }
            let count = (rows.len() * columns.len()).max(1) as f32;
            rgb.extend(sum.map(|sum| (sum / count).round().clamp(0.0, 255.0) as u8));
        }
    }
    rgb
}
