//! The block of RepMLP on cases computed by hand, and its two forms.

use mixfold_reference::conv2d::Nchw;
use mixfold_reference::fc3::{Fc3Parameters, Form};
use mixfold_reference::fill;
use mixfold_reference::parameters::Layer;
use mixfold_reference::repmlp::{RepMlp, RepMlpConfig};

use crate::assert_close;
use crate::deploy::{deploy, filled};

/// 3 × 2 partitions of 2 × 3 pixels, from 4 channels to 6.
fn config() -> RepMlpConfig {
    RepMlpConfig {
        in_channels: 4,
        out_channels: 6,
        height: 6,
        width: 6,
        partition: [2, 3],
        reduction: 2,
        groups: 2,
        kernels: vec![1, 3, 5],
    }
}

fn names(config: &RepMlpConfig, form: Form) -> Vec<String> {
    config.tensors(form).into_iter().map(|(name, shape)| format!("{name} {shape:?}")).collect()
}

#[test]
fn tensors_of_both_forms() {
    let few = RepMlpConfig { kernels: vec![3], ..config() };
    let global = [
        "fc1_fc2.fc1.weight [12, 24]",
        "fc1_fc2.fc1.bias [12]",
        "fc1_fc2.fc2.weight [24, 12]",
        "fc1_fc2.fc2.bias [24]",
    ];
    let average = [
        "avg.bn.weight [4]",
        "avg.bn.bias [4]",
        "avg.bn.running_mean [4]",
        "avg.bn.running_var [4]",
    ];
    let branches = [
        "fc3.weight [36, 12, 1, 1]",
        "fc3_bn.weight [36]",
        "fc3_bn.bias [36]",
        "fc3_bn.running_mean [36]",
        "fc3_bn.running_var [36]",
        "repconv3.conv.weight [6, 2, 3, 3]",
        "repconv3.bn.weight [6]",
        "repconv3.bn.bias [6]",
        "repconv3.bn.running_mean [6]",
        "repconv3.bn.running_var [6]",
    ];
    let folded = ["fc3.weight [36, 12, 1, 1]", "fc3.bias [36]"];
    assert_eq!(names(&few, Form::Train), [&global[..], &average, &branches].concat());
    assert_eq!(names(&few, Form::Deploy), [&global[..], &folded].concat());
    let one_partition = RepMlpConfig { height: 2, width: 3, ..few };
    assert_eq!(names(&one_partition, Form::Train), branches);
    assert_eq!(names(&one_partition, Form::Deploy), folded);
}

/// With identities for all matrices, the block adds to each pixel the average of its partition.
#[test]
fn global_perceptron_sees_averages() {
    let config = RepMlpConfig {
        in_channels: 2,
        out_channels: 2,
        height: 4,
        width: 3,
        partition: [2, 1],
        reduction: 1,
        groups: 1,
        kernels: vec![],
    };
    let block = RepMlp::new(config, Form::Deploy, |name, shape| {
        let columns: usize = shape.iter().skip(1).product();
        let element =
            |i| if name.ends_with("weight") && i / columns == i % columns { 1.0 } else { 0.0 };
        (0..shape.iter().product()).map(element).collect()
    });
    let x = [
        [1.0, 2.0, 3.0, 3.0, 6.0, 9.0, 5.0, 5.0, 0.0, 7.0, 5.0, 1.0],
        [0.0, 8.0, 4.0, 8.0, 0.0, 4.0, 2.0, 1.0, 1.0, 4.0, 1.0, 3.0],
    ];
    let y = [
        [3.0, 6.0, 9.0, 5.0, 10.0, 15.0, 11.0, 10.0, 0.5, 13.0, 10.0, 1.5],
        [4.0, 12.0, 8.0, 12.0, 4.0, 8.0, 5.0, 2.0, 3.0, 7.0, 2.0, 5.0],
    ];
    assert_eq!(block.forward(&x.concat(), 1), y.concat());
}

/// Apart from the global perceptron, a partition is computed as a map of its own.
#[test]
fn partitions_do_not_see_each_other() {
    let (mut block, _) = filled(|tensor| RepMlp::new(config(), Form::Train, tensor));
    block.global = None;
    let cut = |x: &[f64], channels, n, a: usize, b: usize| {
        let map = Nchw { batch: 2, channels, height: 6, width: 6 };
        let mut part = Vec::new();
        for c in 0..channels {
            for row in 2 * a..2 * a + 2 {
                part.extend((3 * b..3 * b + 3).map(|col| x[map.index(n, c, row, col)]));
            }
        }
        part
    };
    let x: Vec<f64> = fill::input(2 * 4 * 36);
    let y = block.forward(&x, 2);
    for (n, a, b) in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 2, 1), (1, 0, 1), (1, 2, 0)] {
        assert_eq!(cut(&y, 6, n, a, b), block.fc3.forward(&cut(&x, 4, n, a, b), 1));
    }
}

#[test]
fn both_forms_agree_when_channels_change() {
    for config in [config(), RepMlpConfig { height: 2, width: 3, ..config() }] {
        let x: Vec<f64> = fill::input(2 * 4 * config.height * config.width);
        let (block, _) = filled(|tensor| RepMlp::new(config, Form::Train, tensor));
        assert_close(&deploy(&block).forward(&x, 2), &block.forward(&x, 2), 1e-13);
    }
}

/// The worked example of folding: one 3 × 3 kernel on a partition of 2 × 2.
#[test]
fn convolution_as_a_matrix() {
    let config = RepMlpConfig {
        in_channels: 1,
        out_channels: 1,
        height: 2,
        width: 2,
        partition: [2, 2],
        reduction: 1,
        groups: 1,
        kernels: vec![3],
    };
    let block = RepMlp::new(config, Form::Train, |name, shape| match name {
        "repconv3.conv.weight" => (1..=9).map(f64::from).collect(),
        "repconv3.bn.bias" => vec![0.25],
        _ if name.ends_with("running_var") => vec![1.0 - 1e-5; shape[0]],
        "repconv3.bn.weight" => vec![1.0],
        _ => vec![0.0; shape.iter().product()],
    });
    let weight =
        vec![5.0, 6.0, 8.0, 9.0, 4.0, 5.0, 7.0, 8.0, 2.0, 3.0, 5.0, 6.0, 1.0, 2.0, 4.0, 5.0];
    let folded = Fc3Parameters::Deploy(Layer { weight, bias: vec![0.25; 4] });
    assert_eq!(deploy(&block).fc3.parameters, folded);
}

#[test]
#[should_panic(expected = "partitions of 2 x 3 in 6 x 7")]
fn partitions_that_do_not_divide_the_map_are_refused() {
    RepMlpConfig { width: 7, ..config() }.tensors(Form::Train);
}

#[test]
#[should_panic(expected = "kernel of 4 x 4")]
fn even_kernels_are_refused() {
    RepMlpConfig { kernels: vec![4], ..config() }.tensors(Form::Train);
}
