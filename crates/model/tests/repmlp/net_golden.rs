//! Outputs and folded parameters of the official RepMLPNet block and unit in `f64`, by an engine that
//! runs whole networks.
//!
//! The network has one stage of the one unit, whose input is the image: the stem is an identity. Its ReLU
//! is passed by adding [`SHIFT`] to the image and to the means of the unit's norms, so that the unit
//! computes the same, and the residual connection carries it to the output.

use std::path::Path;

use mixfold_gemm::Context;
use mixfold_model::folding::fold_config;
use mixfold_model::{Checkpoint, Form, Loader, Preprocess, RepMlpNetConfig};
use mixfold_reference::fc3::Form::Train;
use mixfold_reference::repmlpnet::{Unit, UnitConfig};
use mixfold_reference::{Real, fill};
use mixfold_simd::env;

use crate::common::files::{self, Tensor};
use crate::common::layers::observed;
use crate::common::repmlpnet::stages;
use crate::common::two_forms::shapes;
use crate::common::{distance, largest};

const SHIFT: f64 = 2.0;
const UNIT: &str = "stages.0.0.";
/// The unit roundoff of f32.
const ROUNDING: f64 = f32::EPSILON as f64 / 2.0;

fn config() -> RepMlpNetConfig {
    RepMlpNetConfig {
        image: [3, 3],
        image_channels: 6,
        patch: 1,
        stages: stages(&[[6, 1, 3]]).into(),
        kernels: vec![1, 3].into(),
        gate_reduction: 2,
        ffn_expansion: 4,
    }
}

/// Name, shape and values of a tensor.
type Stored = (String, Vec<usize>, Vec<f64>);

/// The golden unit, with what is done to its parameters; their names and values.
fn unit<T: Real>(mut change: impl FnMut(&str, &mut [f64])) -> (Unit<T>, Vec<Stored>) {
    let config = UnitConfig {
        channels: 6,
        height: 3,
        width: 3,
        share_sets: 3,
        kernels: vec![1, 3],
        gate_reduction: 2,
        ffn_expansion: 4,
    };
    let (mut weights, mut tensors) = (fill::Weights::default(), Vec::new());
    let unit = Unit::new(config, Train, |name, shape| {
        let mut values: Vec<f64> = weights.tensor(name, shape);
        change(name, &mut values);
        tensors.push((name.to_owned(), shape.to_vec(), values.clone()));
        values.into_iter().map(T::of).collect()
    });
    assert_eq!(tensors.len(), 37);
    (unit, tensors)
}

/// Makes a batch norm one that changes nothing but for taking off [`SHIFT`].
fn identity(parameter: &str, values: &mut [f64]) {
    values.fill(match parameter {
        "weight" => 1.0,
        "running_var" => 1.0 - 1e-5,
        "running_mean" => SHIFT,
        _ => 0.0,
    });
}

/// What the unit becomes behind a stem that adds [`SHIFT`].
fn shifted(name: &str, values: &mut [f64]) {
    if ["prebn1.running_mean", "prebn2.running_mean"].contains(&name) {
        values.iter_mut().for_each(|value| *value += SHIFT);
    }
}

/// The same for the block alone: nothing in front of it.
fn block_alone(name: &str, values: &mut [f64]) {
    match name.strip_prefix("prebn1.") {
        Some(parameter) => identity(parameter, values),
        None => shifted(name, values),
    }
}

/// Writes the network whose unit has these tensors.
fn write(path: &Path, unit: &[(String, Vec<usize>, Vec<f64>)]) {
    let value = |name: &str, shape: &[usize]| -> Vec<f64> {
        if let Some(name) = name.strip_prefix(UNIT) {
            return unit.iter().find(|tensor| tensor.0 == name).unwrap().2.clone();
        }
        let mut values = vec![0.0; shape.iter().product()];
        if name == "conv_embedding.conv.weight" {
            (0..6).for_each(|i| values[7 * i] = 1.0);
        } else if let Some(parameter) = name.strip_prefix("conv_embedding.bn.") {
            identity(parameter, &mut values);
            match parameter {
                "running_mean" => values.fill(0.0),
                "bias" => values.fill(SHIFT),
                _ => {}
            }
        } else if let Some((_, parameter)) = name.split_once("head_norm.") {
            identity(parameter, &mut values);
        }
        values
    };
    let tensors: Vec<_> = shapes(&config(), 2, Form::Train)
        .into_iter()
        .map(|(name, shape)| {
            let values = value(&name, &shape).into_iter().map(|x| x as f32).collect();
            Tensor::new(&name, &shape, values)
        })
        .collect();
    files::safetensors(path, &tensors);
}

/// The activations of a layer without [`SHIFT`], for each instruction set and form.
fn outputs(unit: &[(String, Vec<usize>, Vec<f64>)], layer: &str) -> Vec<(String, Vec<f64>)> {
    let directory = tempfile::tempdir().unwrap();
    let [train, deploy] = ["train", "deploy"].map(|name| directory.path().join(name));
    write(&train, unit);
    fold_config("golden", config(), &train, &deploy).unwrap();
    let mut outputs = Vec::new();
    let images: Vec<f32> = fill::input(2 * 6 * 3 * 3);
    for isa in env::isas_under_test() {
        for (file, form) in [(&train, Form::Train), (&train, Form::Deploy), (&deploy, Form::Deploy)]
        {
            let loader = Loader::new().context(Context::with_isa(isa)).form(form);
            let model = loader.load_config("golden", config(), Preprocess::IMAGENET, file).unwrap();
            let mut seen = observed(&model, &images, 2).into_iter();
            let (_, values) = seen.find(|(name, _)| name == layer).unwrap();
            let values = values.into_iter().map(|y| f64::from(y) - SHIFT).collect();
            outputs.push((format!("{isa}, {form} of {file:?}"), values));
        }
    }
    outputs
}

