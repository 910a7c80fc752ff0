//! How far a RepMLPNet in `f32` may be from one in `f64`: a running error analysis of what the engine
//! does, layer by layer.
//!
//! A [`Real`] is an exact number with a bound of the distance at which the engine's number is from it.
//! Every operation carries the bounds of its operands on and adds its own:
//!
//! * one rounding of z to `f32` adds u·|z|, where |z| is at most |value| + bound, and half a smallest
//!   subnormal number; weights with a norm folded in are computed in `f64` and rounded once;
//! * a sum of k products and a bias adds γ of k + 1 terms times Σ|w|·|x| + |b|, which holds for fused and
//!   unfused sums in any order (`dot_bound` of the reference);
//! * an activation f carries L·bound, with L its largest slope, and adds the absolute error that its
//!   documentation states;
//! * the mean is as far off as the documentation of `Moments` states.
//!
//! [`U`] is 2⁻²⁴ and 2⁻⁴⁴ more, for terms of second order and for the roundings of the reference, each of
//! which is 2⁻⁵³.

use mixfold_model::Form;
use mixfold_reference::activation::Activation;
use mixfold_reference::conv2d::Nchw;
use mixfold_reference::fc3::{Fc3, Fc3Parameters};
use mixfold_reference::gemm::dot_bound;
use mixfold_reference::norm::{BATCH_NORM_EPS, BatchNorm};
use mixfold_reference::parameters::{ConvBn, Layer};
use mixfold_reference::repmlpnet::{RepMlpNet, Unit, UnitConfig};

const U: f64 = (1.0 + 1.0 / (1_u32 << 20) as f64) / (1_u32 << 24) as f64;
/// More than the roundoff of `f64`, for the folds.
const WIDE: f64 = 4.0 * f64::EPSILON;
/// Half of the smallest subnormal `f32`.
const UNDERFLOW: f64 = f32::MIN_POSITIVE as f64 * U;

/// A number, and how far from it the computed one may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Real {
    pub(crate) value: f64,
    pub(crate) bound: f64,
}

impl Real {
    pub(crate) fn exact(value: f64) -> Self {
        Real { value, bound: 0.0 }
    }

    /// The largest magnitude of the computed number.
    fn most(self) -> f64 {
        self.value.abs() + self.bound
    }

    /// Computed in `f64`.
    fn wide(self) -> Self {
        Real { bound: self.bound + WIDE * self.most(), ..self }
    }

    /// Rounded to `f32`.
    fn rounded(self) -> Self {
        Real { bound: self.bound + U * self.most() + UNDERFLOW, ..self }
    }

    fn plus(self, other: Self) -> Self {
        Real { value: self.value + other.value, bound: self.bound + other.bound }
    }

    fn times(self, other: Self) -> Self {
        let bound = self.most() * other.bound + self.bound * other.value.abs();
        Real { value: self.value * other.value, bound }
    }

    /// `self · scale + shift`, with two roundings or one.
    fn affine(self, [scale, shift]: [Self; 2]) -> Self {
        self.times(scale).rounded().plus(shift).rounded()
    }

    fn activated(self, f: Activation, slope: f64, error: f64) -> Self {
        Real { value: f.apply(self.value), bound: slope * self.bound + error }
    }

    fn relu(self) -> Self {
        self.activated(Activation::Relu, 1.0, 0.0)
    }

    fn sigmoid(self) -> Self {
        self.activated(Activation::Sigmoid, 0.25, 1.2e-7)
    }

    fn gelu(self) -> Self {
        self.activated(Activation::GeluErf, 1.13, 2.87e-7)
    }
}

/// `Σ w·x + start` with roundings of relative size `u`.
fn dot(terms: impl Iterator<Item = (Real, Real)>, start: Real, u: f64) -> Real {
    let (mut sum, mut size, mut count) = (start, start.most(), 1);
    for (w, x) in terms {
        sum = sum.plus(w.times(x));
        size += w.most() * x.most();
        count += 1;
    }
    let own = dot_bound(count, size, 2.0 * u) + count as f64 * UNDERFLOW;
    Real { bound: sum.bound + own, ..sum }
}

/// Scale and shift of each channel of a batch norm, as the engine folds it, in `f64`.
fn affine(norm: &BatchNorm<f64>) -> Vec<[Real; 2]> {
    let channel = |c: usize| {
        let scale = Real::exact(norm.weight[c] / (norm.running_var[c] + BATCH_NORM_EPS).sqrt());
        let scale = scale.wide();
        let mean = Real::exact(-norm.running_mean[c]);
        [scale, mean.times(scale).wide().plus(Real::exact(norm.bias[c])).wide()]
    };
    (0..norm.weight.len()).map(channel).collect()
}

