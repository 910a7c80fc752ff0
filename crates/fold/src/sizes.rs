//! Sizes that agree, and memory for them.

use num_traits::Float;

use crate::FoldError;

pub(crate) fn same_length(
    what: &'static str,
    expected: usize,
    found: usize,
) -> Result<(), FoldError> {
    if expected == found { Ok(()) } else { Err(FoldError::Length { what, expected, found }) }
}

pub(crate) fn nonzero(what: &'static str, sizes: [usize; 2]) -> Result<(), FoldError> {
    if sizes.contains(&0) { Err(FoldError::Zero { what, sizes }) } else { Ok(()) }
}

/// The product of the sizes, if a slice of `f64` can have so many elements.
pub(crate) fn elements(what: &'static str, sizes: &[usize]) -> Result<usize, FoldError> {
    let product = sizes.iter().try_fold(1_usize, |n, &size| n.checked_mul(size));
    product
        .filter(|&n| n <= isize::MAX as usize / size_of::<f64>())
        .ok_or_else(|| FoldError::Overflow { what, sizes: sizes.to_vec() })
}

/// So many zeros. The system clears large memory where and when it is touched.
pub(crate) fn zeros<T: Float>(elements: usize) -> Result<Vec<T>, FoldError> {
    // `vec!` can ask for cleared memory but cannot be refused: find out first.
    let mut room = Vec::<T>::new();
    let bytes = elements.saturating_mul(size_of::<T>());
    room.try_reserve_exact(elements).map_err(|_| FoldError::Memory { bytes })?;
    drop(room);
    Ok(vec![T::zero(); elements])
}
