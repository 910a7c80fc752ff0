//! RepMLPNets and RepMLP blocks from file to output.

#[path = "../common/mod.rs"]
mod common;

mod fixtures;
mod folding;
