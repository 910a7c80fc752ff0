//! Folding the weights of a model with two forms: from a file in train form to one in deploy form, and
//! what that does to each RepMLP.
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

mod convert;
mod report;

use mixfold_gemm::Context;

use crate::ModelError;
use crate::random::SplitMix64;
use crate::repmlp::read::Linear;
use crate::weights::Weights;

pub use convert::{Folded, fold_config, fold_file};
pub use report::{BlockReport, Size, config_report, fold_report};

/// What folding asks of the sizes of a model with two forms.
pub(crate) trait Folding {
    /// Convolutions that become one with their batch norms.
    fn conv_bns(&self) -> usize;
    /// Whether weight and bias of this module of the deploy form are others than in the train form.
    fn is_folded(&self, module: &str) -> bool;
    /// Weight and bias of such a module in deploy form, of weights in train form.
    fn folded(&self, weights: &mut Weights<'_>, module: &str) -> Result<Linear, ModelError>;
    /// Compares the two forms of each RepMLP, of weights in train form, on random input.
    fn reports(
        &self,
        weights: &mut Weights<'_>,
        random: &mut SplitMix64,
        ctx: &Context,
    ) -> Result<Vec<BlockReport>, ModelError>;
}
