//! 7-Scenes (Shotton et al. 2013): colour pictures, depth in millimetres, camera-to-world poses at 30 frames a second.

use std::path::{Path, PathBuf};

use image::ImageReader;
use nalgebra::{Isometry3, Matrix3, Rotation3, Translation3, UnitQuaternion};
use thiserror::Error;

use crate::camera::{Camera, CameraError, Distortion, Intrinsics, IntrinsicsSource, MountingSource};
use crate::frame::PictureError;

const FRAMES_PER_SECOND: f64 = 30.0;
/// What stands where the depth camera saw nothing.
const NO_DEPTH: u16 = 65535;

/// Why a recording cannot be used.
#[derive(Debug, Error)]
pub enum RgbdError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A picture cannot be decoded.
    #[error("cannot decode {path}: {source}")]
    Decode {
        /// The file.
        path: PathBuf,
        /// Why.
        source: image::ImageError,
    },
    /// A file does not hold what it should.
    #[error("{path}: expected {expected}, found {found}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: String,
        /// What it holds.
        found: String,
    },
    /// The picture's planes.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// The camera.
    #[error(transparent)]
    Camera(#[from] CameraError),
}

/// One frame.
#[derive(Clone, Debug)]
pub struct RecordedFrame {
    /// Time since the first, seconds.
    pub time_s: f64,
    /// Width of picture and depth, pixels.
    pub width: u32,
    /// Height of picture and depth, pixels.
    pub height: u32,
    /// Packed R, G, B.
    pub rgb: Vec<u8>,
    /// Depth, metres; not a number where unknown.
    pub depth_m: Vec<f32>,
    /// True pose.
    pub world_from_camera: Isometry3<f64>,
}

/// A folder with `camera-intrinsics.txt` and `frame-NNNNNN.{color.jpg or color.png,depth.png,pose.txt}`.
#[derive(Clone, Debug)]
pub struct SevenScenes {
    root: PathBuf,
    camera: Camera,
    count: usize,
}

impl SevenScenes {
    /// Opens a folder.
    pub fn open(root: &Path) -> Result<Self, RgbdError> {
        let path = root.join("camera-intrinsics.txt");
        let matrix: [f64; 9] = numbers(&path)?;
        let mut count = 0;
        while root.join(format!("frame-{count:06}.pose.txt")).exists() {
            count += 1;
        }
        let content = |expected: &str, found: String| RgbdError::Content {
            path: root.to_owned(),
            expected: expected.to_owned(),
            found,
        };
        if count == 0 {
            return Err(content("frame-000000.pose.txt and following", "none".to_owned()));
        }
        let first = color(root, 0)?;
        if !(matrix[0] > 0.0 && matrix[4] > 0.0) {
            return Err(content(
                "positive focal lengths",
                format!("{} and {}", matrix[0], matrix[4]),
            ));
        }
        let camera = Camera {
            intrinsics: Intrinsics {
                fx: matrix[0],
                fy: matrix[4],
                cx: matrix[2],
                cy: matrix[5],
                width: first.width(),
                height: first.height(),
                distortion: Distortion::None,
            },
            intrinsics_source: IntrinsicsSource::Calibrated,
            mounting: None,
            mounting_source: MountingSource::Assumed,
        };
        Ok(Self {
            root: root.to_owned(),
            camera,
            count,
        })
    }

    /// The camera.
    pub fn camera(&self) -> &Camera {
        &self.camera
    }

    /// Number of frames.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are no frames.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Reads a frame.
    pub fn read(&self, index: usize) -> Result<RecordedFrame, RgbdError> {
        let rgb = color(&self.root, index)?;
        let (width, height) = rgb.dimensions();
        let path = self.root.join(format!("frame-{index:06}.depth.png"));
        let depth = decode(&path)?.into_luma16();
        if depth.dimensions() != (width, height) {
            return Err(RgbdError::Content {
                path,
                expected: format!("{width}×{height} pixels as the colour picture"),
                found: format!("{}×{}", depth.width(), depth.height()),
            });
        }
        let known = |millimetres: &u16| *millimetres != 0 && *millimetres != NO_DEPTH;
        let depth_m = depth
            .as_raw()
            .iter()
            .map(|value| {
                if known(value) {
                    f32::from(*value) * 1e-3
                } else {
                    f32::NAN
                }
            })
            .collect();
        let pose: [f64; 16] = numbers(&self.root.join(format!("frame-{index:06}.pose.txt")))?;
        let rotation = Matrix3::new(
            pose[0], pose[1], pose[2], pose[4], pose[5], pose[6], pose[8], pose[9], pose[10],
        );
        Ok(RecordedFrame {
            time_s: index as f64 / FRAMES_PER_SECOND,
            width,
            height,
            rgb: rgb.into_raw(),
            depth_m,
            world_from_camera: Isometry3::from_parts(
                Translation3::new(pose[3], pose[7], pose[11]),
                UnitQuaternion::from_rotation_matrix(&Rotation3::from_matrix(&rotation)),
            ),
        })
    }
}

fn color(root: &Path, index: usize) -> Result<image::RgbImage, RgbdError> {
    let jpeg = root.join(format!("frame-{index:06}.color.jpg"));
    let path = if jpeg.exists() {
        jpeg
    } else {
        root.join(format!("frame-{index:06}.color.png"))
    };
    Ok(decode(&path)?.into_rgb8())
}

fn decode(path: &Path) -> Result<image::DynamicImage, RgbdError> {
    let read = |source| RgbdError::Read {
        path: path.to_owned(),
        source,
    };
    let reader = ImageReader::open(path).map_err(read)?;
    reader
        .with_guessed_format()
        .map_err(read)?
        .decode()
        .map_err(|source| RgbdError::Decode {
            path: path.to_owned(),
            source,
        })
}

fn numbers<const N: usize>(path: &Path) -> Result<[f64; N], RgbdError> {
    let text = std::fs::read_to_string(path).map_err(|source| RgbdError::Read {
        path: path.to_owned(),
        source,
    })?;
    let values: Option<Vec<f64>> = text
        .split_whitespace()
        .map(|word| word.parse::<f64>().ok().filter(|value| value.is_finite()))
        .collect();
    values
        .and_then(|values| values.try_into().ok())
        .ok_or_else(|| RgbdError::Content {
            path: path.to_owned(),
            expected: format!("{N} finite numbers"),
            found: text.chars().take(60).collect(),
        })
}
