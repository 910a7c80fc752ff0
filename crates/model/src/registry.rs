//! The models by name.

use std::borrow::Cow;

use crate::config::{Config, Form};
use crate::families::{
    AttentionOnlyConfig, FfOnlyConfig, GMixerConfig, GmlpConfig, MixerConfig, ResMlpConfig,
    VitConfig,
};
use crate::preprocess::{Color, Interpolation, Preprocess, Resize};
use crate::repmlp::{RepMlpNetConfig, RepMlpNetStage};
use crate::resnet::{RepMlpPlace, ResNetConfig, ResNetRepMlp, ResNetStage};
use crate::tokens::Trunk;
use crate::{ModelError, embedded};

/// What is known of a model without its weights.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ModelInfo {
    /// Its name, timm's where timm has the model.
    pub name: &'static str,
    /// Its sizes.
    pub config: Config,
    /// Classes of the usual head; a checkpoint may have others.
    pub classes: usize,
    /// How images are prepared, unless a configuration beside the weights says otherwise.
    pub preprocess: Preprocess,
    /// What its results have been compared with.
    pub verified: &'static str,
}

impl ModelInfo {
    /// The paper's name of the architecture.
    pub fn family(&self) -> &'static str {
        self.config.family()
    }

    /// Whether its weights are part of the program, see [`Loader::embedded`](crate::Loader::embedded).
    pub fn is_embedded(&self) -> bool {
        embedded::weights(self).is_some()
    }

    /// Number of parameters with the usual head, in deploy form if there are two forms.
    pub fn parameters(&self) -> u64 {
        self.config.parameters(self.classes, Form::Deploy)
    }

    /// Multiply-adds of convolutions, matrices and attention for one image, in deploy form if there are
    /// two.
    pub fn macs(&self) -> u64 {
        self.config.macs(self.classes, Form::Deploy)
    }

    /// Number of parameters of the train form, if there is one.
    pub fn train_parameters(&self) -> Option<u64> {
        let has_train = self.config.forms().contains(&Form::Train);
        has_train.then(|| self.config.parameters(self.classes, Form::Train))
    }

    /// Multiply-adds of the train form, if there is one.
    pub fn train_macs(&self) -> Option<u64> {
        let has_train = self.config.forms().contains(&Form::Train);
        has_train.then(|| self.config.macs(self.classes, Form::Train))
    }
}

/// Mean and deviation that put values from −1 to 1.
const CENTRED: [[f32; 3]; 2] = [[0.5; 3]; 2];
/// Mean and deviation of the images of ImageNet.
const IMAGENET: [[f32; 3]; 2] = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];

/// Bicubic, to images of 224 × 224 that are this part of the shorter side.
const fn imagenet_preprocess(crop_fraction: f64, [mean, std]: [[f32; 3]; 2]) -> Preprocess {
    Preprocess {
        size: [224, 224],
        color: Color::Rgb,
        resize: Resize::ShorterSide,
        crop_fraction,
        interpolation: Interpolation::Bicubic,
        mean,
        std,
    }
}

const fn of_imagenet(
    name: &'static str,
    config: Config,
    preprocess: Preprocess,
    verified: &'static str,
) -> ModelInfo {
    ModelInfo { name, config, classes: 1000, preprocess, verified }
}

/// Preprocessing of the models trained on Fashion-MNIST; mean and deviation stand in their files.
const FASHION_PREPROCESS: Preprocess = Preprocess {
    size: [28, 28],
    color: Color::Grey,
    resize: Resize::ShorterSide,
    crop_fraction: 1.0,
    interpolation: Interpolation::Bicubic,
    mean: [0.5; 3],
    std: [0.5; 3],
};

const fn mixer(name: &'static str, config: MixerConfig, verified: &'static str) -> ModelInfo {
    of_imagenet(name, Config::Mixer(config), imagenet_preprocess(0.875, CENTRED), verified)
}

