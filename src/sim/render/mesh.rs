//! Meshes of flat faces, and the solids they are put together from.

use nalgebra::{Rotation3, Vector3};

use crate::sim::environment::{Material, Prop};

/// One flat convex face; its vertices run counter-clockwise seen from outside.
#[derive(Clone, Debug)]
pub(super) struct Face {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) material: Material,
    /// Light of its own, in units of a fully lit white surface.
    pub(super) glow: f32,
}

/// A body in its own frame (x along the heading, y left, z up, origin in the centre of the underside).
#[derive(Clone, Debug, Default)]
pub(super) struct Mesh {
    pub(super) vertices: Vec<Vector3<f32>>,
    pub(super) faces: Vec<Face>,
    /// Radius of the ball round the origin that holds all of it, metres.
    pub(super) radius_m: f32,
}

impl Mesh {
    pub(super) fn clear(&mut self) {
        self.vertices.clear();
        self.faces.clear();
        self.radius_m = 0.0;
    }

    /// Adds a face.
    pub(super) fn face(&mut self, corners: &[Vector3<f32>], material: Material) {
        self.glowing_face(corners, material, 0.0);
    }

    /// Adds a face that shines.
    pub(super) fn glowing_face(&mut self, corners: &[Vector3<f32>], material: Material, glow: f32) {
        let start = self.vertices.len();
        self.vertices.extend_from_slice(corners);
        for corner in corners {
            self.radius_m = self.radius_m.max(corner.norm());
        }
        let end = self.vertices.len();
        self.faces.push(Face {
            start,
            end,
            material,
            glow,
        });
    }

    /// A box between two corners.
    pub(super) fn cuboid(&mut self, least: Vector3<f32>, most: Vector3<f32>, sides: Material, top: Material) {
        let bottom = [least.x, least.y, most.x, most.y];
        self.frustum(bottom, least.z, bottom, most.z, sides, top);
    }

    /// A box whose top rectangle differs from its bottom rectangle; rectangles are (x0, y0, x1, y1).
    pub(super) fn frustum(
        &mut self,
        bottom: [f32; 4],
        z0: f32,
        top: [f32; 4],
        z1: f32,
        sides: Material,
        lid: Material,
    ) {
        let corners = |[x0, y0, x1, y1]: [f32; 4], z: f32| {
            [(x0, y0), (x1, y0), (x1, y1), (x0, y1)].map(|(x, y)| Vector3::new(x, y, z))
        };
        let (low, high) = (corners(bottom, z0), corners(top, z1));
        for index in 0..4 {
            let next = (index + 1) % 4;
            self.face(&[low[index], low[next], high[next], high[index]], sides);
        }
        self.face(&high, lid);
        self.face(&[low[3], low[2], low[1], low[0]], lid);
    }

    /// A prism of `sides` sides round the axis from `from` to `to`, with two radii.
    pub(super) fn cone(
        &mut self,
        from: Vector3<f32>,
        to: Vector3<f32>,
        radii: [f32; 2],
        sides: usize,
        material: Material,
    ) {
        let axis = to - from;
        let across = if axis.x.abs() < 0.9 * axis.norm() {
            Vector3::x()
        } else {
            Vector3::y()
        };
        let u = axis.cross(&across).normalize();
        let v = axis.normalize().cross(&u);
        let ring = |center: Vector3<f32>, radius: f32| -> Vec<Vector3<f32>> {
            (0..sides)
                .map(|index| {
                    let (sin, cos) = (std::f32::consts::TAU * index as f32 / sides as f32).sin_cos();
                    center + (u * cos + v * sin) * radius
                })
                .collect()
        };
        let (low, mut high) = (ring(from, radii[0]), ring(to, radii[1]));
        for index in 0..sides {
            let next = (index + 1) % sides;
            self.face(&[low[index], low[next], high[next], high[index]], material);
        }
        self.face(&high, material);
        high.clone_from(&low);
        high.reverse();
        self.face(&high, material);
    }

