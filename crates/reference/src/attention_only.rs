//! The attention-only network of Melas-Kyriazi (arXiv 2105.02723): **a reconstruction**.
//!
//! The paper says in a sentence that the MLP of ViT-Tiny is replaced by attention over the features,
//! and that 4.0 million parameters are left; no code was released. This is what was built from that:
//!
//! ```text
//! x = class token and patches, plus positions                   [batch, tokens, channels]
//! depth times:
//!     x = x + attention among tokens  (layer_norm over channels(x))
//!     x = x + attention among channels(layer_norm over tokens  (x))
//! logits = head(class token of layer_norm over channels(x))
//! ```
//!
//! The second attention is that of ViT applied to the transposed map: its positions are the channels,
//! its features the tokens. ViT-Tiny has 197 of those with its class token, a prime, so that there
//! can only be one head. The order of the two, what the second norm is over, the scale by the square
//! root of the width, and the biases of all projections are choices. With them the network as large
//! as ViT-Tiny has 4,039,360 parameters; without the biases of queries, keys and values it would have
//! 4,025,356, and with the second norm over channels 120 fewer: all of these are 4.0 million. What is
//! in front of the blocks and behind them is FF-only's.

use crate::axis::Axes;
use crate::embedding::Embedding;
use crate::norm::{Along, LAYER_NORM_EPS};
use crate::parameters::{Layer, asked, within};
use crate::tokens::{Patches, per_image, token};
use crate::vit::Attention;
use crate::{Real, add, total};

/// The sizes of an attention-only network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionOnlyConfig {
    /// Images and patches.
    pub patches: Patches,
    /// Rows and columns of the stored positions.
    pub position_grid: [usize; 2],
    /// Heads of the attention among tokens, a divisor of the channels.
    pub heads: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Number of logits.
    pub classes: usize,
}

impl AttentionOnlyConfig {
    /// Patches of an image and the class token.
    pub fn tokens(&self) -> usize {
        total(&[self.patches.tokens(), 1])
    }

    /// Name and shape of each tensor.
    ///
    /// # Panics
    /// As [`AttentionOnly::new`].
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        asked(|tensor| AttentionOnly::new(*self, tensor))
    }
}

/// The parameters of one block.
#[derive(Debug, Clone, PartialEq)]
pub struct Block<T> {
    /// Among tokens.
    pub attn: Attention<T>,
    /// Before it, over channels.
    pub norm1: Layer<T>,
    /// Among channels: its `qkv` is `[3·tokens, tokens]`, its `proj` `[tokens, tokens]`.
    pub attn_features: Attention<T>,
    /// Before it, over tokens.
    pub norm2: Layer<T>,
}

/// An attention-only network with its parameters, under names like those of FF-only and ViT.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionOnly<T> {
    /// The sizes.
    pub config: AttentionOnlyConfig,
    /// Before the blocks.
    pub embedding: Embedding<T>,
    /// `config.depth` blocks.
    pub blocks: Vec<Block<T>>,
    /// After the last block.
    pub norm: Layer<T>,
    /// Classifier, `[classes, channels]`.
    pub head: Layer<T>,
}

impl<T> AttentionOnly<T> {
    /// Asks `tensor` for each parameter by name and shape, in the order of
    /// [`AttentionOnlyConfig::tensors`], for example
    /// `("blocks.0.attn_features.qkv.weight", &[3·tokens, tokens])`.
    ///
    /// # Panics
    /// If `patch` does not divide the sides of the image, `heads` does not divide the channels, or a
    /// tensor does not have as many elements as its shape.
    pub fn new(
        config: AttentionOnlyConfig,
        mut tensor: impl FnMut(&str, &[usize]) -> Vec<T>,
    ) -> Self {
        let AttentionOnlyConfig { patches, position_grid, heads, depth, classes } = config;
        let (tokens, channels) = (config.tokens(), patches.channels);
        let tensor = &mut tensor;
        let embedding = Embedding::read(tensor, patches, position_grid);
        let blocks = (0..depth)
            .map(|i| {
                let tensor = &mut within(format!("blocks.{i}"), tensor);
                Block {
                    attn: Attention::read(tensor, "attn", channels, heads),
                    norm1: Layer::read(tensor, "norm1", &[channels]),
                    attn_features: Attention::read(tensor, "attn_features", tokens, 1),
                    norm2: Layer::read(tensor, "norm2", &[tokens]),
                }
            })
            .collect();
        let norm = Layer::read(tensor, "norm", &[channels]);
        let head = Layer::read(tensor, "head", &[classes, channels]);
        Self { config, embedding, blocks, norm, head }
    }
}

impl<T: Real> Block<T> {
    /// Tokens to the same.
    ///
    /// # Panics
    /// If `x` does not have the size of `axes`, or that is not the block's.
    pub fn forward(&self, x: &[T], axes: Axes) -> Vec<T> {
        let mut x = x.to_vec();
        let normalised = self.norm1.layer_norm(&x, axes, Along::Inner, LAYER_NORM_EPS);
        add(&mut x, &self.attn.forward(&normalised, axes, Along::Axis));

        let normalised = self.norm2.layer_norm(&x, axes, Along::Axis, LAYER_NORM_EPS);
        add(&mut x, &self.attn_features.forward(&normalised, axes, Along::Inner));
        x
    }
}

impl<T: Real> AttentionOnly<T> {
    /// Logits `[batch, classes]` of the images, `[batch, in_channels, height, width]`.
    ///
    /// # Panics
    /// If `images` does not have that size.
    pub fn forward(&self, images: &[T], batch: usize) -> Vec<T> {
        let axes = self.embedding.axes(batch);
        let mut x = self.embedding.forward(images, batch);
        for block in &self.blocks {
            x = block.forward(&x, axes);
        }
        let x = self.norm.layer_norm(&x, axes, Along::Inner, LAYER_NORM_EPS);
        self.head.forward(&token(&x, axes, 0), per_image(axes))
    }
}
