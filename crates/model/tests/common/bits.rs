//! The same bits, whatever runs and however images are put together; and all that observers see.

use mixfold_model::{Layer, Loader, Model};

use super::{Case, images, logits};

/// What an observer is called with: the layer, the first image, the shape and the values.
pub(crate) type Seen = (Layer, usize, Vec<usize>, Vec<f32>);

/// Loads a model in each context, which must give the logits of images one by one in batches of all
/// sizes up to `batches`, and those of every other context with this kind of arithmetic.
pub(crate) fn assert_same_bits(
    cases: &[Case],
    what: &str,
    batches: usize,
    load: impl Fn(&Loader) -> Model,
) {
    let mut expected: [Option<Vec<f32>>; 2] = [None, None];
    for Case { ctx, name, fused } in cases {
        let model = load(&Loader::new().context(ctx.clone()));
        let images = images(&model, batches);
        let what = format!("{what}, {name}");
        let expected = expected[usize::from(*fused)].get_or_insert_with(|| {
            let alone = images.chunks(images.len() / batches);
            alone.flat_map(|image| logits(&model, image, 1)).collect()
        });
        assert!(expected.iter().all(|logit| logit.is_finite()), "{what}");
        let (first, second) = expected[..2 * model.classes()].split_at(model.classes());
        assert_ne!(first, second, "{what}: images differ");
        for batch in 1..=batches {
            check(&model, &format!("{what}, batch {batch}"), &images, expected, batch);
        }
    }
}

/// Compares the first images, at once, with what is expected of all; observed and not.
fn check(model: &Model, what: &str, images: &[f32], expected: &[f32], batch: usize) {
    let image = model.input().iter().product::<usize>();
    let classes = model.classes();
    let (images, expected) = (&images[..batch * image], &expected[..batch * classes]);
    let mut plan = model.plan(batch).unwrap();
    let mut logits = vec![f32::NAN; batch * classes];
    plan.run(images, &mut logits).unwrap();
    assert_eq!(logits, expected, "{what}");
    logits.fill(f32::NAN);
    plan.run_observed(images, &mut logits, |_, _, _, _| {}).unwrap();
    assert_eq!(logits, expected, "{what}, observed");
    // Again, with what the first runs left behind, and the images in another order.
    let reversed: Vec<f32> = images.chunks(image).rev().flatten().copied().collect();
    plan.run(&reversed, &mut logits).unwrap();
    let reversed: Vec<f32> = expected.chunks(classes).rev().flatten().copied().collect();
    assert_eq!(logits, reversed, "{what}, reversed");
}

/// All that an observer sees of a batch, and the logits.
pub(crate) fn observe(model: &Model, images: &[f32], batch: usize) -> (Vec<Seen>, Vec<f32>) {
    let (mut seen, mut logits) = (Vec::new(), vec![f32::NAN; batch * model.classes()]);
    let mut plan = model.plan(batch).unwrap();
    plan.run_observed(images, &mut logits, |layer, first, shape, values| {
        assert_eq!(values.len(), shape.iter().product::<usize>(), "{layer}");
        seen.push((layer, first, shape.to_vec(), values.to_vec()));
    })
    .unwrap();
    (seen, logits)
}
