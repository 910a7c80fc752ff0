//! Counting without overflow.

/// The product, at most `u64::MAX`.
pub(crate) fn product<const N: usize>(sizes: [usize; N]) -> u64 {
    product_of(&sizes)
}

/// The product, at most `u64::MAX`.
pub(crate) fn product_of(sizes: &[usize]) -> u64 {
    sizes.iter().fold(1, |product: u64, &size| product.saturating_mul(size as u64))
}

/// The sum, at most `u64::MAX`.
pub(crate) fn sum<const N: usize>(terms: [u64; N]) -> u64 {
    terms.into_iter().fold(0, u64::saturating_add)
}
