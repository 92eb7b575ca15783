//! Why tuning stopped.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::stkit::RecordError;
use crate::vlm::llava_onevision::Error as ModelError;
use crate::vlm::pictures::PictureFileError;

/// Why tuning stopped.
#[derive(Debug, Error)]
pub enum TuneError {
    /// A setting makes no sense.
    #[error("{0}")]
    Setting(String),
    /// A file cannot be written or read.
    #[error("{}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// A sample is not what it should be.
    #[error("{}:{line}: {message}", path.display())]
    Sample {
        /// The file.
        path: PathBuf,
        /// Line, or place in the list, from 1.
        line: usize,
        /// What was expected and found.
        message: String,
    },
    /// A picture cannot be read.
    #[error(transparent)]
    Picture(#[from] PictureFileError),
    /// Records to validate on cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The folder or the device.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The loss is no number any more.
    #[error("the loss of step {step} is {loss}: lower the rate")]
    Diverged {
        /// The step.
        step: u64,
        /// The loss.
        loss: f32,
    },
}

impl TuneError {
    pub(super) fn file(path: &Path, error: impl std::fmt::Display) -> Self {
        Self::File {
            path: path.to_owned(),
            message: error.to_string(),
        }
    }
}
