//! A model that is open: its manifest (written or recognised) and its session, checked against each other.

use std::path::{Path, PathBuf};

use ort::value::TensorElementType;

use super::PerceptionError;
use super::builtin::{Builtin, DEFAULT_MODEL};
use super::contract;
use super::device::Device;
use super::manifest::{Layout, Manifest, SizeRule, Task, ValueRange};
use super::preprocess::{Preprocessor, TensorBuffer};
use super::session::{OnnxSession, TensorInfo, Weights, check_hash, describe};

/// How a session runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSettings {
    /// Where the network runs.
    pub device: Device,
    /// Threads inside one operator; 0 lets ONNX Runtime take one per core.
    pub threads: usize,
    /// Whether idle threads of the session spin: faster runs back to back, at the cost of the other stages' cores.
    pub spin: bool,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            device: Device::Auto,
            threads: 0,
            spin: false,
        }
    }
}

/// An open model. [`Detector`](super::Detector), [`DepthModel`](super::DepthModel) and [`Embedder`](super::Embedder)
/// are made of one.
pub struct Model {
    pub(super) manifest: Manifest,
    pub(super) session: OnnxSession,
}

impl Model {
    /// Opens a `.toml` manifest, or a bare `.onnx` file of a known contract.
    ///
    /// # Errors
    /// A manifest that is not accepted; weights that are missing, have another hash, or are no ONNX; inputs and outputs
    /// that are not those of the contract; no ONNX Runtime.
    pub fn open(path: &Path, settings: &SessionSettings) -> Result<Self, PerceptionError> {
        let is_manifest = path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
        let model = if is_manifest {
            let manifest = Manifest::load(path)?;
            check_readable(&manifest.file, manifest.url.as_deref())?;
            if let Some(expected) = &manifest.sha256 {
                check_hash(&manifest.file, expected)?;
            }
            let session = OnnxSession::open(&manifest.file, settings, &manifest.providers)?;
            Self { manifest, session }
        } else {
            check_readable(path, None)?;
            let session = OnnxSession::open(path, settings, &super::manifest::default_providers())?;
            let manifest = contract::recognise(&session)?;
            tracing::info!(model = %path.display(), contract = %manifest.name, "contract recognised");
            Self { manifest, session }
        };
        model.check_input()?;
        Ok(model)
    }

    /// Opens the model of a task: the built-in one when `path` is the word [`DEFAULT_MODEL`], else as [`Self::open`].
    pub(super) fn open_for(task: Task, path: &Path, settings: &SessionSettings) -> Result<Self, PerceptionError> {
        match Builtin::of(task) {
            Some(builtin) if path == Path::new(DEFAULT_MODEL) => {
                let manifest = builtin.manifest()?;
                let session = OnnxSession::open_weights(
                    Weights::Memory(builtin.weights),
                    &manifest.file,
                    settings,
                    &manifest.providers,
                )?;
                let model = Self { manifest, session };
                model.check_input()?;
                Ok(model)
            }
            _ => Self::open(path, settings),
        }
    }

    /// The manifest, as written or as recognised.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The weights.
    pub fn path(&self) -> &Path {
        self.session.path()
    }

    /// Where it runs.
    pub fn device(&self) -> Device {
        self.session.device()
    }

    /// An error unless the model is for `task`.
    pub(super) fn expect_task(&self, task: Task) -> Result<(), PerceptionError> {
        if self.manifest.task == task {
            return Ok(());
        }
        Err(self
            .session
            .mismatch("task", format!("{task:?}"), format!("{:?}", self.manifest.task)))
    }

    /// Name of an output that the contract needs: as the manifest says, else as `default`; checked to be there.
    pub(super) fn output_name(&self, given: Option<&String>, default: &str) -> Result<String, PerceptionError> {
        let name = given.map_or(default, String::as_str);
        if self.session.outputs().iter().any(|output| output.name == name) {
            return Ok(name.to_owned());
        }
        Err(self
            .session
            .mismatch("output", format!("`{name}`"), describe(self.session.outputs())))
    }

    /// The picture input as the model declares it.
    fn input(&self) -> Result<&TensorInfo, PerceptionError> {
        let name = &self.manifest.input.name;
        self.session
            .inputs()
            .iter()
            .find(|input| input.name == *name)
            .ok_or_else(|| {
                self.session
                    .mismatch("input", format!("`{name}`"), describe(self.session.inputs()))
            })
    }

