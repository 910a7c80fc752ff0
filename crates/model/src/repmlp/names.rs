//! The names of a RepMLPNet's tensors in the official checkpoints.

use super::specs::Specs;
use super::{RepMlpNetConfig, RepMlpNetStage};
use crate::Checkpoint;
use crate::config::Form;
use crate::weights::Spec;

/// The form of the tensors in a file: deploy if more blocks have the bias of that form than the batch
/// norm of the other one, so that a file of either form with a tensor too few or too many is taken for
/// what it is.
pub(crate) fn form(file: &Checkpoint) -> Form {
    let count = |end| file.names().filter(|name| name.ends_with(end)).count();
    match count(".repmlp_block.fc3.bias") > count(".repmlp_block.fc3_bn.weight") {
        true => Form::Deploy,
        false => Form::Train,
    }
}

/// The classes of the file's head.
pub(crate) fn classes(file: &Checkpoint) -> Option<usize> {
    Some(file.entry("head.bias")?.elements())
}

/// The name of a unit.
pub(crate) fn unit(stage: usize, number: usize) -> String {
    format!("stages.{stage}.{number}")
}

/// All tensors of a RepMLPNet with a head of `classes`.
pub(crate) fn specs(config: &RepMlpNetConfig, classes: usize, form: Form) -> Vec<Spec> {
    let mut specs = Specs::default();
    let first = config.stages.first().map_or(0, |stage| stage.channels);
    specs.conv_bn("conv_embedding", [first, config.image_channels, config.patch, config.patch]);
    for (i, stage) in config.stages.iter().enumerate() {
        for j in 0..stage.depth {
            specs.extend(unit_specs(config, i, j, form));
        }
        if let Some(next) = config.stages.get(i + 1) {
            specs.conv_bn(&format!("embeds.{i}"), [next.channels, stage.channels, 2, 2]);
        }
    }
    let last = config.stages.last().map_or(0, |stage| stage.channels);
    specs.norm("head_norm", last);
    specs.layer("head", &[classes, last]);
    specs.into_inner()
}

/// The tensors of a unit.
pub(crate) fn unit_specs(
    config: &RepMlpNetConfig,
    stage: usize,
    number: usize,
    form: Form,
) -> Vec<Spec> {
    let RepMlpNetStage { channels, .. } = config.stages[stage];
    let (gate, hidden) = (config.gate_hidden(channels), config.ffn_hidden(channels));
    let unit = unit(stage, number);
    let block = format!("{unit}.repmlp_block");
    let mut specs = Specs::default();
    specs.layer(&format!("{block}.gp.fc1"), &[gate, channels, 1, 1]);
    specs.layer(&format!("{block}.gp.fc2"), &[channels, gate, 1, 1]);
    specs.extend(config.fc3(&block, stage).specs(form));
    specs.conv_bn(&format!("{unit}.ffn_block.ffn_fc1"), [hidden, channels, 1, 1]);
    specs.conv_bn(&format!("{unit}.ffn_block.ffn_fc2"), [channels, hidden, 1, 1]);
    specs.norm(&format!("{unit}.prebn1"), channels);
    specs.norm(&format!("{unit}.prebn2"), channels);
    specs.into_inner()
}

/// Whether a file has the stem of a RepMLPNet.
pub(crate) fn recognised(file: &Checkpoint) -> bool {
    file.entry("conv_embedding.conv.weight").is_some()
}

/// The configuration that the tensors of a file have, if images are square, or why none. In deploy
/// form, without kernels.
pub(crate) fn detect(file: &Checkpoint) -> Result<RepMlpNetConfig, String> {
    let shape = |name: String| match file.entry(&name) {
        Some(entry) => Ok(entry.shape()),
        None => Err(format!("no `{name}`")),
    };
    let &[_, image_channels, patch, _] = shape("conv_embedding.conv.weight".into())? else {
        return Err("the stem is no convolution".into());
    };
    let mut stages = Vec::new();
    let (mut places, mut gate_hidden, mut ffn_hidden) = (0, 0, 0);
    while let Some(norm) = file.entry(&format!("{}.prebn1.weight", unit(stages.len(), 0))) {
        let (i, channels) = (stages.len(), norm.elements());
        let block = format!("{}.repmlp_block", unit(i, 0));
        let &[rows, cols, ..] = shape(format!("{block}.fc3.weight"))? else {
            return Err(format!("`{block}.fc3` is no matrix"));
        };
        if i == 0 {
            places = cols;
            gate_hidden = shape(format!("{block}.gp.fc1.bias"))?.iter().product();
            let ffn = format!("{}.ffn_block.ffn_fc1.bn.bias", unit(i, 0));
            ffn_hidden = shape(ffn)?.iter().product();
        }
        let has_unit = |j: &usize| file.entry(&format!("{}.prebn1.weight", unit(i, *j))).is_some();
        let depth = (0..).take_while(has_unit).count();
        let share_sets = rows.checked_div(cols).unwrap_or(0);
        stages.push(RepMlpNetStage { channels, depth, share_sets });
    }
    let first = stages.first().ok_or("no stage")?.channels;
    let side = places.isqrt();
    if side * side != places {
        return Err(format!("the {places} places of the first map are no square"));
    }
    let image = side.checked_mul(patch).ok_or(format!("patches of {patch}"))?;
    let ratio = |a: usize, b: usize| a.checked_div(b).unwrap_or(0);
    Ok(RepMlpNetConfig {
        image: [image, image],
        image_channels,
        patch,
        kernels: kernels(file).into(),
        gate_reduction: ratio(first, gate_hidden),
        ffn_expansion: ratio(ffn_hidden, first),
        stages: stages.into(),
    })
}

/// Sizes of the convolutions in the first block of a file.
fn kernels(file: &Checkpoint) -> Vec<usize> {
    let size = |name: &str| {
        let name = name.strip_prefix("stages.0.0.repmlp_block.repconv")?;
        name.strip_suffix(".conv.weight")?.parse().ok()
    };
    let mut sizes: Vec<_> = file.names().filter_map(size).collect();
    sizes.sort_unstable();
    sizes
}
