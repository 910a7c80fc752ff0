//! The models by name.

use crate::ModelError;
use crate::mixer::MixerConfig;
use crate::preprocess::{Color, Interpolation, Preprocess, Resize};

/// What is known of a model without its weights.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ModelInfo {
    /// Its name, timm's where timm has the model.
    pub name: &'static str,
    /// The paper's name of the architecture.
    pub family: &'static str,
    /// Its sizes.
    pub config: MixerConfig,
    /// Classes of the usual head; a checkpoint may have others.
    pub classes: usize,
    /// How images are prepared, unless a configuration beside the weights says otherwise.
    pub preprocess: Preprocess,
    /// What its results have been compared with.
    pub verified: &'static str,
}

impl ModelInfo {
    /// Number of parameters with the usual head.
    pub fn parameters(&self) -> u64 {
        self.config.parameters(self.classes)
    }

    /// Multiply-adds of convolutions and matrices for one image.
    pub fn macs(&self) -> u64 {
        self.config.macs(self.classes)
    }
}

/// Preprocessing of the official Mixer checkpoints: values from −1 to 1.
const MIXER_PREPROCESS: Preprocess = Preprocess {
    size: [224, 224],
    color: Color::Rgb,
    resize: Resize::ShorterSide,
    crop_fraction: 0.875,
    interpolation: Interpolation::Bicubic,
    mean: [0.5; 3],
    std: [0.5; 3],
};

const fn mixer(name: &'static str, config: MixerConfig, verified: &'static str) -> ModelInfo {
    let preprocess = MIXER_PREPROCESS;
    ModelInfo { name, family: "MLP-Mixer", config, classes: 1000, preprocess, verified }
}

const TIMM: &str = "timm, on random weights";
const SAME_CODE: &str = "same code as the variants compared with timm";

/// Name of the model that is part of the program, see [`Loader::embedded`](crate::Loader::embedded).
pub const EMBEDDED: &str = "mixer_fashion";

/// All models, by family and size.
static MODELS: [ModelInfo; 8] = [
    mixer("mixer_s32_224", MixerConfig::imagenet(8, 32, 512), TIMM),
    mixer("mixer_s16_224", MixerConfig::imagenet(8, 16, 512), TIMM),
    mixer("mixer_b32_224", MixerConfig::imagenet(12, 32, 768), SAME_CODE),
    mixer("mixer_b16_224", MixerConfig::imagenet(12, 16, 768), TIMM),
    mixer("mixer_l32_224", MixerConfig::imagenet(24, 32, 1024), SAME_CODE),
    mixer("mixer_l16_224", MixerConfig::imagenet(24, 16, 1024), SAME_CODE),
    mixer("mixer_h14_224", MixerConfig::imagenet(32, 14, 1280), SAME_CODE),
    ModelInfo {
        name: EMBEDDED,
        family: "MLP-Mixer",
        config: MixerConfig {
            image: [28, 28],
            image_channels: 1,
            patch: 4,
            channels: 80,
            token_hidden: 40,
            channel_hidden: 320,
            depth: 4,
        },
        classes: 10,
        preprocess: Preprocess {
            size: [28, 28],
            color: Color::Grey,
            resize: Resize::ShorterSide,
            crop_fraction: 1.0,
            interpolation: Interpolation::Bicubic,
            mean: [0.5; 3],
            std: [0.5; 3],
        },
        verified: "timm, on its own weights",
    },
];

/// All models, by family and size.
pub fn models() -> &'static [ModelInfo] {
    &MODELS
}

/// The model of this name.
pub fn model(name: &str) -> Option<&'static ModelInfo> {
    MODELS.iter().find(|model| model.name == name)
}

/// The model of this name, which a caller asked for.
pub(crate) fn find(name: &str) -> Result<&'static ModelInfo, ModelError> {
    model(name).ok_or_else(|| ModelError::Unknown { name: name.into() })
}

pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    MODELS.iter().map(|model| model.name)
}
