//! One ONNX Runtime session: opened on the first device that works, fed and read by name.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use half::f16;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session, SessionInputValue, SessionOutputs};
use ort::value::{Outlet, TensorElementType, TensorRef};
use sha2::{Digest, Sha256};

use super::device::Device;
use super::manifest::Provider;
use super::model::SessionSettings;
use super::preprocess::TensorBuffer;
use super::{PerceptionError, runtime};

/// Name, element type and shape of an input or output; dynamic dimensions are −1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TensorInfo {
    pub name: String,
    pub element: Option<TensorElementType>,
    pub dims: Vec<i64>,
}

impl TensorInfo {
    fn new(outlet: &Outlet) -> Self {
        Self {
            name: outlet.name().to_owned(),
            element: outlet.dtype().tensor_type(),
            dims: outlet
                .dtype()
                .tensor_shape()
                .map(|shape| shape.to_vec())
                .unwrap_or_default(),
        }
    }
}

/// "`images` f32 [1, 3, 416, 416], …", for errors.
pub(super) fn describe(tensors: &[TensorInfo]) -> String {
    let mut text = String::new();
    for tensor in tensors {
        let separator = if text.is_empty() { "" } else { ", " };
        let element = tensor
            .element
            .map_or_else(|| "not a tensor".to_owned(), |element| element.to_string());
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator}`{}` {element} {:?}", tensor.name, tensor.dims);
    }
    if text.is_empty() { "none".to_owned() } else { text }
}

