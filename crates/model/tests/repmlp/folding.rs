//! From train form to deploy form in files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mixfold_gemm::Context;
use mixfold_model::checkpoint::{Dtype, write_safetensors};
use mixfold_model::folding::{
    BlockReport, Size, config_report, fold_config, fold_file, fold_report,
};
use mixfold_model::{Checkpoint, CheckpointError, Loader, ModelError};
use mixfold_simd::env;
use zip::CompressionMethod;

use crate::common::files::{Tensor, fixture, npz};
use crate::fixtures::{load, run, small, stored};

const TRAIN: &str = "repmlpnet_small_train.safetensors";
const DEPLOY: &str = "repmlpnet_small_deploy.safetensors";

fn read(file: &mut Checkpoint, name: &str) -> Vec<f32> {
    let mut values = Vec::new();
    file.read_f32(name, &mut values).unwrap();
    values
}

/// Names, types and shapes.
fn table(file: &Checkpoint) -> Vec<(String, Dtype, Vec<usize>)> {
    let entries = file.entries();
    entries.map(|(name, e)| (name.into(), e.dtype().clone(), e.shape().to_vec())).collect()
}

#[test]
fn the_official_names_shapes_and_values() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("deploy.safetensors");
    let folded = fold_config("small", small(), fixture(TRAIN), &output).unwrap();
    assert_eq!(folded.blocks, 5);
    let (mut official, mut ours) =
        (Checkpoint::open(fixture(DEPLOY)).unwrap(), Checkpoint::open(&output).unwrap());
    assert_eq!(table(&official), table(&ours));
    assert_eq!(ours.metadata(), Checkpoint::open(fixture(TRAIN)).unwrap().metadata());
    let bytes = |file: &Checkpoint| file.entries().map(|(_, entry)| entry.bytes()).sum::<u64>();
    let train = Checkpoint::open(fixture(TRAIN)).unwrap();
    assert_eq!((folded.bytes_before, folded.bytes_after), (bytes(&train), bytes(&ours)));
    for (name, ..) in table(&official) {
        let (theirs, ours) = (read(&mut official, &name), read(&mut ours, &name));
        for (i, (a, b)) in theirs.iter().zip(&ours).enumerate() {
            // Both were computed in f64 and rounded once; the order of sums may differ.
            let ulp = f64::from(f32::EPSILON) * f64::from(a.abs());
            let error = (f64::from(*a) - f64::from(*b)).abs();
            let allowed = if name.contains(".fc3.") { ulp + 1e-12 } else { 0.0 };
            assert!(error <= allowed, "{name}[{i}]: {b:e} instead of {a:e}");
        }
    }
    // Nothing but the output is left.
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

/// The folded file gives, to the bit, what folding while loading gives.
#[test]
fn the_same_as_folded_while_loading() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("deploy.safetensors");
    fold_config("small", small(), fixture(TRAIN), &output).unwrap();
    let images = stored().0;
    for isa in env::isas_under_test() {
        let loader = Loader::new().context(Context::with_isa(isa).sequential());
        let train = run(&load(&loader, fixture(TRAIN)).unwrap(), &images, 3);
        let deploy = run(&load(&loader, &output).unwrap(), &images, 3);
        assert_eq!(train, deploy, "{isa}");
    }
}

#[test]
fn in_the_place_of_the_input() {
    let directory = tempfile::tempdir().unwrap();
    let [file, other] = ["a", "b"].map(|name| directory.path().join(name));
    fs::copy(fixture(TRAIN), &file).unwrap();
    fold_config("small", small(), &file, &other).unwrap();
    fold_config("small", small(), &file, &file).unwrap();
    assert_eq!(fs::read(&file).unwrap(), fs::read(&other).unwrap());
}

