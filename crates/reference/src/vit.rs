//! ViT (Dosovitskiy et al., arXiv 2010.11929) and DeiT (Touvron et al., arXiv 2012.12877), with the
//! parameters of timm.
//!
//! ```text
//! x = class token, distillation token if there is one, patches  [batch, tokens, channels]
//! x = x + positions
//! depth times:
//!     x = x + attention         (layer_norm over channels(x))
//!     x = x + mlp along channels(layer_norm over channels(x))
//! logits = head(class token of layer_norm over channels(x))
//!
//! attention(u) = proj(self_attention(qkv(u)))                   scores divided by √(width of a head)
//! ```
//!
//! With a distillation token, which has a head of its own, the logits are the mean of those of both.

use crate::activation::Activation;
use crate::attention::self_attention;
use crate::axis::Axes;
use crate::norm::{Along, LAYER_NORM_EPS};
use crate::parameters::{Layer, asked, mlp, read, read_mlp, within};
use crate::tokens::{Patches, per_image, prepend, token};
use crate::{Real, add, product, total};

/// The sizes of a ViT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VitConfig {
    /// Images and patches.
    pub patches: Patches,
    /// Heads of the attention, a divisor of the channels.
    pub heads: usize,
    /// Hidden units of the MLP.
    pub hidden: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Number of logits.
    pub classes: usize,
    /// Whether there is a distillation token.
    pub distilled: bool,
    /// Of the MLP: [`Activation::GeluErf`] in timm and DeiT, [`Activation::GeluTanh`] in Flax.
    pub activation: Activation,
}

impl VitConfig {
    /// Patches of an image and the tokens in front of them.
    pub fn tokens(&self) -> usize {
        total(&[self.patches.tokens(), 1, self.distilled.into()])
    }

    /// Name and shape of each tensor, in the order of timm's state dict.
    ///
    /// # Panics
    /// As [`Vit::new`].
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        asked(|tensor| Vit::new(*self, tensor))
    }
}

/// The parameters of a self-attention with its projections, under timm's names.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention<T> {
    /// A divisor of the channels.
    pub heads: usize,
    /// To queries, keys and values, `[3·channels, channels]`.
    pub qkv: Layer<T>,
    /// From the heads, `[channels, channels]`.
    pub proj: Layer<T>,
}

/// The parameters of one block, under timm's names.
#[derive(Debug, Clone, PartialEq)]
pub struct Block<T> {
    /// Before the attention.
    pub norm1: Layer<T>,
    /// Among the tokens.
    pub attn: Attention<T>,
    /// Before the MLP.
    pub norm2: Layer<T>,
    /// Along the channels, `[hidden, channels]` and `[channels, hidden]`.
    pub mlp: [Layer<T>; 2],
}

/// What a DeiT has for its distillation token, under timm's names.
#[derive(Debug, Clone, PartialEq)]
pub struct Distillation<T> {
    /// Second of the tokens.
    pub dist_token: Vec<T>,
    /// Its classifier, `[classes, channels]`.
    pub head_dist: Layer<T>,
}

/// A ViT with its parameters, under timm's names.
#[derive(Debug, Clone, PartialEq)]
pub struct Vit<T> {
    /// The sizes.
    pub config: VitConfig,
    /// First of the tokens.
    pub cls_token: Vec<T>,
    /// Added to the tokens, `[tokens, channels]`.
    pub pos_embed: Vec<T>,
    /// Patch embedding, `[channels, in_channels, patch, patch]`.
    pub patch_embed: Layer<T>,
    /// `config.depth` blocks.
    pub blocks: Vec<Block<T>>,
    /// After the last block.
    pub norm: Layer<T>,
    /// Classifier, `[classes, channels]`.
    pub head: Layer<T>,
    /// If `config.distilled`.
    pub distillation: Option<Distillation<T>>,
}

impl<T> Attention<T> {
    /// `name.qkv` and `name.proj`.
    pub(crate) fn read(
        tensor: &mut impl FnMut(&str, &[usize]) -> Vec<T>,
        name: &str,
        channels: usize,
        heads: usize,
    ) -> Self {
        assert!(channels.is_multiple_of(heads), "{heads} heads of {channels} channels");
        let qkv = Layer::read(tensor, &format!("{name}.qkv"), &[product(&[3, channels]), channels]);
        let proj = Layer::read(tensor, &format!("{name}.proj"), &[channels, channels]);
        Self { heads, qkv, proj }
    }
}

