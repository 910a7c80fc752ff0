//! The names of a Mixer's tensors in checkpoints.

use Kind::{Convolution, Matrix, Norm};

use super::MixerConfig;
use crate::Checkpoint;
use crate::weights::{Layout, Spec};

/// Whose names a checkpoint uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// timm's, in PyTorch's layouts: convolutions `[out, in, height, width]`, matrices `[out, in]`.
    Timm,
    /// Those of the official Flax checkpoints, in Flax's layouts: convolutions
    /// `[height, width, in, out]`, matrices `[in, out]`.
    Flax,
    /// Those of the official checkpoints from before Flax's Linen, in the same layouts. Shapes may
    /// have further lengths of 1.
    LegacyFlax,
}

/// A module under its three names. In Flax's, `*` stands for the parameter: `bias`, and what timm
/// calls `weight` is the `kernel` of a convolution or matrix and the `scale` of a norm.
struct Module {
    kind: Kind,
    timm: &'static str,
    flax: &'static str,
    legacy: &'static str,
}

#[derive(Clone, Copy)]
enum Kind {
    Convolution,
    Matrix,
    Norm,
}

const fn row(kind: Kind, [timm, flax, legacy]: [&'static str; 3]) -> Module {
    Module { kind, timm, flax, legacy }
}

/// The modules before and behind the blocks.
const ENDS: [Module; 3] = [
    row(Convolution, ["stem.proj", "stem/*", "embedding/*"]),
    row(Norm, ["norm", "pre_head_layer_norm/*", "Mixer/encoder_norm/*"]),
    row(Matrix, ["head", "head/*", "head/*"]),
];

/// The modules of a block, behind [`Names::block`].
const BLOCK: [Module; 6] = [
    row(Norm, ["norm1", "LayerNorm_0/*", "LayerNorm_0/*"]),
    row(Matrix, ["mlp_tokens.fc1", "token_mixing/Dense_0/*", "token_mixing_phase_0/*1"]),
    row(Matrix, ["mlp_tokens.fc2", "token_mixing/Dense_1/*", "token_mixing_phase_0/*2"]),
    row(Norm, ["norm2", "LayerNorm_1/*", "LayerNorm_1/*"]),
    row(Matrix, ["mlp_channels.fc1", "channel_mixing/Dense_0/*", "channel_mixing_phase_0/*1"]),
    row(Matrix, ["mlp_channels.fc2", "channel_mixing/Dense_1/*", "channel_mixing_phase_0/*2"]),
];

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
        Some(self.shape(file, "head.bias")?.iter().product())
    }

    /// What the names of a block's tensors begin with.
    fn block(self, number: &str) -> String {
        match self {
            Names::Timm => format!("blocks.{number}."),
            Names::Flax => format!("MixerBlock_{number}/"),
            Names::LegacyFlax => format!("Mixer/encoderblock_{number}/"),
        }
    }

    /// The file's name and layout of the tensor that timm calls `name`.
    fn file_name(self, name: &str) -> (String, Layout) {
        let (module, parameter) = name.rsplit_once('.').expect("timm's name has a parameter");
        let in_block = module.strip_prefix("blocks.").and_then(|name| name.split_once('.'));
        let (prefix, modules, module) = match in_block {
            Some((number, module)) => (self.block(number), &BLOCK[..], module),
            None => (String::new(), &ENDS[..], module),
        };
        let module = modules.iter().find(|row| row.timm == module).expect("a module of a Mixer");
        let path = match self {
            Names::Timm => return (name.to_owned(), Layout::Same),
            Names::Flax => module.flax,
            Names::LegacyFlax => module.legacy,
        };
        let (parameter, layout) = match (parameter, module.kind) {
            ("bias", _) => ("bias", Layout::Same),
            (_, Norm) => ("scale", Layout::Same),
            (_, Matrix) => ("kernel", Layout::Transposed),
            (_, Convolution) => ("kernel", Layout::Hwio),
        };
        (prefix + &path.replace('*', parameter), layout)
    }

    /// All tensors of a Mixer with a head of `classes`.
    pub(crate) fn specs(self, config: &MixerConfig, classes: usize) -> Vec<Spec> {
        let mut specs = Vec::new();
        let mut add = |name: String, shape: &[usize]| {
            let (file_name, layout) = self.file_name(&name);
            let shape = shape.to_vec();
            specs.push(Spec { name, shape, file_name, layout, optional: false });
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
        let mut shape = file.entry(&file_name)?.shape().to_vec();
        if self.squeezes() && layout != Layout::Hwio {
            shape.retain(|&len| len != 1);
        }
        Some(match (layout, &shape[..]) {
            (Layout::Transposed, &[axis, out]) => vec![out, axis],
            (Layout::Hwio, &[height, width, channels, out]) => vec![out, channels, height, width],
            _ => shape,
        })
    }
}
