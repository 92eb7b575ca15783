//! The operations of inference on the processor in f32, where burn's own would walk over memory once for each step or
//! use one core: products with few rows, attention without the matrix of scores, and what stands between products.
//!
//! Every function gives `None` for tensors that lie elsewhere, are of another type or are being differentiated.

mod attention;
mod elementwise;
mod linear;
mod simd;

use burn::backend::flex::FlexTensor;
use burn::backend::{DispatchDevice, Flex};
use burn::tensor::{DType, Tensor, TensorData};

pub use attention::{Mask, attend};
pub use elementwise::{activate, gated, layer_norm, rms_norm, rotate};
pub use linear::linear;

/// The tensor itself, if it can be worked on here.
fn plain<const D: usize>(tensor: &Tensor<D>) -> Option<FlexTensor> {
    let here = tensor.dtype() == DType::F32 && matches!(tensor.device().as_dispatch(), DispatchDevice::Flex(_));
    if here {
        tensor.clone().try_into_primitive::<Flex>().ok()
    } else {
        None
    }
}

/// The tensor with its values one after the other.
fn contiguous<const D: usize>(tensor: &Tensor<D>) -> Option<FlexTensor> {
    let tensor = plain(tensor)?;
    Some(if tensor.as_slice::<f32>().is_some() {
        tensor
    } else {
        tensor.to_contiguous()
    })
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(FlexTensor::from_data(TensorData::new(values, shape)))
}
