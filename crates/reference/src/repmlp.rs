//! The block of RepMLP (Ding et al., arXiv 2105.01883), with the parameters of its authors.
//!
//! ```text
//! v = average of each channel over each partition               [batch, channels, parts]
//! x = x + fc2(relu(fc1(batch_norm(v))))                         of its channel and partition
//! y = fc3 of each partition, see crate::fc3
//! ```
//!
//! The first two lines, the global perceptron, are there if there is more than one partition. The
//! deploy form has the norm of the averages in `fc1`, and the convolutions in `fc3`.

use crate::activation::Activation;
use crate::axis::{Axes, mlp};
use crate::conv2d::Nchw;
use crate::fc3::{Fc3, Fc3Config, Fc3Norm, Form};
use crate::norm::{BATCH_NORM_EPS, BatchNorm, batch_norm};
use crate::parameters::{Layer, asked};
use crate::{Real, mean, product};

/// The sizes of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepMlpConfig {
    /// Channels of the input, a multiple of `groups`.
    pub in_channels: usize,
    /// Channels of the output, a multiple of `groups`.
    pub out_channels: usize,
    /// Rows of a map, a multiple of those of a partition.
    pub height: usize,
    /// Columns of a map, a multiple of those of a partition.
    pub width: usize,
    /// Rows and columns of a partition.
    pub partition: [usize; 2],
    /// The hidden units of the global perceptron are its inputs divided by this, rounded down.
    pub reduction: usize,
    /// Groups of FC3 and of the convolutions.
    pub groups: usize,
    /// Sides of the kernels of the convolutions, odd.
    pub kernels: Vec<usize>,
}

impl RepMlpConfig {
    /// Partitions of a map, down and across.
    pub fn parts(&self) -> [usize; 2] {
        [self.height / self.partition[0], self.width / self.partition[1]]
    }

    /// Name and shape of each tensor, in the order of the official state dict. Its
    /// `num_batches_tracked` is no parameter.
    ///
    /// # Panics
    /// As [`RepMlp::new`].
    pub fn tensors(&self, form: Form) -> Vec<(String, Vec<usize>)> {
        asked(|tensor| RepMlp::new(self.clone(), form, tensor))
    }

    fn map(&self, batch: usize, channels: usize) -> Nchw {
        Nchw { batch, channels, height: self.height, width: self.width }
    }

    /// Where the elements of `[batch, parts down, parts across, channels, partition rows, partition
    /// columns]` are in a map.
    fn partitions(&self, map: Nchw) -> Vec<usize> {
        let ([down, across], [height, width]) = (self.parts(), self.partition);
        let mut positions = Vec::with_capacity(map.elements());
        for n in 0..map.batch {
            for a in 0..down {
                for b in 0..across {
                    for c in 0..map.channels {
                        for y in 0..height {
                            for z in 0..width {
                                positions.push(map.index(n, c, a * height + y, b * width + z));
                            }
                        }
                    }
                }
            }
        }
        positions
    }
}

/// The parameters of the global perceptron.
#[derive(Debug, Clone, PartialEq)]
pub struct GlobalPerceptron<T> {
    /// Of the averages, by channel; in the train form only.
    pub bn: Option<BatchNorm<T>>,
    /// `[hidden, in_channels · parts]`
    pub fc1: Layer<T>,
    /// `[in_channels · parts, hidden]`
    pub fc2: Layer<T>,
}

/// A block with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct RepMlp<T> {
    /// The sizes.
    pub config: RepMlpConfig,
    /// Unless a map is one partition.
    pub global: Option<GlobalPerceptron<T>>,
    /// Of each partition.
    pub fc3: Fc3<T>,
}