#[test]
fn tensors_of_other_types_and_without_counters() {
    let directory = tempfile::tempdir().unwrap();
    let [input, output] = ["half", "deploy"].map(|name| directory.path().join(name));
    let mut train = Checkpoint::open(fixture(TRAIN)).unwrap();
    let mut tensors = table(&train);
    tensors.retain(|(name, ..)| !name.ends_with("num_batches_tracked"));
    for (_, dtype, _) in &mut tensors {
        *dtype = Dtype::F16;
    }
    let metadata = train.metadata().clone();
    write_safetensors(&input, tensors.clone(), &metadata, |name, bytes| {
        let values = read(&mut train, name);
        bytes.extend(values.iter().flat_map(|&x| half::f16::from_f32(x).to_le_bytes()));
        Ok::<_, CheckpointError>(())
    })
    .unwrap();
    fold_config("small", small(), &input, &output).unwrap();
    let deploy = Checkpoint::open(&output).unwrap();
    for (name, entry) in deploy.entries() {
        assert!(!name.ends_with("num_batches_tracked"));
        let expected = if name.contains(".fc3.") { Dtype::F32 } else { Dtype::F16 };
        assert_eq!(entry.dtype(), &expected, "{name}");
    }
    assert!(load(&Loader::new(), &output).is_ok());
}

/// What is wrong with the input leaves the output as it was.
#[test]
fn refused() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("deploy.safetensors");
    fs::write(&output, "as it was").unwrap();
    let error = |input: &Path| fold_config("small", small(), input, &output).unwrap_err();

    let path = fixture(DEPLOY);
    let found = error(&path);
    assert!(matches!(&found, ModelError::AlreadyFolded { path: p } if *p == path), "{found}");
    let cut = directory.path().join("cut");
    let whole = fs::read(fixture(TRAIN)).unwrap();
    fs::write(&cut, &whole[..whole.len() - 1]).unwrap();
    assert!(matches!(error(&cut), ModelError::Checkpoint(_)));
    assert!(matches!(error(&directory.path().join("none")), ModelError::Checkpoint(_)));
    let found = error(&fixture("timm_mixer_small.safetensors"));
    assert!(matches!(found, ModelError::Mismatch { .. }), "{found}");

    let found = fold_file("repmlpnet_t224", fixture(TRAIN), &output).unwrap_err();
    assert!(matches!(found, ModelError::Mismatch { .. }), "{found}");
    let found = fold_file("mixer_b16_224", fixture(TRAIN), &output).unwrap_err();
    assert!(matches!(&found, ModelError::OneForm { model } if model == "mixer_b16_224"), "{found}");
    let found = fold_report("repmlp", fixture(TRAIN), 1, &Context::new()).unwrap_err();
    assert!(matches!(found, ModelError::Unknown { .. }), "{found}");

    let nowhere = directory.path().join("no/folder");
    let found = fold_config("small", small(), fixture(TRAIN), &nowhere).unwrap_err();
    assert!(matches!(found, ModelError::Checkpoint(CheckpointError::Io { .. })), "{found}");
    assert_eq!(fs::read(&output).unwrap(), b"as it was");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
}

/// The same bytes come of a file that PyTorch wrote, but for the metadata, which it has none of.
#[test]
fn a_state_dict_of_pytorch() {
    let directory = tempfile::tempdir().unwrap();
    let [train, input, expected, output] =
        ["train", "train.pth", "expected", "deploy"].map(|name| directory.path().join(name));
    let mut file = Checkpoint::open(fixture(TRAIN)).unwrap();
    let mut tensors = table(&file);
    tensors.retain(|(name, ..)| !name.ends_with("num_batches_tracked"));
    let updates = "head_norm.num_batches_tracked";
    tensors.push((updates.into(), Dtype::Other("I64".into()), vec![]));
    write_safetensors(&train, tensors, &BTreeMap::new(), |name, bytes| match name {
        name if name == updates => {
            bytes.extend(7_i64.to_le_bytes());
            Ok(())
        }
        name => file.read_bytes(name, bytes),
    })
    .unwrap();
    fs::write(&input, crate::pth::of_training(&train)).unwrap();
    let folded = fold_config("small", small(), &input, &output).unwrap();
    assert_eq!(folded, fold_config("small", small(), &train, &expected).unwrap());
    assert!(fs::read(&output).unwrap() == fs::read(&expected).unwrap());
}

