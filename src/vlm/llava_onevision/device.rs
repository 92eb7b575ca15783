//! Where the model runs, by a word: `auto`, `cpu`, `vulkan`, `vulkan:1`, `cuda`, `cuda:1`.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Device, FloatDType};

use super::Error;
use crate::perception::name_and_index;

/// The device asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Place {
    /// The best of those that were built in: CUDA, Vulkan, the processor.
    #[default]
    Auto,
    /// The processor, in f32.
    Cpu,
    /// A GPU with a Vulkan driver by its index, in f16.
    Vulkan(u16),
    /// An NVIDIA GPU by its index, in bf16.
    Cuda(u16),
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || Error::Device {
            found: text.to_owned(),
            reason: "expected auto, cpu, vulkan, vulkan:N, cuda or cuda:N".to_owned(),
        };
        let (name, index) = name_and_index(text).ok_or_else(unknown)?;
        let index = index.map(u16::try_from).transpose().map_err(|_| unknown())?;
        match (name.as_str(), index) {
            ("auto" | "", None) => Ok(Self::Auto),
            ("cpu", None) => Ok(Self::Cpu),
            ("vulkan", index) => Ok(Self::Vulkan(index.unwrap_or(0))),
            ("cuda", index) => Ok(Self::Cuda(index.unwrap_or(0))),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Vulkan(index) => write!(f, "vulkan:{index}"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl Place {
    /// burn's device, and the type in which the weights are kept there.
    ///
    /// # Errors
    ///
    /// When the device's cargo feature is off, or this machine has no such device.
    pub fn open(self) -> Result<(Device, FloatDType), Error> {
        match self {
            Self::Cpu => Ok((Device::flex(), FloatDType::F32)),
            Self::Vulkan(index) => self.pick(vulkan(), "vulkan", index, FloatDType::F16),
            Self::Cuda(index) => self.pick(cuda(), "cuda", index, FloatDType::BF16),
            Self::Auto => Self::Cuda(0)
                .open()
                .or_else(|_| Self::Vulkan(0).open())
                .or_else(|_| Self::Cpu.open()),
        }
    }

    /// The device of that index; in f32 where it cannot compute in half precision.
    fn pick(
        self,
        found: Option<Vec<Device>>,
        feature: &str,
        index: u16,
        half: FloatDType,
    ) -> Result<(Device, FloatDType), Error> {
        let wrong = |reason: String| Error::Device {
            found: self.to_string(),
            reason,
        };
        let found = found.ok_or_else(|| {
            wrong(format!(
                "this build has no such backend; build with the cargo feature `{feature}`"
            ))
        })?;
        let count = found.len();
        let device = found.into_iter().nth(usize::from(index));
        let device = device.ok_or_else(|| wrong(format!("this machine has {count} such devices")))?;
        let dtype = if device.supports_dtype(half) {
            half
        } else {
            FloatDType::F32
        };
        Ok((device, dtype))
    }
}

/// `None` where the backend was not built in.
#[cfg(feature = "vulkan")]
fn vulkan() -> Option<Vec<Device>> {
    Some(Device::enumerate(burn::tensor::DeviceType::Vulkan).into_vec())
}

#[cfg(not(feature = "vulkan"))]
fn vulkan() -> Option<Vec<Device>> {
    None
}

/// `None` where the backend was not built in.
#[cfg(feature = "cuda")]
fn cuda() -> Option<Vec<Device>> {
    Some(Device::enumerate(burn::tensor::DeviceType::Cuda).into_vec())
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Option<Vec<Device>> {
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn words_name_devices() {
        for (text, place) in [
            ("auto", Place::Auto),
            ("CPU", Place::Cpu),
            ("vulkan:2", Place::Vulkan(2)),
            ("cuda", Place::Cuda(0)),
        ] {
            assert_eq!(text.parse::<Place>().unwrap(), place, "{text}");
        }
        for text in ["gpu", "cuda:", "cpu:1", "vulkan:x", "cuda:70000"] {
            assert!(text.parse::<Place>().unwrap_err().to_string().contains(text), "{text}");
        }
    }
}
