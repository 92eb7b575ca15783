//! What one frame's reconstruction knows: intrinsics, camera pose, metric depth, and how well.

use std::sync::Arc;

use nalgebra::{Isometry3, Vector3};

use crate::camera::Camera;
pub use crate::perception::DepthMap;

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
