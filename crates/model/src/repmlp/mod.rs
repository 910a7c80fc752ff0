//! RepMLP (Ding et al., 2021 and 2022): fully connected layers over the places of a map, trained with
//! convolutions beside them that are folded in afterwards.

mod architecture;
mod block;
mod block_config;
pub(crate) mod block_ops;
pub(crate) mod block_read;
mod config;
mod fc3;
mod fc3_sizes;
mod fold;
mod local;
mod names;
mod net;
pub(crate) mod read;
pub(crate) mod specs;
mod unit;

pub use block::{FoldedTensor, RepMlpBlock, RepMlpBlockPlan};
pub use block_config::RepMlpBlockConfig;
pub use config::{RepMlpNetConfig, RepMlpNetStage};
pub use fc3::Fc3;
pub(crate) use fc3_sizes::Fc3Sizes;
pub(crate) use names::{detect, form, recognised};
pub(crate) use net::RepMlpNet;
