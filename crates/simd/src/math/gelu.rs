use super::sigmoid::linear_unit;
use super::{Unary, polynomial};
use crate::{Element, Simd, Vector};

/// x·Φ(x) = ½·x·(1 + erf(x/√2)), the Gaussian error linear unit (Hendrycks and Gimpel, 2016).
///
/// Maximum absolute error 2.87e-7, at x ≈ 4.0 where half a unit in the last place is 2.4e-7; relative
/// error at most 2.4e-6 for x ≥ −2, more below. +∞ gives +∞; −∞ and every x ≤ −8 give −4.98e-15; NaN
/// stays NaN; −0 gives +0.
///
/// Method: gelu(x) = max(x, 0) − a·2^P(a) with a = min(|x|, 8), where P is a polynomial of degree 7
/// for log₂(½·erfc(a/√2)), which is smooth, and 2^P by rounding to an integer and a polynomial of
/// degree 5 for the rest. No division, table or branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeluErf;

impl Unary<f32> for GeluErf {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        let splat = |c| S::F32::splat(s, c);
        // The order of operands lets NaN through, and makes −0 and +0 one.
        let a = splat(8.0).min(x.abs());
        let p = polynomial(s, LOG2_TAIL, a);
        let n = p + splat(f32::ROUND);
        let r = p - (n - splat(f32::ROUND));
        // P ≥ −51, so the power of two stays a normal number.
        let tail = polynomial(s, EXP2, r).mul_pow2(n);
        a.neg_mul_add(tail, x.max(splat(0.0)))
    }
}

/// log₂(½·erfc(a/√2)) on 0 ≤ a ≤ 8.
#[expect(clippy::excessive_precision, reason = "rounding the digits changes results")]
const LOG2_TAIL: [f32; 8] = [
    -1.0,
    -1.15117097,
    -0.458782375,
    -0.0534967035,
    0.00820511766,
    -0.000836445484,
    4.83411823e-05,
    -1.15474836e-06,
];

/// 2ʳ on |r| ≤ ½.
#[expect(clippy::excessive_precision, reason = "rounding the digits changes results")]
const EXP2: [f32; 6] =
    [1.00000012, 0.693146944, 0.240221202, 0.0555071309, 0.00967554096, 0.00132764725];

/// ½·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))), the approximation of [`GeluErf`] with which the
/// official Mixer and ViT checkpoints were trained (up to 4.7e-4 away from it).
///
/// Maximum absolute error 2.4e-7, half a unit in the last place at x ≈ 4; relative error at most
/// 2.4e-6 for x ≥ −5, more below. +∞ gives +∞, −∞ gives 0, NaN stays NaN, −0 gives +0.
///
/// Method: ½·(1 + tanh u) = sigmoid(2u), and from there as for [`Silu`](super::Silu).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeluTanh;

impl Unary<f32> for GeluTanh {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        let splat = |c| S::F32::splat(s, c);
        // Beyond 12 the tail is 0 to f32; the bound keeps ∞ · 0 away. NaN passes.
        let a = splat(12.0).min(x.abs());
        let slope =
            (a * a).mul_add(splat(-2.0 * SQRT_2_OVER_PI * 0.044_715), splat(-2.0 * SQRT_2_OVER_PI));
        linear_unit(s, x, a, a * slope)
    }
}

const SQRT_2_OVER_PI: f32 = 0.797_884_6;
