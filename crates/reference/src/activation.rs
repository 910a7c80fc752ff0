//! Activation functions.
//!
//! NaN gives NaN, and the infinities give the limits.

use crate::Real;

/// A function applied to each element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x`
    Identity,
    /// [`relu`]
    Relu,
    /// [`gelu_erf`]
    GeluErf,
    /// [`gelu_tanh`]
    GeluTanh,
    /// [`sigmoid`]
    Sigmoid,
    /// [`silu`]
    Silu,
}

impl Activation {
    /// The function at `x`.
    pub fn apply<T: Real>(self, x: T) -> T {
        match self {
            Self::Identity => x,
            Self::Relu => relu(x),
            Self::GeluErf => gelu_erf(x),
            Self::GeluTanh => gelu_tanh(x),
            Self::Sigmoid => sigmoid(x),
            Self::Silu => silu(x),
        }
    }
}

/// `max(x, 0)`; both zeros give `+0`.
pub fn relu<T: Real>(x: T) -> T {
    if x <= T::zero() { T::zero() } else { x }
}

/// The exact GELU `x·Φ(x) = ½x·(1 + erf(x/√2))` of Hendrycks and Gimpel, arXiv 1606.08415;
/// PyTorch's default.
///
/// The normal distribution function is taken as `Φ(x) = ½ erfc(−x/√2)`, which does not cancel in
/// the lower tail: the relative error is at most about `(x² + 4)·eps`, as long as `Φ(x)` is a
/// normal number.
pub fn gelu_erf<T: Real>(x: T) -> T {
    let distribution = T::of(0.5) * (-x * T::FRAC_1_SQRT_2()).erfc();
    gated(x, distribution)
}

/// The tanh form of GELU, `½x·(1 + tanh(√(2/π)·(x + 0.044715x³)))`; the default of Flax.
///
/// Evaluated as `x·σ(2√(2/π)·(x + 0.044715x³))`, which is the same function because
/// `½(1 + tanh(v)) = σ(2v)`, and does not cancel where tanh is near −1.
pub fn gelu_tanh<T: Real>(x: T) -> T {
    let argument = T::of(2.0) * (T::FRAC_2_PI()).sqrt() * (x + T::of(0.044715) * x * x * x);
    gated(x, sigmoid(argument))
}

/// The logistic function `σ(x) = 1 / (1 + exp(−x))`.
///
/// For negative `x` as `exp(x) / (1 + exp(x))`, so that the exponential never overflows.
pub fn sigmoid<T: Real>(x: T) -> T {
    let decay = (-x.abs()).exp();
    let numerator = if x < T::zero() { decay } else { T::one() };
    numerator / (T::one() + decay)
}

/// SiLU, also called swish: `x·σ(x)`; to a few `eps`, as long as `σ(x)` is a normal number.
pub fn silu<T: Real>(x: T) -> T {
    gated(x, sigmoid(x))
}

/// `x·gate`, for a gate that vanishes faster than `1/x` towards −∞.
fn gated<T: Real>(x: T, gate: T) -> T {
    if x == T::neg_infinity() { T::neg_zero() } else { x * gate }
}
