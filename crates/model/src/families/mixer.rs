//! MLP-Mixer (Tolstikhin et al., *MLP-Mixer: An all-MLP Architecture for Vision*, 2021).
//!
//! ```text
//! x = patches(image) · W + b                        [tokens, channels]
//! depth times:
//!     x = x + W₂·gelu(W₁·norm(x) + b₁) + b₂         along the tokens
//!     x = x + W₄·gelu(W₃·norm(x) + b₃) + b₄         along the channels
//! logits = head(mean over tokens of norm(x))
//! ```

use mixfold_mix::{Norm, Side};

use super::{along_both_axes, mixer_names};
use crate::ModelError;
use crate::checkpoint::Checkpoint;
use crate::network::Phase;
use crate::sizes::product;
use crate::tokens::{Along, Found, Names, Part, Reader, Tensors, TokenFamily, Trunk};
use crate::weights::Layout;

/// The sizes of an MLP-Mixer (Tolstikhin et al., 2021, table 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MixerConfig {
    /// Images, patches, channels (C) and number of layers.
    pub trunk: Trunk,
    /// Hidden units of token mixing (D_S).
    pub token_hidden: usize,
    /// Hidden units of channel mixing (D_C).
    pub channel_hidden: usize,
}

impl MixerConfig {
    /// A variant of the paper for 224 × 224 colour images: D_S = C/2, D_C = 4·C.
    pub const fn imagenet(depth: usize, patch: usize, channels: usize) -> Self {
        MixerConfig {
            trunk: Trunk::imagenet(depth, patch, channels),
            token_hidden: channels / 2,
            channel_hidden: 4 * channels,
        }
    }

    /// Number of patches (S), whole ones; 0 if a patch has no pixels.
    pub fn tokens(&self) -> usize {
        self.trunk.patches()
    }
}

impl TokenFamily for MixerConfig {
    const NAME: &'static str = "MLP-Mixer";
    const NAMES: &'static [Names] = &[Names::Usual, Names::Flax, Names::LegacyFlax];
    const STEM: &'static str = "stem.proj";
    const TOKEN_MATRIX: Option<&'static str> = Some("mlp_tokens.fc1");
    const FIXED_SIZE: &'static str = "its token-mixing weights are bound to the number of patches";
    const PARTS: &'static [(&'static str, Phase)] =
        &[("mlp_tokens", Phase::Tokens), ("", Phase::Channels)];

    fn trunk(&self) -> &Trunk {
        &self.trunk
    }

    fn recognised(file: &Checkpoint) -> bool {
        Self::NAMES.iter().any(|&names| {
            let name = |name| Self::file_name(names, name).0;
            file.entry(&name("stem.proj.weight")).is_some()
                && file.entry(&name("blocks.0.mlp_tokens.fc1.weight")).is_some()
        })
    }

    fn detect(found: &Found<'_>) -> Result<Self, String> {
        let [token_hidden, patches] =
            found.matrix("blocks.0.mlp_tokens.fc1.weight", "token mixing")?;
        let [channel_hidden, _] =
            found.matrix("blocks.0.mlp_channels.fc1.weight", "channel mixing")?;
        let trunk = Trunk::detect(found, Self::STEM, patches, "norm1.bias")?;
        Ok(MixerConfig { trunk, token_hidden, channel_hidden })
    }

    fn further_sizes(&self) -> String {
        along_both_axes(self.token_hidden, self.channel_hidden)
    }

    fn file_name(names: Names, name: &str) -> (String, Layout) {
        mixer_names::file_name(names, name)
    }

    fn block_tensors(&self, block: &str, list: &mut Tensors) {
        let channels = self.trunk.channels;
        list.layer(format!("{block}.norm1"), &[channels])
            .mlp(&format!("{block}.mlp_tokens"), self.tokens(), self.token_hidden)
            .layer(format!("{block}.norm2"), &[channels])
            .mlp(&format!("{block}.mlp_channels"), channels, self.channel_hidden);
    }

    fn block_macs(&self) -> [u64; 2] {
        let (tokens, channels) = (self.tokens(), self.trunk.channels);
        [self.token_hidden, self.channel_hidden]
            .map(|hidden| product([2, tokens, channels, hidden]))
    }

    fn block(&self, number: usize, read: &mut Reader<'_, '_>) -> Result<Vec<Part>, ModelError> {
        let (block, gelu, packer) = (format!("blocks.{number}"), read.gelu, read.packer);
        let norm1 = read.layer_norm(&format!("{block}.norm1"), Norm::layer_inner)?;
        let tokens = read.perceptron(&format!("{block}.mlp_tokens"), |mlp| {
            mlp.describe()?.norm(norm1)?.activation(gelu).residual().pack(packer, Side::Left)
        })?;
        let norm2 = read.layer_norm(&format!("{block}.norm2"), Norm::layer_axis)?;
        let channels = read.perceptron(&format!("{block}.mlp_channels"), |mlp| {
            mlp.describe()?.norm(norm2)?.activation(gelu).residual().pack(packer, Side::Right)
        })?;
        Ok(vec![Part::Mix(Along::Tokens, tokens), Part::Mix(Along::Channels, channels)])
    }
}
