//! Strided views of matrices in memory.

use core::fmt;
use core::marker::PhantomData;

use mixfold_simd::Element;

use crate::GemmError;

/// Elements from the first to one past the last of a strided matrix.
fn reach(
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
) -> Result<usize, GemmError> {
    if rows == 0 || cols == 0 {
        return Ok(0);
    }
    let last = (rows - 1).checked_mul(row_stride).zip((cols - 1).checked_mul(col_stride));
    last.and_then(|(row, col)| row.checked_add(col)?.checked_add(1))
        .filter(|&reach| isize::try_from(reach.saturating_mul(size_of::<f64>())).is_ok())
        .ok_or(GemmError::Overflow { rows, cols })
}

/// A matrix that can be read: `a[i, j]` stands at `i · row_stride + j · col_stride` of a slice.
///
/// Any strides are allowed, 0 (the same row or column again) among them.
#[derive(Clone, Copy)]
pub struct MatRef<'a, T> {
    data: *const T,
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
    lifetime: PhantomData<&'a [T]>,
}

// SAFETY: a MatRef is a shared slice with a way to index it.
unsafe impl<T: Sync> Send for MatRef<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for MatRef<'_, T> {}

impl<'a, T: Element> MatRef<'a, T> {
    /// A matrix over `data` with strides in elements.
    ///
    /// # Errors
    /// If the strides reach beyond `data`.
    pub fn new(
        data: &'a [T],
        rows: usize,
        cols: usize,
        row_stride: usize,
        col_stride: usize,
    ) -> Result<Self, GemmError> {
        let needed = reach(rows, cols, row_stride, col_stride)?;
        if needed > data.len() {
            return Err(GemmError::Length { needed, found: data.len() });
        }
        Ok(MatRef {
            data: data.as_ptr(),
            rows,
            cols,
            row_stride,
            col_stride,
            lifetime: PhantomData,
        })
    }

    /// A matrix whose rows follow each other.
    ///
    /// # Errors
    /// If `data` is too short.
    pub fn row_major(data: &'a [T], rows: usize, cols: usize) -> Result<Self, GemmError> {
        MatRef::new(data, rows, cols, cols, 1)
    }