    fn check_input(&self) -> Result<(), PerceptionError> {
        let input = self.input()?;
        let spec = &self.manifest.input;
        let axes = match spec.layout {
            Layout::Nchw => "[batch, 3, height, width]",
            Layout::Nhwc => "[batch, height, width, 3]",
        };
        let what = || format!("input `{}`", input.name);
        let mismatch = |expected: String| {
            Err(self
                .session
                .mismatch(what(), expected, describe(std::slice::from_ref(input))))
        };
        let channels = match spec.layout {
            Layout::Nchw => input.dims.get(1),
            Layout::Nhwc => input.dims.get(3),
        };
        if input.dims.len() != 4 || !channels.is_some_and(|&channels| channels == 3 || channels == -1) {
            return mismatch(axes.to_owned());
        }
        match input.element {
            Some(TensorElementType::Float32 | TensorElementType::Float16) => {}
            Some(TensorElementType::Uint8)
                if spec.range == ValueRange::Byte && spec.mean == [0.0; 3] && spec.std == [1.0; 3] => {}
            Some(TensorElementType::Uint8) => {
                return mismatch("floats, or range \"0-255\" without mean and std for bytes".to_owned());
            }
            _ => return mismatch("f32, f16 or u8".to_owned()),
        }
        let (height, width) = self.declared_size(input);
        match spec.size {
            SizeRule::Fixed([w, h]) => {
                let agrees = |declared: i64, wanted: u32| declared == -1 || declared == i64::from(wanted);
                if !agrees(width, w) || !agrees(height, h) {
                    return mismatch(format!("{w}×{h} pixels as input.size says"));
                }
            }
            SizeRule::Model if width < 1 || height < 1 => {
                return mismatch("a fixed size, or input.size in the manifest for a dynamic one".to_owned());
            }
            SizeRule::MultipleOf { .. } if width != -1 || height != -1 => {
                return mismatch("a dynamic size as input.size = { multiple_of, long_side } needs".to_owned());
            }
            SizeRule::Model | SizeRule::MultipleOf { .. } => {}
        }
        Ok(())
    }

    fn declared_size(&self, input: &TensorInfo) -> (i64, i64) {
        let axis = |index: usize| input.dims.get(index).copied().unwrap_or(-1);
        match self.manifest.input.layout {
            Layout::Nchw => (axis(2), axis(3)),
            Layout::Nhwc => (axis(1), axis(2)),
        }
    }

    /// Most pictures in one run: the model's fixed batch, else `limit`.
    pub(super) fn batch(&self, limit: usize) -> Result<usize, PerceptionError> {
        let declared = self.input()?.dims.first().copied().unwrap_or(-1);
        Ok(usize::try_from(declared)
            .ok()
            .filter(|batch| *batch > 0)
            .unwrap_or(limit))
    }

    /// A preprocessor for the picture input.
    pub(super) fn preprocessor(&self) -> Result<Preprocessor, PerceptionError> {
        let input = self.input()?;
        let buffer = match input.element {
            Some(TensorElementType::Float16) => TensorBuffer::F16(Vec::new()),
            Some(TensorElementType::Uint8) => TensorBuffer::U8(Vec::new()),
            _ => TensorBuffer::F32(Vec::new()),
        };
        let mut spec = self.manifest.input.clone();
        if spec.size == SizeRule::Model {
            let (height, width) = self.declared_size(input);
            let side = |side: i64| u32::try_from(side).unwrap_or(1);
            spec.size = SizeRule::Fixed([side(width), side(height)]);
        }
        Ok(Preprocessor::new(spec, buffer))
    }
}

fn check_readable(path: &Path, url: Option<&str>) -> Result<(), PerceptionError> {
    let hint = url.map(|url| format!("the manifest says it comes from {url}"));
    let failed = |source, hint| PerceptionError::Read {
        path: PathBuf::from(path),
        source,
        hint,
    };
    let metadata = std::fs::metadata(path).map_err(|source| failed(source, hint))?;
    if !metadata.is_file() {
        let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, "expected a file, found a folder");
        return Err(failed(source, None));
    }
    Ok(())
}