impl<T> RepMlp<T> {
    /// Asks `tensor` for each parameter by its official name and shape, in the order of
    /// [`RepMlpConfig::tensors`], for example `("fc1_fc2.fc1.weight", &[hidden, inputs])`.
    ///
    /// # Panics
    /// If partitions do not divide the map or groups the channels, a kernel is even, or a tensor
    /// does not have as many elements as its shape.
    pub fn new(
        config: RepMlpConfig,
        form: Form,
        mut tensor: impl FnMut(&str, &[usize]) -> Vec<T>,
    ) -> Self {
        let RepMlpConfig { in_channels, out_channels, groups, .. } = config;
        let ([down, across], [height, width]) = (config.parts(), config.partition);
        assert!(
            [down * height, across * width] == [config.height, config.width],
            "partitions of {height} x {width} in {} x {}",
            config.height,
            config.width
        );
        let global = ([down, across] != [1, 1]).then(|| {
            let inputs = product(&[in_channels, down, across]);
            let hidden = inputs / config.reduction;
            let fc1 = Layer::read(&mut tensor, "fc1_fc2.fc1", &[hidden, inputs]);
            let fc2 = Layer::read(&mut tensor, "fc1_fc2.fc2", &[inputs, hidden]);
            let bn = match form {
                Form::Train => Some(BatchNorm::read(&mut tensor, "avg.bn", in_channels)),
                Form::Deploy => None,
            };
            GlobalPerceptron { bn, fc1, fc2 }
        });
        let (kernels, norm) = (config.kernels.clone(), Fc3Norm::Features);
        let fc3 = Fc3Config { in_channels, out_channels, height, width, groups, kernels, norm };
        Self { config, global, fc3: Fc3::new(fc3, form, tensor) }
    }
}

impl<T: Real> RepMlp<T> {
    /// `[batch, in_channels, height, width]` to `[batch, out_channels, height, width]`.
    ///
    /// # Panics
    /// If `x` does not have that size.
    pub fn forward(&self, x: &[T], batch: usize) -> Vec<T> {
        let input = self.config.map(batch, self.config.in_channels);
        assert_eq!(x.len(), input.elements(), "input {input:?}");
        let mut x = x.to_vec();
        if let Some(global) = &self.global {
            self.add_global(&mut x, input, global);
        }

        let partitions = self.config.partitions(input).into_iter().map(|at| x[at]);
        let [down, across] = self.config.parts();
        let parts = product(&[batch, down, across]);
        let partitions = self.fc3.forward(&partitions.collect::<Vec<_>>(), parts);

        let output = self.config.map(batch, self.config.out_channels);
        let mut y = vec![T::zero(); output.elements()];
        for (at, value) in self.config.partitions(output).into_iter().zip(partitions) {
            y[at] = value;
        }
        y
    }

    /// The perceptron sees the averages of an image as one vector: channel, then row, then column.
    fn add_global(&self, x: &mut [T], map: Nchw, global: &GlobalPerceptron<T>) {
        let ([down, across], [height, width]) = (self.config.parts(), self.config.partition);
        let averages = Nchw { height: down, width: across, ..map };
        let mut v = Vec::with_capacity(averages.elements());
        for n in 0..map.batch {
            for c in 0..map.channels {
                for a in 0..down {
                    for b in 0..across {
                        let pixels = (0..height * width).map(|pixel| {
                            let (y, z) = (pixel / width, pixel % width);
                            x[map.index(n, c, a * height + y, b * width + z)]
                        });
                        v.push(mean(pixels, height * width));
                    }
                }
            }
        }
        if let Some(bn) = &global.bn {
            let axes = Axes { outer: map.batch, axis: map.channels, inner: down * across };
            v = batch_norm(&v, axes, bn, T::of(BATCH_NORM_EPS));
        }
        let inputs = product(&[map.channels, down, across]);
        let axes = Axes { outer: map.batch, axis: inputs, inner: 1 };
        let (fc1, fc2) = (global.fc1.linear(inputs), global.fc2.linear(global.fc1.bias.len()));
        let v = mlp(&v, axes, &fc1, Activation::Relu, &fc2);
        for n in 0..map.batch {
            for c in 0..map.channels {
                for row in 0..map.height {
                    for col in 0..map.width {
                        let at = map.index(n, c, row, col);
                        x[at] = x[at] + v[averages.index(n, c, row / height, col / width)];
                    }
                }
            }
        }
    }
}
