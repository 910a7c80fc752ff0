//! Sizes of a Mixer, and what follows from them.

use crate::ModelError;
use crate::sizes::{product, sum};

/// The sizes of an MLP-Mixer (Tolstikhin et al., 2021, table 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MixerConfig {
    /// Height and width of the images; multiples of the patch.
    pub image: [usize; 2],
    /// Channels of the images.
    pub image_channels: usize,
    /// Height and width of a patch.
    pub patch: usize,
    /// Channels of a token (C).
    pub channels: usize,
    /// Hidden units of token mixing (D_S).
    pub token_hidden: usize,
    /// Hidden units of channel mixing (D_C).
    pub channel_hidden: usize,
    /// Number of layers.
    pub depth: usize,
}

impl MixerConfig {
    /// A variant of the paper for 224 × 224 colour images: D_S = C/2, D_C = 4·C.
    pub const fn imagenet(depth: usize, patch: usize, channels: usize) -> Self {
        MixerConfig {
            image: [224, 224],
            image_channels: 3,
            patch,
            channels,
            token_hidden: channels / 2,
            channel_hidden: 4 * channels,
            depth,
        }
    }

    /// Number of patches (S), whole ones; 0 if a patch has no pixels.
    pub fn tokens(&self) -> usize {
        let along = |image: usize| image.checked_div(self.patch).unwrap_or(0);
        along(self.image[0]).saturating_mul(along(self.image[1]))
    }

    /// Values of a patch.
    pub(crate) fn patch_len(&self) -> usize {
        self.image_channels.saturating_mul(self.patch).saturating_mul(self.patch)
    }

    /// Number of parameters, with a head of `classes`; `u64::MAX` if there are more.
    pub fn parameters(&self, classes: usize) -> u64 {
        let linear = |rows, cols| product([rows, cols]).saturating_add(rows as u64);
        let &MixerConfig { channels, token_hidden, channel_hidden, depth, .. } = self;
        let norm = product([2, channels]);
        let layer = sum([
            norm,
            linear(token_hidden, self.tokens()),
            linear(self.tokens(), token_hidden),
            norm,
            linear(channel_hidden, channels),
            linear(channels, channel_hidden),
        ]);
        let layers = layer.saturating_mul(depth as u64);
        sum([linear(channels, self.patch_len()), layers, norm, linear(classes, channels)])
    }

    /// Multiply-adds of the convolution and the matrices for one image, with a head of `classes`;
    /// `u64::MAX` if there are more.
    pub fn macs(&self, classes: usize) -> u64 {
        let layers =
            sum([self.token_macs(), self.channel_macs()]).saturating_mul(self.depth as u64);
        sum([self.stem_macs(), layers, product([self.channels, classes])])
    }

    /// Multiply-adds of the patch embedding.
    pub(crate) fn stem_macs(&self) -> u64 {
        product([self.tokens(), self.channels, self.patch_len()])
    }

    /// Multiply-adds of one token mixing.
    pub(crate) fn token_macs(&self) -> u64 {
        product([2, self.tokens(), self.token_hidden, self.channels])
    }

    /// Multiply-adds of one channel mixing.
    pub(crate) fn channel_macs(&self) -> u64 {
        product([2, self.tokens(), self.channels, self.channel_hidden])
    }

    /// That a Mixer can have these sizes.
    pub(crate) fn check(&self) -> Result<(), ModelError> {
        let &MixerConfig { image: [height, width], image_channels, patch, channels, .. } = self;
        let whole = |image: usize| patch > 0 && image > 0 && image.is_multiple_of(patch);
        let wrong = if !whole(height) || !whole(width) {
            format!("patches of {patch} x {patch} do not fill images of {height} x {width}")
        } else if image_channels == 0 {
            "images without channels".to_owned()
        } else if channels < 2 {
            format!("{channels} channels: a norm over fewer than two is constant")
        } else {
            return Ok(());
        };
        Err(ModelError::Config(wrong))
    }
}
