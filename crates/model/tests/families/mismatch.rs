//! Files whose tensors are not exactly a model's.

use mixfold_model::{Loader, ModelError, Preprocess};

use crate::common::families::networks;
use crate::common::files::{self, Tensor};

/// All differences are listed at once, for a file of each family.
#[test]
fn missing_unexpected_and_misshapen_tensors() {
    for network in networks() {
        let mut tensors = network.tensors();
        let missing = tensors.remove(tensors.len() / 2).name;
        let last = tensors.len() - 2;
        let misshapen = tensors[last].name.clone();
        tensors[last].shape.push(2);
        tensors[last].values.extend_from_within(..);
        tensors.push(Tensor::new("extra.weight", &[2], vec![0.0; 2]));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("weights");
        files::safetensors(&path, &tensors);
        let error = Loader::new()
            .load_config("test", network.config.clone(), Preprocess::IMAGENET, &path)
            .unwrap_err();
        let text = error.to_string();
        let ModelError::Mismatch { mismatch, .. } = error else { panic!("{text}") };
        assert_eq!(mismatch.missing, [missing.as_str()]);
        assert_eq!(mismatch.unexpected, ["extra.weight"]);
        let found: Vec<_> = mismatch.misshapen.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(found, [misshapen.as_str()]);
        for name in [missing.as_str(), "extra.weight", misshapen.as_str(), "weights"] {
            assert!(text.contains(name), "{text}");
        }
    }
}

/// Sizes that no network of the family can have are refused before the file is compared.
#[test]
fn impossible_sizes() {
    use mixfold_model::{
        AttentionOnlyConfig, Config, FfOnlyConfig, GMixerConfig, GmlpConfig, VitConfig,
    };
    for network in networks() {
        let (config, reason) = match network.config.clone() {
            Config::Vit(config) => (VitConfig { heads: 4, ..config }.into(), "4 heads"),
            Config::FfOnly(config) => (FfOnlyConfig { grid: [0, 3], ..config }.into(), "0 x 3"),
            Config::AttentionOnly(config) => {
                (AttentionOnlyConfig { heads: 0, ..config }.into(), "0 heads")
            }
            Config::Gmlp(config) => (GmlpConfig { hidden: 7, ..config }.into(), "7 hidden units"),
            Config::GMixer(config) => {
                (GMixerConfig { token_hidden: 5, ..config }.into(), "5 hidden units")
            }
            _ => continue,
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("weights");
        files::safetensors(&path, &network.tensors());
        let config: Config = config;
        let error =
            Loader::new().load_config("test", config, Preprocess::IMAGENET, &path).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, ModelError::Config(_)) && text.contains(reason), "{text}");
    }
}
