//! The sizes of a model of any family.

use crate::mixer::MixerConfig;
use crate::repmlp::RepMlpNetConfig;

/// The sizes of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Config {
    /// MLP-Mixer (Tolstikhin et al., 2021).
    Mixer(MixerConfig),
    /// RepMLPNet (Ding et al., 2022).
    RepMlpNet(RepMlpNetConfig),
}

/// The two forms of a model that is trained with convolutions and run without. Both compute the same
/// function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// With the convolutions that stand beside each fully connected layer, and batch norms behind
    /// them.
    Train,
    /// With the convolutions and their batch norms folded into the fully connected layers.
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
        match self {
            Config::Mixer(_) => "MLP-Mixer",
            Config::RepMlpNet(_) => "RepMLPNet",
        }
    }

    /// Channels, height and width of the images.
    pub fn input(&self) -> [usize; 3] {
        let (channels, [height, width]) = match self {
            Config::Mixer(config) => (config.image_channels, config.image),
            Config::RepMlpNet(config) => (config.image_channels, config.image),
        };
        [channels, height, width]
    }

    /// The forms that its weights can have, none if there is but one.
    pub fn forms(&self) -> &'static [Form] {
        match self {
            Config::Mixer(_) => &[],
            Config::RepMlpNet(_) => &[Form::Train, Form::Deploy],
        }
    }

    /// Number of parameters, with a head of `classes`; `u64::MAX` if there are more. The form makes no
    /// difference where there is but one.
    pub fn parameters(&self, classes: usize, form: Form) -> u64 {
        match self {
            Config::Mixer(config) => config.parameters(classes),
            Config::RepMlpNet(config) => config.parameters(classes, form),
        }
    }

    /// Multiply-adds of convolutions and matrices for one image, with a head of `classes`; `u64::MAX`
    /// if there are more. The form makes no difference where there is but one.
    pub fn macs(&self, classes: usize, form: Form) -> u64 {
        match self {
            Config::Mixer(config) => config.macs(classes),
            Config::RepMlpNet(config) => config.macs(classes, form),
        }
    }

    /// Whether these are the sizes of a model in a file that was found to have the sizes `found`: the
    /// convolutions of a RepMLPNet leave no trace in deploy form.
    pub(crate) fn is(&self, found: &Config) -> bool {
        match (self, found) {
            (Config::RepMlpNet(config), Config::RepMlpNet(found)) if found.kernels.is_empty() => {
                let kernels = config.kernels.clone();
                *config == RepMlpNetConfig { kernels, ..found.clone() }
            }
            _ => self == found,
        }
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
