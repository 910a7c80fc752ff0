//! FF-only (Melas-Kyriazi, *Do You Even Need Attention? A Stack of Feed-Forward Layers Does
//! Surprisingly Well on ImageNet*, 2021), as its code has it.
//!
//! ```text
//! x = (class token | patches(image) · W + b) + positions     [tokens, channels]
//! depth times:
//!     x = x + W₂·gelu(W₁·norm(x) + b₁) + b₂                  along the channels
//!     x = x + W₄·gelu(W₃·norm'(x) + b₃) + b₄                 along the tokens, norm' over the tokens
//! logits = head(norm(x of the class token))
//! ```
//!
//! Of the last layer along the tokens only the class token is computed: the head reads no other.

use mixfold_mix::{AxisMlp, Norm, PatchEmbed, Side};

use super::along_both_axes;
use crate::ModelError;
use crate::checkpoint::Checkpoint;
use crate::network::Phase;
use crate::position;
use crate::sizes::product;
use crate::tokens::{Along, Found, Part, Reader, Readout, Tensors, TokenFamily, Trunk};

/// The sizes of an FF-only model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FfOnlyConfig {
    /// Images, patches, channels and number of blocks.
    pub trunk: Trunk,
    /// Hidden units of the perceptrons along the channels.
    pub channel_hidden: usize,
    /// Hidden units of the perceptrons along the tokens.
    pub token_hidden: usize,
    /// Height and width of the stored position embedding, which is resampled to the patches.
    pub grid: [usize; 2],
}

impl FfOnlyConfig {
    /// For 224 × 224 colour images: perceptrons expand four times along both axes, and the position
    /// embedding is stored for 14 × 14 patches, whatever their number.
    pub const fn imagenet(depth: usize, patch: usize, channels: usize) -> Self {
        let side = 224 / patch;
        FfOnlyConfig {
            trunk: Trunk::imagenet(depth, patch, channels),
            channel_hidden: 4 * channels,
            token_hidden: 4 * (1 + side * side),
            grid: [14, 14],
        }
    }
}

impl TokenFamily for FfOnlyConfig {
    const NAME: &'static str = "FF-only";
    const STEM: &'static str = "patch_embed.proj";
    const TOKEN_MATRIX: Option<&'static str> = Some("mlp2.fc1");
    const FIXED_SIZE: &'static str = "its token-mixing weights are bound to the number of patches";
    const PARTS: &'static [(&'static str, Phase)] =
        &[("mlp1", Phase::Channels), ("", Phase::Tokens)];

    fn trunk(&self) -> &Trunk {
        &self.trunk
    }

    fn readout(&self) -> Readout {
        Readout::Prefix(1)
    }

    fn check(&self) -> Result<(), String> {
        check_grid(self.grid)
    }

    fn recognised(file: &Checkpoint) -> bool {
        let has = |name| file.entry(name).is_some();
        has("pos_encoding.pos_embed") && has("blocks.0.mlp2.fc1.weight")
    }

    fn detect(found: &Found<'_>) -> Result<Self, String> {
        let [token_hidden, tokens] = found.matrix("blocks.0.mlp2.fc1.weight", "token mixing")?;
        let [channel_hidden, _] = found.matrix("blocks.0.mlp1.fc1.weight", "channel mixing")?;
        let patches = tokens.saturating_sub(1);
        let trunk = Trunk::detect(found, Self::STEM, patches, "norm1.bias")?;
        let grid = stored_grid(found)?;
        Ok(FfOnlyConfig { trunk, channel_hidden, token_hidden, grid })
    }

    fn further_sizes(&self) -> String {
        let hidden = along_both_axes(self.token_hidden, self.channel_hidden);
        format!("{hidden}, {}", of_positions(self.grid))
    }

    fn ends(&self, list: &mut Tensors) {
        embedding_tensors(&self.trunk, self.grid, list);
    }

    fn block_tensors(&self, block: &str, list: &mut Tensors) {
        let (tokens, channels) = (self.tokens(), self.trunk.channels);
        list.layer(format!("{block}.norm1"), &[channels])
            .mlp(&format!("{block}.mlp1"), channels, self.channel_hidden)
            .layer(format!("{block}.norm2"), &[tokens])
            .mlp(&format!("{block}.mlp2"), tokens, self.token_hidden);
    }

    fn block_macs(&self) -> [u64; 2] {
        let (tokens, channels) = (self.tokens(), self.trunk.channels);
        [self.token_hidden, self.channel_hidden]
            .map(|hidden| product([2, tokens, channels, hidden]))
    }

    fn last_block_macs(&self) -> [u64; 2] {
        let [_, along_channels] = self.block_macs();
        let tokens = self.tokens().saturating_add(1);
        [product([tokens, self.trunk.channels, self.token_hidden]), along_channels]
    }

    fn stem(&self, read: &mut Reader<'_, '_>) -> Result<PatchEmbed, ModelError> {
        read_embedding(&self.trunk, self.grid, read)
    }

    fn block(&self, number: usize, read: &mut Reader<'_, '_>) -> Result<Vec<Part>, ModelError> {
        let (block, gelu, packer) = (format!("blocks.{number}"), read.gelu, read.packer);
        let norm1 = read.layer_norm(&format!("{block}.norm1"), Norm::layer_axis)?;
        let channels = read.perceptron(&format!("{block}.mlp1"), |mlp| {
            mlp.describe()?.norm(norm1)?.activation(gelu).residual().pack(packer, Side::Right)
        })?;
        let norm2 = read.layer_norm(&format!("{block}.norm2"), Norm::layer_axis)?;
        let last = number + 1 == self.trunk.depth;
        let tokens = read.perceptron(&format!("{block}.mlp2"), |mlp| {
            if last {
                let first_token = AxisMlp::new(mlp.first, mlp.second.rows_at(0, 1)?)?;
                let first_token = first_token.bias(mlp.hidden_bias, &mlp.bias[..1])?;
                return first_token.norm(norm2)?.activation(gelu).pack(packer, Side::Left);
            }
            mlp.describe()?.norm(norm2)?.activation(gelu).residual().pack(packer, Side::Left)
        })?;
        let tokens = if last { Part::Read(tokens) } else { Part::Mix(Along::Tokens, tokens) };
        Ok(vec![Part::Mix(Along::Channels, channels), tokens])
    }
}

