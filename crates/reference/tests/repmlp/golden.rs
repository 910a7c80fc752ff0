//! Outputs and folded parameters of the official RepMLP and RepMLPNet in `f64`, on the contents of
//! `fill`.

use mixfold_reference::fc3::Form;
use mixfold_reference::fill;
use mixfold_reference::repmlp::{RepMlp, RepMlpConfig};
use mixfold_reference::repmlpnet::{Unit, UnitConfig};

use crate::assert_close;
use crate::deploy::{deploy, deploy_unit, deployed, filled};

/// Half a unit of the last digit given, and what sums in another order differ by.
const PRINTED: f64 = 0.5e-9 + 1e-12;

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
