//! What the tests of RepMLP's blocks share: folded weights, runs, and a bound of their errors.

use mixfold_model::{RepMlpBlock, RepMlpBlockConfig};
use mixfold_reference::fc3::{Fc3Parameters, Form};
use mixfold_reference::norm::{BATCH_NORM_EPS, BatchNorm};
use mixfold_reference::repmlp::RepMlp;

use crate::common::files::Tensor;
use crate::common::repmlp::{file, reference_config};

/// The tensors of the deploy form of the same block.
pub(crate) fn deploy_tensors(train: &[Tensor], config: &RepMlpBlockConfig) -> Vec<Tensor> {
    let folded = RepMlpBlock::folded_tensors(&mut file(train), "", config).unwrap();
    folded.into_iter().map(|t| Tensor::new(&t.name, &t.shape, t.values)).collect()
}

pub(crate) fn run(block: &RepMlpBlock, x: &[f32], batch: usize) -> Vec<f32> {
    let config = block.config();
    let mut y = vec![f32::NAN; batch * config.out_channels * config.map[0] * config.map[1]];
    block.plan(batch).unwrap().run(x, &mut y).unwrap();
    y
}

/// The reference in f64 with these tensors, in train form.
fn reference(tensors: &[Tensor], config: &RepMlpBlockConfig) -> RepMlp<f64> {
    RepMlp::new(reference_config(config), Form::Train, |name, _| {
        let tensor = tensors.iter().find(|tensor| tensor.name == name).expect(name);
        tensor.values.iter().map(|&x| f64::from(x)).collect()
    })
}

/// The output in f64, and for each element how far one in f32 may be from it, in either form.
///
/// Each operation is a sum of products, or ReLU, which brings no numbers further apart. A number of the
/// block in f32 is thus that of a block whose paths from the input and from the weights are off by a
/// factor of (1 + δ), |δ| ≤ u, for each rounding on the way. With K roundings on the longest path, the
/// error is at most γ = K·u / (1 − K·u) times what the block makes of the magnitudes of its input,
/// weights, and scales and shifts of its norms.
pub(crate) fn expected(
    tensors: &[Tensor],
    config: &RepMlpBlockConfig,
    x: &[f32],
    batch: usize,
) -> (Vec<f64>, Vec<f64>) {
    let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    let block = reference(tensors, config);
    let magnitudes = magnitudes(block.clone());
    let sizes = magnitudes.forward(&x.iter().map(|x| x.abs()).collect::<Vec<_>>(), batch);
    let ku = roundings(config) * f64::from(f32::EPSILON) / 2.0;
    let gamma = ku / (1.0 - ku);
    let bounds = sizes.into_iter().map(|size| gamma * size).collect();
    (block.forward(&x, batch), bounds)
}

/// Roundings on the longest path.
fn roundings(config: &RepMlpBlockConfig) -> f64 {
    let pixels = config.partition.iter().product::<usize>() as f64;
    let parts = config.grid().iter().product::<usize>() as f64;
    let inputs = config.channels as f64 * parts;
    let shared = (config.channels / config.groups) as f64;
    // A product of a weight rounded before and a sum of k terms and a bias rounded before: k + 3.
    let dot = |k: f64| k + 3.0;
    let global = if parts > 1.0 {
        // The mean as the documentation of `Moments` states it, with the distances from the mean at
        // most twice the numbers; and the sum with the input.
        pixels / 8.0 + 5.0 + dot(inputs) + dot((inputs / config.reduction as f64).floor()) + 1.0
    } else {
        0.0
    };
    let largest = config.kernels.iter().map(|k| k * k).max().unwrap_or(0) as f64;
    let matrix = dot(shared * pixels) + 2.0; // and a norm
    let local = matrix.max(dot(shared * largest)) + config.kernels.len() as f64;
    // What is of second order, and the roundings of the reference.
    global + local + 1.0
}

/// The block with magnitudes in place of all weights, and norms without cancellation in their shifts.
fn magnitudes(mut block: RepMlp<f64>) -> RepMlp<f64> {
    let magnitude = |values: &mut Vec<f64>| values.iter_mut().for_each(|x| *x = x.abs());
    let norm = |norm: &mut BatchNorm<f64>| {
        for c in 0..norm.weight.len() {
            let scale = norm.weight[c] / (norm.running_var[c] + BATCH_NORM_EPS).sqrt();
            norm.bias[c] = (norm.bias[c] - norm.running_mean[c] * scale).abs();
            norm.weight[c] = norm.weight[c].abs();
            norm.running_mean[c] = 0.0;
        }
    };
    if let Some(global) = &mut block.global {
        for layer in [&mut global.fc1, &mut global.fc2] {
            magnitude(&mut layer.weight);
            magnitude(&mut layer.bias);
        }
        global.bn.iter_mut().for_each(norm);
    }
    if let Fc3Parameters::Train { weight, bn, convs } = &mut block.fc3.parameters {
        magnitude(weight);
        norm(bn);
        for conv in convs {
            magnitude(&mut conv.weight);
            norm(&mut conv.bn);
        }
    }
    block
}
