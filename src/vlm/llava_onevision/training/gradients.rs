//! Gradients of all weights together: their norm, and keeping it within bounds. Weights by numbers that do not change.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// Shrinks the gradients so that their common norm is at most `longest`; returns the norm before.
pub fn clip<M: Module>(module: &M, gradients: &mut GradientsParams, longest: f64) -> f64 {
    struct Squares<'a>(&'a GradientsParams, f64);
    impl ModuleVisitor for Squares<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.0.get::<D>(param.id) {
                self.1 += f64::from((gradient.clone() * gradient).sum().into_scalar::<f32>());
            }
        }
    }
    struct Scale<'a>(&'a mut GradientsParams, f64);
    impl ModuleVisitor for Scale<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.0.remove::<D>(param.id) {
                self.0.register(param.id, gradient * self.1);
            }
        }
    }
    let mut squares = Squares(gradients, 0.0);
    module.visit(&mut squares);
    let norm = squares.1.sqrt();
    if norm > longest {
        module.visit(&mut Scale(gradients, longest / norm));
    }
    norm
}

/// Numbers the weights in the order in which they stand, so that the optimiser's memory of a weight finds it again when a run
/// goes on in another process.
pub fn numbered<M: Module>(module: M) -> M {
    struct Number(u64);
    impl ModuleMapper for Number {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            self.0 += 1;
            let (_, value, mapper) = param.consume();
            Param::from_mapped_value(ParamId::from(self.0), value, mapper)
        }
    }
    module.map(&mut Number(0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use burn::nn::LinearConfig;
    use burn::tensor::Device;

    #[test]
    fn the_norm_of_all_gradients_is_bounded() {
        let device = Device::flex().autodiff();
        let layer = numbered(LinearConfig::new(3, 2).init(&device));
        let x = Tensor::<2>::from_floats([[1.0, 2.0, 2.0]], &device);
        let loss = layer.forward(x).sum();
        let mut gradients = GradientsParams::from_grads(loss.backward(), &layer);
        // By hand: each column of the weight has (1, 2, 2), the bias (1, 1): 9 + 9 + 2.
        let norm = clip(&layer, &mut gradients, 1.0);
        assert!((norm - 20f64.sqrt()).abs() < 1e-6, "{norm}");
        assert!((clip(&layer, &mut gradients, 1.0) - 1.0).abs() < 1e-6);
        assert_eq!(
            layer.weight.id,
            numbered(LinearConfig::new(3, 2).init(&device)).weight.id
        );
        assert!(layer.weight.is_require_grad());
    }
}
