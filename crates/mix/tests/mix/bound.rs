//! How far a result in `f32` may be from the reference in `f64`: a running error analysis.
//!
//! A [`Real`] is an exact number with a bound of the distance at which the kernel's number is from
//! it. Every operation of the kernel carries the bounds of its operands on and adds its own:
//!
//! * one rounding of z adds u·|z|, where |z| is at most |value| + bound, and half a smallest
//!   subnormal number;
//! * a dot product of k computed values v with exact weights w and a bias carries Σ|w|·bound(v), and
//!   adds γ of k + 1 terms times Σ|w|·(|v| + bound(v)) + |b| (`dot_bound` of the reference, which
//!   holds for fused and unfused sums, whole or in parts);
//! * an activation f carries L·bound, with L the largest slope of f, and adds the absolute error that
//!   its documentation states;
//! * mean and variance are as far off as the documentation of `Moments` states; 1/√(σ² + eps) falls
//!   with σ², so that it lies between its values at the ends of the variance, and is rounded once;
//!   what follows are single operations.
//!
//! [`U`] is 2⁻²⁴ and 2⁻⁴⁴ more, for terms of second order and for the roundings of the reference,
//! each of which is 2⁻⁵³. A value that is not finite is expected as it is.

use mixfold_gemm::Activation;
use mixfold_reference::axis::{Axes, Linear, linear};
use mixfold_reference::gemm::{Mat, dot_bound};
use mixfold_reference::norm::{Along, affine, layer_norm};

pub(crate) const U: f64 = (1.0 + 1.0 / (1_u32 << 20) as f64) / (1_u32 << 24) as f64;
/// Half of the smallest subnormal `f32`.
pub(crate) const UNDERFLOW: f64 = f32::MIN_POSITIVE as f64 * U;

/// A number, and how far from it the computed one may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Real {
    pub(crate) value: f64,
    pub(crate) bound: f64,
}

impl Real {
    pub(crate) fn new(value: f64, bound: f64) -> Self {
        Real { value, bound: if value.is_finite() { bound } else { 0.0 } }
    }

    pub(crate) fn exact(x: f32) -> Self {
        Real::new(x.into(), 0.0)
    }

    /// The largest magnitude of the computed number.
    fn most(self) -> f64 {
        self.value.abs() + self.bound
    }

    fn rounded(self) -> Self {
        Real::new(self.value, self.bound + U * self.most() + UNDERFLOW)
    }

    pub(crate) fn add(self, other: Self) -> Self {
        Real::new(self.value + other.value, self.bound + other.bound).rounded()
    }

    pub(crate) fn sub(self, other: Self) -> Self {
        self.add(Real { value: -other.value, ..other })
    }

    pub(crate) fn mul(self, other: Self) -> Self {
        let bound = self.most() * other.most() - self.value.abs() * other.value.abs();
        Real::new(self.value * other.value, bound).rounded()
    }

    /// Whether `y` is a number that may be computed.
    pub(crate) fn allows(self, y: f32) -> bool {
        let y = f64::from(y);
        if self.value.is_finite() {
            assert!(self.bound.is_finite(), "no bound: {self:?}");
            (y - self.value).abs() <= self.bound
        } else {
            y == self.value || (y.is_nan() && self.value.is_nan())
        }
    }
}

pub(crate) fn exact(x: &[f32]) -> Vec<Real> {
    x.iter().copied().map(Real::exact).collect()
}

pub(crate) fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().copied().map(f64::from).collect()
}

/// The reference's values with bounds computed apart.
fn joined(values: Vec<f64>, bounds: impl IntoIterator<Item = f64>) -> Vec<Real> {
    values.into_iter().zip(bounds).map(|(value, bound)| Real::new(value, bound)).collect()
}

/// A matrix `[out, axis]` and a bias along the axis.
pub(crate) fn matrix(x: &[Real], axes: Axes, weight: &[f32], bias: &[f32]) -> Vec<Real> {
    let (weight, bias) = (wide(weight), wide(bias));
    let [abs_weight, abs_bias] =
        [&weight, &bias].map(|x| x.iter().map(|x| x.abs()).collect::<Vec<_>>());
    let out = bias.len();
    let apply = |weight: &[f64], bias: Option<&[f64]>, part: fn(&Real) -> f64| {
        let x: Vec<f64> = x.iter().map(part).collect();
        linear(&x, axes, &Linear { weight: Mat::row_major(weight, out, axes.axis), bias })
    };
    let values = apply(&weight, Some(&bias), |x| x.value);
    let sizes = apply(&abs_weight, Some(&abs_bias), |x| x.most());
    let carried = apply(&abs_weight, None, |x| x.bound);
    let terms = axes.axis + 1;
    let own = |size| dot_bound(terms, size, 2.0 * U) + terms as f64 * UNDERFLOW;
    joined(values, sizes.into_iter().zip(carried).map(|(size, carried)| carried + own(size)))
}

