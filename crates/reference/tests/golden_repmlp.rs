//! Outputs and folded parameters of the official RepMLP and RepMLPNet in `f64`, on the contents of
//! [`fill`].

use mixfold_reference::axis::{Axes, Linear, linear};
use mixfold_reference::fc3::{Fc3, Fc3Parameters, Form};
use mixfold_reference::fill;
use mixfold_reference::gemm::Mat;
use mixfold_reference::norm::{BATCH_NORM_EPS, batch_norm};
use mixfold_reference::parameters::Layer;
use mixfold_reference::repmlp::{GlobalPerceptron, RepMlp, RepMlpConfig};
use mixfold_reference::repmlpnet::{Unit, UnitConfig};

/// Half a unit of the last digit given, and what sums in another order differ by.
const PRINTED: f64 = 0.5e-9 + 1e-12;

#[track_caller]
fn assert_close(computed: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(computed.len(), expected.len());
    for (i, (c, e)) in computed.iter().zip(expected).enumerate() {
        assert!((c - e).abs() <= tolerance, "[{i}]: {c} instead of {e}");
    }
}

/// The first elements, the last one, the sum and the sum of squares.
#[track_caller]
fn assert_printed(x: &[f64], first: &[f64], last: f64, sum: f64, squares: Option<f64>) {
    assert_close(&x[..first.len()], first, PRINTED);
    assert_close(&x[x.len() - 1..], &[last], PRINTED);
    assert_close(&[x.iter().sum()], &[sum], PRINTED);
    if let Some(squares) = squares {
        assert_close(&[x.iter().map(|x| x * x).sum()], &[squares], PRINTED);
    }
}

/// An affine map as a matrix `[outputs, inputs]` and a bias: what it does to zero, and to one input
/// at a time.
fn layer(inputs: usize, map: impl Fn(&[f64]) -> Vec<f64>) -> Layer<f64> {
    let bias = map(&vec![0.0; inputs]);
    let mut weight = vec![0.0; bias.len() * inputs];
    for input in 0..inputs {
        let mut impulse = vec![0.0; inputs];
        impulse[input] = 1.0;
        for (output, (y, bias)) in map(&impulse).into_iter().zip(&bias).enumerate() {
            weight[output * inputs + input] = y - bias;
        }
    }
    Layer { weight, bias }
}

/// The deploy form. Each group has an impulse of its own at once: its outputs see no other.
fn deploy_fc3(fc3: &Fc3<f64>) -> Fc3<f64> {
    let (config, groups) = (fc3.config.clone(), fc3.config.groups);
    let inputs = config.in_channels / groups * config.height * config.width;
    let folded = layer(inputs, |x| fc3.forward(&x.repeat(groups), 1));
    Fc3 { config, parameters: Fc3Parameters::Deploy(folded) }
}

fn deployed(fc3: &Fc3<f64>) -> &Layer<f64> {
    let Fc3Parameters::Deploy(layer) = &fc3.parameters else { panic!("the train form") };
    layer
}

/// The deploy form, with the norm of the averages in `fc1`.
fn deploy(block: &RepMlp<f64>) -> RepMlp<f64> {
    let channels = block.config.in_channels;
    let global = block.global.as_ref().map(|GlobalPerceptron { bn, fc1, fc2 }| {
        let parts = block.config.parts().iter().product();
        let by_channel = Axes { outer: 1, axis: channels, inner: parts };
        let one_vector = Axes { outer: 1, axis: channels * parts, inner: 1 };
        let weight = Mat::row_major(&fc1.weight, fc1.bias.len(), one_vector.axis);
        let matrix = Linear { weight, bias: Some(&fc1.bias) };
        let fc1 = layer(one_vector.axis, |v| {
            let v = batch_norm(v, by_channel, bn.as_ref().unwrap(), BATCH_NORM_EPS);
            linear(&v, one_vector, &matrix)
        });
        GlobalPerceptron { bn: None, fc1, fc2: fc2.clone() }
    });
    RepMlp { config: block.config.clone(), global, fc3: deploy_fc3(&block.fc3) }
}

/// Contents of [`fill`], and the number of tensors.
fn filled<M>(build: impl FnOnce(&mut dyn FnMut(&str, &[usize]) -> Vec<f64>) -> M) -> (M, usize) {
    let (mut weights, mut count) = (fill::Weights::default(), 0);
    let model = build(&mut |name, shape| {
        count += 1;
        weights.tensor(name, shape)
    });
    (model, count)
}

