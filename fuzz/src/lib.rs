//! Inputs that the fuzz targets share: matrices of any shape, strides and contents, small enough for
//! the naive reference.

#![forbid(unsafe_code)]

use arbitrary::{Arbitrary, Result, Unstructured};
use mixfold_gemm::{GemmError, MatMut, MatRef};
use mixfold_reference::gemm::Mat;
use mixfold_simd::Isa;

/// Largest size of a side; beyond two tiles of any instruction set.
const SIDE: usize = 70;
/// Elements in memory from the first to the last, at most.
const REACH: usize = 1 << 16;

/// A length of rows or columns.
#[derive(Clone, Copy, Debug)]
pub struct Side(pub usize);

impl<'a> Arbitrary<'a> for Side {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        u.int_in_range(0..=SIDE).map(Side)
    }
}

/// The length of a sum; some are longer than what is summed up in registers.
#[derive(Clone, Copy, Debug)]
pub struct Depth(pub usize);

impl<'a> Arbitrary<'a> for Depth {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        if u.ratio(1, 8)? { u.int_in_range(1020..=1100) } else { u.int_in_range(0..=SIDE) }
            .map(Depth)
    }
}

/// Elements from a row to the next and from a column to the next.
#[derive(Clone, Copy, Debug)]
pub struct Strides {
    by_columns: bool,
    inner: usize,
    gap: usize,
    any: Option<(usize, usize)>,
}

impl<'a> Arbitrary<'a> for Strides {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Strides {
            by_columns: u.arbitrary()?,
            inner: u.int_in_range(1..=3)?,
            gap: u.int_in_range(0..=3)?,
            any: if u.ratio(1, 8)? { Some(u.arbitrary()?) } else { None },
        })
    }
}

impl Strides {
    fn of(self, rows: usize, cols: usize) -> (usize, usize) {
        let outer = |len: usize| len * self.inner + self.gap;
        match self.any {
            Some(strides) => strides,
            None if self.by_columns => (self.inner, outer(rows)),
            None => (outer(cols), self.inner),
        }
    }
}

/// A matrix of `f32` in a slice of exactly its reach, or of a few numbers if that is too far.
#[derive(Debug)]
pub struct Matrix {
    /// The slice.
    pub data: Vec<f32>,
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// Elements from one row to the next.
    pub row_stride: usize,
    /// Elements from one column to the next.
    pub col_stride: usize,
}

impl Matrix {
    /// A matrix with numbers that follow from `values`, in sixteenths. Sums and products of them
    /// stay clear of underflow.
    pub fn new(rows: usize, cols: usize, strides: Strides, values: &[i8]) -> Self {
        let (row_stride, col_stride) = strides.of(rows, cols);
        let reach = || {
            let row = rows.checked_sub(1)?.checked_mul(row_stride)?;
            let col = cols.checked_sub(1)?.checked_mul(col_stride)?;
            row.checked_add(col)?.checked_add(1).filter(|&reach| reach <= REACH)
        };
        // The pattern keeps places apart where `values` are few.
        let pattern = (0..101_i16).map(|i| i * 37 % 101 - 50).cycle();
        let values = values.iter().chain([&0]).cycle().zip(pattern);
        let numbers = values.map(|(&x, offset)| f32::from(i16::from(x) + offset) / 16.0);
        let data = numbers.take(reach().unwrap_or(8)).collect();
        Matrix { data, rows, cols, row_stride, col_stride }
    }

    /// For reading.
    ///
    /// # Errors
    /// Where the strides reach too far.
    pub fn view(&self) -> std::result::Result<MatRef<'_, f32>, GemmError> {
        MatRef::new(&self.data, self.rows, self.cols, self.row_stride, self.col_stride)
    }

    /// For writing.
    ///
    /// # Errors
    /// Where the strides reach too far or elements share places.
    pub fn view_mut(&mut self) -> std::result::Result<MatMut<'_, f32>, GemmError> {
        MatMut::new(&mut self.data, self.rows, self.cols, self.row_stride, self.col_stride)
    }

    /// Where element (i, j) stands in the slice.
    pub fn index(&self, i: usize, j: usize) -> usize {
        i * self.row_stride + j * self.col_stride
    }

    /// The matrix of the oracle over `wide`, the slice in `f64`.
    pub fn reference<'a>(&self, wide: &'a [f64]) -> Mat<'a, f64> {
        Mat::new(wide, self.rows, self.cols, self.row_stride, self.col_stride)
    }

    /// The slice in `f64`.
    pub fn wide(&self) -> Vec<f64> {
        self.data.iter().map(|&x| x.into()).collect()
    }
}

/// One of the instruction sets of this CPU.
///
/// # Errors
/// As [`Unstructured::choose_iter`].
pub fn isa(u: &mut Unstructured<'_>) -> Result<Isa> {
    let available: Vec<_> = Isa::available().collect();
    u.choose(&available).copied()
}
