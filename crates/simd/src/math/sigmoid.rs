use super::{Exp, Unary};
use crate::{Simd, Vector};

/// 1 / (1 + e⁻ˣ).
///
/// Maximum absolute error 9e-8; relative error at most 1.5e-7 for x ≥ −87, below which results are
/// no normal numbers or 0. −∞ gives 0, +∞ gives 1, NaN stays NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sigmoid;

impl Unary<f32> for Sigmoid {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        let one = S::F32::splat(s, 1.0);
        one / (one + Exp.apply(s, S::F32::splat(s, 0.0) - x))
    }
}

/// x / (1 + e⁻ˣ), the sigmoid linear unit, also called swish (Ramachandran, Zoph and Le, 2017).
///
/// Maximum absolute error 9.6e-7, half a unit in the last place at x ≈ 16.7; relative error at most
/// 2.3e-7 for x ≥ −87. −∞ gives 0, +∞ gives +∞, NaN stays NaN, −0 gives +0.
///
/// Method: x·sigmoid(x) = max(x, 0) − a·e⁻ᵃ / (1 + e⁻ᵃ) with a = |x|, so that large x pass
/// unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silu;

impl Unary<f32> for Silu {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        // Beyond 128 the tail is 0 to f32; the bound keeps ∞ · 0 away. NaN passes.
        let a = S::F32::splat(s, 128.0).min(x.abs());
        linear_unit(s, x, a, S::F32::splat(s, 0.0) - a)
    }
}

/// max(x, 0) − a·eᵗ / (1 + eᵗ) for a = |x| and t ≤ 0: x times the sigmoid of ∓t.
#[inline(always)]
pub(super) fn linear_unit<S: Simd>(s: S, x: S::F32, a: S::F32, t: S::F32) -> S::F32 {
    let e = Exp.apply(s, t);
    let tail = e / (S::F32::splat(s, 1.0) + e);
    a.neg_mul_add(tail, x.max(S::F32::splat(s, 0.0)))
}
