//! The reconstruction of one frame after another.

use std::sync::Arc;

use nalgebra::Vector3;

use super::external::EgoSample;
use super::odometry::MovableRegion;
use super::view::{DepthMap, PoseSource, ReconstructionHealth, View};
use crate::camera::{Camera, CameraError};
use crate::frame::{FrameTime, Picture};

/// One frame as the reconstruction takes it.
#[derive(Clone, Debug)]
pub struct SceneFrame<'a> {
    /// When it was taken.
    pub time: FrameTime,
    /// Width of the picture, pixels.
    pub width: u32,
    /// Height of the picture, pixels.
    pub height: u32,
    /// The picture; visual odometry cannot do without.
    pub picture: Option<Picture<'a>>,
    /// Its metric depth, when a depth model ran.
    pub depth: Option<Arc<DepthMap>>,
    /// Where things are that may move: what is seen there does not tell the camera's motion.
    pub movable: &'a [MovableRegion],
}

/// Finds out, frame by frame, where the camera is and what it sees in metres.
pub trait Reconstructor: Send {
    /// The view of a frame.
    fn reconstruct_frame(&mut self, frame: &SceneFrame<'_>) -> Result<View, CameraError>;

    /// The view of a `width`×`height` picture taken at `time`, where the picture itself is not needed.
    fn reconstruct(
        &mut self,
        time: FrameTime,
        width: u32,
        height: u32,
        depth: Option<Arc<DepthMap>>,
    ) -> Result<View, CameraError> {
        self.reconstruct_frame(&SceneFrame {
            time,
            width,
            height,
            picture: None,
            depth,
            movable: &[],
        })
    }

    /// Takes what something outside tells of the camera's motion; those that do not ask for it pass over it.
    fn tell_ego(&mut self, _sample: &EgoSample) {}

    /// Forgets what was seen: the next frame does not follow the last.
    fn reset(&mut self);
}

/// A described camera, or an assumed one, for the size that pictures come in.
#[derive(Clone, Debug)]
pub(super) struct Cameras {
    described: Option<Camera>,
    scaled: Option<Arc<Camera>>,
}

impl Cameras {
    pub fn new(described: Option<Camera>) -> Self {
        Self {
            described,
            scaled: None,
        }
    }

    /// Whether the intrinsics are nobody's statement.
    pub fn are_assumed(&self) -> bool {
        self.described.is_none()
    }

    pub fn for_size(&mut self, width: u32, height: u32) -> Result<Arc<Camera>, CameraError> {
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

/// A camera that does not move (`ego = static`): its pose is its mounting.
#[derive(Debug)]
pub struct StaticReconstructor {
    cameras: Cameras,
}

impl StaticReconstructor {
    /// For a described camera; without a description the field of view is assumed
    /// ([`Camera::assumed`]) and what is measured is marked as unreliable.
    pub fn new(camera: Option<Camera>) -> Self {
        Self {
            cameras: Cameras::new(camera),
        }
    }
}

impl Reconstructor for StaticReconstructor {
    fn reconstruct_frame(&mut self, frame: &SceneFrame<'_>) -> Result<View, CameraError> {
        let camera = self.cameras.for_size(frame.width, frame.height)?;
        Ok(View {
            world_from_camera: camera.world_from_camera(),
            ego_velocity_in_world_mps: Vector3::zeros(),
            pose_source: PoseSource::Static,
            ground_z_in_world_m: camera.mounting.map(|_| 0.0),
            depth: frame.depth.clone(),
            health: ReconstructionHealth::certain(),
            scene: 0,
            relative_focal_sigma: camera.intrinsics_source.relative_focal_sigma(),
            camera,
        })
    }

    fn reset(&mut self) {}
}
