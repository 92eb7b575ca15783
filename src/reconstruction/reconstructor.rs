//! The reconstruction of one frame after another.

use std::sync::Arc;

use nalgebra::Vector3;

use super::view::{DepthMap, PoseSource, ReconstructionHealth, View};
use crate::camera::{Camera, CameraError};
use crate::frame::FrameTime;

/// Finds out, frame by frame, where the camera is and what it sees in metres.
pub trait Reconstructor: Send {
    /// The view of a `width`×`height` picture taken at `time`, with its metric depth when a depth model ran.
    fn reconstruct(
        &mut self,
        time: FrameTime,
        width: u32,
        height: u32,
        depth: Option<Arc<DepthMap>>,
    ) -> Result<View, CameraError>;

    /// Forgets what was seen: the next frame does not follow the last.
    fn reset(&mut self);
}

/// A camera that does not move (`ego = static`): its pose is its mounting.
#[derive(Debug)]
pub struct StaticReconstructor {
    described: Option<Camera>,
    scaled: Option<Arc<Camera>>,
}

impl StaticReconstructor {
    /// For a described camera; without a description the field of view is assumed
    /// ([`Camera::assumed`]) and what is measured is marked as unreliable.
    pub fn new(camera: Option<Camera>) -> Self {
        Self {
            described: camera,
            scaled: None,
        }
    }

    fn camera_for(&mut self, width: u32, height: u32) -> Result<Arc<Camera>, CameraError> {
        let fits = |camera: &&Arc<Camera>| (camera.intrinsics.width, camera.intrinsics.height) == (width, height);
        if let Some(camera) = self.scaled.as_ref().filter(fits) {
            return Ok(camera.clone());
        }
        let camera = Arc::new(match &self.described {
            Some(camera) => camera.scaled_to(width, height)?,
            None => Camera::assumed(width, height)?,
        });
        self.scaled = Some(camera.clone());
        Ok(camera)
    }
}

impl Reconstructor for StaticReconstructor {
    fn reconstruct(
        &mut self,
        _time: FrameTime,
        width: u32,
        height: u32,
        depth: Option<Arc<DepthMap>>,
    ) -> Result<View, CameraError> {
        let camera = self.camera_for(width, height)?;
        Ok(View {
            world_from_camera: camera.world_from_camera(),
            ego_velocity_in_world_mps: Vector3::zeros(),
            pose_source: PoseSource::Static,
            ground_z_in_world_m: camera.mounting.map(|_| 0.0),
            depth,
            health: ReconstructionHealth {
                log_scale_sigma: 0.0,
                inlier_ratio: 1.0,
                lost: false,
            },
            camera,
        })
    }

    fn reset(&mut self) {}
}
