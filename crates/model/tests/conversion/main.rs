//! From any file that can be loaded to safetensors under the usual names.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/pth.rs"]
mod pth;

mod bits;
mod errors;
mod forms;

use std::path::Path;

use mixfold_model::checkpoint::{Dtype, Format};
use mixfold_model::conversion::{Converted, convert};
use mixfold_model::{Checkpoint, Config, Gelu, Loader, Model, Preprocess};

/// The file with the weights of a model of these sizes, converted.
fn converted(input: &Path, config: &Config, output: &Path) -> Converted {
    let mut told = Vec::new();
    let progress = |done, of| told.push((done, of));
    let mut file = Checkpoint::open(input).unwrap();
    let converted = convert(&mut file, "test", config, output, progress).unwrap();
    let count = converted.tensors;
    assert_eq!(told, (1..=count).map(|done| (done, count)).collect::<Vec<_>>());
    let bytes = |file: &Checkpoint| file.entries().map(|(_, entry)| entry.bytes()).sum::<u64>();
    assert_eq!(converted.bytes_before, bytes(&file));
    let file = Checkpoint::open(output).unwrap();
    assert_eq!((file.format(), file.names().count()), (Format::Safetensors, count));
    assert_eq!(converted.bytes_after, bytes(&file));
    converted
}

/// Types and shapes by name.
fn table(path: &Path) -> Vec<(String, Dtype, Vec<usize>)> {
    let file = Checkpoint::open(path).unwrap();
    let entry = |(name, e): (&str, &mixfold_model::checkpoint::Entry)| {
        (name.to_owned(), e.dtype().clone(), e.shape().to_vec())
    };
    file.entries().map(entry).collect()
}

fn load(path: &Path, config: &Config, gelu: Option<Gelu>) -> Model {
    let loader = gelu.map_or_else(Loader::new, |gelu| Loader::new().gelu(gelu));
    loader.load_config("test", config.clone(), Preprocess::IMAGENET, path).unwrap()
}
