//! Every layer of ResNets against the reference in f64, within bounds of the rounding errors.

use mixfold_model::{Form, RepMlpPlace, ResNetConfig, ResNetRepMlp, ResNetStage};
use mixfold_reference::resnet::ResNet;
use proptest::prelude::*;

use crate::bound::walk;
use crate::common::bound::Real;
use crate::common::layers::{Activations, Layers, check, check_on_threads};
use crate::common::resnet::{plain, repmlp, small, stage};

impl Layers for ResNetConfig {
    fn exact(net: &ResNet<f64>, images: &[f64], batch: usize) -> Activations<f64> {
        let [(stem, _), (mut x, mut map)] = net.front(images, batch);
        let mut seen = vec![("stage0.0".to_owned(), stem), ("stage0.1".to_owned(), x.clone())];
        for (i, stage) in net.stages.iter().enumerate() {
            for (j, block) in stage.iter().enumerate() {
                let name = format!("stage{}.{j}", i + 1);
                let (mut y, mut inner) = (x.clone(), map);
                for (part, step) in &block.parts {
                    (y, inner) = step.forward(&y, inner);
                    seen.push((format!("{name}.{part}"), y.clone()));
                }
                (x, map) = block.forward(&x, map);
                seen.push((name, x.clone()));
            }
        }
        let [means, logits] = net.head(&x, map);
        assert_eq!(logits, net.forward(images, batch));
        seen.extend([("gap".to_owned(), means), ("linear".to_owned(), logits)]);
        seen
    }

    fn walk(
        net: &ResNet<f64>,
        images: &[f32],
        batch: usize,
        form: Form,
        next: impl FnMut(&str, Vec<Real>) -> Vec<Real>,
    ) {
        walk(net, images, batch, form, next);
    }
}

/// A stage: its channels are whole for any reduction and groups; partitions fill a map that is `scale`
/// times the last one.
fn stage_of(
    (depth, kind, few, groups, reduction, cut): (usize, usize, usize, usize, usize, [bool; 2]),
    last: [usize; 2],
    scale: usize,
) -> ResNetStage {
    let place = if kind == 1 { RepMlpPlace::Light } else { RepMlpPlace::Bottleneck };
    let side = |i: usize| if cut[i] { last[i] } else { last[i] * scale };
    let partition = [side(0), side(1)];
    // Four times, so that a quarter is whole too.
    let channels = 4 * few * groups * reduction;
    let reduction = if kind == 1 { 4 * reduction } else { reduction };
    let repmlp = ResNetRepMlp { place, reduction, partition, groups };
    stage(channels, depth, (kind > 0 && depth > 1).then_some(repmlp))
}

fn configs() -> impl Strategy<Value = ResNetConfig> {
    let stage = (
        1..4_usize,
        0..3_usize,
        1..3_usize,
        1..3_usize,
        1..3_usize,
        [any::<bool>(), any::<bool>()],
    );
    let kernels =
        prop::sample::select(vec![vec![], vec![1], vec![3], vec![1, 3], vec![1, 3, 5], vec![7]]);
    // What the last map falls short of.
    let short = [0..4_usize, 0..4_usize];
    (
        prop::collection::vec(stage, 1..4),
        [1..3_usize, 1..4_usize],
        short,
        1..4_usize,
        1..6_usize,
        kernels,
    )
        .prop_map(|(rows, last, short, image_channels, stem, kernels)| {
            let stages: Vec<_> = rows
                .iter()
                .enumerate()
                .map(|(i, &row)| stage_of(row, last, 1 << (rows.len() - 1 - i)))
                .collect();
            // Maps are rounded up.
            let image = [0, 1].map(|i| (last[i] << (rows.len() + 1)) - short[i]);
            ResNetConfig {
                image,
                image_channels,
                stem,
                stages: stages.into(),
                kernels: kernels.into(),
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_layer_of_any_network(
        config in configs(),
        classes in 1..9_usize,
        seed in any::<u64>(),
        batch in 1..3_usize,
    ) {
        check(&config, classes, seed, batch)?;
    }
}

/// Sizes that the kernels treat apart: vectors and tiles that are not full, maps of one pixel, one
/// channel in each group, large kernels on small partitions.
#[test]
fn every_layer_of_networks_at_the_edges() {
    let of = |image, stages: &[ResNetStage], kernels: &[usize]| ResNetConfig {
        image,
        image_channels: 3,
        stem: 17,
        stages: stages.to_vec().into(),
        kernels: kernels.to_vec().into(),
    };
    let light = |partition, groups| repmlp(RepMlpPlace::Light, 4, partition, groups);
    for config in [
        small(),
        plain(),
        of([1, 1], &[stage(4, 1, None), stage(8, 2, None)], &[]),
        of([4, 4], &[stage(64, 2, light([1, 1], 16))], &[1, 3]),
        of([8, 72], &[stage(32, 2, light([1, 9], 1))], &[1, 3, 5]),
        of([28, 8], &[stage(24, 3, light([7, 1], 2))], &[7]),
        of([16, 16], &[stage(20, 1, None), stage(40, 2, light([1, 2], 5))], &[]),
    ] {
        check_on_threads(&config, 10, 5, 3);
    }
}
