//! How far a ResNet in `f32` may be from one in `f64`, layer by layer.

use mixfold_model::Form;
use mixfold_reference::conv2d::{Conv2d, Nchw};
use mixfold_reference::fc3::{Fc3, Fc3Config, Fc3Parameters};
use mixfold_reference::parameters::Layer;
use mixfold_reference::repmlp::RepMlp;
use mixfold_reference::resnet::{Block, Conv, Part, ResNet};

use crate::common::bound::{Linear, Real, affine, conv_bn, mean, places, taps};

/// Activations and their sizes.
type Map = (Vec<Real>, Nchw);

/// A convolution as the engine has it: with its norm folded in.
fn folded(conv: &Conv<f64>) -> Linear {
    match conv {
        Conv::Train(conv) => conv_bn(conv).rounded(),
        Conv::Deploy(_, layer) => Linear::of(layer),
    }
}

/// The sums of a convolution in groups; what lies outside of an image counts as zeros.
fn convolve((x, input): &Map, conv: &Conv2d, layer: &Linear) -> Map {
    let output = conv.output(*input);
    let (shared, rows) = (input.channels / conv.groups, output.channels / conv.groups);
    let mut y = vec![Real::exact(0.0); output.elements()];
    for n in 0..output.batch {
        for (row, col) in places([output.height, output.width]) {
            for (o, (weights, bias)) in layer.rows().enumerate() {
                let mut window = vec![Real::exact(0.0); weights.len()];
                let taps = (0..shared).flat_map(|c| places(conv.kernel).map(move |tap| (c, tap)));
                for (at, (c, (u, v))) in taps.enumerate() {
                    let h = (row * conv.stride[0] + u).checked_sub(conv.padding[0]);
                    let w = (col * conv.stride[1] + v).checked_sub(conv.padding[1]);
                    if let (Some(h), Some(w)) = (h, w)
                        && h < input.height
                        && w < input.width
                    {
                        window[at] = x[input.index(n, o / rows * shared + c, h, w)];
                    }
                }
                y[output.index(n, o, row, col)] = dot(weights, &window, bias);
            }
        }
    }
    (y, output)
}

fn dot(weights: &[Real], x: &[Real], bias: Real) -> Real {
    crate::common::bound::dot(
        weights.iter().copied().zip(x.iter().copied()),
        bias,
        crate::common::bound::U,
    )
}

/// The largest of numbers, each of which may be a little off.
fn pool((x, input): &Map) -> Map {
    let output =
        Nchw { height: input.height.div_ceil(2), width: input.width.div_ceil(2), ..*input };
    let mut y = Vec::with_capacity(output.elements());
    for n in 0..output.batch {
        for c in 0..output.channels {
            for (row, col) in places([output.height, output.width]) {
                let window = places([3, 3]).filter_map(|(u, v)| {
                    let (h, w) = ((2 * row + u).checked_sub(1)?, (2 * col + v).checked_sub(1)?);
                    (h < input.height && w < input.width).then(|| x[input.index(n, c, h, w)])
                });
                y.push(window.fold(Real { value: f64::NEG_INFINITY, bound: 0.0 }, |most, x| {
                    Real { value: most.value.max(x.value), bound: most.bound.max(x.bound) }
                }));
            }
        }
    }
    (y, output)
}

/// What a RepMLP makes of a map, with the ReLU behind it.
fn run_repmlp((x, map): &Map, repmlp: &RepMlp<f64>, form: Form) -> Map {
    let [height, width] = repmlp.config.partition;
    let [down, across] = repmlp.config.parts();
    let mut x = x.clone();
    if let Some(global) = &repmlp.global {
        let norm = global.bn.as_ref().map(|bn| {
            let spread = |pair: [Real; 2]| std::iter::repeat_n(pair, down * across);
            affine(bn).into_iter().flat_map(spread).collect::<Vec<_>>()
        });
        let fc1 = Linear::of(&global.fc1).folded(norm.as_deref(), None).rounded();
        let fc2 = Linear::of(&global.fc2);
        let inside = |c: usize, a: usize, b: usize, n: usize| {
            let pixel = move |(y, z)| map.index(n, c, a * height + y, b * width + z);
            places([height, width]).map(pixel).collect::<Vec<_>>()
        };
        for n in 0..map.batch {
            let parts = || {
                (0..map.channels).flat_map(|c| places([down, across]).map(move |(a, b)| (c, a, b)))
            };
            let means: Vec<_> = parts()
                .map(|(c, a, b)| {
                    mean(&inside(c, a, b, n).into_iter().map(|at| x[at]).collect::<Vec<_>>())
                })
                .collect();
            let hidden: Vec<_> = fc1.apply(means.iter()).into_iter().map(Real::relu).collect();
            for ((c, a, b), v) in parts().zip(fc2.apply(hidden.iter())) {
                for at in inside(c, a, b, n) {
                    x[at] = x[at].plus(v).rounded();
                }
            }
        }
    }
    let local = Local::new(&repmlp.fc3, form);
    let mut y = vec![Real::exact(0.0); map.elements()];
    for n in 0..map.batch {
        for (a, b) in places([down, across]) {
            let positions: Vec<_> = (0..map.channels)
                .flat_map(|c| places([height, width]).map(move |(u, v)| (c, u, v)))
                .map(|(c, u, v)| map.index(n, c, a * height + u, b * width + v))
                .collect();
            let part: Vec<_> = positions.iter().map(|&at| x[at]).collect();
            for (&at, value) in positions.iter().zip(local.apply(&part)) {
                y[at] = value.relu();
            }
        }
    }
    (y, *map)
}

