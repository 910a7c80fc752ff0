//! ResNets, with and without RepMLPs, from file to output.

#[path = "../common/mod.rs"]
mod common;

mod bits;
mod bound;
mod detection;
mod folding;
mod forms;
mod layers;
mod mismatch;
mod names;
mod sizes;