/// What goes into one input.
pub(super) enum Feed<'a> {
    Tensor(&'a TensorBuffer),
    F32(&'a [f32]),
    I64(&'a [i64]),
}

/// Where an ONNX file lies.
#[derive(Clone, Copy)]
pub(super) enum Weights<'a> {
    File(&'a Path),
    Memory(&'a [u8]),
}

pub(super) struct OnnxSession {
    session: Session,
    path: PathBuf,
    device: Device,
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
}

impl OnnxSession {
    pub fn open(path: &Path, settings: &SessionSettings, preferred: &[Provider]) -> Result<Self, PerceptionError> {
        Self::open_weights(Weights::File(path), path, settings, preferred)
    }

    /// `path` names the model in errors and logs.
    pub fn open_weights(
        weights: Weights<'_>,
        path: &Path,
        settings: &SessionSettings,
        preferred: &[Provider],
    ) -> Result<Self, PerceptionError> {
        let environment = runtime::environment()?;
        let mut refusals = Vec::new();
        for device in settings.device.attempts(preferred) {
            if let Some(reason) = device.missing() {
                refusals.push(format!("{device}: {reason}"));
                continue;
            }
            match build(&environment, weights, settings, device) {
                Ok(session) => {
                    tracing::info!(
                        model = %path.display(), asked = %settings.device, device = %device,
                        passed_over = refusals.join("; "), "model loaded"
                    );
                    return Ok(Self {
                        inputs: session.inputs().iter().map(TensorInfo::new).collect(),
                        outputs: session.outputs().iter().map(TensorInfo::new).collect(),
                        session,
                        path: path.to_owned(),
                        device,
                    });
                }
                Err(error) => refusals.push(format!("{device}: {error}")),
            }
        }
        Err(PerceptionError::Load {
            path: path.to_owned(),
            device: settings.device.to_string(),
            message: refusals.join("; "),
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn device(&self) -> Device {
        self.device
    }

    pub fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    pub fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    /// A key of the model's own metadata, e.g. the class names that Ultralytics exports carry.
    pub fn metadata(&self, key: &str) -> Option<String> {
        self.session.metadata().ok()?.custom(key)
    }

    /// An error about this model's contract.
    pub fn mismatch(
        &self,
        what: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> PerceptionError {
        PerceptionError::Contract {
            path: self.path.clone(),
            what: what.into(),
            expected: expected.into(),
            found: found.into(),
        }
    }

    /// Runs the network on inputs given by name with their shapes.
    pub fn run(&mut self, feeds: &[(&str, &[i64], Feed<'_>)]) -> Result<RunOutputs<'_>, PerceptionError> {
        let failed = |path: &Path, error: ort::Error| PerceptionError::Run {
            path: path.to_owned(),
            message: error.to_string(),
        };
        let mut values: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = Vec::with_capacity(feeds.len());
        for (name, dims, feed) in feeds {
            let dims = *dims;
            let value = match feed {
                Feed::Tensor(TensorBuffer::F32(data)) => {
                    TensorRef::from_array_view((dims, data.as_slice())).map(Into::into)
                }
                Feed::Tensor(TensorBuffer::F16(data)) => {
                    TensorRef::from_array_view((dims, data.as_slice())).map(Into::into)
                }
                Feed::Tensor(TensorBuffer::U8(data)) => {
                    TensorRef::from_array_view((dims, data.as_slice())).map(Into::into)
                }
                Feed::F32(data) => TensorRef::from_array_view((dims, *data)).map(Into::into),
                Feed::I64(data) => TensorRef::from_array_view((dims, *data)).map(Into::into),
            };
            values.push((Cow::Borrowed(*name), value.map_err(|error| failed(&self.path, error))?));
        }
        let path = &self.path;
        let outputs = self.session.run(values).map_err(|error| failed(path, error))?;
        Ok(RunOutputs { outputs, path })
    }
}

fn build(
    environment: &ort::environment::Environment,
    weights: Weights<'_>,
    settings: &SessionSettings,
    device: Device,
) -> Result<Session, ort::Error> {
    let mut builder = Session::builder(environment)?
        .with_optimization_level(GraphOptimizationLevel::Level3)?
        .with_intra_op_spinning(settings.spin)?;
    if settings.threads > 0 {
        builder = builder.with_intra_threads(settings.threads)?;
    }
    let providers = device.providers();
    if !providers.is_empty() {
        builder = builder.with_execution_providers(providers)?;
    }
    match weights {
        Weights::File(path) => builder.commit_from_file(path),
        Weights::Memory(bytes) => builder.commit_from_memory(bytes),
    }
}

/// The outputs of one run, borrowed from the session.
pub(super) struct RunOutputs<'s> {
    outputs: SessionOutputs<'s>,
    path: &'s Path,
}

/// One output as 32-bit floats.
pub(super) struct Output<'a> {
    pub dims: Vec<i64>,
    pub data: Cow<'a, [f32]>,
}

impl RunOutputs<'_> {
    /// The weights that were run, for errors.
    pub fn path(&self) -> &Path {
        self.path
    }

    /// An output by name; half floats and integers are converted.
    pub fn get(&self, name: &str) -> Result<Output<'_>, PerceptionError> {
        let mismatch = |expected: &str, found: String| PerceptionError::Contract {
            path: self.path.to_owned(),
            what: format!("output `{name}`"),
            expected: expected.to_owned(),
            found,
        };
        let Some(value) = self.outputs.get(name) else {
            return Err(mismatch(
                "to be there",
                self.outputs.keys().collect::<Vec<_>>().join(", "),
            ));
        };
        if let Ok((shape, data)) = value.try_extract_tensor::<f32>() {
            return Ok(Output {
                dims: shape.to_vec(),
                data: Cow::Borrowed(data),
            });
        }
        if let Ok((shape, data)) = value.try_extract_tensor::<f16>() {
            return Ok(Output {
                dims: shape.to_vec(),
                data: data.iter().map(|value| value.to_f32()).collect(),
            });
        }
        if let Ok((shape, data)) = value.try_extract_tensor::<i64>() {
            return Ok(Output {
                dims: shape.to_vec(),
                data: data.iter().map(|value| *value as f32).collect(),
            });
        }
        if let Ok((shape, data)) = value.try_extract_tensor::<i32>() {
            return Ok(Output {
                dims: shape.to_vec(),
                data: data.iter().map(|value| *value as f32).collect(),
            });
        }
        Err(mismatch("a tensor of f32, f16, i64 or i32", value.dtype().to_string()))
    }
}

/// Checks the file against a hash in hexadecimal.
pub(super) fn check_hash(path: &Path, expected: &str) -> Result<(), PerceptionError> {
    let read_error = |source| PerceptionError::Read {
        path: path.to_owned(),
        source,
        hint: None,
    };
    let mut file = std::fs::File::open(path).map_err(read_error)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0u8; 1 << 16];
    loop {
        let count = file.read(&mut buffer).map_err(read_error)?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
    }
    let mut found = String::with_capacity(64);
    for byte in hasher.finalize() {
        // Writing to a String cannot fail.
        let _ = write!(found, "{byte:02x}");
    }
    if found.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(PerceptionError::Hash {
        path: path.to_owned(),
        expected: expected.to_owned(),
        found,
    })
}
