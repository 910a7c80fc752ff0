//! Attention-only: a reconstruction of the ablation of Melas-Kyriazi (*Do You Even Need Attention?*,
//! 2021), whose feed-forward layers over the features are replaced by attention over them.
//!
//! ```text
//! x = (class token | patches(image) · W + b) + positions     [tokens, channels]
//! depth times:
//!     x = x + proj(attention(qkv(norm(x))))                  tokens attend to tokens
//!     x = x + proj'(attention(qkv'(norm'(x))))               channels attend to channels, norm' over
//!                                                            the tokens, one head
//! logits = head(norm(x of the class token))
//! ```
//!
//! The paper gives this in words and a number of parameters, 4.0 M, which this has (4,039,360); order,
//! norms, biases and the number of heads of the second attention are ours.

use mixfold_mix::{Norm, PatchEmbed, Positions, SelfAttention, Side};

use super::ff_only::{check_grid, embedding_tensors, of_positions, read_embedding, stored_grid};
use super::vit::{check_heads, heads_of_64};
use crate::ModelError;
use crate::checkpoint::Checkpoint;
use crate::network::Phase;
use crate::sizes::{product, sum};
use crate::tokens::{Along, Attention, Found, Part, Reader, Readout, Tensors, TokenFamily, Trunk};

/// The sizes of an attention-only model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionOnlyConfig {
    /// Images, patches, channels and number of blocks.
    pub trunk: Trunk,
    /// Heads of the attention of tokens; that of channels has one.
    pub heads: usize,
    /// Height and width of the stored position embedding, which is resampled to the patches.
    pub grid: [usize; 2],
}

impl AttentionOnlyConfig {
    /// For 224 × 224 colour images, with heads of 64 channels.
    pub const fn imagenet(depth: usize, patch: usize, channels: usize) -> Self {
        let trunk = Trunk::imagenet(depth, patch, channels);
        AttentionOnlyConfig { trunk, heads: heads_of_64(channels), grid: [14, 14] }
    }
}

impl TokenFamily for AttentionOnlyConfig {
    const NAME: &'static str = "attention-only (reconstruction)";
    const STEM: &'static str = "patch_embed.proj";
    const FIXED_SIZE: &'static str = "its attention of channels is bound to the number of patches";
    const PARTS: &'static [(&'static str, Phase)] =
        &[("attn", Phase::Tokens), ("", Phase::Channels)];

    fn trunk(&self) -> &Trunk {
        &self.trunk
    }

    fn readout(&self) -> Readout {
        Readout::Prefix(1)
    }

    fn check(&self) -> Result<(), String> {
        check_grid(self.grid).and_then(|()| check_heads(self.heads, self.trunk.channels))
    }

    fn recognised(file: &Checkpoint) -> bool {
        file.entry("blocks.0.attn_features.qkv.weight").is_some()
    }

    fn detect(found: &Found<'_>) -> Result<Self, String> {
        let tokens = found.matrix("blocks.0.attn_features.proj.weight", "attention of channels")?;
        let patches = tokens[0].saturating_sub(1);
        let trunk = Trunk::detect(found, Self::STEM, patches, "norm1.bias")?;
        let grid = stored_grid(found)?;
        Ok(AttentionOnlyConfig { trunk, heads: heads_of_64(trunk.channels), grid })
    }

    fn further_sizes(&self) -> String {
        format!("{} heads, {}", self.heads, of_positions(self.grid))
    }

    fn ends(&self, list: &mut Tensors) {
        embedding_tensors(&self.trunk, self.grid, list);
    }

    fn block_tensors(&self, block: &str, list: &mut Tensors) {
        for (norm, module, width) in
            [("norm1", "attn", self.trunk.channels), ("norm2", "attn_features", self.tokens())]
        {
            list.layer(format!("{block}.{norm}"), &[width])
                .layer(format!("{block}.{module}.qkv"), &[width.saturating_mul(3), width])
                .layer(format!("{block}.{module}.proj"), &[width, width]);
        }
    }

    fn block_macs(&self) -> [u64; 2] {
        let attention = |positions, width| {
            let products = product([2, positions, positions, width]);
            sum([product([4, positions, width, width]), products])
        };
        let (tokens, channels) = (self.tokens(), self.trunk.channels);
        [attention(tokens, channels), attention(channels, tokens)]
    }

    fn stem(&self, read: &mut Reader<'_, '_>) -> Result<PatchEmbed, ModelError> {
        read_embedding(&self.trunk, self.grid, read)
    }

    fn block(&self, number: usize, read: &mut Reader<'_, '_>) -> Result<Vec<Part>, ModelError> {
        let (channels, tokens) = (self.trunk.channels, self.tokens());
        let of_tokens = SelfAttention::new(self.heads, channels, Positions::Axis)?;
        let of_channels = SelfAttention::new(1, tokens, Positions::Inner)?;
        let block = format!("blocks.{number}");
        let mut part = |norm: &str, module: &str, along, attention| -> Result<Part, ModelError> {
            let side = if along == Along::Channels { Side::Right } else { Side::Left };
            let packer = read.packer;
            let norm = read.layer_norm(&format!("{block}.{norm}"), Norm::layer_axis)?;
            let qkv = read.linear(&format!("{block}.{module}.qkv"), |qkv| {
                qkv.norm(norm)?.pack(packer, side)
            })?;
            let proj =
                read.linear(&format!("{block}.{module}.proj"), |proj| proj.pack(packer, side))?;
            Ok(Part::Attention(Attention { along, qkv, attention, proj }.into()))
        };
        Ok(vec![
            part("norm1", "attn", Along::Channels, of_tokens)?,
            part("norm2", "attn_features", Along::Tokens, of_channels)?,
        ])
    }
}
