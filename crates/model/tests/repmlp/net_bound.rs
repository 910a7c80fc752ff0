//! How far a RepMLPNet in `f32` may be from one in `f64`, layer by layer.

use mixfold_model::Form;
use mixfold_reference::conv2d::Nchw;
use mixfold_reference::fc3::{Fc3, Fc3Parameters};
use mixfold_reference::parameters::{ConvBn, Layer};
use mixfold_reference::repmlpnet::{RepMlpNet, Unit, UnitConfig};

use crate::common::bound::{Linear, Real, affine, conv_bn, mean, places, rounded, taps};

/// `relu(norm(conv(x)))` with the stride of the kernel.
fn embed(x: &[Real], input: Nchw, conv: &ConvBn<f64>) -> (Vec<Real>, Nchw) {
    let (layer, output) = (conv_bn(conv).rounded(), conv.conv.output(input));
    let [height, width] = conv.conv.kernel;
    let mut y = vec![Real::exact(0.0); output.elements()];
    for n in 0..output.batch {
        for (row, col) in places([output.height, output.width]) {
            let mut patch = Vec::new();
            for c in 0..input.channels {
                for (h, w) in places([height, width]) {
                    patch.push(x[input.index(n, c, row * height + h, col * width + w)]);
                }
            }
            for (o, sum) in layer.apply(patch.iter()).into_iter().enumerate() {
                y[output.index(n, o, row, col)] = sum.relu();
            }
        }
    }
    (y, output)
}

/// The layers along the places of one share-set's map.
enum Places {
    /// Of the train form, run as it is: the matrix, the norm behind it, the convolutions.
    Branches(Linear, [Real; 2], Vec<(usize, Linear)>),
    Folded(Linear),
}

impl Places {
    /// Those of share-set number `set`.
    fn new(fc3: &Fc3<f64>, set: usize, form: Form) -> Self {
        let map = [fc3.config.height, fc3.config.width];
        let len = map[0] * map[1];
        let part = |weight: &[f64]| weight[set * len * len..][..len * len].to_vec();
        let (weight, bn, convs) = match &fc3.parameters {
            Fc3Parameters::Deploy(Layer { weight, bias }) => {
                let bias = &bias[set * len..][..len];
                return Places::Folded(Linear::new(&part(weight), Some(bias), len));
            }
            Fc3Parameters::Train { weight, bn, convs } => (part(weight), bn, convs),
        };
        let matrix = Linear::new(&weight, None, len);
        let norm = affine(bn)[set];
        let kernels = convs.iter().map(|conv| {
            let Linear { weight, bias } = conv_bn(conv);
            let [size, _] = conv.conv.kernel;
            let weight = weight[set * size * size..][..size * size].to_vec();
            (size, Linear { weight, bias: vec![bias[set]] })
        });
        if form == Form::Train {
            let kernels = kernels.map(|(size, kernel)| (size, kernel.rounded())).collect();
            return Places::Branches(matrix, norm.map(Real::rounded), kernels);
        }
        let mut folded = matrix.folded(None, Some(&[norm]));
        for (size, kernel) in kernels {
            for (row, place) in places(map).enumerate() {
                for (tap, col) in taps(size, map, place) {
                    let entry = &mut folded.weight[row * len + col];
                    *entry = entry.plus(kernel.weight[tap]).wide();
                }
                folded.bias[row] = folded.bias[row].plus(kernel.bias[0]).wide();
            }
        }
        Places::Folded(folded.rounded())
    }

    fn apply(&self, u: &[Real], map: [usize; 2]) -> Vec<Real> {
        let (matrix, norm, kernels) = match self {
            Places::Folded(layer) => return layer.apply(u.iter()),
            Places::Branches(matrix, norm, kernels) => (matrix, norm, kernels),
        };
        let mut y: Vec<_> = matrix.apply(u.iter()).into_iter().map(|y| y.affine(*norm)).collect();
        for (size, kernel) in kernels {
            for (y, place) in y.iter_mut().zip(places(map)) {
                // What lies outside of the map counts as zeros.
                let mut window = vec![Real::exact(0.0); size * size];
                for (tap, at) in taps(*size, map, place) {
                    window[tap] = u[at];
                }
                *y = y.plus(kernel.apply(window.iter())[0]).rounded();
            }
        }
        y
    }
}

