//! Finding and starting ONNX Runtime: `ORT_DYLIB_PATH`, else beside the program, else the system's.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;

use super::PerceptionError;

/// The environment lives as long as the program: sessions of all models share it.
static ENVIRONMENT: Mutex<Option<Loaded>> = Mutex::new(None);

#[derive(Clone)]
struct Loaded {
    environment: Environment,
    library: PathBuf,
}

/// Which library is loaded, for status and diagnosis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeInfo {
    /// The library as it was asked for.
    pub library: PathBuf,
    /// ONNX Runtime's own description of its build.
    pub build: String,
}

/// Loads ONNX Runtime if it is not loaded yet, and says which it is.
///
/// # Errors
/// [`PerceptionError::Runtime`] with every place that was tried; a later call tries again.
pub fn load() -> Result<RuntimeInfo, PerceptionError> {
    let loaded = ensure()?;
    Ok(RuntimeInfo {
        library: loaded.library,
        build: ort::info().to_owned(),
    })
}

pub(super) fn environment() -> Result<Environment, PerceptionError> {
    ensure().map(|loaded| loaded.environment)
}

fn ensure() -> Result<Loaded, PerceptionError> {
    let mut slot = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(loaded) = slot.as_ref() {
        return Ok(loaded.clone());
    }
    let mut tried = Vec::new();
    for library in candidates() {
        // `init_from` opens the library itself and returns its failure; every other entry of `ort` would panic.
        match ort::init_from(&library) {
            Ok(builder) => match builder.with_name("kinestream").with_telemetry(false).build() {
                Ok(environment) => {
                    tracing::info!(library = %library.display(), "ONNX Runtime loaded");
                    let loaded = Loaded { environment, library };
                    *slot = Some(loaded.clone());
                    return Ok(loaded);
                }
                Err(error) => tried.push(format!("{}: {error}", library.display())),
            },
            Err(error) => tried.push(error.to_string()),
        }
    }
    Err(PerceptionError::Runtime { tried })
}

/// Where the library may be, in order. A set `ORT_DYLIB_PATH` is the only place: a wrong path should be noticed.
fn candidates() -> Vec<PathBuf> {
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
        return vec![PathBuf::from(path)];
    }
    let name = format!(
        "{}onnxruntime{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    let mut candidates = Vec::new();
    if let Some(folder) = std::env::current_exe()
        .ok()
        .and_then(|exe| exe.parent().map(ToOwned::to_owned))
    {
        for folder in [folder.clone(), folder.join("../lib")] {
            let mut beside: Vec<PathBuf> = std::fs::read_dir(&folder)
                .into_iter()
                .flatten()
                .flatten()
                .filter(|entry| entry.file_name().to_string_lossy().starts_with(&name))
                .map(|entry| entry.path())
                .collect();
            beside.sort();
            candidates.append(&mut beside);
        }
    }
    candidates.push(PathBuf::from(&name));
    candidates.push(PathBuf::from(format!("{name}.1")));
    candidates
}
