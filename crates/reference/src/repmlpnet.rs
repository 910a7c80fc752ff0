//! RepMLPNet (Ding et al., arXiv 2112.11081), with the parameters of its authors.
//!
//! ```text
//! x = relu(batch_norm(conv(images)))                            patches to [batch, channels, h, w]
//! for each stage:
//!     for each unit of the stage:
//!         x = x + block(batch_norm(x))
//!         x = x + ffn  (batch_norm(x))
//!     x = relu(batch_norm(conv(x)))                             2 x 2 to 1; not after the last stage
//! logits = head(mean over pixels(batch_norm(x)))
//!
//! block(u) = fc3(u) · sigmoid(fc2(relu(fc1(mean over pixels(u)))))
//! ffn(u)   = batch_norm(conv 1 x 1(gelu(batch_norm(conv 1 x 1(u)))))
//! ```
//!
//! `fc3` is [`crate::fc3`] with the whole map as one partition, and `share_sets` matrices and kernels,
//! one to a channel: channel `c` has those of set `c mod share_sets`. The deploy form differs in `fc3`
//! only; all other norms are norms there too.

use crate::activation::{Activation, gelu_erf, relu, sigmoid};
use crate::axis::{Axes, linear, mlp};
use crate::conv2d::{Conv2d, Nchw};
use crate::fc3::{Fc3, Fc3Config, Fc3Norm, Form};
use crate::norm::{BATCH_NORM_EPS, BatchNorm, batch_norm};
use crate::parameters::{ConvBn, Layer, asked, within};
use crate::{Real, add, mean, product};

/// The sizes of a RepMLPNet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepMlpNetConfig {
    /// Rows of an image: a multiple of `patch`, and that many patches can be halved between stages.
    pub height: usize,
    /// Columns of an image, likewise.
    pub width: usize,
    /// Channels of an image.
    pub in_channels: usize,
    /// Side of a patch: 4 in the official models.
    pub patch: usize,
    /// The stages, the largest map first.
    pub stages: Vec<Stage>,
    /// Sides of the kernels of the convolutions beside FC3, odd: 1 and 3 in the official models.
    pub kernels: Vec<usize>,
    /// Channels for each hidden unit of a gate: 4 in the official models.
    pub gate_reduction: usize,
    /// Hidden channels of an FFN for each channel: 4 in the official models.
    pub ffn_expansion: usize,
    /// Number of logits.
    pub classes: usize,
}

/// The sizes of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// Channels of its map, a multiple of `share_sets`.
    pub channels: usize,
    /// Number of units.
    pub units: usize,
    /// Number of matrices of FC3.
    pub share_sets: usize,
}

impl RepMlpNetConfig {
    /// The sizes of the units of a stage, its map among them.
    pub fn unit(&self, stage: usize) -> UnitConfig {
        let Stage { channels, share_sets, .. } = self.stages[stage];
        UnitConfig {
            channels,
            height: (self.height / self.patch) >> stage,
            width: (self.width / self.patch) >> stage,
            share_sets,
            kernels: self.kernels.clone(),
            gate_reduction: self.gate_reduction,
            ffn_expansion: self.ffn_expansion,
        }
    }

    /// Name and shape of each tensor, in the order of the official state dict. Its
    /// `num_batches_tracked` is no parameter.
    ///
    /// # Panics
    /// As [`RepMlpNet::new`].
    pub fn tensors(&self, form: Form) -> Vec<(String, Vec<usize>)> {
        asked(|tensor| RepMlpNet::new(self.clone(), form, tensor))
    }
}

/// The sizes of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitConfig {
    /// Channels, a multiple of `share_sets`.
    pub channels: usize,
    /// Rows of the map.
    pub height: usize,
    /// Columns of the map.
    pub width: usize,
    /// Number of matrices of FC3.
    pub share_sets: usize,
    /// Sides of the kernels of the convolutions beside FC3, odd.
    pub kernels: Vec<usize>,
    /// The hidden units of the gate are the channels divided by this, rounded down.
    pub gate_reduction: usize,
    /// The hidden channels of the FFN are so many times the channels.
    pub ffn_expansion: usize,
}

impl UnitConfig {
    fn pixels(&self) -> usize {
        product(&[self.height, self.width])
    }
}

/// The parameters of a block: FC3 with a gate.
#[derive(Debug, Clone, PartialEq)]
pub struct Block<T> {
    /// The sizes.
    pub config: UnitConfig,
    /// `gp.fc1` and `gp.fc2`, `[hidden, channels]` and `[channels, hidden]`.
    pub gate: [Layer<T>; 2],
    /// Of `share_sets` channels at a time.
    pub fc3: Fc3<T>,
}

