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
