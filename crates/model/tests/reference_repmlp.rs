//! The reference in f64 against stored outputs of the official RepMLP and RepMLPNet.

mod common;

use mixfold_model::Checkpoint;
use mixfold_reference::fc3::Form;
use mixfold_reference::repmlp::{RepMlp, RepMlpConfig};
use mixfold_reference::repmlpnet::{RepMlpNet, RepMlpNetConfig, Stage};

use common::files::fixture;
use common::{distance, largest};

/// The unit roundoff of f32.
const ROUNDING: f64 = f32::EPSILON as f64 / 2.0;

/// A tensor of a file, which must have this shape.
fn read(file: &mut Checkpoint, name: &str, shape: &[usize]) -> Vec<f64> {
    assert_eq!(file.entry(name).expect(name).shape(), shape, "{name}");
    let mut values = Vec::new();
    file.read_f32(name, &mut values).unwrap();
    values.into_iter().map(f64::from).collect()
}

/// A model of all the tensors of a file, and of no others.
fn load<M>(name: &str, build: impl FnOnce(&mut dyn FnMut(&str, &[usize]) -> Vec<f64>) -> M) -> M {
    let mut file = Checkpoint::open(fixture(name)).unwrap();
    let mut tensors = Vec::new();
    let model = build(&mut |name, shape| {
        tensors.push(name.to_owned());
        read(&mut file, name, shape)
    });
    tensors.sort_unstable();
    assert_eq!(tensors, file.names().collect::<Vec<_>>());
    model
}

/// Stored outputs were computed in f64 and rounded once.
fn assert_rounded(stored: &[f64], computed: &[f64]) {
    assert_eq!(stored.len(), computed.len());
    let noise = 1e-12 * largest(computed);
    for (i, (s, c)) in stored.iter().zip(computed).enumerate() {
        assert!((s - c).abs() <= ROUNDING * s.abs() + noise, "[{i}]: {s} for {c}");
    }
}

fn config() -> RepMlpNetConfig {
    let stage = |channels, units, share_sets| Stage { channels, units, share_sets };
    RepMlpNetConfig {
        height: 64,
        width: 64,
        in_channels: 3,
        patch: 4,
        stages: vec![stage(8, 1, 1), stage(16, 1, 2), stage(24, 2, 4), stage(32, 1, 8)],
        kernels: vec![1, 3],
        gate_reduction: 4,
        ffn_expansion: 4,
        classes: 10,
    }
}

#[test]
fn repmlpnet_in_both_forms() {
    let mut io = Checkpoint::open(fixture("repmlpnet_small_io.safetensors")).unwrap();
    let (images, stored) = (read(&mut io, "x", &[3, 3, 64, 64]), read(&mut io, "y", &[3, 10]));
    let logits = |form, name| {
        load(name, |tensor| RepMlpNet::new(config(), form, tensor)).forward(&images, 3)
    };
    let train = logits(Form::Train, "repmlpnet_small_train.safetensors");
    let deploy = logits(Form::Deploy, "repmlpnet_small_deploy.safetensors");
    assert_rounded(&stored, &train);
    // Its folded weights were rounded to f32, each to within the same.
    assert!(distance(&train, &deploy) <= 4.0 * ROUNDING * largest(&train));
}

#[test]
fn repmlp_block() {
    let config = RepMlpConfig {
        in_channels: 8,
        out_channels: 8,
        height: 14,
        width: 14,
        partition: [7, 7],
        reduction: 1,
        groups: 4,
        kernels: vec![1, 3, 5],
    };
    let mut io = Checkpoint::open(fixture("repmlp_v1_block_io.safetensors")).unwrap();
    let shape = [2, 8, 14, 14];
    let (x, stored) = (read(&mut io, "x", &shape), read(&mut io, "y", &shape));
    let block = load("repmlp_v1_block_train.safetensors", |tensor| {
        RepMlp::new(config, Form::Train, tensor)
    });
    assert_rounded(&stored, &block.forward(&x, 2));
}
