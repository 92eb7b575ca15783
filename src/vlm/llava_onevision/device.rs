//! Where the model runs, by a word: `auto`, `cpu`, `vulkan`, `vulkan:1`, `cuda`, `cuda:1`.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Device, FloatDType};

use super::Error;

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
        let (name, index) = match text.split_once(':') {
            Some((name, index)) => (name, Some(index.parse::<u16>().map_err(|_| unknown())?)),
            None => (text, None),
        };
        match (name.to_ascii_lowercase().as_str(), index) {
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
    /// When the device's cargo feature is off.
    pub fn open(self) -> Result<(Device, FloatDType), Error> {
        match self {
            Self::Cpu => Ok((Device::flex(), FloatDType::F32)),
            Self::Vulkan(index) => vulkan(index),
            Self::Cuda(index) => cuda(index),
            Self::Auto if cfg!(feature = "cuda") => cuda(0),
            Self::Auto if cfg!(feature = "vulkan") => vulkan(0),
            Self::Auto => Self::Cpu.open(),
        }
    }
}

#[cfg(feature = "vulkan")]
fn vulkan(index: u16) -> Result<(Device, FloatDType), Error> {
    use burn::tensor::DeviceKind;
    let kind = if index == 0 {
        DeviceKind::DefaultDevice
    } else {
        DeviceKind::DiscreteGpu(usize::from(index))
    };
    Ok((Device::vulkan(kind), FloatDType::F16))
}

#[cfg(not(feature = "vulkan"))]
fn vulkan(index: u16) -> Result<(Device, FloatDType), Error> {
    Err(missing(Place::Vulkan(index), "vulkan"))
}

#[cfg(feature = "cuda")]
fn cuda(index: u16) -> Result<(Device, FloatDType), Error> {
    Ok((Device::cuda(usize::from(index)), FloatDType::BF16))
}

#[cfg(not(feature = "cuda"))]
fn cuda(index: u16) -> Result<(Device, FloatDType), Error> {
    Err(missing(Place::Cuda(index), "cuda"))
}

#[cfg(not(all(feature = "vulkan", feature = "cuda")))]
fn missing(place: Place, feature: &str) -> Error {
    Error::Device {
        found: place.to_string(),
        reason: format!("this build has no such backend; build with the cargo feature `{feature}`"),
    }
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
        for text in ["gpu", "cuda:", "cpu:1", "vulkan:x"] {
            assert!(text.parse::<Place>().unwrap_err().to_string().contains(text), "{text}");
        }
    }
}
