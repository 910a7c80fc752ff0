//! ResNets with reproducible weights, in both forms, and the reference to compare with.

use mixfold_model::{Config, RepMlpPlace, ResNetConfig, ResNetRepMlp, ResNetStage};
use mixfold_reference::fc3::Form;
use mixfold_reference::resnet as reference;

use super::repmlpnet;
use super::two_forms::{Shapes, TwoForms};

pub(crate) fn stage(channels: usize, depth: usize, repmlp: Option<ResNetRepMlp>) -> ResNetStage {
    ResNetStage { channels, depth, repmlp }
}

pub(crate) fn repmlp(
    place: RepMlpPlace,
    reduction: usize,
    partition: [usize; 2],
    groups: usize,
) -> Option<ResNetRepMlp> {
    Some(ResNetRepMlp { place, reduction, partition, groups })
}

/// RepMLPs of both kinds, on maps of 4 x 6, of four partitions, and 2 x 3, of one; what is not told
/// otherwise in the tests.
pub(crate) fn small() -> ResNetConfig {
    ResNetConfig {
        image: [16, 24],
        image_channels: 2,
        stem: 5,
        stages: vec![
            stage(16, 3, repmlp(RepMlpPlace::Light, 4, [2, 3], 2)),
            stage(24, 2, repmlp(RepMlpPlace::Bottleneck, 2, [2, 3], 3)),
        ]
        .into(),
        kernels: vec![1, 3].into(),
    }
}

/// No RepMLP, images of no even size, and a stage whose shape does not change.
pub(crate) fn plain() -> ResNetConfig {
    ResNetConfig {
        image: [21, 13],
        image_channels: 3,
        stem: 8,
        stages: vec![stage(8, 2, None), stage(16, 2, None), stage(12, 1, None)].into(),
        kernels: vec![].into(),
    }
}

/// The same sizes for the reference.
pub(crate) fn reference_config(config: &ResNetConfig, classes: usize) -> reference::ResNetConfig {
    let stage = |&ResNetStage { channels, depth, repmlp }: &ResNetStage| reference::Stage {
        channels,
        blocks: depth,
        repmlp: repmlp.map(|ResNetRepMlp { place, reduction, partition, groups }| {
            let bottleneck = place == RepMlpPlace::Bottleneck;
            let whole = if bottleneck { channels / 4 } else { channels };
            reference::StageRepMlp { bottleneck, channels: whole / reduction, partition, groups }
        }),
    };
    reference::ResNetConfig {
        height: config.image[0],
        width: config.image[1],
        in_channels: config.image_channels,
        stem: config.stem,
        stages: config.stages.iter().map(stage).collect(),
        kernels: config.kernels.to_vec(),
        classes,
    }
}

/// Norms at the end of a residual branch.
const BRANCH_NORMS: [&str; 3] =
    [".conv3.bn.weight", ".light_conv3.bn.weight", ".btnk_conv5.bn.weight"];

impl TwoForms for ResNetConfig {
    type Reference = reference::ResNet<f64>;

    fn of(config: &'static Config) -> Option<&'static Self> {
        match config {
            Config::ResNet(config) => Some(config),
            _ => None,
        }
    }

    fn shapes(&self, classes: usize, form: Form) -> Shapes {
        reference_config(self, classes).tensors(form)
    }

    /// As those of a RepMLPNet: what a residual branch adds is scaled by a quarter.
    fn values(name: &str, shape: &[usize], seed: u64) -> Vec<f32> {
        let mut values = repmlpnet::values(name, shape, seed);
        if BRANCH_NORMS.iter().any(|norm| name.ends_with(norm)) {
            values.iter_mut().for_each(|value| *value *= 0.25);
        }
        values
    }

    fn reference(
        &self,
        classes: usize,
        form: Form,
        tensor: impl FnMut(&str, &[usize]) -> Vec<f64>,
    ) -> Self::Reference {
        reference::ResNet::new(reference_config(self, classes), form, tensor)
    }

    fn logits(net: &Self::Reference, images: &[f64], batch: usize) -> Vec<f64> {
        net.forward(images, batch)
    }
}
