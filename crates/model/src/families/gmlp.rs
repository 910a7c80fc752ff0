//! gMLP (Liu et al., *Pay Attention to MLPs*, 2021).
//!
//! ```text
//! x = patches(image) · W + b                    [tokens, channels]
//! depth times:
//!     (u | v) = gelu(W₁·norm(x) + b₁)           along the channels, halves
//!     u = u ⊙ (T·norm(v) + t)                   along the tokens
//!     x = x + W₂·u + b₂                         along the channels
//! logits = head(mean over tokens of norm(x))
//! ```

use mixfold_mix::{Norm, Side};

use crate::ModelError;
use crate::checkpoint::Checkpoint;
use crate::network::Phase;
use crate::sizes::product;
use crate::tokens::{Found, Part, Reader, Tensors, TokenFamily, Trunk};

/// ε of the norm in front of the gate's matrix.
const GATE_EPS: f32 = 1e-5;

/// The sizes of a gMLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GmlpConfig {
    /// Images, patches, channels and number of blocks.
    pub trunk: Trunk,
    /// Hidden units, of which one half gates the other one.
    pub hidden: usize,
}

impl GmlpConfig {
    /// A variant of the paper for 224 × 224 colour images: 30 blocks, patches of 16.
    pub const fn imagenet(channels: usize) -> Self {
        GmlpConfig { trunk: Trunk::imagenet(30, 16, channels), hidden: 6 * channels }
    }

    /// Channels of each half.
    fn half(&self) -> usize {
        self.hidden / 2
    }
}

impl TokenFamily for GmlpConfig {
    const NAME: &'static str = "gMLP";
    const STEM: &'static str = "stem.proj";
    const TOKEN_MATRIX: Option<&'static str> = Some("mlp_channels.gate.proj");
    const FIXED_SIZE: &'static str = "its token-mixing matrices are bound to the number of patches";
    const PARTS: &'static [(&'static str, Phase)] = &[
        ("mlp_channels.act", Phase::Channels),
        ("mlp_channels.gate", Phase::Tokens),
        ("", Phase::Channels),
    ];

    fn trunk(&self) -> &Trunk {
        &self.trunk
    }

    fn check(&self) -> Result<(), String> {
        match self.hidden {
            hidden if hidden >= 4 && hidden.is_multiple_of(2) => Ok(()),
            hidden => Err(format!("{hidden} hidden units have no halves with a norm")),
        }
    }

    fn recognised(file: &Checkpoint) -> bool {
        file.entry("blocks.0.mlp_channels.gate.proj.weight").is_some()
    }

    fn detect(found: &Found<'_>) -> Result<Self, String> {
        let [_, patches] = found.matrix("blocks.0.mlp_channels.gate.proj.weight", "the gate")?;
        let [hidden, _] = found.matrix("blocks.0.mlp_channels.fc1.weight", "channel mixing")?;
        let trunk = Trunk::detect(found, Self::STEM, patches, "norm.bias")?;
        Ok(GmlpConfig { trunk, hidden })
    }

    fn further_sizes(&self) -> String {
        format!("{} hidden units", self.hidden)
    }

    fn block_tensors(&self, block: &str, list: &mut Tensors) {
        let (tokens, channels) = (self.tokens(), self.trunk.channels);
        list.layer(format!("{block}.norm"), &[channels])
            .layer(format!("{block}.mlp_channels.fc1"), &[self.hidden, channels])
            .layer(format!("{block}.mlp_channels.gate.norm"), &[self.half()])
            .layer(format!("{block}.mlp_channels.gate.proj"), &[tokens, tokens])
            .layer(format!("{block}.mlp_channels.fc2"), &[channels, self.half()]);
    }

    fn block_macs(&self) -> [u64; 2] {
        let (tokens, channels) = (self.tokens(), self.trunk.channels);
        let units = self.hidden.saturating_add(self.half());
        [product([tokens, tokens, self.half()]), product([tokens, channels, units])]
    }

    fn block(&self, number: usize, read: &mut Reader<'_, '_>) -> Result<Vec<Part>, ModelError> {
        let (block, gelu, packer) = (format!("blocks.{number}"), read.gelu, read.packer);
        let mlp = format!("{block}.mlp_channels");
        let norm = read.layer_norm(&format!("{block}.norm"), Norm::layer_axis)?;
        let expand = read.linear(&format!("{mlp}.fc1"), |fc1| {
            fc1.norm(norm)?.activation(gelu).pack(packer, Side::Right)
        })?;
        let norm = read.pair(&format!("{mlp}.gate.norm"), ["weight", "bias"], |gamma, beta| {
            Norm::layer_inner(gamma, beta, GATE_EPS)
        })?;
        let gate = read.linear(&format!("{mlp}.gate.proj"), |proj| {
            proj.norm(norm)?.pack(packer, Side::Left)
        })?;
        let contract = read.linear(&format!("{mlp}.fc2"), |fc2| fc2.pack(packer, Side::Right))?;
        Ok(vec![Part::Expand(expand), Part::Gate(gate, self.half()), Part::Contract(contract)])
    }
}
