//! `mixfold visualize --what fc3`

use std::path::Path;

use mixfold_model::{Config, Form};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::networks::{files, resnet, two_forms};
use crate::visualize::{GREEN, copy};
use crate::visualize_models::config;
use crate::{Ran, fixture, mixfold, repmlpnet_weights};

fn fc3(weights: &Path, out: &Path, options: &[&str]) -> Ran {
    let files = ["--weights", weights.to_str().unwrap(), "--out", out.to_str().unwrap()];
    mixfold(["visualize", "--what", "fc3"].iter().chain(&files).chain(options))
}

/// Weights of the embedded RepMLPNet in train form give two images, folded ones the second.
#[test]
fn both_forms_of_a_repmlpnet() {
    let folder = tempdir().unwrap();
    let [deploy, path] = ["deploy", "x.png"].map(|name| folder.path().join(name));
    let train = repmlpnet_weights();
    mixfold(["fold", train.to_str().unwrap(), deploy.to_str().unwrap()]).success();
    let draw = |weights: &Path, images: &[&str]| {
        let options = ["--layers", "2,0", "--scale", "64", "--json"];
        let mut json = fc3(weights, &path, &options).json();
        let names = [("stages.1.0.repmlp_block.fc3", 7), ("stages.0.0.repmlp_block.fc3", 14)];
        for (layer, (name, side)) in json["layers"].as_array().unwrap().iter().zip(names) {
            assert_eq!(layer["name"], name);
            assert_eq!(layer["size"], json!([side, side]));
            assert_eq!(layer["pixel"], json!([side / 2, side / 2]));
            assert_eq!(layer["folding"], json!(images));
        }
        // Two images of this size stand one below the other.
        let height = json["height"].as_u64().unwrap();
        assert_eq!(height > 2 * 14 * 64, images.len() == 2, "{height}");
        json["layers"].take()
    };
    let before = draw(&train, &["before", "after"]);
    let after = draw(&deploy, &["after"]);
    // The weights after folding are among those drawn of both.
    for (before, after) in before.as_array().unwrap().iter().zip(after.as_array().unwrap()) {
        let [outer, inner] = [before, after]
            .map(|layer| ["minimum", "maximum"].map(|end| layer[end].as_f64().unwrap()));
        assert!(outer[0] <= inner[0] && inner[1] <= outer[1], "{outer:?} {inner:?}");
    }
    let text = fc3(&train, &path, &[]).success();
    assert!(text.contains("before and after folding, weights from "), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("stages.")).count(), 3, "{text}");
    let error = fc3(&train, &path, &["--layers", "3-4"]).failure(2);
    let expected = "repmlpnet_fashion has 4 such layers, numbered from 0: there is no layer 4";
    assert_eq!(error, expected);
}

#[test]
fn what_is_not_finite_is_drawn() {
    let folder = tempdir().unwrap();
    let [broken, path] = ["broken", "x.png"].map(|name| folder.path().join(name));
    copy(&repmlpnet_weights(), &broken, |name, values| {
        if name == "stages.0.0.repmlp_block.fc3.weight" {
            values[..196].fill(f32::NAN);
            values[196..2 * 196].fill(f32::INFINITY);
        }
    });
    for pixel in ["0,0", "0,1"] {
        let options = ["--layers", "0", "--pixel", pixel, "--scale", "2", "--json"];
        let layer = fc3(&broken, &path, &options).json()["layers"][0].take();
        assert_eq!((&layer["not_finite"], &layer["minimum"]), (&json!(2 * 196), &Value::Null));
        let image = image::open(&path).unwrap().to_rgb8();
        let green = image.pixels().filter(|pixel| pixel.0 == GREEN).count();
        // The place that is framed is all frame.
        assert_eq!(green, 2 * 195 * 4);
    }
}

/// Of a block of RepMLP (2021), with two input channels in a group.
#[test]
fn of_a_block() {
    let folder = tempdir().unwrap();
    let (path, block) = (folder.path().join("x.png"), fixture("repmlp_v1_block_train.safetensors"));
    let of_block = ["--block", "", "--partition", "7,7", "--json"];
    let draw = |options: [&str; 2]| fc3(&block, &path, &[&of_block[..], &options].concat());
    let layer = draw(["--channel", "3,1"]).json()["layers"][0].take();
    assert_eq!((&layer["name"], &layer["pixel"]), (&json!("fc3"), &json!([3, 3])));
    let layer = draw(["--pixel", "6,5"]).json()["layers"][0].take();
    assert_eq!(layer["pixel"], json!([6, 5]));
    assert!(path.exists());
    for wrong in [["--channel", "8,0"], ["--channel", "0,2"], ["--pixel", "7,0"]] {
        assert!(draw(wrong).failure(2).starts_with(&wrong.join(" ")), "{wrong:?}");
    }
}

/// Of a block of a ResNet, by its prefix.
#[test]
fn of_a_block_of_a_host() {
    let folder = tempdir().unwrap();
    let [weights, path] = ["weights", "x.png"].map(|name| folder.path().join(name));
    for (form, images) in [(Form::Train, &["before", "after"][..]), (Form::Deploy, &["after"])] {
        two_forms::write(&weights, &resnet::small(), 3, form, 1);
        let block = ["--block", "stage1.2.light_repmlp", "--partition", "2,3", "--json"];
        let json = fc3(&weights, &path, &block).json();
        let layer = &json["layers"][0];
        assert_eq!(layer["name"], "stage1.2.light_repmlp.fc3");
        assert_eq!((&layer["size"], &layer["folding"]), (&json!([2, 3]), &json!(images)));
        assert!(json["model"].is_null());
        let error = fc3(&weights, &path, &["--block", "x", "--partition", "2,3"]).failure(1);
        assert!(error.contains("no tensor `x.fc3.weight`"), "{error}");
    }
}

/// A whole ResNet of the registry; its weights are 0.
#[test]
fn of_a_host_with_its_stem() {
    let folder = tempdir().unwrap();
    let [weights, path] = ["weights", "x.png"].map(|name| folder.path().join(name));
    let model = "repmlp_res50_bottleneck_224";
    let Config::ResNet(config) = config(model) else { panic!("no ResNet") };
    for (form, images) in [(Form::Train, &["before", "after"][..]), (Form::Deploy, &["after"])] {
        let shapes = two_forms::shapes(&config, 1000, form);
        let shapes = shapes.iter().map(|(name, shape)| (name.as_str(), &shape[..]));
        files::sparse_safetensors(&weights, shapes);
        let json = fc3(&weights, &path, &["--layers", "1", "--pixel", "0,6", "--json"]).json();
        let layer = &json["layers"][0];
        assert_eq!(json["model"], model);
        assert_eq!(layer["name"], "stage2.2.btnk_repmlp.fc3");
        assert_eq!((&layer["size"], &layer["folding"]), (&json!([7, 7]), &json!(images)));
        assert_eq!((&layer["minimum"], &layer["maximum"]), (&json!(0.0), &json!(0.0)));

        let draw = |what: &str| {
            let files = ["--weights", weights.to_str().unwrap(), "--out", path.to_str().unwrap()];
            mixfold(["visualize", "--json", "--what", what].iter().chain(&files))
        };
        let layer = draw("stem").json()["layers"][0].take();
        assert_eq!(layer["name"], "stage0.0.conv");
        assert_eq!((&layer["size"], &layer["count"]), (&json!([7, 7]), &json!(64)));
        let error = draw("units").failure(1);
        assert!(error.starts_with(&format!("{model} has no units to draw: ")), "{error}");
    }
}
