//! Every layer of RepMLPNets against the reference in f64, within bounds of the rounding errors.

use mixfold_model::{Form, RepMlpNetConfig};
use mixfold_reference::activation::relu;
use mixfold_reference::axis::Axes;
use mixfold_reference::conv2d::Nchw;
use mixfold_reference::norm::{BATCH_NORM_EPS, batch_norm};
use mixfold_reference::repmlpnet::RepMlpNet;
use proptest::prelude::*;

use crate::common::bound::Real;
use crate::common::layers::{Activations, Layers, check, check_on_threads};
use crate::common::repmlpnet::stages;
use crate::net_bound::walk;

impl Layers for RepMlpNetConfig {
    /// The mean is that of the last map, before the norm of the head.
    fn exact(net: &RepMlpNet<f64>, images: &[f64], batch: usize) -> Activations<f64> {
        let config = &net.config;
        let (height, width, channels) = (config.height, config.width, config.in_channels);
        let mut map = Nchw { batch, channels, height, width };
        let mut x = images.to_vec();
        let mut seen = Vec::new();
        let convs = std::iter::once(&net.conv_embedding).chain(&net.embeds);
        for (i, (conv, stage)) in convs.zip(&net.stages).enumerate() {
            x = conv.forward(&x, map).into_iter().map(relu).collect();
            map = conv.conv.output(map);
            let name = if i == 0 { "stem".to_owned() } else { format!("embeds.{}", i - 1) };
            seen.push((name, x.clone()));
            let axes = Axes { outer: batch, axis: map.channels, inner: map.height * map.width };
            for (j, unit) in stage.iter().enumerate() {
                let u = batch_norm(&x, axes, &unit.prebn1, BATCH_NORM_EPS);
                let block = unit.repmlp_block.forward(&u, batch);
                let half = x.iter().zip(block).map(|(x, y)| x + y).collect();
                seen.push((format!("stages.{i}.{j}.repmlp_block"), half));
                x = unit.forward(&x, batch);
                seen.push((format!("stages.{i}.{j}"), x.clone()));
            }
        }
        let places = map.height * map.width;
        let mean = |map: &[f64]| map.iter().sum::<f64>() / places as f64;
        seen.push(("mean".to_owned(), x.chunks(places).map(mean).collect()));
        seen.push(("head".to_owned(), net.forward(images, batch)));
        seen
    }

    fn walk(
        net: &RepMlpNet<f64>,
        images: &[f32],
        batch: usize,
        form: Form,
        next: impl FnMut(&str, Vec<Real>) -> Vec<Real>,
    ) {
        walk(net, images, batch, form, next);
    }
}

fn configs() -> impl Strategy<Value = RepMlpNetConfig> {
    // Depth, share-sets, channels for each of them.
    let stage = (0..3_usize, 1..4_usize, 1..4_usize);
    let map = [1..5_usize, 1..6_usize];
    let kernels =
        prop::sample::select(vec![vec![], vec![1], vec![3], vec![1, 3], vec![1, 3, 5], vec![7]]);
    (
        prop::collection::vec(stage, 1..4),
        map,
        1..4_usize,
        1..4_usize,
        kernels,
        1..5_usize,
        1..5_usize,
    )
        .prop_map(
            |(rows, last, patch, image_channels, kernels, gate_reduction, ffn_expansion)| {
                let image = last.map(|side| (side * patch) << (rows.len() - 1));
                let rows: Vec<_> = rows
                    .into_iter()
                    .map(|(depth, sets, each)| {
                        let channels = sets * each.max(gate_reduction.div_ceil(sets));
                        [channels, depth, sets]
                    })
                    .collect();
                RepMlpNetConfig {
                    image,
                    image_channels,
                    patch,
                    stages: stages(&rows).into(),
                    kernels: kernels.into(),
                    gate_reduction,
                    ffn_expansion,
                }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_layer_of_any_network(
        config in configs(),
        classes in 1..9_usize,
        seed in any::<u64>(),
        batch in 1..4_usize,
    ) {
        check(&config, classes, seed, batch)?;
    }
}

/// Sizes that the kernels treat apart: maps of one place, a matrix for all channels and one for each,
/// kernels that reach over the whole map, vectors and tiles that are not full, images in groups,
/// perceptrons along the channels with weights on the right.
#[test]
fn every_layer_of_networks_at_the_edges() {
    let config = |image, rows: &[[usize; 3]], kernels: &[usize]| RepMlpNetConfig {
        image,
        image_channels: 3,
        patch: 2,
        stages: stages(rows).into(),
        kernels: kernels.to_vec().into(),
        gate_reduction: 4,
        ffn_expansion: 4,
    };
    for config in [
        config([2, 2], &[[17, 2, 17]], &[1, 3, 5]),
        config([2, 2], &[[32, 1, 1]], &[5]),
        config([2, 26], &[[16, 2, 4]], &[1, 3]),
        config([34, 2], &[[5, 1, 5]], &[3, 9]),
        config([8, 8], &[[8, 1, 1], [16, 1, 16], [36, 1, 2]], &[1, 3]),
        config([32, 16], &[[33, 1, 3], [14, 2, 7]], &[1, 3]),
        config([8, 12], &[[212, 1, 4], [216, 1, 216]], &[1, 3]),
    ] {
        check_on_threads(&config, 10, 5, 3);
    }
}
