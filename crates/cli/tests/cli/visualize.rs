use std::path::Path;

use mixfold_model::checkpoint::{Dtype, Tensor, write_safetensors};
use mixfold_model::{Checkpoint, LayerWeights};
use tempfile::tempdir;

use crate::{mixfold, pth, weights};

/// The colours of -1 and 1, and of what is not finite.
const BLUE: [u8; 3] = [33, 68, 135];
const RED: [u8; 3] = [131, 26, 24];
pub(crate) const GREEN: [u8; 3] = [0, 170, 80];

/// A copy of a file with other values.
pub(crate) fn copy(from: &Path, to: &Path, mut change: impl FnMut(&str, &mut Vec<f32>)) {
    let mut file = Checkpoint::open(from).unwrap();
    let entries = file.entries().filter(|(name, _)| !name.ends_with("num_batches_tracked"));
    let tensors: Vec<Tensor> =
        entries.map(|(name, entry)| (name.into(), Dtype::F32, entry.shape().to_vec())).collect();
    let metadata = file.metadata().clone();
    write_safetensors(to, tensors, &metadata, |name, bytes| {
        let mut values = Vec::new();
        file.read_f32(name, &mut values)?;
        change(name, &mut values);
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        Ok::<(), mixfold_model::ModelError>(())
    })
    .unwrap();
}

/// The numbers of the units of a layer, in order.
fn units(layer: &serde_json::Value) -> Vec<u64> {
    layer["units"].as_array().unwrap().iter().map(|unit| unit.as_u64().unwrap()).collect()
}

#[test]
fn units_are_drawn_once_each() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("x.png");
    let path = path.to_str().unwrap();
    let json = mixfold(["visualize", "--layers", "1,3", "--json", "--out", path]).json();
    let image = image::open(path).unwrap();
    assert_eq!(
        (json["width"].as_u64(), json["height"].as_u64()),
        (Some(image.width().into()), Some(image.height().into()),)
    );
    for (layer, number) in json["layers"].as_array().unwrap().iter().zip([1, 3]) {
        assert_eq!(layer["name"], format!("blocks.{number}.mlp_tokens.fc1"));
        let mut units = units(layer);
        units.sort_unstable();
        assert_eq!(units, (0..40).collect::<Vec<_>>());
    }
}

/// Weights of the embedded Mixer whose first unit is an edge.
#[test]
fn an_edge_is_blue_and_red() {
    let folder = tempdir().unwrap();
    let (edge, path) = (folder.path().join("edge"), folder.path().join("x.png"));
    copy(&weights(), &edge, |name, values| {
        if name == "blocks.0.mlp_tokens.fc1.weight" {
            for (i, value) in values[..49].iter_mut().enumerate() {
                *value = if i % 7 < 3 { -0.5 } else { 0.5 };
            }
        }
    });
    let options = ["--layers", "0", "--sort", "index", "--scale", "4"];
    let files = ["--weights", edge.to_str().unwrap(), "--out", path.to_str().unwrap()];
    mixfold(["visualize"].iter().chain(&options).chain(&files)).success();
    let image = image::open(&path).unwrap().to_rgb8();
    let (left, top, _) = image.enumerate_pixels().find(|(_, _, pixel)| pixel.0 == BLUE).unwrap();
    for y in 0..7 * 4 {
        for x in 0..7 * 4 {
            let color = if x < 3 * 4 { BLUE } else { RED };
            assert_eq!(image.get_pixel(left + x, top + y).0, color, "{x} {y}");
        }
    }
    let mut file = Checkpoint::open(&edge).unwrap();
    let units = LayerWeights::find(&mut file, None).unwrap().token_units(0, None).unwrap();
    assert_eq!((units.grid, units.rows[0], units.rows[6]), ([7, 7], -0.5, 0.5));
}

