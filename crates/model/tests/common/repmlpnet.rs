//! RepMLPNets with reproducible weights, in both forms, and the reference to compare with.

use mixfold_model::{Config, RepMlpNetConfig, RepMlpNetStage};
use mixfold_reference::fc3::Form;
use mixfold_reference::repmlpnet as reference;

use super::two_forms::{Shapes, TwoForms};

/// Channels, units and share-sets of each stage.
pub(crate) fn stages(rows: &[[usize; 3]]) -> Vec<RepMlpNetStage> {
    let stage = |&[channels, depth, share_sets]: &[usize; 3]| RepMlpNetStage {
        channels,
        depth,
        share_sets,
    };
    rows.iter().map(stage).collect()
}

/// Two stages on images that are not square; what is not told otherwise in the tests.
pub(crate) fn small() -> RepMlpNetConfig {
    RepMlpNetConfig {
        image: [12, 20],
        image_channels: 2,
        patch: 2,
        stages: stages(&[[6, 1, 2], [9, 2, 3]]).into(),
        kernels: vec![1, 3].into(),
        gate_reduction: 3,
        ffn_expansion: 2,
    }
}

/// The same sizes for the reference.
pub(crate) fn reference_config(
    config: &RepMlpNetConfig,
    classes: usize,
) -> reference::RepMlpNetConfig {
    let stage = |&RepMlpNetStage { channels, depth, share_sets }: &RepMlpNetStage| {
        reference::Stage { channels, units: depth, share_sets }
    };
    reference::RepMlpNetConfig {
        height: config.image[0],
        width: config.image[1],
        in_channels: config.image_channels,
        patch: config.patch,
        stages: config.stages.iter().map(stage).collect(),
        kernels: config.kernels.to_vec(),
        gate_reduction: config.gate_reduction,
        ffn_expansion: config.ffn_expansion,
        classes,
    }
}

impl TwoForms for RepMlpNetConfig {
    type Reference = reference::RepMlpNet<f64>;

    fn of(config: &'static Config) -> Option<&'static Self> {
        match config {
            Config::RepMlpNet(config) => Some(config),
            _ => None,
        }
    }

    fn shapes(&self, classes: usize, form: Form) -> Shapes {
        reference_config(self, classes).tensors(form)
    }

    fn values(name: &str, shape: &[usize], seed: u64) -> Vec<f32> {
        values(name, shape, seed)
    }

    fn reference(
        &self,
        classes: usize,
        form: Form,
        tensor: impl FnMut(&str, &[usize]) -> Vec<f64>,
    ) -> Self::Reference {
        reference::RepMlpNet::new(reference_config(self, classes), form, tensor)
    }

    fn logits(net: &Self::Reference, images: &[f64], batch: usize) -> Vec<f64> {
        net.forward(images, batch)
    }
}

/// Norms at the end of a residual branch.
const BRANCH_NORMS: [&str; 4] = [".fc3_bn.", ".repconv1.bn.", ".repconv3.bn.", ".ffn_fc2.bn."];

/// The values of a tensor: they depend on its name and on `seed` alone.
///
/// Matrices and convolutions have mean 0 and variance 1 / fan-in, biases and means lie in -0.5..0.5.
/// Scales have a size of 1 to 1.5 and either sign, variances lie in 0.5..2. What a residual branch
/// adds is scaled by a quarter, as in a trained network, where dozens of units in a row do not magnify
/// their input.
pub(crate) fn values(name: &str, shape: &[usize], seed: u64) -> Vec<f32> {
    let len = shape.iter().product();
    let mut state = name.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // Splitmix64: uniform in -1..1.
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let gain = if BRANCH_NORMS.iter().any(|norm| name.contains(norm)) { 0.25 } else { 1.0 };
    let mut value: Box<dyn FnMut() -> f32> = if shape.len() > 1 {
        let fan_in: usize = shape[1..].iter().product();
        let bound = (3.0 / fan_in as f32).sqrt();
        Box::new(move || bound * next())
    } else if name.ends_with(".running_var") {
        Box::new(move || 2_f32.powf(next()))
    } else if name.ends_with(".weight") {
        Box::new(move || {
            let x = next();
            gain * (x.signum() + 0.5 * x)
        })
    } else {
        Box::new(move || 0.5 * next())
    };
    (0..len).map(|_| value()).collect()
}
