//! RepMLPNets with reproducible weights, in both forms, and the reference to compare with.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use mixfold_model::{Form, Loader, Model, Preprocess, RepMlpNetConfig, RepMlpNetStage};
use mixfold_reference::{fc3, repmlpnet as reference};

use super::files::{self, Tensor};

/// Channels, units and share-sets of each stage.
pub(crate) fn stages(rows: &[[usize; 3]]) -> Vec<RepMlpNetStage> {
    let stage = |&[channels, depth, share_sets]: &[usize; 3]| RepMlpNetStage {
        channels,
        depth,
        share_sets,
    };
    rows.iter().map(stage).collect()
}

/// Two stages on images that are not square; what is not told otherwise in the tests.
pub(crate) fn small() -> RepMlpNetConfig {
    RepMlpNetConfig {
        image: [12, 20],
        image_channels: 2,
        patch: 2,
        stages: stages(&[[6, 1, 2], [9, 2, 3]]).into(),
        kernels: vec![1, 3].into(),
        gate_reduction: 3,
        ffn_expansion: 2,
    }
}

/// The same sizes for the reference.
pub(crate) fn reference_config(
    config: &RepMlpNetConfig,
    classes: usize,
) -> reference::RepMlpNetConfig {
    let stage = |&RepMlpNetStage { channels, depth, share_sets }: &RepMlpNetStage| {
        reference::Stage { channels, units: depth, share_sets }
    };
    reference::RepMlpNetConfig {
        height: config.image[0],
        width: config.image[1],
        in_channels: config.image_channels,
        patch: config.patch,
        stages: config.stages.iter().map(stage).collect(),
        kernels: config.kernels.to_vec(),
        gate_reduction: config.gate_reduction,
        ffn_expansion: config.ffn_expansion,
        classes,
    }
}

/// The same form for the reference.
pub(crate) fn reference_form(form: Form) -> fc3::Form {
    match form {
        Form::Train => fc3::Form::Train,
        Form::Deploy => fc3::Form::Deploy,
    }
}

/// Names and shapes of all tensors under their official names, without counters.
pub(crate) fn shapes(
    config: &RepMlpNetConfig,
    classes: usize,
    form: Form,
) -> Vec<(String, Vec<usize>)> {
    reference_config(config, classes).tensors(reference_form(form))
}

/// Norms at the end of a residual branch.
const BRANCH_NORMS: [&str; 4] = [".fc3_bn.", ".repconv1.bn.", ".repconv3.bn.", ".ffn_fc2.bn."];

/// The values of a tensor: they depend on its name and on `seed` alone.
///
/// Matrices and convolutions have mean 0 and variance 1 / fan-in, biases and means lie in -0.5..0.5.
/// Scales have a size of 1 to 1.5 and either sign, variances lie in 0.5..2. What a residual branch
/// adds is scaled by a quarter, as in a trained network, where dozens of units in a row do not magnify
/// their input.
pub(crate) fn values(name: &str, shape: &[usize], seed: u64) -> Vec<f32> {
    let len = shape.iter().product();
    let mut state = name.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // Splitmix64: uniform in -1..1.
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let gain = if BRANCH_NORMS.iter().any(|norm| name.contains(norm)) { 0.25 } else { 1.0 };
    let mut value: Box<dyn FnMut() -> f32> = if shape.len() > 1 {
        let fan_in: usize = shape[1..].iter().product();
        let bound = (3.0 / fan_in as f32).sqrt();
        Box::new(move || bound * next())
    } else if name.ends_with(".running_var") {
        Box::new(move || 2_f32.powf(next()))
    } else if name.ends_with(".weight") {
        Box::new(move || {
            let x = next();
            gain * (x.signum() + 0.5 * x)
        })
    } else {
        Box::new(move || 0.5 * next())
    };
    (0..len).map(|_| value()).collect()
}

/// All tensors with the contents of [`values`].
pub(crate) fn tensors(
    config: &RepMlpNetConfig,
    classes: usize,
    form: Form,
    seed: u64,
) -> Vec<Tensor> {
    let shapes = shapes(config, classes, form).into_iter();
    shapes.map(|(name, shape)| Tensor::new(&name, &shape, values(&name, &shape, seed))).collect()
}

/// Writes a safetensors file with the contents of [`values`], of which one tensor at a time is in
/// memory.
pub(crate) fn write(path: &Path, config: &RepMlpNetConfig, classes: usize, form: Form, seed: u64) {
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

/// A RepMLPNet of these sizes with the weights of [`write`].
pub(crate) fn load(
    loader: &Loader,
    config: &RepMlpNetConfig,
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
    config: &RepMlpNetConfig,
    classes: usize,
    form: Form,
    seed: u64,
) -> reference::RepMlpNet<f64> {
    let config = reference_config(config, classes);
    reference::RepMlpNet::new(config, reference_form(form), |name, shape| {
        values(name, shape, seed).into_iter().map(f64::from).collect()
    })
}
