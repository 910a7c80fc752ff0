//! The names of a ResNet's tensors in the official checkpoints.

use super::config::ResNetConfig;
use super::sizes::{ConvSizes, stem};
use crate::Checkpoint;
use crate::config::Form;
use crate::repmlp::specs::Specs;
use crate::weights::Spec;

/// The classifier.
pub(super) const HEAD: &str = "linear";

/// Whether a file has the first convolution of a ResNet.
pub(crate) fn recognised(file: &Checkpoint) -> bool {
    file.entry("stage0.0.conv.weight").is_some()
}

/// The form of the tensors in a file: deploy if more convolutions have a bias than a batch norm, so that
/// a file of either form with a tensor too few or too many is taken for what it is.
pub(crate) fn form(file: &Checkpoint) -> Form {
    let count = |end| file.names().filter(|name| name.ends_with(end)).count();
    if count(".conv.bias") > count(".bn.weight") { Form::Deploy } else { Form::Train }
}

/// The name of a block; stages are counted from 1.
pub(super) fn block(stage: usize, number: usize) -> String {
    format!("stage{}.{number}", stage + 1)
}

/// All tensors of a ResNet with a head of `classes`.
pub(super) fn specs(config: &ResNetConfig, classes: usize, form: Form) -> Vec<Spec> {
    let [mut specs, head] = end_specs(config, classes, form);
    for (i, stage) in config.stages.iter().enumerate() {
        specs.extend((0..stage.depth).flat_map(|j| block_specs(config, i, j, form)));
    }
    specs.extend(head);
    specs
}

/// The tensors of the first convolution and those of the head.
pub(super) fn end_specs(config: &ResNetConfig, classes: usize, form: Form) -> [Vec<Spec>; 2] {
    let [mut first, mut last] = [Specs::default(), Specs::default()];
    let stem = stem(config);
    add_conv(&mut first, stem.name, &stem, form);
    let channels = config.stages.last().map_or(0, |stage| stage.channels);
    last.layer(HEAD, &[classes, channels]);
    [first.into_inner(), last.into_inner()]
}

/// The tensors of a block.
pub(super) fn block_specs(
    config: &ResNetConfig,
    stage: usize,
    number: usize,
    form: Form,
) -> Vec<Spec> {
    let (sizes, block) = (config.block(stage, number), block(stage, number));
    let mut specs = Specs::default();
    let module = |name: &str| format!("{block}.{name}");
    for conv in sizes.shortcut.iter().chain(&sizes.front) {
        add_conv(&mut specs, &module(conv.name), conv, form);
    }
    if let Some((name, repmlp)) = &sizes.repmlp {
        specs.extend(repmlp.specs(&format!("{block}.{name}."), form));
    }
    for conv in &sizes.back {
        add_conv(&mut specs, &module(conv.name), conv, form);
    }
    specs.into_inner()
}

fn add_conv(specs: &mut Specs, module: &str, conv: &ConvSizes, form: Form) {
    match form {
        Form::Train => specs.conv_bn(module, conv.shape()),
        Form::Deploy => specs.layer(&format!("{module}.conv"), &conv.shape()),
    }
}
