//! Networks of tokens: patches of an image, blocks that mix them along their axes, a norm, a head.
//!
//! What they have in common stands here; what tells a family from the others, in [`TokenFamily`] and
//! in [`families`](crate::families).

mod counts;
mod family;
mod names;
mod net;
mod part;
mod read;
mod tensors;
mod trunk;

pub(crate) use counts::{macs, parameters, specs};
pub(crate) use family::{Readout, TokenFamily};
pub(crate) use names::{Found, Names};
pub(crate) use net::TokenNet;
pub(crate) use part::{Along, Attention, Part, ReadAttention};
pub(crate) use read::Reader;
pub(crate) use tensors::Tensors;
pub use trunk::Trunk;
