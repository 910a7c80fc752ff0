//! The lane-wise functions, their exact values and stated bounds, and the measurement of their
//! errors.

use std::fmt;

use mixfold_simd::math::{self, Exp, GeluErf, GeluTanh, Relu, Sigmoid, Silu};
use mixfold_simd::{Isa, env};

/// A function under test.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    /// Applies it to every element.
    pub(crate) map: fn(Isa, &mut [f32]),
    /// Its value, to `f64` accuracy, for every `f32` but NaN.
    pub(crate) exact: fn(f64) -> f64,
    /// What its documentation promises.
    pub(crate) bounds: Bounds,
}

impl Function {
    /// Its values for all of `x`.
    pub(crate) fn of(&self, isa: Isa, x: &[f32]) -> Vec<f32> {
        let mut y = x.to_vec();
        (self.map)(isa, &mut y);
        y
    }
}

/// Bounds of the error |computed − exact|.
pub(crate) struct Bounds {
    /// For every input.
    pub(crate) absolute: f64,
    /// Divided by |exact|, for inputs of at least `from` with a normal result.
    pub(crate) relative: f64,
    /// In units in the last place of the result, for inputs of at least `from`.
    pub(crate) ulps: f64,
    pub(crate) from: f32,
}

const ANY: f64 = f64::INFINITY;
const EVERYWHERE: f32 = f32::NEG_INFINITY;

pub(crate) const EXP: Function = Function {
    name: "exp",
    map: |isa, x| math::map(isa, Exp, x),
    exact: libm::exp,
    bounds: Bounds { absolute: ANY, relative: 8.5e-8, ulps: 1.02, from: EVERYWHERE },
};

pub(crate) const GELU_ERF: Function = Function {
    name: "gelu_erf",
    map: |isa, x| math::map(isa, GeluErf, x),
    exact: |x| if x == f64::NEG_INFINITY { 0.0 } else { 0.5 * x * libm::erfc(-x / SQRT_2) },
    bounds: Bounds { absolute: 2.87e-7, relative: 2.4e-6, ulps: ANY, from: -2.0 },
};

pub(crate) const GELU_TANH: Function = Function {
    name: "gelu_tanh",
    map: |isa, x| math::map(isa, GeluTanh, x),
    exact: |x| linear_unit(x, 2.0 * libm::sqrt(2.0 / PI) * (x + 0.044_715 * x * x * x)),
    bounds: Bounds { absolute: 2.4e-7, relative: 2.4e-6, ulps: ANY, from: -5.0 },
};

pub(crate) const SIGMOID: Function = Function {
    name: "sigmoid",
    map: |isa, x| math::map(isa, Sigmoid, x),
    exact: |x| 1.0 / (1.0 + libm::exp(-x)),
    bounds: Bounds { absolute: 9e-8, relative: 1.5e-7, ulps: ANY, from: -87.0 },
};

pub(crate) const SILU: Function = Function {
    name: "silu",
    map: |isa, x| math::map(isa, Silu, x),
    exact: |x| linear_unit(x, x),
    bounds: Bounds { absolute: 9.6e-7, relative: 2.3e-7, ulps: ANY, from: -87.0 },
};

pub(crate) const RELU: Function = Function {
    name: "relu",
    map: |isa, x| math::map(isa, Relu, x),
    exact: |x| if x > 0.0 { x } else { 0.0 },
    bounds: Bounds { absolute: 0.0, relative: 0.0, ulps: 0.0, from: EVERYWHERE },
};

use std::f64::consts::{PI, SQRT_2};

/// x · sigmoid(t), and its limit at −∞.
fn linear_unit(x: f64, t: f64) -> f64 {
    if x == f64::NEG_INFINITY { 0.0 } else { x / (1.0 + libm::exp(-t)) }
}

/// The largest errors found on one instruction set, each with its input.
pub(crate) struct Worst {
    isa: Isa,
    absolute: (f64, f32),
    relative: (f64, f32),
    ulps: (f64, f32),
}

impl Worst {
    fn none_yet(isa: Isa) -> Worst {
        Worst { isa, absolute: (0.0, 0.0), relative: (0.0, 0.0), ulps: (0.0, 0.0) }
    }

