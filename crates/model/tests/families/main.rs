//! Networks of tokens of every family, from file to logits.

#[path = "../common/mod.rs"]
mod common;

mod accuracy;
mod bits;
mod detection;
mod fixtures;
mod layers;
mod mismatch;
mod random;
mod registry;
