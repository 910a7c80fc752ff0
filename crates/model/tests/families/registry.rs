//! The list of models against the paper's table.

use std::collections::HashSet;

use mixfold_model::preprocess::{Color, Interpolation, Resize};
use mixfold_model::{
    AttentionOnlyConfig, Config, FfOnlyConfig, Form, GMixerConfig, GmlpConfig, Loader, MixerConfig,
    Phase, Preprocess, ResMlpConfig, Trunk, VitConfig, registry,
};

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
            (config.trunk.depth, config.trunk.patch, config.trunk.channels),
            (depth, patch, channels),
            "{name}"
        );
        assert_eq!(config.tokens(), tokens, "{name}");
        assert_eq!((config.token_hidden, config.channel_hidden), (channels / 2, 4 * channels));
        assert_eq!(
            (config.trunk.image, config.trunk.image_channels, model.classes),
            ([224, 224], 3, 1000)
        );
        assert_eq!(model.config.parameters(0, Form::Deploy), body, "{name}");
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
    assert_eq!(registry::models().len(), TABLE.len() + REPMLPNETS.len() + OTHERS.len() + 5 + 2);
}

/// Name, parameters as the official models have them, multiply-adds of one image in millions.
const OTHERS: [(&str, u64, f64); 23] = [
    ("linear_tiny", 7_676_332, 1442.0),
    ("linear_base", 61_943_020, 14_132.0),
    ("linear_large", 206_363_576, 10_713.0),
    ("attention_only_tiny", 4_039_360, 1088.5),
    ("vit_base_patch16_224", 86_567_656, 17_564.0),
    ("vit_base_patch32_224", 88_224_232, 4408.0),
    ("vit_large_patch16_224", 304_326_632, 61_555.0),
    ("vit_large_patch32_224", 306_535_400, 15_378.0),
    ("deit_tiny_patch16_224", 5_717_416, 1254.0),
    ("deit_small_patch16_224", 22_050_664, 4599.0),
    ("deit_base_patch16_224", 86_567_656, 17_564.0),
    ("deit_tiny_distilled_patch16_224", 5_910_800, 1261.0),
    ("deit_small_distilled_patch16_224", 22_436_432, 4624.1),
    ("deit_base_distilled_patch16_224", 87_338_192, 17_656.8),
    ("resmlp_12_224", 15_350_872, 3010.0),
    ("resmlp_24_224", 30_020_680, 5960.0),
    ("resmlp_36_224", 44_690_488, 8910.0),
    ("resmlp_big_24_224", 129_138_280, 100_200.0),
    ("gmlp_ti16_224", 5_867_328, 1329.0),
    ("gmlp_s16_224", 19_422_656, 4392.0),
    ("gmlp_b16_224", 73_075_392, 15_720.0),
    ("gmixer_12_224", 12_701_080, 2659.0),
    ("gmixer_24_224", 24_721_096, 5260.0),
];

#[test]
fn sizes_of_the_other_families() {
    for (name, parameters, macs) in OTHERS {
        let model = registry::model(name).unwrap();
        assert_eq!(model.parameters(), parameters, "{name}");
        let error = (model.macs() as f64 / (macs * 1e6) - 1.0).abs();
        assert!(error < 0.005, "{name}: {} multiply-adds", model.macs());
    }
}

/// How the official evaluations prepare images: the part of the shorter side, and whether mean and
/// deviation are those of ImageNet or put values from -1 to 1.
#[test]
fn preprocessing_of_each_family() {
    const IMAGENET: [[f32; 3]; 2] = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];
    const CENTRED: [[f32; 3]; 2] = [[0.5; 3]; 2];
    let expected = |name: &str| match name.split('_').next().unwrap() {
        "mixer" | "gmlp" => (0.875, CENTRED),
        "linear" | "attention" | "gmixer" => (0.875, IMAGENET),
        "vit" => (0.9, CENTRED),
        "deit" | "resmlp" => (0.9, IMAGENET),
        "repmlpnet" => (1.0, IMAGENET),
        "resnet50" => (0.875, IMAGENET),
        "repmlp" => (if name.contains("_224") { 0.875 } else { 1.0 }, IMAGENET),
        _ => panic!("{name}"),
    };
    for model in registry::models().iter().filter(|model| !model.is_embedded()) {
        let Preprocess { resize, crop_fraction, interpolation, mean, std, .. } = model.preprocess;
        let (fraction, values) = expected(model.name);
        assert_eq!((crop_fraction, [mean, std]), (fraction, values), "{}", model.name);
        assert_eq!(resize, Resize::ShorterSide, "{}", model.name);
        let filter = match model.config {
            Config::RepMlpNet(_) | Config::ResNet(_) => Interpolation::Bilinear,
            _ => Interpolation::Bicubic,
        };
        assert_eq!(interpolation, filter, "{}", model.name);
    }
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

/// Configurations are distinct, or a file would be of two models: but for a DeiT of the size of a ViT.
#[test]
fn configurations_are_unique() {
    let models = registry::models();
    for (i, model) in models.iter().enumerate() {
        let same = models[i + 1..].iter().filter(|other| other.config == model.config);
        let same: Vec<_> = same.map(|other| other.name).collect();
        match model.name {
            "vit_base_patch16_224" => assert_eq!(same, ["deit_base_patch16_224"]),
            name => assert_eq!(same, [""; 0], "{name}"),
        }
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
    let trunk =
        Trunk { image: [huge, huge], image_channels: huge, patch: 1, channels: huge, depth: huge };
    assert_eq!((trunk.patches(), Trunk { patch: 0, ..trunk }.patches()), (huge, 0));
    let (hidden, heads, grid) = (huge, huge, [huge, huge]);
    let (token_hidden, channel_hidden) = (huge, huge);
    for config in [
        Config::from(MixerConfig { trunk, token_hidden, channel_hidden }),
        FfOnlyConfig { trunk, token_hidden, channel_hidden, grid }.into(),
        AttentionOnlyConfig { trunk, heads, grid }.into(),
        VitConfig { trunk, heads, hidden, distilled: true }.into(),
        ResMlpConfig { trunk, hidden }.into(),
        GmlpConfig { trunk, hidden }.into(),
        GMixerConfig { trunk, token_hidden, channel_hidden }.into(),
    ] {
        let counts = (config.parameters(huge, Form::Deploy), config.macs(huge, Form::Deploy));
        assert_eq!(counts, (u64::MAX, u64::MAX), "{config:?}");
    }
}
