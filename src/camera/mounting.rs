//! Mounting: where the camera hangs over the ground and how it is tilted.
//!
//! The world is ISO 8855: x forward (the way the camera faces, over the ground), y left, z up, with its origin on the
//! ground under the first camera pose.

use nalgebra::{Isometry3, Matrix3, Point3, Rotation3, Translation3, Unit, UnitQuaternion, Vector3};

/// How well the mounting is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MountingSource {
    /// Measured.
    Measured,
    /// Assumed or unknown.
    Assumed,
}

impl MountingSource {
    /// Relative standard deviation of the height: a tape measure and an uneven road, or a guess.
    pub fn relative_height_sigma(self) -> f64 {
        match self {
            Self::Measured => 0.03,
            Self::Assumed => 0.3,
        }
    }

    /// Standard deviation of pitch and roll, radians: half a degree measured, ten degrees assumed.
    pub fn tilt_sigma_rad(self) -> f64 {
        match self {
            Self::Measured => 0.5f64.to_radians(),
            Self::Assumed => 10f64.to_radians(),
        }
    }
}

/// Pose of the camera over the ground plane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mounting {
    /// Height of the optical centre over the ground, metres.
    pub height_m: f64,
    /// Downward tilt of the optical axis, radians; positive looks down.
    pub pitch_down_rad: f64,
    /// Roll about the optical axis, radians; positive is clockwise seen from behind the camera.
    pub roll_rad: f64,
}

impl Mounting {
    /// A level camera at a height.
    pub fn level(height_m: f64) -> Self {
        Self {
            height_m,
            pitch_down_rad: 0.0,
            roll_rad: 0.0,
        }
    }

    /// Maps points of the camera frame (x right, y down, z forward) to the world; the camera stands at (0, 0, height).
    pub fn world_from_camera(&self) -> Isometry3<f64> {
        #[rustfmt::skip]
        let world_from_level = Rotation3::from_matrix_unchecked(Matrix3::new(
            0.0,  0.0, 1.0,
           -1.0,  0.0, 0.0,
            0.0, -1.0, 0.0,
        ));
        let pitch = Rotation3::from_axis_angle(&Vector3::x_axis(), -self.pitch_down_rad);
        let roll = Rotation3::from_axis_angle(&Vector3::z_axis(), self.roll_rad);
        Isometry3::from_parts(
            Translation3::new(0.0, 0.0, self.height_m),
            UnitQuaternion::from_rotation_matrix(&(world_from_level * pitch * roll)),
        )
    }
}

/// Where a ray of the camera frame meets the horizontal plane at `ground_z_m`, in the world. `None` when it never does in
/// front of the camera: at the horizon and above, or with the camera below the plane.
pub fn ground_intersection(
    world_from_camera: &Isometry3<f64>,
    ray_in_camera: &Unit<Vector3<f64>>,
    ground_z_m: f64,
) -> Option<Point3<f64>> {
    let ray = world_from_camera.rotation * ray_in_camera.into_inner();
    let origin = world_from_camera.translation.vector;
    let distance_m = (ground_z_m - origin.z) / ray.z;
    if !(distance_m > 0.0 && distance_m.is_finite()) {
        return None;
    }
    let mut point = Point3::from(origin + ray * distance_m);
    point.z = ground_z_m;
    Some(point)
}