const fn ff_only(name: &'static str, config: FfOnlyConfig, verified: &'static str) -> ModelInfo {
    of_imagenet(name, Config::FfOnly(config), imagenet_preprocess(0.875, IMAGENET), verified)
}

const fn vit(name: &'static str, config: VitConfig, verified: &'static str) -> ModelInfo {
    of_imagenet(name, Config::Vit(config), imagenet_preprocess(0.9, CENTRED), verified)
}

const fn deit(name: &'static str, config: VitConfig, verified: &'static str) -> ModelInfo {
    of_imagenet(name, Config::Vit(config), imagenet_preprocess(0.9, IMAGENET), verified)
}

const fn resmlp(name: &'static str, config: ResMlpConfig, verified: &'static str) -> ModelInfo {
    of_imagenet(name, Config::ResMlp(config), imagenet_preprocess(0.9, IMAGENET), verified)
}

const fn gmlp(name: &'static str, channels: usize, verified: &'static str) -> ModelInfo {
    let config = Config::Gmlp(GmlpConfig::imagenet(channels));
    of_imagenet(name, config, imagenet_preprocess(0.875, CENTRED), verified)
}

const fn gmixer(name: &'static str, depth: usize, verified: &'static str) -> ModelInfo {
    let config = Config::GMixer(GMixerConfig::imagenet(depth));
    of_imagenet(name, config, imagenet_preprocess(0.875, IMAGENET), verified)
}

/// Preprocessing of the official RepMLPNet evaluation: the shorter side to the crop's, no margin.
const fn repmlpnet_preprocess(size: usize) -> Preprocess {
    Preprocess {
        size: [size, size],
        color: Color::Rgb,
        resize: Resize::ShorterSide,
        crop_fraction: 1.0,
        interpolation: Interpolation::Bilinear,
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
    }
}

const fn repmlpnet(
    name: &'static str,
    size: usize,
    stages: &'static [RepMlpNetStage],
    verified: &'static str,
) -> ModelInfo {
    let config = Config::RepMlpNet(RepMlpNetConfig::imagenet(size, stages));
    let preprocess = repmlpnet_preprocess(size);
    ModelInfo { name, config, classes: 1000, preprocess, verified }
}

/// Channels, units and share-sets of each stage.
const fn stages<const N: usize>(rows: [[usize; 3]; N]) -> [RepMlpNetStage; N] {
    let mut stages = [RepMlpNetStage { channels: 0, depth: 0, share_sets: 0 }; N];
    let mut i = 0;
    while i < N {
        let [channels, depth, share_sets] = rows[i];
        stages[i] = RepMlpNetStage { channels, depth, share_sets };
        i += 1;
    }
    stages
}

const REPMLPNET_FASHION: [RepMlpNetStage; 2] = stages([[32, 2, 2], [64, 2, 16]]);
const REPMLPNET_T: [RepMlpNetStage; 4] =
    stages([[64, 2, 1], [128, 2, 4], [256, 6, 16], [512, 2, 128]]);
const REPMLPNET_B: [RepMlpNetStage; 4] =
    stages([[96, 2, 1], [192, 2, 4], [384, 12, 32], [768, 2, 128]]);
const REPMLPNET_D: [RepMlpNetStage; 4] =
    stages([[80, 2, 1], [160, 2, 4], [320, 18, 16], [640, 2, 128]]);
const REPMLPNET_L: [RepMlpNetStage; 4] =
    stages([[96, 2, 1], [192, 2, 4], [384, 18, 32], [768, 2, 256]]);

/// Preprocessing of the official RepMLP evaluation: of images of 224 × 224 as usual, of others as
/// RepMLPNet's.
const fn resnet_preprocess(size: usize) -> Preprocess {
    Preprocess {
        crop_fraction: if size == 224 { 0.875 } else { 1.0 },
        ..repmlpnet_preprocess(size)
    }
}

