//! Units along the tokens.

use mixfold_model::{
    Checkpoint, Config, Form, LayerWeights, ModelError, ResMlpConfig, TokenUnits, Trunk,
};
use zip::CompressionMethod::{Deflated, Stored};

use crate::common::families::{CLASSES, Network, networks};
use crate::common::files::{self, Tensor};
use crate::common::two_forms;
use crate::common::{GOLDEN, repmlpnet, tensors};
use crate::{file, pth, tensor};

/// The layer of a block, and the columns of its matrix in front of those of the places; nothing of a
/// network that has only attention.
fn layer(config: &Config) -> Option<(&'static str, Trunk, usize)> {
    match config {
        Config::Mixer(config) => Some(("mlp_tokens.fc1", config.trunk, 0)),
        Config::GMixer(config) => Some(("mlp_tokens.fc1", config.trunk, 0)),
        Config::ResMlp(config) => Some(("linear_tokens", config.trunk, 0)),
        Config::Gmlp(config) => Some(("mlp_channels.gate.proj", config.trunk, 0)),
        Config::FfOnly(config) => Some(("mlp2.fc1", config.trunk, 1)),
        Config::Vit(_) | Config::AttentionOnly(_) => None,
        config => panic!("{config:?}"),
    }
}

/// All units of a file.
fn units(file: &mut Checkpoint, config: impl Into<Config>) -> Vec<TokenUnits> {
    let mut weights = LayerWeights::find_config(file, "test", config).unwrap();
    (0..weights.token_layers()).map(|layer| weights.token_units(layer, None).unwrap()).collect()
}

#[test]
fn of_every_family() {
    for network in networks() {
        let stored = network.tensors();
        let (_directory, mut file) = file(&stored);
        let found = units(&mut file, network.config.clone());
        let Some((layer, trunk, prefix)) = layer(&network.config) else {
            assert_eq!(found, [], "{:?}", network.config);
            continue;
        };
        assert_eq!(found.len(), trunk.depth);
        for (i, found) in found.into_iter().enumerate() {
            let grid = trunk.image.map(|side| side / trunk.patch);
            assert_ne!(grid[0], grid[1]);
            let layer = format!("blocks.{i}.{layer}");
            let matrix = tensor(&stored, &format!("{layer}.weight"));
            let columns = matrix.shape[1];
            assert_eq!(columns, prefix + grid[0] * grid[1], "{layer}");
            let rows = matrix.values.chunks(columns);
            let rows = rows.flat_map(|row| &row[prefix..]).copied().collect();
            assert_eq!(found, TokenUnits { layer, grid, rows });
        }
    }
}

#[test]
fn there_are_no_others() {
    for network in networks() {
        let (_directory, mut file) = file(&network.tensors());
        let mut weights = LayerWeights::find_config(&mut file, "test", network.config).unwrap();
        let count = weights.token_layers();
        for layer in [count, usize::MAX] {
            let error = weights.token_units(layer, None).unwrap_err();
            let ModelError::NoSuchLayer { model, layer: found, layers } = error else {
                panic!("{error}");
            };
            assert_eq!((&*model, found, layers), ("test", layer, count));
        }
        assert_eq!((weights.form(), weights.fc3_layers()), (None, 0));
        if count > 0 {
            for form in [Form::Train, Form::Deploy] {
                let error = weights.token_units(0, Some(form)).unwrap_err();
                assert!(matches!(error, ModelError::OneForm { .. }), "{error}");
            }
        }
        let error = weights.fc3(0).unwrap_err();
        assert!(matches!(error, ModelError::NoSuchLayer { layers: 0, .. }), "{error}");
    }
}

/// Flax stores transposed matrices, old files with lengths of 1 around them.
#[test]
fn of_mixers_under_other_names() {
    let timm = tensors(&GOLDEN, 3);
    let (directory, mut file) = file(&timm);
    let expected = units(&mut file, GOLDEN);
    let flax: Vec<_> = timm.iter().map(files::flax).collect();
    let legacy: Vec<_> = timm.iter().map(files::legacy).collect();
    let path = directory.path().join("weights.npz");
    for (tensors, method) in [(&flax, Stored), (&flax, Deflated), (&legacy, Stored)] {
        files::npz(&path, tensors, method);
        let mut file = Checkpoint::open(&path).unwrap();
        assert_eq!(units(&mut file, GOLDEN), expected, "{method}");
    }
}

/// Those of the authors of ResMLP.
#[test]
fn of_resmlps_under_other_names() {
    let trunk = Trunk { image: [12, 8], image_channels: 2, patch: 4, channels: 18, depth: 2 };
    let config = ResMlpConfig { trunk, hidden: 10 };
    let timm = Network::new(&config.into(), CLASSES).unwrap().tensors();
    let facebook = |tensor: &Tensor| {
        let Tensor { name, shape, values } = tensor;
        let name = name
            .replace("stem.", "patch_embed.")
            .replace("linear_tokens.", "attn.")
            .replace("mlp_channels.", "mlp.")
            .replace(".ls", ".gamma_");
        let affine = name.ends_with("alpha") || name.ends_with("beta");
        let shape = if affine { &shape[2..] } else { shape };
        Tensor::new(&name, shape, values.clone())
    };
    let facebook: Vec<_> = timm.iter().map(facebook).collect();
    let [expected, found] = [timm, facebook].map(|tensors| units(&mut file(&tensors).1, config));
    assert_eq!(expected, found);
    assert_eq!(found.len(), 2);
}

#[test]
fn of_pytorch_files() {
    for network in networks() {
        let (directory, mut file) = file(&network.tensors());
        let path = directory.path().join("weights.pth");
        std::fs::write(&path, pth::of_training(file.path())).unwrap();
        let expected = units(&mut file, network.config.clone());
        let mut file = Checkpoint::open(path).unwrap();
        assert_eq!(units(&mut file, network.config), expected);
    }
}

/// Those of a RepMLPNet are the rows of FC3, folded if nothing else is asked for.
#[test]
fn of_both_forms() {
    let config = repmlpnet::small();
    for stored in [Form::Train, Form::Deploy] {
        let (_directory, mut file) = file(&two_forms::tensors(&config, 3, stored, 1));
        let mut weights = LayerWeights::find_config(&mut file, "test", config.clone()).unwrap();
        assert_eq!((weights.token_layers(), weights.fc3_layers()), (3, 3));
        for layer in 0..3 {
            let fc3 = weights.fc3(layer).unwrap();
            let units = |rows| TokenUnits { layer: fc3.layer.clone(), grid: fc3.partition, rows };
            for form in [None, Some(Form::Deploy)] {
                let found = weights.token_units(layer, form).unwrap();
                assert_eq!(found, units(fc3.folded.clone()));
            }
            match (weights.token_units(layer, Some(Form::Train)), fc3.trained.clone()) {
                (Ok(found), Some(trained)) => assert_eq!(found, units(trained)),
                (Err(ModelError::Folded), None) => {}
                other => panic!("{stored}: {other:?}"),
            }
        }
    }
}
