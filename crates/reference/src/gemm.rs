//! Matrix product of strided views, and how accurate a dot product must be.

use crate::{Real, product, sum, total};

/// A matrix read from a slice: element `(i, j)` is `data[i * row_stride + j * col_stride]`.
///
/// Strides are free: `0` repeats a row or a column, and views may overlap themselves.
#[derive(Debug, Clone, Copy)]
pub struct Mat<'a, T> {
    data: &'a [T],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a, T: Real> Mat<'a, T> {
    /// A view with the given strides, in elements.
    ///
    /// # Panics
    /// If the last element lies outside of `data`. An empty matrix needs no data.
    pub fn new(
        data: &'a [T],
        rows: usize,
        cols: usize,
        row_stride: usize,
        col_stride: usize,
    ) -> Self {
        if rows > 0 && cols > 0 {
            let last = total(&[product(&[rows - 1, row_stride]), product(&[cols - 1, col_stride])]);
            assert!(last < data.len(), "last element {last} of {} in the slice", data.len());
        }
        Self { data, rows, cols, row_stride, col_stride }
    }

    /// A contiguous `rows × cols` matrix, one row after the other.
    ///
    /// # Panics
    /// If `data` does not have exactly `rows · cols` elements.
    pub fn row_major(data: &'a [T], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), product(&[rows, cols]), "{rows} x {cols} matrix");
        Self::new(data, rows, cols, cols, 1)
    }

    /// The same elements with rows and columns exchanged.
    pub fn transpose(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Element `(row, col)`.
    ///
    /// # Panics
    /// If the position is outside of the matrix.
    pub fn at(&self, row: usize, col: usize) -> T {
        assert!(
            row < self.rows && col < self.cols,
            "({row}, {col}) of {}x{}",
            self.rows,
            self.cols
        );
        self.data[row * self.row_stride + col * self.col_stride]
    }
}

/// `C = A·B`, that is `c[i, j] = Σₚ a[i, p]·b[p, j]`, row major.
///
/// # Panics
/// If `a` does not have as many columns as `b` has rows.
pub fn gemm<T: Real>(a: Mat<T>, b: Mat<T>) -> Vec<T> {
    dots(a, b, |a, b| a * b)
}

/// `Σₚ |a[i, p]|·|b[p, j]|`, row major: the scale of the rounding errors of [`gemm`], for
/// [`dot_bound`].
///
/// # Panics
/// If `a` does not have as many columns as `b` has rows.
pub fn gemm_abs<T: Real>(a: Mat<T>, b: Mat<T>) -> Vec<T> {
    dots(a, b, |a, b| a.abs() * b.abs())
}

fn dots<T: Real>(a: Mat<T>, b: Mat<T>, term: impl Fn(T, T) -> T) -> Vec<T> {
    assert_eq!(a.cols(), b.rows(), "inner dimensions");
    let mut c = Vec::with_capacity(product(&[a.rows(), b.cols()]));
    for i in 0..a.rows() {
        for j in 0..b.cols() {
            c.push(sum((0..a.cols()).map(|p| term(a.at(i, p), b.at(p, j)))));
        }
    }
    c
}

/// How far a computed dot product of `terms` terms may be from the exact one:
/// `γₙ·Σ|a||b|` with `γₙ = n·u / (1 − n·u)`, `n = terms` and the unit roundoff `u = eps / 2`.
///
/// `sum_abs` is the exact `Σ|a||b|` ([`gemm_abs`] in a wider type) and `eps` the distance from `1`
/// to the next number of the type that computed, `f32::EPSILON` for a kernel in `f32`.
///
/// Source: N. J. Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., SIAM 2002,
/// chapter 3 (lemma 3.1 and equation 3.5). Each of the terms passes through at most `terms`
/// roundings, its product and the additions after it, whatever the order of the sum: the bound
/// holds for blocked, vectorised and fused (FMA) sums alike. One more operation on the result, as
/// adding a bias, is one more term: count it in `terms` and its magnitude in `sum_abs`.
///
/// The bound supposes that nothing overflows or underflows. It is infinite where `n·u ≥ 1`.
pub fn dot_bound(terms: usize, sum_abs: f64, eps: f64) -> f64 {
    let nu = terms as f64 * eps / 2.0;
    if nu < 1.0 { nu / (1.0 - nu) * sum_abs } else { f64::INFINITY }
}
