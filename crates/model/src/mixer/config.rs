//! Sizes of a Mixer, and what follows from them.

use crate::ModelError;

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

    /// Number of patches (S).
    pub fn tokens(&self) -> usize {
        let patch = self.patch.max(1);
        (self.image[0] / patch) * (self.image[1] / patch)
    }

    /// Values of a patch.
    pub(crate) fn patch_len(&self) -> usize {
        self.image_channels * self.patch * self.patch
    }

    /// Number of parameters, with a head of `classes`.
    pub fn parameters(&self, classes: usize) -> u64 {
        let linear = |rows: usize, cols: usize| rows as u64 * cols as u64 + rows as u64;
        let &MixerConfig { channels, token_hidden, channel_hidden, depth, .. } = self;
        let layer = 4 * channels as u64
            + linear(token_hidden, self.tokens())
            + linear(self.tokens(), token_hidden)
            + linear(channel_hidden, channels)
            + linear(channels, channel_hidden);
        linear(channels, self.patch_len())
            + depth as u64 * layer
            + 2 * channels as u64
            + linear(classes, channels)
    }

    /// Multiply-adds of the convolution and the matrices for one image, with a head of `classes`.
    pub fn macs(&self, classes: usize) -> u64 {
        let [tokens, channels] = [self.tokens() as u64, self.channels as u64];
        let stem = tokens * channels * self.patch_len() as u64;
        stem + self.depth as u64 * (self.token_macs() + self.channel_macs())
            + channels * classes as u64
    }

    /// Multiply-adds of one token mixing.
    pub(crate) fn token_macs(&self) -> u64 {
        2 * self.tokens() as u64 * self.token_hidden as u64 * self.channels as u64
    }

    /// Multiply-adds of one channel mixing.
    pub(crate) fn channel_macs(&self) -> u64 {
        2 * self.tokens() as u64 * self.channels as u64 * self.channel_hidden as u64
    }

    pub(crate) fn check(&self) -> Result<(), ModelError> {
        let &MixerConfig { image: [height, width], patch, .. } = self;
        let whole = patch > 0 && height.is_multiple_of(patch) && width.is_multiple_of(patch);
        if !whole || self.tokens() == 0 || self.channels == 0 {
            return Err(ModelError::Config(format!(
                "patches of {patch} x {patch} with {} channels do not fill images of {height} x \
                 {width}",
                self.channels
            )));
        }
        Ok(())
    }
}
