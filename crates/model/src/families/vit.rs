//! ViT (Dosovitskiy et al., *An Image is Worth 16x16 Words*, 2021) and DeiT (Touvron et al., *Training
//! data-efficient image transformers & distillation through attention*, 2021).
//!
//! ```text
//! x = (class token | patches(image) · W + b) + positions     [tokens, channels]
//! depth times:
//!     x = x + proj(attention(qkv(norm(x))))
//!     x = x + W₂·gelu(W₁·norm(x) + b₁) + b₂                  along the channels
//! logits = head(norm(x of the class token))
//! ```
//!
//! A distilled DeiT has a second token with a head of its own; the logits are the mean of both heads'.
//!
//! In the last block all tokens have keys and values, but only those that the heads read have queries:
//! no other is computed.

use std::ops::Range;

use mixfold_mix::{AxisLinear, Norm, PatchEmbed, Positions, SelfAttention, Side};

use super::vit_names;
use crate::ModelError;
use crate::checkpoint::Checkpoint;
use crate::network::Phase;
use crate::sizes::{product, sum};
use crate::tokens::{
    Along, Attention, Found, Names, Part, ReadAttention, Reader, Readout, Tensors, TokenFamily,
    Trunk,
};
use crate::weights::Layout;

/// The sizes of a ViT or DeiT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VitConfig {
    /// Images, patches, channels and number of blocks.
    pub trunk: Trunk,
    /// Heads of the attention.
    pub heads: usize,
    /// Hidden units of the perceptrons.
    pub hidden: usize,
    /// With a distillation token beside the class token.
    pub distilled: bool,
}

impl VitConfig {
    /// For 224 × 224 colour images, with heads of 64 channels.
    pub const fn imagenet(depth: usize, patch: usize, channels: usize) -> Self {
        let trunk = Trunk::imagenet(depth, patch, channels);
        VitConfig { trunk, heads: heads_of_64(channels), hidden: 4 * channels, distilled: false }
    }

    /// The same with a distillation token.
    pub const fn distilled(self) -> Self {
        VitConfig { distilled: true, ..self }
    }
}

