//! The names of a Mixer's tensors in checkpoints.

use Kind::{Convolution, Matrix, Norm};

use crate::tokens::Names;
use crate::weights::Layout;

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

/// The modules of a block, behind [`block`].
const BLOCK: [Module; 6] = [
    row(Norm, ["norm1", "LayerNorm_0/*", "LayerNorm_0/*"]),
    row(Matrix, ["mlp_tokens.fc1", "token_mixing/Dense_0/*", "token_mixing_phase_0/*1"]),
    row(Matrix, ["mlp_tokens.fc2", "token_mixing/Dense_1/*", "token_mixing_phase_0/*2"]),
    row(Norm, ["norm2", "LayerNorm_1/*", "LayerNorm_1/*"]),
    row(Matrix, ["mlp_channels.fc1", "channel_mixing/Dense_0/*", "channel_mixing_phase_0/*1"]),
    row(Matrix, ["mlp_channels.fc2", "channel_mixing/Dense_1/*", "channel_mixing_phase_0/*2"]),
];

/// What the names of a block's tensors begin with.
fn block(names: Names, number: &str) -> String {
    match names {
        Names::Usual | Names::Facebook => format!("blocks.{number}."),
        Names::Flax => format!("MixerBlock_{number}/"),
        Names::LegacyFlax => format!("Mixer/encoderblock_{number}/"),
    }
}

/// The file's name and layout of the tensor that timm calls `name`.
pub(super) fn file_name(names: Names, name: &str) -> (String, Layout) {
    let (module, parameter) = name.rsplit_once('.').expect("timm's name has a parameter");
    let in_block = module.strip_prefix("blocks.").and_then(|name| name.split_once('.'));
    let (prefix, modules, module) = match in_block {
        Some((number, module)) => (block(names, number), &BLOCK[..], module),
        None => (String::new(), &ENDS[..], module),
    };
    let module = modules.iter().find(|row| row.timm == module).expect("a module of a Mixer");
    let path = match names {
        Names::Usual | Names::Facebook => return (name.to_owned(), Layout::Same),
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
