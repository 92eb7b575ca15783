//! Rays of working pixels, and which of them lie on things that may move.

use std::sync::Arc;

use nalgebra::{Isometry3, Point2, Point3, Vector3};

use crate::camera::{Distortion, Intrinsics};
use crate::detection::{BoundingBox, ClassLabel, Mask};
use crate::tracking::Track;

/// A part of the picture that shows a thing of a class that may move.
#[derive(Clone, Debug)]
pub struct MovableRegion {
    /// Where, pixels of the whole picture.
    pub bbox: BoundingBox,
    /// Which part of the box, when known.
    pub mask: Option<Arc<Mask>>,
    /// What it is.
    pub class: ClassLabel,
}

/// Classes that detectors know and that stay where they are.
const FIXED: [&str; 16] = [
    "traffic light",
    "fire hydrant",
    "stop sign",
    "parking meter",
    "bench",
    "potted plant",
    "bed",
    "couch",
    "dining table",
    "toilet",
    "tv",
    "microwave",
    "oven",
    "toaster",
    "sink",
    "refrigerator",
];

impl MovableRegion {
    /// Where tracks say that something may move; lost ones where they are predicted. Classes that are not known as fixed may
    /// move.
    pub fn of_tracks(tracks: &[Track]) -> Vec<Self> {
        tracks
            .iter()
            .filter(|track| !FIXED.contains(&track.class.as_str()) && track.bbox.is_valid())
            .map(|track| Self {
                bbox: track.bbox,
                mask: track.mask.clone(),
                class: track.class,
            })
            .collect()
    }
}

/// A region is dilated by this share of its size …
const DILATION: f32 = 0.06;
/// … and this many pixels.
const DILATION_PX: f32 = 4.0;

/// Rays are used up to 80° aside: length of (x / z, y / z, 1).
const MAX_SLANT: f64 = 1.0 / 0.17;

/// Intrinsics of the reduced picture.
#[derive(Clone, Debug)]
pub(crate) struct Lens {
    intrinsics: Intrinsics,
    /// Focal lengths and principal point of a lens without distortion.
    pinhole: Option<[f32; 4]>,
    /// Mean focal length, working pixels.
    pub focal: f64,
    pub width: f32,
    pub height: f32,
}

impl Lens {
    /// For pictures with these intrinsics, reduced by a whole factor.
    pub fn new(intrinsics: &Intrinsics, factor: u32) -> Self {
        let scale = 1.0 / f64::from(factor);
        let reduced = Intrinsics {
            fx: intrinsics.fx * scale,
            fy: intrinsics.fy * scale,
            cx: intrinsics.cx * scale,
            cy: intrinsics.cy * scale,
            width: intrinsics.width / factor,
            height: intrinsics.height / factor,
            distortion: intrinsics.distortion,
        };
        Self {
            focal: (reduced.fx * reduced.fy).sqrt(),
            width: reduced.width as f32,
            height: reduced.height as f32,
            pinhole: (reduced.distortion == Distortion::None)
                .then(|| [reduced.fx, reduced.fy, reduced.cx, reduced.cy].map(|value| value as f32)),
            intrinsics: reduced,
        }
    }

    /// The ray of a position, (x / z, y / z, 1); `None` where the lens shows nothing or looks more than 80° aside.
    pub fn ray(&self, position: &Point2<f32>) -> Option<Vector3<f64>> {
        let pixel = Point2::new(f64::from(position.x), f64::from(position.y));
        if self.intrinsics.distortion == Distortion::None {
            let Intrinsics { fx, fy, cx, cy, .. } = self.intrinsics;
            let ray = Vector3::new((pixel.x - cx) / fx, (pixel.y - cy) / fy, 1.0);
            return (ray.norm_squared() < MAX_SLANT * MAX_SLANT).then_some(ray);
        }
        let ray = self.intrinsics.unproject(&pixel).ok()?;
        (ray.z * MAX_SLANT > 1.0).then(|| ray.into_inner() / ray.z)
    }

    /// Where a point of the camera frame is seen; it may lie outside of the picture.
    pub fn project(&self, point: &Vector3<f64>) -> Option<Point2<f32>> {
        let pixel = self.intrinsics.project(&Point3::from(*point))?;
        Some(Point2::new(pixel.x as f32, pixel.y as f32))
    }