/// Units and filters that are not finite come last, and are green where they are not.
#[test]
fn what_is_not_finite_is_drawn() {
    let folder = tempdir().unwrap();
    let (broken, path) = (folder.path().join("broken"), folder.path().join("x.png"));
    copy(&weights(), &broken, |name, values| match name {
        "blocks.0.mlp_tokens.fc1.weight" => {
            values[7 * 49..8 * 49].fill(f32::NAN);
            values[3 * 49 + 5] = f32::INFINITY;
        }
        "blocks.1.mlp_tokens.fc1.weight" => values.fill(f32::NAN),
        "stem.proj.weight" => values[9 * 16] = f32::NEG_INFINITY,
        _ => {}
    });
    let files = ["--weights", broken.to_str().unwrap(), "--out", path.to_str().unwrap(), "--json"];
    let draw = |options: &[&str]| {
        let json = mixfold(["visualize"].iter().chain(&files).chain(options)).json();
        let image = image::open(&path).unwrap().to_rgb8();
        (json, image.pixels().filter(|pixel| pixel.0 == GREEN).count())
    };
    let (json, green) = draw(&["--layers", "0-1", "--scale", "2"]);
    let layers = json["layers"].as_array().unwrap();
    assert_eq!(units(&layers[0])[38..], [3, 7]);
    assert_eq!(units(&layers[1]), (0..40).collect::<Vec<_>>());
    assert_eq!(layers[0]["not_finite"], 50);
    assert!(layers[0]["minimum"].as_f64().is_some_and(|minimum| minimum < 0.0));
    assert!(layers[1]["minimum"].is_null() && layers[1]["maximum"].is_null());
    assert_eq!(green, (50 + 40 * 49) * 4);
    let (json, green) = draw(&["--what", "stem", "--scale", "3"]);
    assert_eq!(*units(&json["layers"][0]).last().unwrap(), 9);
    assert_eq!(green, 9);
}

#[test]
fn filters_are_called_so() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("x.png");
    let path = path.to_str().unwrap();
    let text = mixfold(["visualize", "--what", "stem", "--units", "3", "--out", path]).success();
    assert!(text.contains("3 of 80 filters, ") && !text.contains("units"), "{text}");
    let text = mixfold(["visualize", "--layers", "0", "--out", path]).success();
    assert!(text.contains("40 of 40 units, ") && !text.contains("filters"), "{text}");
}

/// The same weights in a file of PyTorch.
#[test]
fn pytorch_files_are_drawn() {
    let folder = tempdir().unwrap();
    let [file, first, second] = ["x.pth", "a.png", "b.png"].map(|name| folder.path().join(name));
    std::fs::write(&file, pth::of_training(&weights())).unwrap();
    let draw = |options: &[&Path]| {
        let options = options.iter().map(|option| option.to_str().unwrap());
        mixfold(["visualize", "--layers", "all", "--json"].into_iter().chain(options)).json()
    };
    let expected = draw(&["--out".as_ref(), &first]);
    let found = draw(&["--weights".as_ref(), &file, "--out".as_ref(), &second]);
    assert_eq!(found["layers"], expected["layers"]);
    assert!(std::fs::read(first).unwrap() == std::fs::read(second).unwrap());
}

#[test]
fn options_that_make_no_difference() {
    for (what, options) in [
        ("units", &[["--pixel", "0,0"], ["--channel", "0,0"]][..]),
        ("stem", &[["--form", "train"], ["--layers", "0"], ["--pixel", "0,0"]]),
        ("fc3", &[["--form", "deploy"], ["--units", "3"], ["--sort", "index"]]),
    ] {
        for [option, value] in options {
            let args = ["visualize", "--model", "repmlpnet_fashion", "--out", "x.png"];
            let ignored = ["--what", what, option, value];
            let error = mixfold(args.iter().chain(&ignored)).failure(2);
            let expected = format!("{option} goes with --what ");
            let of = error.strip_prefix(&expected).expect(&error);
            assert!(!of.contains(what), "{error}");
        }
    }
}

#[test]
fn pictures_have_a_limit() {
    let args = ["visualize", "--model", "repmlpnet_fashion", "--scale", "64", "--out", "x.png"];
    let error = mixfold(args).failure(2);
    let numbers: Vec<u64> = error.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [width, height] = numbers[..] else { panic!("{error}") };
    assert!(width * height > 40_000_000, "{error}");
    assert!(error.contains("more than 40000000") && error.contains("--scale"), "{error}");
    assert!(!Path::new("x.png").exists());
}

#[test]
fn what_cannot_be_drawn() {
    let cases: [(&[&str], &str); 4] = [
        (&["--out", "x.svg"], ".png"),
        (&["--out", "x.png", "--layers", "4"], "has 4 such layers"),
        (&["--out", "x.png", "--model", "mixer_b16_224"], "--weights"),
        (&["--out", "x.png", "--layers", "2-1"], "--layers"),
    ];
    for (options, hint) in cases {
        let error = mixfold(["visualize"].iter().chain(options)).failure(2);
        assert!(error.contains(hint), "{options:?}: {error}");
    }
    let error = mixfold(["visualize", "--out", "x.png", "--what", "fc3"]).failure(1);
    assert_eq!(error, "mixer_fashion has no FC3 to draw: it has no RepMLP");
    let error = mixfold(["visualize", "--out", "absent/x.png"]).failure(1);
    assert!(error.starts_with("absent/x.png: "), "{error}");
}
