//! Which model a file is of, from its table of contents.

use std::fs;

use mixfold_model::{Checkpoint, Config, ModelError, ModelInfo, detect, registry};
use tempfile::TempDir;

use crate::common::families::Network;
use crate::common::files;

type Shapes = Vec<(String, Vec<usize>)>;

fn open(shapes: &Shapes) -> (TempDir, Checkpoint) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights.safetensors");
    let shapes = shapes.iter().map(|(name, shape)| (name.as_str(), &shape[..]));
    files::sparse_safetensors(&path, shapes);
    let file = Checkpoint::open(path).unwrap();
    (directory, file)
}

fn shapes(model: &ModelInfo, classes: usize) -> Option<Shapes> {
    Network::new(&model.config, classes).map(|network| network.shapes())
}

#[test]
fn every_registered_model() {
    for model in registry::models() {
        for classes in [model.classes, 3] {
            let Some(shapes) = shapes(model, classes) else { continue };
            let (_directory, file) = open(&shapes);
            let found = detect(&file).unwrap();
            // The two have the same sizes.
            let name = match model.name {
                "deit_base_patch16_224" => "vit_base_patch16_224",
                name => name,
            };
            assert_eq!((found.name, found.classes), (name, classes));
            let stored: usize =
                shapes.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
            assert_eq!(found.parameters(), stored as u64, "{name}");
        }
    }
}

/// timm's configuration beside a file tells a DeiT from a ViT of the same sizes.
#[test]
fn a_configuration_tells_models_of_the_same_sizes_apart() {
    let deit = registry::model("deit_base_patch16_224").unwrap();
    let (directory, file) = open(&shapes(deit, 1000).unwrap());
    let config = directory.path().join("config.json");
    for (architecture, name) in [
        ("deit_base_patch16_224", "deit_base_patch16_224"),
        ("deit_base_patch16_224.fb_in1k", "deit_base_patch16_224"),
        ("vit_base_patch16_224", "vit_base_patch16_224"),
        ("mixer_b16_224", "vit_base_patch16_224"),
    ] {
        fs::write(&config, format!("{{\"architecture\": \"{architecture}\"}}")).unwrap();
        assert_eq!(detect(&file).unwrap().name, name, "{architecture}");
    }
    fs::write(&config, "not json").unwrap();
    let error = detect(&file).unwrap_err().to_string();
    assert!(error.contains("config.json"), "{error}");
}

/// Sizes of a family, and of none of its models: the one that is another is told.
#[test]
fn other_sizes() {
    for (name, changed, axis, reason) in [
        ("linear_tiny", "blocks.0.mlp1.fc1.weight", 0, "FF-only: 770 along the channels"),
        ("linear_tiny", "blocks.0.mlp2.fc1.weight", 0, "FF-only: 790 hidden units"),
        ("linear_tiny", "pos_encoding.pos_embed", 2, "FF-only: 16 x 14 patches"),
        ("attention_only_tiny", "pos_encoding.pos_embed", 3, "attention-only: 14 x 16 patches"),
        ("deit_tiny_patch16_224", "blocks.0.mlp.fc1.weight", 0, "ViT: 3 heads, 770 hidden units"),
        (
            "deit_tiny_distilled_patch16_224",
            "blocks.0.mlp.fc1.weight",
            0,
            "ViT: 770 hidden units, distilled",
        ),
        ("resmlp_12_224", "blocks.0.mlp_channels.fc1.weight", 0, "ResMLP: 1538 hidden units"),
        ("gmlp_ti16_224", "blocks.0.mlp_channels.fc1.weight", 0, "gMLP: 770 hidden units"),
        ("gmixer_12_224", "blocks.0.mlp_channels.fc1.weight", 0, "gMixer: 1538 along the channels"),
        ("mixer_s16_224", "blocks.0.mlp_tokens.fc1.weight", 0, "MLP-Mixer: 258 hidden units"),
    ] {
        let mut shapes = shapes(registry::model(name).unwrap(), 1000).unwrap();
        shape_of(&mut shapes, changed)[axis] += 2;
        let (_directory, file) = open(&shapes);
        let error = detect(&file).unwrap_err();
        let ModelError::Undetected { reason: found, .. } = &error else { panic!("{error}") };
        let (family, size) = reason.split_once(": ").unwrap();
        assert!(found.starts_with(family) && found.contains(size), "{name}: {found}");
    }
}

fn shape_of<'a>(shapes: &'a mut Shapes, name: &str) -> &'a mut Vec<usize> {
    &mut shapes.iter_mut().find(|(tensor, _)| tensor == name).unwrap().1
}

/// What is wrong with a file of a known model is told as a difference from it.
#[test]
fn one_wrong_tensor() {
    let mismatch = |name: &str, change: &dyn Fn(&mut Shapes)| {
        let mut shapes = shapes(registry::model(name).unwrap(), 1000).unwrap();
        change(&mut shapes);
        let (_directory, file) = open(&shapes);
        let error = detect(&file).unwrap_err();
        let ModelError::Mismatch { mismatch, model, .. } = error else { panic!("{error}") };
        assert_eq!(model, name);
        *mismatch
    };
    let distilled = "deit_tiny_distilled_patch16_224";
    for lacking in ["dist_token", "head_dist.weight", "head.bias"] {
        let found = mismatch(distilled, &|shapes| shapes.retain(|(name, _)| name != lacking));
        assert_eq!((found.missing, found.misshapen), (vec![lacking.to_owned()], vec![]));
    }
    let found = mismatch("deit_tiny_patch16_224", &|shapes| shape_of(shapes, "pos_embed")[2] = 100);
    let [misshapen] = &found.misshapen[..] else { panic!("{found}") };
    assert_eq!(
        (&misshapen.expected[..], &misshapen.found[..]),
        (&[1, 197, 192][..], &[1, 197, 100][..])
    );
}

/// A model that cannot be loaded is not found.
#[test]
fn a_head_without_classes() {
    for name in ["deit_tiny_patch16_224", "resmlp_12_224", "mixer_s32_224"] {
        let (_directory, file) = open(&shapes(registry::model(name).unwrap(), 0).unwrap());
        let error = detect(&file).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, ModelError::Config(_)) && text.contains("no class"), "{text}");
    }
}

/// ResMLP under its authors' names, whose affines are plain vectors.
#[test]
fn resmlps_of_their_authors() {
    for model in registry::models() {
        let Config::ResMlp(_) = &model.config else { continue };
        let facebook = |(name, shape): &(String, Vec<usize>)| {
            let name = name
                .replace("stem.", "patch_embed.")
                .replace("linear_tokens.", "attn.")
                .replace("mlp_channels.", "mlp.")
                .replace(".ls", ".gamma_");
            let affine = name.ends_with("alpha") || name.ends_with("beta");
            (name, if affine { shape[2..].to_vec() } else { shape.clone() })
        };
        let shapes = shapes(model, 1000).unwrap().iter().map(facebook).collect();
        let (_directory, file) = open(&shapes);
        assert_eq!(detect(&file).unwrap().name, model.name);
    }
}

/// Flax's names tell the heads of a ViT, whose matrices are split in them.
#[test]
fn heads_of_a_flax_vit() {
    let file = Checkpoint::open(files::fixture("flax_vit_small.npz")).unwrap();
    let error = detect(&file).unwrap_err();
    assert!(error.to_string().contains(" 3 heads"), "{error}");
}
