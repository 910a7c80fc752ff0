//! Parameters under the names that PyTorch's state dicts have for them.
//!
//! The constructor of a model asks a function for each of its tensors, by name and shape, in the
//! order of the official implementation's state dict. What it does with them comes later: a model of
//! `()` is built from nothing but lengths.

use crate::activation::Activation;
use crate::axis::{self, Axes, Linear, linear};
use crate::conv2d::{Conv2d, Nchw, conv2d};
use crate::gemm::Mat;
use crate::norm::{Along, BATCH_NORM_EPS, BatchNorm, batch_norm, layer_norm};
use crate::{Real, product};

/// `weight` and `bias` of a convolution, a linear layer or a norm.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer<T> {
    /// Kernel, matrix `[out, in]` or scale.
    pub weight: Vec<T>,
    /// One per output.
    pub bias: Vec<T>,
}

impl<T> Layer<T> {
    pub(crate) fn read(
        tensor: &mut impl FnMut(&str, &[usize]) -> Vec<T>,
        name: &str,
        shape: &[usize],
    ) -> Self {
        Self {
            weight: read(tensor, &format!("{name}.weight"), shape),
            bias: read(tensor, &format!("{name}.bias"), &shape[..1]),
        }
    }
}

impl<T: Real> Layer<T> {
    /// The layer as a matrix of `inputs` columns.
    pub(crate) fn linear(&self, inputs: usize) -> Linear<'_, T> {
        let weight = Mat::row_major(&self.weight, self.bias.len(), inputs);
        Linear { weight, bias: Some(&self.bias) }
    }

    /// The matrix along the axis of `x`, as [`linear`].
    pub(crate) fn forward(&self, x: &[T], axes: Axes) -> Vec<T> {
        linear(x, axes, &self.linear(axes.axis))
    }

    /// The scale and shift of a [`layer_norm`] of `x`.
    pub(crate) fn layer_norm(&self, x: &[T], axes: Axes, along: Along, eps: f64) -> Vec<T> {
        layer_norm(x, axes, along, &self.weight, &self.bias, T::of(eps))
    }
}

/// The layers `name.fc1` and `name.fc2` of a perceptron, `[hidden, features]` and
/// `[features, hidden]`.
pub(crate) fn read_mlp<T>(
    tensor: &mut impl FnMut(&str, &[usize]) -> Vec<T>,
    name: &str,
    features: usize,
    hidden: usize,
) -> [Layer<T>; 2] {
    [
        Layer::read(tensor, &format!("{name}.fc1"), &[hidden, features]),
        Layer::read(tensor, &format!("{name}.fc2"), &[features, hidden]),
    ]
}

/// Two layers along the axis of `x` with an activation between them, as [`axis::mlp`].
pub(crate) fn mlp<T: Real>(
    x: &[T],
    axes: Axes,
    [first, second]: &[Layer<T>; 2],
    activation: Activation,
) -> Vec<T> {
    axis::mlp(x, axes, &first.linear(axes.axis), activation, &second.linear(first.bias.len()))
}

impl<T> BatchNorm<T> {
    pub(crate) fn read(
        tensor: &mut impl FnMut(&str, &[usize]) -> Vec<T>,
        name: &str,
        size: usize,
    ) -> Self {
        let mut parameter = |suffix| read(tensor, &format!("{name}.{suffix}"), &[size]);
        Self {
            weight: parameter("weight"),
            bias: parameter("bias"),
            running_mean: parameter("running_mean"),
            running_var: parameter("running_var"),
        }
    }
}

/// A convolution without bias, then a batch norm over its output channels.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvBn<T> {
    /// What the convolution is.
    pub conv: Conv2d,
    /// Its kernels, `[out, in / groups, kernel height, kernel width]`.
    pub weight: Vec<T>,
    /// After it.
    pub bn: BatchNorm<T>,
}

impl<T> ConvBn<T> {
    pub(crate) fn read(
        tensor: &mut impl FnMut(&str, &[usize]) -> Vec<T>,
        name: &str,
        in_channels: usize,
        conv: Conv2d,
    ) -> Self {
        let Conv2d { out_channels, kernel, groups, .. } = conv;
        let shape = [out_channels, in_channels / groups, kernel[0], kernel[1]];
        let weight = read(tensor, &format!("{name}.conv.weight"), &shape);
        Self { conv, weight, bn: BatchNorm::read(tensor, &format!("{name}.bn"), out_channels) }
    }
}

impl<T: Real> ConvBn<T> {
    /// Sizes as [`Conv2d::output`].
    ///
    /// # Panics
    /// As [`conv2d`].
    pub fn forward(&self, x: &[T], input: Nchw) -> Vec<T> {
        let y = conv2d(x, input, &self.conv, &self.weight, None);
        let Nchw { batch, channels, height, width } = self.conv.output(input);
        let axes = Axes { outer: batch, axis: channels, inner: product(&[height, width]) };
        batch_norm(&y, axes, &self.bn, T::of(BATCH_NORM_EPS))
    }
}

/// One tensor, with its length checked.
pub(crate) fn read<T>(
    tensor: &mut impl FnMut(&str, &[usize]) -> Vec<T>,
    name: &str,
    shape: &[usize],
) -> Vec<T> {
    let data = tensor(name, shape);
    assert_eq!(data.len(), product(shape), "{name} {shape:?}");
    data
}

/// `tensor` for the names of a module: those within it, with the module's own name in front.
pub(crate) fn within<T>(
    module: String,
    tensor: &mut impl FnMut(&str, &[usize]) -> Vec<T>,
) -> impl FnMut(&str, &[usize]) -> Vec<T> {
    move |name, shape| tensor(&format!("{module}.{name}"), shape)
}

/// The names and shapes that `build` asks for.
pub(crate) fn asked<M>(
    build: impl FnOnce(&mut dyn FnMut(&str, &[usize]) -> Vec<()>) -> M,
) -> Vec<(String, Vec<usize>)> {
    let mut asked = Vec::new();
    build(&mut |name, shape| {
        asked.push((name.to_owned(), shape.to_vec()));
        vec![(); product(shape)]
    });
    asked
}