/// The parameters of a unit, under their official names.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit<T> {
    /// The sizes.
    pub config: UnitConfig,
    /// After `prebn1`.
    pub repmlp_block: Block<T>,
    /// `ffn_block.ffn_fc1` and `ffn_block.ffn_fc2`, after `prebn2`.
    pub ffn_block: [ConvBn<T>; 2],
    /// Before the block.
    pub prebn1: BatchNorm<T>,
    /// Before the FFN.
    pub prebn2: BatchNorm<T>,
}

/// A RepMLPNet with its parameters, under their official names.
#[derive(Debug, Clone, PartialEq)]
pub struct RepMlpNet<T> {
    /// The sizes.
    pub config: RepMlpNetConfig,
    /// Patch embedding, `[channels of the first stage, in_channels, patch, patch]`.
    pub conv_embedding: ConvBn<T>,
    /// The units of each stage.
    pub stages: Vec<Vec<Unit<T>>>,
    /// Between the stages, `[channels of the next, channels, 2, 2]`.
    pub embeds: Vec<ConvBn<T>>,
    /// After the last unit.
    pub head_norm: BatchNorm<T>,
    /// Classifier, `[classes, channels of the last stage]`.
    pub head: Layer<T>,
}

impl<T> Block<T> {
    /// Asks `tensor` for each parameter by its official name and shape, in the order of the official
    /// state dict, beginning with `"gp.fc1.weight"`.
    ///
    /// # Panics
    /// If `share_sets` does not divide the channels, a kernel is even, or a tensor does not have as
    /// many elements as its shape.
    pub fn new(
        config: UnitConfig,
        form: Form,
        mut tensor: impl FnMut(&str, &[usize]) -> Vec<T>,
    ) -> Self {
        let UnitConfig { channels, height, width, share_sets, .. } = config;
        assert!(
            channels.is_multiple_of(share_sets),
            "{share_sets} share-sets of {channels} channels"
        );
        let hidden = channels / config.gate_reduction;
        let gate = [
            Layer::read(&mut tensor, "gp.fc1", &[hidden, channels, 1, 1]),
            Layer::read(&mut tensor, "gp.fc2", &[channels, hidden, 1, 1]),
        ];
        let fc3 = Fc3Config {
            in_channels: share_sets,
            out_channels: share_sets,
            height,
            width,
            groups: share_sets,
            kernels: config.kernels.clone(),
            norm: Fc3Norm::Channels,
        };
        Self { config, gate, fc3: Fc3::new(fc3, form, tensor) }
    }
}

impl<T> Unit<T> {
    /// Asks `tensor` for each parameter by its official name and shape, in the order of the official
    /// state dict, beginning with `"repmlp_block.gp.fc1.weight"`.
    ///
    /// # Panics
    /// As [`Block::new`].
    pub fn new(
        config: UnitConfig,
        form: Form,
        mut tensor: impl FnMut(&str, &[usize]) -> Vec<T>,
    ) -> Self {
        let UnitConfig { channels, ffn_expansion, .. } = config;
        let tensor = &mut tensor;
        let block = within("repmlp_block".to_owned(), tensor);
        let repmlp_block = Block::new(config.clone(), form, block);
        let hidden = product(&[ffn_expansion, channels]);
        let pointwise = |out_channels| Conv2d::new(out_channels, [1, 1]);
        let ffn_block = [
            ConvBn::read(tensor, "ffn_block.ffn_fc1", channels, pointwise(hidden)),
            ConvBn::read(tensor, "ffn_block.ffn_fc2", hidden, pointwise(channels)),
        ];
        let prebn1 = BatchNorm::read(tensor, "prebn1", channels);
        let prebn2 = BatchNorm::read(tensor, "prebn2", channels);
        Self { config, repmlp_block, ffn_block, prebn1, prebn2 }
    }
}

impl<T> RepMlpNet<T> {
    /// Asks `tensor` for each parameter by its official name and shape, in the order of
    /// [`RepMlpNetConfig::tensors`], for example
    /// `("stages.1.0.ffn_block.ffn_fc1.conv.weight", &[hidden, channels, 1, 1])`.
    ///
    /// # Panics
    /// If there is no stage, the sides of an image are not multiples of `patch` and of the halvings
    /// between stages, `share_sets` does not divide the channels, a kernel is even, or a tensor does
    /// not have as many elements as its shape.
    pub fn new(
        config: RepMlpNetConfig,
        form: Form,
        mut tensor: impl FnMut(&str, &[usize]) -> Vec<T>,
    ) -> Self {
        let RepMlpNetConfig { height, width, in_channels, patch, ref stages, classes, .. } = config;
        let (Some(first), Some(last)) = (stages.first(), stages.last()) else {
            panic!("no stages");
        };
        let smallest = stages[1..].iter().fold(patch, |side, _| product(&[side, 2]));
        assert!(
            height.is_multiple_of(smallest) && width.is_multiple_of(smallest),
            "pixels of the last map of {smallest} in {height} x {width}"
        );
        let tensor = &mut tensor;
        let strided =
            |channels, side| Conv2d { stride: [side, side], ..Conv2d::new(channels, [side, side]) };
        let stem = strided(first.channels, patch);
        let conv_embedding = ConvBn::read(tensor, "conv_embedding", in_channels, stem);
        let mut units = Vec::with_capacity(stages.len());
        for (i, stage) in stages.iter().enumerate() {
            let unit =
                |j| Unit::new(config.unit(i), form, within(format!("stages.{i}.{j}"), tensor));
            units.push((0..stage.units).map(unit).collect());
        }
        let embeds = (1..stages.len())
            .map(|i| {
                let conv = strided(stages[i].channels, 2);
                ConvBn::read(tensor, &format!("embeds.{}", i - 1), stages[i - 1].channels, conv)
            })
            .collect();
        let head_norm = BatchNorm::read(tensor, "head_norm", last.channels);
        let head = Layer::read(tensor, "head", &[classes, last.channels]);
        Self { config, conv_embedding, stages: units, embeds, head_norm, head }
    }
}

