//! Which model a file is of, from its table of contents.

use mixfold_model::{
    Checkpoint, Config, MixerConfig, ModelError, ModelInfo, Trunk, detect, registry,
};
use tempfile::TempDir;

use crate::common;
use crate::common::files::{self, flax_name};

type Shapes = Vec<(String, Vec<usize>)>;

/// Names and shapes of a Mixer as timm has them, from the paper's formulas.
fn shapes(config: &MixerConfig, classes: usize) -> Shapes {
    let Trunk { image: [height, width], image_channels, patch, channels, depth } = config.trunk;
    let tokens = (height / patch) * (width / patch);
    let mut shapes = Vec::new();
    let mut layer = |name: String, weight: &[usize]| {
        shapes.push((format!("{name}.weight"), weight.to_vec()));
        shapes.push((format!("{name}.bias"), vec![weight[0]]));
    };
    layer("stem.proj".into(), &[channels, image_channels, patch, patch]);
    for i in 0..depth {
        layer(format!("blocks.{i}.norm1"), &[channels]);
        layer(format!("blocks.{i}.mlp_tokens.fc1"), &[config.token_hidden, tokens]);
        layer(format!("blocks.{i}.mlp_tokens.fc2"), &[tokens, config.token_hidden]);
        layer(format!("blocks.{i}.norm2"), &[channels]);
        layer(format!("blocks.{i}.mlp_channels.fc1"), &[config.channel_hidden, channels]);
        layer(format!("blocks.{i}.mlp_channels.fc2"), &[channels, config.channel_hidden]);
    }
    layer("norm".into(), &[channels]);
    layer("head".into(), &[classes, channels]);
    shapes
}

fn flax(shapes: &Shapes) -> Shapes {
    let flax = |(name, shape): &(String, Vec<usize>)| {
        let order: &[usize] = match shape.len() {
            4 => &[2, 3, 1, 0],
            2 => &[1, 0],
            _ => &[0],
        };
        (flax_name(name, shape.len()), order.iter().map(|&axis| shape[axis]).collect())
    };
    shapes.iter().map(flax).collect()
}

/// Detects a file of which nothing but the table is there: no tensor is read.
fn detected(shapes: &Shapes) -> Result<ModelInfo, ModelError> {
    let (_directory, file) = open(shapes);
    detect(&file)
}

fn open(shapes: &Shapes) -> (TempDir, Checkpoint) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights");
    let shapes = shapes.iter().map(|(name, shape)| (name.as_str(), &shape[..]));
    files::sparse_safetensors(&path, shapes);
    let file = Checkpoint::open(path).unwrap();
    (directory, file)
}

fn registered(name: &str) -> MixerConfig {
    let Config::Mixer(config) = registry::model(name).unwrap().config else { panic!("{name}") };
    config
}

#[test]
fn every_registered_model() {
    for model in registry::models() {
        let Config::Mixer(config) = &model.config else { continue };
        for classes in [model.classes, 21_843, 2] {
            let shapes = shapes(config, classes);
            for shapes in [&shapes, &flax(&shapes)] {
                let found = detected(shapes).unwrap();
                assert_eq!((found.name, found.classes), (model.name, classes));
                let elements = |(_, shape): &(String, Vec<usize>)| shape.iter().product::<usize>();
                let stored: usize = shapes.iter().map(elements).sum();
                assert_eq!(found.parameters(), stored as u64, "{}", model.name);
            }
        }
    }
}

/// Lengths of 1 do not count in the oldest checkpoints, but those of a kernel: the one channel of grey
/// images is among them.
#[test]
fn grey_images_in_the_oldest_names() {
    let legacy: Vec<_> = common::tensors(&registered("mixer_fashion"), 10)
        .iter()
        .map(files::legacy)
        .map(|tensor| (tensor.name, tensor.shape))
        .collect();
    let found = detected(&legacy).unwrap();
    assert_eq!((found.name, found.classes), ("mixer_fashion", 10));
}

/// The reason why a file is of no model.
fn undetected(shapes: &Shapes) -> String {
    let error = detected(shapes).unwrap_err();
    let text = error.to_string();
    let ModelError::Undetected { path, reason } = error else { panic!("{error}") };
    assert!(text.contains(&reason) && text.contains(path.to_str().unwrap()), "{text}");
    reason
}

#[test]
fn foreign_files() {
    let entry = |name: &str, shape: &[usize]| (name.to_owned(), shape.to_vec());
    let b16 = shapes(&registered("mixer_b16_224"), 1000);
    let changed = |name: &str, shape: &[usize]| {
        let mut shapes = b16.clone();
        shapes.iter_mut().find(|entry| entry.0 == name).unwrap().1 = shape.to_vec();
        shapes
    };
    let without = |name: &str| -> Shapes {
        b16.iter().filter(|entry| !entry.0.starts_with(name)).cloned().collect()
    };
    for (shapes, reason) in [
        (vec![], "not named like those of any family"),
        // A transformer of another kind.
        (
            vec![
                entry("cls_token", &[1, 1, 768]),
                entry("patch_embed.proj.weight", &[768, 3, 16, 16]),
            ],
            "not named like those of any family",
        ),
        // A ResMLP: its stem has the same name.
        (
            vec![
                entry("stem.proj.weight", &[384, 3, 16, 16]),
                entry("blocks.0.linear_tokens.weight", &[196, 196]),
            ],
            "no `blocks.0.mlp_channels.fc1.weight`",
        ),
        (without("blocks.0.mlp_channels"), "no `blocks.0.mlp_channels.fc1.weight`"),
        (changed("stem.proj.weight", &[768, 768]), "the stem is no convolution"),
        (changed("blocks.0.mlp_tokens.fc1.weight", &[384, 14, 14]), "token mixing is no matrix"),
        (changed("blocks.0.mlp_channels.fc1.weight", &[3072]), "channel mixing is no matrix"),
        (changed("blocks.0.mlp_tokens.fc1.weight", &[384, 197]), "197 patches"),
        (changed("blocks.0.mlp_tokens.fc1.weight", &[384, 0]), "0 patches"),
        (changed("stem.proj.weight", &[768, 3, 0, 0]), "196 patches"),
        // Sizes of a Mixer, and of none that is known.
        (changed("blocks.0.mlp_tokens.fc1.weight", &[384, 784]), "784 patches"),
        (without("blocks.11."), "11 blocks"),
        (without("blocks.5."), "5 blocks"),
        (changed("stem.proj.weight", &[512, 3, 16, 16]), "512 channels"),
        (changed("stem.proj.weight", &[0, 3, 1 << 62, 1 << 62]), "patches of"),
    ] {
        let found = undetected(&shapes);
        assert!(found.contains(reason), "`{found}` instead of `{reason}`");
    }
}

#[test]
fn a_file_of_two_models_is_of_none() {
    let timm = shapes(&registered("mixer_s32_224"), 1000);
    let mut both = timm.clone();
    both.extend(flax(&timm));
    let error = detected(&both).unwrap_err();
    let ModelError::Mismatch { mismatch, model, .. } = error else { panic!("{error}") };
    assert_eq!(model, "mixer_s32_224");
    let mut names: Vec<_> = flax(&timm).into_iter().map(|(name, _)| name).collect();
    names.sort();
    assert_eq!(mismatch.unexpected, names);
    assert!(mismatch.missing.is_empty() && mismatch.misshapen.is_empty());
}
