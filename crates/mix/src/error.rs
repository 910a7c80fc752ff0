use core::fmt;

use mixfold_gemm::GemmError;

use crate::{Axes, Side};

/// Why an operator was refused. Nothing has been written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MixError {
    /// A shape does not fit the address space.
    Overflow {
        /// The shape.
        axes: Axes,
    },
    /// A tensor does not have as many elements as its shape.
    Tensor {
        /// Which tensor: `input`, `output`.
        what: &'static str,
        /// The shape it should have.
        axes: Axes,
        /// Elements that it has.
        found: usize,
    },
    /// The mixed axis does not have the length that the weights want.
    Axis {
        /// Length that the weights want.
        expected: usize,
        /// Length of the tensor's axis.
        found: usize,
    },
    /// A vector of parameters does not have the right length.
    Parameter {
        /// Which one: `bias`, `gamma`, `gate`, …
        what: &'static str,
        /// Elements that it should have.
        expected: usize,
        /// Elements that it has.
        found: usize,
    },
    /// Parameters of some rows that are not whole rows.
    Rows {
        /// Which ones: `prefix`, `positions`.
        what: &'static str,
        /// Elements of a row.
        columns: usize,
        /// Elements that there are.
        found: usize,
    },
    /// The weights do not follow each other: the columns of the second matrix must be as many as the
    /// rows of the first one.
    Hidden {
        /// Rows of the first matrix.
        first: usize,
        /// Columns of the second matrix.
        second: usize,
    },
    /// The rows of a weight are no whole number for each group.
    Groups {
        /// Groups asked for.
        groups: usize,
        /// Rows of the weight.
        rows: usize,
    },
    /// The outer length is no multiple of what repeats along it.
    Period {
        /// What repeats: `groups`, `gamma`.
        what: &'static str,
        /// After how many outer indices it repeats.
        period: usize,
        /// Length of the outer axis.
        outer: usize,
    },
    /// The first matrix of a gated perceptron must have two rows for each column of the second one.
    GatedHidden {
        /// Rows of the first matrix.
        first: usize,
        /// Columns of the second matrix.
        second: usize,
    },
    /// A gate for an operator that has a scale already.
    GateAndScale,
    /// A scale along the inner axis and one along the mixed axis.
    TwoScales,
    /// An output that is added or multiplied, of an operator with a residual connection.
    ResidualAndAccum,
    /// A residual connection, or work in place, with an output of another length than the input.
    InPlace {
        /// Length of the axis before.
        axis: usize,
        /// Length of the axis after.
        out: usize,
    },
    /// The weights were packed for another side than the tensor needs: right for `inner == 1`, else
    /// left.
    Side {
        /// The side they were packed for.
        packed: Side,
        /// `inner` of the tensor.
        inner: usize,
    },
    /// A norm along the inner axis, with weights packed on the right, where that axis has length 1.
    InnerNorm,
    /// A scale along the inner axis, with weights packed on the right, where that axis has length 1.
    InnerScale,
    /// The columns of a matrix are not adjacent.
    Columns {
        /// Which matrix: `input`, `output`.
        what: &'static str,
        /// Elements from one column to the next.
        col_stride: usize,
    },
    /// The rows of a matrix do not follow each other, as an operator with groups on the right wants.
    RowStride {
        /// Which matrix: `input`, `output`, `residual`.
        what: &'static str,
        /// Elements of a row.
        cols: usize,
        /// Elements from one row to the next.
        row_stride: usize,
    },
    /// The operator was packed for another instruction set than the context's.
    Isa {
        /// The instruction set that packed it.
        packed: &'static str,
        /// The instruction set of the context.
        wanted: &'static str,
    },
    /// The image cannot be cut into patches, or the map into partitions.
    Patches {
        /// Height and width of the image or map.
        image: (usize, usize),
        /// Height and width of a patch or partition.
        patch: (usize, usize),
    },
    /// The rows of a convolution's weight are not made of whole kernels, or a side of these is 0.
    Kernel {
        /// Columns of the weight.
        columns: usize,
        /// Height and width of the kernel.
        kernel: (usize, usize),
    },
    /// A convolution or pooling that does not move on, or a pooling of no pixels.
    Step {
        /// `stride`, `dilation`, or the `kernel` of a pooling.
        what: &'static str,
        /// Its values, vertical and horizontal, of which one is 0.
        found: (usize, usize),
    },
    /// The kernel of a convolution or pooling is larger than the image.
    Reach {
        /// Height and width of the image with the zeros around it.
        padded: (usize, usize),
        /// Height and width that the kernel covers.
        reach: (usize, usize),
    },
    /// A pooling whose windows can lie outside of the image: more padding than half of the kernel.
    Padding {
        /// Pixels of padding, vertical and horizontal.
        padding: (usize, usize),
        /// Height and width of the kernel.
        kernel: (usize, usize),
    },
    /// An output that is replaced, of a convolution with an activation of the sum.
    NoSum,
    /// An attention without heads, or whose channels are not equally many for each of them.
    Heads {
        /// Heads asked for.
        heads: usize,
        /// Channels of all heads.
        channels: usize,
    },
    /// A tensor does not have the channels of the attention.
    Channels {
        /// Channels of the attention.
        expected: usize,
        /// Channels of the tensor.
        found: usize,
    },
    /// An error of the matrix kernels.
    Gemm(GemmError),
}

