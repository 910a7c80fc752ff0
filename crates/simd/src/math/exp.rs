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
        let r = n.neg_mul_add(splat(LN_2_HIGH), x);
        let r = n.neg_mul_add(splat(LN_2_LOW), r);
        let y = polynomial(s, COEFFICIENTS, r).mul_add(r * r, r) + splat(1.0);
        // 2ⁿ may lie outside of the normal numbers, the two halves of it do not.
        let half = n.mul_add(splat(0.5), round) - round;
        y * pow2(s, half) * pow2(s, n - half)
    }
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
