//! FC3, the matrix of RepMLP: a grouped linear layer over all pixels of a partition, and the
//! convolutions that are trained beside it.
//!
//! ```text
//! train     y = batch_norm(fc3(x)) + Σₖ batch_norm(convₖ(x))      fc3 and convₖ without bias
//! deploy    y = fc3(x) + bias
//! ```
//!
//! `x` is `[partitions, in_channels, height, width]` and `y`
//! `[partitions, out_channels, height, width]`. FC3 sees a partition as a vector of features, channel
//! by channel; the convolutions see it as an image of its own, with zeros around it.

use crate::axis::Axes;
use crate::conv2d::{Conv2d, Nchw, conv2d};
use crate::norm::{BATCH_NORM_EPS, BatchNorm, batch_norm};
use crate::parameters::{ConvBn, Layer, read};
use crate::{Real, add, product};

/// The two sets of parameters that a RepMLP can have for one function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As it is trained: with convolutions, and norms behind them and behind FC3.
    Train,
    /// As it is deployed: all of them in FC3.
    Deploy,
}

/// The sizes of FC3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fc3Config {
    /// Channels of the input, a multiple of `groups`.
    pub in_channels: usize,
    /// Channels of the output, a multiple of `groups`.
    pub out_channels: usize,
    /// Rows of a partition.
    pub height: usize,
    /// Columns of a partition.
    pub width: usize,
    /// Channels are split into so many groups, each with a matrix and kernels of its own.
    pub groups: usize,
    /// Sides of the kernels of the convolutions, odd.
    pub kernels: Vec<usize>,
    /// What the norm behind FC3 tells apart.
    pub norm: Fc3Norm,
}

/// What the norm behind FC3 has parameters and statistics for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fc3Norm {
    /// Each pixel of each output channel: `BatchNorm1d`, in RepMLP.
    Features,
    /// Each output channel: `BatchNorm2d`, in RepMLPNet.
    Channels,
}

impl Fc3Config {
    fn pixels(&self) -> usize {
        product(&[self.height, self.width])
    }

    /// The matrix as a grouped convolution over features, which is what it is called in state dicts.
    fn conv(&self) -> Conv2d {
        let out_features = product(&[self.out_channels, self.pixels()]);
        Conv2d { groups: self.groups, ..Conv2d::new(out_features, [1, 1]) }
    }
}

/// FC3 with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Fc3<T> {
    /// The sizes.
    pub config: Fc3Config,
    /// The parameters of either form.
    pub parameters: Fc3Parameters<T>,
}

/// The parameters of FC3. Its weight is
/// `[out_channels · height · width, in_channels / groups · height · width]`.
#[derive(Debug, Clone, PartialEq)]
pub enum Fc3Parameters<T> {
    /// Those of [`Form::Train`].
    Train {
        /// `fc3.weight`
        weight: Vec<T>,
        /// `fc3_bn`
        bn: BatchNorm<T>,
        /// `repconv1`, `repconv3` and so on, one for each kernel.
        convs: Vec<ConvBn<T>>,
    },
    /// `fc3` of [`Form::Deploy`].
    Deploy(Layer<T>),
}

impl<T> Fc3<T> {
    /// Asks `tensor` for each parameter by its official name and shape, in the order of the official
    /// state dict, beginning with `"fc3.weight"`.
    ///
    /// # Panics
    /// If `groups` does not divide the channels, a kernel is even, or a tensor does not have as many
    /// elements as its shape.
    pub fn new(
        config: Fc3Config,
        form: Form,
        mut tensor: impl FnMut(&str, &[usize]) -> Vec<T>,
    ) -> Self {
        let Fc3Config { in_channels, out_channels, groups, ref kernels, norm, .. } = config;
        assert!(
            in_channels.is_multiple_of(groups) && out_channels.is_multiple_of(groups),
            "{groups} groups of {in_channels} to {out_channels} channels"
        );
        let tensor = &mut tensor;
        let out_features = config.conv().out_channels;
        let in_features = product(&[in_channels / groups, config.pixels()]);
        let shape = [out_features, in_features, 1, 1];
        let parameters = match form {
            Form::Train => {
                let weight = read(tensor, "fc3.weight", &shape);
                let norm_size = match norm {
                    Fc3Norm::Features => out_features,
                    Fc3Norm::Channels => out_channels,
                };
                let bn = BatchNorm::read(tensor, "fc3_bn", norm_size);
                let conv = |&k: &usize| {
                    assert!(k % 2 == 1, "kernel of {k} x {k}");
                    let padding = [k / 2, k / 2];
                    let conv = Conv2d { padding, groups, ..Conv2d::new(out_channels, [k, k]) };
                    ConvBn::read(tensor, &format!("repconv{k}"), in_channels, conv)
                };
                Fc3Parameters::Train { weight, bn, convs: kernels.iter().map(conv).collect() }
            }
            Form::Deploy => Fc3Parameters::Deploy(Layer::read(tensor, "fc3", &shape)),
        };
        Self { config, parameters }
    }
}

impl<T: Real> Fc3<T> {
    /// `[partitions, in_channels, height, width]` to `[partitions, out_channels, height, width]`.
    ///
    /// # Panics
    /// If `x` does not have that size.
    pub fn forward(&self, x: &[T], partitions: usize) -> Vec<T> {
        let Fc3Config { in_channels, out_channels, height, width, norm, .. } = self.config;
        let (matrix, pixels) = (self.config.conv(), self.config.pixels());
        let images = Nchw { batch: partitions, channels: in_channels, height, width };
        let features = product(&[in_channels, pixels]);
        let vectors = Nchw { batch: partitions, channels: features, height: 1, width: 1 };
        match &self.parameters {
            Fc3Parameters::Train { weight, bn, convs } => {
                let y = conv2d(x, vectors, &matrix, weight, None);
                let (axis, inner) = match norm {
                    Fc3Norm::Features => (matrix.out_channels, 1),
                    Fc3Norm::Channels => (out_channels, pixels),
                };
                let axes = Axes { outer: partitions, axis, inner };
                let mut y = batch_norm(&y, axes, bn, T::of(BATCH_NORM_EPS));
                for conv in convs {
                    add(&mut y, &conv.forward(x, images));
                }
                y
            }
            Fc3Parameters::Deploy(fc3) => conv2d(x, vectors, &matrix, &fc3.weight, Some(&fc3.bias)),
        }
    }
}
