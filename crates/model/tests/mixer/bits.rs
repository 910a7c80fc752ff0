//! The same bits, whatever runs and however images are put together.

use mixfold_gemm::Context;
use mixfold_model::{Layer, Loader, MixerConfig, Model, Trunk};

use crate::common::{Case, contexts, images, load, logits};

const fn config(image: [usize; 2], patch: usize, channels: usize, hidden: usize) -> MixerConfig {
    let (token_hidden, channel_hidden) = (hidden, 2 * hidden + 1);
    let trunk = Trunk { image, image_channels: 2, patch, channels, depth: 2 };
    MixerConfig { trunk, token_hidden, channel_hidden }
}

/// One token, so that many images go together; few tokens, so that some do; so many that each image
/// goes alone, and their number a multiple of no tile; channels that fill no vector or panel; more
/// hidden units than a chunk.
const CONFIGS: [MixerConfig; 5] = [
    config([8, 8], 8, 33, 5),
    config([14, 14], 2, 40, 17),
    config([28, 28], 2, 35, 19),
    config([2, 394], 2, 29, 23),
    config([10, 6], 2, 70, 300),
];

/// The logits of each image, each computed alone on the calling thread.
fn alone(model: &Model, images: &[f32], batch: usize) -> Vec<f32> {
    let image = images.len() / batch;
    images.chunks(image).flat_map(|image| logits(model, image, 1)).collect()
}

/// Compares all batch sizes up to `batches`, and logits with an observer, with `expected`.
fn check(model: &Model, what: &str, images: &[f32], expected: &[f32], batches: usize) {
    let image = model.input().iter().product::<usize>();
    let classes = model.classes();
    for batch in 1..=batches {
        let (images, expected) = (&images[..batch * image], &expected[..batch * classes]);
        let mut plan = model.plan(batch).unwrap();
        let mut logits = vec![f32::NAN; batch * classes];
        plan.run(images, &mut logits).unwrap();
        assert_eq!(logits, expected, "{what}, batch {batch}");
        logits.fill(f32::NAN);
        plan.run_observed(images, &mut logits, |_, _, _, _| {}).unwrap();
        assert_eq!(logits, expected, "{what}, batch {batch}, observed");
        // Again, with what the first runs left behind, and the images in another order.
        let reversed: Vec<f32> = images.chunks(image).rev().flatten().copied().collect();
        plan.run(&reversed, &mut logits).unwrap();
        let reversed: Vec<f32> = expected.chunks(classes).rev().flatten().copied().collect();
        assert_eq!(logits, reversed, "{what}, batch {batch}, reversed");
    }
}

#[test]
fn any_threads_batch_position_and_fused_instruction_set() {
    const BATCHES: usize = 9;
    let cases = contexts();
    for config in CONFIGS {
        let mut expected: [Option<Vec<f32>>; 2] = [None, None];
        for Case { ctx, name, fused } in &cases {
            let model = load(&Loader::new().context(ctx.clone()), config, 7);
            let images = images(&model, BATCHES);
            let expected = expected[usize::from(*fused)]
                .get_or_insert_with(|| alone(&model, &images, BATCHES));
            assert!(expected.iter().all(|logit| logit.is_finite()));
            assert_ne!(expected[..7], expected[7..14], "images differ");
            check(&model, &format!("{config:?}, {name}"), &images, expected, BATCHES);
        }
    }
}

#[test]
fn the_embedded_model() {
    let cases = contexts().into_iter();
    whole(cases, 9, |loader| loader.embedded(mixfold_model::registry::DEFAULT).unwrap());
}

#[test]
fn a_registered_model_with_random_weights() {
    let cases = contexts().into_iter().filter(|case| [1, 3].contains(&case.ctx.workers()));
    whole(cases, 2, |loader| loader.random("mixer_s32_224", 3).unwrap());
}

fn whole(cases: impl Iterator<Item = Case>, batches: usize, load: impl Fn(&Loader) -> Model) {
    let mut expected: [Option<Vec<f32>>; 2] = [None, None];
    for Case { ctx, name, fused } in cases {
        let model = load(&Loader::new().context(ctx));
        let images = images(&model, batches);
        let expected =
            expected[usize::from(fused)].get_or_insert_with(|| alone(&model, &images, batches));
        check(&model, &format!("{}, {name}", model.name()), &images, expected, batches);
    }
}

/// What an observer sees: every layer of every group, in order, whatever the number of threads.
#[test]
fn observers_see_every_layer_of_every_image() {
    let config = CONFIGS[1];
    let ctx = Context::new();
    let model = load(&Loader::new().context(ctx.clone()), config, 7);
    let sequential = load(&Loader::new().context(ctx.sequential()), config, 7);
    let images = images(&model, 9);
    let record = |model: &Model| {
        let (mut seen, mut logits) = (Vec::new(), vec![0.0; 9 * 7]);
        let mut plan = model.plan(9).unwrap();
        plan.run_observed(&images, &mut logits, |layer, first, shape, values| {
            assert_eq!(values.len(), shape.iter().product::<usize>());
            seen.push((layer, first, shape.to_vec(), values.to_vec()));
        })
        .unwrap();
        (seen, logits)
    };
    let (seen, logits) = record(&model);
    assert_eq!((&seen, &logits), (&record(&sequential).0, &record(&sequential).1));

    // Groups of 196 / 49 images.
    let firsts = [(0, 4), (4, 4), (8, 1)];
    let expected: Vec<_> = firsts
        .iter()
        .flat_map(|&group| model.layers().into_iter().map(move |layer| (layer, group)))
        .map(|(layer, (first, count))| match layer {
            Layer::Mean => (layer, first, vec![count, 40]),
            Layer::Head => (layer, first, vec![count, 7]),
            _ => (layer, first, vec![count, 49, 40]),
        })
        .collect();
    let shapes: Vec<_> = seen.iter().map(|(l, f, shape, _)| (*l, *f, shape.clone())).collect();
    assert_eq!(shapes, expected);
    let heads: Vec<f32> =
        seen.into_iter().filter(|s| s.0 == Layer::Head).flat_map(|s| s.3).collect();
    assert_eq!(heads, logits);
}
