//! Parameters and multiply-adds of the registered models, and sizes that no ResNet can have.

use mixfold_model::{
    Form, Loader, Model, ModelError, Phase, Preprocess, RepMlpPlace, ResNetConfig, ResNetStage,
    folding, registry,
};

use crate::common::resnet::{plain, repmlp, small, stage};
use crate::common::two_forms::{self, registered};

const FORMS: [Form; 2] = [Form::Train, Form::Deploy];

/// Name; parameters, and multiply-adds of one image in millions, in train form and in deploy form, as far
/// as the official code tells them.
type Row = (&'static str, [Option<u64>; 2], [Option<f64>; 2]);
const TABLE: [Row; 4] = [
    ("resnet50", [Some(25_557_032), Some(25_530_472)], [Some(4089.0), Some(4089.0)]),
    ("repmlp_res50_light_224", [Some(87_038_248), Some(86_142_440)], [Some(3302.0), Some(3077.0)]),
    ("repmlp_res50_light_224_g8", [None, Some(57_868_264)], [None, Some(2920.0)]),
    (
        "repmlp_res50_bottleneck_224",
        [Some(41_071_144), Some(40_871_528)],
        [Some(3950.0), Some(3891.0)],
    ),
];

#[test]
fn sizes_of_the_official_models() {
    for (name, parameters, macs) in TABLE {
        let (model, config) =
            registered::<ResNetConfig>().find(|(model, _)| model.name == name).unwrap();
        for (i, form) in FORMS.into_iter().enumerate() {
            let found = (config.parameters(1000, form), config.macs(1000, form));
            let of_model = match form {
                Form::Train => (model.train_parameters().unwrap(), model.train_macs().unwrap()),
                Form::Deploy => (model.parameters(), model.macs()),
            };
            assert_eq!(found, of_model);
            if let Some(parameters) = parameters[i] {
                assert_eq!(found.0, parameters, "{name}, {form}");
            }
            // To the printed digits.
            if let Some(millions) = macs[i] {
                let error = found.1 as f64 / 1e6 - millions;
                assert!(error.abs() <= 0.5, "{name}, {form}: {} multiply-adds", found.1);
            }
        }
    }
    assert_eq!(registered::<ResNetConfig>().count(), 5);
}

/// Groups of the second and of the third stage; millions of parameters, and of multiply-adds, in deploy
/// form.
#[test]
fn sizes_of_the_bottlenecks_of_320_pixels() {
    let (_, config) = registered::<ResNetConfig>()
        .find(|(model, _)| model.name == "repmlp_res50_bottleneck_320_g8_16")
        .unwrap();
    for (groups, parameters, macs) in
        [([8, 16], 59.22, 8057.0), ([8, 8], 72.02, 8108.0), ([4, 8], 87.38, 8354.0)]
    {
        let mut config = config.clone();
        for (stage, groups) in config.stages.to_mut()[1..3].iter_mut().zip(groups) {
            stage.repmlp.as_mut().unwrap().groups = groups;
        }
        let found = config.parameters(1000, Form::Deploy) as f64 / 1e6;
        assert!((found - parameters).abs() <= 0.005, "{groups:?}: {found}");
        let found = config.macs(1000, Form::Deploy) as f64 / 1e6;
        assert!((found - macs).abs() <= 0.5, "{groups:?}: {found}");
    }
}

/// Of all variants of the paper with RepMLPs in the third stage only: parameters in deploy form.
#[test]
fn sizes_of_the_bottlenecks_in_one_stage() {
    let (_, config) = registered::<ResNetConfig>()
        .find(|(model, _)| model.name == "repmlp_res50_bottleneck_224")
        .unwrap();
    for (reduction, groups, parameters) in [
        (2, 1, 224.9),
        (2, 2, 126.5),
        (2, 4, 77.4),
        (2, 8, 52.78),
        (2, 16, 40.5),
        (4, 1, 73.9),
        (4, 8, 30.9),
        (8, 8, 25.0),
        (8, 16, 24.3),
    ] {
        let mut config = config.clone();
        let stages = config.stages.to_mut();
        stages[1].repmlp = None;
        stages[2].repmlp = repmlp(RepMlpPlace::Bottleneck, reduction, [7, 7], groups);
        let found = config.parameters(1000, Form::Deploy) as f64 / 1e6;
        assert!((found - parameters).abs() <= 0.05, "{reduction}, {groups}: {found}");
    }
}

/// Multiply-adds, counted layer by layer.
#[test]
fn multiply_adds_by_hand() {
    let config = small();
    // Maps of 8 x 12 behind the first convolution, then of 4 x 6 and of 2 x 3.
    let stem = 96 * 5 * 2 * 49;
    let first = 24 * (5 * 4 + 4 * 4 * 9 + 4 * 16 + 5 * 16);
    let light = 24 * (2 * 16 * 4);
    let second = 24 * 16 * 6 + 6 * (6 * 6 * 9 + 6 * 24 + 16 * 24);
    let bottleneck = 6 * (2 * 24 * 6 + 2 * 6 * 3 * 9);
    // Four partitions of 6 pixels, groups of 2 channels; one partition, groups of 1.
    let global = 2 * 16 * 16;
    let matrices = (4 * (4 * 6) * (2 * 6), (3 * 6) * 6);
    let convs = (24 * 4 * 2 * 10, 6 * 3 * 10);
    let deploy = stem
        + first
        + 2 * light
        + second
        + bottleneck
        + 2 * (global + matrices.0)
        + matrices.1
        + 24 * 7;
    assert_eq!(config.macs(7, Form::Deploy), deploy);
    assert_eq!(config.macs(7, Form::Train), deploy + 2 * convs.0 + convs.1);
}

#[test]
fn a_model_knows_its_sizes() {
    for (config, form) in [small(), plain()].into_iter().flat_map(|c| FORMS.map(|f| (c.clone(), f)))
    {
        let model = two_forms::load(&Loader::new().form(form), &config, 7, Form::Train, 1);
        let [height, width] = config.image;
        assert_eq!((model.form(), model.classes()), (Some(form), 7));
        assert_eq!(model.input(), [config.image_channels, height, width]);
        assert_eq!(model.parameters(), config.parameters(7, form));
        let phases: u64 = Phase::ALL.iter().map(|&phase| model.phase_macs(phase)).sum();
        assert_eq!((model.macs(), phases), (config.macs(7, form), config.macs(7, form)));
        assert_eq!(model.phase_macs(Phase::Tokens) > 0, config == small());
        assert!(model.packed_bytes() as u64 >= 4 * model.parameters() * 7 / 10);
    }
}

/// Another size of images is refused, with the reason.
#[test]
fn images_of_another_size() {
    for (config, reason) in [(small(), "partitions"), (plain(), "laid out")] {
        let model = two_forms::load(&Loader::new(), &config, 3, Form::Deploy, 1);
        let error = model.check_input(&[1, config.image_channels, 32, 32]).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        let ModelError::Input { found, .. } = error else { panic!("{error}") };
        assert_eq!(found, [1, config.image_channels, 32, 32]);
    }
}

/// Memory of a plan: three maps, whatever the number of blocks.
#[test]
fn memory_of_plans() {
    let deep = |depth| ResNetConfig {
        stages: vec![stage(16, depth, repmlp(RepMlpPlace::Light, 4, [2, 3], 2))].into(),
        ..small()
    };
    let bytes = |config: &ResNetConfig| {
        two_forms::load(&Loader::new(), config, 3, Form::Deploy, 1).plan(1).unwrap().bytes()
    };
    assert_eq!(bytes(&deep(2)), bytes(&deep(9)));
}

/// What loading [`small`]'s weights as another network says, and folding them.
fn refuse(config: &ResNetConfig) -> ModelError {
    let directory = tempfile::tempdir().unwrap();
    let [path, output] = ["weights", "deploy"].map(|name| directory.path().join(name));
    two_forms::write(&path, &small(), 3, Form::Train, 1);
    let folding = folding::fold_config("test", config.clone(), &path, &output).unwrap_err();
    let load = Loader::new().load_config("test", config.clone(), Preprocess::IMAGENET, &path);
    let loading = load.unwrap_err();
    assert_eq!(folding.to_string(), loading.to_string());
    assert!(!output.exists());
    loading
}

#[test]
fn that_do_not_go_together() {
    let of = |stages: &[ResNetStage]| ResNetConfig { stages: stages.to_vec().into(), ..small() };
    let kernels = |kernels: &[usize]| ResNetConfig { kernels: kernels.to_vec().into(), ..small() };
    let light = |reduction, partition, groups| {
        let repmlp = repmlp(RepMlpPlace::Light, reduction, partition, groups);
        of(&[stage(16, 3, repmlp)])
    };
    let huge = 1 << (usize::BITS - 2);
    for (config, reason) in [
        (of(&[]), "no stage"),
        (ResNetConfig { image: [0, 24], ..small() }, "images of 2 x 0 x 24"),
        (ResNetConfig { image: [16, 0], ..small() }, "images of 2 x 16 x 0"),
        (ResNetConfig { image_channels: 0, ..small() }, "images of 0 x 16 x 24"),
        (ResNetConfig { stem: 0, ..small() }, "a first convolution without channels"),
        (kernels(&[0]), "a kernel of 0 x 0 has no centre"),
        (kernels(&[1, 4]), "a kernel of 4 x 4 has no centre"),
        (kernels(&[3, 1]), "kernels [3, 1] do not ascend"),
        (kernels(&[1, 3, 3]), "kernels [1, 3, 3] do not ascend"),
        (of(&[stage(0, 3, None)]), "stage 1: 0 channels are no multiple of 4"),
        (of(&[stage(16, 1, None), stage(18, 1, None)]), "stage 2: 18 channels"),
        (of(&[stage(16, 0, None)]), "stage 1: no block"),
        (of(&[ResNetStage { depth: 1, ..small().stages[0] }]), "its one block has no RepMLP"),
        (light(0, [2, 3], 2), "16 channels cannot be reduced 0 times"),
        (light(3, [2, 3], 2), "16 channels cannot be reduced 3 times"),
        (light(4, [3, 3], 2), "partitions of 3 x 3 do not fill a map of 4 x 6"),
        (light(4, [0, 3], 2), "partitions of 0 x 3"),
        (light(4, [2, 3], 3), "3 groups do not divide 4 and 4 channels"),
        (light(4, [2, 3], 0), "0 groups"),
        (of(&[stage(16, 1000, None), stage(16, 1, None)]), "1001 blocks"),
        (of(&[stage(16, usize::MAX, None), stage(16, usize::MAX, None)]), "tensors"),
        (
            ResNetConfig { image: [huge, huge], ..light(4, [huge / 4, huge / 4], 2) },
            "exceed the address space",
        ),
    ] {
        let error = refuse(&config);
        assert!(matches!(error, ModelError::Config(_)), "{config:?}: {error}");
        assert!(error.to_string().contains(reason), "`{error}` instead of `{reason}`");
    }
}

/// Tensors of such sizes are in no file, which is what the error says.
#[test]
fn that_no_file_has() {
    let huge = 1 << (usize::BITS - 2);
    for config in [
        ResNetConfig { image_channels: usize::MAX, ..small() },
        ResNetConfig { stem: usize::MAX, ..small() },
        ResNetConfig { kernels: vec![1, usize::MAX].into(), ..small() },
        ResNetConfig { stages: vec![stage(huge, 2, None)].into(), ..small() },
        ResNetConfig { stages: vec![stage(16, 999, None)].into(), ..small() },
    ] {
        let error = refuse(&config);
        assert!(matches!(error, ModelError::Mismatch { .. }), "{config:?}: {error}");
    }
}

#[test]
fn counts_saturate() {
    let huge = usize::MAX;
    for place in [RepMlpPlace::Light, RepMlpPlace::Bottleneck] {
        let repmlp = repmlp(place, 1, [huge, huge], 1);
        let config = ResNetConfig {
            image: [huge, huge],
            image_channels: huge,
            stem: huge,
            stages: vec![stage(huge, huge, repmlp); 3].into(),
            kernels: vec![1, huge].into(),
        };
        for form in FORMS {
            let counts = (config.parameters(huge, form), config.macs(huge, form));
            assert_eq!(counts, (u64::MAX, u64::MAX));
        }
        let many = ResNetConfig { stages: vec![stage(huge, 1, None); 300].into(), ..config };
        assert_eq!((many.map(61), many.map(62), many.map(299)), ([2, 2], [1, 1], [1, 1]));
        assert_eq!(many.parameters(huge, Form::Train), u64::MAX);
    }
    let empty = ResNetConfig { stages: vec![].into(), ..small() };
    let _ = (empty.parameters(0, Form::Train), empty.macs(7, Form::Deploy));
}

/// The size of the images of a network without RepMLPs is the caller's word: memory that there is not is
/// an error of the plan.
#[test]
fn images_without_memory() {
    let config = ResNetConfig { image: [1 << 40, 1 << 40], ..plain() };
    let model: Model = two_forms::load(&Loader::new(), &config, 3, Form::Deploy, 1);
    let error = model.plan(1).unwrap_err();
    assert!(matches!(error, ModelError::Mix(_)), "{error}");
}

#[test]
fn preprocessing() {
    for (name, size, fraction) in
        [("resnet50", 224, 0.875), ("repmlp_res50_bottleneck_320_g8_16", 320, 1.0)]
    {
        let Preprocess { size: found, crop_fraction, .. } =
            registry::model(name).unwrap().preprocess;
        assert_eq!((found, crop_fraction), ([size, size], fraction));
    }
}