pub(crate) fn activate(x: &[Real], f: Activation) -> Vec<Real> {
    use mixfold_reference::activation::Activation as Reference;
    // The function, its largest slope, its absolute and its relative error.
    let (f, slope, absolute, relative) = match f {
        Activation::Identity => (Reference::Identity, 1.0, 0.0, 0.0),
        Activation::Relu => (Reference::Relu, 1.0, 0.0, 0.0),
        Activation::GeluErf => (Reference::GeluErf, 1.13, 2.87e-7, 0.0),
        Activation::GeluTanh => (Reference::GeluTanh, 1.13, 6e-7, 0.0),
        Activation::Sigmoid => (Reference::Sigmoid, 0.25, 1.2e-7, 0.0),
        Activation::Silu => (Reference::Silu, 1.1, 5e-7, 2e-7),
        other => panic!("no reference for {other:?}"),
    };
    let apply = |x: &Real| {
        let y = Real::new(f.apply(x.value), slope * x.bound);
        Real::new(y.value, y.bound + absolute + relative * y.most())
    };
    x.iter().map(apply).collect()
}

pub(crate) fn add(x: &[Real], y: &[Real]) -> Vec<Real> {
    x.iter().zip(y).map(|(x, y)| x.add(*y)).collect()
}

/// `axes` with the dimension that a norm goes along as the axis.
fn along_axis(axes: Axes, along: Along) -> Axes {
    match along {
        Along::Axis => axes,
        Along::Inner => axes.inner_as_axis(),
    }
}

/// A layer norm.
pub(crate) fn normalised(
    x: &[f32],
    axes: Axes,
    along: Along,
    (gamma, beta): (&[f32], &[f32]),
    eps: f32,
) -> Vec<Real> {
    let values = layer_norm(&wide(x), axes, along, &wide(gamma), &wide(beta), eps.into());
    let axes = along_axis(axes, along);
    let mut bounds = vec![0.0; values.len()];
    for o in 0..axes.outer {
        for i in 0..axes.inner {
            let vector: Vec<f32> = (0..axes.axis).map(|a| x[axes.index(o, a, i)]).collect();
            let (mean, rstd) = statistics(&vector, eps);
            for (a, &x) in vector.iter().enumerate() {
                let y = Real::exact(x).sub(mean).mul(rstd);
                let y = y.mul(Real::exact(gamma[a])).add(Real::exact(beta[a]));
                bounds[axes.index(o, a, i)] = y.bound;
            }
        }
    }
    joined(values, bounds)
}

/// Mean and 1/√(σ² + eps).
pub(crate) fn statistics(x: &[f32], eps: f32) -> (Real, Real) {
    let average =
        |f: &dyn Fn(f64) -> f64| x.iter().map(|&x| f(x.into())).sum::<f64>() / x.len() as f64;
    let mean = average(&|x| x);
    let (spread, size) = (average(&|x| (x - mean).abs()), average(&f64::abs));
    let variance = average(&|x| (x - mean) * (x - mean));
    // Additions of a partial sum. The second pass goes about a first mean, which is `off` at most.
    let depth = x.len().div_ceil(16) as f64;
    let off = (depth + 1.0) * U * size;
    let of_mean = U * mean.abs() + (depth + 2.0) * U * (spread + off) + UNDERFLOW;
    let of_variance =
        (depth + 5.0) * U * (variance + 3.0 * off * off) + f64::from(f32::MIN_POSITIVE);

    let rstd = |variance: f64| 1.0 / (variance.max(0.0) + f64::from(eps)).sqrt();
    let (least, most) = (rstd(variance + of_variance), rstd(variance - of_variance));
    let middle = rstd(variance);
    let of_rstd = (most - middle).max(middle - least);
    (Real::new(mean, of_mean), Real::new(middle, of_rstd).rounded())
}

/// γ and β without statistics.
pub(crate) fn scaled(
    x: &[f32],
    axes: Axes,
    along: Along,
    gamma: &[f32],
    beta: &[f32],
) -> Vec<Real> {
    let values = affine(&wide(x), axes, along, &wide(gamma), &wide(beta));
    let axes = along_axis(axes, along);
    let bound = |(i, &x): (usize, &f32)| {
        let a = i / axes.inner % axes.axis;
        Real::exact(x).mul(Real::exact(gamma[a])).add(Real::exact(beta[a])).bound
    };
    joined(values, x.iter().enumerate().map(bound))
}
