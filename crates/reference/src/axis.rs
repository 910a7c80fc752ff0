//! A matrix applied along the middle axis of a tensor.
//!
//! Every heavy layer of a vision MLP is one: with `[images, tokens, channels]`, token mixing has
//! `outer = images, axis = tokens, inner = channels`; channel mixing and a classifier have
//! `axis = channels, inner = 1` and all that comes before as `outer`.

use crate::{Real, activation::Activation, gemm::Mat, product, sum};

/// A contiguous tensor viewed as `[outer, axis, inner]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axes {
    /// Product of the sizes before the axis.
    pub outer: usize,
    /// Size of the axis.
    pub axis: usize,
    /// Product of the sizes after the axis: the distance between neighbours along it.
    pub inner: usize,
}

impl Axes {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        product(&[self.outer, self.axis, self.inner])
    }

    /// Position of element `[outer, axis, inner]` in the slice.
    pub fn index(&self, outer: usize, axis: usize, inner: usize) -> usize {
        (outer * self.axis + axis) * self.inner + inner
    }

    /// The same memory with the innermost dimension as the axis: `[outer·axis, inner, 1]`.
    pub fn inner_as_axis(&self) -> Self {
        Self { outer: product(&[self.outer, self.axis]), axis: self.inner, inner: 1 }
    }
}

/// A linear layer: `weight` is `[out, axis]` and `bias`, if any, `[out]`.
#[derive(Debug, Clone, Copy)]
pub struct Linear<'a, T> {
    /// The matrix, as PyTorch stores it: a row per output.
    pub weight: Mat<'a, T>,
    /// Added per output.
    pub bias: Option<&'a [T]>,
}

/// `y[o, r, i] = Σₐ weight[r, a]·x[o, a, i] + bias[r]`, a tensor `[outer, out, inner]`.
///
/// # Panics
/// If `x`, the columns of the weight or the bias do not have the sizes of `axes` and `layer`.
pub fn linear<T: Real>(x: &[T], axes: Axes, layer: &Linear<T>) -> Vec<T> {
    let Linear { weight, bias } = *layer;
    assert_eq!(x.len(), axes.elements(), "input {axes:?}");
    assert_eq!(weight.cols(), axes.axis, "columns of the weight");
    if let Some(bias) = bias {
        assert_eq!(bias.len(), weight.rows(), "bias");
    }
    let mut y = Vec::with_capacity(product(&[axes.outer, weight.rows(), axes.inner]));
    for o in 0..axes.outer {
        for r in 0..weight.rows() {
            for i in 0..axes.inner {
                let dot = sum((0..axes.axis).map(|a| weight.at(r, a) * x[axes.index(o, a, i)]));
                y.push(bias.map_or(dot, |bias| dot + bias[r]));
            }
        }
    }
    y
}

/// Two linear layers along the same axis with an activation between them,
/// `[outer, axis, inner]` to `[outer, out of second, inner]`.
///
/// # Panics
/// As [`linear`]; the columns of `second` are the rows of `first`.
pub fn mlp<T: Real>(
    x: &[T],
    axes: Axes,
    first: &Linear<T>,
    activation: Activation,
    second: &Linear<T>,
) -> Vec<T> {
    let mut hidden = linear(x, axes, first);
    for value in &mut hidden {
        *value = activation.apply(*value);
    }
    linear(&hidden, Axes { axis: first.weight.rows(), ..axes }, second)
}

/// The first and the second half of the axis, `[outer, axis / 2, inner]` each.
///
/// # Panics
/// If `x` does not have the size of `axes`, or the axis is odd.
pub fn halves<T: Real>(x: &[T], axes: Axes) -> [Vec<T>; 2] {
    assert_eq!(x.len(), axes.elements(), "input {axes:?}");
    assert!(axes.axis.is_multiple_of(2), "halves of {}", axes.axis);
    [0, axes.axis / 2].map(|start| {
        (0..axes.outer)
            .flat_map(|o| &x[axes.index(o, start, 0)..axes.index(o, start + axes.axis / 2, 0)])
            .copied()
            .collect()
    })
}

/// A gated linear unit (Shazeer, arXiv 2002.05202), with the gate last: the first half of the axis
/// times the activation of the second, `[outer, axis / 2, inner]`.
///
/// # Panics
/// As [`halves`].
pub fn glu<T: Real>(x: &[T], axes: Axes, activation: Activation) -> Vec<T> {
    let [x, gate] = halves(x, axes);
    x.into_iter().zip(gate).map(|(x, gate)| x * activation.apply(gate)).collect()
}

/// A gated perceptron along an axis (GLU; Dauphin et al., arXiv 1612.08083; Shazeer, arXiv
/// 2002.05202): the rows of `first` are those of U, then as many of V, and
/// `y = second(U·x ⊙ activation(V·x))`, each product with its bias.
///
/// # Panics
/// As [`linear`]; the columns of `second` are half of the rows of `first`.
pub fn gated_mlp<T: Real>(
    x: &[T],
    axes: Axes,
    first: &Linear<T>,
    activation: Activation,
    second: &Linear<T>,
) -> Vec<T> {
    let hidden = Axes { axis: first.weight.rows(), ..axes };
    let units = glu(&linear(x, axes, first), hidden, activation);
    linear(&units, Axes { axis: hidden.axis / 2, ..axes }, second)
}
