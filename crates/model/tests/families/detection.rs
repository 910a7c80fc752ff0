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

/// Sizes of a family, and of none of its models.
#[test]
fn other_sizes() {
    for (name, changed, reason) in [
        ("linear_tiny", "blocks.0.mlp1.fc1.weight", "FF-only"),
        ("deit_tiny_patch16_224", "blocks.0.mlp.fc1.weight", "ViT"),
        ("resmlp_12_224", "blocks.0.mlp_channels.fc1.weight", "ResMLP"),
        ("gmlp_ti16_224", "blocks.0.mlp_channels.fc1.weight", "gMLP"),
        ("gmixer_12_224", "blocks.0.mlp_channels.fc1.weight", "gMixer"),
    ] {
        let mut shapes = shapes(registry::model(name).unwrap(), 1000).unwrap();
        let shape = shapes.iter_mut().find(|(tensor, _)| tensor == changed).unwrap();
        shape.1[0] += 2;
        let (_directory, file) = open(&shapes);
        let error = detect(&file).unwrap_err();
        let ModelError::Undetected { reason: found, .. } = &error else { panic!("{error}") };
        assert!(found.contains(reason), "{name}: {found}");
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
