//! Folding the convolutions of a RepMLPNet's weights into its fully connected layers: from a file in
//! train form to one in deploy form, and what that does to each block.
//!
//! ```no_run
//! use mixfold_gemm::Context;
//! use mixfold_model::{Model, folding};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (train, deploy) = ("repmlpnet_b256_train.safetensors", "repmlpnet_b256.safetensors");
//! folding::fold_file("repmlpnet_b256", train, deploy)?;
//! for block in folding::fold_report("repmlpnet_b256", train, 1, &Context::new())? {
//!     println!("{}: {:.1e} of {:.1}", block.name, block.difference, block.largest);
//! }
//! let model = Model::load("repmlpnet_b256", deploy)?;
//! # Ok(())
//! # }
//! ```
//!
//! The folds of single layers, for models of your own, are those of `mixfold-fold`.

pub use crate::repmlp::convert::{Folded, fold_config, fold_file};
pub use crate::repmlp::report::{BlockReport, Size, config_report, fold_report};