    fn take(&mut self, x: f32, computed: f32, exact: f64, from: f32) {
        let error = (rounded_range(f64::from(computed)) - rounded_range(exact)).abs();
        raise(&mut self.absolute, error, 1.0, x);
        if x >= from {
            if exact.abs() >= f64::from(f32::MIN_POSITIVE) {
                raise(&mut self.relative, error, exact.abs(), x);
            }
            raise(&mut self.ulps, error, ulp(exact), x);
        }
    }
}

impl fmt::Display for Worst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:8}", self.isa.name())?;
        let figures =
            [("absolute", self.absolute), ("relative", self.relative), ("ulps", self.ulps)];
        for (name, (error, x)) in figures {
            write!(f, "  {name} {error:.4e} at {x:e}")?;
        }
        Ok(())
    }
}

/// Takes note of `error / unit` at `x` if it is the largest. Divides only then, for speed.
fn raise(worst: &mut (f64, f32), error: f64, unit: f64, x: f32) {
    if error > worst.0 * unit {
        *worst = (error / unit, x);
    }
}

/// Puts infinity at 2¹²⁸, the number that follows `f32::MAX`.
fn rounded_range(x: f64) -> f64 {
    const END: f64 = 2.0 * (1_u128 << 127) as f64;
    x.clamp(-END, END)
}

/// The distance of the `f32` values around `x`.
fn ulp(x: f64) -> f64 {
    const EXPONENT: u64 = f64::INFINITY.to_bits();
    let normal = x.abs().clamp(f64::from(f32::MIN_POSITIVE), f64::from(f32::MAX));
    f64::from_bits(normal.to_bits() & EXPONENT) * f64::from(f32::EPSILON)
}

/// Measures `function` on all instruction sets for the inputs with these bits, and prints the
/// figures. Those of the first fused one stand for all of them, which have the same bits.
///
/// # Panics
/// If NaN is lost or arises, or if two fused instruction sets differ in one bit.
fn measure(function: &Function, bits: impl Iterator<Item = u32>) -> Vec<Worst> {
    const BLOCK: usize = 1 << 14;
    let isas = env::isas_under_test();
    let first_fused = isas.iter().copied().find(|isa| isa.is_fused());
    let (alike, measured): (Vec<Isa>, Vec<Isa>) =
        isas.into_iter().partition(|&isa| isa.is_fused() && Some(isa) != first_fused);
    let mut worst: Vec<_> = measured.into_iter().map(Worst::none_yet).collect();
    let mut bits = bits.map(f32::from_bits).peekable();
    while bits.peek().is_some() {
        let x: Vec<f32> = bits.by_ref().take(BLOCK).collect();
        let exact: Vec<f64> = x.iter().map(|&x| (function.exact)(f64::from(x))).collect();
        for worst in &mut worst {
            let y = function.of(worst.isa, &x);
            for ((&x, &y), &exact) in x.iter().zip(&y).zip(&exact) {
                assert_eq!(x.is_nan(), y.is_nan(), "{}: {}({x:e})", worst.isa, function.name);
                if !x.is_nan() {
                    worst.take(x, y, exact, function.bounds.from);
                }
            }
            if Some(worst.isa) == first_fused {
                for &isa in &alike {
                    for ((&x, y), z) in x.iter().zip(&y).zip(function.of(isa, &x)) {
                        let same = y.to_bits() == z.to_bits() || x.is_nan();
                        assert!(same, "{isa}: {}({x:e}) is {z:e}, not {y:e}", function.name);
                    }
                }
            }
        }
    }
    for worst in &worst {
        println!("{:9} {worst}", function.name);
    }
    worst
}

/// Measures `function` for the inputs with these bits and compares with its bounds.
pub(crate) fn check(function: &Function, bits: impl Iterator<Item = u32>) {
    let bounds = &function.bounds;
    for worst in measure(function, bits) {
        assert!(worst.absolute.0 <= bounds.absolute, "{}: {worst}", function.name);
        assert!(worst.relative.0 <= bounds.relative, "{}: {worst}", function.name);
        assert!(worst.ulps.0 <= bounds.ulps, "{}: {worst}", function.name);
    }
}
