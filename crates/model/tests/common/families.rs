//! Small networks of tokens of each family, with their tensors and the reference to compare with.

use mixfold_model::{
    AttentionOnlyConfig, Config, FfOnlyConfig, GMixerConfig, GmlpConfig, Loader, MixerConfig,
    Model, Preprocess, ResMlpConfig, Trunk, VitConfig,
};
use mixfold_reference::activation::Activation::GeluErf;
use mixfold_reference::tokens::Patches;
use mixfold_reference::{attention_only, ff_only, gmixer, gmlp, mixer, resmlp, vit};

use super::files::{self, Tensor};

/// Classes of the heads.
pub(crate) const CLASSES: usize = 7;

/// A network as the library and the reference have it.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub config: Config,
    reference: Reference,
}

#[derive(Clone, Copy, Debug)]
enum Reference {
    Mixer(mixer::MixerConfig),
    FfOnly(ff_only::FfOnlyConfig),
    AttentionOnly(attention_only::AttentionOnlyConfig),
    Vit(vit::VitConfig),
    ResMlp(resmlp::ResMlpConfig),
    Gmlp(gmlp::GMlpConfig),
    GMixer(gmixer::GMixerConfig),
}

impl Network {
    /// Of sizes of the library's, none if the reference has no such network.
    pub(crate) fn new(config: &Config, classes: usize) -> Option<Self> {
        let reference = match *config {
            Config::Mixer(MixerConfig { trunk, token_hidden, channel_hidden }) => {
                let Patches { height, width, in_channels, patch, channels } = patches(trunk);
                Reference::Mixer(mixer::MixerConfig {
                    height,
                    width,
                    in_channels,
                    patch,
                    channels,
                    token_hidden,
                    channel_hidden,
                    depth: trunk.depth,
                    classes,
                    eps: 1e-6,
                    activation: GeluErf,
                })
            }
            Config::FfOnly(FfOnlyConfig { trunk, channel_hidden, token_hidden, grid }) => {
                Reference::FfOnly(ff_only::FfOnlyConfig {
                    patches: patches(trunk),
                    position_grid: grid,
                    channel_hidden,
                    token_hidden,
                    depth: trunk.depth,
                    classes,
                })
            }
            Config::AttentionOnly(AttentionOnlyConfig { trunk, heads, grid }) => {
                Reference::AttentionOnly(attention_only::AttentionOnlyConfig {
                    patches: patches(trunk),
                    position_grid: grid,
                    heads,
                    depth: trunk.depth,
                    classes,
                })
            }
            Config::Vit(VitConfig { trunk, heads, hidden, distilled }) => {
                Reference::Vit(vit::VitConfig {
                    patches: patches(trunk),
                    heads,
                    hidden,
                    depth: trunk.depth,
                    classes,
                    distilled,
                    activation: GeluErf,
                })
            }
            Config::ResMlp(ResMlpConfig { trunk, hidden }) => {
                let (patches, depth) = (patches(trunk), trunk.depth);
                Reference::ResMlp(resmlp::ResMlpConfig { patches, hidden, depth, classes })
            }
            Config::Gmlp(GmlpConfig { trunk, hidden }) => {
                let (patches, depth) = (patches(trunk), trunk.depth);
                Reference::Gmlp(gmlp::GMlpConfig { patches, hidden, depth, classes })
            }
            Config::GMixer(GMixerConfig { trunk, token_hidden, channel_hidden }) => {
                Reference::GMixer(gmixer::GMixerConfig {
                    patches: patches(trunk),
                    token_hidden,
                    channel_hidden,
                    depth: trunk.depth,
                    classes,
                })
            }
            _ => return None,
        };
        Some(Network { config: config.clone(), reference })
    }

