//! Where a network runs: `auto`, `cpu`, `cuda`, `cuda:1`, `tensorrt`.

use std::fmt;
use std::str::FromStr;

#[cfg(any(feature = "cuda", feature = "tensorrt"))]
use ort::ep;
use ort::ep::ExecutionProviderDispatch;

use super::PerceptionError;
use super::manifest::Provider;

/// The device asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Device {
    /// The first of the model's preferred providers that works here.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// An NVIDIA GPU by its index.
    Cuda(u32),
    /// An NVIDIA GPU by its index, through TensorRT (engines are built at the first start, which takes minutes).
    TensorRt(u32),
}

/// Takes a device's word apart: its name in lower case, and the number behind a colon; `None` when that is no number.
pub fn name_and_index(text: &str) -> Option<(String, Option<u32>)> {
    let (name, index) = match text.split_once(':') {
        Some((name, index)) => (name, Some(index.parse().ok()?)),
        None => (text, None),
    };
    Some((name.to_ascii_lowercase(), index))
}

impl FromStr for Device {
    type Err = PerceptionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || PerceptionError::Device { found: text.to_owned() };
        let (name, index) = name_and_index(text).ok_or_else(unknown)?;
        match (name.as_str(), index) {
            ("auto" | "", None) => Ok(Self::Auto),
            ("cpu", None) => Ok(Self::Cpu),
            ("cuda", index) => Ok(Self::Cuda(index.unwrap_or(0))),
            ("tensorrt", index) => Ok(Self::TensorRt(index.unwrap_or(0))),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::TensorRt(index) => write!(f, "tensorrt:{index}"),
        }
    }
}

impl Device {
    /// The concrete devices to try, in order. `Auto` follows the manifest's preference and always ends at the processor.
    pub(super) fn attempts(self, preferred: &[Provider]) -> Vec<Self> {
        if self != Self::Auto {
            return vec![self];
        }
        let mut attempts: Vec<Self> = preferred
            .iter()
            .map(|provider| match provider {
                Provider::Cpu => Self::Cpu,
                Provider::Cuda => Self::Cuda(0),
                Provider::Tensorrt => Self::TensorRt(0),
            })
            .collect();
        if !attempts.contains(&Self::Cpu) {
            attempts.push(Self::Cpu);
        }
        attempts
    }

    /// Why this device cannot be used with this program and the loaded ONNX Runtime; `None` when it may work. A GPU may
    /// still be missing.
    pub fn missing(self) -> Option<&'static str> {
        match self {
            Self::Auto | Self::Cpu => None,
            #[cfg(feature = "cuda")]
            Self::Cuda(_) => runtime_lacks::<ep::CUDA>(),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda(_) => Some("this program is built without the cargo feature `cuda`"),
            #[cfg(feature = "tensorrt")]
            Self::TensorRt(_) => runtime_lacks::<ep::TensorRT>(),
            #[cfg(not(feature = "tensorrt"))]
            Self::TensorRt(_) => Some("this program is built without the cargo feature `tensorrt`"),
        }
    }

    pub(super) fn providers(self) -> Vec<ExecutionProviderDispatch> {
        match self {
            #[cfg(feature = "cuda")]
            Self::Cuda(gpu) => vec![
                ep::CUDA::default()
                    .with_device_id(i32::try_from(gpu).unwrap_or(i32::MAX))
                    .build()
                    .error_on_failure(),
            ],
            #[cfg(feature = "tensorrt")]
            Self::TensorRt(gpu) => vec![
                ep::TensorRT::default()
                    .with_device_id(i32::try_from(gpu).unwrap_or(i32::MAX))
                    .with_engine_cache(true)
                    .with_engine_cache_path(engine_cache())
                    .with_timing_cache(true)
                    .build()
                    .error_on_failure(),
                // What TensorRT does not take runs on CUDA rather than on the processor.
                #[cfg(feature = "cuda")]
                ep::CUDA::default()
                    .with_device_id(i32::try_from(gpu).unwrap_or(i32::MAX))
                    .build(),
            ],
            _ => Vec::new(),
        }
    }
}

#[cfg(any(feature = "cuda", feature = "tensorrt"))]
fn runtime_lacks<P: ep::ExecutionProvider>() -> Option<&'static str> {
    (!P::is_available().unwrap_or(false)).then_some("this ONNX Runtime is built without it")
}

/// Where built TensorRT engines are kept between runs.
#[cfg(feature = "tensorrt")]
fn engine_cache() -> String {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(std::path::PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| std::path::PathBuf::from(home).join(".cache")))
        .unwrap_or_else(std::env::temp_dir);
    base.join("kinestream/tensorrt").to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn devices_by_name() {
        for (text, device) in [
            ("auto", Device::Auto),
            ("CPU", Device::Cpu),
            ("cuda", Device::Cuda(0)),
            ("cuda:3", Device::Cuda(3)),
            ("tensorrt", Device::TensorRt(0)),
        ] {
            assert_eq!(text.parse::<Device>().unwrap(), device);
        }
        for text in ["gpu", "cuda:", "cuda:x", "cpu:1", "auto:0"] {
            let message = text.parse::<Device>().unwrap_err().to_string();
            assert!(message.contains(text) && message.contains("cuda:N"), "{message}");
        }
    }

    #[test]
    fn auto_ends_at_the_processor() {
        assert_eq!(Device::Auto.attempts(&[Provider::Cuda]), [Device::Cuda(0), Device::Cpu]);
        assert_eq!(Device::Cuda(1).attempts(&[Provider::Cpu]), [Device::Cuda(1)]);
    }
}
