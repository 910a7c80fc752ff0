//! What can be wrong with a fold, with the numbers that show it.

use core::fmt;

/// Why a fold was refused. Nothing has been written.
///
/// Pairs of sizes are `[vertical, horizontal]`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum FoldError {
    /// A slice does not have as many elements as its shape.
    Length {
        /// Which one: `kernel`, `bias`, `beta`, …
        what: &'static str,
        /// Elements that it should have.
        expected: usize,
        /// Elements that it has.
        found: usize,
    },
    /// The elements of a matrix are not a whole number for each row, of which there are as many as
    /// biases.
    Ragged {
        /// Rows of the matrix.
        rows: usize,
        /// Elements of the matrix.
        elements: usize,
    },
    /// The channels of a norm cannot share the rows or columns of a matrix evenly.
    Share {
        /// Which ones: `rows`, `columns`.
        what: &'static str,
        /// How many of them the matrix has.
        len: usize,
        /// Channels of the norm.
        channels: usize,
    },
    /// `var + eps` of a batch norm is not positive, or not a number: there is no standard deviation.
    Variance {
        /// The channel.
        channel: usize,
        /// Its variance.
        var: f64,
        /// The number added to it.
        eps: f64,
    },
    /// A size that must not be 0.
    Zero {
        /// Which one: `map`, `channels` (output, input), `kernel`, `stride`, `dilation`, `groups`.
        what: &'static str,
        /// The sizes; the number of groups stands twice.
        sizes: [usize; 2],
    },
    /// The groups of a convolution do not share its output channels evenly.
    Groups {
        /// Output channels.
        out_channels: usize,
        /// Groups.
        groups: usize,
    },
    /// A kernel of even size has no centre, to which others could be aligned or around which a map
    /// would keep its size.
    Even {
        /// Size of the kernel, from its first tap to its last.
        kernel: [usize; 2],
    },
    /// A branch does not have the channels or groups of the first one.
    Branch {
        /// Output channels, input channels of a group, and groups of the first branch.
        expected: [usize; 3],
        /// Those of this branch.
        found: [usize; 3],
    },
    /// An identity beside a convolution with other channels behind than in front.
    Identity {
        /// Input channels of the convolution.
        in_channels: usize,
        /// Output channels of the convolution.
        out_channels: usize,
    },
    /// No branch is a convolution.
    NoConvolution,
    /// More zeros around the map than keep its size.
    Padding {
        /// Zeros on each side.
        padding: [usize; 2],
        /// The most that the kernel allows, `dilation · (kernel − 1) / 2`.
        most: [usize; 2],
    },
    /// The map with its padding is smaller than what the kernel spans.
    Map {
        /// Size of the map.
        map: [usize; 2],
        /// Zeros on each side.
        padding: [usize; 2],
        /// What the kernel spans, `dilation · (kernel − 1) + 1`.
        span: [usize; 2],
    },
    /// The matrix is not as large as the convolution on this map.
    Matrix {
        /// Rows and columns of the convolution.
        expected: [usize; 2],
        /// Rows and columns of the matrix.
        found: [usize; 2],
    },
    /// The matrix would have more elements than the limit.
    Limit {
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix.
        cols: usize,
        /// The limit.
        elements: usize,
    },
    /// Sizes do not fit the address space together.
    Overflow {
        /// Of what: `kernel`, `map`, `matrix`.
        what: &'static str,
        /// The sizes.
        sizes: Vec<usize>,
    },
    /// The system did not give the memory.
    Memory {
        /// Bytes asked for.
        bytes: usize,
    },
}

impl fmt::Display for FoldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FoldError::Length { what, expected, found } => {
                write!(f, "{what} has {found} elements, expected {expected}")
            }
            FoldError::Ragged { rows, elements } => {
                write!(f, "{elements} elements are no matrix of {rows} rows, one for each bias")
            }
            FoldError::Share { what, len, channels } => {
                write!(f, "{channels} channels of a norm cannot share {len} {what} evenly")
            }
            FoldError::Variance { channel, var, eps } => write!(
                f,
                "channel {channel} of a batch norm has variance {var} and eps {eps}: their sum must \
                 be positive"
            ),
            FoldError::Zero { what, sizes: [rows, cols] } => {
                write!(f, "{what} of {rows} x {cols}: neither may be 0")
            }
            FoldError::Groups { out_channels, groups } => {
                write!(f, "{groups} groups cannot share {out_channels} output channels evenly")
            }
            FoldError::Even { kernel: [rows, cols] } => {
                write!(f, "a kernel that spans {rows} x {cols} has no centre: both must be odd")
            }
            FoldError::Branch { expected: [eo, ei, eg], found: [o, i, g] } => write!(
                f,
                "a branch of {g} groups from {i} channels each to {o} in all, beside one of {eg} \
                 groups from {ei} to {eo}"
            ),
            FoldError::Identity { in_channels, out_channels } => write!(
                f,
                "an identity beside a convolution from {in_channels} to {out_channels} channels: \
                 they must be equal"
            ),
            FoldError::NoConvolution => f.write_str("no branch is a convolution"),
            FoldError::Padding { padding: [down, across], most } => write!(
                f,
                "padding of {down} x {across}: more than {} x {} does not keep the size of the map",
                most[0], most[1]
            ),
            FoldError::Map { map: [height, width], padding, span } => write!(
                f,
                "a map of {height} x {width} with a padding of {} x {} is smaller than the kernel, \
                 which spans {} x {}",
                padding[0], padding[1], span[0], span[1]
            ),
            FoldError::Matrix { expected, found: [rows, cols] } => write!(
                f,
                "the matrix is {rows} x {cols}, the convolution on this map {} x {}",
                expected[0], expected[1]
            ),
            FoldError::Limit { rows, cols, elements } => {
                write!(f, "a matrix of {rows} x {cols} has more than {elements} elements")
            }
            FoldError::Overflow { what, sizes } => {
                write!(f, "a {what} of sizes {sizes:?} exceeds the address space")
            }
            FoldError::Memory { bytes } => write!(f, "no memory for {bytes} bytes"),
        }
    }
}

impl core::error::Error for FoldError {}