    /// Names and shapes under the usual names, from the reference.
    pub(crate) fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        match self.reference {
            Reference::Mixer(config) => config.tensors(),
            Reference::FfOnly(config) => config.tensors(),
            Reference::AttentionOnly(config) => config.tensors(),
            Reference::Vit(config) => config.tensors(),
            Reference::ResMlp(config) => config.tensors(),
            Reference::Gmlp(config) => config.tensors(),
            Reference::GMixer(config) => config.tensors(),
        }
    }

    /// All tensors, with contents that keep activations ordinary and that no matrix of low rank has.
    pub(crate) fn tensors(&self) -> Vec<Tensor> {
        let tensor = |(i, (name, shape)): (usize, &(String, Vec<usize>))| {
            let fan_in: usize = shape[1..].iter().product();
            let (mean, bound) = match &shape[..] {
                _ if name.ends_with("alpha") || name.ends_with("ls1") || name.ends_with("ls2") => {
                    (1.0, 0.5)
                }
                _ if name.contains("norm") && name.ends_with("weight") => (1.0, 0.5),
                [_] | [1, 1, _] => (0.0, 0.3),
                _ => (0.0, (3.0 / fan_in as f64).sqrt()),
            };
            let value = |j| (mean + bound * noise(i, j)) as f32;
            Tensor::new(name, shape, (0..shape.iter().product()).map(value).collect())
        };
        self.shapes().iter().enumerate().map(tensor).collect()
    }

    /// The logits of the reference, in the precision of `T`, with these tensors.
    pub(crate) fn logits<T: mixfold_reference::Real + From<f32>>(
        &self,
        tensors: &[Tensor],
        images: &[f32],
        batch: usize,
    ) -> Vec<T> {
        let images: Vec<T> = images.iter().map(|&x| x.into()).collect();
        let tensor = |name: &str, _: &[usize]| -> Vec<T> {
            let tensor = tensors.iter().find(|tensor| tensor.name == name).expect(name);
            tensor.values.iter().map(|&x| x.into()).collect()
        };
        match self.reference {
            Reference::Mixer(config) => mixer::Mixer::new(config, tensor).forward(&images, batch),
            Reference::FfOnly(config) => {
                ff_only::FfOnly::new(config, tensor).forward(&images, batch)
            }
            Reference::AttentionOnly(config) => {
                attention_only::AttentionOnly::new(config, tensor).forward(&images, batch)
            }
            Reference::Vit(config) => vit::Vit::new(config, tensor).forward(&images, batch),
            Reference::ResMlp(config) => {
                resmlp::ResMlp::new(config, tensor).forward(&images, batch)
            }
            Reference::Gmlp(config) => gmlp::GMlp::new(config, tensor).forward(&images, batch),
            Reference::GMixer(config) => {
                gmixer::GMixer::new(config, tensor).forward(&images, batch)
            }
        }
    }

    /// The library's, with the contents of [`tensors`](Self::tensors).
    pub(crate) fn load(&self, loader: &Loader) -> Model {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("weights");
        files::safetensors(&path, &self.tensors());
        let name = self.config.family();
        loader.load_config(name, self.config.clone(), Preprocess::IMAGENET, path).unwrap()
    }
}

/// A number in −1..1 for each element of each tensor, the same in every run.
fn noise(tensor: usize, element: usize) -> f64 {
    let mut hash = (tensor as u64) << 32 | element as u64;
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53, 0xff51_afd7_ed55_8ccd] {
        hash = (hash ^ hash >> 33).wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(factor);
    }
    (hash >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

fn patches(trunk: Trunk) -> Patches {
    let Trunk { image: [height, width], image_channels: in_channels, patch, channels, .. } = trunk;
    Patches { height, width, in_channels, patch, channels }
}

/// Networks whose sizes are multiples of no tile or vector: one of few tokens, so that images go
/// together, and one of more tokens than a panel has columns, for each family.
pub(crate) fn networks() -> Vec<Network> {
    let few = Trunk { image: [12, 8], image_channels: 2, patch: 4, channels: 18, depth: 2 };
    let many = Trunk { image: [28, 26], image_channels: 3, patch: 2, channels: 30, depth: 2 };
    let configs = [few, many].into_iter().flat_map(|trunk| {
        let (token_hidden, channel_hidden, hidden) = (22, 50, 42);
        let vit = VitConfig { trunk, heads: 3, hidden, distilled: false };
        [
            Config::from(MixerConfig { trunk, token_hidden, channel_hidden }),
            FfOnlyConfig { trunk, channel_hidden, token_hidden, grid: [3, 2] }.into(),
            AttentionOnlyConfig { trunk, heads: 2, grid: [5, 4] }.into(),
            vit.into(),
            VitConfig { distilled: true, ..vit }.into(),
            ResMlpConfig { trunk, hidden }.into(),
            GmlpConfig { trunk, hidden }.into(),
            GMixerConfig { trunk, token_hidden, channel_hidden }.into(),
        ]
    });
    configs.filter_map(|config| Network::new(&config, CLASSES)).collect()
}
