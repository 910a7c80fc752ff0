//! RepMLP blocks for the reference and as checkpoints.

use mixfold_model::{Checkpoint, RepMlpBlockConfig};
use mixfold_reference::fc3::Form;
use mixfold_reference::repmlp::RepMlpConfig;

use super::files::{Tensor, safetensors};

/// The same sizes for the reference.
pub(crate) fn reference_config(config: &RepMlpBlockConfig) -> RepMlpConfig {
    RepMlpConfig {
        in_channels: config.channels,
        out_channels: config.out_channels,
        height: config.map[0],
        width: config.map[1],
        partition: config.partition,
        reduction: config.reduction,
        groups: config.groups,
        kernels: config.kernels.clone(),
    }
}

/// The tensors of the train form, in the official order.
pub(crate) fn tensors(
    config: &RepMlpBlockConfig,
    mut values: impl FnMut(&str, &[usize]) -> Vec<f32>,
) -> Vec<Tensor> {
    let names = reference_config(config).tensors(Form::Train);
    names.iter().map(|(name, shape)| Tensor::new(name, shape, values(name, shape))).collect()
}

/// A checkpoint of these tensors.
pub(crate) fn file(tensors: &[Tensor]) -> Checkpoint {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights");
    safetensors(&path, tensors);
    Checkpoint::open(path).unwrap()
}
