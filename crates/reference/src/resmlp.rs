//! ResMLP (Touvron et al., arXiv 2105.03404), with the parameters of timm.
//!
//! ```text
//! x = patches of the images through one linear map      [batch, tokens, channels], raster order
//! depth times:
//!     x = x + ls1 · linear along tokens(affine(x))
//!     x = x + ls2 · mlp along channels (affine(x))
//! logits = head(mean over tokens(affine(x)))
//!
//! affine(x) = alpha · x + beta
//! ```
//!
//! `ls1`, `ls2`, `alpha` and `beta` have an element for each channel.

use crate::activation::Activation::GeluErf;
use crate::axis::Axes;
use crate::norm::{Along, affine};
use crate::parameters::{Layer, asked, mlp, read, read_mlp, within};
use crate::tokens::{Patches, mean_token, per_image};
use crate::{Real, add};

/// The sizes of a ResMLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResMlpConfig {
    /// Images and patches.
    pub patches: Patches,
    /// Hidden units of the MLP.
    pub hidden: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Number of logits.
    pub classes: usize,
}

impl ResMlpConfig {
    /// Name and shape of each tensor, in the order of timm's state dict.
    ///
    /// # Panics
    /// As [`ResMlp::new`].
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        asked(|tensor| ResMlp::new(*self, tensor))
    }
}

/// What ResMLP has for a norm.
#[derive(Debug, Clone, PartialEq)]
pub struct Affine<T> {
    /// Scale, one per channel.
    pub alpha: Vec<T>,
    /// Shift, one per channel.
    pub beta: Vec<T>,
}

/// The parameters of one block, under timm's names.
#[derive(Debug, Clone, PartialEq)]
pub struct Block<T> {
    /// Behind the linear map along tokens, one per channel.
    pub ls1: Vec<T>,
    /// Behind the MLP, one per channel.
    pub ls2: Vec<T>,
    /// Before the linear map along tokens.
    pub norm1: Affine<T>,
    /// Along tokens, `[tokens, tokens]`.
    pub linear_tokens: Layer<T>,
    /// Before the MLP.
    pub norm2: Affine<T>,
    /// Along channels, `[hidden, channels]` and `[channels, hidden]`.
    pub mlp_channels: [Layer<T>; 2],
}

/// A ResMLP with its parameters, under timm's names.
#[derive(Debug, Clone, PartialEq)]
pub struct ResMlp<T> {
    /// The sizes.
    pub config: ResMlpConfig,
    /// Patch embedding, `[channels, in_channels, patch, patch]`.
    pub stem: Layer<T>,
    /// `config.depth` blocks.
    pub blocks: Vec<Block<T>>,
    /// After the last block.
    pub norm: Affine<T>,
    /// Classifier, `[classes, channels]`.
    pub head: Layer<T>,
}

impl<T> Affine<T> {
    fn read(
        tensor: &mut impl FnMut(&str, &[usize]) -> Vec<T>,
        name: &str,
        channels: usize,
    ) -> Self {
        let mut parameter = |suffix| read(tensor, &format!("{name}.{suffix}"), &[1, 1, channels]);
        Self { alpha: parameter("alpha"), beta: parameter("beta") }
    }
}

impl<T> ResMlp<T> {
    /// Asks `tensor` for each parameter by timm's name and shape, in the order of
    /// [`ResMlpConfig::tensors`], for example
    /// `("blocks.0.linear_tokens.weight", &[tokens, tokens])`.
    ///
    /// # Panics
    /// If `patch` does not divide the sides of the image, or a tensor does not have as many elements
    /// as its shape.
    pub fn new(config: ResMlpConfig, mut tensor: impl FnMut(&str, &[usize]) -> Vec<T>) -> Self {
        let ResMlpConfig { patches, hidden, depth, classes } = config;
        let (tokens, channels) = (patches.tokens(), patches.channels);
        let tensor = &mut tensor;
        let stem = patches.read(tensor, "stem.proj");
        let blocks = (0..depth)
            .map(|i| {
                let tensor = &mut within(format!("blocks.{i}"), tensor);
                Block {
                    ls1: read(tensor, "ls1", &[channels]),
                    ls2: read(tensor, "ls2", &[channels]),
                    norm1: Affine::read(tensor, "norm1", channels),
                    linear_tokens: Layer::read(tensor, "linear_tokens", &[tokens, tokens]),
                    norm2: Affine::read(tensor, "norm2", channels),
                    mlp_channels: read_mlp(tensor, "mlp_channels", channels, hidden),
                }
            })
            .collect();
        let norm = Affine::read(tensor, "norm", channels);
        let head = Layer::read(tensor, "head", &[classes, channels]);
        Self { config, stem, blocks, norm, head }
    }
}

impl<T: Real> Affine<T> {
    fn forward(&self, x: &[T], axes: Axes) -> Vec<T> {
        affine(x, axes, Along::Inner, &self.alpha, &self.beta)
    }
}

impl<T: Real> Block<T> {
    /// Tokens to the same.
    ///
    /// # Panics
    /// If `x` does not have the size of `axes`, or that is not the block's.
    pub fn forward(&self, x: &[T], axes: Axes) -> Vec<T> {
        let mut x = x.to_vec();
        let update = self.linear_tokens.forward(&self.norm1.forward(&x, axes), axes);
        add(&mut x, &scale(&update, &self.ls1));
        let affine = self.norm2.forward(&x, axes);
        let update = mlp(&affine, axes.inner_as_axis(), &self.mlp_channels, GeluErf);
        add(&mut x, &scale(&update, &self.ls2));
        x
    }
}

impl<T: Real> ResMlp<T> {
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
        let x = self.norm.forward(&x, axes);
        self.head.forward(&mean_token(&x, axes), per_image(axes))
    }
}

/// Each channel by its scale.
fn scale<T: Real>(x: &[T], scale: &[T]) -> Vec<T> {
    x.iter().zip(scale.iter().cycle()).map(|(&x, &scale)| x * scale).collect()
}