/// Other tensors are copied as they are stored, which those of an archive are not.
#[test]
fn an_archive() {
    let directory = tempfile::tempdir().unwrap();
    let [input, output] = ["train.npz", "deploy"].map(|name| directory.path().join(name));
    let mut train = Checkpoint::open(fixture(TRAIN)).unwrap();
    let tensors: Vec<_> = table(&train)
        .into_iter()
        .filter(|(name, ..)| !name.ends_with("num_batches_tracked"))
        .map(|(name, _, shape)| Tensor::new(&name, &shape, read(&mut train, &name)))
        .collect();
    npz(&input, &tensors, CompressionMethod::Stored);
    assert!(load(&Loader::new(), &input).is_ok());
    let error = fold_config("small", small(), &input, &output).unwrap_err();
    assert!(matches!(error, ModelError::Checkpoint(CheckpointError::Stored { .. })), "{error}");
    let text = error.to_string();
    assert!(text.starts_with(input.to_str().unwrap()), "{text}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

/// An error in the middle of the work leaves nothing behind.
#[test]
fn a_norm_without_a_deviation() {
    let directory = tempfile::tempdir().unwrap();
    let [input, output] = ["negative", "deploy"].map(|name| directory.path().join(name));
    let mut train = Checkpoint::open(fixture(TRAIN)).unwrap();
    let wrong = "stages.3.0.repmlp_block.repconv3.bn.running_var";
    let (tensors, metadata) = (table(&train), train.metadata().clone());
    write_safetensors(&input, tensors, &metadata, |name, bytes| {
        train.read_bytes(name, bytes)?;
        if name == wrong {
            bytes[8..12].copy_from_slice(&(-0.5_f32).to_le_bytes());
        }
        Ok::<_, CheckpointError>(())
    })
    .unwrap();
    let error = fold_config("small", small(), &input, &output).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("stages.3.0.repmlp_block.repconv3.bn: channel 2 of"), "{text}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn reports() {
    let mut file = Checkpoint::open(fixture(TRAIN)).unwrap();
    let mut report = |isa, seed| {
        let ctx = Context::with_isa(isa).sequential();
        config_report("small", small(), &mut file, seed, &ctx).unwrap()
    };
    for isa in env::isas_under_test() {
        let blocks = report(isa, 1);
        let names: Vec<_> = blocks.iter().map(|block| block.name.as_str()).collect();
        let units = ["0.0", "1.0", "2.0", "2.1", "3.0"];
        assert_eq!(names, units.map(|unit| format!("stages.{unit}.repmlp_block")));
        for BlockReport { name, difference, largest, .. } in &blocks {
            // Two ways of rounding the same sums: a difference there must be.
            assert!(*largest > 0.1, "{name}: {largest}");
            assert!(
                *difference > 0.0 && *difference <= 1e-5 * largest,
                "{isa}: {name}: {difference}"
            );
        }
        assert_ne!(blocks, report(isa, 2));
        // Of stage 1: 2 share-sets of 16 channels on maps of 8 x 8.
        let (matrix, kernels) = (2 * 64 * 64, 2 * (1 + 9));
        let macs = 16 * 64 * 64;
        let norms = [3 * 2 * 2, 3 * 2 * 4];
        assert_eq!(
            blocks[1].train,
            Size {
                parameters: matrix + kernels + norms[0],
                macs: macs + 16 * 64 * (1 + 9),
                bytes: 4 * (matrix + kernels + norms[1])
            }
        );
        let parameters = matrix + 2 * 64;
        assert_eq!(blocks[1].deploy, Size { parameters, macs, bytes: 4 * parameters });
    }
}

/// NaN is no agreement, and one block's does not reach the others.
#[test]
fn a_report_of_nan() {
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("nan");
    let mut train = Checkpoint::open(fixture(TRAIN)).unwrap();
    let (tensors, metadata) = (table(&train), train.metadata().clone());
    write_safetensors(&input, tensors, &metadata, |name, bytes| {
        train.read_bytes(name, bytes)?;
        if name == "stages.1.0.repmlp_block.fc3.weight" {
            bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
        }
        Ok::<_, CheckpointError>(())
    })
    .unwrap();
    let mut file = Checkpoint::open(&input).unwrap();
    let blocks = config_report("small", small(), &mut file, 1, &Context::new()).unwrap();
    for (i, BlockReport { difference, largest, .. }) in blocks.iter().enumerate() {
        assert_eq!([difference.is_nan(), largest.is_nan()], [i == 1; 2], "{i}");
    }
}
