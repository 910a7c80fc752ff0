//! What the tests of the leaf operations need of `f32` and `f64`.

use core::ops::{Add, Div, Mul, Neg, Sub};

use mixfold_simd::Element;
use proptest::prelude::*;

/// A floating point type with scalar arithmetic to compare with.
pub(crate) trait Float:
    Element
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// 0, 1, 1 + ε, the bounds of the normal and of the subnormal numbers and infinity, of both
    /// signs, and NaN.
    fn special() -> Vec<Self>;
    /// A value from its bits or, for narrow types, from the lowest of them.
    fn from_bits(bits: u64) -> Self;
    fn bits(self) -> u64;
    fn from_i32(n: i32) -> Self;
    fn is_nan(self) -> bool;
    fn is_normal(self) -> bool;
    /// a·b + c, rounded once.
    fn fused(a: Self, b: Self, c: Self) -> Self;
    /// x · 2ⁿ
    fn scaled(x: Self, n: i32) -> Self;
    fn magnitude(self) -> Self;

    /// Values of all magnitudes, and values near 1, whose sums and products interact.
    fn any() -> BoxedStrategy<Self> {
        prop_oneof![
            any::<u64>().prop_map(Self::from_bits),
            proptest::sample::select(Self::special()),
            any::<(i32, u8)>().prop_map(|(n, exponent)| {
                Self::scaled(Self::from_i32(n), -28 - i32::from(exponent % 8))
            }),
        ]
        .boxed()
    }

    /// Equal bits, or both NaN.
    fn same(self, other: Self) -> bool {
        self.bits() == other.bits() || (self.is_nan() && other.is_nan())
    }
}

macro_rules! float {
    ($float:ident($bits:ident), fma $fma:path, scalbn $scalbn:path) => {
        impl Float for $float {
            fn special() -> Vec<Self> {
                let positive = [
                    0.0,
                    $float::from_bits(1),
                    $float::MIN_POSITIVE.next_down(),
                    $float::MIN_POSITIVE,
                    1.0,
                    1.0 + $float::EPSILON,
                    $float::MAX,
                    $float::INFINITY,
                ];
                positive.into_iter().flat_map(|x| [x, -x]).chain([$float::NAN]).collect()
            }
            fn from_bits(bits: u64) -> Self {
                $float::from_bits(bits as $bits)
            }
            fn bits(self) -> u64 {
                self.to_bits().into()
            }
            fn from_i32(n: i32) -> Self {
                n as $float
            }
            fn is_nan(self) -> bool {
                self.is_nan()
            }
            fn is_normal(self) -> bool {
                self.is_normal()
            }
            fn fused(a: Self, b: Self, c: Self) -> Self {
                $fma(a, b, c)
            }
            fn scaled(x: Self, n: i32) -> Self {
                $scalbn(x, n)
            }
            fn magnitude(self) -> Self {
                self.abs()
            }
        }
    };
}

float!(f32(u32), fma libm::fmaf, scalbn libm::scalbnf);
float!(f64(u64), fma libm::fma, scalbn libm::scalbn);