    /// The same elements with rows and columns exchanged.
    pub fn transpose(self) -> Self {
        MatRef {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// Number of rows.
    pub fn rows(self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(self) -> usize {
        self.cols
    }

    /// Elements from one row to the next.
    pub fn row_stride(self) -> usize {
        self.row_stride
    }

    /// Elements from one column to the next.
    pub fn col_stride(self) -> usize {
        self.col_stride
    }

    /// The rows `start..start + rows`, all columns.
    ///
    /// # Errors
    /// If there are fewer rows.
    pub fn rows_at(self, start: usize, rows: usize) -> Result<Self, GemmError> {
        self.block(start, 0, rows, self.cols)
    }

    /// The `rows` × `cols` elements from (`row`, `col`) on.
    ///
    /// # Errors
    /// If they are not all inside.
    pub fn block(
        self,
        row: usize,
        col: usize,
        rows: usize,
        cols: usize,
    ) -> Result<Self, GemmError> {
        let inside =
            |start: usize, len: usize, all| start.checked_add(len).is_some_and(|e| e <= all);
        if !inside(row, rows, self.rows) || !inside(col, cols, self.cols) {
            return Err(GemmError::Shape {
                what: "block",
                expected: (row.saturating_add(rows), col.saturating_add(cols)),
                found: (self.rows, self.cols),
            });
        }
        let offset =
            if rows == 0 || cols == 0 { 0 } else { row * self.row_stride + col * self.col_stride };
        Ok(MatRef { data: self.data.wrapping_add(offset), rows, cols, ..self })
    }

    /// Row `i` as a slice, where the columns are adjacent.
    #[inline]
    pub fn row(self, i: usize) -> Option<&'a [T]> {
        (i < self.rows && self.col_stride == 1).then(|| {
            // Rows without columns may be any stride apart: they stand nowhere.
            let start = if self.cols == 0 { self.data } else { self.ptr(i, 0) };
            // SAFETY: `new` and `block` made sure that all elements lie inside of a slice that
            // lives for 'a; those of a row are adjacent.
            unsafe { core::slice::from_raw_parts(start, self.cols) }
        })
    }

    /// All elements as a slice, where rows follow each other.
    pub fn as_slice(self) -> Option<&'a [T]> {
        let adjacent = self.col_stride == 1 && (self.row_stride == self.cols || self.rows == 1);
        let is_empty = self.rows == 0 || self.cols == 0;
        (adjacent || is_empty).then(|| {
            // SAFETY: `new` and `block` made sure that all elements lie inside of a slice that lives
            // for 'a; they are adjacent.
            unsafe { core::slice::from_raw_parts(self.data, self.rows * self.cols) }
        })
    }

    /// The `rows` × `cols` elements from (`row`, `col`) on, which are known to be inside.
    #[inline(always)]
    pub(crate) fn part(self, (row, col): (usize, usize), (rows, cols): (usize, usize)) -> Self {
        debug_assert!(row + rows <= self.rows && col + cols <= self.cols);
        MatRef { data: self.ptr(row, col), rows, cols, ..self }
    }

    /// Where element (i, j) is; readable for `i < rows`, `j < cols`.
    #[inline(always)]
    pub(crate) fn ptr(self, i: usize, j: usize) -> *const T {
        self.data.wrapping_add(i * self.row_stride + j * self.col_stride)
    }
}

impl<T> fmt::Debug for MatRef<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MatRef")
            .field("rows", &self.rows)
            .field("cols", &self.cols)
            .field("row_stride", &self.row_stride)
            .field("col_stride", &self.col_stride)
            .finish()
    }
}

/// A matrix that can be written: like [`MatRef`], with no two elements in one place.
pub struct MatMut<'a, T> {
    data: *mut T,
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: a MatMut is an exclusive slice with a way to index it.
unsafe impl<T: Send> Send for MatMut<'_, T> {}
// SAFETY: through a shared MatMut elements can only be read.
unsafe impl<T: Sync> Sync for MatMut<'_, T> {}

impl<'a, T: Element> MatMut<'a, T> {
    /// A matrix over `data` with strides in elements.
    ///
    /// # Errors
    /// If the strides reach beyond `data`, or if neither a row ends before the next one begins nor
    /// a column does.
    pub fn new(
        data: &'a mut [T],
        rows: usize,
        cols: usize,
        row_stride: usize,
        col_stride: usize,
    ) -> Result<Self, GemmError> {
        MatRef::new(data, rows, cols, row_stride, col_stride)?;
        if rows > 0 && cols > 0 {
            let by_rows = rows == 1 || row_stride > (cols - 1) * col_stride;
            let by_cols = cols == 1 || col_stride > (rows - 1) * row_stride;
            // Of a single row only the columns have to be apart, and the other way round.
            let apart = (by_rows && (cols == 1 || col_stride > 0))
                || (by_cols && (rows == 1 || row_stride > 0));
            if !apart {
                return Err(GemmError::Overlap { rows, cols, row_stride, col_stride });
            }
        }
        let data = data.as_mut_ptr();
        Ok(MatMut { data, rows, cols, row_stride, col_stride, lifetime: PhantomData })
    }

    /// A matrix whose rows follow each other.
    ///
    /// # Errors
    /// If `data` is too short.
    pub fn row_major(data: &'a mut [T], rows: usize, cols: usize) -> Result<Self, GemmError> {
        MatMut::new(data, rows, cols, cols, 1)
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The matrix for reading.
    pub fn as_ref(&self) -> MatRef<'_, T> {
        MatRef {
            data: self.data,
            rows: self.rows,
            cols: self.cols,
            row_stride: self.row_stride,
            col_stride: self.col_stride,
            lifetime: PhantomData,
        }
    }

