//! The list of models against the paper's table.

use std::collections::HashSet;

use mixfold_model::preprocess::Color;
use mixfold_model::{Config, Form, Loader, MixerConfig, Phase, registry};

/// Name, depth, patch, channels, tokens; parameters without and with a head of 1000 classes, as the
/// official models have them; multiply-adds of one image in millions.
const TABLE: [(&str, [usize; 4], [u64; 2], f64); 7] = [
    ("mixer_s32_224", [8, 32, 512, 49], [18_591_624, 19_104_624], 1002.0),
    ("mixer_s16_224", [8, 16, 512, 196], [18_015_264, 18_528_264], 3777.0),
    ("mixer_b32_224", [12, 32, 768, 49], [59_524_428, 60_293_428], 3238.0),
    ("mixer_b16_224", [12, 16, 768, 196], [59_111_472, 59_880_472], 12_602.0),
    ("mixer_l32_224", [24, 32, 1024, 49], [205_914_264, 206_939_264], 11_253.0),
    ("mixer_l16_224", [24, 16, 1024, 196], [207_171_168, 208_196_168], 44_548.0),
    ("mixer_h14_224", [32, 14, 1280, 256], [431_069_952, 432_350_952], 120_990.0),
];

#[test]
fn sizes_of_the_paper() {
    for (name, [depth, patch, channels, tokens], [body, whole], macs) in TABLE {
        let model = registry::model(name).unwrap();
        let Config::Mixer(config) = &model.config else { panic!("{name}") };
        assert_eq!(
            (config.depth, config.patch, config.channels),
            (depth, patch, channels),
            "{name}"
        );
        assert_eq!(config.tokens(), tokens, "{name}");
        assert_eq!((config.token_hidden, config.channel_hidden), (channels / 2, 4 * channels));
        assert_eq!((config.image, config.image_channels, model.classes), ([224, 224], 3, 1000));
        assert_eq!(config.parameters(0), body, "{name}");
        assert_eq!(model.parameters(), whole, "{name}");
        let error = (model.macs() as f64 / (macs * 1e6) - 1.0).abs();
        assert!(error < 1e-3, "{name}: {} multiply-adds", model.macs());
    }
}

/// Name; parameters and multiply-adds of one image in millions, each in train form and in deploy form.
const REPMLPNETS: [(&str, [u64; 2], [f64; 2]); 6] = [
    ("repmlpnet_t224", [38_293_608, 38_331_720], [2808.0, 2798.5]),
    ("repmlpnet_t256", [58_687_848, 58_739_400], [4258.1, 4245.6]),
    ("repmlpnet_b224", [68_242_712, 68_332_664], [6675.7, 6656.9]),
    ("repmlpnet_b256", [96_447_512, 96_568_184], [9640.2, 9615.6]),
    ("repmlpnet_d256", [86_887_648, 86_985_280], [8636.2, 8610.8]),
    ("repmlpnet_l256", [117_641_560, 117_820_600], [11_609.5, 11_579.0]),
];

#[test]
fn sizes_of_the_official_repmlpnets() {
    for (name, [train, deploy], macs) in REPMLPNETS {
        let model = registry::model(name).unwrap();
        assert_eq!(model.config.forms(), [Form::Train, Form::Deploy]);
        assert_eq!((model.train_parameters(), model.parameters()), (Some(train), deploy), "{name}");
        let found = [model.train_macs().unwrap(), model.macs()];
        // To the printed digits.
        for (found, millions) in found.into_iter().zip(macs) {
            let error = found as f64 / 1e6 - millions;
            assert!(error.abs() <= 0.05, "{name}: {found} multiply-adds, not {millions} millions");
        }
    }
    assert_eq!(registry::models().len(), TABLE.len() + REPMLPNETS.len() + 2);
}

#[test]
fn names_are_unique_and_found() {
    let names: HashSet<_> = registry::models().iter().map(|model| model.name).collect();
    assert_eq!(names.len(), registry::models().len());
    for model in registry::models() {
        assert_eq!(registry::model(model.name).unwrap().config, model.config);
        assert!(!model.verified.is_empty() && !model.family().is_empty());
        // Images come out of the preprocessing as the model wants them.
        let channels = match model.preprocess.color {
            Color::Grey => 1,
            _ => 3,
        };
        let [height, width] = model.preprocess.size;
        assert_eq!([channels, height, width], model.config.input(), "{}", model.name);
    }
    for name in ["", "mixer", "MIXER_B16_224", "mixer_b16_224 "] {
        assert!(registry::model(name).is_none(), "{name}");
    }
}

/// Configurations are distinct, or a file would be of two models.
#[test]
fn configurations_are_unique() {
    let models = registry::models();
    for (i, model) in models.iter().enumerate() {
        assert!(models[i + 1..].iter().all(|other| other.config != model.config), "{}", model.name);
    }
}

#[test]
fn a_model_knows_what_its_registration_says() {
    let model = Loader::new().embedded(registry::DEFAULT).unwrap();
    let info = registry::model(registry::DEFAULT).unwrap();
    assert_eq!(model.name(), registry::DEFAULT);
    assert_eq!((model.parameters(), model.macs()), (info.parameters(), info.macs()));
    let phases: u64 = Phase::ALL.iter().map(|&phase| model.phase_macs(phase)).sum();
    assert_eq!(phases, model.macs());
    assert_eq!(model.input(), [1, 28, 28]);
    assert_eq!(model.labels().unwrap().len(), 10);
    // Packing pads, and keeps biases and norms elsewhere.
    assert!(model.packed_bytes() as u64 > 4 * model.parameters() * 9 / 10);
}

#[test]
fn counts_saturate() {
    let huge = usize::MAX;
    let config = MixerConfig {
        image: [huge, huge],
        image_channels: huge,
        patch: 1,
        channels: huge,
        token_hidden: huge,
        channel_hidden: huge,
        depth: huge,
    };
    assert_eq!(config.tokens(), huge);
    assert_eq!((config.parameters(huge), config.macs(huge)), (u64::MAX, u64::MAX));
    let no_patch = MixerConfig { patch: 0, ..config };
    assert_eq!(no_patch.tokens(), 0);
}
