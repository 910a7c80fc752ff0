//! A convolution as a matrix.

use num_traits::Float;

use crate::band::Band;
use crate::number::round;
use crate::sizes::zeros;
use crate::{FcShape, FoldError, Geometry, Kernel};

/// The most weights that [`conv_to_fc`] makes: 2²⁸, which are 1 GiB in `f32`.
pub const MAX_ELEMENTS: usize = 1 << 28;

/// A fully connected layer, `y = W·x + b`, grouped as the convolution that it replaces: the rows of
/// group `j` see the input channels of group `j` only.
#[derive(Clone, Debug, PartialEq)]
pub struct Fc<T> {
    /// `[rows, cols]`, row major.
    pub weight: Vec<T>,
    /// One for each row.
    pub bias: Vec<T>,
    /// The shape of the weight.
    pub shape: FcShape,
}

/// A convolution of a map as a fully connected layer, by index.
///
/// With `H x W` the map, `H' x W'` the output map, channels `c` counted within the group:
///
/// ```text
/// weight[(o·H' + oy)·W' + ox, (c·H + iy)·W + ix] = F[o, c, ky, kx]   where iy = oy·stride + ky·dilation − padding,
///                                                                          ix likewise; all others are 0
/// bias[(o·H' + oy)·W' + ox] = b[o]
/// ```
///
/// Each number is one of the kernel's, rounded once. The input is a map of `[channels, H, W]` as one
/// vector, the output one of `[channels', H', W']`.
///
/// # Errors
/// Those of [`Geometry::fc_shape`]; [`FoldError::Limit`] for more than [`MAX_ELEMENTS`] weights;
/// [`FoldError::Memory`].
pub fn conv_to_fc<T: Float>(kernel: &Kernel, geometry: Geometry) -> Result<Fc<T>, FoldError> {
    conv_to_fc_within(kernel, geometry, MAX_ELEMENTS)
}

/// [`conv_to_fc`] with another limit to the number of weights.
///
/// # Errors
/// Those of [`conv_to_fc`].
pub fn conv_to_fc_within<T: Float>(
    kernel: &Kernel,
    geometry: Geometry,
    max_elements: usize,
) -> Result<Fc<T>, FoldError> {
    let shape = geometry.fc_shape(kernel.shape())?;
    let FcShape { rows, cols, .. } = shape;
    if shape.elements() > max_elements {
        return Err(FoldError::Limit { rows, cols, elements: max_elements });
    }
    let (mut weight, mut bias) = (zeros(shape.elements())?, zeros(rows)?);
    let band = Band::new(kernel, geometry)?;
    for (r, row) in band.rows().enumerate() {
        let entries = &mut weight[r * cols..(r + 1) * cols];
        row.entries(|col, value| entries[col] = round(value));
        bias[r] = round(row.bias());
    }
    Ok(Fc { weight, bias, shape })
}
