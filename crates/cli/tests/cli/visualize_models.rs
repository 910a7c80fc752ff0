//! `mixfold visualize` for every family; the weights are 0.

use mixfold_model::{Config, Form, registry};
use serde_json::json;
use tempfile::tempdir;

use crate::mixfold;
use crate::networks::families::Network;
use crate::networks::{files, two_forms};

/// The sizes of a model.
pub(crate) fn config(model: &str) -> Config {
    registry::model(model).unwrap().config.clone()
}

#[test]
fn units_and_stems() {
    let folder = tempdir().unwrap();
    let [weights, path] = ["weights", "x.png"].map(|name| folder.path().join(name));
    let draw = |what: &str| {
        let files = ["--weights", weights.to_str().unwrap(), "--out", path.to_str().unwrap()];
        mixfold(["visualize", "--units", "5", "--json", "--what", what].iter().chain(&files))
    };
    for (model, units, stem) in [
        ("mixer_s32_224", Some(("mlp_tokens.fc1", 256, 7)), ("stem.proj", 512, 32)),
        ("gmixer_12_224", Some(("mlp_tokens.fc1", 384, 14)), ("stem.proj", 384, 16)),
        ("resmlp_12_224", Some(("linear_tokens", 196, 14)), ("stem.proj", 384, 16)),
        ("gmlp_ti16_224", Some(("mlp_channels.gate.proj", 196, 14)), ("stem.proj", 128, 16)),
        ("linear_tiny", Some(("mlp2.fc1", 788, 14)), ("patch_embed.proj", 192, 16)),
        ("deit_tiny_patch16_224", None, ("patch_embed.proj", 192, 16)),
        ("attention_only_tiny", None, ("patch_embed.proj", 192, 16)),
    ] {
        let shapes = Network::new(&config(model), 1000).unwrap().shapes();
        let shapes = shapes.iter().map(|(name, shape)| (name.as_str(), &shape[..]));
        files::sparse_safetensors(&weights, shapes);
        if let Some((layer, count, side)) = units {
            let json = draw("units").json();
            assert_eq!(json["model"], model);
            assert_eq!(json["layers"].as_array().unwrap().len(), 3);
            let found = &json["layers"][2];
            assert_eq!(found["name"], format!("blocks.2.{layer}"));
            assert_eq!((&found["size"], &found["count"]), (&json!([side, side]), &json!(count)));
            // Equal ones in their own order.
            assert_eq!(found["units"], json!([0, 1, 2, 3, 4]));
        } else {
            let error = draw("units").failure(1);
            assert!(error.starts_with(&format!("{model} has no units to draw: ")), "{error}");
        }
        let found = draw("stem").json()["layers"][0].take();
        let (stem, count, patch) = stem;
        assert_eq!(found["name"], stem);
        assert_eq!((&found["size"], &found["count"]), (&json!([patch, patch]), &json!(count)));
    }
}

#[test]
fn units_of_a_folded_repmlpnet() {
    let folder = tempdir().unwrap();
    let [weights, path] = ["weights", "x.png"].map(|name| folder.path().join(name));
    let Config::RepMlpNet(config) = config("repmlpnet_t224") else { panic!("no RepMLPNet") };
    let shapes = two_forms::shapes(&config, 1000, Form::Deploy);
    let shapes = shapes.iter().map(|(name, shape)| (name.as_str(), &shape[..]));
    files::sparse_safetensors(&weights, shapes);
    let draw = |options: &[&str]| {
        let files = ["--weights", weights.to_str().unwrap(), "--out", path.to_str().unwrap()];
        let args = ["visualize", "--units", "7", "--sort", "index", "--layers", "2", "--json"];
        mixfold(args.iter().chain(&files).chain(options))
    };
    let layer = draw(&[]).json()["layers"][0].take();
    assert_eq!(layer["name"], "stages.1.0.repmlp_block.fc3");
    assert_eq!((&layer["size"], &layer["count"]), (&json!([28, 28]), &json!(4 * 28 * 28)));
    assert_eq!(layer["units"], json!([0, 1, 2, 3, 4, 5, 6]));
    let error = draw(&["--form", "train"]).failure(1);
    assert!(error.contains("train form"), "{error}");
}
