use super::{Unary, polynomial};
use crate::{Element, Simd, Vector};

/// eˣ.
///
/// Maximum error 1.02 units in the last place; relative error at most 8.5e-8 where the result is a
/// normal number. e^−∞ = 0, e^+∞ = +∞, NaN stays NaN.
///
/// Method: x = n·ln 2 + r with |r| ≤ ln 2 / 2 and ln 2 in two parts (Cody and Waite), a polynomial
/// of degree 7 in r with the coefficients of Cephes' `expf`, and two multiplications by powers of
/// two, so that results beyond the normal numbers round, underflow and overflow as they should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exp;

impl Unary<f32> for Exp {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        let splat = |c| S::F32::splat(s, c);
        let round = splat(f32::ROUND);
        // Beyond these the result is 0 or infinite. NaN passes.
        let x = splat(90.0).min(splat(-105.0).max(x));
        let n = x.mul_add(splat(core::f32::consts::LOG2_E), round) - round;
        let y = minus_one(s, x, n) + splat(1.0);
        // 2ⁿ may lie outside of the normal numbers, the two halves of it do not.
        let half = n.mul_add(splat(0.5), round) - round;
        y * pow2(s, half) * pow2(s, n - half)
    }
}

/// eˣ for x ≤ 0, in two thirds of the operations of [`Exp`]: a softmax needs no other x.
///
/// The bits are those of [`Exp`] for every x ≤ 43, unspecified beyond. NaN stays NaN.
///
/// Method: as [`Exp`]. The result passes through a number 2⁶⁴ times as large, the power of which is
/// normal down to where the result is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpNonPositive;

impl Unary<f32> for ExpNonPositive {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        let splat = |c| S::F32::splat(s, c);
        const RAISED: f32 = f32::ROUND + 64.0;
        let x = splat(-105.0).max(x);
        let t = x.mul_add(splat(core::f32::consts::LOG2_E), splat(RAISED));
        // (eʳ) · 2⁻⁶⁴, then · 2ⁿ⁺⁶⁴: rounded once where the result is no normal number.
        let y = minus_one(s, x, t - splat(RAISED)).mul_add(splat(TINY), splat(TINY));
        y * splat(1.0).mul_pow2(t)
    }
}

/// 2⁻⁶⁴
const TINY: f32 = 1.0 / (1_u128 << 64) as f32;

/// eʳ − 1 with r = x − n·ln 2.
#[inline(always)]
fn minus_one<S: Simd>(s: S, x: S::F32, n: S::F32) -> S::F32 {
    let r = n.neg_mul_add(S::F32::splat(s, LN_2_HIGH), x);
    let r = n.neg_mul_add(S::F32::splat(s, LN_2_LOW), r);
    polynomial(s, COEFFICIENTS, r).mul_add(r * r, r)
}

/// 2ⁿ for integers −126 ≤ n ≤ 127.
#[inline(always)]
fn pow2<S: Simd>(s: S, n: S::F32) -> S::F32 {
    S::F32::splat(s, 1.0).mul_pow2(n + S::F32::splat(s, f32::ROUND))
}

// The high part has 9 significant bits, so that n·LN_2_HIGH is exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// (eʳ − 1 − r) / r²
#[expect(clippy::excessive_precision, reason = "the published digits")]
const COEFFICIENTS: [f32; 6] = [
    5.0000001201e-1,
    1.6666665459e-1,
    4.1665795894e-2,
    8.3334519073e-3,
    1.3981999507e-3,
    1.9875691500e-4,
];
