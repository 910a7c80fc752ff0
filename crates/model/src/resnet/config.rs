//! Sizes of a ResNet.

use std::borrow::Cow;

use crate::ModelError;

/// Channels of a block for each channel of its 3 × 3 convolution.
pub(super) const EXPANSION: usize = 4;

/// The sizes of a ResNet of bottleneck blocks (He et al., *Deep Residual Learning for Image Recognition*,
/// 2016; the stride is that of the 3 × 3 convolutions), with RepMLPs in some of its blocks (Ding et al.,
/// *RepMLP: Re-parameterizing Convolutions into Fully-connected Layers for Image Recognition*, 2021).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResNetConfig {
    /// Height and width of the images.
    pub image: [usize; 2],
    /// Channels of the images.
    pub image_channels: usize,
    /// Channels behind the first convolution.
    pub stem: usize,
    /// The stages, the one with the largest map first.
    pub stages: Cow<'static, [ResNetStage]>,
    /// Sizes of the convolutions beside the matrix of each RepMLP in train form, odd and ascending.
    pub kernels: Cow<'static, [usize]>,
}

/// A stage of a ResNet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResNetStage {
    /// Channels: a multiple of 4.
    pub channels: usize,
    /// Number of blocks. The first one of each stage but the first halves the map.
    pub depth: usize,
    /// The RepMLP in each block but the first.
    pub repmlp: Option<ResNetRepMlp>,
}

/// The RepMLPs of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResNetRepMlp {
    /// What stands around each of them.
    pub place: RepMlpPlace,
    /// Channels of the stage (light), or of its 3 × 3 convolutions (bottleneck), for each of a RepMLP's.
    pub reduction: usize,
    /// Height and width of the partitions that a map is cut into.
    pub partition: [usize; 2],
    /// Groups of channels.
    pub groups: usize,
}

/// What stands around the RepMLP of a block, in front of it and behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepMlpPlace {
    /// A convolution of 1 × 1.
    Light,
    /// Convolutions of 1 × 1 and 3 × 3, and of 3 × 3 and 1 × 1.
    Bottleneck,
}

impl ResNetConfig {
    /// A ResNet-50 for square colour images of `size`, with these stages.
    pub const fn imagenet(
        size: usize,
        stages: &'static [ResNetStage],
        kernels: &'static [usize],
    ) -> Self {
        ResNetConfig {
            image: [size, size],
            image_channels: 3,
            stem: 64,
            stages: Cow::Borrowed(stages),
            kernels: Cow::Borrowed(kernels),
        }
    }

    /// Height and width of a stage's map.
    pub fn map(&self, stage: usize) -> [usize; 2] {
        let halved = |side: usize| match stage.checked_add(2) {
            Some(times) if times < usize::BITS as usize => side.div_ceil(1 << times),
            _ => side.min(1),
        };
        self.image.map(halved)
    }

    /// Channels of a stage's input.
    pub(super) fn inputs(&self, stage: usize) -> usize {
        match stage.checked_sub(1) {
            Some(before) => self.stages[before].channels,
            None => self.stem,
        }
    }

    /// That a ResNet can have these sizes.
    pub(super) fn check(&self) -> Result<(), ModelError> {
        let [height, width] = self.image;
        let wrong = if self.stages.is_empty() {
            "no stage".to_owned()
        } else if height == 0 || width == 0 || self.image_channels == 0 {
            format!("images of {} x {height} x {width}", self.image_channels)
        } else if self.stem == 0 {
            "a first convolution without channels".to_owned()
        } else if let Some(kernel) = self.kernels.iter().find(|kernel| kernel.is_multiple_of(2)) {
            format!("a kernel of {kernel} x {kernel} has no centre")
        } else if !self.kernels.is_sorted_by(|a, b| a < b) {
            format!("kernels {:?} do not ascend", self.kernels)
        } else {
            return (0..self.stages.len()).try_for_each(|stage| self.check_stage(stage));
        };
        Err(ModelError::Config(wrong))
    }

    fn check_stage(&self, stage: usize) -> Result<(), ModelError> {
        let ResNetStage { channels, depth, repmlp } = self.stages[stage];
        // As the tensors are called.
        let name = stage + 1;
        let wrong = if channels == 0 || !channels.is_multiple_of(EXPANSION) {
            format!("stage {name}: {channels} channels are no multiple of {EXPANSION}")
        } else if depth == 0 {
            format!("stage {name}: no block")
        } else if let Some(ResNetRepMlp { place, reduction, .. }) = repmlp {
            let whole = match place {
                RepMlpPlace::Light => channels,
                RepMlpPlace::Bottleneck => channels / EXPANSION,
            };
            if depth == 1 {
                format!("stage {name}: its one block has no RepMLP")
            } else if reduction == 0 || !whole.is_multiple_of(reduction) {
                format!("stage {name}: {whole} channels cannot be reduced {reduction} times")
            } else {
                let repmlp = self.block(stage, 1).repmlp;
                return repmlp.map_or(Ok(()), |(_, config)| config.check());
            }
        } else {
            return Ok(());
        };
        Err(ModelError::Config(wrong))
    }
}
