//! gMixer, the Mixer of timm with gated linear units for MLPs.
//!
//! ```text
//! x = patches of the images through one linear map      [batch, tokens, channels], raster order
//! depth times:
//!     x = x + glu along tokens  (layer_norm over channels(x))
//!     x = x + glu along channels(layer_norm over channels(x))
//! logits = head(mean over tokens(layer_norm over channels(x)))
//!
//! glu(x) = fc2(u · silu(v))                             u, v: the halves of fc1(x)
//! ```

use crate::activation::Activation::Silu;
use crate::axis::{Axes, glu};
use crate::norm::{Along, LAYER_NORM_EPS};
use crate::parameters::{Layer, asked, within};
use crate::tokens::{Patches, mean_token, per_image};
use crate::{Real, add};

/// The sizes of a gMixer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GMixerConfig {
    /// Images and patches.
    pub patches: Patches,
    /// Hidden units along tokens in front of the gate, even.
    pub token_hidden: usize,
    /// Hidden units along channels in front of the gate, even.
    pub channel_hidden: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Number of logits.
    pub classes: usize,
}

impl GMixerConfig {
    /// Name and shape of each tensor, in the order of timm's state dict.
    ///
    /// # Panics
    /// As [`GMixer::new`].
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        asked(|tensor| GMixer::new(*self, tensor))
    }
}

/// The parameters of one block, under timm's names.
#[derive(Debug, Clone, PartialEq)]
pub struct Block<T> {
    /// Before the unit along tokens.
    pub norm1: Layer<T>,
    /// Its two layers, `[token_hidden, tokens]` and `[tokens, token_hidden / 2]`.
    pub mlp_tokens: [Layer<T>; 2],
    /// Before the unit along channels.
    pub norm2: Layer<T>,
    /// Its two layers, `[channel_hidden, channels]` and `[channels, channel_hidden / 2]`.
    pub mlp_channels: [Layer<T>; 2],
}

/// A gMixer with its parameters, under timm's names.
#[derive(Debug, Clone, PartialEq)]
pub struct GMixer<T> {
    /// The sizes.
    pub config: GMixerConfig,
    /// Patch embedding, `[channels, in_channels, patch, patch]`.
    pub stem: Layer<T>,
    /// `config.depth` blocks.
    pub blocks: Vec<Block<T>>,
    /// After the last block.
    pub norm: Layer<T>,
    /// Classifier, `[classes, channels]`.
    pub head: Layer<T>,
}

impl<T> GMixer<T> {
    /// Asks `tensor` for each parameter by timm's name and shape, in the order of
    /// [`GMixerConfig::tensors`], for example
    /// `("blocks.0.mlp_tokens.fc2.weight", &[tokens, token_hidden / 2])`.
    ///
    /// # Panics
    /// If `patch` does not divide the sides of the image, a number of hidden units is odd, or a tensor
    /// does not have as many elements as its shape.
    pub fn new(config: GMixerConfig, mut tensor: impl FnMut(&str, &[usize]) -> Vec<T>) -> Self {
        let GMixerConfig { patches, token_hidden, channel_hidden, depth, classes } = config;
        let channels = patches.channels;
        let tensor = &mut tensor;
        let stem = patches.read(tensor, "stem.proj");
        let blocks = (0..depth)
            .map(|i| {
                let tensor = &mut within(format!("blocks.{i}"), tensor);
                Block {
                    norm1: Layer::read(tensor, "norm1", &[channels]),
                    mlp_tokens: read_unit(tensor, "mlp_tokens", patches.tokens(), token_hidden),
                    norm2: Layer::read(tensor, "norm2", &[channels]),
                    mlp_channels: read_unit(tensor, "mlp_channels", channels, channel_hidden),
                }
            })
            .collect();
        let norm = Layer::read(tensor, "norm", &[channels]);
        let head = Layer::read(tensor, "head", &[classes, channels]);
        Self { config, stem, blocks, norm, head }
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
        add(&mut x, &unit(&normalised, axes, &self.mlp_tokens));
        let normalised = self.norm2.layer_norm(&x, axes, Along::Inner, LAYER_NORM_EPS);
        add(&mut x, &unit(&normalised, axes.inner_as_axis(), &self.mlp_channels));
        x
    }
}

impl<T: Real> GMixer<T> {
    /// Logits `[batch, classes]` of the images, `[batch, in_channels, height, width]`.
    ///
    /// # Panics
    /// If `images` does not have that size.
    pub fn forward(&self, images: &[T], batch: usize) -> Vec<T> {
        let patches = self.config.patches;
        let axes = patches.axes(batch);
        let mut x = patches.embed(images, batch, &self.stem);
        for block in &self.blocks {
            x = block.forward(&x, axes);
        }
        let x = self.norm.layer_norm(&x, axes, Along::Inner, LAYER_NORM_EPS);
        self.head.forward(&mean_token(&x, axes), per_image(axes))
    }
}

/// The layers `name.fc1` and `name.fc2` of a gated unit.
fn read_unit<T>(
    tensor: &mut impl FnMut(&str, &[usize]) -> Vec<T>,
    name: &str,
    features: usize,
    hidden: usize,
) -> [Layer<T>; 2] {
    assert!(hidden.is_multiple_of(2), "halves of {hidden}");
    [
        Layer::read(tensor, &format!("{name}.fc1"), &[hidden, features]),
        Layer::read(tensor, &format!("{name}.fc2"), &[features, hidden / 2]),
    ]
}

/// A gated unit along the axis of `x`.
fn unit<T: Real>(x: &[T], axes: Axes, [fc1, fc2]: &[Layer<T>; 2]) -> Vec<T> {
    let hidden = Axes { axis: fc1.bias.len(), ..axes };
    let gated = glu(&fc1.forward(x, axes), hidden, Silu);
    fc2.forward(&gated, Axes { axis: hidden.axis / 2, ..axes })
}
