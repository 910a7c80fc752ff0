//! Every layer of ResNets against the reference in f64, within bounds of the rounding errors.

use mixfold_gemm::Context;
use mixfold_model::{Form, Loader, Model, RepMlpPlace, ResNetConfig, ResNetRepMlp, ResNetStage};
use mixfold_reference::resnet::ResNet;
use mixfold_simd::env;
use proptest::prelude::*;

use crate::bound::walk;
use crate::common::bound::Real;
use crate::common::resnet::{load, plain, reference, repmlp, small, stage};
use crate::common::{distance, images, largest};

/// Which weights are read, and as what they are run.
pub(crate) const FORMS: [(Form, Form); 3] =
    [(Form::Train, Form::Train), (Form::Train, Form::Deploy), (Form::Deploy, Form::Deploy)];

/// Names of layers with their activations.
type Activations<T> = Vec<(String, Vec<T>)>;

/// What an observer sees, all groups of images together.
fn observed(model: &Model, images: &[f32], batch: usize) -> Activations<f32> {
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

/// The reference's activations.
fn exact(net: &ResNet<f64>, images: &[f32], batch: usize) -> Activations<f64> {
    let images: Vec<f64> = images.iter().map(|&x| x.into()).collect();
    let [(stem, _), (mut x, mut map)] = net.front(&images, batch);
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
    assert_eq!(logits, net.forward(&images, batch));
    seen.extend([("gap".to_owned(), means), ("linear".to_owned(), logits)]);
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
    config: &ResNetConfig,
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
        // The analysis is about the right numbers: its formulas are folded, those of the reference not.
        // Both round as often as `f32` may, to 29 bits more, or a few times more often in folding.
        for (real, exact) in chained.iter().zip(&exact) {
            let allowed = 8.0 * real.bound * 2.0_f64.powi(-29);
            assert!((real.value - exact).abs() <= allowed, "{name}: {real:?}, {exact}");
        }
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

/// The bound of the logits from the images on grows with the product of the layers' norms and says
/// little of a deep network. Roundings seldom conspire, though: what is promised is 1e-5 of the largest
/// logit. (One of a few logits must not be near 0 by chance.)
const PROMISED: f64 = 1e-5;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_layer_of_any_network(
        config in configs(),
        classes in 1..9_usize,
        seed in any::<u64>(),
        batch in 1..3_usize,
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