const fn resnet(
    name: &'static str,
    size: usize,
    stages: &'static [ResNetStage; 4],
    kernels: &'static [usize],
    verified: &'static str,
) -> ModelInfo {
    let config = Config::ResNet(ResNetConfig::imagenet(size, stages, kernels));
    of_imagenet(name, config, resnet_preprocess(size), verified)
}

/// The stages of a ResNet-50, the second and the third of which may have RepMLPs.
const fn resnet50(second: Option<ResNetRepMlp>, third: Option<ResNetRepMlp>) -> [ResNetStage; 4] {
    [
        ResNetStage { channels: 256, depth: 3, repmlp: None },
        ResNetStage { channels: 512, depth: 4, repmlp: second },
        ResNetStage { channels: 1024, depth: 6, repmlp: third },
        ResNetStage { channels: 2048, depth: 3, repmlp: None },
    ]
}

/// RepMLPs on square partitions of `side`.
const fn repmlp(
    place: RepMlpPlace,
    reduction: usize,
    side: usize,
    groups: usize,
) -> Option<ResNetRepMlp> {
    Some(ResNetRepMlp { place, reduction, partition: [side, side], groups })
}

const RESNET50: [ResNetStage; 4] = resnet50(None, None);
const RESNET50_LIGHT: [ResNetStage; 4] =
    resnet50(repmlp(RepMlpPlace::Light, 8, 7, 4), repmlp(RepMlpPlace::Light, 8, 7, 4));
const RESNET50_LIGHT_G8: [ResNetStage; 4] =
    resnet50(repmlp(RepMlpPlace::Light, 8, 7, 8), repmlp(RepMlpPlace::Light, 8, 7, 8));
const RESNET50_BOTTLENECK: [ResNetStage; 4] =
    resnet50(repmlp(RepMlpPlace::Bottleneck, 2, 7, 8), repmlp(RepMlpPlace::Bottleneck, 4, 7, 8));
const RESNET50_BOTTLENECK_320: [ResNetStage; 4] =
    resnet50(repmlp(RepMlpPlace::Bottleneck, 2, 10, 8), repmlp(RepMlpPlace::Bottleneck, 4, 10, 16));

const TIMM: &str = "timm, on random weights";
const SAME_CODE: &str = "same code as the variants compared with timm";
const TORCHVISION: &str = "torchvision, on random weights";
const PYTORCH: &str = "a PyTorch model of ours, on random weights";

/// Name of the model that is taken where none is asked for. Its weights are part of the program.
pub const DEFAULT: &str = "mixer_fashion";

