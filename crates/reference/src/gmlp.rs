//! gMLP (Liu et al., arXiv 2105.08050), with the parameters of timm.
//!
//! ```text
//! x = patches of the images through one linear map      [batch, tokens, channels], raster order
//! depth times:
//!     x = x + fc2(gate(gelu(fc1(layer_norm over channels(x)))))
//! logits = head(mean over tokens(layer_norm over channels(x)))
//!
//! gate(h) = u · proj along tokens(layer_norm over channels(v))          u, v: the halves of h
//! ```

use crate::activation::gelu_erf;
use crate::axis::{Axes, halves};
use crate::norm::{Along, LAYER_NORM_EPS};
use crate::parameters::{Layer, asked, within};
use crate::tokens::{Patches, mean_token, per_image};
use crate::{Real, add};

/// What is added to the variance of the norm within the gate: PyTorch's default, not that of the
/// other norms.
pub const GATE_NORM_EPS: f64 = 1e-5;

/// The sizes of a gMLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GMlpConfig {
    /// Images and patches.
    pub patches: Patches,
    /// Hidden units of a block in front of the gate, even.
    pub hidden: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Number of logits.
    pub classes: usize,
}

impl GMlpConfig {
    /// Name and shape of each tensor, in the order of timm's state dict.
    ///
    /// # Panics
    /// As [`GMlp::new`].
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        asked(|tensor| GMlp::new(*self, tensor))
    }
}

/// The parameters of a spatial gating unit, `mlp_channels.gate`.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate<T> {
    /// Over the `hidden / 2` channels of the second half.
    pub norm: Layer<T>,
    /// Along tokens, `[tokens, tokens]`.
    pub proj: Layer<T>,
}

/// The parameters of one block; those but the norm are in `mlp_channels`.
#[derive(Debug, Clone, PartialEq)]
pub struct Block<T> {
    /// Before the rest.
    pub norm: Layer<T>,
    /// Along channels, `[hidden, channels]`.
    pub fc1: Layer<T>,
    /// Between the two.
    pub gate: Gate<T>,
    /// Along channels, `[channels, hidden / 2]`.
    pub fc2: Layer<T>,
}

/// A gMLP with its parameters, under timm's names.
#[derive(Debug, Clone, PartialEq)]
pub struct GMlp<T> {
    /// The sizes.
    pub config: GMlpConfig,
    /// Patch embedding, `[channels, in_channels, patch, patch]`.
    pub stem: Layer<T>,
    /// `config.depth` blocks.
    pub blocks: Vec<Block<T>>,
    /// After the last block.
    pub norm: Layer<T>,
    /// Classifier, `[classes, channels]`.
    pub head: Layer<T>,
}

impl<T> GMlp<T> {
    /// Asks `tensor` for each parameter by timm's name and shape, in the order of
    /// [`GMlpConfig::tensors`], for example
    /// `("blocks.0.mlp_channels.gate.proj.weight", &[tokens, tokens])`.
    ///
    /// # Panics
    /// If `patch` does not divide the sides of the image, `hidden` is odd, or a tensor does not have
    /// as many elements as its shape.
    pub fn new(config: GMlpConfig, mut tensor: impl FnMut(&str, &[usize]) -> Vec<T>) -> Self {
        let GMlpConfig { patches, hidden, depth, classes } = config;
        assert!(hidden.is_multiple_of(2), "halves of {hidden}");
        let (tokens, channels) = (patches.tokens(), patches.channels);
        let tensor = &mut tensor;
        let stem = patches.read(tensor, "stem.proj");
        let blocks = (0..depth)
            .map(|i| {
                let tensor = &mut within(format!("blocks.{i}"), tensor);
                let norm = Layer::read(tensor, "norm", &[channels]);
                let fc1 = Layer::read(tensor, "mlp_channels.fc1", &[hidden, channels]);
                let gate = Gate {
                    norm: Layer::read(tensor, "mlp_channels.gate.norm", &[hidden / 2]),
                    proj: Layer::read(tensor, "mlp_channels.gate.proj", &[tokens, tokens]),
                };
                let fc2 = Layer::read(tensor, "mlp_channels.fc2", &[channels, hidden / 2]);
                Block { norm, fc1, gate, fc2 }
            })
            .collect();
        let norm = Layer::read(tensor, "norm", &[channels]);
        let head = Layer::read(tensor, "head", &[classes, channels]);
        Self { config, stem, blocks, norm, head }
    }
}

impl<T: Real> Gate<T> {
    /// Hidden tokens `[batch, tokens, hidden]` to half as many channels.
    ///
    /// # Panics
    /// If `x` does not have the size of `axes`, or that is not the gate's.
    pub fn forward(&self, x: &[T], axes: Axes) -> Vec<T> {
        let [u, v] = halves(x, axes.inner_as_axis());
        let axes = Axes { inner: axes.inner / 2, ..axes };
        let v = self.norm.layer_norm(&v, axes, Along::Inner, GATE_NORM_EPS);
        u.into_iter().zip(self.proj.forward(&v, axes)).map(|(u, v)| u * v).collect()
    }
}

impl<T: Real> Block<T> {
    /// Tokens to the same.
    ///
    /// # Panics
    /// If `x` does not have the size of `axes`, or that is not the block's.
    pub fn forward(&self, x: &[T], axes: Axes) -> Vec<T> {
        let normalised = self.norm.layer_norm(x, axes, Along::Inner, LAYER_NORM_EPS);
        let mut hidden = self.fc1.forward(&normalised, axes.inner_as_axis());
        for value in &mut hidden {
            *value = gelu_erf(*value);
        }
        let gated = self.gate.forward(&hidden, Axes { inner: self.fc1.bias.len(), ..axes });
        let gated_axes = Axes { inner: self.fc1.bias.len() / 2, ..axes };
        let mut x = x.to_vec();
        add(&mut x, &self.fc2.forward(&gated, gated_axes.inner_as_axis()));
        x
    }
}

impl<T: Real> GMlp<T> {
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
