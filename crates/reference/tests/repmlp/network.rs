//! Whole RepMLPNets.

use mixfold_reference::fc3::Form;
use mixfold_reference::fill;
use mixfold_reference::repmlpnet::{RepMlpNet, RepMlpNetConfig, Stage};

use crate::assert_close;
use crate::deploy::{deploy_unit, filled};

fn config(
    side: usize,
    channels: [usize; 4],
    units: [usize; 4],
    sets: [usize; 4],
) -> RepMlpNetConfig {
    let stage = |i| Stage { channels: channels[i], units: units[i], share_sets: sets[i] };
    RepMlpNetConfig {
        height: side,
        width: side,
        in_channels: 3,
        patch: 4,
        stages: (0..4).map(stage).collect(),
        kernels: vec![1, 3],
        gate_reduction: 4,
        ffn_expansion: 4,
        classes: 1000,
    }
}

/// The official models have as many parameters as their authors say: statistics are none.
#[test]
fn tensors_of_the_official_models() {
    let (t, b, d) = ([64, 128, 256, 512], [96, 192, 384, 768], [80, 160, 320, 640]);
    let (t_sets, b_sets, l_sets) = ([1, 4, 16, 128], [1, 4, 32, 128], [1, 4, 32, 256]);
    let models = [
        ("T224", config(224, t, [2, 2, 6, 2], t_sets), 38_293_608, 38_331_720),
        ("T256", config(256, t, [2, 2, 6, 2], t_sets), 58_687_848, 58_739_400),
        ("B224", config(224, b, [2, 2, 12, 2], b_sets), 68_242_712, 68_332_664),
        ("B256", config(256, b, [2, 2, 12, 2], b_sets), 96_447_512, 96_568_184),
        ("D256", config(256, d, [2, 2, 18, 2], t_sets), 86_887_648, 86_985_280),
        ("L256", config(256, b, [2, 2, 18, 2], l_sets), 117_641_560, 117_820_600),
    ];
    for (name, config, train, deploy) in models {
        for (form, expected) in [(Form::Train, train), (Form::Deploy, deploy)] {
            let parameters: usize = config
                .tensors(form)
                .iter()
                .filter(|(name, _)| !name.contains("running_"))
                .map(|(_, shape)| shape.iter().product::<usize>())
                .sum();
            assert_eq!(parameters, expected, "{name} {form:?}");
        }
    }
}

#[test]
fn tensors_of_a_stage() {
    let config = config(224, [64, 128, 256, 512], [2, 2, 6, 2], [1, 4, 16, 128]);
    let unit = config.unit(1);
    assert_eq!([unit.channels, unit.height, unit.width, unit.share_sets], [128, 28, 28, 4]);
    let (train, deploy) = (config.tensors(Form::Train), config.tensors(Form::Deploy));
    let has = |name: &str, shape: &[usize]| (name.to_owned(), shape.to_vec());
    let of_both = [
        has("conv_embedding.conv.weight", &[64, 3, 4, 4]),
        has("conv_embedding.bn.running_mean", &[64]),
        has("stages.1.0.repmlp_block.gp.fc1.weight", &[32, 128, 1, 1]),
        has("stages.1.1.repmlp_block.gp.fc2.bias", &[128]),
        has("stages.1.1.repmlp_block.fc3.weight", &[3136, 784, 1, 1]),
        has("stages.2.5.ffn_block.ffn_fc1.conv.weight", &[1024, 256, 1, 1]),
        has("stages.2.5.ffn_block.ffn_fc2.bn.running_var", &[256]),
        has("stages.3.1.prebn2.weight", &[512]),
        has("embeds.2.conv.weight", &[512, 256, 2, 2]),
        has("head_norm.bias", &[512]),
        has("head.weight", &[1000, 512]),
    ];
    assert!(of_both.iter().all(|tensor| train.contains(tensor) && deploy.contains(tensor)));
    let only = |these: &[(String, Vec<usize>)], those: &[(String, Vec<usize>)]| {
        let of_unit = |name: &String| name.starts_with("stages.1.0.");
        these
            .iter()
            .filter(|tensor| of_unit(&tensor.0) && !those.contains(tensor))
            .map(|(name, shape)| format!("{} {shape:?}", &name["stages.1.0.repmlp_block.".len()..]))
            .collect::<Vec<_>>()
    };
    assert_eq!(only(&deploy, &train), ["fc3.bias [3136]"]);
    let bn = |name, size| {
        ["weight", "bias", "running_mean", "running_var"].map(|p| format!("{name}.{p} [{size}]"))
    };
    let branches = [
        &bn("fc3_bn", 4)[..],
        &["repconv1.conv.weight [4, 1, 1, 1]".to_owned()],
        &bn("repconv1.bn", 4),
        &["repconv3.conv.weight [4, 1, 3, 3]".to_owned()],
        &bn("repconv3.bn", 4),
    ];
    assert_eq!(only(&train, &deploy), branches.concat());
}