impl TokenFamily for VitConfig {
    const NAME: &'static str = "ViT";
    const NAMES: &'static [Names] = &[Names::Usual, Names::Flax];
    const STEM: &'static str = "patch_embed.proj";
    const FIXED_SIZE: &'static str = "its position embedding is bound to the number of patches";
    const PARTS: &'static [(&'static str, Phase)] =
        &[("attn", Phase::Tokens), ("", Phase::Channels)];

    fn trunk(&self) -> &Trunk {
        &self.trunk
    }

    fn readout(&self) -> Readout {
        Readout::Prefix(if self.distilled { 2 } else { 1 })
    }

    fn heads(&self) -> &'static [&'static str] {
        if self.distilled { &["head", "head_dist"] } else { &["head"] }
    }

    fn check(&self) -> Result<(), String> {
        check_heads(self.heads, self.trunk.channels)
    }

    fn recognised(file: &Checkpoint) -> bool {
        let has = |name| file.entry(name).is_some();
        has("pos_embed") && has("blocks.0.attn.qkv.weight")
            || has("Transformer/posembed_input/pos_embedding")
    }

    fn detect(found: &Found<'_>) -> Result<Self, String> {
        let distilled =
            ["dist_token", "head_dist.weight"].iter().any(|name| found.shape(name).is_ok());
        let &[_, tokens, _] = &found.shape("pos_embed")?[..] else {
            return Err("the position embedding is no sequence of vectors".into());
        };
        let patches = tokens.saturating_sub(if distilled { 2 } else { 1 });
        let trunk = Trunk::detect(found, Self::STEM, patches, "norm1.bias")?;
        let [hidden, _] = found.matrix("blocks.0.mlp.fc1.weight", "the perceptron")?;
        // The usual names do not tell; all models have heads of 64 channels.
        let heads = match (found.names, found.shape("blocks.0.attn.query.weight")) {
            (Names::Flax, Ok(shape)) if shape.len() == 3 => shape[1],
            _ => heads_of_64(trunk.channels),
        };
        Ok(VitConfig { trunk, heads, hidden, distilled })
    }

    fn further_sizes(&self) -> String {
        let distilled = if self.distilled { ", distilled" } else { "" };
        format!("{} heads, {} hidden units{distilled}", self.heads, self.hidden)
    }

    fn file_name(names: Names, name: &str) -> (String, Layout) {
        vit_names::file_name(names, name)
    }

    fn stored(&self, names: Names, name: &str) -> Option<Vec<usize>> {
        let width = self.trunk.channels.checked_div(self.heads).unwrap_or(0);
        vit_names::stored(names, name, [self.trunk.channels, self.heads, width])
    }

    fn pieces(names: Names, module: &str) -> Vec<String> {
        vit_names::pieces(names, module)
    }

    fn ends(&self, list: &mut Tensors) {
        let channels = self.trunk.channels;
        list.tensor("cls_token", &[1, 1, channels]);
        if self.distilled {
            list.tensor("dist_token", &[1, 1, channels]);
        }
        list.tensor("pos_embed", &[1, self.tokens(), channels]).layer("norm", &[channels]);
    }

    fn block_tensors(&self, block: &str, list: &mut Tensors) {
        let channels = self.trunk.channels;
        list.layer(format!("{block}.norm1"), &[channels]);
        let qkv = Self::pieces(list.names(), &format!("{block}.attn.qkv"));
        let rows = channels.saturating_mul(3 / qkv.len());
        for module in qkv {
            list.layer(module, &[rows, channels]);
        }
        list.layer(format!("{block}.attn.proj"), &[channels, channels])
            .layer(format!("{block}.norm2"), &[channels])
            .mlp(&format!("{block}.mlp"), channels, self.hidden);
    }

    fn block_macs(&self) -> [u64; 2] {
        let (tokens, channels) = (self.tokens(), self.trunk.channels);
        let attention = product([2, tokens, tokens, channels]);
        [
            sum([product([4, tokens, channels, channels]), attention]),
            product([2, tokens, channels, self.hidden]),
        ]
    }

    fn last_block_macs(&self) -> [u64; 2] {
        let (tokens, channels, read) =
            (self.tokens(), self.trunk.channels, self.readout().prefix());
        let keys_values = product([2, tokens, channels, channels]);
        let asking = product([2, read, channels, channels]);
        let attention = product([2, read, tokens, channels]);
        [sum([keys_values, asking, attention]), product([2, read, channels, self.hidden])]
    }

    fn stem(&self, read: &mut Reader<'_, '_>) -> Result<PatchEmbed, ModelError> {
        let channels = self.trunk.channels;
        let mut prefix = read.values("cls_token")?;
        if self.distilled {
            prefix.extend(read.values("dist_token")?);
        }
        let positions = read.values("pos_embed")?;
        let (first, patches) = positions.split_at(self.readout().prefix() * channels);
        for (token, position) in prefix.iter_mut().zip(first) {
            *token += position;
        }
        let stem = read.stem(Self::STEM, &self.trunk)?;
        Ok(stem.prefix(&prefix)?.positions(patches)?)
    }

    fn block(&self, number: usize, read: &mut Reader<'_, '_>) -> Result<Vec<Part>, ModelError> {
        let (block, gelu, packer) = (format!("blocks.{number}"), read.gelu, read.packer);
        let norm1 = read.layer_norm(&format!("{block}.norm1"), Norm::layer_axis)?;
        let modules = Self::pieces(read.names, &format!("{block}.attn.qkv"));
        let (channels, last) = (self.trunk.channels, number + 1 == self.trunk.depth);
        // In the last block the queries are apart from keys and values.
        let (queries, rest) = read.stacked(&modules, |weight, bias| {
            let rows = |rows: Range<usize>| {
                let part = AxisLinear::new(weight.rows_at(rows.start, rows.len())?);
                part.bias(&bias[rows])?.norm(norm1.clone())?.pack(packer, Side::Right)
            };
            let (apart, first) = if last { (Some(0..channels), channels) } else { (None, 0) };
            Ok((apart.map(rows).transpose()?, rows(first..bias.len())?))
        })?;
        let proj =
            read.linear(&format!("{block}.attn.proj"), |proj| proj.pack(packer, Side::Right))?;
        let attention = SelfAttention::new(self.heads, channels, Positions::Axis)?;
        let norm2 = read.layer_norm(&format!("{block}.norm2"), Norm::layer_axis)?;
        let mlp = read.perceptron(&format!("{block}.mlp"), |mlp| {
            mlp.describe()?.norm(norm2)?.activation(gelu).residual().pack(packer, Side::Right)
        })?;
        if let Some(queries) = queries {
            let attention = attention.first(self.readout().prefix());
            let part = ReadAttention { queries, keys_values: rest, attention, proj };
            return Ok(vec![Part::ReadAttention(part.into()), Part::MixRead(mlp)]);
        }
        let part = Attention { along: Along::Channels, qkv: rest, attention, proj };
        Ok(vec![Part::Attention(part.into()), Part::Mix(Along::Channels, mlp)])
    }
}

/// So many heads of 64 channels, at least one.
pub(super) const fn heads_of_64(channels: usize) -> usize {
    match channels / 64 {
        0 => 1,
        heads => heads,
    }
}

/// What is wrong with a number of heads, if anything is.
pub(super) fn check_heads(heads: usize, channels: usize) -> Result<(), String> {
    if heads > 0 && channels.is_multiple_of(heads) {
        Ok(())
    } else {
        Err(format!("{heads} heads do not divide {channels} channels"))
    }
}