impl fmt::Display for MixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MixError::Overflow { axes } => {
                write!(f, "a tensor of {} exceeds the address space", Shape(*axes))
            }
            MixError::Tensor { what, axes, found } => {
                write!(f, "the {what} has {found} elements, not {}", Shape(*axes))
            }
            MixError::Axis { expected, found } => {
                write!(f, "the mixed axis has length {found}, the weights want {expected}")
            }
            MixError::Parameter { what, expected, found } => {
                write!(f, "{what} has {found} elements, expected {expected}")
            }
            MixError::Rows { what, columns, found } => {
                write!(f, "{what} has {found} elements, which are not whole rows of {columns}")
            }
            MixError::Hidden { first, second } => write!(
                f,
                "the first matrix has {first} rows, the second one {second} columns: they must be \
                 equal"
            ),
            MixError::Groups { groups, rows } => {
                write!(f, "a weight of {rows} rows cannot be divided among {groups} groups")
            }
            MixError::Period { what, period, outer } => write!(
                f,
                "{what} repeat after {period} outer indices, of which there are {outer}: no \
                 multiple"
            ),
            MixError::GatedHidden { first, second } => write!(
                f,
                "the first matrix of a gated perceptron has {first} rows, the second one {second} \
                 columns: the rows must be twice as many"
            ),
            MixError::GateAndScale => {
                f.write_str("an operator with a scale cannot be gated: one number goes with an output")
            }
            MixError::TwoScales => f.write_str(
                "an operator cannot have a scale along the mixed axis and one along the inner axis",
            ),
            MixError::ResidualAndAccum => f.write_str(
                "an operator with a residual connection replaces its output: it can be neither added \
                 nor multiplied",
            ),
            MixError::InPlace { axis, out } => write!(
                f,
                "an axis of length {axis} becomes one of {out}: no residual and no work in place"
            ),
            MixError::Side { packed, inner } => write!(
                f,
                "the weights were packed on the {packed}, which a tensor with inner length {inner} \
                 does not allow: right for 1, left for more"
            ),
            MixError::InnerNorm => f.write_str(
                "weights on the right have an inner axis of length 1: normalise the mixed axis",
            ),
            MixError::InnerScale => f.write_str(
                "weights on the right have an inner axis of length 1: scale the mixed axis",
            ),
            MixError::Columns { what, col_stride } => write!(
                f,
                "the columns of the {what} are {col_stride} elements apart: they must be adjacent"
            ),
            MixError::RowStride { what, cols, row_stride } => write!(
                f,
                "the rows of {cols} elements of the {what} are {row_stride} elements apart: with \
                 groups on the right, rows must follow each other"
            ),
            MixError::Isa { packed, wanted } => write!(
                f,
                "the operator was packed for {packed}, the context uses {wanted}: pack it with the \
                 same instruction set"
            ),
            MixError::Patches { image, patch } => write!(
                f,
                "an image of {} x {} cannot be cut into patches of {} x {}",
                image.0, image.1, patch.0, patch.1
            ),
            MixError::Kernel { columns, kernel } => write!(
                f,
                "a convolution's weight with rows of {columns} elements is not made of kernels of \
                 {} x {}",
                kernel.0, kernel.1
            ),
            MixError::Step { what, found } => {
                write!(f, "a {what} of {} x {}: both must be at least 1", found.0, found.1)
            }
            MixError::Reach { padded, reach } => write!(
                f,
                "an image of {} x {} with its padding is smaller than the {} x {} that the kernel \
                 covers",
                padded.0, padded.1, reach.0, reach.1
            ),
            MixError::Padding { padding, kernel } => write!(
                f,
                "a padding of {} x {} is more than half of a kernel of {} x {}",
                padding.0, padding.1, kernel.0, kernel.1
            ),
            MixError::NoSum => f.write_str(
                "a convolution with an activation of the sum adds to its output: it cannot replace it",
            ),
            MixError::Heads { heads, channels } => {
                write!(f, "{channels} channels cannot be divided among {heads} heads")
            }
            MixError::Channels { expected, found } => {
                write!(f, "the tensor has {found} channels, the attention {expected}")
            }
            MixError::Gemm(error) => error.fmt(f),
        }
    }
}

struct Shape(Axes);

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Axes { outer, axis, inner } = self.0;
        write!(f, "[{outer}, {axis}, {inner}]")
    }
}

impl core::error::Error for MixError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            MixError::Gemm(error) => Some(error),
            _ => None,
        }
    }
}

impl From<GemmError> for MixError {
    fn from(error: GemmError) -> Self {
        MixError::Gemm(error)
    }
}
