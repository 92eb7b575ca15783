//! What can go wrong with a model folder, a question and a device.

use std::fmt;
use std::path::PathBuf;

/// How many names of each kind a [`WeightFaults`] prints.
const NAMES_SHOWN: usize = 20;

/// An error of this model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path}: {reason}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },
    /// The weights do not fit the configuration.
    #[error(transparent)]
    Weights(#[from] Box<WeightFaults>),
    /// A device that is unknown or was not built in.
    #[error("device `{found}`: {reason}")]
    Device {
        /// The word given.
        found: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A prompt, a picture or a setting that the model cannot take.
    #[error("{0}")]
    Input(String),
    /// The device failed.
    #[error("the device failed: {0}")]
    Execution(String),
}

impl Error {
    pub(super) fn file(path: impl Into<PathBuf>, reason: impl fmt::Display) -> Self {
        Self::File {
            path: path.into(),
            reason: reason.to_string(),
        }
    }
}

/// Everything that is wrong with the weights of a folder, found in one pass.
#[derive(Debug, Default)]
pub struct WeightFaults {
    /// The folder.
    pub folder: PathBuf,
    /// Files that are absent, cut off or no safetensors, with the reason.
    pub damaged: Vec<(PathBuf, String)>,
    /// Tensors that the configuration asks for and no file has.
    pub missing: Vec<String>,
    /// Tensors of the files that the configuration does not know.
    pub unexpected: Vec<String>,
    /// Tensors of another shape or type: name, expected, found.
    pub misshaped: Vec<(String, String, String)>,
}

impl WeightFaults {
    /// Whether there is no fault.
    pub fn is_empty(&self) -> bool {
        self.damaged.is_empty() && self.missing.is_empty() && self.unexpected.is_empty() && self.misshaped.is_empty()
    }
}

impl std::error::Error for WeightFaults {}

impl fmt::Display for WeightFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list<T>(f: &mut fmt::Formatter<'_>, title: &str, items: &[T], line: impl Fn(&T) -> String) -> fmt::Result {
            if items.is_empty() {
                return Ok(());
            }
            write!(f, "\n  {title} ({}):", items.len())?;
            for item in items.iter().take(NAMES_SHOWN) {
                write!(f, "\n    {}", line(item))?;
            }
            if items.len() > NAMES_SHOWN {
                write!(f, "\n    and {} more", items.len() - NAMES_SHOWN)?;
            }
            Ok(())
        }
        write!(f, "the weights in {} cannot be used:", self.folder.display())?;
        list(f, "damaged files", &self.damaged, |(path, reason)| {
            format!("{}: {reason}", path.display())
        })?;
        list(f, "missing tensors", &self.missing, String::clone)?;
        list(f, "unexpected tensors", &self.unexpected, String::clone)?;
        list(
            f,
            "tensors of another shape or type",
            &self.misshaped,
            |(name, expected, found)| format!("{name}: expected {expected}, found {found}"),
        )
    }
}
