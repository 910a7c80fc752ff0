//! The sizes that all networks of tokens have.

use super::Found;
use crate::sizes::product;

/// What all networks of tokens have: patches of an image, channels of a token, a number of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trunk {
    /// Height and width of the images; multiples of the patch.
    pub image: [usize; 2],
    /// Channels of the images.
    pub image_channels: usize,
    /// Height and width of a patch.
    pub patch: usize,
    /// Channels of a token.
    pub channels: usize,
    /// Number of blocks.
    pub depth: usize,
}

impl Trunk {
    /// For 224 × 224 colour images.
    pub const fn imagenet(depth: usize, patch: usize, channels: usize) -> Self {
        Trunk { image: [224, 224], image_channels: 3, patch, channels, depth }
    }

    /// Number of patches, whole ones; 0 if a patch has no pixels.
    pub fn patches(&self) -> usize {
        let [height, width] = self.grid();
        height.saturating_mul(width)
    }

    /// Patches below and beside each other.
    pub(crate) fn grid(&self) -> [usize; 2] {
        self.image.map(|side| side.checked_div(self.patch).unwrap_or(0))
    }

    /// Multiply-adds of the patch embedding.
    pub(crate) fn stem_macs(&self) -> u64 {
        product([self.patches(), self.channels, self.image_channels, self.patch, self.patch])
    }

    /// What is wrong with these sizes, if anything is.
    pub(crate) fn check(&self) -> Result<(), String> {
        let &Trunk { image: [height, width], image_channels, patch, channels, .. } = self;
        let whole = |side: usize| patch > 0 && side > 0 && side.is_multiple_of(patch);
        if !whole(height) || !whole(width) {
            Err(format!("patches of {patch} x {patch} do not fill images of {height} x {width}"))
        } else if image_channels == 0 {
            Err("images without channels".to_owned())
        } else if channels < 2 {
            Err(format!("{channels} channels: a norm over fewer than two is constant"))
        } else {
            Ok(())
        }
    }

    /// The sizes that the tensors of a file have, if images are square: those of the patch embedding
    /// `stem`, `patches` as other tensors tell, and as many blocks as have the tensor `mark`.
    pub(crate) fn detect(
        found: &Found<'_>,
        stem: &str,
        patches: usize,
        mark: &str,
    ) -> Result<Self, String> {
        let [channels, image_channels, patch, _] = found.shape(&format!("{stem}.weight"))?[..]
        else {
            return Err("the stem is no convolution".into());
        };
        let side: usize = patches.isqrt();
        let side = side.checked_mul(patch).ok_or(format!("patches of {patch}"))?;
        let trunk =
            Trunk { image: [side; 2], image_channels, patch, channels, depth: found.blocks(mark) };
        if trunk.patches() == patches {
            Ok(trunk)
        } else {
            Err(format!("{patches} patches are no square image"))
        }
    }

    /// The sizes that tell models apart.
    pub(crate) fn describe(&self) -> String {
        format!(
            "{} blocks of {} channels, {} patches of {}",
            self.depth,
            self.channels,
            self.patches(),
            self.patch
        )
    }
}
