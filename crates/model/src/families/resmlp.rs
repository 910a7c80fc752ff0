//! ResMLP (Touvron et al., *ResMLP: Feedforward networks for image classification with data-efficient
//! training*, 2021).
//!
//! ```text
//! x = patches(image) · W + b                              [tokens, channels]
//! depth times:
//!     x = x + s₁ ⊙ (T·(α₁ ⊙ x + β₁) + t)                  along the tokens; s₁, α₁, β₁ per channel
//!     x = x + s₂ ⊙ (W₂·gelu(W₁·(α₂ ⊙ x + β₂) + b₁) + b₂)  along the channels
//! logits = head(mean over tokens of α ⊙ x + β)
//! ```

use mixfold_mix::{Norm, Side};

use crate::ModelError;
use crate::checkpoint::Checkpoint;
use crate::network::Phase;
use crate::sizes::product;
use crate::tokens::{Along, Found, Names, Part, Reader, Tensors, TokenFamily, Trunk};
use crate::weights::Layout;

/// The sizes of a ResMLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResMlpConfig {
    /// Images, patches, channels and number of blocks.
    pub trunk: Trunk,
    /// Hidden units of channel mixing.
    pub hidden: usize,
}

impl ResMlpConfig {
    /// A variant of the paper for 224 × 224 colour images.
    pub const fn imagenet(depth: usize, patch: usize, channels: usize) -> Self {
        ResMlpConfig { trunk: Trunk::imagenet(depth, patch, channels), hidden: 4 * channels }
    }
}

impl TokenFamily for ResMlpConfig {
    const NAME: &'static str = "ResMLP";
    const NAMES: &'static [Names] = &[Names::Usual, Names::Facebook];
    const STEM: &'static str = "stem.proj";
    const TOKEN_MATRIX: Option<&'static str> = Some("linear_tokens");
    const FIXED_SIZE: &'static str = "its token-mixing matrices are bound to the number of patches";
    const PARTS: &'static [(&'static str, Phase)] =
        &[("linear_tokens", Phase::Tokens), ("", Phase::Channels)];

    fn trunk(&self) -> &Trunk {
        &self.trunk
    }

    fn recognised(file: &Checkpoint) -> bool {
        let has = |name| file.entry(name).is_some();
        has("blocks.0.linear_tokens.weight")
            || has("blocks.0.attn.weight") && has("blocks.0.gamma_1")
    }

    fn detect(found: &Found<'_>) -> Result<Self, String> {
        let [_, patches] = found.matrix("blocks.0.linear_tokens.weight", "token mixing")?;
        let [hidden, _] = found.matrix("blocks.0.mlp_channels.fc1.weight", "channel mixing")?;
        let trunk = Trunk::detect(found, Self::STEM, patches, "ls1")?;
        Ok(ResMlpConfig { trunk, hidden })
    }

    fn further_sizes(&self) -> String {
        format!("{} hidden units", self.hidden)
    }

    fn file_name(names: Names, name: &str) -> (String, Layout) {
        let mut name = name.to_owned();
        if names == Names::Facebook {
            for (usual, facebook) in [
                ("stem.", "patch_embed."),
                (".linear_tokens.", ".attn."),
                (".mlp_channels.", ".mlp."),
                (".ls", ".gamma_"),
            ] {
                name = name.replacen(usual, facebook, 1);
            }
        }
        (name, Layout::Same)
    }

    fn ends(&self, list: &mut Tensors) {
        affine("norm", self.trunk.channels, list);
    }

    fn block_tensors(&self, block: &str, list: &mut Tensors) {
        let (tokens, channels) = (self.tokens(), self.trunk.channels);
        list.tensor(format!("{block}.ls1"), &[channels])
            .tensor(format!("{block}.ls2"), &[channels]);
        affine(&format!("{block}.norm1"), channels, list);
        list.layer(format!("{block}.linear_tokens"), &[tokens, tokens]);
        affine(&format!("{block}.norm2"), channels, list);
        list.mlp(&format!("{block}.mlp_channels"), channels, self.hidden);
    }

    fn block_macs(&self) -> [u64; 2] {
        let (tokens, channels) = (self.tokens(), self.trunk.channels);
        [product([tokens, tokens, channels]), product([2, tokens, channels, self.hidden])]
    }

    fn block(&self, number: usize, read: &mut Reader<'_, '_>) -> Result<Vec<Part>, ModelError> {
        let (block, gelu, packer) = (format!("blocks.{number}"), read.gelu, read.packer);
        let norm1 = read_affine(&format!("{block}.norm1"), Norm::affine_inner, read)?;
        let ls1 = read.values(&format!("{block}.ls1"))?;
        let tokens = read.linear(&format!("{block}.linear_tokens"), |linear| {
            linear.norm(norm1)?.scale_inner(&ls1)?.residual().pack(packer, Side::Left)
        })?;
        let norm2 = read_affine(&format!("{block}.norm2"), Norm::affine_axis, read)?;
        let ls2 = read.values(&format!("{block}.ls2"))?;
        let channels = read.perceptron(&format!("{block}.mlp_channels"), |mlp| {
            let mlp = mlp.describe()?.norm(norm2)?.activation(gelu);
            mlp.scale(&ls2)?.residual().pack(packer, Side::Right)
        })?;
        Ok(vec![Part::Mix(Along::Tokens, tokens), Part::Mix(Along::Channels, channels)])
    }

    fn norm(&self, read: &mut Reader<'_, '_>) -> Result<Norm, ModelError> {
        read_affine("norm", Norm::affine_inner, read)
    }
}

fn affine(module: &str, channels: usize, list: &mut Tensors) {
    for name in ["alpha", "beta"] {
        list.tensor(format!("{module}.{name}"), &[1, 1, channels]);
    }
}

fn read_affine(
    module: &str,
    norm: fn(&[f32], &[f32]) -> Norm,
    read: &mut Reader<'_, '_>,
) -> Result<Norm, ModelError> {
    read.pair(module, ["alpha", "beta"], norm)
}

#[cfg(test)]
mod tests {
    /// The page that walks through this file shows it as it is.
    #[test]
    fn documentation_quotes_this_file() {
        let page = include_str!("../../../../docs/adding-a-family.md");
        let file = include_str!("resmlp.rs").replace("//! ", "");
        let blocks = page.split("```rust\n").skip(1).chain(page.split("```text\n").skip(1));
        let mut count = 0;
        for block in blocks.filter_map(|rest| rest.split("```").next()) {
            assert!(file.contains(block), "not in the file:\n{block}");
            count += 1;
        }
        assert_eq!(count, 8);
    }
}
