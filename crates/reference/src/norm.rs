//! Normalisation of a tensor `[outer, axis, inner]`.

use crate::{Real, axis::Axes, mean};

/// The dimension that statistics run over and that parameters are indexed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Along {
    /// The middle one: each `(outer, inner)` is a vector of its own, `inner` apart in memory.
    Axis,
    /// The innermost one: each `(outer, axis)` is a contiguous vector of its own.
    Inner,
}

impl Along {
    /// `axes` with the dimension as the axis.
    fn as_axis(self, axes: Axes) -> Axes {
        match self {
            Self::Axis => axes,
            Self::Inner => axes.inner_as_axis(),
        }
    }
}

/// Layer normalisation (Ba, Kiros and Hinton, arXiv 1607.06450), each vector `v` of `n` elements
/// by its own statistics:
///
/// `y[k] = (v[k] − μ) / √(σ² + eps) · gamma[k] + beta[k]`, `μ = Σv / n`, `σ² = Σ(v − μ)² / n`
///
/// The variance is the biased one, computed in a second pass from the deviations.
///
/// # Panics
/// If `x` does not have the size of `axes`, or `gamma` or `beta` that of the dimension.
pub fn layer_norm<T: Real>(
    x: &[T],
    axes: Axes,
    along: Along,
    gamma: &[T],
    beta: &[T],
    eps: T,
) -> Vec<T> {
    assert_eq!(x.len(), axes.elements(), "input {axes:?}");
    let axes = along.as_axis(axes);
    let mut y = x.to_vec();
    for o in 0..axes.outer {
        for i in 0..axes.inner {
            let vector = || (0..axes.axis).map(|a| x[axes.index(o, a, i)]);
            let mu = mean(vector(), axes.axis);
            let variance = mean(vector().map(|v| (v - mu) * (v - mu)), axes.axis);
            for a in 0..axes.axis {
                let at = axes.index(o, a, i);
                y[at] = (x[at] - mu) / (variance + eps).sqrt();
            }
        }
    }
    affine(&y, axes, Along::Axis, gamma, beta)
}

/// `y = x·scale[k] + shift[k]` with `k` the index along the dimension: a folded batch
/// normalisation, or the affine layer of ResMLP.
///
/// # Panics
/// If `x` does not have the size of `axes`, or `scale` or `shift` that of the dimension.
pub fn affine<T: Real>(x: &[T], axes: Axes, along: Along, scale: &[T], shift: &[T]) -> Vec<T> {
    assert_eq!(x.len(), axes.elements(), "input {axes:?}");
    let axes = along.as_axis(axes);
    assert_eq!(scale.len(), axes.axis, "scale");
    assert_eq!(shift.len(), axes.axis, "shift");
    let mut y = x.to_vec();
    for o in 0..axes.outer {
        for a in 0..axes.axis {
            for i in 0..axes.inner {
                let at = axes.index(o, a, i);
                y[at] = x[at] * scale[a] + shift[a];
            }
        }
    }
    y
}

/// What ViT, FF-only, MLP-Mixer and what follows from it add to the variance of a layer norm, but
/// for the norm within gMLP's gate.
pub const LAYER_NORM_EPS: f64 = 1e-6;

/// What PyTorch adds to the variance of a batch norm.
pub const BATCH_NORM_EPS: f64 = 1e-5;

/// The parameters of a batch norm, one of each per channel, under PyTorch's names.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchNorm<T> {
    /// Scale.
    pub weight: Vec<T>,
    /// Shift.
    pub bias: Vec<T>,
    /// Mean of the training data.
    pub running_mean: Vec<T>,
    /// Variance of the training data.
    pub running_var: Vec<T>,
}

/// Batch normalisation (Ioffe and Szegedy, arXiv 1502.03167) at inference, of a tensor
/// `[images, channels, pixels]` by the statistics of its training:
///
/// `y[n, c, i] = (x[n, c, i] − running_mean[c]) / √(running_var[c] + eps) · weight[c] + bias[c]`
///
/// # Panics
/// If `x` does not have the size of `axes`, or a parameter that of the axis.
pub fn batch_norm<T: Real>(x: &[T], axes: Axes, bn: &BatchNorm<T>, eps: T) -> Vec<T> {
    assert_eq!(x.len(), axes.elements(), "input {axes:?}");
    assert_eq!(bn.running_mean.len(), axes.axis, "running mean");
    assert_eq!(bn.running_var.len(), axes.axis, "running variance");
    let mut y = x.to_vec();
    for n in 0..axes.outer {
        for c in 0..axes.axis {
            for i in 0..axes.inner {
                let at = axes.index(n, c, i);
                y[at] = (x[at] - bn.running_mean[c]) / (bn.running_var[c] + eps).sqrt();
            }
        }
    }
    affine(&y, axes, Along::Axis, &bn.weight, &bn.bias)
}
