//! Outputs of PyTorch in `f64`, on the contents of `fill`.

use mixfold_reference::activation::Activation::{GeluErf, GeluTanh};
use mixfold_reference::attention_only::{AttentionOnly, AttentionOnlyConfig};
use mixfold_reference::ff_only::{Block, BlockConfig, FfOnly, FfOnlyConfig};
use mixfold_reference::fill;
use mixfold_reference::gmixer::{GMixer, GMixerConfig};
use mixfold_reference::gmlp::{GMlp, GMlpConfig};
use mixfold_reference::resmlp::{ResMlp, ResMlpConfig};
use mixfold_reference::tokens::Patches;
use mixfold_reference::vit::{Vit, VitConfig};

use crate::assert_close;

/// What sums in another order differ by: a few hundred roundings of numbers about 1.
const ROUNDING: f64 = 1e-12;

const BATCH: usize = 2;
const PATCHES: Patches = Patches { height: 8, width: 12, in_channels: 3, patch: 4, channels: 12 };
const FF_ONLY: FfOnlyConfig = FfOnlyConfig {
    patches: PATCHES,
    position_grid: [2, 3],
    channel_hidden: 48,
    token_hidden: 28,
    depth: 2,
    classes: 3,
};
const VIT: VitConfig = VitConfig {
    patches: PATCHES,
    heads: 3,
    hidden: 48,
    depth: 2,
    classes: 3,
    distilled: false,
    activation: GeluErf,
};

/// Compares the tensors that `build` asks for and the logits of what it builds with what
/// `golden.py` printed for `name`.
#[track_caller]
fn assert_golden<M>(
    name: &str,
    build: impl FnOnce(&mut dyn FnMut(&str, &[usize]) -> Vec<f64>) -> M,
    forward: impl FnOnce(&M, &[f64], usize) -> Vec<f64>,
) {
    let printed = include_str!("golden.txt").split("\n\n").find_map(|network| {
        let (first, lines) = network.split_once('\n')?;
        (first == name).then_some(lines)
    });
    let (logits, tensors): (Vec<&str>, Vec<&str>) =
        printed.expect(name).lines().partition(|line| line.starts_with('='));
    let logits: Vec<f64> = logits
        .iter()
        .flat_map(|line| line[1..].split_whitespace())
        .map(|logit| logit.parse().unwrap())
        .collect();

    let mut weights = fill::Weights::default();
    let mut asked = Vec::new();
    let network = build(&mut |name, shape| {
        asked.push(format!("{name} {shape:?}"));
        weights.tensor(name, shape)
    });
    assert_eq!(asked, tensors);
    let images = fill::input(BATCH * 3 * PATCHES.height * PATCHES.width);
    // Half a unit of the last digit printed.
    assert_close(&forward(&network, &images, BATCH), &logits, 0.5e-12 + ROUNDING);
}

#[test]
fn ff_only_block_agrees_with_its_author() {
    let config = BlockConfig { tokens: 5, channels: 6, channel_hidden: 24, token_hidden: 20 };
    let mut weights = fill::Weights::default();
    let mut tensors = 0;
    let block = Block::<f64>::new(config, |name, shape| {
        tensors += 1;
        weights.tensor(name, shape)
    });
    assert_eq!(tensors, 12);

    let y = block.forward(&fill::input(2 * 5 * 6), 2);
    let first = [0.830236595, 0.782116097, 0.449130410, 1.694141585, 1.353303668, 0.506548494];
    let printed = 0.5e-9 + ROUNDING;
    assert_close(&y[..6], &first, printed);
    assert_close(&y[59..], &[-0.086264242], printed);
    let sums = [y.iter().sum(), y.iter().map(|y| y * y).sum()];
    assert_close(&sums, &[16.624130765, 41.642723654], printed);
}

#[test]
fn ff_only() {
    assert_golden("ff_only", |tensor| FfOnly::new(FF_ONLY, tensor), FfOnly::forward);
    let resized = FfOnlyConfig { position_grid: [5, 4], ..FF_ONLY };
    assert_golden(
        "ff_only, positions resized",
        |tensor| FfOnly::new(resized, tensor),
        FfOnly::forward,
    );
}

#[test]
fn attention_only() {
    let config = AttentionOnlyConfig {
        patches: PATCHES,
        position_grid: PATCHES.grid(),
        heads: 3,
        depth: 2,
        classes: 3,
    };
    assert_golden(
        "attention_only",
        |tensor| AttentionOnly::new(config, tensor),
        AttentionOnly::forward,
    );
}

#[test]
fn vit() {
    assert_golden("vit", |tensor| Vit::new(VIT, tensor), Vit::forward);
    let tanh = VitConfig { activation: GeluTanh, ..VIT };
    assert_golden("vit, tanh", |tensor| Vit::new(tanh, tensor), Vit::forward);
    let distilled = VitConfig { distilled: true, ..VIT };
    assert_golden("vit, distilled", |tensor| Vit::new(distilled, tensor), Vit::forward);
}

#[test]
fn resmlp() {
    let config = ResMlpConfig { patches: PATCHES, hidden: 48, depth: 2, classes: 3 };
    assert_golden("resmlp", |tensor| ResMlp::new(config, tensor), ResMlp::forward);
}

#[test]
fn gmlp() {
    let config = GMlpConfig { patches: PATCHES, hidden: 72, depth: 2, classes: 3 };
    assert_golden("gmlp", |tensor| GMlp::new(config, tensor), GMlp::forward);
}

#[test]
fn gmixer() {
    let config = GMixerConfig {
        patches: PATCHES,
        token_hidden: 12,
        channel_hidden: 48,
        depth: 2,
        classes: 3,
    };
    assert_golden("gmixer", |tensor| GMixer::new(config, tensor), GMixer::forward);
}
