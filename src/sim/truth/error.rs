//! Why truth cannot be written or read.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why truth cannot be written or read.
#[derive(Debug, Error)]
pub enum TruthError {
    /// A file or folder cannot be written or read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A line is not what the format says.
    #[error("{}:{line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What was expected and found.
        reason: String,
    },
    /// A picture cannot be encoded.
    #[error("{}: {reason}", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// The encoder's reason.
        reason: String,
    },
}

impl TruthError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}
