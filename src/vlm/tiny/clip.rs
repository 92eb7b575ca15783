//! What the model is shown: a clip's times, camera, small pictures, boxes, and the engine's states where it runs.

use nalgebra::{Isometry3, Point3, Vector3};

use crate::camera::Intrinsics;
use crate::detection::BoundingBox;

/// Width of the pictures that the model sees, pixels; they are stretched to it.
pub const VIEW_WIDTH: usize = 128;
/// Height of the pictures that the model sees, pixels.
pub const VIEW_HEIGHT: usize = 80;
/// Colours plus the brightness a moment ago.
pub const VIEW_CHANNELS: usize = 4;
/// How much earlier the brightness is taken that a view carries beside its colours, seconds.
pub const VIEW_STEP_S: f64 = 0.1;
/// Pictures of a clip that are looked at, at most.
pub const MAX_VIEWS: usize = 8;
/// Times of a clip that are looked at, at most.
pub const MAX_TIMES: usize = 41;

/// Focal lengths and principal point of a pinhole camera as shares of the picture's width and height.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipCamera {
    /// Focal length across, picture widths.
    pub fx: f64,
    /// Focal length down, picture heights.
    pub fy: f64,
    /// Principal point from the left, picture widths.
    pub cx: f64,
    /// Principal point from the top, picture heights.
    pub cy: f64,
    /// Width over height, pixels.
    pub aspect: f64,
}

impl ClipCamera {
    /// From focal lengths and principal point in pixels of a picture of `size` pixels across and down.
    pub fn from_pixels((fx, fy): (f64, f64), (cx, cy): (f64, f64), size: (u32, u32)) -> Self {
        let (width, height) = (f64::from(size.0), f64::from(size.1));
        Self {
            fx: fx / width,
            fy: fy / height,
            cx: cx / width,
            cy: cy / height,
            aspect: width / height,
        }
    }

    /// Of intrinsics; distortion is left out.
    pub fn of(intrinsics: &Intrinsics) -> Self {
        let (focal, center) = ((intrinsics.fx, intrinsics.fy), (intrinsics.cx, intrinsics.cy));
        Self::from_pixels(focal, center, (intrinsics.width, intrinsics.height))
    }
}

/// Heading of the optical axis over the ground, radians counter-clockwise from the world's x.
pub fn optical_yaw_rad(world_from_camera: &Isometry3<f64>) -> f64 {
    let forward = world_from_camera.rotation * Vector3::z();
    forward.y.atan2(forward.x)
}

/// One picture with the boxes drawn into it.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Which of the clip's times it is of.
    pub at: usize,
    /// `VIEW_WIDTH · VIEW_HEIGHT` pixels row by row, `VIEW_CHANNELS` bytes each: red, green, blue, and the brightness
    /// [`VIEW_STEP_S`] before (the present one where that picture is missing).
    pub pixels: Vec<u8>,
}

/// What the engine knows of an object at one time, in a world with z up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct State {
    /// Metres.
    pub position_in_world: Point3<f64>,
    /// Metres a second.
    pub velocity_in_world_mps: Vector3<f64>,
    /// Standard deviation of the position along its worst axis over the ground, metres.
    pub position_sigma_m: f64,
    /// Standard deviation of the velocity along its worst axis over the ground, m/s.
    pub velocity_sigma_mps: f64,
    /// Whether the object stands.
    pub standing: bool,
}

/// One object over the clip.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClipObject {
    /// Box at each of the clip's times, as shares of the picture's width and height; `None` where it is not seen.
    pub boxes: Vec<Option<BoundingBox>>,
    /// The engine's state at each of the clip's times; `None` where it has none, or does not run.
    pub states: Vec<Option<State>>,
}

/// A clip as the model sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Clip {
    /// Times that boxes and states are known at, seconds from the clip's start, ascending, at most [`MAX_TIMES`].
    pub times_s: Vec<f64>,
    /// The camera.
    pub camera: ClipCamera,
    /// Heading of the optical axis in the world of the states at the clip's start, radians counter-clockwise from x; `None`
    /// without states.
    pub camera_yaw_rad: Option<f64>,
    /// Some pictures, at most [`MAX_VIEWS`]; may be empty.
    pub views: Vec<View>,
    /// The objects.
    pub objects: Vec<ClipObject>,
}

impl Clip {
    /// Which times to look at in pictures: at most [`MAX_VIEWS`], evenly over the clip, the first and last among them.
    pub fn view_times(count: usize) -> Vec<usize> {
        let views = count.min(MAX_VIEWS);
        match views {
            0 => Vec::new(),
            1 => vec![0],
            _ => (0..views)
                .map(|view| (view * (count - 1) + (views - 1) / 2) / (views - 1))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_spread_over_the_clip() {
        assert_eq!(Clip::view_times(41), [0, 6, 11, 17, 23, 29, 34, 40]);
        assert_eq!(Clip::view_times(3), [0, 1, 2]);
        assert_eq!(Clip::view_times(0), [] as [usize; 0]);
    }
}
