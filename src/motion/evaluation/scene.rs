//! A drive with known truth, whatever data set it is from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nalgebra::{Isometry3, Point3};
use thiserror::Error;

use crate::camera::Camera;
use crate::detection::{BoundingBox, ClassLabel};

/// Which group an object is scored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// Cars, vans, trucks, buses.
    Vehicle,
    /// People on foot.
    Pedestrian,
    /// Observed like all others, but not scored.
    Other,
}

/// One object in one frame.
#[derive(Clone, Debug)]
pub struct TrueObject {
    /// Identity within the scene.
    pub id: u64,
    /// Class, as our priors name it.
    pub class: ClassLabel,
    /// Where it is scored.
    pub group: Group,
    /// Centre, metres.
    pub position_in_world: Point3<f64>,
    /// Box in the picture; `None` when it is not in it.
    pub bbox: Option<BoundingBox>,
    /// Whether it is seen well enough to be observed.
    pub observable: bool,
}

/// One frame of a scene.
#[derive(Clone, Debug)]
pub struct SceneFrame {
    /// Stream time, seconds.
    pub time_s: f64,
    /// Camera pose.
    pub world_from_camera: Isometry3<f64>,
    /// All labelled objects.
    pub objects: Vec<TrueObject>,
}

/// A drive with known truth.
#[derive(Clone, Debug)]
pub struct Scene {
    /// Its name in the data set.
    pub name: String,
    /// The camera.
    pub camera: Arc<Camera>,
    /// Its frames, in order of time.
    pub frames: Vec<SceneFrame>,
}

/// Why a data set was not read.
#[derive(Debug, Error)]
pub enum DatasetError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file does not hold what was expected.
    #[error("{}:{line}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line (or row), from 1.
        line: usize,
        /// What was expected and found.
        message: String,
    },
    /// There is nothing to read.
    #[error("{}: {message}", path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
        /// What was expected.
        message: String,
    },
}

pub(super) fn read(path: &Path) -> Result<String, DatasetError> {
    std::fs::read_to_string(path).map_err(|source| DatasetError::Read {
        path: path.to_owned(),
        source,
    })
}