/// All models, by family and size.
static MODELS: [ModelInfo; 43] = [
    ff_only("linear_tiny", FfOnlyConfig::imagenet(12, 16, 192), PYTORCH),
    ff_only("linear_base", FfOnlyConfig::imagenet(12, 16, 768), SAME_CODE),
    ff_only("linear_large", FfOnlyConfig::imagenet(24, 32, 1024), PYTORCH),
    mixer("mixer_s32_224", MixerConfig::imagenet(8, 32, 512), TIMM),
    mixer("mixer_s16_224", MixerConfig::imagenet(8, 16, 512), TIMM),
    mixer("mixer_b32_224", MixerConfig::imagenet(12, 32, 768), SAME_CODE),
    mixer("mixer_b16_224", MixerConfig::imagenet(12, 16, 768), TIMM),
    mixer("mixer_l32_224", MixerConfig::imagenet(24, 32, 1024), SAME_CODE),
    mixer("mixer_l16_224", MixerConfig::imagenet(24, 16, 1024), SAME_CODE),
    mixer("mixer_h14_224", MixerConfig::imagenet(32, 14, 1280), SAME_CODE),
    repmlpnet("repmlpnet_t224", 224, &REPMLPNET_T, PYTORCH),
    repmlpnet("repmlpnet_t256", 256, &REPMLPNET_T, PYTORCH),
    repmlpnet("repmlpnet_b224", 224, &REPMLPNET_B, PYTORCH),
    repmlpnet("repmlpnet_b256", 256, &REPMLPNET_B, PYTORCH),
    repmlpnet("repmlpnet_d256", 256, &REPMLPNET_D, PYTORCH),
    repmlpnet("repmlpnet_l256", 256, &REPMLPNET_L, PYTORCH),
    resnet("resnet50", 224, &RESNET50, &[], TORCHVISION),
    resnet("repmlp_res50_light_224", 224, &RESNET50_LIGHT, &[1, 3, 5], PYTORCH),
    resnet("repmlp_res50_light_224_g8", 224, &RESNET50_LIGHT_G8, &[1, 3, 5], PYTORCH),
    resnet("repmlp_res50_bottleneck_224", 224, &RESNET50_BOTTLENECK, &[1, 3, 5], PYTORCH),
    resnet(
        "repmlp_res50_bottleneck_320_g8_16",
        320,
        &RESNET50_BOTTLENECK_320,
        &[1, 3, 5, 7],
        PYTORCH,
    ),
    vit("vit_base_patch16_224", VitConfig::imagenet(12, 16, 768), TIMM),
    vit("vit_base_patch32_224", VitConfig::imagenet(12, 32, 768), TIMM),
    vit("vit_large_patch16_224", VitConfig::imagenet(24, 16, 1024), TIMM),
    vit("vit_large_patch32_224", VitConfig::imagenet(24, 32, 1024), TIMM),
    deit("deit_tiny_patch16_224", VitConfig::imagenet(12, 16, 192), TIMM),
    deit("deit_small_patch16_224", VitConfig::imagenet(12, 16, 384), TIMM),
    deit("deit_base_patch16_224", VitConfig::imagenet(12, 16, 768), TIMM),
    deit("deit_tiny_distilled_patch16_224", VitConfig::imagenet(12, 16, 192).distilled(), TIMM),
    deit("deit_small_distilled_patch16_224", VitConfig::imagenet(12, 16, 384).distilled(), TIMM),
    deit("deit_base_distilled_patch16_224", VitConfig::imagenet(12, 16, 768).distilled(), TIMM),
    of_imagenet(
        "attention_only_tiny",
        Config::AttentionOnly(AttentionOnlyConfig::imagenet(12, 16, 192)),
        imagenet_preprocess(0.875, IMAGENET),
        PYTORCH,
    ),
    resmlp("resmlp_12_224", ResMlpConfig::imagenet(12, 16, 384), TIMM),
    resmlp("resmlp_24_224", ResMlpConfig::imagenet(24, 16, 384), TIMM),
    resmlp("resmlp_36_224", ResMlpConfig::imagenet(36, 16, 384), TIMM),
    resmlp("resmlp_big_24_224", ResMlpConfig::imagenet(24, 8, 768), TIMM),
    gmlp("gmlp_ti16_224", 128, TIMM),
    gmlp("gmlp_s16_224", 256, TIMM),
    gmlp("gmlp_b16_224", 512, TIMM),
    gmixer("gmixer_12_224", 12, TIMM),
    gmixer("gmixer_24_224", 24, TIMM),
    ModelInfo {
        name: DEFAULT,
        config: Config::Mixer(MixerConfig {
            trunk: Trunk { image: [28, 28], image_channels: 1, patch: 4, channels: 80, depth: 4 },
            token_hidden: 40,
            channel_hidden: 320,
        }),
        classes: 10,
        preprocess: FASHION_PREPROCESS,
        verified: "timm, on its own weights",
    },
    ModelInfo {
        name: "repmlpnet_fashion",
        config: Config::RepMlpNet(RepMlpNetConfig {
            image: [28, 28],
            image_channels: 1,
            patch: 2,
            stages: Cow::Borrowed(&REPMLPNET_FASHION),
            kernels: Cow::Borrowed(&[1, 3]),
            gate_reduction: 4,
            ffn_expansion: 4,
        }),
        classes: 10,
        preprocess: FASHION_PREPROCESS,
        verified: "a PyTorch model of ours, on its own weights",
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