/// The tensors of class token, positions and last norm.
pub(super) fn embedding_tensors(trunk: &Trunk, [height, width]: [usize; 2], list: &mut Tensors) {
    let channels = trunk.channels;
    list.tensor("cls_token", &[1, 1, channels])
        .tensor("pos_encoding.pos_embed", &[1, channels, height, width])
        .tensor("pos_encoding.cls_pos_embed", &[1, 1, channels])
        .layer("norm", &[channels]);
}

/// Height and width of the stored position embedding.
pub(super) fn stored_grid(found: &Found<'_>) -> Result<[usize; 2], String> {
    match found.shape("pos_encoding.pos_embed")?[..] {
        [_, _, height, width] => Ok([height, width]),
        _ => Err("the position embedding is no map".into()),
    }
}

/// The patch embedding with class token and positions.
pub(super) fn read_embedding(
    trunk: &Trunk,
    grid: [usize; 2],
    read: &mut Reader<'_, '_>,
) -> Result<PatchEmbed, ModelError> {
    let mut class = read.values("cls_token")?;
    for (token, position) in class.iter_mut().zip(read.values("pos_encoding.cls_pos_embed")?) {
        *token += position;
    }
    let positions = read.values("pos_encoding.pos_embed")?;
    let [stored, wanted] = [grid, trunk.grid()].map(|[height, width]| (height, width));
    let positions = position::interpolate(&positions, trunk.channels, stored, wanted);
    let too_large = || ModelError::Config(format!("positions of {wanted:?} patches"));
    let positions = positions.ok_or_else(too_large)?;
    let stem = read.stem("patch_embed.proj", trunk)?;
    Ok(stem.prefix(&class)?.positions(&positions)?)
}

/// The grid of a position embedding, for people.
pub(super) fn of_positions([height, width]: [usize; 2]) -> String {
    format!("positions for {height} x {width} patches")
}

/// What is wrong with the grid of a position embedding, if anything is.
pub(super) fn check_grid([height, width]: [usize; 2]) -> Result<(), String> {
    if height > 0 && width > 0 {
        Ok(())
    } else {
        Err(format!("a position embedding of {height} x {width} places"))
    }
}
