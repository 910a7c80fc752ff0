//! What can be wrong with a call, with the numbers that show it.

use core::fmt;

use crate::kernel::KernelId;

/// Why a matrix, a packed operand or a product was refused. Nothing has been written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GemmError {
    /// The slice is too short for the shape and strides.
    Length {
        /// Elements that the shape and strides reach.
        needed: usize,
        /// Elements in the slice.
        found: usize,
    },
    /// Rows, columns and strides do not fit the address space together.
    Overflow {
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        cols: usize,
    },
    /// The system did not give the memory.
    Memory {
        /// Bytes asked for.
        bytes: usize,
    },
    /// Two elements of a matrix that is to be written share a place.
    Overlap {
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix.
        cols: usize,
        /// Elements from one row to the next.
        row_stride: usize,
        /// Elements from one column to the next.
        col_stride: usize,
    },
    /// The columns of the left operand are not as many as the rows of the right one.
    Inner {
        /// Columns of the left operand.
        lhs: usize,
        /// Rows of the right operand.
        rhs: usize,
    },
    /// A matrix does not have the shape of the product.
    Shape {
        /// Which matrix: `output`, `residual`, …
        what: &'static str,
        /// Rows and columns that it should have.
        expected: (usize, usize),
        /// Rows and columns that it has.
        found: (usize, usize),
    },
    /// A vector does not have one element per row or column.
    Vector {
        /// Which vector: `bias`, `scale`, …
        what: &'static str,
        /// Elements that it should have.
        expected: usize,
        /// Elements that it has.
        found: usize,
    },
    /// An operand was packed for another instruction set or register tile.
    Kernel {
        /// The kernel that packed it.
        packed: KernelId,
        /// The kernel that should use it.
        wanted: KernelId,
    },
    /// A part of an operand starts or ends where the packed layout has no border.
    Part {
        /// First row or column asked for.
        start: usize,
        /// First row or column not asked for.
        end: usize,
        /// How many there are.
        len: usize,
        /// Borders are at multiples of this.
        step: usize,
    },
}

impl fmt::Display for GemmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            GemmError::Length { needed, found } => {
                write!(f, "the shape and strides reach {needed} elements, the slice has {found}")
            }
            GemmError::Overflow { rows, cols } => {
                write!(f, "a {rows} x {cols} matrix with these strides exceeds the address space")
            }
            GemmError::Memory { bytes } => write!(f, "no memory for {bytes} bytes"),
            GemmError::Overlap { rows, cols, row_stride, col_stride } => write!(
                f,
                "elements of the {rows} x {cols} output with row stride {row_stride} and column \
                 stride {col_stride} share places"
            ),
            GemmError::Inner { lhs, rhs } => write!(
                f,
                "the left operand has {lhs} columns, the right one {rhs} rows: they must be equal"
            ),
            GemmError::Shape { what, expected, found } => write!(
                f,
                "{what} is {} x {}, expected {} x {}",
                found.0, found.1, expected.0, expected.1
            ),
            GemmError::Vector { what, expected, found } => {
                write!(f, "{what} has {found} elements, expected {expected}")
            }
            GemmError::Kernel { packed, wanted } => write!(
                f,
                "the operand was packed for kernel {packed}, this product uses {wanted}: pack it \
                 with the same instruction set"
            ),
            GemmError::Part { start, end, len, step } => write!(
                f,
                "the part {start}..{end} of {len} does not start and end at multiples of {step}"
            ),
        }
    }
}

impl core::error::Error for GemmError {}
