//! The names of a ViT's tensors in the official Flax checkpoints.

use crate::tokens::Names;
use crate::weights::Layout;

/// What the usual names have in one matrix, one below the other.
const QKV: [&str; 3] = ["query", "key", "value"];

/// Modules under their usual name and Flax's, before and behind the blocks.
const ENDS: [[&str; 2]; 3] =
    [["patch_embed.proj", "embedding"], ["norm", "Transformer/encoder_norm"], ["head", "head"]];

/// The modules of a block.
const BLOCK: [[&str; 2]; 8] = [
    ["norm1", "LayerNorm_0"],
    ["attn.query", "MultiHeadDotProductAttention_1/query"],
    ["attn.key", "MultiHeadDotProductAttention_1/key"],
    ["attn.value", "MultiHeadDotProductAttention_1/value"],
    ["attn.proj", "MultiHeadDotProductAttention_1/out"],
    ["norm2", "LayerNorm_2"],
    ["mlp.fc1", "MlpBlock_3/Dense_0"],
    ["mlp.fc2", "MlpBlock_3/Dense_1"],
];

/// The file's name and layout of the tensor with this usual name.
pub(super) fn file_name(names: Names, name: &str) -> (String, Layout) {
    let usual = (name.to_owned(), Layout::Same);
    if names != Names::Flax {
        return usual;
    }
    let Some((module, parameter)) = name.rsplit_once('.') else {
        let name = match name {
            "cls_token" => "cls",
            "pos_embed" => "Transformer/posembed_input/pos_embedding",
            other => other,
        };
        return (name.to_owned(), Layout::Same);
    };
    let in_block = module.strip_prefix("blocks.").and_then(|name| name.split_once('.'));
    let (prefix, modules, module) = match in_block {
        Some((number, module)) => {
            (format!("Transformer/encoderblock_{number}/"), &BLOCK[..], module)
        }
        None => (String::new(), &ENDS[..], module),
    };
    let Some([_, path]) = modules.iter().find(|row| row[0] == module) else { return usual };
    let (parameter, layout) = match (parameter, module) {
        ("bias", _) => ("bias", Layout::Same),
        (_, "norm" | "norm1" | "norm2") => ("scale", Layout::Same),
        (_, "patch_embed.proj") => ("kernel", Layout::Hwio),
        _ => ("kernel", Layout::Transposed),
    };
    (format!("{prefix}{path}/{parameter}"), layout)
}

/// The modules of a file that the usual names have as one.
pub(super) fn pieces(names: Names, module: &str) -> Vec<String> {
    match (names, module.strip_suffix(".qkv")) {
        (Names::Flax, Some(attention)) => {
            QKV.iter().map(|part| format!("{attention}.{part}")).collect()
        }
        _ => vec![module.to_owned()],
    }
}

/// The shape in which a file has a tensor that is split in heads.
pub(super) fn stored(
    names: Names,
    name: &str,
    [channels, heads, width]: [usize; 3],
) -> Option<Vec<usize>> {
    let (module, parameter) = name.rsplit_once('.')?;
    let (_, module) = module.rsplit_once(".attn.")?;
    match (names, module, parameter) {
        (Names::Flax, "query" | "key" | "value", "weight") => Some(vec![channels, heads, width]),
        (Names::Flax, "query" | "key" | "value", "bias") => Some(vec![heads, width]),
        (Names::Flax, "proj", "weight") => Some(vec![heads, width, channels]),
        _ => None,
    }
}
