//! The names and shapes of the official tensors.

use crate::common::two_forms::{registered, shapes};
use mixfold_model::{Form, ResNetConfig};

/// Names and shapes of a registered model within a module.
fn within(model: &str, module: &str, form: Form) -> Vec<String> {
    let (_, config) = registered::<ResNetConfig>().find(|(info, _)| info.name == model).unwrap();
    let shapes = shapes(config, 1000, form).into_iter();
    let within = shapes.filter(|(name, _)| name.starts_with(module));
    within.map(|(name, shape)| format!("{name} {shape:?}")).collect()
}

fn norm(module: &str, channels: usize) -> Vec<String> {
    let parameters = ["weight", "bias", "running_mean", "running_var"];
    parameters.iter().map(|parameter| format!("{module}.{parameter} [{channels}]")).collect()
}

fn lines(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|&line| line.to_owned()).collect()
}

#[test]
fn of_the_plain_network() {
    let conv = |module: &str, shape: &str, channels: usize| {
        [
            lines(&[&format!("{module}.conv.weight {shape}")]),
            norm(&format!("{module}.bn"), channels),
        ]
        .concat()
    };
    let stem = conv("stage0.0", "[64, 3, 7, 7]", 64);
    assert_eq!(within("resnet50", "stage0", Form::Train), stem);
    let block = [
        conv("stage3.0.shortcut", "[1024, 512, 1, 1]", 1024),
        conv("stage3.0.conv1", "[256, 512, 1, 1]", 256),
        conv("stage3.0.conv2", "[256, 256, 3, 3]", 256),
        conv("stage3.0.conv3", "[1024, 256, 1, 1]", 1024),
    ];
    assert_eq!(within("resnet50", "stage3.0.", Form::Train), block.concat());
    let block = [
        "stage4.2.conv1.conv.weight [512, 2048, 1, 1]",
        "stage4.2.conv1.conv.bias [512]",
        "stage4.2.conv2.conv.weight [512, 512, 3, 3]",
        "stage4.2.conv2.conv.bias [512]",
        "stage4.2.conv3.conv.weight [2048, 512, 1, 1]",
        "stage4.2.conv3.conv.bias [2048]",
    ];
    assert_eq!(within("resnet50", "stage4.2.", Form::Deploy), lines(&block));
    let head = lines(&["linear.weight [1000, 2048]", "linear.bias [1000]"]);
    for form in [Form::Train, Form::Deploy] {
        assert_eq!(within("resnet50", "linear", form), head);
    }
}

#[test]
fn of_light_blocks() {
    let block = [
        lines(&["stage2.1.light_conv1.conv.weight [64, 512, 1, 1]"]),
        norm("stage2.1.light_conv1.bn", 64),
        lines(&[
            "stage2.1.light_repmlp.fc1_fc2.fc1.weight [1024, 1024]",
            "stage2.1.light_repmlp.fc1_fc2.fc1.bias [1024]",
            "stage2.1.light_repmlp.fc1_fc2.fc2.weight [1024, 1024]",
            "stage2.1.light_repmlp.fc1_fc2.fc2.bias [1024]",
        ]),
        norm("stage2.1.light_repmlp.avg.bn", 64),
        lines(&["stage2.1.light_repmlp.fc3.weight [3136, 784, 1, 1]"]),
        norm("stage2.1.light_repmlp.fc3_bn", 3136),
        lines(&["stage2.1.light_repmlp.repconv1.conv.weight [64, 16, 1, 1]"]),
        norm("stage2.1.light_repmlp.repconv1.bn", 64),
        lines(&["stage2.1.light_repmlp.repconv3.conv.weight [64, 16, 3, 3]"]),
        norm("stage2.1.light_repmlp.repconv3.bn", 64),
        lines(&["stage2.1.light_repmlp.repconv5.conv.weight [64, 16, 5, 5]"]),
        norm("stage2.1.light_repmlp.repconv5.bn", 64),
        lines(&["stage2.1.light_conv3.conv.weight [512, 64, 1, 1]"]),
        norm("stage2.1.light_conv3.bn", 512),
    ];
    assert_eq!(within("repmlp_res50_light_224", "stage2.1.", Form::Train), block.concat());
    let block = [
        "stage3.5.light_conv1.conv.weight [128, 1024, 1, 1]",
        "stage3.5.light_conv1.conv.bias [128]",
        "stage3.5.light_repmlp.fc1_fc2.fc1.weight [512, 512]",
        "stage3.5.light_repmlp.fc1_fc2.fc1.bias [512]",
        "stage3.5.light_repmlp.fc1_fc2.fc2.weight [512, 512]",
        "stage3.5.light_repmlp.fc1_fc2.fc2.bias [512]",
        "stage3.5.light_repmlp.fc3.weight [6272, 784, 1, 1]",
        "stage3.5.light_repmlp.fc3.bias [6272]",
        "stage3.5.light_conv3.conv.weight [1024, 128, 1, 1]",
        "stage3.5.light_conv3.conv.bias [1024]",
    ];
    assert_eq!(within("repmlp_res50_light_224_g8", "stage3.5.", Form::Deploy), lines(&block));
}

#[test]
fn of_bottleneck_blocks() {
    let block = [
        "stage3.1.btnk_conv1.conv.weight [256, 1024, 1, 1]",
        "stage3.1.btnk_conv1.conv.bias [256]",
        "stage3.1.btnk_conv2.conv.weight [64, 256, 3, 3]",
        "stage3.1.btnk_conv2.conv.bias [64]",
        "stage3.1.btnk_repmlp.fc1_fc2.fc1.weight [256, 256]",
        "stage3.1.btnk_repmlp.fc1_fc2.fc1.bias [256]",
        "stage3.1.btnk_repmlp.fc1_fc2.fc2.weight [256, 256]",
        "stage3.1.btnk_repmlp.fc1_fc2.fc2.bias [256]",
        "stage3.1.btnk_repmlp.fc3.weight [6400, 400, 1, 1]",
        "stage3.1.btnk_repmlp.fc3.bias [6400]",
        "stage3.1.btnk_conv4.conv.weight [256, 64, 3, 3]",
        "stage3.1.btnk_conv4.conv.bias [256]",
        "stage3.1.btnk_conv5.conv.weight [1024, 256, 1, 1]",
        "stage3.1.btnk_conv5.conv.bias [1024]",
    ];
    let model = "repmlp_res50_bottleneck_320_g8_16";
    assert_eq!(within(model, "stage3.1.", Form::Deploy), lines(&block));
    let train = within(model, "stage2.3.btnk_repmlp.repconv7.conv", Form::Train);
    assert_eq!(train, lines(&["stage2.3.btnk_repmlp.repconv7.conv.weight [64, 8, 7, 7]"]));
}