/// Compares outputs with the reference's in `f64`, and these with the printed ones.
///
/// The measure is the error of the reference when it computes the same in `f32` with plain loops: that of
/// other loops is of the same size. The largest of a hundred errors scatters, so that four times as much
/// is allowed.
fn check(found: Vec<(String, Vec<f64>)>, exact: &[f64], plain: &[f32], first: [f64; 6], last: f64) {
    let printed = |x: f64, y: f64| assert!((x - y).abs() <= 0.5e-9 + 1e-12, "{x}, not {y}");
    exact.iter().zip(first).for_each(|(&x, y)| printed(x, y));
    printed(*exact.last().unwrap(), last);
    let plain: Vec<_> = plain.iter().map(|&y| f64::from(y) - SHIFT).collect();
    let plain = distance(&plain, exact);
    assert!(plain <= 1e-6 * largest(exact), "{plain:e}");
    for (what, found) in found {
        let error = distance(&found, exact);
        assert!(error <= 4.0 * plain, "{what}: {error:e}, plain loops {plain:e}");
    }
}

fn image<T: Real>(shift: f64) -> Vec<T> {
    fill::input::<f64>(2 * 6 * 3 * 3).into_iter().map(|x| T::of(x + shift)).collect()
}

#[test]
fn the_official_unit() {
    let exact = unit::<f64>(|_, _| {}).0.forward(&image(0.0), 2);
    let (plain, tensors) = unit::<f32>(shifted);
    let first = [0.236776297, 0.217472234, 0.342980334, 0.728451834, 0.760376355, 0.886805758];
    let plain = plain.forward(&image(SHIFT), 2);
    check(outputs(&tensors, "stages.0.0"), &exact, &plain, first, -0.521396523);
}

#[test]
fn the_official_block() {
    let x: Vec<f64> = image(0.0);
    let exact = unit::<f64>(|_, _| {}).0.repmlp_block.forward(&x, 2);
    let (plain, tensors) = unit::<f32>(block_alone);
    let plain = plain.repmlp_block.forward(&image(0.0), 2);
    let plain: Vec<f32> = plain.iter().zip(image::<f32>(SHIFT)).map(|(y, x)| x + y).collect();
    // Without the residual connection.
    let outputs = outputs(&tensors, "stages.0.0.repmlp_block")
        .into_iter()
        .map(|(what, y)| (what, y.iter().zip(&x).map(|(y, x)| y - x).collect()));
    let plain: Vec<f32> = plain.iter().zip(&x).map(|(y, x)| (f64::from(*y) - x) as f32).collect();
    let first = [0.056481838, 0.008557400, -0.010003144, 0.070431648, 0.017881465, 0.033068446];
    check(outputs.collect(), &exact, &plain, first, -0.618285745);
}

#[test]
fn the_official_folded_layer() {
    let directory = tempfile::tempdir().unwrap();
    let [train, deploy] = ["train", "deploy"].map(|name| directory.path().join(name));
    write(&train, &unit::<f64>(|_, _| {}).1);
    fold_config("golden", config(), &train, &deploy).unwrap();
    let mut file = Checkpoint::open(&deploy).unwrap();
    let mut read = |name: &str| {
        let mut values = Vec::new();
        file.read_f32(&format!("{UNIT}repmlp_block.fc3.{name}"), &mut values).unwrap();
        values.into_iter().map(f64::from).collect::<Vec<_>>()
    };
    let (weight, bias) = (read("weight"), read("bias"));
    assert_eq!((weight.len(), bias.len()), (27 * 9, 27));
    // A number is a sum of three products of a weight, a scale and a deviation, each of which was rounded
    // to f32, and is rounded in the end; weights are at most 0.3, scales 1.3, variances at least 0.7.
    let allowed = (3.0 * 3.0 + 1.0) * ROUNDING * 3.0 * 0.3 * 1.3 / 0.7_f64.sqrt();
    let near = |x: f64, y: f64| assert!((x - y).abs() <= allowed + 0.5e-9, "{x}, not {y}");
    let first = [0.346183297, 0.054553943, 0.280141835, 0.036683381, -0.003530547, -0.364916323];
    weight.iter().zip(first).for_each(|(&x, y)| near(x, y));
    near(weight[27 * 9 - 1], 0.090095660);
    bias[..9].iter().for_each(|&x| near(x, 0.505673413));
    near(bias[26], -0.897420066);
    let sum = |values: &[f64]| values.iter().sum::<f64>();
    assert!((sum(&weight) - 2.546533863).abs() <= 27.0 * 9.0 * allowed);
    assert!((sum(&bias) - -7.302111002).abs() <= 27.0 * allowed);
}