/// No units: embedding, halving, norm, mean and classifier, by hand.
#[test]
fn around_the_units() {
    let stage = Stage { channels: 1, units: 0, share_sets: 1 };
    let config = RepMlpNetConfig {
        height: 2,
        width: 4,
        in_channels: 1,
        patch: 1,
        stages: vec![stage, stage],
        classes: 2,
        ..small()
    };
    let net = RepMlpNet::new(config, Form::Train, |name, shape| match name {
        "conv_embedding.conv.weight" => vec![2.0],
        "embeds.0.conv.weight" => vec![1.0, -1.0, 1.0, 0.0],
        "embeds.0.bn.bias" => vec![-5.0],
        "head_norm.weight" => vec![2.0],
        "head_norm.bias" => vec![0.5],
        "head_norm.running_mean" => vec![1.0],
        "head_norm.running_var" => vec![4.0 - 1e-5],
        "head.weight" => vec![3.0, -1.0],
        "head.bias" => vec![0.0, 10.0],
        _ if name.ends_with("running_var") => vec![1.0 - 1e-5],
        _ if name.ends_with("bn.weight") => vec![1.0],
        _ => vec![0.0; shape.iter().product()],
    });
    // The first map is 2 0 4 0, 6 2 0 2; the second one 3 0; normalised 2.5 -0.5; its mean 1.
    let image = [1.0, -1.0, 2.0, 0.0, 3.0, 1.0, -2.0, 1.0];
    assert_close(&net.forward(&image, 1), &[3.0, 9.0], 1e-14);
}

/// Two stages on an image that is not square.
fn small() -> RepMlpNetConfig {
    let stage = |channels, units, share_sets| Stage { channels, units, share_sets };
    RepMlpNetConfig {
        height: 12,
        width: 8,
        in_channels: 2,
        patch: 2,
        stages: vec![stage(4, 1, 2), stage(6, 2, 3)],
        kernels: vec![1, 3, 5],
        gate_reduction: 2,
        ffn_expansion: 3,
        classes: 3,
    }
}

#[test]
fn both_forms_agree() {
    let (train, _) = filled(|tensor| RepMlpNet::new(small(), Form::Train, tensor));
    let mut deploy = train.clone();
    for unit in deploy.stages.iter_mut().flatten() {
        *unit = deploy_unit(unit);
    }
    let images: Vec<f64> = fill::input(2 * 2 * 12 * 8);
    let logits = train.forward(&images, 2);
    assert_eq!(logits.len(), 6);
    assert_close(&deploy.forward(&images, 2), &logits, 1e-12);
    assert!((0..3).any(|c| (logits[c] - logits[3 + c]).abs() > 1e-4), "the images should differ");
}

/// Images do not see each other.
#[test]
fn a_batch_is_its_images() {
    let (net, _) = filled(|tensor| RepMlpNet::new(small(), Form::Train, tensor));
    let images: Vec<f64> = fill::input(3 * 2 * 12 * 8);
    let alone: Vec<f64> =
        images.chunks(2 * 12 * 8).flat_map(|image| net.forward(image, 1)).collect();
    assert_eq!(net.forward(&images, 3), alone);
}

#[test]
fn network_in_f32_is_close_to_f64() {
    let (wide, _) = filled(|tensor| RepMlpNet::new(small(), Form::Train, tensor));
    let mut weights = fill::Weights::default();
    let narrow =
        RepMlpNet::<f32>::new(small(), Form::Train, |name, shape| weights.tensor(name, shape));
    let computed = narrow.forward(&fill::input(2 * 2 * 12 * 8), 2);
    let computed: Vec<f64> = computed.into_iter().map(f64::from).collect();
    assert_close(&computed, &wide.forward(&fill::input(2 * 2 * 12 * 8), 2), 2e-6);
}

#[test]
#[should_panic(expected = "3 share-sets of 4 channels")]
fn share_sets_that_do_not_divide_the_channels_are_refused() {
    let mut config = small();
    config.stages[0].share_sets = 3;
    config.tensors(Form::Train);
}

#[test]
#[should_panic(expected = "pixels of the last map of 4 in 12 x 10")]
fn maps_that_cannot_be_halved_are_refused() {
    RepMlpNetConfig { width: 10, ..small() }.tensors(Form::Train);
}
