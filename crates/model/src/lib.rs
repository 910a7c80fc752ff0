//! Vision MLPs on the mixfold kernels: from a checkpoint and an image file to class probabilities.
//!
//! ```no_run
//! use mixfold_model::Model;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = Model::load("mixer_b16_224", "mixer_b16_224.safetensors")?;
//! let image = model.preprocess().open("cat.jpg")?; // [1, 3, 224, 224]
//! let logits = model.forward(&image)?; // [1, 1000]
//! for (class, p) in logits.top(5) {
//!     println!("{p:.3}  {}", model.label(class));
//! }
//!
//! let (images, mut logits) = (vec![0.0; 8 * 3 * 224 * 224], vec![0.0; 8 * 1000]);
//! let mut plan = model.plan(8)?; // batch 8, all memory now
//! plan.run(&images, &mut logits)?; // no allocation, any number of times
//! # Ok(())
//! # }
//! ```
//!
//! A [`Model`] is shared by threads; a [`Plan`] is a thread's own. [`Checkpoint`] reads tensors,
//! [`preprocess`] prepares images, [`registry`] lists the models. [`RepMlpBlock`] is a part for
//! networks of your own. All arithmetic is that of
//! `mixfold-mix`; nothing here is hot.

#![forbid(unsafe_code)]

mod architecture;
pub mod checkpoint;
mod config;
pub mod conversion;
mod embedded;
mod error;
mod families;
pub mod folding;
mod gelu;
pub mod labels;
mod layer_weights;
mod loader;
mod logits;
mod model;
mod network;
mod plan;
mod position;
pub mod preprocess;
mod random;
pub mod registry;
mod repmlp;
mod resnet;
mod sizes;
mod tokens;
mod weights;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use config::{Config, Form};
pub use error::{Mismatch, Misshapen, ModelError};
pub use families::{
    AttentionOnlyConfig, FfOnlyConfig, GMixerConfig, GmlpConfig, MixerConfig, ResMlpConfig,
    VitConfig,
};
pub use gelu::Gelu;
pub use labels::LabelsError;
pub use layer_weights::{LayerWeights, StemFilters, TokenUnits};
pub use loader::{Loader, detect, form};
pub use logits::{Logits, top};
pub use model::Model;
pub use network::{Layer, Phase};
pub use plan::Plan;
pub use preprocess::{Images, Preprocess, PreprocessError};
pub use registry::ModelInfo;
pub use repmlp::{
    Fc3, FoldedTensor, RepMlpBlock, RepMlpBlockConfig, RepMlpBlockPlan, RepMlpNetConfig,
    RepMlpNetStage,
};
pub use resnet::{RepMlpPlace, ResNetConfig, ResNetRepMlp, ResNetStage};
pub use tokens::Trunk;

/// The examples of the documentation, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/getting-started.md")]
pub struct GettingStarted;

/// The examples of the documentation, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/repmlp.md")]
pub struct RepMlp;
