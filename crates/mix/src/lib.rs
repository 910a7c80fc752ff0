//! A matrix, or a two-layer perceptron, along any axis of a tensor, without a transposed copy.
//!
//! View a contiguous tensor as `[outer, axis, inner]` ([`Axes`]). Every heavy layer of MLP-Mixer,
//! FF-only and RepMLP is a matrix applied along `axis`, with a norm in front and a residual behind:
//!
//! * **channel mixing**, 1×1 convolution on NHWC, classifier: `inner == 1`. The weights stand on the
//!   right, `Y = X·Wᵀ` ([`Side::Right`]);
//! * **token mixing**, 1×1 convolution on NCHW: `inner > 1`. The weights stand on the left,
//!   `Y = W·X` ([`Side::Left`]); `inner` runs along the vectors, so nothing is transposed.
//!
//! [`AxisLinear`] and [`AxisMlp`] describe such a layer; packing gives an [`AxisOp`], which runs in
//! place or from one buffer to another. The hidden tensor of a perceptron, gated
//! ([`AxisMlp::glu`]) or not, is never written to memory as a whole: a panel or chunk of it is used
//! while it is in the cache. [`AxisOp::apply_views`] takes parts of tensors, and adds the result or
//! multiplies with it: half of the channels gate the other half, or one token is read out.
//! [`PatchEmbed`], [`Norm::apply`] and [`mean_axis`] are what else a vision model needs at its two
//! ends; [`Partitions`] are maps cut into maps of their own, [`swap_axes`] goes between NCHW and NHWC.
//!
//! [`SelfAttention`] is softmax(Q·Kᵀ)·V along either axis, whose scores are never all there.
//!
//! [`Conv2d`] is a convolution in two dimensions on NCHW, with groups, strides, padding and dilation:
//! a product with the weights on the left that gathers the pixels under the kernel while it packs
//! them. [`MaxPool2d`] takes the largest pixel under a window.
//!
//! # Same bits
//! Results do not depend on the number of threads, on the position in `outer` (the batch), on the
//! side's driver or, among fused instruction sets, on the instruction set.

#![forbid(unsafe_code)]

mod attention;
mod axes;
mod conv;
mod describe;
mod error;
mod layers;
mod left;
mod max_pool;
mod mean;
mod norm;
mod op;
mod outer;
mod partition;
mod patch;
mod right;
mod swap;
mod taps;
mod task;
mod views;

pub use attention::{Positions, SelfAttention};
pub use axes::Axes;
pub use conv::{Conv2d, Conv2dOp};
pub use describe::{AxisLinear, AxisMlp};
pub use error::MixError;
pub use max_pool::MaxPool2d;
pub use mean::mean_axis;
pub use norm::Norm;
pub use op::{AxisOp, Gated, Side};
pub use outer::{add_gated, add_outer};
pub use partition::Partitions;
pub use patch::PatchEmbed;
pub use swap::swap_axes;
