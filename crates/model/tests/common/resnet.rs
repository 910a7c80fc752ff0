//! ResNets with reproducible weights, in both forms, and the reference to compare with.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use mixfold_model::{
    Form, Loader, Model, Preprocess, RepMlpPlace, ResNetConfig, ResNetRepMlp, ResNetStage,
};
use mixfold_reference::resnet as reference;

use super::files::{self, Tensor};
use super::repmlpnet::{self, reference_form};

pub(crate) fn stage(channels: usize, depth: usize, repmlp: Option<ResNetRepMlp>) -> ResNetStage {
    ResNetStage { channels, depth, repmlp }
}

pub(crate) fn repmlp(
    place: RepMlpPlace,
    reduction: usize,
    partition: [usize; 2],
    groups: usize,
) -> Option<ResNetRepMlp> {
    Some(ResNetRepMlp { place, reduction, partition, groups })
}

/// RepMLPs of both kinds, on maps of 4 x 6, of four partitions, and 2 x 3, of one; what is not told
/// otherwise in the tests.
pub(crate) fn small() -> ResNetConfig {
    ResNetConfig {
        image: [16, 24],
        image_channels: 2,
        stem: 5,
        stages: vec![
            stage(16, 3, repmlp(RepMlpPlace::Light, 4, [2, 3], 2)),
            stage(24, 2, repmlp(RepMlpPlace::Bottleneck, 2, [2, 3], 3)),
        ]
        .into(),
        kernels: vec![1, 3].into(),
    }
}

/// No RepMLP, images of no even size, and a stage whose shape does not change.
pub(crate) fn plain() -> ResNetConfig {
    ResNetConfig {
        image: [21, 13],
        image_channels: 3,
        stem: 8,
        stages: vec![stage(8, 2, None), stage(16, 2, None), stage(12, 1, None)].into(),
        kernels: vec![].into(),
    }
}

/// The same sizes for the reference.
pub(crate) fn reference_config(config: &ResNetConfig, classes: usize) -> reference::ResNetConfig {
    let stage = |&ResNetStage { channels, depth, repmlp }: &ResNetStage| reference::Stage {
        channels,
        blocks: depth,
        repmlp: repmlp.map(|ResNetRepMlp { place, reduction, partition, groups }| {
            let bottleneck = place == RepMlpPlace::Bottleneck;
            let whole = if bottleneck { channels / 4 } else { channels };
            reference::StageRepMlp { bottleneck, channels: whole / reduction, partition, groups }
        }),
    };
    reference::ResNetConfig {
        height: config.image[0],
        width: config.image[1],
        in_channels: config.image_channels,
        stem: config.stem,
        stages: config.stages.iter().map(stage).collect(),
        kernels: config.kernels.to_vec(),
        classes,
    }
}

/// Names and shapes of all tensors under their official names, without counters.
pub(crate) fn shapes(
    config: &ResNetConfig,
    classes: usize,
    form: Form,
) -> Vec<(String, Vec<usize>)> {
    reference_config(config, classes).tensors(reference_form(form))
}

/// Norms at the end of a residual branch.
const BRANCH_NORMS: [&str; 3] =
    [".conv3.bn.weight", ".light_conv3.bn.weight", ".btnk_conv5.bn.weight"];

/// The values of a tensor, as [`repmlpnet::values`]: what a residual branch adds is scaled by a quarter.
pub(crate) fn values(name: &str, shape: &[usize], seed: u64) -> Vec<f32> {
    let mut values = repmlpnet::values(name, shape, seed);
    if BRANCH_NORMS.iter().any(|norm| name.ends_with(norm)) {
        values.iter_mut().for_each(|value| *value *= 0.25);
    }
    values
}

/// All tensors with the contents of [`values`].
pub(crate) fn tensors(config: &ResNetConfig, classes: usize, form: Form, seed: u64) -> Vec<Tensor> {
    let shapes = shapes(config, classes, form).into_iter();
    shapes.map(|(name, shape)| Tensor::new(&name, &shape, values(&name, &shape, seed))).collect()
}

/// Writes a safetensors file with the contents of [`values`], of which one tensor at a time is in
/// memory.
pub(crate) fn write(path: &Path, config: &ResNetConfig, classes: usize, form: Form, seed: u64) {
    let shapes = shapes(config, classes, form);
    let mut file = BufWriter::new(File::create(path).unwrap());
    let table = shapes.iter().map(|(name, shape)| (name.as_str(), &shape[..]));
    file.write_all(&files::header(table).0).unwrap();
    for (name, shape) in &shapes {
        for value in values(name, shape, seed) {
            file.write_all(&value.to_le_bytes()).unwrap();
        }
    }
    file.flush().unwrap();
}

/// A ResNet of these sizes with the weights of [`write`].
pub(crate) fn load(
    loader: &Loader,
    config: &ResNetConfig,
    classes: usize,
    stored: Form,
    seed: u64,
) -> Model {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights");
    write(&path, config, classes, stored, seed);
    loader.load_config("test", config.clone(), Preprocess::IMAGENET, path).unwrap()
}

/// The same network in the reference, in f64.
pub(crate) fn reference(
    config: &ResNetConfig,
    classes: usize,
    form: Form,
    seed: u64,
) -> reference::ResNet<f64> {
    let config = reference_config(config, classes);
    reference::ResNet::new(config, reference_form(form), |name, shape| {
        values(name, shape, seed).into_iter().map(f64::from).collect()
    })
}
