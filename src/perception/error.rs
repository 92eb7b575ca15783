//! Why a model cannot be used, or a picture not be understood.

use std::path::PathBuf;

use thiserror::Error;

use crate::settings::SettingsError;

/// Errors of the models: each names the file, what was expected and what was found.
#[derive(Debug, Error)]
pub enum PerceptionError {
    /// The manifest is not accepted.
    #[error(transparent)]
    Manifest(#[from] SettingsError),
    /// The model file cannot be read.
    #[error("{}: cannot read the model: {source}{}", path.display(), hint.as_deref().map(|h| format!("; {h}")).unwrap_or_default())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
        /// Where to get the file, when the manifest says so.
        hint: Option<String>,
    },
    /// The file's hash is not the manifest's.
    #[error("{}: expected sha256 {expected}, found {found}; the file is damaged or another version", path.display())]
    Hash {
        /// The file.
        path: PathBuf,
        /// Hash in the manifest, hexadecimal.
        expected: String,
        /// Hash of the file, hexadecimal.
        found: String,
    },
    /// ONNX Runtime's shared library is not there or too old.
    #[error(
        "ONNX Runtime not found: {}. Set ORT_DYLIB_PATH to the shared library of ONNX Runtime 1.{} or newer \
         (`pip install onnxruntime` brings one in onnxruntime/capi/), or put it beside the program",
        tried.join("; "),
        ort::MINOR_VERSION
    )]
    Runtime {
        /// What was tried and why it failed.
        tried: Vec<String>,
    },
    /// ONNX Runtime does not accept the model.
    #[error("{}: ONNX Runtime cannot load it on {device}: {message}", path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// The device asked for.
        device: String,
        /// ONNX Runtime's reason.
        message: String,
    },
    /// The model's inputs and outputs are not those of its contract.
    #[error("{}: {what}: expected {expected}, found {found}", path.display())]
    Contract {
        /// The file.
        path: PathBuf,
        /// Which input, output or key.
        what: String,
        /// What the contract says.
        expected: String,
        /// What the model has.
        found: String,
    },
    /// Inputs and outputs name no known contract.
    #[error(
        "{}: no known contract has these inputs and outputs; write a manifest (docs/models.md). Inputs: {inputs}. \
         Outputs: {outputs}",
        path.display()
    )]
    UnknownContract {
        /// The file.
        path: PathBuf,
        /// Names, types and shapes.
        inputs: String,
        /// Names, types and shapes.
        outputs: String,
    },
    /// A device's name is not known.
    #[error("unknown device `{found}`, expected auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N")]
    Device {
        /// The text found.
        found: String,
    },
    /// A class of the filter is not among the model's.
    #[error("{}: unknown class `{found}`{}; the model knows: {known}", path.display(), hint.as_deref().map(|h| format!(", did you mean `{h}`?")).unwrap_or_default())]
    Class {
        /// The model's file.
        path: PathBuf,
        /// The class asked for.
        found: String,
        /// The nearest known class.
        hint: Option<String>,
        /// All classes of the model.
        known: String,
    },
    /// A setting is out of its range.
    #[error("{name}: expected {expected}, found {found}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its range.
        expected: &'static str,
        /// The value given.
        found: String,
    },
    /// Inference failed.
    #[error("{}: inference failed: {message}", path.display())]
    Run {
        /// The model's file.
        path: PathBuf,
        /// ONNX Runtime's reason.
        message: String,
    },
}
