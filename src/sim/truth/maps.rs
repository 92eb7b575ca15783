//! Depth and instance masks as 16-bit grey PNG.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use super::error::TruthError;

/// Depth pictures count in this unit, metres: 16 bits reach 655 m in steps of a centimetre.
pub const METRES_PER_UNIT: f64 = 0.01;

/// Writes depth along the optical axis in units of [`METRES_PER_UNIT`], rounded; 0 in the sky and beyond 655.35 m.
/// `scratch` is memory that is used again.
pub fn write_depth(
    path: &Path,
    width: u32,
    height: u32,
    depth_m: &[f32],
    scratch: &mut Vec<u8>,
) -> Result<(), TruthError> {
    let units_per_metre = METRES_PER_UNIT.recip() as f32;
    scratch.clear();
    scratch.extend(depth_m.iter().flat_map(|depth_m| {
        let units = (depth_m * units_per_metre).round();
        let kept = if units >= 0.0 && units <= f32::from(u16::MAX) {
            units as u16
        } else {
            0
        };
        kept.to_ne_bytes()
    }));
    write_grey(path, width, height, ExtendedColorType::L16, scratch)
}

/// Writes the id of the actor that each pixel shows, 0 for what stands still. `scratch` is memory that is used again.
pub fn write_instances(
    path: &Path,
    width: u32,
    height: u32,
    instance: &[u16],
    scratch: &mut Vec<u8>,
) -> Result<(), TruthError> {
    scratch.clear();
    scratch.extend(instance.iter().flat_map(|id| id.to_ne_bytes()));
    write_grey(path, width, height, ExtendedColorType::L16, scratch)
}

/// Writes a grey PNG; samples are as in memory.
pub(super) fn write_grey(
    path: &Path,
    width: u32,
    height: u32,
    color: ExtendedColorType,
    samples: &[u8],
) -> Result<(), TruthError> {
    let file = BufWriter::new(File::create(path).map_err(TruthError::io(path))?);
    PngEncoder::new_with_quality(file, CompressionType::Fast, FilterType::Adaptive)
        .write_image(samples, width, height, color)
        .map_err(|error| TruthError::Picture {
            path: path.to_owned(),
            reason: error.to_string(),
        })
}
