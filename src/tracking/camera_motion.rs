//! How the background moved in the picture since the last frame, and what that does to a box.

use crate::detection::BoundingBox;

/// A homography that takes a background pixel of the last frame given to the tracker to the same spot in this frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CameraMotion {
    matrix: [[f64; 3]; 3],
}

impl CameraMotion {
    /// From a homography, row by row. `None` when it is not finite or cannot be inverted.
    pub fn homography(matrix: [[f64; 3]; 3]) -> Option<Self> {
        let m = &matrix;
        let determinant = m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1])
            - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
            + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0]);
        let finite = matrix.iter().flatten().all(|value| value.is_finite());
        (finite && determinant.abs() > 1e-12).then_some(Self { matrix })
    }

    /// From an affine map: x' = a·x + b·y + c, y' = d·x + e·y + f, given as [[a, b, c], [d, e, f]].
    pub fn affine(rows: [[f64; 3]; 2]) -> Option<Self> {
        Self::homography([rows[0], rows[1], [0.0, 0.0, 1.0]])
    }

    /// Where a pixel goes; `None` when it leaves the picture plane (behind the camera).
    pub fn point(&self, x: f64, y: f64) -> Option<(f64, f64)> {
        let [r0, r1, r2] = &self.matrix;
        let w = r2[0] * x + r2[1] * y + r2[2];
        if w.abs() < 1e-9 || w.signum() != r2[2].signum() {
            return None;
        }
        let moved = ((r0[0] * x + r0[1] * y + r0[2]) / w, (r1[0] * x + r1[1] * y + r1[2]) / w);
        (moved.0.is_finite() && moved.1.is_finite()).then_some(moved)
    }

    /// The map near a pixel: where it goes and how small displacements about it change.
    pub(super) fn near(&self, x: f64, y: f64) -> Option<LocalMotion> {
        let center = self.point(x, y)?;
        let [r0, r1, r2] = &self.matrix;
        let w = r2[0] * x + r2[1] * y + r2[2];
        let jacobian = [
            [(r0[0] - center.0 * r2[0]) / w, (r0[1] - center.0 * r2[1]) / w],
            [(r1[0] - center.1 * r2[0]) / w, (r1[1] - center.1 * r2[1]) / w],
        ];
        let area = (jacobian[0][0] * jacobian[1][1] - jacobian[0][1] * jacobian[1][0]).abs();
        let scale = area.sqrt();
        (scale.is_finite() && scale > 1e-3 && scale < 1e3).then_some(LocalMotion {
            center,
            jacobian,
            scale,
        })
    }

    /// A box whose centre moves along and whose sides grow by the local scale; upright objects stay upright.
    pub fn bounding_box(&self, bbox: &BoundingBox) -> Option<BoundingBox> {
        let (x, y) = bbox.center();
        let near = self.near(f64::from(x), f64::from(y))?;
        let (w, h) = (
            f64::from(bbox.width()) * near.scale,
            f64::from(bbox.height()) * near.scale,
        );
        let (x, y) = near.center;
        Some(BoundingBox::new(
            (x - 0.5 * w) as f32,
            (y - 0.5 * h) as f32,
            (x + 0.5 * w) as f32,
            (y + 0.5 * h) as f32,
        ))
    }
}

/// The first-order map about one pixel.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalMotion {
    pub(super) center: (f64, f64),
    pub(super) jacobian: [[f64; 2]; 2],
    pub(super) scale: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pan_shifts_boxes() {
        let pan = CameraMotion::affine([[1.0, 0.0, 12.0], [0.0, 1.0, -3.0]]).unwrap();
        let moved = pan.bounding_box(&BoundingBox::new(10.0, 20.0, 30.0, 60.0)).unwrap();
        assert_eq!(moved, BoundingBox::new(22.0, 17.0, 42.0, 57.0));
    }

    #[test]
    fn singular_and_non_finite_maps_are_refused() {
        assert!(CameraMotion::homography([[0.0; 3]; 3]).is_none());
        assert!(CameraMotion::affine([[f64::NAN, 0.0, 0.0], [0.0, 1.0, 0.0]]).is_none());
    }

    #[test]
    fn the_jacobian_is_the_derivative() {
        let map = CameraMotion::homography([[1.1, 0.02, 5.0], [-0.03, 0.95, 2.0], [1e-4, -2e-4, 1.0]]).unwrap();
        let near = map.near(100.0, 50.0).unwrap();
        let step = 1e-4;
        let (x1, y1) = map.point(100.0 + step, 50.0).unwrap();
        assert!(((x1 - near.center.0) / step - near.jacobian[0][0]).abs() < 1e-4);
        assert!(((y1 - near.center.1) / step - near.jacobian[1][0]).abs() < 1e-4);
    }
}
