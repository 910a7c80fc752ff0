//! Files of `torch.save`.

#[path = "../common/mod.rs"]
mod common;
#[path = "../../../gemm/tests/common/allocator.rs"]
mod count;
#[path = "../common/pth.rs"]
mod write;

mod archives;
mod damage;
mod fixtures;
mod memory;
mod pickles;
mod state;
mod views;

use std::path::PathBuf;

use mixfold_model::checkpoint::{Checkpoint, CheckpointError, PickleError, StorageError};
use tempfile::{TempDir, tempdir};

fn store(bytes: &[u8]) -> (TempDir, PathBuf) {
    let directory = tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, bytes).unwrap();
    (directory, path)
}

fn open(bytes: &[u8]) -> Result<(TempDir, Checkpoint), CheckpointError> {
    let (directory, path) = store(bytes);
    Ok((directory, Checkpoint::open(path)?))
}

fn read(file: &mut Checkpoint, name: &str) -> Vec<f32> {
    let mut values = Vec::new();
    file.read_f32(name, &mut values).unwrap();
    values
}

/// Why the file is refused when it is opened.
#[track_caller]
fn refuse(bytes: &[u8]) -> CheckpointError {
    let error = open(bytes).expect_err("the file was accepted");
    let text = error.to_string();
    assert!(!text.contains(char::is_control) && text.contains("file"), "{text:?}");
    error
}

/// Why the file with this pickle is refused.
#[track_caller]
fn refuse_pickle(pickle: &[u8]) -> PickleError {
    let members = [("archive/data.pkl", pickle)];
    match refuse(&write::archive(members, zip::CompressionMethod::Stored)) {
        CheckpointError::Pickle { source, .. } => source,
        other => panic!("{other:?}"),
    }
}

/// Why the tensor `w` of the file is refused.
#[track_caller]
fn refuse_storage(bytes: &[u8]) -> StorageError {
    match refuse(bytes) {
        CheckpointError::Storage { tensor, source, .. } if tensor == "w" => *source,
        other => panic!("{other:?}"),
    }
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
