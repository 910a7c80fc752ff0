//! Two-dimensional convolution in PyTorch's layout and sense.

use crate::{Real, product, total};

/// Sizes of a tensor in NCHW order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nchw {
    /// Images.
    pub batch: usize,
    /// Channels.
    pub channels: usize,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
}

impl Nchw {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        product(&[self.batch, self.channels, self.height, self.width])
    }

    /// Position of an element in the slice.
    pub fn index(&self, image: usize, channel: usize, row: usize, col: usize) -> usize {
        ((image * self.channels + channel) * self.height + row) * self.width + col
    }
}

/// What a convolution is, apart from its numbers. Pairs are `[vertical, horizontal]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2d {
    /// Channels of the output, a multiple of `groups`.
    pub out_channels: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Distance between neighbouring windows.
    pub stride: [usize; 2],
    /// Zeros added on each side.
    pub padding: [usize; 2],
    /// Distance between neighbouring taps of the kernel; 1 for a dense one.
    pub dilation: [usize; 2],
    /// Channels are split into so many groups, each convolved with its own kernels only.
    pub groups: usize,
}

impl Conv2d {
    /// A dense kernel with stride 1, no padding and one group.
    pub fn new(out_channels: usize, kernel: [usize; 2]) -> Self {
        Self { out_channels, kernel, stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 }
    }

    /// Sizes of the output, `(size + 2·padding − dilation·(kernel − 1) − 1) / stride + 1` each,
    /// rounded down.
    ///
    /// # Panics
    /// If the padded image is smaller than the kernel, or a kernel size or stride is 0.
    pub fn output(&self, input: Nchw) -> Nchw {
        let windows = |size: usize, d: usize| {
            assert!(self.kernel[d] > 0 && self.stride[d] > 0, "{self:?}");
            let reach = total(&[product(&[self.dilation[d], self.kernel[d] - 1]), 1]);
            let padded = total(&[size, self.padding[d], self.padding[d]]);
            assert!(reach <= padded, "kernel reaches over {reach} of {padded}");
            (padded - reach) / self.stride[d] + 1
        };
        Nchw {
            batch: input.batch,
            channels: self.out_channels,
            height: windows(input.height, 0),
            width: windows(input.width, 1),
        }
    }
}

/// Cross-correlation (the kernel is not flipped) of `x` (NCHW) with `weight`
/// `[out, in / groups, kernel height, kernel width]`, plus `bias[out]`; NCHW, sizes as
/// [`Conv2d::output`].
///
/// # Panics
/// If a slice does not have the size its layout gives, or `groups` does not divide the channels.
pub fn conv2d<T: Real>(
    x: &[T],
    input: Nchw,
    conv: &Conv2d,
    weight: &[T],
    bias: Option<&[T]>,
) -> Vec<T> {
    let Conv2d { out_channels, kernel, stride, padding, dilation, groups } = *conv;
    assert_eq!(x.len(), input.elements(), "input {input:?}");
    assert!(
        input.channels.is_multiple_of(groups) && out_channels.is_multiple_of(groups),
        "{groups} groups of {} to {out_channels} channels",
        input.channels
    );
    let group_in = input.channels / groups;
    let group_out = out_channels / groups;
    let kernels =
        Nchw { batch: out_channels, channels: group_in, height: kernel[0], width: kernel[1] };
    assert_eq!(weight.len(), kernels.elements(), "weight {kernels:?}");
    if let Some(bias) = bias {
        assert_eq!(bias.len(), out_channels, "bias");
    }

    // The image row or column under a tap, unless it lies in the padding.
    let under = |d: usize, size: usize, window: usize, tap: usize| {
        let at = (window * stride[d] + tap * dilation[d]).checked_sub(padding[d])?;
        (at < size).then_some(at)
    };
    let output = conv.output(input);
    let mut y = Vec::with_capacity(output.elements());
    for n in 0..output.batch {
        for o in 0..out_channels {
            for row in 0..output.height {
                for col in 0..output.width {
                    let mut dot = T::zero();
                    for c in 0..group_in {
                        let channel = o / group_out * group_in + c;
                        for ky in 0..kernel[0] {
                            let Some(h) = under(0, input.height, row, ky) else { continue };
                            for kx in 0..kernel[1] {
                                let Some(w) = under(1, input.width, col, kx) else { continue };
                                dot = dot
                                    + weight[kernels.index(o, c, ky, kx)]
                                        * x[input.index(n, channel, h, w)];
                            }
                        }
                    }
                    y.push(bias.map_or(dot, |bias| dot + bias[o]));
                }
            }
        }
    }
    y
}