    /// An ellipsoid of `rings` by `2 · rings` faces.
    pub(super) fn ellipsoid(
        &mut self,
        center: Vector3<f32>,
        radii: Vector3<f32>,
        rings: usize,
        material: impl Fn(usize, usize) -> Material,
    ) {
        let point = |ring: usize, segment: usize| {
            let (sin_ring, cos_ring) = (std::f32::consts::PI * ring as f32 / rings as f32).sin_cos();
            let (sin, cos) = (std::f32::consts::PI * segment as f32 / rings as f32).sin_cos();
            center + Vector3::new(sin_ring * cos, sin_ring * sin, -cos_ring).component_mul(&radii)
        };
        for ring in 0..rings {
            for segment in 0..2 * rings {
                let next = segment + 1;
                let material = material(ring, segment);
                let (a, b) = (point(ring, segment), point(ring, next));
                let (c, d) = (point(ring + 1, next), point(ring + 1, segment));
                if ring == 0 {
                    self.face(&[a, c, d], material);
                } else if ring + 1 == rings {
                    self.face(&[a, b, c], material);
                } else {
                    self.face(&[a, b, c, d], material);
                }
            }
        }
    }

    /// Turns the vertices from `start` on about an axis through `pivot`.
    pub(super) fn rotate_from(&mut self, start: usize, pivot: Vector3<f32>, rotation: &Rotation3<f32>) {
        for vertex in &mut self.vertices[start..] {
            *vertex = pivot + rotation * (*vertex - pivot);
        }
    }

    /// Stretches it to fill a box of the given half length, half width and height exactly.
    pub(super) fn fit(&mut self, length: f32, width: f32, height: f32) {
        let mut least = Vector3::repeat(f32::MAX);
        let mut most = Vector3::repeat(f32::MIN);
        for vertex in &self.vertices {
            least = least.inf(vertex);
            most = most.sup(vertex);
        }
        let target_least = Vector3::new(-0.5 * length, -0.5 * width, 0.0);
        let extent = (most - least).map(|extent| extent.max(1e-6));
        let scale = Vector3::new(length, width, height).component_div(&extent);
        self.radius_m = 0.0;
        for vertex in &mut self.vertices {
            *vertex = target_least + (*vertex - least).component_mul(&scale);
            self.radius_m = self.radius_m.max(vertex.norm());
        }
    }
}

/// A prop as a mesh about its base.
pub(super) fn of_prop(prop: &Prop) -> Mesh {
    let mut mesh = Mesh::default();
    match prop {
        Prop::Cuboid {
            size,
            yaw_rad,
            sides,
            top,
            ..
        } => {
            let half = size.cast::<f32>() * 0.5;
            let least = Vector3::new(-half.x, -half.y, 0.0);
            mesh.cuboid(least, Vector3::new(half.x, half.y, size.z as f32), *sides, *top);
            let turn = Rotation3::from_axis_angle(&Vector3::z_axis(), *yaw_rad as f32);
            mesh.rotate_from(0, Vector3::zeros(), &turn);
        }
        Prop::Cylinder {
            radius_m,
            height_m,
            material,
            ..
        } => {
            let radius = *radius_m as f32;
            let sides = if radius < 0.3 { 6 } else { 12 };
            mesh.cone(
                Vector3::zeros(),
                Vector3::new(0.0, 0.0, *height_m as f32),
                [radius; 2],
                sides,
                *material,
            );
        }
        Prop::Ellipsoid { radii, material, .. } => {
            mesh.ellipsoid(Vector3::zeros(), radii.cast(), 5, |_, _| *material);
        }
    }
    mesh
}

/// The point of the world that is the origin of a prop's mesh.
pub(super) fn origin_of(prop: &Prop) -> Vector3<f64> {
    match prop {
        Prop::Cuboid { base, .. } | Prop::Cylinder { base, .. } => base.coords,
        Prop::Ellipsoid { center, .. } => center.coords,
    }
}
