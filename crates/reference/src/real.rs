//! The number type.

use std::fmt::Debug;

use num_traits::{Float, FloatConst};

/// `f32` or `f64`: [`Float`] with the complementary error function and rounding from `f64`.
pub trait Real: Float + FloatConst + Debug {
    /// The nearest value of this type.
    fn of(value: f64) -> Self;

    /// `erfc(x) = 1 − erf(x) = 2/√π · ∫ₓ^∞ exp(−t²) dt`, within a few ulp also where it is tiny.
    fn erfc(self) -> Self;
}

impl Real for f32 {
    fn of(value: f64) -> Self {
        value as f32
    }

    fn erfc(self) -> Self {
        libm::erfcf(self)
    }
}

impl Real for f64 {
    fn of(value: f64) -> Self {
        value
    }

    fn erfc(self) -> Self {
        libm::erfc(self)
    }
}
