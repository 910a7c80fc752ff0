//! ResNets (He et al., 2016), and those whose blocks have a RepMLP (Ding et al., 2021).

mod architecture;
mod block;
mod config;
mod counts;
mod detect;
mod fold;
mod names;
mod net;
mod sizes;

pub use config::{RepMlpPlace, ResNetConfig, ResNetRepMlp, ResNetStage};
pub(crate) use detect::detect;
pub(crate) use names::{form, recognised};
