//! Every layer of RepMLPNets against the reference in f64, within bounds of the rounding errors.

use mixfold_gemm::Context;
use mixfold_model::{Form, Loader, Model, RepMlpNetConfig};
use mixfold_reference::activation::relu;
use mixfold_reference::axis::Axes;
use mixfold_reference::conv2d::Nchw;
use mixfold_reference::norm::{BATCH_NORM_EPS, batch_norm};
use mixfold_reference::repmlpnet::RepMlpNet;
use mixfold_simd::env;
use proptest::prelude::*;

use crate::common::bound::Real;
use crate::common::repmlpnet::{load, reference, stages};
use crate::common::{distance, images, largest};
use crate::net_bound::walk;

/// Which weights are read, and as what they are run.
pub(crate) const FORMS: [(Form, Form); 3] =
    [(Form::Train, Form::Train), (Form::Train, Form::Deploy), (Form::Deploy, Form::Deploy)];

/// Names of layers with their activations.
pub(crate) type Activations<T> = Vec<(String, Vec<T>)>;

/// What an observer sees, all groups of images together.
pub(crate) fn observed(model: &Model, images: &[f32], batch: usize) -> Activations<f32> {
    let mut seen: Activations<f32> =
        model.layers().iter().map(|layer| (layer.to_string(), Vec::new())).collect();
    let mut logits = vec![f32::NAN; batch * model.classes()];
    let mut plan = model.plan(batch).unwrap();
    plan.run_observed(images, &mut logits, |layer, _, _, values| {
        let name = layer.to_string();
        seen.iter_mut().find(|seen| seen.0 == name).unwrap().1.extend(values);
    })
    .unwrap();
    seen
}

/// The reference's activations. Its mean is that of the last map, before the norm of the head.
fn exact(net: &RepMlpNet<f64>, images: &[f32], batch: usize) -> Activations<f64> {
    let config = &net.config;
    let (height, width, channels) = (config.height, config.width, config.in_channels);
    let images: Vec<f64> = images.iter().map(|&x| x.into()).collect();
    let mut map = Nchw { batch, channels, height, width };
    let mut x = images.clone();
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
    seen.push(("head".to_owned(), net.forward(&images, batch)));
    seen
}

/// Where `found` is not within the bounds.
fn outside(found: &[f32], allowed: &[Real]) -> Option<String> {
    assert_eq!(found.len(), allowed.len());
    let wrong = |(y, real): &(&f32, &Real)| {
        assert!(real.bound.is_finite());
        let within = (f64::from(**y) - real.value).abs() <= real.bound;
        !within
    };
    let first = found.iter().zip(allowed).enumerate().find(|(_, pair)| wrong(pair))?;
    Some(format!("{first:?}"))
}

/// Runs a network and compares every layer with the reference, in two ways: each layer by itself, applied
/// to what the engine has computed before it, and all layers from the images on. Returns the largest
/// error of the logits in units of the largest one.
fn check(
    config: &RepMlpNetConfig,
    classes: usize,
    seed: u64,
    batch: usize,
    ctx: &Context,
    (stored, form): (Form, Form),
) -> Result<f64, TestCaseError> {
    let loader = Loader::new().context(ctx.clone()).form(form);
    let model = load(&loader, config, classes, stored, seed);
    let net = reference(config, classes, stored, seed);
    let images = images(&model, batch);
    let mut observed = observed(&model, &images, batch).into_iter();
    let mut exact = exact(&net, &images, batch).into_iter();
    let mut from_images: Activations<Real> = Vec::new();
    walk(&net, &images, batch, form, |name, values| {
        from_images.push((name.to_owned(), values.clone()));
        values
    });
    let mut from_images = from_images.into_iter();
    let mut wrong = Vec::new();
    let mut error = f64::INFINITY;
    walk(&net, &images, batch, form, |name, alone| {
        let (seen, found) = observed.next().expect("a layer is not observed");
        let (layer, exact) = exact.next().expect("a layer that the reference does not have");
        let (bounded, chained) = from_images.next().expect("the same walk");
        assert_eq!([&seen, &layer, &bounded], [name; 3]);
        let values: Vec<_> = chained.iter().map(|real| real.value).collect();
        // The analysis is about the right numbers: its formulas are folded, those of the reference not.
        assert!(distance(&values, &exact) <= 1e-12 * largest(&exact), "{name}: {exact:?}");
        for (how, allowed) in [("alone", &alone), ("from the images on", &chained)] {
            wrong.extend(outside(&found, allowed).map(|at| format!("{name}, {how}: {at}")));
        }
        error = distance(&found, &exact) / largest(&exact);
        found.into_iter().map(|x| Real::exact(x.into())).collect()
    });
    prop_assert!(wrong.is_empty(), "{}: {}", ctx.isa(), wrong.join("; "));
    prop_assert!(observed.next().is_none());
    Ok(error)
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

/// The bound of the logits from the images on grows with the product of the layers' norms and says
/// little of a deep network. Roundings seldom conspire, though: what is promised is 1e-5 of the largest
/// logit, which no network of thousands has come nearer to than to a third. (One of a few logits must not
/// be near 0 by chance.)
const PROMISED: f64 = 1e-5;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_layer_of_any_network(
        config in configs(),
        classes in 1..9_usize,
        seed in any::<u64>(),
        batch in 1..4_usize,
    ) {
        for isa in env::isas_under_test() {
            let ctx = Context::with_isa(isa).sequential();
            for forms in FORMS {
                let error = check(&config, classes, seed, batch, &ctx, forms)?;
                prop_assert!(classes < 5 || error <= PROMISED, "{}: {:e}", isa, error);
            }
        }
    }
}

/// Sizes that the kernels treat apart: maps of one place, a matrix for all channels and one for each,
/// kernels that reach over the whole map, vectors and tiles that are not full, images in groups.
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
    ] {
        for isa in env::isas_under_test() {
            let ctx = Context::with_isa(isa);
            for ctx in [ctx.sequential(), ctx] {
                for forms in FORMS {
                    let error = check(&config, 10, 5, 3, &ctx, forms).unwrap();
                    assert!(error <= PROMISED, "{config:?}, {isa}: {error:e}");
                }
            }
        }
    }
}
