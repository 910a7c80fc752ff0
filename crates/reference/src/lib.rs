//! What every mixfold kernel computes, written as the plainest loops that compute it.
//!
//! The fast crates are tested against this one. Everything is generic over [`Real`] (`f32` and
//! `f64`): evaluated in `f64` it is the oracle for a kernel in `f32`, with [`gemm::dot_bound`] to
//! say how far apart the two may be; evaluated in `f32` it shows what a careful but naive
//! implementation of the same precision achieves.
//!
//! | module | what it specifies |
//! |---|---|
//! | [`gemm`] | matrix product of strided views, and the rounding bound of a dot product |
//! | [`activation`] | ReLU, both GELUs, sigmoid, SiLU |
//! | [`axis`] | a matrix, a two-layer MLP, gated or not, or a gate along the middle axis of `[outer, axis, inner]` |
//! | [`norm`] | layer normalisation and per-channel affine along either axis, batch normalisation |
//! | [`conv2d`] | two-dimensional convolution, NCHW and OIHW |
//! | [`max_pool2d`] | two-dimensional max pooling, NCHW |
//! | [`identity`] | a convolution as a matrix, by convolving the identity |
//! | [`attention`] | softmax and multi-head self-attention, positions along either axis |
//! | [`tokens`] | patches as tokens, tokens in front of them, what is read out |
//! | [`embedding`] | patches and a class token with the positions of FF-only |
//! | [`mixer`] | the MLP-Mixer forward pass |
//! | [`ff_only`] | the block and the forward pass of FF-only |
//! | [`attention_only`] | the forward pass of the attention-only network, a reconstruction |
//! | [`vit`] | the block and the forward pass of ViT and DeiT |
//! | [`resmlp`], [`gmlp`], [`gmixer`] | blocks and forward passes of what followed from Mixer |
//! | [`fc3`] | the matrix of RepMLP and the convolutions beside it, or folded into it |
//! | [`repmlp`] | the block of RepMLP, as trained and as deployed |
//! | [`repmlpnet`] | the RepMLPNet forward pass, as trained and as deployed |
//! | [`resnet`] | the forward pass of ResNet-50, and of those with RepMLPs |
//! | [`parameters`] | parameters under the names of checkpoints |
//! | [`fill`] | reproducible weights and inputs for tests |
//!
//! Tensors are contiguous row-major slices; sums start at `0` and add in index order. Nothing here
//! is meant to be fast.
//!
//! # Panics
//!
//! Shapes are asserted: every function panics when a slice does not have the length its
//! documentation gives, or when a size overflows `usize`. The callers are tests, and there a wrong
//! shape is a mistake in the test.

#![forbid(unsafe_code)]

pub mod activation;
pub mod attention;
pub mod attention_only;
pub mod axis;
pub mod conv2d;
pub mod embedding;
pub mod fc3;
pub mod ff_only;
pub mod fill;
pub mod gemm;
pub mod gmixer;
pub mod gmlp;
pub mod identity;
pub mod max_pool2d;
pub mod mixer;
pub mod norm;
pub mod parameters;
mod real;
pub mod repmlp;
pub mod repmlpnet;
pub mod resmlp;
pub mod resnet;
pub mod tokens;
pub mod vit;

pub use real::Real;

/// Number of elements of a tensor with these sizes.
fn product(sizes: &[usize]) -> usize {
    sizes.iter().try_fold(1, |n: usize, &size| n.checked_mul(size)).expect("size overflows usize")
}

/// Sum of sizes or of positions.
fn total(sizes: &[usize]) -> usize {
    sizes.iter().try_fold(0, |n: usize, &size| n.checked_add(size)).expect("size overflows usize")
}

/// Sum in iteration order, starting at `+0`.
fn sum<T: Real>(terms: impl Iterator<Item = T>) -> T {
    terms.fold(T::zero(), |total, term| total + term)
}

/// The mean of `count` terms: their sum in iteration order, divided once.
fn mean<T: Real>(terms: impl Iterator<Item = T>, count: usize) -> T {
    sum(terms) / T::of(count as f64)
}

/// `x += y`, element by element.
fn add<T: Real>(x: &mut [T], y: &[T]) {
    assert_eq!(x.len(), y.len(), "lengths of a sum");
    for (x, &y) in x.iter_mut().zip(y) {
        *x = *x + y;
    }
}
