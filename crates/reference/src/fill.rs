//! Reproducible contents for tests: no random generator, the same numbers in every language.

use crate::{Real, product};

/// Weights in the order they are asked for.
///
/// Element `i` (row major) of the `t`-th tensor, both from 0, is
/// `v = 0.3·sin(0.7·(i + 1) + 1.3·(t + 1))`, or `1 + v` if the tensor scales normalised values or
/// is a variance, by its PyTorch name: `running_var`, and `weight` of a module with `norm` or `bn`
/// in its name. Evaluated in `f64`, rounded once.
///
/// ```
/// let mut weights = mixfold_reference::fill::Weights::default();
/// let kernel: Vec<f32> = weights.tensor("fc1.weight", &[2, 3]);
/// let gamma: Vec<f32> = weights.tensor("norm1.weight", &[3]);
/// assert_eq!(kernel[5], (0.3 * f64::sin(0.7 * 6.0 + 1.3)) as f32);
/// assert_eq!(gamma[0], (1.0 + 0.3 * f64::sin(0.7 + 1.3 * 2.0)) as f32);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Weights {
    tensors: usize,
}

impl Weights {
    /// The next tensor.
    pub fn tensor<T: Real>(&mut self, name: &str, shape: &[usize]) -> Vec<T> {
        self.tensors += 1;
        let phase = 1.3 * self.tensors as f64;
        let base = if is_scale(name) { 1.0 } else { 0.0 };
        let element = |i| base + 0.3 * libm::sin(0.7 * i as f64 + phase);
        (1..=product(shape)).map(|i| T::of(element(i))).collect()
    }
}

fn is_scale(name: &str) -> bool {
    let (module, parameter) = name.rsplit_once('.').unwrap_or(("", name));
    let module = module.rsplit('.').next().unwrap_or(module);
    match parameter {
        "running_var" => true,
        "weight" => module.contains("norm") || module.contains("bn"),
        _ => false,
    }
}

/// An input: element `i`, from 0, is `sin(0.11·(i + 1))`, evaluated in `f64` and rounded once.
pub fn input<T: Real>(elements: usize) -> Vec<T> {
    (1..=elements).map(|i| T::of(libm::sin(0.11 * i as f64))).collect()
}