    /// The matrix for a shorter while.
    pub fn reborrow(&mut self) -> MatMut<'_, T> {
        MatMut { lifetime: PhantomData, ..*self }
    }

    /// Row `i` as a slice, where the columns are adjacent.
    #[inline]
    pub fn row_mut(&mut self, i: usize) -> Option<&mut [T]> {
        (i < self.rows && self.col_stride == 1).then(|| {
            // Rows without columns may be any stride apart: they stand nowhere.
            let start = if self.cols == 0 { self.data } else { self.ptr(i, 0) };
            // SAFETY: `new` made sure that all elements lie inside of an exclusive slice that lives
            // for 'a; those of a row are adjacent, and `self` is borrowed as long as the row.
            unsafe { core::slice::from_raw_parts_mut(start, self.cols) }
        })
    }

    /// The first `at` rows, at most all, and the others.
    pub fn split_rows(self, at: usize) -> (MatMut<'a, T>, MatMut<'a, T>) {
        let at = at.min(self.rows);
        // SAFETY: 1. `at` is at most the number of rows; 2. the halves are disjoint, and `self` is
        // consumed.
        unsafe {
            let upper = self.block_unchecked(0, 0, at, self.cols);
            (upper, self.block_unchecked(at, 0, self.rows - at, self.cols))
        }
    }

    /// The first `at` columns, at most all, and the others: the halves of an axis, each with the row
    /// stride of the whole.
    pub fn split_cols(self, at: usize) -> (MatMut<'a, T>, MatMut<'a, T>) {
        let at = at.min(self.cols);
        // SAFETY: 1. `at` is at most the number of columns; 2. the halves have no element in common,
        // no two elements share a place, and `self` is consumed. Each half reaches its elements only,
        // and nothing of what stands between its rows: slices of it are rows, or all elements where
        // nothing stands between them.
        unsafe {
            let left = self.block_unchecked(0, 0, self.rows, at);
            (left, self.block_unchecked(0, at, self.rows, self.cols - at))
        }
    }

    /// All elements as a slice, where rows follow each other.
    pub fn into_slice(self) -> Option<&'a mut [T]> {
        let adjacent = self.col_stride == 1 && (self.row_stride == self.cols || self.rows == 1);
        let len = self.rows * self.cols;
        (adjacent || len == 0).then(|| {
            // SAFETY: `new` made sure that all elements lie inside of an exclusive slice that lives
            // for 'a; they are adjacent.
            unsafe { core::slice::from_raw_parts_mut(self.data, len) }
        })
    }

    /// The `rows` × `cols` elements from (`row`, `col`) on, as a matrix that may live beside others.
    ///
    /// # Safety
    /// 1. The block lies inside of the matrix.
    /// 2. While it lives, no element of it is reached in another way.
    pub(crate) unsafe fn block_unchecked(
        &self,
        row: usize,
        col: usize,
        rows: usize,
        cols: usize,
    ) -> MatMut<'a, T> {
        let data = if rows == 0 || cols == 0 { self.data } else { self.ptr(row, col) };
        MatMut { data, rows, cols, ..*self }
    }

    /// Where element (i, j) is; writable for `i < rows`, `j < cols`.
    #[inline(always)]
    pub(crate) fn ptr(&self, i: usize, j: usize) -> *mut T {
        self.data.wrapping_add(i * self.row_stride + j * self.col_stride)
    }

    pub(crate) fn strides(&self) -> (usize, usize) {
        (self.row_stride, self.col_stride)
    }
}

impl<T> fmt::Debug for MatMut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MatMut")
            .field("rows", &self.rows)
            .field("cols", &self.cols)
            .field("row_stride", &self.row_stride)
            .field("col_stride", &self.col_stride)
            .finish()
    }
}
