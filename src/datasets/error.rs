//! What is wrong with a data set's files.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a data set was not read.
#[derive(Debug, Error)]
pub enum DatasetError {
    /// A file or folder cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A line of text does not hold what was expected.
    #[error("{}:{line}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What was expected and found.
        message: String,
    },
    /// A column of a table is missing or holds something else than expected.
    #[error("{}: column `{column}`: {message}", path.display())]
    Column {
        /// The file, with the table where it holds several.
        path: PathBuf,
        /// The column (or key).
        column: String,
        /// What was expected and found.
        message: String,
    },
    /// A file is not of the format it should have.
    #[error("{}: {message}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
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
    /// The reader is not part of this build.
    #[error("reading {name} needs the cargo feature `datasets`")]
    NotBuilt {
        /// The data set.
        name: &'static str,
    },
}

impl DatasetError {
    pub(super) fn read(path: &Path, source: std::io::Error) -> Self {
        Self::Read {
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn column(path: &Path, column: &str, message: impl Into<String>) -> Self {
        Self::Column {
            path: path.to_owned(),
            column: column.to_owned(),
            message: message.into(),
        }
    }

    pub(super) fn format(path: &Path, message: impl Into<String>) -> Self {
        Self::Format {
            path: path.to_owned(),
            message: message.into(),
        }
    }

    pub(super) fn empty(path: &Path, message: impl Into<String>) -> Self {
        Self::Empty {
            path: path.to_owned(),
            message: message.into(),
        }
    }
}

pub(super) fn read_text(path: &Path) -> Result<String, DatasetError> {
    std::fs::read_to_string(path).map_err(|source| DatasetError::read(path, source))
}

/// Names of the entries of a folder, sorted.
pub(super) fn entries(folder: &Path) -> Result<Vec<String>, DatasetError> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|source| DatasetError::read(folder, source))? {
        let entry = entry.map_err(|source| DatasetError::read(folder, source))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}
