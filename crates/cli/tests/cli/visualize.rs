use mixfold_model::checkpoint::{Dtype, Tensor, write_safetensors};
use mixfold_model::{Checkpoint, LayerWeights};
use tempfile::tempdir;

use crate::{fixture, mixfold, weights};

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
        let units = layer["units"].as_array().unwrap();
        let mut units: Vec<_> = units.iter().map(|unit| unit.as_u64().unwrap()).collect();
        units.sort_unstable();
        assert_eq!(units, (0..40).collect::<Vec<_>>());
    }
}

/// Weights of the embedded Mixer whose first unit is an edge.
#[test]
fn an_edge_is_blue_and_red() {
    let folder = tempdir().unwrap();
    let (edge, path) = (folder.path().join("edge"), folder.path().join("x.png"));
    let mut file = Checkpoint::open(weights()).unwrap();
    let tensors: Vec<Tensor> = file
        .entries()
        .map(|(name, entry)| (name.to_owned(), Dtype::F32, entry.shape().to_vec()))
        .collect();
    let metadata = file.metadata().clone();
    write_safetensors(&edge, tensors, &metadata, |name, bytes| {
        let mut values = Vec::new();
        file.read_f32(name, &mut values)?;
        if name == "blocks.0.mlp_tokens.fc1.weight" {
            for (i, value) in values[..49].iter_mut().enumerate() {
                *value = if i % 7 < 3 { -0.5 } else { 0.5 };
            }
        }
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        Ok::<(), mixfold_model::ModelError>(())
    })
    .unwrap();
    let options = ["--layers", "0", "--sort", "index", "--scale", "4"];
    let files = ["--weights", edge.to_str().unwrap(), "--out", path.to_str().unwrap()];
    mixfold(["visualize"].iter().chain(&options).chain(&files)).success();
    let image = image::open(&path).unwrap().to_rgb8();
    let first = |color: [u8; 3]| image.pixels().position(|pixel| pixel.0 == color).unwrap();
    let (blue, red) = (first([33, 68, 135]), first([131, 26, 24]));
    assert_eq!(red - blue, 3 * 4);
    let mut file = Checkpoint::open(&edge).unwrap();
    let units = LayerWeights::find(&mut file, None).unwrap().token_units(0, None).unwrap();
    assert_eq!((units.grid, units.rows[0], units.rows[6]), ([7, 7], -0.5, 0.5));
}

#[test]
fn what_cannot_be_drawn() {
    let cases: [(&[&str], &str); 5] = [
        (&["--out", "x.svg"], ".png"),
        (&["--out", "x.png", "--layers", "4"], "has 4 such layers"),
        (&["--out", "x.png", "--what", "fc3"], "no RepMLPNet"),
        (&["--out", "x.png", "--model", "mixer_b16_224"], "--weights"),
        (&["--out", "x.png", "--layers", "2-1"], "--layers"),
    ];
    for (options, hint) in cases {
        let error = mixfold(["visualize"].iter().chain(options)).failure(2);
        assert!(error.contains(hint), "{options:?}: {error}");
    }
    let error = mixfold(["visualize", "--out", "absent/x.png"]).failure(1);
    assert!(error.starts_with("absent/x.png: "), "{error}");
}

/// Of a block of RepMLP (2021), with two input channels in a group.
#[test]
fn fc3_of_a_block() {
    let folder = tempdir().unwrap();
    let (path, block) = (folder.path().join("x.png"), fixture("repmlp_v1_block_train.safetensors"));
    let files = ["--weights", block.to_str().unwrap(), "--out", path.to_str().unwrap(), "--json"];
    let of_block = ["--what", "fc3", "--block", "", "--partition", "7,7"];
    let draw = |options: &[&str]| {
        mixfold(["visualize"].iter().chain(&files).chain(&of_block).chain(options))
    };
    let layer = draw(&["--channel", "3,1", "--pixel", "6,5"]).json()["layers"][0].take();
    assert_eq!((&layer["name"], &layer["pixel"]), (&"fc3".into(), &serde_json::json!([6, 5])));
    assert!(path.exists());
    for wrong in [["--channel", "8,0"], ["--channel", "0,2"], ["--pixel", "7,0"]] {
        assert!(draw(&wrong).failure(2).starts_with(&wrong.join(" ")), "{wrong:?}");
    }
}
