//! From a snapshot to a picture, metric depth and instance masks: a z-buffer of our own.
//!
//! A general renderer would go through a GPU or shade far more than is needed; this one draws flat-shaded triangles with
//! generated textures, and gives the truth of every pixel as a by-product.

use crate::detection::BoundingBox;

/// What an actor looks like in one picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sighting {
    /// The actor's id.
    pub id: u16,
    /// The box round the actor's whole silhouette as far as it lies inside the picture, hidden parts included; pixels.
    pub bbox: BoundingBox,
    /// Pixels of the picture that show the actor.
    pub visible_px: u32,
    /// Pixels that would show it if nothing stood in front of it.
    pub silhouette_px: u32,
    /// Whether its silhouette touches the picture's edge.
    pub truncated: bool,
}

impl Sighting {
    /// The share of the silhouette inside the picture that nothing hides, 0 to 1.
    pub fn visible_fraction(&self) -> f64 {
        if self.silhouette_px == 0 {
            0.0
        } else {
            f64::from(self.visible_px) / f64::from(self.silhouette_px)
        }
    }
}

/// A picture and its truth. All planes have `width · height` pixels, row by row.
#[derive(Clone, Debug, Default)]
pub struct Rendered {
    /// Width, pixels.
    pub width: u32,
    /// Height, pixels.
    pub height: u32,
    /// Packed 8-bit red, green, blue.
    pub rgb: Vec<u8>,
    /// Depth along the optical axis, metres; infinite in the sky.
    pub depth_m: Vec<f32>,
    /// The id of the actor each pixel shows; 0 for what stands still.
    pub instance: Vec<u16>,
    /// The actors with at least one pixel of silhouette inside the picture.
    pub sightings: Vec<Sighting>,
}
