//! The weights of single layers, as files have them.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/pth.rs"]
mod pth;

mod fc3;
mod stem;
mod units;

use mixfold_model::Checkpoint;
use tempfile::TempDir;

use common::files::{self, Tensor};

/// A safetensors file.
fn file(tensors: &[Tensor]) -> (TempDir, Checkpoint) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights.safetensors");
    files::safetensors(&path, tensors);
    let file = Checkpoint::open(path).unwrap();
    (directory, file)
}

/// The tensor of this name.
fn tensor<'t>(tensors: &'t [Tensor], name: &str) -> &'t Tensor {
    tensors.iter().find(|tensor| tensor.name == name).expect(name)
}
