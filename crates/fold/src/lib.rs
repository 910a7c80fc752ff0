//! Several layers as one: batch norms into weights, branches into one kernel, a convolution into a
//! matrix.
//!
//! A 3×3 kernel over a 2×2 map is a 4×4 matrix, each row a window of the kernel:
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
