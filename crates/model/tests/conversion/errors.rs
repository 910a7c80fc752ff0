//! What is refused, and that nothing is left of it; what metadata say.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mixfold_model::checkpoint::{Dtype, write_safetensors};
use mixfold_model::conversion::{convert, convert_file};
use mixfold_model::{
    Checkpoint, CheckpointError, Config, FfOnlyConfig, Gelu, Loader, ModelError, Preprocess, Trunk,
};

use crate::common::files::fixture;
use crate::{converted, load};

const FF_ONLY: FfOnlyConfig = FfOnlyConfig {
    trunk: Trunk { image: [16, 16], image_channels: 3, patch: 4, channels: 12, depth: 2 },
    channel_hidden: 48,
    token_hidden: 68,
    grid: [4, 4],
};

fn refused(input: &Path, config: FfOnlyConfig, output: &Path) -> ModelError {
    let mut file = Checkpoint::open(input).unwrap();
    convert(&mut file, "test", &config.into(), output, |_, _| {}).unwrap_err()
}

#[test]
fn the_target_stays_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("output");
    fs::write(&output, "as it was").unwrap();
    let weights = fixture("ff_only_small.safetensors");

    let error = convert_file("mixer", &weights, &output).unwrap_err();
    assert!(matches!(error, ModelError::Unknown { .. }), "{error}");
    let error = convert_file("mixer_b16_224", fixture("absent"), &output).unwrap_err();
    assert!(matches!(error, ModelError::Checkpoint(CheckpointError::Io { .. })), "{error}");
    let error = convert_file("linear_tiny", &weights, &output).unwrap_err();
    assert!(matches!(error, ModelError::Mismatch { .. }), "{error}");
    let error = convert_file("linear_tiny", fixture("pth/hostile.pth"), &output).unwrap_err();
    assert!(matches!(error, ModelError::Checkpoint(CheckpointError::Pickle { .. })), "{error}");
    let error = refused(&weights, FfOnlyConfig { token_hidden: 67, ..FF_ONLY }, &output);
    assert!(matches!(error, ModelError::Mismatch { .. }), "{error}");
    let error = refused(&weights, FfOnlyConfig { grid: [0, 4], ..FF_ONLY }, &output);
    assert!(matches!(error, ModelError::Config(_)), "{error}");

    // A file that ends early, after half of the work.
    let cut = directory.path().join("cut.pth");
    fs::copy(fixture("pth/bare.pth"), &cut).unwrap();
    let mut file = Checkpoint::open(&cut).unwrap();
    fs::OpenOptions::new().write(true).open(&cut).unwrap().set_len(20_000).unwrap();
    let mut done = 0;
    let config = Config::from(FF_ONLY);
    let error = convert(&mut file, "test", &config, &output, |_, _| done += 1).unwrap_err();
    assert!(matches!(error, ModelError::Checkpoint(CheckpointError::Read { .. })), "{error}");
    assert!(done > 0);

    assert_eq!(fs::read(&output).unwrap(), b"as it was");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    for output in [directory.path().join("absent/output"), directory.path().to_owned()] {
        let error = refused(&weights, FF_ONLY, &output);
        assert!(matches!(error, ModelError::Checkpoint(CheckpointError::Io { .. })), "{error}");
        assert!(error.to_string().starts_with(output.to_str().unwrap()), "{error}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
}

/// A copy of a file with these metadata.
fn with_metadata(directory: &Path, metadata: &[(&str, &str)]) -> std::path::PathBuf {
    let path = directory.join("stated");
    let mut file = Checkpoint::open(fixture("ff_only_small.safetensors")).unwrap();
    let entry = |(name, entry): (&str, &mixfold_model::checkpoint::Entry)| {
        (name.to_owned(), Dtype::F32, entry.shape().to_vec())
    };
    let tensors = file.entries().map(entry).collect();
    let metadata: BTreeMap<String, String> =
        metadata.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    write_safetensors(&path, tensors, &metadata, |name, bytes| file.read_bytes(name, bytes))
        .unwrap();
    path
}

#[test]
fn the_gelu_that_metadata_say() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("output");
    let config = Config::from(FF_ONLY);
    for (value, gelu) in [("erf", Gelu::Erf), ("tanh", Gelu::Tanh)] {
        let metadata = [(Gelu::METADATA, value), ("format", "pt")];
        let path = with_metadata(directory.path(), &metadata);
        assert_eq!(load(&path, &config, None).gelu(), gelu);
        assert_eq!(load(&path, &config, Some(Gelu::Erf)).gelu(), Gelu::Erf);
        assert_eq!(converted(&path, &config, &output).gelu, gelu);
        let [before, after] = [&path, &output].map(|path| Checkpoint::open(path).unwrap());
        assert_eq!(after.metadata(), before.metadata());
    }
    for value in ["", "Tanh", "relu"] {
        let path = with_metadata(directory.path(), &[(Gelu::METADATA, value)]);
        let loaded = Loader::new().load_config("test", FF_ONLY, Preprocess::IMAGENET, &path);
        for error in [loaded.unwrap_err(), refused(&path, FF_ONLY, &output)] {
            let ModelError::Gelu { found, .. } = &error else { panic!("{error}") };
            assert_eq!(found, value);
            assert!(error.to_string().starts_with(path.to_str().unwrap()), "{error}");
        }
    }
}
