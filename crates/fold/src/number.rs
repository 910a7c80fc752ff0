//! From the caller's numbers to `f64`, and once back.

use num_traits::Float;

/// The same number in `f64`.
#[inline(always)]
pub(crate) fn wide<T: Float>(x: T) -> f64 {
    x.to_f64().unwrap_or(f64::NAN)
}

/// The nearest number.
#[inline(always)]
pub(crate) fn round<T: Float>(x: f64) -> T {
    T::from(x).unwrap_or_else(T::nan)
}

/// All of them in `f64`.
pub(crate) fn widen<T: Float>(values: &[T]) -> Vec<f64> {
    values.iter().map(|&x| wide(x)).collect()
}
