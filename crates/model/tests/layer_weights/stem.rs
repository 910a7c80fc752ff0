//! Filters of first layers.

use mixfold_model::{Checkpoint, Config, Form, LayerWeights, StemFilters};
use zip::CompressionMethod::Stored;

use crate::common::families::networks;
use crate::common::files::{self, Tensor};
use crate::common::two_forms;
use crate::common::{GOLDEN, repmlpnet, resnet, tensors};
use crate::{file, tensor};

fn stem(file: &mut Checkpoint, config: impl Into<Config>) -> StemFilters {
    LayerWeights::find_config(file, "test", config).unwrap().stem().unwrap()
}

/// The filters of a file are those of the tensor that `layer` calls.
#[track_caller]
fn check(tensors: &[Tensor], config: impl Into<Config>, layer: &str) {
    let found = stem(&mut file(tensors).1, config);
    let Tensor { shape, values, .. } = tensor(tensors, &format!("{layer}.weight"));
    let &[_, channels, height, width] = &shape[..] else { panic!("{shape:?}") };
    let (layer, kernel) = (layer.to_owned(), [height, width]);
    assert_eq!(found, StemFilters { layer, channels, kernel, values: values.clone() });
}

#[test]
fn of_every_family() {
    for network in networks() {
        let layer = match network.config {
            Config::Vit(_) => "patch_embed.proj",
            Config::FfOnly(_) | Config::AttentionOnly(_) => "patch_embed.proj",
            _ => "stem.proj",
        };
        check(&network.tensors(), network.config.clone(), layer);
    }
    for form in [Form::Train, Form::Deploy] {
        let config = repmlpnet::small();
        check(&two_forms::tensors(&config, 3, form, 1), config, "conv_embedding.conv");
        for config in [resnet::small(), resnet::plain()] {
            check(&two_forms::tensors(&config, 3, form, 1), config, "stage0.0.conv");
        }
    }
}

/// Flax stores `[height, width, channels, filters]`.
#[test]
fn under_other_names() {
    let timm = tensors(&GOLDEN, 3);
    let (directory, mut file) = file(&timm);
    let expected = stem(&mut file, GOLDEN);
    let path = directory.path().join("weights.npz");
    for name in [files::flax, files::legacy] {
        files::npz(&path, &timm.iter().map(name).collect::<Vec<_>>(), Stored);
        assert_eq!(stem(&mut Checkpoint::open(&path).unwrap(), GOLDEN), expected);
    }
}
