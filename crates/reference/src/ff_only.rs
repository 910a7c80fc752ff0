//! FF-only (Melas-Kyriazi, arXiv 2105.02723), with the parameters of its author.
//!
//! ```text
//! x = class token and patches, plus positions                   [batch, tokens, channels]
//! depth times:
//!     x = x + mlp along channels(layer_norm over channels(x))
//!     x = x + mlp along tokens  (layer_norm over tokens  (x))
//! logits = head(class token of layer_norm over channels(x))
//! ```
//!
//! The MLP along channels comes first, as in the released code; the second norm has a mean and a
//! variance for each channel, and a scale and a shift for each token.

use crate::activation::Activation::GeluErf;
use crate::axis::Axes;
use crate::embedding::Embedding;
use crate::norm::{Along, LAYER_NORM_EPS};
use crate::parameters::{Layer, asked, mlp, read_mlp, within};
use crate::tokens::{Patches, per_image, token};
use crate::{Real, add, total};

/// The sizes of an FF-only network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FfOnlyConfig {
    /// Images and patches.
    pub patches: Patches,
    /// Rows and columns of the stored positions: 14 × 14 in the official models, whatever the
    /// patches.
    pub position_grid: [usize; 2],
    /// Hidden units of the MLP along channels: 4 times the channels in the official models.
    pub channel_hidden: usize,
    /// Hidden units of the MLP along tokens: 4 times the tokens in the official models.
    pub token_hidden: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Number of logits.
    pub classes: usize,
}

impl FfOnlyConfig {
    /// The sizes of a block.
    pub fn block(&self) -> BlockConfig {
        BlockConfig {
            tokens: total(&[self.patches.tokens(), 1]),
            channels: self.patches.channels,
            channel_hidden: self.channel_hidden,
            token_hidden: self.token_hidden,
        }
    }

    /// Name and shape of each tensor.
    ///
    /// # Panics
    /// As [`FfOnly::new`].
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        asked(|tensor| FfOnly::new(*self, tensor))
    }
}

/// The sizes of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockConfig {
    /// Patches of an image and the class token.
    pub tokens: usize,
    /// Channels of a token.
    pub channels: usize,
    /// Hidden units of the MLP along channels.
    pub channel_hidden: usize,
    /// Hidden units of the MLP along tokens.
    pub token_hidden: usize,
}

/// The parameters of one block, under their official names.
#[derive(Debug, Clone, PartialEq)]
pub struct Block<T> {
    /// The sizes.
    pub config: BlockConfig,
    /// Along channels, `[channel_hidden, channels]` and `[channels, channel_hidden]`.
    pub mlp1: [Layer<T>; 2],
    /// Before it, over channels.
    pub norm1: Layer<T>,
    /// Along tokens, `[token_hidden, tokens]` and `[tokens, token_hidden]`.
    pub mlp2: [Layer<T>; 2],
    /// Before it, over tokens.
    pub norm2: Layer<T>,
}

/// An FF-only network with its parameters, under their official names.
#[derive(Debug, Clone, PartialEq)]
pub struct FfOnly<T> {
    /// The sizes.
    pub config: FfOnlyConfig,
    /// Before the blocks.
    pub embedding: Embedding<T>,
    /// `config.depth` blocks.
    pub blocks: Vec<Block<T>>,
    /// After the last block.
    pub norm: Layer<T>,
    /// Classifier, `[classes, channels]`.
    pub head: Layer<T>,
}

impl<T> Block<T> {
    /// Asks `tensor` for each parameter by its official name and shape, beginning with
    /// `("mlp1.fc1.weight", &[channel_hidden, channels])`.
    ///
    /// # Panics
    /// If a tensor does not have as many elements as its shape.
    pub fn new(config: BlockConfig, mut tensor: impl FnMut(&str, &[usize]) -> Vec<T>) -> Self {
        let BlockConfig { tokens, channels, channel_hidden, token_hidden } = config;
        let tensor = &mut tensor;
        Self {
            config,
            mlp1: read_mlp(tensor, "mlp1", channels, channel_hidden),
            norm1: Layer::read(tensor, "norm1", &[channels]),
            mlp2: read_mlp(tensor, "mlp2", tokens, token_hidden),
            norm2: Layer::read(tensor, "norm2", &[tokens]),
        }
    }
}

impl<T> FfOnly<T> {
    /// Asks `tensor` for each parameter by its official name and shape, in the order of
    /// [`FfOnlyConfig::tensors`], for example
    /// `("blocks.0.mlp2.fc1.weight", &[token_hidden, tokens])`.
    ///
    /// # Panics
    /// If `patch` does not divide the sides of the image, or a tensor does not have as many elements
    /// as its shape.
    pub fn new(config: FfOnlyConfig, mut tensor: impl FnMut(&str, &[usize]) -> Vec<T>) -> Self {
        let FfOnlyConfig { patches, position_grid, depth, classes, .. } = config;
        let tensor = &mut tensor;
        let embedding = Embedding::read(tensor, patches, position_grid);
        let blocks = (0..depth)
            .map(|i| Block::new(config.block(), within(format!("blocks.{i}"), tensor)))
            .collect();
        let norm = Layer::read(tensor, "norm", &[patches.channels]);
        let head = Layer::read(tensor, "head", &[classes, patches.channels]);
        Self { config, embedding, blocks, norm, head }
    }
}

impl<T: Real> Block<T> {
    /// `[batch, tokens, channels]` to the same.
    ///
    /// # Panics
    /// If `x` does not have that size.
    pub fn forward(&self, x: &[T], batch: usize) -> Vec<T> {
        let BlockConfig { tokens, channels, .. } = self.config;
        let axes = Axes { outer: batch, axis: tokens, inner: channels };
        let mut x = x.to_vec();
        let normalised = self.norm1.layer_norm(&x, axes, Along::Inner, LAYER_NORM_EPS);
        add(&mut x, &mlp(&normalised, axes.inner_as_axis(), &self.mlp1, GeluErf));
        let normalised = self.norm2.layer_norm(&x, axes, Along::Axis, LAYER_NORM_EPS);
        add(&mut x, &mlp(&normalised, axes, &self.mlp2, GeluErf));
        x
    }
}

impl<T: Real> FfOnly<T> {
    /// Logits `[batch, classes]` of the images, `[batch, in_channels, height, width]`.
    ///
    /// # Panics
    /// If `images` does not have that size.
    pub fn forward(&self, images: &[T], batch: usize) -> Vec<T> {
        let axes = self.embedding.axes(batch);
        let mut x = self.embedding.forward(images, batch);
        for block in &self.blocks {
            x = block.forward(&x, batch);
        }
        let x = self.norm.layer_norm(&x, axes, Along::Inner, LAYER_NORM_EPS);
        self.head.forward(&token(&x, axes, 0), per_image(axes))
    }
}
