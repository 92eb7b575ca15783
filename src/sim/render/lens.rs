//! The lens: the ray of every pixel, and where a point of the camera frame appears.

use nalgebra::{Point2, Point3, Vector3};

use crate::camera::{Distortion, Intrinsics};

/// Nearer than this nothing is drawn, metres.
pub(super) const NEAR_M: f32 = 0.08;

/// How far beyond the picture's edge surfaces are still drawn, of the tangent at the edge: enough that a clipped edge
/// never shows inside a distorted picture.
const FRUSTUM_MARGIN: f32 = 1.05;

/// A camera's rays.
#[derive(Debug)]
pub(super) struct Lens {
    pub(super) width: usize,
    pub(super) height: usize,
    /// For every pixel's centre, x / z of its ray.
    pub(super) ray_x: Vec<f32>,
    /// For every pixel's centre, y / z of its ray.
    pub(super) ray_y: Vec<f32>,
    pub(super) fx: f32,
    pub(super) fy: f32,
    cx: f32,
    cy: f32,
    /// Least and largest tangents (x0, x1, y0, y1) of what the picture shows, with the margin.
    bounds: [f32; 4],
    /// Distorting lenses bend straight edges, so that long ones are drawn in pieces.
    pub(super) bends: bool,
    intrinsics: Intrinsics,
    /// Tangent up to which the distortion model is asked; beyond, it is continued along the radius.
    r_max: f64,
}

impl Lens {
    pub(super) fn new(intrinsics: &Intrinsics) -> Self {
        let (width, height) = (intrinsics.width as usize, intrinsics.height as usize);
        let mut ray_x = Vec::with_capacity(width * height);
        let mut ray_y = Vec::with_capacity(width * height);
        let tangent = |x: f64, y: f64| match intrinsics.unproject(&Point2::new(x, y)) {
            Ok(ray) if ray.z > 0.05 => (ray.x / ray.z, ray.y / ray.z),
            // Where the lens shows nothing the pinhole's ray stands in.
            _ => ((x - intrinsics.cx) / intrinsics.fx, (y - intrinsics.cy) / intrinsics.fy),
        };
        let (mut x0, mut x1, mut y0, mut y1) = (f64::MAX, f64::MIN, f64::MAX, f64::MIN);
        let mut r_max = 0f64;
        for row in 0..height {
            for column in 0..width {
                let (x, y) = tangent(column as f64 + 0.5, row as f64 + 0.5);
                ray_x.push(x as f32);
                ray_y.push(y as f32);
                (x0, x1, y0, y1) = (x0.min(x), x1.max(x), y0.min(y), y1.max(y));
                r_max = r_max.max(x.hypot(y));
            }
        }
        let pixel = (1.0 / intrinsics.fx.min(intrinsics.fy)) as f32;
        let widen = |bound: f64| {
            let bound = bound as f32;
            bound * FRUSTUM_MARGIN + pixel.copysign(bound)
        };
        Self {
            width,
            height,
            ray_x,
            ray_y,
            fx: intrinsics.fx as f32,
            fy: intrinsics.fy as f32,
            cx: intrinsics.cx as f32,
            cy: intrinsics.cy as f32,
            bounds: [widen(x0), widen(x1), widen(y0), widen(y1)],
            bends: intrinsics.distortion != Distortion::None,
            intrinsics: *intrinsics,
            r_max,
        }
    }

    /// The pixel of a point in front of the camera.
    pub(super) fn project(&self, point: &Vector3<f32>) -> [f32; 2] {
        let (x, y) = (point.x / point.z, point.y / point.z);
        if !self.bends {
            return [self.fx * x + self.cx, self.fy * y + self.cy];
        }
        let r = f64::from(x).hypot(f64::from(y));
        let inside = if r > self.r_max { self.r_max / r } else { 1.0 };
        let asked = Point3::new(f64::from(x) * inside, f64::from(y) * inside, 1.0);
        let at = self.intrinsics.project(&asked).map_or([f64::NAN; 2], |at| [at.x, at.y]);
        let beyond = 1.0 - inside as f32;
        [at[0] as f32 + self.fx * x * beyond, at[1] as f32 + self.fy * y * beyond]
    }

    /// The planes that bound what is drawn: a point is inside when every product with its coordinates plus the offset is
    /// positive.
    fn planes(&self) -> [(Vector3<f32>, f32); 5] {
        let [x0, x1, y0, y1] = self.bounds;
        [
            (Vector3::new(0.0, 0.0, 1.0), -NEAR_M),
            (Vector3::new(1.0, 0.0, -x0), 0.0),
            (Vector3::new(-1.0, 0.0, x1), 0.0),
            (Vector3::new(0.0, 1.0, -y0), 0.0),
            (Vector3::new(0.0, -1.0, y1), 0.0),
        ]
    }

    /// Whether a ball round `center` may be seen.
    pub(super) fn sees(&self, center: &Vector3<f32>, radius_m: f32) -> bool {
        self.planes()
            .iter()
            .all(|(normal, offset)| normal.dot(center) + offset > -radius_m * normal.norm())
    }

    /// Cuts a convex polygon to what is drawn; `polygon` may come out empty.
    pub(super) fn clip(&self, polygon: &mut Vec<Vector3<f32>>, scratch: &mut Vec<Vector3<f32>>) {
        for (normal, offset) in self.planes() {
            let side = |point: &Vector3<f32>| normal.dot(point) + offset;
            if polygon.iter().all(|point| side(point) > 0.0) {
                continue;
            }
            scratch.clear();
            for (index, to) in polygon.iter().enumerate() {
                let from = &polygon[if index == 0 { polygon.len() - 1 } else { index - 1 }];
                let (a, b) = (side(from), side(to));
                if (a > 0.0) != (b > 0.0) {
                    scratch.push(from + (to - from) * (a / (a - b)));
                }
                if b > 0.0 {
                    scratch.push(*to);
                }
            }
            std::mem::swap(polygon, scratch);
            if polygon.len() < 3 {
                polygon.clear();
                return;
            }
        }
    }
}
