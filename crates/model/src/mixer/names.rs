//! The names of a Mixer's tensors in checkpoints.

use super::MixerConfig;
use crate::Checkpoint;
use crate::weights::{Layout, Spec};

/// Whose names a checkpoint uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Names {
    /// timm's, in PyTorch's layouts.
    Timm,
    /// Those of the official Flax checkpoints.
    Flax,
    /// Those of the official checkpoints from before Flax's Linen.
    LegacyFlax,
}

impl Names {
    /// The names that the file uses, told by the stem's.
    pub(crate) fn of(file: &Checkpoint) -> Option<Names> {
        [Names::Timm, Names::Flax, Names::LegacyFlax]
            .into_iter()
            .find(|names| file.entry(&names.file_name("stem.proj.weight").0).is_some())
    }

    /// Whether shapes may have lengths of 1 to be left out.
    pub(crate) fn squeezes(self) -> bool {
        self == Names::LegacyFlax
    }

    /// The classes of the file's head.
    pub(crate) fn classes(self, file: &Checkpoint) -> Option<usize> {
        self.shape(file, "head.bias")?.first().copied()
    }

    /// The file's name and layout of the tensor that timm calls `name`.
    fn file_name(self, name: &str) -> (String, Layout) {
        let (module, parameter) = name.rsplit_once('.').unwrap_or((name, ""));
        let flax = |path: String| {
            let norm = path
                .rsplit('/')
                .next()
                .is_some_and(|last| last.contains("norm") || last.contains("Norm"));
            match parameter {
                "bias" => (format!("{path}/bias"), Layout::Same),
                _ if norm => (format!("{path}/scale"), Layout::Same),
                _ if module == "stem.proj" => (format!("{path}/kernel"), Layout::Hwio),
                _ => (format!("{path}/kernel"), Layout::Transposed),
            }
        };
        let parts: Vec<_> = module.split('.').collect();
        match (self, &parts[..]) {
            (Names::Timm, _) => (name.to_owned(), Layout::Same),
            (Names::Flax, ["stem", _]) => flax("stem".into()),
            (Names::LegacyFlax, ["stem", _]) => flax("embedding".into()),
            (Names::Flax, ["norm"]) => flax("pre_head_layer_norm".into()),
            (Names::LegacyFlax, ["norm"]) => flax("Mixer/encoder_norm".into()),
            (Names::Flax, ["blocks", i, "norm1"]) => flax(format!("MixerBlock_{i}/LayerNorm_0")),
            (Names::Flax, ["blocks", i, "norm2"]) => flax(format!("MixerBlock_{i}/LayerNorm_1")),
            (Names::LegacyFlax, ["blocks", i, "norm1"]) => {
                flax(format!("Mixer/encoderblock_{i}/LayerNorm_0"))
            }
            (Names::LegacyFlax, ["blocks", i, "norm2"]) => {
                flax(format!("Mixer/encoderblock_{i}/LayerNorm_1"))
            }
            (Names::Flax, ["blocks", i, mlp, layer]) => {
                let dense = if *layer == "fc1" { 0 } else { 1 };
                flax(format!("MixerBlock_{i}/{}/Dense_{dense}", mixing(mlp)))
            }
            (Names::LegacyFlax, ["blocks", i, mlp, layer]) => {
                let dense = if *layer == "fc1" { 1 } else { 2 };
                let path = format!("Mixer/encoderblock_{i}/{}_phase_0", mixing(mlp));
                match parameter {
                    "bias" => (format!("{path}/bias{dense}"), Layout::Same),
                    _ => (format!("{path}/kernel{dense}"), Layout::Transposed),
                }
            }
            (_, _) => flax(module.to_owned()),
        }
    }

    /// All tensors of a Mixer with a head of `classes`.
    pub(crate) fn specs(self, config: &MixerConfig, classes: usize) -> Vec<Spec> {
        let mut specs = Vec::new();
        let mut add = |name: String, shape: &[usize]| {
            let (file_name, layout) = self.file_name(&name);
            specs.push(Spec { name, shape: shape.to_vec(), file_name, layout });
        };
        let &MixerConfig { patch, channels, token_hidden, channel_hidden, .. } = config;
        let mut linear = |module: &str, shape: &[usize]| {
            add(format!("{module}.weight"), shape);
            add(format!("{module}.bias"), &shape[..1]);
        };
        linear("stem.proj", &[channels, config.image_channels, patch, patch]);
        for i in 0..config.depth {
            linear(&format!("blocks.{i}.norm1"), &[channels]);
            linear(&format!("blocks.{i}.mlp_tokens.fc1"), &[token_hidden, config.tokens()]);
            linear(&format!("blocks.{i}.mlp_tokens.fc2"), &[config.tokens(), token_hidden]);
            linear(&format!("blocks.{i}.norm2"), &[channels]);
            linear(&format!("blocks.{i}.mlp_channels.fc1"), &[channel_hidden, channels]);
            linear(&format!("blocks.{i}.mlp_channels.fc2"), &[channels, channel_hidden]);
        }
        linear("norm", &[channels]);
        linear("head", &[classes, channels]);
        specs
    }

    /// The shape that the tensor timm calls `name` has in timm's layout, if the file has it.
    pub(crate) fn shape(self, file: &Checkpoint, name: &str) -> Option<Vec<usize>> {
        let (file_name, layout) = self.file_name(name);
        let shape: Vec<_> = match self {
            _ if self.squeezes() && layout != Layout::Hwio => {
                let shape = file.entry(&file_name)?.shape();
                shape.iter().copied().filter(|&len| len != 1).collect()
            }
            _ => file.entry(&file_name)?.shape().to_vec(),
        };
        Some(match (layout, &shape[..]) {
            (Layout::Transposed, &[axis, out]) => vec![out, axis],
            (Layout::Hwio, &[height, width, channels, out]) => vec![out, channels, height, width],
            _ => shape,
        })
    }
}

fn mixing(mlp: &str) -> &'static str {
    if mlp == "mlp_tokens" { "token_mixing" } else { "channel_mixing" }
}
