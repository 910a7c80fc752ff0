//! The same bits, whatever runs and however images are put together.

use mixfold_model::Loader;

use crate::common::families::{CLASSES, networks};
use crate::common::{Case, contexts, images, logits};

#[test]
fn any_threads_batch_position_and_fused_instruction_set() {
    const BATCHES: usize = 6;
    let cases = contexts();
    for network in networks() {
        let mut expected: [Option<Vec<f32>>; 2] = [None, None];
        for Case { ctx, name, fused } in &cases {
            let model = network.load(&Loader::new().context(ctx.clone()));
            let images = images(&model, BATCHES);
            let image = images.len() / BATCHES;
            let alone =
                || images.chunks(image).flat_map(|image| logits(&model, image, 1)).collect();
            let expected: &Vec<f32> = expected[usize::from(*fused)].get_or_insert_with(alone);
            let what = format!("{:?}, {name}", network.config);
            assert!(expected.iter().all(|logit| logit.is_finite()), "{what}");
            assert_ne!(
                expected[..CLASSES],
                expected[CLASSES..2 * CLASSES],
                "{what}: images differ"
            );
            for batch in [1, 2, 5, BATCHES] {
                let (images, expected) = (&images[..batch * image], &expected[..batch * CLASSES]);
                let mut plan = model.plan(batch).unwrap();
                let mut found = vec![f32::NAN; batch * CLASSES];
                plan.run(images, &mut found).unwrap();
                assert_eq!(found, expected, "{what}, batch {batch}");
                found.fill(f32::NAN);
                plan.run_observed(images, &mut found, |_, _, _, _| {}).unwrap();
                assert_eq!(found, expected, "{what}, batch {batch}, observed");
            }
        }
    }
}
