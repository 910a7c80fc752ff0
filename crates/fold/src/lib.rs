//! Several layers as one: batch norms into weights, branches into one kernel, a convolution into a
//! matrix.
//!
//! A kernel of 3×3 over a map of 2×2 is a matrix of 4×4, each row a window of the kernel:
//!
//! ```
//! use mixfold_fold::{Branches, Conv, Geometry, conv_to_fc};
//!
//! # fn main() -> Result<(), mixfold_fold::FoldError> {
//! let weight = [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
//! let kernel = Branches::new().conv(&Conv::new(&weight, [1, 1, 3, 3])?)?.merge()?;
//! let fc = conv_to_fc::<f32>(&kernel, Geometry::same(2, 2)?)?;
//! assert_eq!(fc.weight, [
//!     5.0, 6.0, 8.0, 9.0, // output (0, 0)
//!     4.0, 5.0, 7.0, 8.0, // output (0, 1)
//!     2.0, 3.0, 5.0, 6.0, // output (1, 0)
//!     1.0, 2.0, 4.0, 5.0, // output (1, 1)
//! ]);
//! # Ok(())
//! # }
//! ```
//!
//! | you have | you get | with |
//! |---|---|---|
//! | a batch norm behind, or in front of, a matrix or a convolution | that layer alone | [`LinearMut::followed_by`], [`preceded_by`](LinearMut::preceded_by), [`between`](LinearMut::between) |
//! | convolutions side by side, with batch norms, and identities | one convolution | [`Branches`] |
//! | a convolution on a map of fixed size | a matrix | [`conv_to_fc`] |
//! | all of it beside a fully connected layer, as in RepMLP | that layer alone, in place | [`LinearMut::add_conv`] |
//!
//! Everything works on slices of weights as checkpoints store them, in `f32` or `f64`, and knows
//! nothing of networks. (Other types of [`Float`](num_traits::Float) work as well as they convert from
//! and to `f64`.)
//!
//! # Accuracy
//! The arithmetic is in `f64`, and each number of a result is rounded once. A convolution's matrix
//! holds the very numbers of its kernel. The folded layer is the same function, computed with other
//! roundings: in `f32`, where a sum of k products is off by k roundings, folding adds one more, that
//! of the weight.
//!
//! # Errors
//! Sizes are compared before anything is computed, and refusals hold the numbers ([`FoldError`]). A
//! matrix can be large: [`Geometry::fc_shape`] tells how large, and [`conv_to_fc`] has a limit.
//! Nothing panics, whatever the weights and sizes are.

#![forbid(unsafe_code)]

mod band;
mod batch_norm;
mod branches;
mod conv;
mod error;
mod geometry;
mod linear;
mod number;
mod sizes;
mod to_fc;

pub use batch_norm::{Affine, BatchNorm};
pub use branches::Branches;
pub use conv::{Conv, Kernel};
pub use error::FoldError;
pub use geometry::{FcShape, Geometry};
pub use linear::LinearMut;
pub use to_fc::{Fc, MAX_ELEMENTS, conv_to_fc, conv_to_fc_within};

/// The examples of the documentation, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/folding.md")]
pub struct Folding;
