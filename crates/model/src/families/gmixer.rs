//! gMixer (timm): a Mixer whose perceptrons are gated linear units (Shazeer, *GLU Variants Improve
//! Transformer*, 2020).
//!
//! ```text
//! x = patches(image) · W + b                                     [tokens, channels]
//! depth times:
//!     x = x + W₂·(u ⊙ silu(v)) + b₂, (u | v) = W₁·norm(x) + b₁   along the tokens
//!     x = x + W₄·(u ⊙ silu(v)) + b₄, (u | v) = W₃·norm(x) + b₃   along the channels
//! logits = head(mean over tokens of norm(x))
//! ```

use mixfold_gemm::Activation;
use mixfold_mix::{Norm, Side};

use super::{MixerConfig, along_both_axes};
use crate::ModelError;
use crate::checkpoint::Checkpoint;
use crate::network::Phase;
use crate::sizes::product;
use crate::tokens::{Along, Found, Part, Reader, Tensors, TokenFamily, Trunk};

/// The sizes of a gMixer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GMixerConfig {
    /// Images, patches, channels and number of blocks.
    pub trunk: Trunk,
    /// Hidden units of token mixing, of which one half gates the other one.
    pub token_hidden: usize,
    /// Hidden units of channel mixing, of which one half gates the other one.
    pub channel_hidden: usize,
}

impl GMixerConfig {
    /// For 224 × 224 colour images: patches of 16 and 384 channels.
    pub const fn imagenet(depth: usize) -> Self {
        let trunk = Trunk::imagenet(depth, 16, 384);
        GMixerConfig { trunk, token_hidden: 384, channel_hidden: 1536 }
    }
}

/// The layers of a gated perceptron.
fn gated(list: &mut Tensors, module: &str, width: usize, hidden: usize) {
    list.layer(format!("{module}.fc1"), &[hidden, width])
        .layer(format!("{module}.fc2"), &[width, hidden / 2]);
}

impl TokenFamily for GMixerConfig {
    const NAME: &'static str = "gMixer";
    const STEM: &'static str = "stem.proj";
    const TOKEN_MATRIX: Option<&'static str> = Some("mlp_tokens.fc1");
    const FIXED_SIZE: &'static str = "its token-mixing weights are bound to the number of patches";
    const PARTS: &'static [(&'static str, Phase)] =
        &[("mlp_tokens", Phase::Tokens), ("", Phase::Channels)];

    fn trunk(&self) -> &Trunk {
        &self.trunk
    }

    fn check(&self) -> Result<(), String> {
        for hidden in [self.token_hidden, self.channel_hidden] {
            if !hidden.is_multiple_of(2) {
                return Err(format!("{hidden} hidden units have no halves"));
            }
        }
        Ok(())
    }

    /// As a Mixer, but that second layers have half as many inputs as the first ones have outputs.
    fn recognised(file: &Checkpoint) -> bool {
        let shape = |layer: &str| {
            let entry = file.entry(&format!("blocks.0.mlp_tokens.{layer}.weight"));
            entry.and_then(|entry| <[usize; 2]>::try_from(entry.shape()).ok())
        };
        match (shape("fc1"), shape("fc2")) {
            (Some([hidden, _]), Some([_, inputs])) => hidden > 0 && inputs == hidden / 2,
            _ => false,
        }
    }

    fn detect(found: &Found<'_>) -> Result<Self, String> {
        let MixerConfig { trunk, token_hidden, channel_hidden } = MixerConfig::detect(found)?;
        Ok(GMixerConfig { trunk, token_hidden, channel_hidden })
    }

    fn further_sizes(&self) -> String {
        along_both_axes(self.token_hidden, self.channel_hidden)
    }

    fn block_tensors(&self, block: &str, list: &mut Tensors) {
        let channels = self.trunk.channels;
        list.layer(format!("{block}.norm1"), &[channels]);
        gated(list, &format!("{block}.mlp_tokens"), self.tokens(), self.token_hidden);
        list.layer(format!("{block}.norm2"), &[channels]);
        gated(list, &format!("{block}.mlp_channels"), channels, self.channel_hidden);
    }

    fn block_macs(&self) -> [u64; 2] {
        let (tokens, channels) = (self.tokens(), self.trunk.channels);
        [self.token_hidden, self.channel_hidden]
            .map(|hidden| product([tokens, channels, hidden.saturating_add(hidden / 2)]))
    }

    fn block(&self, number: usize, read: &mut Reader<'_, '_>) -> Result<Vec<Part>, ModelError> {
        let (block, packer) = (format!("blocks.{number}"), read.packer);
        let norm1 = read.layer_norm(&format!("{block}.norm1"), Norm::layer_inner)?;
        let tokens = read.perceptron(&format!("{block}.mlp_tokens"), |mlp| {
            mlp.gated(Activation::Silu)?.norm(norm1)?.residual().pack(packer, Side::Left)
        })?;
        let norm2 = read.layer_norm(&format!("{block}.norm2"), Norm::layer_axis)?;
        let channels = read.perceptron(&format!("{block}.mlp_channels"), |mlp| {
            mlp.gated(Activation::Silu)?.norm(norm2)?.residual().pack(packer, Side::Right)
        })?;
        Ok(vec![Part::Mix(Along::Tokens, tokens), Part::Mix(Along::Channels, channels)])
    }
}
