//! Weights drawn at random, of any sizes.

use mixfold_model::{
    AttentionOnlyConfig, Config, FfOnlyConfig, GMixerConfig, GmlpConfig, Loader, MixerConfig,
    ModelError, ResMlpConfig, Trunk, VitConfig,
};

use crate::common::families::{CLASSES, networks};
use crate::common::{images, logits};

#[test]
fn every_family_has_ordinary_logits() {
    for network in networks() {
        let load = |seed| {
            Loader::new().random_config("of mine", network.config.clone(), CLASSES, seed).unwrap()
        };
        let (model, same, other) = (load(1), load(1), load(2));
        assert_eq!((model.name(), model.classes()), ("of mine", CLASSES));
        let images = images(&model, 2);
        let found = logits(&model, &images, 2);
        assert!(found.iter().all(|logit| logit.is_normal() && logit.abs() < 100.0), "{found:?}");
        assert_ne!(found[..CLASSES], found[CLASSES..], "{:?}: images differ", network.config);
        assert_eq!(found, logits(&same, &images, 2), "{:?}: the same seed", network.config);
        assert_ne!(found, logits(&other, &images, 2), "{:?}: another seed", network.config);
    }
}

#[test]
fn impossible_sizes() {
    let trunk = Trunk { image: [8, 8], image_channels: 1, patch: 4, channels: 6, depth: 1 };
    let config = VitConfig { trunk, heads: 2, hidden: 4, distilled: false };
    let load = |config: Config, classes| Loader::new().random_config("mine", config, classes, 0);
    assert!(load(config.into(), 1).is_ok());
    let patches = VitConfig { trunk: Trunk { patch: 3, ..trunk }, ..config };
    let heads = VitConfig { heads: 4, ..config };
    for (config, classes, reason) in [
        (patches, 1, "patches of 3 x 3"),
        (heads, 1, "4 heads"),
        (config, 0, "a head without classes"),
    ] {
        let error = load(config.into(), classes).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, ModelError::Config(_)) && text.contains(reason), "{text}");
    }
}

/// Sizes whose products are no numbers, or more than any memory holds.
#[test]
fn too_large() {
    for network in networks() {
        for huge in [usize::MAX, usize::MAX / 2 + 1, 1 << 48] {
            for classes in [CLASSES, huge] {
                let config = match network.config.clone() {
                    config if classes == huge => config,
                    Config::FfOnly(config) => FfOnlyConfig { grid: [huge, 3], ..config }.into(),
                    Config::AttentionOnly(config) => {
                        AttentionOnlyConfig { grid: [3, huge], ..config }.into()
                    }
                    Config::Mixer(config) => MixerConfig { channel_hidden: huge, ..config }.into(),
                    Config::Vit(config) => VitConfig { hidden: huge, ..config }.into(),
                    Config::ResMlp(config) => {
                        let trunk = Trunk { image_channels: huge, ..config.trunk };
                        ResMlpConfig { trunk, ..config }.into()
                    }
                    Config::Gmlp(config) => {
                        let trunk = Trunk { depth: huge, ..config.trunk };
                        GmlpConfig { trunk, ..config }.into()
                    }
                    Config::GMixer(config) => {
                        GMixerConfig { token_hidden: huge & !1, ..config }.into()
                    }
                    config => panic!("{config:?}"),
                };
                let error = Loader::new().random_config("large", config.clone(), classes, 0);
                let text = error.unwrap_err().to_string();
                assert!(text.contains("no memory"), "{config:?}: {text}");
            }
        }
    }
}
