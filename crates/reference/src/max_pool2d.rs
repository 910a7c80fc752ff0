//! Two-dimensional max pooling in PyTorch's sense.

use crate::conv2d::{Conv2d, Nchw};
use crate::{Real, product};

/// What a max pooling is. Pairs are `[vertical, horizontal]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool2d {
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Distance between neighbouring windows.
    pub stride: [usize; 2],
    /// Pixels of −∞ added on each side.
    pub padding: [usize; 2],
}

impl MaxPool2d {
    /// Sizes of the output: those of a convolution.
    ///
    /// # Panics
    /// If the padded image is smaller than the kernel, or a kernel size or stride is 0.
    pub fn output(&self, input: Nchw) -> Nchw {
        let MaxPool2d { kernel, stride, padding } = *self;
        Conv2d { stride, padding, ..Conv2d::new(input.channels, kernel) }.output(input)
    }
}

/// The largest pixel of `x` (NCHW) under each window, sizes as [`MaxPool2d::output`]; NaN if one is
/// NaN, and −∞ if all of the window is padding. Of zeros of both signs, the first one, column by column.
///
/// # Panics
/// If the slice does not have the size its layout gives.
pub fn max_pool2d<T: Real>(x: &[T], input: Nchw, pool: &MaxPool2d) -> Vec<T> {
    assert_eq!(x.len(), input.elements(), "input {input:?}");
    let output = pool.output(input);
    let under = |d: usize, size: usize, window: usize, tap: usize| {
        let at = (product(&[window, pool.stride[d]]) + tap).checked_sub(pool.padding[d])?;
        (at < size).then_some(at)
    };
    let mut y = Vec::with_capacity(output.elements());
    for n in 0..output.batch {
        for c in 0..output.channels {
            for row in 0..output.height {
                for col in 0..output.width {
                    let mut max = T::neg_infinity();
                    for v in 0..pool.kernel[1] {
                        let Some(w) = under(1, input.width, col, v) else { continue };
                        for u in 0..pool.kernel[0] {
                            let Some(h) = under(0, input.height, row, u) else { continue };
                            let pixel = x[input.index(n, c, h, w)];
                            if pixel > max || pixel.is_nan() {
                                max = pixel;
                            }
                        }
                    }
                    y.push(max);
                }
            }
        }
    }
    y
}