fn rounded(affine: &[[Real; 2]]) -> Vec<[Real; 2]> {
    affine.iter().map(|pair| pair.map(Real::rounded)).collect()
}

fn exact(values: &[f64]) -> Vec<Real> {
    values.iter().copied().map(Real::exact).collect()
}

/// A matrix and a bias.
struct Linear {
    weight: Vec<Real>,
    bias: Vec<Real>,
}

impl Linear {
    fn new(weight: &[f64], bias: Option<&[f64]>, rows: usize) -> Self {
        let bias = bias.map_or_else(|| vec![Real::exact(0.0); rows], exact);
        Linear { weight: exact(weight), bias }
    }

    fn of(layer: &Layer<f64>) -> Self {
        Linear::new(&layer.weight, Some(&layer.bias), layer.bias.len())
    }

    fn rows(&self) -> impl Iterator<Item = (&[Real], Real)> {
        let cols = self.weight.len() / self.bias.len();
        self.weight.chunks(cols).zip(self.bias.iter().copied())
    }

    /// With affine maps in front and behind, in `f64`.
    fn folded(&self, before: Option<&[[Real; 2]]>, after: Option<&[[Real; 2]]>) -> Self {
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for (r, (row, b)) in self.rows().enumerate() {
            let front = |col: usize| before.map(|before| before[col]);
            let shifts = row.iter().enumerate().filter_map(|(c, &w)| Some((w, front(c)?[1])));
            let sum = dot(shifts, b, WIDE);
            let [scale, shift] = match after {
                Some(after) => after[r * after.len() / self.bias.len()],
                None => [Real::exact(1.0), Real::exact(0.0)],
            };
            bias.push(sum.times(scale).wide().plus(shift).wide());
            weight.extend(row.iter().enumerate().map(|(c, &w)| {
                front(c).map_or(w, |front| w.times(front[0]).wide()).times(scale).wide()
            }));
        }
        Linear { weight, bias }
    }

    /// As it is stored.
    fn rounded(self) -> Self {
        let all = |values: Vec<Real>| values.into_iter().map(Real::rounded).collect();
        Linear { weight: all(self.weight), bias: all(self.bias) }
    }

    fn apply<'a>(&self, x: impl Iterator<Item = &'a Real> + Clone) -> Vec<Real> {
        self.rows().map(|(row, b)| dot(row.iter().copied().zip(x.clone().copied()), b, U)).collect()
    }
}

/// A convolution and its norm.
fn conv_bn(conv: &ConvBn<f64>) -> Linear {
    Linear::new(&conv.weight, None, conv.conv.out_channels).folded(None, Some(&affine(&conv.bn)))
}

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

fn places([height, width]: [usize; 2]) -> impl Iterator<Item = (usize, usize)> {
    (0..height).flat_map(move |row| (0..width).map(move |col| (row, col)))
}

/// The mean of numbers, computed as `Moments` does.
fn mean(x: &[Real]) -> Real {
    let average = |f: &dyn Fn(Real) -> f64| x.iter().map(|&x| f(x)).sum::<f64>() / x.len() as f64;
    let (mean, carried) = (average(&|x| x.value), average(&|x| x.bound));
    let (spread, size) =
        (average(&|x| (x.value - mean).abs() + x.bound) + carried, average(&Real::most));
    // Additions of a partial sum. The second pass goes about a first mean, which is `off` at most.
    let depth = x.len().div_ceil(16) as f64;
    let off = (depth + 1.0) * U * size;
    let own = U * (mean.abs() + carried) + (depth + 2.0) * U * (spread + off) + UNDERFLOW;
    Real { value: mean, bound: carried + own }
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

/// Positions in a kernel, centred on a place of the map, with the places they fall on.
fn taps(
    size: usize,
    [height, width]: [usize; 2],
    (row, col): (usize, usize),
) -> impl Iterator<Item = (usize, usize)> {
    places([size, size]).filter_map(move |(y, x)| {
        let (h, w) = ((row + y).checked_sub(size / 2)?, (col + x).checked_sub(size / 2)?);
        (h < height && w < width).then_some((y * size + x, h * width + w))
    })
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