/// The norm of each row, and the convolutions.
type Branches = (Vec<[Real; 2]>, Vec<(Conv2d, Linear)>);

/// The matrix of a RepMLP, in groups of rows, and what stands beside it.
struct Local<'a> {
    config: &'a Fc3Config,
    matrix: Linear,
    branches: Option<Branches>,
}

impl<'a> Local<'a> {
    fn new(fc3: &'a Fc3<f64>, form: Form) -> Self {
        let config = &fc3.config;
        let (weight, bn, convs) = match &fc3.parameters {
            Fc3Parameters::Deploy(layer) => {
                return Local { config, matrix: Linear::of(layer), branches: None };
            }
            Fc3Parameters::Train { weight, bn, convs } => (weight, bn, convs),
        };
        let norm = affine(bn);
        let zeros = vec![0.0; norm.len()];
        let matrix = Layer { weight: weight.clone(), bias: zeros };
        let matrix = Linear::of(&matrix);
        // Without convolutions, the norm is folded in either form.
        if form == Form::Train && !convs.is_empty() {
            let norm = norm.iter().map(|pair| pair.map(Real::rounded)).collect();
            let convs = convs.iter().map(|conv| (conv.conv, conv_bn(conv).rounded())).collect();
            return Local { config, matrix, branches: Some((norm, convs)) };
        }
        let mut matrix = matrix.folded(None, Some(&norm));
        let map = [config.height, config.width];
        let (pixels, shared) = (map[0] * map[1], config.in_channels / config.groups);
        for conv in convs {
            let (kernel, [size, _]) = (conv_bn(conv), conv.conv.kernel);
            for o in 0..config.out_channels {
                for (row, place) in places(map).enumerate() {
                    let row = o * pixels + row;
                    for c in 0..shared {
                        for (tap, col) in taps(size, map, place) {
                            let weight = kernel.weight[(o * shared + c) * size * size + tap];
                            let entry = &mut matrix.weight[(row * shared + c) * pixels + col];
                            *entry = entry.plus(weight).wide();
                        }
                    }
                    matrix.bias[row] = matrix.bias[row].plus(kernel.bias[o]).wide();
                }
            }
        }
        Local { config, matrix: matrix.rounded(), branches: None }
    }

    fn apply(&self, x: &[Real]) -> Vec<Real> {
        let Fc3Config { in_channels, groups, height, width, .. } = *self.config;
        let rows = self.matrix.bias.len() / groups;
        let group = |row: usize| &x[row / rows * (x.len() / groups)..][..x.len() / groups];
        let products = self.matrix.rows().enumerate();
        let mut y: Vec<_> = products.map(|(row, (w, b))| dot(w, group(row), b)).collect();
        let Some((norm, convs)) = &self.branches else { return y };
        for (y, norm) in y.iter_mut().zip(norm) {
            *y = y.affine(*norm);
        }
        let map = (x.to_vec(), Nchw { batch: 1, channels: in_channels, height, width });
        for (conv, layer) in convs {
            for (y, sum) in y.iter_mut().zip(convolve(&map, conv, layer).0) {
                *y = y.plus(sum).rounded();
            }
        }
        y
    }
}

fn relu((x, map): Map) -> Map {
    (x.into_iter().map(Real::relu).collect(), map)
}

/// The layers of a block behind each other, see [`walk`].
fn run_block(
    x: &Map,
    block: &Block<f64>,
    name: &str,
    form: Form,
    next: &mut impl FnMut(&str, Vec<Real>) -> Vec<Real>,
) -> Map {
    let mut y = x.clone();
    for (part, step) in &block.parts {
        let (values, map) = match step {
            Part::Conv(conv) => relu(convolve(&y, conv.conv(), &folded(conv))),
            Part::RepMlp(repmlp) => run_repmlp(&y, repmlp, form),
        };
        y = (next(&format!("{name}.{part}"), values), map);
    }
    let shortcut = match &block.shortcut {
        Some(conv) => convolve(x, conv.conv(), &folded(conv)).0,
        None => x.0.clone(),
    };
    let (sums, map) = convolve(&y, block.last.conv(), &folded(&block.last));
    let sums = shortcut.iter().zip(sums).map(|(x, sum)| x.plus(sum).rounded().relu());
    (next(name, sums.collect()), map)
}

/// The activations of a network that is run in a form, layer by layer. `next` is given a layer's name
/// and its activations, and says what the following layer is applied to.
pub(crate) fn walk(
    net: &ResNet<f64>,
    images: &[f32],
    batch: usize,
    form: Form,
    mut next: impl FnMut(&str, Vec<Real>) -> Vec<Real>,
) {
    let images = images.iter().map(|&x| Real::exact(x.into())).collect();
    let stem = convolve(&(images, net.config.images(batch)), net.stem.conv(), &folded(&net.stem));
    let (values, map) = relu(stem);
    let (values, map) = pool(&(next("stage0.0", values), map));
    let mut x = (next("stage0.1", values), map);
    for (i, stage) in net.stages.iter().enumerate() {
        for (j, block) in stage.iter().enumerate() {
            x = run_block(&x, block, &format!("stage{}.{j}", i + 1), form, &mut next);
        }
    }
    let (values, map) = x;
    let means = next("gap", values.chunks(map.height * map.width).map(mean).collect());
    let head = Linear::of(&net.linear);
    next("linear", means.chunks(map.channels).flat_map(|x| head.apply(x.iter())).collect());
}
