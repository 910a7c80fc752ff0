//! Where a convolution runs: the map, its padding, stride and dilation.

use core::ops::Range;

use crate::FoldError;
use crate::sizes::{elements, nonzero};

/// A map and how a kernel moves over it. Pairs are `[vertical, horizontal]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    map: [usize; 2],
    /// None: what keeps the size of the map at stride 1.
    padding: Option<[usize; 2]>,
    stride: [usize; 2],
    dilation: [usize; 2],
}

impl Geometry {
    /// A map that keeps its size: padded by half of what the kernel spans. Stride and dilation 1.
    ///
    /// # Errors
    /// [`FoldError::Zero`] for a map without extent.
    pub fn same(height: usize, width: usize) -> Result<Self, FoldError> {
        let map = [height, width];
        nonzero("map", map)?;
        Ok(Geometry { map, padding: None, stride: [1, 1], dilation: [1, 1] })
    }

    /// A map without padding. Stride and dilation 1.
    ///
    /// # Errors
    /// [`FoldError::Zero`] for a map without extent.
    pub fn valid(height: usize, width: usize) -> Result<Self, FoldError> {
        Ok(Geometry::same(height, width)?.padding([0, 0]))
    }

    /// Zeros on each side of the map. The kernel limits them: more than `dilation · (kernel − 1) / 2`
    /// would make the map larger.
    #[must_use]
    pub fn padding(self, padding: [usize; 2]) -> Self {
        Geometry { padding: Some(padding), ..self }
    }

    /// Distance between neighbouring windows.
    ///
    /// # Errors
    /// [`FoldError::Zero`] if one is 0.
    pub fn stride(self, stride: [usize; 2]) -> Result<Self, FoldError> {
        nonzero("stride", stride)?;
        Ok(Geometry { stride, ..self })
    }

    /// Distance between neighbouring taps of the kernel.
    ///
    /// # Errors
    /// [`FoldError::Zero`] if one is 0.
    pub fn dilation(self, dilation: [usize; 2]) -> Result<Self, FoldError> {
        nonzero("dilation", dilation)?;
        Ok(Geometry { dilation, ..self })
    }

    /// The matrix of a kernel of
    /// `[output channels, input channels of a group, kernel height, kernel width]` on this map:
    /// known before anything is computed.
    ///
    /// # Errors
    /// [`FoldError::Zero`] for a size of 0; [`FoldError::Even`] if the map should keep
    /// its size and the kernel has no centre; [`FoldError::Padding`] for more zeros than that;
    /// [`FoldError::Map`] if the map is smaller than the kernel; [`FoldError::Overflow`].
    pub fn fc_shape(&self, kernel: [usize; 4]) -> Result<FcShape, FoldError> {
        let [out_channels, in_channels, height, width] = kernel;
        nonzero("channels", [out_channels, in_channels])?;
        let windows = self.windows([height, width])?;
        let ([h, w], [oh, ow]) = (self.map, windows.output);
        let rows = elements("matrix", &[out_channels, oh, ow])?;
        let cols = elements("matrix", &[in_channels, h, w])?;
        elements("matrix", &[rows, cols])?;
        Ok(FcShape { rows, cols, output: windows.output })
    }

    pub(crate) fn windows(&self, kernel: [usize; 2]) -> Result<Windows, FoldError> {
        nonzero("kernel", kernel)?;
        let Geometry { map, stride, dilation, .. } = *self;
        let mut span = [0; 2];
        for d in 0..2 {
            span[d] = elements("kernel", &[dilation[d], kernel[d] - 1])? + 1;
            elements("map", &[map[d]])?;
        }
        let most = span.map(|span| (span - 1) / 2);
        let padding = match self.padding {
            None if span.iter().any(|span| span.is_multiple_of(2)) => {
                return Err(FoldError::Even { kernel: span });
            }
            padding => padding.unwrap_or(most),
        };
        if (0..2).any(|d| padding[d] > most[d]) {
            return Err(FoldError::Padding { padding, most });
        }
        // At most an eighth of the address space for each term: the sums do not overflow.
        let padded = [0, 1].map(|d| map[d] + 2 * padding[d]);
        if (0..2).any(|d| padded[d] < span[d]) {
            return Err(FoldError::Map { map, padding, span });
        }
        let output = [0, 1].map(|d| (padded[d] - span[d]) / stride[d] + 1);
        Ok(Windows { map, kernel, padding, stride, dilation, output })
    }
}

/// Shape of the matrix that a convolution becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FcShape {
    /// Output channels times height and width of the output map.
    pub rows: usize,
    /// Input channels of a group times height and width of the map.
    pub cols: usize,
    /// Height and width of the output map.
    pub output: [usize; 2],
}

impl FcShape {
    /// Number of weights.
    pub fn elements(&self) -> usize {
        self.rows * self.cols
    }
}

/// A geometry that has been compared with a kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    pub(crate) map: [usize; 2],
    kernel: [usize; 2],
    padding: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    pub(crate) output: [usize; 2],
}

/// The taps of one window along one direction that lie inside the map.
#[derive(Clone, Debug)]
pub(crate) struct Inside {
    /// The taps.
    pub(crate) taps: Range<usize>,
    /// Position of the first one in the map.
    pub(crate) first: usize,
    /// Distance of the next one; 0 if there is at most one.
    pub(crate) step: usize,
}

impl Windows {
    /// All windows along a direction.
    pub(crate) fn along(&self, d: usize) -> Vec<Inside> {
        (0..self.output[d]).map(|window| self.inside(d, window)).collect()
    }

    /// The taps k with `0 ≤ window·stride + k·dilation − padding < map`.
    fn inside(&self, d: usize, window: usize) -> Inside {
        let (step, padding) = (self.dilation[d], self.padding[d]);
        // Less than the map, for the padding is at most half of the span.
        let start = window * self.stride[d];
        let from = padding.saturating_sub(start).div_ceil(step);
        let to = (self.map[d] + padding - start).div_ceil(step).min(self.kernel[d]);
        let first = (start + from * step).saturating_sub(padding);
        // Any dilation goes with one tap inside. Between two, it is less than the map.
        let step = if to - from > 1 { step } else { 0 };
        Inside { taps: from..to, first, step }
    }
}
