//! Surfaces as the shader sees them: inverse depth, texture coordinates and radiance, linear in a pixel's ray.

use nalgebra::{Matrix3, Vector3};

use super::texture;
use crate::sim::environment::{Light, Material, Texture};

/// A flat surface in the camera frame. With the ray (x, y, 1) of a pixel: inverse depth = `plane` · ray, and with the depth z:
/// u = `u`[3] + z · (`u`[0..3] · ray), v likewise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surface {
    pub(super) plane: [f32; 3],
    pub(super) u: [f32; 4],
    pub(super) v: [f32; 4],
    /// Radiance where the sun shines on it, for a pattern factor of one.
    pub(super) lit: [f32; 3],
    /// Radiance in the shadow.
    pub(super) shaded: [f32; 3],
    /// Share of the radiance without pattern, and share for one unit of the pattern.
    pub(super) pattern_mix: [f32; 2],
    pub(super) pattern: usize,
    /// Tiles that a pixel covers at one metre, looking straight at the surface.
    pub(super) footprint: f32,
    /// Distance of its plane from the camera, metres: with the depth it gives the angle of incidence.
    pub(super) offset_m: f32,
}

/// The light in the camera frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct CameraLight {
    pub(super) light: Light,
    pub(super) towards_sun: Vector3<f32>,
    pub(super) up: Vector3<f32>,
    /// One over the focal length in pixels.
    pub(super) per_px: f32,
}

impl CameraLight {
    pub(super) fn new(light: &Light, camera_from_world: &Matrix3<f64>, focal_px: f32) -> Self {
        Self {
            light: *light,
            towards_sun: (camera_from_world * light.towards_sun).cast(),
            up: (camera_from_world * Vector3::z()).cast(),
            per_px: 1.0 / focal_px,
        }
    }
}

/// How the pattern lies on a surface, in the camera frame: the directions of u and v and the point at which both are zero.
pub(super) struct Layout {
    pub(super) along: Vector3<f32>,
    pub(super) across: Vector3<f32>,
    pub(super) origin: Vector3<f32>,
    /// Tile coordinates at the origin.
    pub(super) start: [f32; 2],
}

impl Surface {
    /// The surface through `point` with a unit normal that points towards the camera's side.
    pub(super) fn new(
        normal: &Vector3<f32>,
        point: &Vector3<f32>,
        material: &Material,
        glow: f32,
        layout: &Layout,
        light: &CameraLight,
    ) -> Self {
        let offset = normal.dot(point);
        let safe = if offset.abs() < 1e-6 { -1e-6 } else { offset };
        let per_tile = 1.0 / material.tile_m.max(1e-3);
        let coordinates = |axis: &Vector3<f32>, start: f32| {
            let axis = axis * per_tile;
            [axis.x, axis.y, axis.z, start - axis.dot(&layout.origin)]
        };
        // Half of the sky lights a wall, all of it a roof; the ground gives a little back.
        let sky = 0.65 + 0.35 * normal.dot(&light.up);
        let sun = normal.dot(&light.towards_sun).max(0.0);
        let mut lit = [0.0; 3];
        let mut shaded = [0.0; 3];
        for channel in 0..3 {
            let color = material.color[channel];
            shaded[channel] = color * (light.light.ambient[channel] * sky + glow);
            lit[channel] = shaded[channel] + color * light.light.sun[channel] * sun;
        }
        let contrast = if material.texture == Texture::Plain {
            0.0
        } else {
            material.contrast
        };
        Self {
            plane: [normal.x / safe, normal.y / safe, normal.z / safe],
            u: coordinates(&layout.along, layout.start[0]),
            v: coordinates(&layout.across, layout.start[1]),
            lit,
            shaded,
            pattern_mix: [1.0 - contrast, contrast / 128.0],
            pattern: texture::index(material.texture),
            footprint: light.per_px * per_tile,
            offset_m: offset.abs().max(1e-3),
        }
    }
}