    /// The same for many points: as exact as a picture is read.
    #[inline]
    pub fn project_quickly(&self, point: &Vector3<f32>) -> Option<Point2<f32>> {
        let Some([fx, fy, cx, cy]) = self.pinhole else {
            return self.project(&point.cast());
        };
        let inverse = 1.0 / point.z;
        let at = Point2::new(fx * (point.x * inverse) + cx, fy * (point.y * inverse) + cy);
        (point.z > 0.0 && at.x.is_finite() && at.y.is_finite()).then_some(at)
    }

    /// Whether a position lies inside the picture by a margin, pixels.
    pub fn shows(&self, position: &Point2<f32>, margin: f32) -> bool {
        position.x >= margin
            && position.y >= margin
            && position.x < self.width - margin
            && position.y < self.height - margin
    }
}

/// Where nothing may be followed.
#[derive(Debug)]
pub(crate) struct Excluded<'a> {
    regions: &'a [MovableRegion],
    factor: f32,
}

impl<'a> Excluded<'a> {
    pub fn new(regions: &'a [MovableRegion], factor: u32) -> Self {
        Self {
            regions,
            factor: factor as f32,
        }
    }

    /// Whether a working position lies on or close to something that may move.
    pub fn contains(&self, position: &Point2<f32>) -> bool {
        let at = position * self.factor;
        self.regions.iter().any(|region| {
            let bbox = &region.bbox;
            let (rim_x, rim_y) = (
                bbox.width() * DILATION + DILATION_PX * self.factor,
                bbox.height() * DILATION + DILATION_PX * self.factor,
            );
            let inside =
                at.x > bbox.x0 - rim_x && at.x < bbox.x1 + rim_x && at.y > bbox.y0 - rim_y && at.y < bbox.y1 + rim_y;
            inside
                && region
                    .mask
                    .as_deref()
                    .is_none_or(|mask| touches(mask, bbox, at, rim_x, rim_y))
        })
    }
}

/// Whether a mask has something within the rim of a point.
fn touches(mask: &Mask, bbox: &BoundingBox, at: Point2<f32>, rim_x: f32, rim_y: f32) -> bool {
    [-1.0, 0.0, 1.0].into_iter().any(|dy| {
        [-1.0, 0.0, 1.0].into_iter().any(|dx| {
            let u = (at.x + dx * rim_x - bbox.x0) / bbox.width();
            let v = (at.y + dy * rim_y - bbox.y0) / bbox.height();
            if !(0.0..1.0).contains(&u) || !(0.0..1.0).contains(&v) {
                return false;
            }
            let (x, y) = ((u * mask.width as f32) as usize, (v * mask.height as f32) as usize);
            mask.cells
                .get(y * mask.width as usize + x)
                .is_some_and(|cell| *cell >= 128)
        })
    })
}

/// What is expected of the ground, where no depth network looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroundPrior {
    /// Downward in the camera frame now.
    pub down_in_camera: Vector3<f64>,
    /// Height of the camera over the ground, map units.
    pub height: f64,
    /// Relative standard deviation of the height.
    pub height_sigma: f64,
    /// Standard deviation of the tilt, radians.
    pub tilt_sigma_rad: f64,
    /// Map units to a metre.
    pub to_map: f64,
}

impl GroundPrior {
    /// Inverse depth of the ground along a ray, with its standard deviation; `None` where the ray does not surely look
    /// down. What stands on the ground hides it, so the true inverse depth may well be larger.
    pub fn inverse_depth(&self, ray: &Vector3<f64>) -> Option<(f64, f64)> {
        let inverse_depth = self.down_in_camera.dot(ray) / self.height;
        let sigma = (self.tilt_sigma_rad * ray.norm() / self.height).hypot(inverse_depth * self.height_sigma.max(0.25));
        (inverse_depth > 2.0 * self.tilt_sigma_rad / self.height).then_some((inverse_depth, sigma))
    }

    /// As a camera over the ground sees it.
    pub fn of(
        world_from_camera: &Isometry3<f64>,
        height_m: f64,
        to_map: f64,
        height_sigma: f64,
        tilt_sigma_rad: f64,
    ) -> Self {
        Self {
            down_in_camera: world_from_camera.rotation.inverse() * -Vector3::z(),
            height: height_m * to_map,
            height_sigma,
            tilt_sigma_rad,
            to_map,
        }
    }
}
