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
use crate::axis::{Axes, linear, mlp};
use crate::conv2d::{Conv2d, Nchw, conv2d};
use crate::norm::{Along, layer_norm};
use crate::parameters::Layer;
use crate::{Real, add, mean, product};

/// The sizes of a Mixer.
#[derive(Debug, Clone, PartialEq)]
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
        product(&[self.height / self.patch, self.width / self.patch])
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

impl<T: Real> Mixer<T> {
    /// Asks `tensor` for each parameter by timm's name and shape, in the order of timm's state
    /// dict, for example `("blocks.0.mlp_tokens.fc1.weight", &[token_hidden, tokens])`.
    ///
    /// # Panics
    /// If `patch` does not divide the sides of the image, or a tensor does not have as many elements
    /// as its shape.
    pub fn new(config: MixerConfig, mut tensor: impl FnMut(&str, &[usize]) -> Vec<T>) -> Self {
        let MixerConfig { height, width, in_channels, patch, channels, classes, .. } = config;
        assert!(
            height.is_multiple_of(patch) && width.is_multiple_of(patch),
            "patches of {patch} in {height} x {width}"
        );
        let mut layer = |name: &str, shape: &[usize]| Layer::read(&mut tensor, name, shape);
        let stem = layer("stem.proj", &[channels, in_channels, patch, patch]);
        let blocks = (0..config.depth)
            .map(|i| {
                let mut layer =
                    |name: &str, shape: &[usize]| layer(&format!("blocks.{i}.{name}"), shape);
                let (tokens, hidden) = (config.tokens(), config.token_hidden);
                let norm1 = layer("norm1", &[channels]);
                let mlp_tokens = [
                    layer("mlp_tokens.fc1", &[hidden, tokens]),
                    layer("mlp_tokens.fc2", &[tokens, hidden]),
                ];
                let hidden = config.channel_hidden;
                let norm2 = layer("norm2", &[channels]);
                let mlp_channels = [
                    layer("mlp_channels.fc1", &[hidden, channels]),
                    layer("mlp_channels.fc2", &[channels, hidden]),
                ];
                Block { norm1, mlp_tokens, norm2, mlp_channels }
            })
            .collect();
        let norm = layer("norm", &[channels]);
        let head = layer("head", &[classes, channels]);
        Self { config, stem, blocks, norm, head }
    }

    /// Logits `[batch, classes]` of the images, `[batch, in_channels, height, width]`.
    ///
    /// # Panics
    /// If `images` does not have that size.
    pub fn forward(&self, images: &[T], batch: usize) -> Vec<T> {
        let MixerConfig { channels, .. } = self.config;
        let mut x = self.embed(images, batch);
        for block in &self.blocks {
            self.mix(&mut x, batch, block);
        }
        let x = self.normalise(&x, batch, &self.norm);
        let axes = self.axes(batch);
        let mut pooled = Vec::with_capacity(product(&[batch, channels]));
        for n in 0..batch {
            for c in 0..channels {
                pooled.push(mean((0..axes.axis).map(|s| x[axes.index(n, s, c)]), axes.axis));
            }
        }
        let per_image = Axes { outer: batch, axis: channels, inner: 1 };
        linear(&pooled, per_image, &self.head.linear(channels))
    }

    /// `[batch, tokens, channels]`, viewed along the tokens.
    fn axes(&self, batch: usize) -> Axes {
        Axes { outer: batch, axis: self.config.tokens(), inner: self.config.channels }
    }

    /// The patches of the images in raster order, each through the stem.
    fn embed(&self, images: &[T], batch: usize) -> Vec<T> {
        let MixerConfig { height, width, in_channels, patch, channels, .. } = self.config;
        let stem = Conv2d { stride: [patch, patch], ..Conv2d::new(channels, [patch, patch]) };
        let input = Nchw { batch, channels: in_channels, height, width };
        let maps = conv2d(images, input, &stem, &self.stem.weight, Some(&self.stem.bias));

        let axes = self.axes(batch);
        let mut x = Vec::with_capacity(maps.len());
        for n in 0..batch {
            for s in 0..axes.axis {
                x.extend((0..channels).map(|c| maps[(n * channels + c) * axes.axis + s]));
            }
        }
        x
    }

    fn mix(&self, x: &mut [T], batch: usize, block: &Block<T>) {
        let MixerConfig { channels, token_hidden, channel_hidden, activation, .. } = self.config;
        let along_tokens = self.axes(batch);
        let along_channels = along_tokens.inner_as_axis();

        let [first, second] = &block.mlp_tokens;
        let (first, second) = (first.linear(self.config.tokens()), second.linear(token_hidden));
        let normalised = self.normalise(x, batch, &block.norm1);
        add(x, &mlp(&normalised, along_tokens, &first, activation, &second));

        let [first, second] = &block.mlp_channels;
        let (first, second) = (first.linear(channels), second.linear(channel_hidden));
        let normalised = self.normalise(x, batch, &block.norm2);
        add(x, &mlp(&normalised, along_channels, &first, activation, &second));
    }

    /// Layer norm over the channels of each token.
    fn normalise(&self, x: &[T], batch: usize, norm: &Layer<T>) -> Vec<T> {
        let eps = T::of(self.config.eps);
        layer_norm(x, self.axes(batch), Along::Inner, &norm.weight, &norm.bias, eps)
    }
}
