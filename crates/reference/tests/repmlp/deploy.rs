//! Deploy forms, by what the train form does to impulses.

use mixfold_reference::axis::{Axes, Linear, linear};
use mixfold_reference::fc3::{Fc3, Fc3Parameters};
use mixfold_reference::fill;
use mixfold_reference::gemm::Mat;
use mixfold_reference::norm::{BATCH_NORM_EPS, batch_norm};
use mixfold_reference::parameters::Layer;
use mixfold_reference::repmlp::{GlobalPerceptron, RepMlp};
use mixfold_reference::repmlpnet::Unit;

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
pub(crate) fn deploy_fc3(fc3: &Fc3<f64>) -> Fc3<f64> {
    let (config, groups) = (fc3.config.clone(), fc3.config.groups);
    let inputs = config.in_channels / groups * config.height * config.width;
    let folded = layer(inputs, |x| fc3.forward(&x.repeat(groups), 1));
    Fc3 { config, parameters: Fc3Parameters::Deploy(folded) }
}

pub(crate) fn deployed(fc3: &Fc3<f64>) -> &Layer<f64> {
    let Fc3Parameters::Deploy(layer) = &fc3.parameters else { panic!("the train form") };
    layer
}

/// The deploy form, with the norm of the averages in `fc1`.
pub(crate) fn deploy(block: &RepMlp<f64>) -> RepMlp<f64> {
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
pub(crate) fn filled<M>(
    build: impl FnOnce(&mut dyn FnMut(&str, &[usize]) -> Vec<f64>) -> M,
) -> (M, usize) {
    let (mut weights, mut count) = (fill::Weights::default(), 0);
    let model = build(&mut |name, shape| {
        count += 1;
        weights.tensor(name, shape)
    });
    (model, count)
}

pub(crate) fn deploy_unit(unit: &Unit<f64>) -> Unit<f64> {
    let mut unit = unit.clone();
    unit.repmlp_block.fc3 = deploy_fc3(&unit.repmlp_block.fc3);
    unit
}
