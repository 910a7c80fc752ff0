//! Tokens `[batch, tokens, channels]`: how images become them, and what is read out at the end.

use crate::axis::Axes;
use crate::conv2d::{Conv2d, Nchw, conv2d};
use crate::parameters::Layer;
use crate::{Real, mean, product};

/// Images cut into square patches, each of which becomes a token through the same linear map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patches {
    /// Rows of an image, a multiple of `patch`.
    pub height: usize,
    /// Columns of an image, a multiple of `patch`.
    pub width: usize,
    /// Channels of an image.
    pub in_channels: usize,
    /// Side of a patch.
    pub patch: usize,
    /// Channels of a token.
    pub channels: usize,
}

impl Patches {
    /// Patches down and across.
    pub fn grid(&self) -> [usize; 2] {
        [self.height / self.patch, self.width / self.patch]
    }

    /// Patches of an image.
    pub fn tokens(&self) -> usize {
        product(&self.grid())
    }

    /// `[batch, tokens, channels]`, viewed along the tokens.
    pub fn axes(&self, batch: usize) -> Axes {
        Axes { outer: batch, axis: self.tokens(), inner: self.channels }
    }

    /// The linear map `name`: `[channels, in_channels, patch, patch]` and a bias.
    ///
    /// # Panics
    /// If `patch` does not divide the sides of the image, or a tensor does not have as many elements
    /// as its shape.
    pub(crate) fn read<T>(
        &self,
        tensor: &mut impl FnMut(&str, &[usize]) -> Vec<T>,
        name: &str,
    ) -> Layer<T> {
        let Self { height, width, in_channels, patch, channels } = *self;
        assert!(
            height.is_multiple_of(patch) && width.is_multiple_of(patch),
            "patches of {patch} in {height} x {width}"
        );
        Layer::read(tensor, name, &[channels, in_channels, patch, patch])
    }

    /// The tokens of the images, `[batch, in_channels, height, width]`, in raster order.
    ///
    /// # Panics
    /// If `images` or `projection` does not have its size.
    pub fn embed<T: Real>(&self, images: &[T], batch: usize, projection: &Layer<T>) -> Vec<T> {
        let Self { height, width, in_channels, patch, channels } = *self;
        let conv = Conv2d { stride: [patch, patch], ..Conv2d::new(channels, [patch, patch]) };
        let input = Nchw { batch, channels: in_channels, height, width };
        let maps = conv2d(images, input, &conv, &projection.weight, Some(&projection.bias));

        let axes = self.axes(batch);
        let mut x = Vec::with_capacity(maps.len());
        for n in 0..batch {
            for s in 0..axes.axis {
                x.extend((0..channels).map(|c| maps[(n * channels + c) * axes.axis + s]));
            }
        }
        x
    }
}

/// `tokens`, the same for all images, in front of those of each image:
/// `[batch, tokens + axis, channels]`.
///
/// # Panics
/// If `x` does not have the size of `axes`, or a token does not have `axes.inner` channels.
pub fn prepend<T: Real>(tokens: &[&[T]], x: &[T], axes: Axes) -> Vec<T> {
    assert_eq!(x.len(), axes.elements(), "input {axes:?}");
    let mut y = Vec::new();
    for n in 0..axes.outer {
        for token in tokens {
            assert_eq!(token.len(), axes.inner, "channels of a token in front");
            y.extend_from_slice(token);
        }
        y.extend_from_slice(&x[axes.index(n, 0, 0)..axes.index(n + 1, 0, 0)]);
    }
    y
}

/// The token at one position of each image, `[batch, channels]`.
///
/// # Panics
/// If `x` does not have the size of `axes`, or there is no such position.
pub fn token<T: Real>(x: &[T], axes: Axes, position: usize) -> Vec<T> {
    assert_eq!(x.len(), axes.elements(), "input {axes:?}");
    assert!(position < axes.axis, "token {position} of {}", axes.axis);
    (0..axes.outer)
        .flat_map(|n| (0..axes.inner).map(move |c| x[axes.index(n, position, c)]))
        .collect()
}

/// The mean over the tokens of each image, `[batch, channels]`.
///
/// # Panics
/// If `x` does not have the size of `axes`.
pub fn mean_token<T: Real>(x: &[T], axes: Axes) -> Vec<T> {
    assert_eq!(x.len(), axes.elements(), "input {axes:?}");
    let of_channel = |n, c| mean((0..axes.axis).map(|s| x[axes.index(n, s, c)]), axes.axis);
    (0..axes.outer).flat_map(|n| (0..axes.inner).map(move |c| of_channel(n, c))).collect()
}

/// `[batch, channels]`, viewed along the channels, of one token of each image.
pub(crate) fn per_image(axes: Axes) -> Axes {
    Axes { outer: axes.outer, axis: axes.inner, inner: 1 }
}
