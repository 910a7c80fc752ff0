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
    bounds: Bounds { absolute: 2.5e-7, relative: 3e-6, ulps: ANY, from: -5.0 },
};

pub(crate) const SIGMOID: Function = Function {
    name: "sigmoid",
    map: |isa, x| math::map(isa, Sigmoid, x),
    exact: |x| 1.0 / (1.0 + libm::exp(-x)),
    bounds: Bounds { absolute: 1e-7, relative: 2e-7, ulps: ANY, from: -87.0 },
};

pub(crate) const SILU: Function = Function {
    name: "silu",
    map: |isa, x| math::map(isa, Silu, x),
    exact: |x| linear_unit(x, x),
    bounds: Bounds { absolute: 1e-6, relative: 2.5e-7, ulps: ANY, from: -87.0 },
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
    pub(crate) isa: Isa,
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
        raise(&mut self.absolute, error, x);
        if x >= from {
            if exact.abs() >= f64::from(f32::MIN_POSITIVE) {
                raise(&mut self.relative, error / exact.abs(), x);
            }
            raise(&mut self.ulps, error / ulp(exact), x);
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

fn raise(worst: &mut (f64, f32), error: f64, x: f32) {
    if error > worst.0 {
        *worst = (error, x);
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
/// figures.
///
/// # Panics
/// If NaN is lost or arises, or if two fused instruction sets differ in one bit.
pub(crate) fn measure(function: &Function, bits: impl Iterator<Item = u32>) -> Vec<Worst> {
    const BLOCK: usize = 1 << 14;
    let mut worst: Vec<_> = env::isas_under_test().into_iter().map(Worst::none_yet).collect();
    let mut bits = bits.map(f32::from_bits).peekable();
    let (mut y, mut fused) = (Vec::with_capacity(BLOCK), Vec::with_capacity(BLOCK));
    while bits.peek().is_some() {
        let x: Vec<f32> = bits.by_ref().take(BLOCK).collect();
        let exact: Vec<f64> = x.iter().map(|&x| (function.exact)(f64::from(x))).collect();
        fused.clear();
        for worst in &mut worst {
            y.clone_from(&x);
            (function.map)(worst.isa, &mut y);
            for ((&x, &y), &exact) in x.iter().zip(&y).zip(&exact) {
                if x.is_nan() {
                    assert!(y.is_nan(), "{}: {} of NaN is {y:e}", worst.isa, function.name);
                } else {
                    assert!(!y.is_nan(), "{}: {} of {x:e} is NaN", worst.isa, function.name);
                    worst.take(x, y, exact, function.bounds.from);
                }
            }
            if worst.isa.is_fused() {
                if fused.is_empty() {
                    fused.clone_from(&y);
                }
                for ((&x, a), b) in x.iter().zip(&fused).zip(&y) {
                    let same = a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
                    assert!(same, "{}: {} of {x:e} is {b:e}, not {a:e}", worst.isa, function.name);
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
