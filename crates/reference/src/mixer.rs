//! MLP-Mixer (Tolstikhin et al., arXiv 2105.01601), with the parameters of timm.
//!
//! ```text
//! x = patches of the images through one linear map      [batch, tokens, channels], raster order
//! depth times:
//!     x = x + mlp along tokens  (layer_norm over channels (x))
//!     x = x + mlp along channels(layer_norm over channels (x))
//! logits = head(mean over tokens(layer_norm over channels (x)))
//! ```

use crate::activation::Activation;
use crate::axis::Axes;
use crate::norm::Along;
use crate::parameters::{Layer, asked, mlp, read_mlp, within};
use crate::tokens::{Patches, mean_token, per_image};
use crate::{Real, add};

/// The sizes of a Mixer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MixerConfig {
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
    /// Hidden units of the MLP along tokens.
    pub token_hidden: usize,
    /// Hidden units of the MLP along channels.
    pub channel_hidden: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Number of logits.
    pub classes: usize,
    /// Added to the variance of every layer norm: 1e-6 in timm and in Flax.
    pub eps: f64,
    /// Of both MLPs: [`Activation::GeluErf`] in timm, [`Activation::GeluTanh`] in Flax.
    pub activation: Activation,
}

impl MixerConfig {
    /// Patches of an image.
    pub fn tokens(&self) -> usize {
        self.patches().tokens()
    }

    /// Name and shape of each tensor, in the order of timm's state dict.
    ///
    /// # Panics
    /// As [`Mixer::new`].
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        asked(|tensor| Mixer::new(*self, tensor))
    }

    fn patches(&self) -> Patches {
        let Self { height, width, in_channels, patch, channels, .. } = *self;
        Patches { height, width, in_channels, patch, channels }
    }
}

/// The parameters of one block, under timm's names.
#[derive(Debug, Clone, PartialEq)]
pub struct Block<T> {
    /// Before the MLP along tokens.
    pub norm1: Layer<T>,
    /// Its two layers, `[token_hidden, tokens]` and `[tokens, token_hidden]`.
    pub mlp_tokens: [Layer<T>; 2],
    /// Before the MLP along channels.
    pub norm2: Layer<T>,
    /// Its two layers, `[channel_hidden, channels]` and `[channels, channel_hidden]`.
    pub mlp_channels: [Layer<T>; 2],
}

/// A Mixer with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixer<T> {
    /// The sizes.
    pub config: MixerConfig,
    /// Patch embedding, `[channels, in_channels, patch, patch]`.
    pub stem: Layer<T>,
    /// `config.depth` blocks.
    pub blocks: Vec<Block<T>>,
    /// After the last block.
    pub norm: Layer<T>,
    /// Classifier, `[classes, channels]`.
    pub head: Layer<T>,
}

impl<T> Mixer<T> {
    /// Asks `tensor` for each parameter by timm's name and shape, in the order of
    /// [`MixerConfig::tensors`], for example
    /// `("blocks.0.mlp_tokens.fc1.weight", &[token_hidden, tokens])`.
    ///
    /// # Panics
    /// If `patch` does not divide the sides of the image, or a tensor does not have as many elements
    /// as its shape.
    pub fn new(config: MixerConfig, mut tensor: impl FnMut(&str, &[usize]) -> Vec<T>) -> Self {
        let MixerConfig { channels, token_hidden, channel_hidden, depth, classes, .. } = config;
        let tensor = &mut tensor;
        let stem = config.patches().read(tensor, "stem.proj");
        let blocks = (0..depth)
            .map(|i| {
                let tensor = &mut within(format!("blocks.{i}"), tensor);
                Block {
                    norm1: Layer::read(tensor, "norm1", &[channels]),
                    mlp_tokens: read_mlp(tensor, "mlp_tokens", config.tokens(), token_hidden),
                    norm2: Layer::read(tensor, "norm2", &[channels]),
                    mlp_channels: read_mlp(tensor, "mlp_channels", channels, channel_hidden),
                }
            })
            .collect();
        let norm = Layer::read(tensor, "norm", &[channels]);
        let head = Layer::read(tensor, "head", &[classes, channels]);
        Self { config, stem, blocks, norm, head }
    }
}

impl<T: Real> Mixer<T> {
    /// Logits `[batch, classes]` of the images, `[batch, in_channels, height, width]`.
    ///
    /// # Panics
    /// If `images` does not have that size.
    pub fn forward(&self, images: &[T], batch: usize) -> Vec<T> {
        let patches = self.config.patches();
        let axes = patches.axes(batch);
        let mut x = patches.embed(images, batch, &self.stem);
        for block in &self.blocks {
            self.mix(&mut x, axes, block);
        }
        let x = self.normalise(&x, axes, &self.norm);
        self.head.forward(&mean_token(&x, axes), per_image(axes))
    }

    fn mix(&self, x: &mut [T], axes: Axes, block: &Block<T>) {
        let MixerConfig { activation, .. } = self.config;
        let normalised = self.normalise(x, axes, &block.norm1);
        add(x, &mlp(&normalised, axes, &block.mlp_tokens, activation));
        let normalised = self.normalise(x, axes, &block.norm2);
        add(x, &mlp(&normalised, axes.inner_as_axis(), &block.mlp_channels, activation));
    }

    /// Layer norm over the channels of each token.
    fn normalise(&self, x: &[T], axes: Axes, norm: &Layer<T>) -> Vec<T> {
        norm.layer_norm(x, axes, Along::Inner, self.config.eps)
    }
}
