//! What one frame's reconstruction knows: intrinsics, camera pose, metric depth, and how well.

use std::sync::Arc;

use nalgebra::{Isometry3, Vector3};

use crate::camera::Camera;

/// Where the camera pose comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PoseSource {
    /// The camera does not move.
    Static,
    /// Visual odometry.
    Visual,
    /// Given from outside (vehicle, GNSS).
    External,
}

/// Metric depth along the optical axis, in metres, row by row; `NaN` where unknown.
#[derive(Clone, Debug)]
pub struct DepthMap {
    /// Cells across the whole picture.
    pub width: u32,
    /// Cells down the whole picture.
    pub height: u32,
    /// `width · height` depths in metres.
    pub depth_m: Vec<f32>,
    /// Relative standard deviation of a depth, e.g. 0.1 for 10 %.
    pub relative_sigma: f32,
}

impl DepthMap {
    /// Depth in metres at a relative position, `u` and `v` in 0..1 of the picture's width and height; `None` outside or
    /// unknown.
    pub fn at(&self, u: f32, v: f32) -> Option<f32> {
        if !(0.0..1.0).contains(&u) || !(0.0..1.0).contains(&v) {
            return None;
        }
        let x = (u * self.width as f32) as usize;
        let y = (v * self.height as f32) as usize;
        let depth = *self.depth_m.get(y * self.width as usize + x)?;
        (depth.is_finite() && depth > 0.0).then_some(depth)
    }
}

/// How well the reconstruction does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReconstructionHealth {
    /// Standard deviation of the logarithm of the metric scale.
    pub log_scale_sigma: f64,
    /// Share of features that agree with the pose, 0 to 1; 1 for a static camera.
    pub inlier_ratio: f64,
    /// Whether the pose is lost.
    pub lost: bool,
}

/// The reconstruction of one frame.
#[derive(Clone, Debug)]
pub struct View {
    /// Intrinsics for the picture's size, how well they are known, and the mounting.
    pub camera: Arc<Camera>,
    /// Camera pose: maps points of the camera frame (x right, y down, z forward) to the world.
    pub world_from_camera: Isometry3<f64>,
    /// Velocity of the camera in the world, metres per second.
    pub ego_velocity_in_world_mps: Vector3<f64>,
    /// Where the pose comes from.
    pub pose_source: PoseSource,
    /// Height of the ground plane in the world, metres, when there is one (0 below the first camera pose's mount by
    /// convention of the mounting).
    pub ground_z_in_world_m: Option<f64>,
    /// Metric depth of this frame, when a depth model runs.
    pub depth: Option<Arc<DepthMap>>,
    /// How well all this is known.
    pub health: ReconstructionHealth,
}
