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
    /// Standard deviation of the camera's velocity, metres per second along each axis; 0 for a static camera.
    pub ego_velocity_sigma_mps: f64,
    /// Change of the logarithm of the metric scale over the last ten seconds.
    pub log_scale_drift: f64,
    /// Greatest difference between what one cue says of the scale's logarithm and the estimate; `None` without cues.
    pub scale_disagreement: Option<f64>,
}

impl ReconstructionHealth {
    /// Whether anything is known of the camera's velocity: of the first picture alone nothing is.
    pub fn knows_ego_velocity(&self) -> bool {
        self.ego_velocity_sigma_mps < 10.0
    }

    /// Of a pose and scale that are given and not estimated.
    pub fn certain() -> Self {
        Self {
            log_scale_sigma: 0.0,
            inlier_ratio: 1.0,
            lost: false,
            ego_velocity_sigma_mps: 0.0,
            log_scale_drift: 0.0,
            scale_disagreement: None,
        }
    }
}

/// The reconstruction of one frame.
#[derive(Clone, Debug)]
pub struct View {
    /// Intrinsics for the picture's size, how well they are known, and the mounting.
    pub camera: Arc<Camera>,
    /// Relative standard deviation of the focal length.
    pub relative_focal_sigma: f64,
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
    /// Counts up whenever what is shown has nothing to do with what was shown before (a shot cut, a pose that was lost for
    /// good): positions of different scenes do not compare.
    pub scene: u64,
    /// How well all this is known.
    pub health: ReconstructionHealth,
}
