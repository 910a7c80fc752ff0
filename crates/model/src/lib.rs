//! Vision MLPs on the mixfold kernels: configurations, checkpoints, preprocessing.
//!
//! * [`checkpoint`]: weights from safetensors and NumPy files, one tensor at a time.
#![forbid(unsafe_code)]

pub mod checkpoint;

pub use checkpoint::{Checkpoint, CheckpointError};