impl<T> Vit<T> {
    /// Asks `tensor` for each parameter by timm's name and shape, in the order of
    /// [`VitConfig::tensors`], for example `("blocks.0.attn.qkv.weight", &[3·channels, channels])`.
    ///
    /// # Panics
    /// If `patch` does not divide the sides of the image, `heads` does not divide the channels, or a
    /// tensor does not have as many elements as its shape.
    pub fn new(config: VitConfig, mut tensor: impl FnMut(&str, &[usize]) -> Vec<T>) -> Self {
        let VitConfig { patches, heads, hidden, depth, classes, distilled, .. } = config;
        let channels = patches.channels;
        let tensor = &mut tensor;
        let cls_token = read(tensor, "cls_token", &[1, 1, channels]);
        let pos_embed = read(tensor, "pos_embed", &[1, config.tokens(), channels]);
        let dist_token = distilled.then(|| read(tensor, "dist_token", &[1, 1, channels]));
        let patch_embed = patches.read(tensor, "patch_embed.proj");
        let blocks = (0..depth)
            .map(|i| {
                let tensor = &mut within(format!("blocks.{i}"), tensor);
                Block {
                    norm1: Layer::read(tensor, "norm1", &[channels]),
                    attn: Attention::read(tensor, "attn", channels, heads),
                    norm2: Layer::read(tensor, "norm2", &[channels]),
                    mlp: read_mlp(tensor, "mlp", channels, hidden),
                }
            })
            .collect();
        let norm = Layer::read(tensor, "norm", &[channels]);
        let head = Layer::read(tensor, "head", &[classes, channels]);
        let distillation = dist_token.map(|dist_token| {
            let head_dist = Layer::read(tensor, "head_dist", &[classes, channels]);
            Distillation { dist_token, head_dist }
        });
        Self { config, cls_token, pos_embed, patch_embed, blocks, norm, head, distillation }
    }
}

impl<T: Real> Attention<T> {
    /// Attention among the positions, which run along `positions`, to the same size; the channels run
    /// along the other one of the last two dimensions.
    ///
    /// # Panics
    /// If `x` does not have the size of `axes`, or that is not the attention's.
    pub fn forward(&self, x: &[T], axes: Axes, positions: Along) -> Vec<T> {
        let (channels, along_channels) = match positions {
            Along::Axis => (axes.inner, axes.inner_as_axis()),
            Along::Inner => (axes.axis, axes),
        };
        let qkv = self.qkv.forward(x, along_channels);
        let scale = T::one() / T::of((channels / self.heads) as f64).sqrt();
        let attended = self_attention(&qkv, axes, self.heads, positions, scale);
        self.proj.forward(&attended, along_channels)
    }
}

impl<T: Real> Block<T> {
    /// Tokens to the same.
    ///
    /// # Panics
    /// If `x` does not have the size of `axes`, or `axes.inner` is not the number of channels.
    pub fn forward(&self, x: &[T], axes: Axes, activation: Activation) -> Vec<T> {
        let mut x = x.to_vec();
        let normalised = self.norm1.layer_norm(&x, axes, Along::Inner, LAYER_NORM_EPS);
        add(&mut x, &self.attn.forward(&normalised, axes, Along::Axis));
        let normalised = self.norm2.layer_norm(&x, axes, Along::Inner, LAYER_NORM_EPS);
        add(&mut x, &mlp(&normalised, axes.inner_as_axis(), &self.mlp, activation));
        x
    }
}

impl<T: Real> Vit<T> {
    /// Logits `[batch, classes]` of the images, `[batch, in_channels, height, width]`.
    ///
    /// # Panics
    /// If `images` does not have that size.
    pub fn forward(&self, images: &[T], batch: usize) -> Vec<T> {
        let patches = self.config.patches;
        let x = patches.embed(images, batch, &self.patch_embed);
        let mut first = vec![&self.cls_token[..]];
        first.extend(self.distillation.as_ref().map(|d| &d.dist_token[..]));
        let mut x = prepend(&first, &x, patches.axes(batch));

        let axes = Axes { axis: self.config.tokens(), ..patches.axes(batch) };
        add(&mut x, &self.pos_embed.repeat(batch));
        for block in &self.blocks {
            x = block.forward(&x, axes, self.config.activation);
        }
        let x = self.norm.layer_norm(&x, axes, Along::Inner, LAYER_NORM_EPS);
        let logits = self.head.forward(&token(&x, axes, 0), per_image(axes));
        let Some(Distillation { head_dist, .. }) = &self.distillation else { return logits };
        let distilled = head_dist.forward(&token(&x, axes, 1), per_image(axes));
        logits.into_iter().zip(distilled).map(|(a, b)| (a + b) / T::of(2.0)).collect()
    }
}
