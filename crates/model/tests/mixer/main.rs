//! Mixers from file to logits.

#[path = "../common/mod.rs"]
mod common;

mod bits;
mod configuration;
mod detection;
mod fixtures;
mod golden;
mod mismatch;
mod runs;
mod top;
