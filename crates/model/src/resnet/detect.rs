//! The sizes of a ResNet, read off the tensors of a file.

use super::config::{EXPANSION, RepMlpPlace, ResNetConfig, ResNetRepMlp, ResNetStage};
use super::names::block;
use crate::Checkpoint;

/// Height and width of the images of a ResNet without RepMLPs, in which nothing tells them.
const IMAGE: usize = 224;

/// The configuration that the tensors of a file have, if images and partitions are square, or why none.
/// In deploy form, without kernels.
pub(crate) fn detect(file: &Checkpoint) -> Result<ResNetConfig, String> {
    let &[stem, image_channels, ..] = shape(file, "stage0.0.conv.weight")? else {
        return Err("the first convolution is none".into());
    };
    let (mut stages, mut image, mut kernels) = (Vec::new(), None, Vec::new());
    while has_block(file, stages.len(), 0) {
        let i = stages.len();
        let &[channels, ..] = shape(file, &format!("{}.conv3.conv.weight", block(i, 0)))? else {
            return Err(format!("`{}.conv3` is no convolution", block(i, 0)));
        };
        let depth = (0..).take_while(|&j| has_block(file, i, j)).count();
        let found = repmlp(file, &block(i, 1), channels)?;
        if let (Some((_, side)), None) = (&found, image) {
            let scale = 1_usize.checked_shl(i as u32 + 2);
            image = Some(scale.and_then(|n| n.checked_mul(*side)).ok_or("images too large")?);
            kernels = repconvs(file, &block(i, 1));
        }
        stages.push(ResNetStage { channels, depth, repmlp: found.map(|(repmlp, _)| repmlp) });
    }
    if stages.is_empty() {
        return Err("no stage".into());
    }
    let image = [image.unwrap_or(IMAGE); 2];
    Ok(ResNetConfig { image, image_channels, stem, stages: stages.into(), kernels: kernels.into() })
}

fn shape<'f>(file: &'f Checkpoint, name: &str) -> Result<&'f [usize], String> {
    file.entry(name).map(|entry| entry.shape()).ok_or_else(|| format!("no `{name}`"))
}

fn has_block(file: &Checkpoint, stage: usize, number: usize) -> bool {
    ["conv1", "light_conv1", "btnk_conv1"].iter().any(|conv| {
        let name = format!("{}.{conv}.conv.weight", block(stage, number));
        file.entry(&name).is_some()
    })
}

/// The RepMLP of a block of so many channels, if it has one, and the height and width of its map.
fn repmlp(
    file: &Checkpoint,
    block: &str,
    channels: usize,
) -> Result<Option<(ResNetRepMlp, usize)>, String> {
    let places = [
        (RepMlpPlace::Light, "light_repmlp", "light_conv1", channels),
        (RepMlpPlace::Bottleneck, "btnk_repmlp", "btnk_conv2", channels / EXPANSION),
    ];
    let has = |conv: &str| file.entry(&format!("{block}.{conv}.conv.weight")).is_some();
    let Some((place, name, conv, whole)) = places.into_iter().find(|place| has(place.2)) else {
        return Ok(None);
    };
    let few = shape(file, &format!("{block}.{conv}.conv.weight"))?.first().copied().unwrap_or(0);
    let fc3 = format!("{block}.{name}.fc3.weight");
    let &[rows, cols, ..] = shape(file, &fc3)? else {
        return Err(format!("`{fc3}` is no matrix"));
    };
    let ratio = |a: usize, b: usize| a.checked_div(b).unwrap_or(0);
    let pixels = ratio(rows, few);
    let side = root(pixels).ok_or(format!("the {pixels} places of a partition are no square"))?;
    let fc1 = file.entry(&format!("{block}.{name}.fc1_fc2.fc1.weight"));
    let inputs = fc1.and_then(|fc1| fc1.shape().last().copied());
    let parts = inputs.map_or(1, |inputs| ratio(inputs, few));
    let grid = root(parts).ok_or(format!("the {parts} partitions of a map are no square"))?;
    let repmlp = ResNetRepMlp {
        place,
        reduction: ratio(whole, few),
        partition: [side, side],
        groups: ratio(few, ratio(cols, pixels)),
    };
    let map = grid.checked_mul(side).ok_or("maps too large")?;
    Ok(Some((repmlp, map)))
}

fn root(square: usize) -> Option<usize> {
    let side = square.isqrt();
    (side * side == square).then_some(side)
}

/// Sizes of the convolutions of a block's RepMLP.
fn repconvs(file: &Checkpoint, block: &str) -> Vec<usize> {
    let size = |name: &str| {
        let name = name.strip_prefix(block)?.strip_prefix('.')?;
        let (_, name) = name.split_once("_repmlp.repconv")?;
        name.strip_suffix(".conv.weight")?.parse().ok()
    };
    let mut sizes: Vec<_> = file.names().filter_map(size).collect();
    sizes.sort_unstable();
    sizes
}
