//! A convolution as a matrix, by convolving the identity.

use crate::conv2d::{Conv2d, Nchw, conv2d};
use crate::{Real, product};

/// The matrix of a convolution of a map of `[height, width]`: row major
/// `[out channels · output height · output width, in_channels / groups · height · width]`, so that a
/// product with the channels of a group as one vector is the convolution.
///
/// Column `i` is the response to an impulse at element `i` of a group, in all groups at once: each
/// group of outputs sees its own only. The images of impulses are the rows of an identity matrix,
/// repeated for every group along the channels.
///
/// # Panics
/// Those of [`conv2d`].
pub fn identity_conv_to_fc<T: Real>(
    in_channels: usize,
    [height, width]: [usize; 2],
    conv: &Conv2d,
    weight: &[T],
) -> Vec<T> {
    let group = product(&[in_channels / conv.groups, height, width]);
    let input = Nchw { batch: group, channels: in_channels, height, width };
    let mut impulses = Vec::with_capacity(input.elements());
    for i in 0..group {
        let row = (0..group).map(|j| if i == j { T::one() } else { T::zero() });
        for _ in 0..conv.groups {
            impulses.extend(row.clone());
        }
    }
    let responses = conv2d(&impulses, input, conv, weight, None);
    let rows = product(&[conv.out_channels, conv.output(input).height, conv.output(input).width]);
    (0..rows).flat_map(|row| responses.iter().skip(row).step_by(rows).copied()).collect()
}
