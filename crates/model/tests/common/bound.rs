//! How far a network in `f32` may be from one in `f64`: a running error analysis of what the engine does,
//! of which this is the arithmetic.
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

use mixfold_reference::activation::Activation;
use mixfold_reference::gemm::dot_bound;
use mixfold_reference::norm::{BATCH_NORM_EPS, BatchNorm};
use mixfold_reference::parameters::{ConvBn, Layer};

pub(crate) const U: f64 = (1.0 + 1.0 / (1_u32 << 20) as f64) / (1_u32 << 24) as f64;
/// More than the roundoff of `f64`, for the folds.
pub(crate) const WIDE: f64 = 4.0 * f64::EPSILON;
/// Half of the smallest subnormal `f32`.
pub(crate) const UNDERFLOW: f64 = f32::MIN_POSITIVE as f64 * U;

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
    pub(crate) fn most(self) -> f64 {
        self.value.abs() + self.bound
    }

    /// Computed in `f64`.
    pub(crate) fn wide(self) -> Self {
        Real { bound: self.bound + WIDE * self.most(), ..self }
    }

    /// Rounded to `f32`.
    pub(crate) fn rounded(self) -> Self {
        Real { bound: self.bound + U * self.most() + UNDERFLOW, ..self }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Real { value: self.value + other.value, bound: self.bound + other.bound }
    }

    pub(crate) fn times(self, other: Self) -> Self {
        let bound = self.most() * other.bound + self.bound * other.value.abs();
        Real { value: self.value * other.value, bound }
    }

    /// `self · scale + shift`, with two roundings or one.
    pub(crate) fn affine(self, [scale, shift]: [Self; 2]) -> Self {
        self.times(scale).rounded().plus(shift).rounded()
    }

    pub(crate) fn activated(self, f: Activation, slope: f64, error: f64) -> Self {
        Real { value: f.apply(self.value), bound: slope * self.bound + error }
    }

    pub(crate) fn relu(self) -> Self {
        self.activated(Activation::Relu, 1.0, 0.0)
    }

    pub(crate) fn sigmoid(self) -> Self {
        self.activated(Activation::Sigmoid, 0.25, 1.2e-7)
    }

    pub(crate) fn gelu(self) -> Self {
        self.activated(Activation::GeluErf, 1.13, 2.87e-7)
    }
}

/// `Σ w·x + start` with roundings of relative size `u`.
pub(crate) fn dot(terms: impl Iterator<Item = (Real, Real)>, start: Real, u: f64) -> Real {
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
pub(crate) fn affine(norm: &BatchNorm<f64>) -> Vec<[Real; 2]> {
    let channel = |c: usize| {
        let scale = Real::exact(norm.weight[c] / (norm.running_var[c] + BATCH_NORM_EPS).sqrt());
        let scale = scale.wide();
        let mean = Real::exact(-norm.running_mean[c]);
        [scale, mean.times(scale).wide().plus(Real::exact(norm.bias[c])).wide()]
    };
    (0..norm.weight.len()).map(channel).collect()
}

pub(crate) fn rounded(affine: &[[Real; 2]]) -> Vec<[Real; 2]> {
    affine.iter().map(|pair| pair.map(Real::rounded)).collect()
}

pub(crate) fn exact(values: &[f64]) -> Vec<Real> {
    values.iter().copied().map(Real::exact).collect()
}

/// A matrix and a bias.
pub(crate) struct Linear {
    pub(crate) weight: Vec<Real>,
    pub(crate) bias: Vec<Real>,
}

impl Linear {
    pub(crate) fn new(weight: &[f64], bias: Option<&[f64]>, rows: usize) -> Self {
        let bias = bias.map_or_else(|| vec![Real::exact(0.0); rows], exact);
        Linear { weight: exact(weight), bias }
    }

    pub(crate) fn of(layer: &Layer<f64>) -> Self {
        Linear::new(&layer.weight, Some(&layer.bias), layer.bias.len())
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = (&[Real], Real)> {
        let cols = self.weight.len() / self.bias.len();
        self.weight.chunks(cols).zip(self.bias.iter().copied())
    }

    /// With affine maps in front and behind, in `f64`.
    pub(crate) fn folded(&self, before: Option<&[[Real; 2]]>, after: Option<&[[Real; 2]]>) -> Self {
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
    pub(crate) fn rounded(self) -> Self {
        let all = |values: Vec<Real>| values.into_iter().map(Real::rounded).collect();
        Linear { weight: all(self.weight), bias: all(self.bias) }
    }

    pub(crate) fn apply<'a>(&self, x: impl Iterator<Item = &'a Real> + Clone) -> Vec<Real> {
        self.rows().map(|(row, b)| dot(row.iter().copied().zip(x.clone().copied()), b, U)).collect()
    }
}

/// A convolution and its norm.
pub(crate) fn conv_bn(conv: &ConvBn<f64>) -> Linear {
    Linear::new(&conv.weight, None, conv.conv.out_channels).folded(None, Some(&affine(&conv.bn)))
}

/// The mean of numbers, computed as `Moments` does.
pub(crate) fn mean(x: &[Real]) -> Real {
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

pub(crate) fn places([height, width]: [usize; 2]) -> impl Iterator<Item = (usize, usize)> {
    (0..height).flat_map(move |row| (0..width).map(move |col| (row, col)))
}

/// Positions in a kernel, centred on a place of the map, with the places they fall on.
pub(crate) fn taps(
    size: usize,
    [height, width]: [usize; 2],
    (row, col): (usize, usize),
) -> impl Iterator<Item = (usize, usize)> {
    places([size, size]).filter_map(move |(y, x)| {
        let (h, w) = ((row + y).checked_sub(size / 2)?, (col + x).checked_sub(size / 2)?);
        (h < height && w < width).then_some((y * size + x, h * width + w))
    })
}