impl<T: Real> Block<T> {
    /// `[batch, channels, height, width]` to the same.
    ///
    /// # Panics
    /// If `x` does not have that size.
    pub fn forward(&self, x: &[T], batch: usize) -> Vec<T> {
        let UnitConfig { channels, share_sets, .. } = self.config;
        let pixels = self.config.pixels();
        let per_image = Axes { outer: batch, axis: channels, inner: 1 };
        let [fc1, fc2] = &self.gate;
        let (fc1, fc2) = (fc1.linear(channels), fc2.linear(fc1.bias.len()));
        let gate = mlp(&pixel_means(x, pixels), per_image, &fc1, Activation::Relu, &fc2);

        // `share_sets` consecutive channels are a partition for FC3, one of each set.
        let mut y = self.fc3.forward(x, product(&[batch, channels / share_sets]));
        for (map, gate) in y.chunks_exact_mut(pixels).zip(gate) {
            for value in map {
                *value = *value * sigmoid(gate);
            }
        }
        y
    }
}

impl<T: Real> Unit<T> {
    /// `[batch, channels, height, width]` to the same.
    ///
    /// # Panics
    /// If `x` does not have that size.
    pub fn forward(&self, x: &[T], batch: usize) -> Vec<T> {
        let UnitConfig { channels, height, width, .. } = self.config;
        let map = Nchw { batch, channels, height, width };
        let mut x = x.to_vec();
        let block = self.repmlp_block.forward(&normalise(&x, map, &self.prebn1), batch);
        add(&mut x, &block);

        let [fc1, fc2] = &self.ffn_block;
        let mut hidden = fc1.forward(&normalise(&x, map, &self.prebn2), map);
        for value in &mut hidden {
            *value = gelu_erf(*value);
        }
        add(&mut x, &fc2.forward(&hidden, fc1.conv.output(map)));
        x
    }
}

impl<T: Real> RepMlpNet<T> {
    /// Logits `[batch, classes]` of the images, `[batch, in_channels, height, width]`.
    ///
    /// # Panics
    /// If `images` does not have that size.
    pub fn forward(&self, images: &[T], batch: usize) -> Vec<T> {
        let RepMlpNetConfig { height, width, in_channels, .. } = self.config;
        let input = Nchw { batch, channels: in_channels, height, width };
        let (mut x, mut map) = embed(images, input, &self.conv_embedding);
        for (i, stage) in self.stages.iter().enumerate() {
            for unit in stage {
                x = unit.forward(&x, batch);
            }
            if let Some(conv) = self.embeds.get(i) {
                (x, map) = embed(&x, map, conv);
            }
        }
        let x = normalise(&x, map, &self.head_norm);
        let pooled = pixel_means(&x, product(&[map.height, map.width]));
        let per_image = Axes { outer: batch, axis: map.channels, inner: 1 };
        linear(&pooled, per_image, &self.head.linear(map.channels))
    }
}

/// `relu(batch_norm(conv(x)))` and its sizes.
fn embed<T: Real>(x: &[T], input: Nchw, conv: &ConvBn<T>) -> (Vec<T>, Nchw) {
    let y = conv.forward(x, input).into_iter().map(relu).collect();
    (y, conv.conv.output(input))
}

/// Batch norm of each channel.
fn normalise<T: Real>(x: &[T], map: Nchw, bn: &BatchNorm<T>) -> Vec<T> {
    let pixels = product(&[map.height, map.width]);
    let axes = Axes { outer: map.batch, axis: map.channels, inner: pixels };
    batch_norm(x, axes, bn, T::of(BATCH_NORM_EPS))
}

/// The mean of each channel of each image.
fn pixel_means<T: Real>(x: &[T], pixels: usize) -> Vec<T> {
    x.chunks_exact(pixels).map(|map| mean(map.iter().copied(), pixels)).collect()
}
