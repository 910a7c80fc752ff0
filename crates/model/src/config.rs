//! The sizes of a model of any family.

use crate::families::{
    AttentionOnlyConfig, FfOnlyConfig, GMixerConfig, GmlpConfig, MixerConfig, ResMlpConfig,
    VitConfig,
};
use crate::repmlp::RepMlpNetConfig;
use crate::resnet::ResNetConfig;

/// The sizes of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Config {
    /// FF-only (Melas-Kyriazi, 2021).
    FfOnly(FfOnlyConfig),
    /// Attention alone: a reconstruction of the ablation of Melas-Kyriazi, 2021.
    AttentionOnly(AttentionOnlyConfig),
    /// MLP-Mixer (Tolstikhin et al., 2021).
    Mixer(MixerConfig),
    /// RepMLPNet (Ding et al., 2022).
    RepMlpNet(RepMlpNetConfig),
    /// ResNet (He et al., 2016), with or without RepMLPs (Ding et al., 2021).
    ResNet(ResNetConfig),
    /// ViT (Dosovitskiy et al., 2021) and DeiT (Touvron et al., 2021).
    Vit(VitConfig),
    /// ResMLP (Touvron et al., 2021).
    ResMlp(ResMlpConfig),
    /// gMLP (Liu et al., 2021).
    Gmlp(GmlpConfig),
    /// gMixer (timm).
    GMixer(GMixerConfig),
}

/// The two forms of a model that is trained with convolutions and run without. Both compute the same
/// function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// With the convolutions that stand beside each fully connected layer, and batch norms behind
    /// them.
    Train,
    /// With the convolutions and their batch norms folded into the fully connected layers; in a
    /// ResNet, with each other batch norm folded into the convolution in front of it.
    Deploy,
}

impl std::fmt::Display for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Form::Train => "train",
            Form::Deploy => "deploy",
        })
    }
}

impl Config {
    /// The paper's name of the architecture.
    pub fn family(&self) -> &'static str {
        self.architecture().family()
    }

    /// Channels, height and width of the images.
    pub fn input(&self) -> [usize; 3] {
        self.architecture().input()
    }

    /// The forms that its weights can have, none if there is but one.
    pub fn forms(&self) -> &'static [Form] {
        self.architecture().forms()
    }

    /// Number of parameters, with a head of `classes`; `u64::MAX` if there are more. The form makes no
    /// difference where there is but one.
    pub fn parameters(&self, classes: usize, form: Form) -> u64 {
        self.architecture().parameters(classes, form)
    }

    /// Multiply-adds of convolutions, matrices and attention for one image, with a head of `classes`;
    /// `u64::MAX` if there are more. The form makes no difference where there is but one.
    pub fn macs(&self, classes: usize, form: Form) -> u64 {
        self.architecture().macs(classes, form)
    }

    /// Whether these are the sizes of a model in a file that was found to have the sizes `found`: the
    /// convolutions of a RepMLP leave no trace in deploy form.
    pub(crate) fn is(&self, found: &Config) -> bool {
        match (self, found) {
            (Config::RepMlpNet(config), Config::RepMlpNet(found)) if found.kernels.is_empty() => {
                let kernels = config.kernels.clone();
                *config == RepMlpNetConfig { kernels, ..found.clone() }
            }
            (Config::ResNet(config), Config::ResNet(found)) if found.kernels.is_empty() => {
                let kernels = config.kernels.clone();
                *config == ResNetConfig { kernels, ..found.clone() }
            }
            _ => self == found,
        }
    }
}

impl From<FfOnlyConfig> for Config {
    fn from(config: FfOnlyConfig) -> Self {
        Config::FfOnly(config)
    }
}

impl From<AttentionOnlyConfig> for Config {
    fn from(config: AttentionOnlyConfig) -> Self {
        Config::AttentionOnly(config)
    }
}

impl From<MixerConfig> for Config {
    fn from(config: MixerConfig) -> Self {
        Config::Mixer(config)
    }
}

impl From<RepMlpNetConfig> for Config {
    fn from(config: RepMlpNetConfig) -> Self {
        Config::RepMlpNet(config)
    }
}

impl From<ResNetConfig> for Config {
    fn from(config: ResNetConfig) -> Self {
        Config::ResNet(config)
    }
}

impl From<VitConfig> for Config {
    fn from(config: VitConfig) -> Self {
        Config::Vit(config)
    }
}

impl From<ResMlpConfig> for Config {
    fn from(config: ResMlpConfig) -> Self {
        Config::ResMlp(config)
    }
}

impl From<GmlpConfig> for Config {
    fn from(config: GmlpConfig) -> Self {
        Config::Gmlp(config)
    }
}

impl From<GMixerConfig> for Config {
    fn from(config: GMixerConfig) -> Self {
        Config::GMixer(config)
    }
}
