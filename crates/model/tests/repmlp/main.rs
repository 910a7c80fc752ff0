//! RepMLPNets and RepMLP blocks from file to output.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/pth.rs"]
mod pth;

mod block_errors;
mod block_random;
mod blocks;
mod fixtures;
mod folding;
mod net_bits;
mod net_bound;
mod net_detection;
mod net_forms;
mod net_golden;
mod net_layers;
mod net_mismatch;
mod net_random;
mod net_sizes;
mod v1;