/// The first half of a unit.
fn mix_places(x: &[Real], unit: &Unit<f64>, form: Form) -> Vec<Real> {
    let UnitConfig { channels, height, width, share_sets, .. } = unit.config;
    let map = [height, width];
    let first = affine(&unit.prebn1);
    let [fc1, fc2] = &unit.repmlp_block.gate;
    let (hidden, gate) = (Linear::of(fc1).folded(Some(&first), None).rounded(), Linear::of(fc2));
    let sets: Vec<_> =
        (0..share_sets).map(|set| Places::new(&unit.repmlp_block.fc3, set, form)).collect();
    let norm = rounded(&first);
    let mut y = Vec::new();
    for image in x.chunks(channels * height * width) {
        let maps: Vec<_> = image.chunks(height * width).collect();
        let pooled: Vec<_> = maps.iter().map(|map| mean(map)).collect();
        let hidden: Vec<_> = hidden.apply(pooled.iter()).into_iter().map(Real::relu).collect();
        let gates = gate.apply(hidden.iter()).into_iter().map(Real::sigmoid);
        for (c, (x, gate)) in maps.iter().zip(gates).enumerate() {
            let u: Vec<_> = x.iter().map(|x| x.affine(norm[c])).collect();
            let branch = sets[c % share_sets].apply(&u, map);
            let gated = branch.into_iter().map(|y| y.times(gate).rounded());
            y.extend(x.iter().zip(gated).map(|(x, y)| x.plus(y).rounded()));
        }
    }
    y
}

/// The second half of a unit.
fn mix_channels(x: &[Real], unit: &Unit<f64>) -> Vec<Real> {
    let UnitConfig { channels, height, width, .. } = unit.config;
    let pixels = height * width;
    let [fc1, fc2] = &unit.ffn_block;
    let second = affine(&unit.prebn2);
    let hidden = Linear::new(&fc1.weight, None, fc1.conv.out_channels);
    let hidden = hidden.folded(Some(&second), Some(&affine(&fc1.bn))).rounded();
    let out = conv_bn(fc2).rounded();
    let mut y = x.to_vec();
    for (x, y) in x.chunks(channels * pixels).zip(y.chunks_mut(channels * pixels)) {
        for at in 0..pixels {
            let column = x[at..].iter().step_by(pixels);
            let hidden: Vec<_> = hidden.apply(column).into_iter().map(Real::gelu).collect();
            for (c, sum) in out.apply(hidden.iter()).into_iter().enumerate() {
                let y = &mut y[c * pixels + at];
                *y = y.plus(sum).rounded();
            }
        }
    }
    y
}

/// The activations of a network that is run in a form, layer by layer. `next` is given a layer's name
/// and its activations, and says what the following layer is applied to.
pub(crate) fn walk(
    net: &RepMlpNet<f64>,
    images: &[f32],
    batch: usize,
    form: Form,
    mut next: impl FnMut(&str, Vec<Real>) -> Vec<Real>,
) {
    let config = &net.config;
    let (height, width, channels) = (config.height, config.width, config.in_channels);
    let images: Vec<_> = images.iter().map(|&x| Real::exact(x.into())).collect();
    let (x, mut map) = embed(&images, Nchw { batch, channels, height, width }, &net.conv_embedding);
    let mut x = next("stem", x);
    for (i, stage) in net.stages.iter().enumerate() {
        for (j, unit) in stage.iter().enumerate() {
            let name = format!("stages.{i}.{j}");
            x = next(&format!("{name}.repmlp_block"), mix_places(&x, unit, form));
            x = next(&name, mix_channels(&x, unit));
        }
        if let Some(conv) = net.embeds.get(i) {
            let (y, halved) = embed(&x, map, conv);
            (x, map) = (next(&format!("embeds.{i}"), y), halved);
        }
    }
    let pooled = next("mean", x.chunks(map.height * map.width).map(mean).collect());
    let head = Linear::of(&net.head).folded(Some(&affine(&net.head_norm)), None).rounded();
    next("head", pooled.chunks(map.channels).flat_map(|x| head.apply(x.iter())).collect());
}