#[test]
fn repmlp_block_agrees_with_its_authors() {
    let config = RepMlpConfig {
        in_channels: 4,
        out_channels: 4,
        height: 6,
        width: 6,
        partition: [3, 3],
        reduction: 1,
        groups: 2,
        kernels: vec![1, 3],
    };
    let (block, tensors) = filled(|tensor| RepMlp::new(config, Form::Train, tensor));
    assert_eq!(tensors, 23);
    let x: Vec<f64> = fill::input(2 * 4 * 6 * 6);
    let first = [0.237109743, 0.016447675, -0.115650233, 0.002355886, -0.275404665, -0.294830962];
    let assert_output =
        |y: &[f64]| assert_printed(y, &first, -0.700267605, 73.000661411, Some(296.415833205));
    assert_output(&block.forward(&x, 2));

    let deployed_block = deploy(&block);
    assert_output(&deployed_block.forward(&x, 2));
    let fc3 = deployed(&deployed_block.fc3);
    assert_eq!((fc3.weight.len(), fc3.bias.len()), (36 * 18, 36));
    let first = [-0.019245483, -0.028903601, 0.425702393, 0.025427730, 0.041168681, -0.086096564];
    assert_printed(&fc3.weight, &first, -0.108462545, 5.591319513, Some(63.195238447));
    let first = [1.372458924, 1.333080731, 1.047914223, 0.744934736, 0.614187810, 0.668825486];
    assert_printed(&fc3.bias, &first, -0.254985354, 9.934776424, None);
    let fc1 = deployed_block.global.unwrap().fc1;
    let first = [0.403203775, 0.189510248, -0.113312909, -0.362843235, -0.436455571, -0.309122612];
    assert_close(&fc1.weight[..6], &first, PRINTED);
    let first = [0.033428922, -0.046689748, -0.307505347, -0.415236939, -0.121585648, 0.304464566];
    assert_close(&fc1.bias[..6], &first, PRINTED);
    assert_close(&[fc1.bias.iter().sum()], &[-0.142947924], PRINTED);
}

/// The golden unit: its first 19 tensors are those of the golden block.
fn unit() -> Unit<f64> {
    let config = UnitConfig {
        channels: 6,
        height: 3,
        width: 3,
        share_sets: 3,
        kernels: vec![1, 3],
        gate_reduction: 2,
        ffn_expansion: 4,
    };
    let (unit, tensors) = filled(|tensor| Unit::new(config, Form::Train, tensor));
    assert_eq!(tensors, 37);
    unit
}

fn deploy_unit(unit: &Unit<f64>) -> Unit<f64> {
    let mut unit = unit.clone();
    unit.repmlp_block.fc3 = deploy_fc3(&unit.repmlp_block.fc3);
    unit
}

#[test]
fn repmlpnet_block_agrees_with_its_authors() {
    let x: Vec<f64> = fill::input(2 * 6 * 3 * 3);
    let first = [0.056481838, 0.008557400, -0.010003144, 0.070431648, 0.017881465, 0.033068446];
    let assert_output =
        |y: &[f64]| assert_printed(y, &first, -0.618285745, -15.558645452, Some(16.008650950));
    assert_output(&unit().repmlp_block.forward(&x, 2));

    let block = deploy_unit(&unit()).repmlp_block;
    assert_output(&block.forward(&x, 2));
    let fc3 = deployed(&block.fc3);
    assert_eq!((fc3.weight.len(), fc3.bias.len()), (27 * 9, 27));
    let first = [0.346183297, 0.054553943, 0.280141835, 0.036683381, -0.003530547, -0.364916323];
    assert_printed(&fc3.weight, &first, 0.090095660, 2.546533863, Some(16.476759238));
    assert_printed(&fc3.bias, &[0.505673413; 9], -0.897420066, -7.302111002, None);
}

#[test]
fn repmlpnet_unit_agrees_with_its_authors() {
    let x: Vec<f64> = fill::input(2 * 6 * 3 * 3);
    let first = [0.236776297, 0.217472234, 0.342980334, 0.728451834, 0.760376355, 0.886805758];
    for unit in [unit(), deploy_unit(&unit())] {
        let y = unit.forward(&x, 2);
        assert_printed(&y, &first, -0.521396523, -30.099194320, Some(98.687227054));
    }
}
