//! The same bits, whatever runs and however images are put together; and what observers see.

use mixfold_gemm::Context;
use mixfold_model::{Form, Layer, Loader, RepMlpNetConfig, registry};

use crate::common::bits::{assert_same_bits, observe};
use crate::common::repmlpnet::{small, stages};
use crate::common::two_forms::load;
use crate::common::{contexts, images, logits};

const CLASSES: usize = 7;

fn config(image: [usize; 2], patch: usize, rows: &[[usize; 3]]) -> RepMlpNetConfig {
    let stages = stages(rows).into();
    RepMlpNetConfig { image, patch, stages, gate_reduction: 2, ffn_expansion: 3, ..small() }
}

/// Maps of one place, all channels with a matrix of their own, so that many images go together; few
/// rows of each matrix, so that some do; so many that each image goes alone; maps that fill no vector
/// or tile; more hidden units than a chunk; a single matrix; large kernels on small maps.
fn configs() -> Vec<RepMlpNetConfig> {
    vec![
        config([4, 4], 2, &[[5, 1, 5], [8, 2, 8]]),
        config([12, 20], 2, &[[40, 2, 1], [66, 1, 3]]),
        config([14, 10], 1, &[[200, 1, 1]]),
        config([6, 10], 1, &[[212, 1, 2]]),
        config([36, 4], 1, &[[6, 1, 3], [10, 1, 2], [33, 1, 11]]),
        RepMlpNetConfig { ffn_expansion: 40, ..config([6, 10], 2, &[[18, 1, 6]]) },
        RepMlpNetConfig {
            kernels: vec![1, 3, 5, 7].into(),
            ..config([8, 4], 2, &[[8, 1, 2], [8, 1, 4]])
        },
        RepMlpNetConfig { kernels: vec![].into(), ..small() },
    ]
}

/// Which weights are read, and as what they are run.
const FORMS: [(Form, Form); 3] =
    [(Form::Train, Form::Train), (Form::Train, Form::Deploy), (Form::Deploy, Form::Deploy)];

#[test]
fn any_threads_batch_position_and_fused_instruction_set() {
    let cases = contexts();
    for config in configs() {
        for (stored, form) in FORMS {
            let what = format!("{config:?}, {stored} as {form}");
            assert_same_bits(&cases, &what, 6, |loader| {
                load(&loader.clone().form(form), &config, CLASSES, stored, 3)
            });
        }
    }
}

#[test]
fn the_embedded_model() {
    let cases = contexts();
    for form in [Form::Train, Form::Deploy] {
        assert_same_bits(&cases, &format!("embedded, {form}"), 9, |loader| {
            loader.clone().form(form).embedded("repmlpnet_fashion").unwrap()
        });
    }
}

#[test]
fn a_registered_model_with_random_weights() {
    let mut cases = contexts();
    let fused = cases.last().is_some_and(|case| case.fused);
    cases.retain(|case| {
        let threads = ["sequential", "3 threads"].iter().any(|part| case.name.ends_with(part));
        threads && case.fused == fused
    });
    for form in [Form::Train, Form::Deploy] {
        assert_same_bits(&cases, &format!("t224, {form}"), 2, |loader| {
            loader.clone().form(form).random("repmlpnet_t224", 3).unwrap()
        });
    }
}

/// What is not a number in an image stays in its logits.
#[test]
fn images_do_not_see_each_other() {
    let config = &configs()[1];
    for (stored, form) in FORMS {
        let model = load(&Loader::new().form(form), config, CLASSES, stored, 3);
        let image = model.input().iter().product::<usize>();
        let whole = images(&model, 5);
        let expected = logits(&model, &whole, 5);
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut images = whole.clone();
            images[2 * image + 17] = wrong;
            let found = logits(&model, &images, 5);
            for (i, (found, expected)) in
                found.chunks(CLASSES).zip(expected.chunks(CLASSES)).enumerate()
            {
                if i == 2 {
                    assert_ne!(found, expected, "{form}: {wrong} is lost");
                } else {
                    assert_eq!(found, expected, "{form}: {wrong} in another image");
                }
            }
        }
    }
}

/// What an observer sees: every layer of every group, in order, whatever the number of threads.
#[test]
fn observers_see_every_layer_of_every_image() {
    const BATCH: usize = 9;
    let config = &configs()[1];
    for (stored, form) in FORMS {
        let ctx = Context::new();
        let loader = Loader::new().form(form);
        let model = load(&loader.clone().context(ctx.clone()), config, CLASSES, stored, 3);
        let sequential = load(&loader.context(ctx.sequential()), config, CLASSES, stored, 3);
        let images = images(&model, BATCH);
        let found = observe(&model, &images, BATCH);
        assert_eq!(found, observe(&sequential, &images, BATCH));
        let (seen, logits) = found;

        // Groups of 196 / 40 images, rounded up.
        let groups = [(0, 5), (5, 4)];
        let layers: [(&str, &[usize]); 10] = [
            ("stem", &[40, 6, 10]),
            ("stages.0.0.repmlp_block", &[40, 6, 10]),
            ("stages.0.0", &[40, 6, 10]),
            ("stages.0.1.repmlp_block", &[40, 6, 10]),
            ("stages.0.1", &[40, 6, 10]),
            ("embeds.0", &[66, 3, 5]),
            ("stages.1.0.repmlp_block", &[66, 3, 5]),
            ("stages.1.0", &[66, 3, 5]),
            ("mean", &[66]),
            ("head", &[7]),
        ];
        let names: Vec<_> = model.layers().iter().map(Layer::to_string).collect();
        assert_eq!(names, layers.iter().map(|layer| layer.0).collect::<Vec<_>>());
        let expected: Vec<_> = groups
            .iter()
            .flat_map(|&(first, count)| {
                layers
                    .iter()
                    .map(move |&(name, shape)| (name.to_owned(), first, [&[count], shape].concat()))
            })
            .collect();
        let found: Vec<_> = seen
            .iter()
            .map(|(l, first, shape, _)| (l.to_string(), *first, shape.clone()))
            .collect();
        assert_eq!(found, expected, "{stored} as {form}");
        let heads: Vec<f32> =
            seen.into_iter().filter(|s| s.0 == Layer::Head).flat_map(|s| s.3).collect();
        assert_eq!(heads, logits);
    }
}

/// Of a registered model too, names and shapes are those of its stages.
#[test]
fn layers_of_a_registered_model() {
    let info = registry::model("repmlpnet_fashion").unwrap();
    let model = Loader::new().embedded(info.name).unwrap();
    let mut shapes = Vec::new();
    let mut logits = vec![0.0; 10];
    let images = images(&model, 1);
    let mut plan = model.plan(1).unwrap();
    plan.run_observed(&images, &mut logits, |layer, _, shape, _| {
        shapes.push(format!("{layer} {shape:?}"));
    })
    .unwrap();
    assert_eq!(
        shapes,
        [
            "stem [1, 32, 14, 14]",
            "stages.0.0.repmlp_block [1, 32, 14, 14]",
            "stages.0.0 [1, 32, 14, 14]",
            "stages.0.1.repmlp_block [1, 32, 14, 14]",
            "stages.0.1 [1, 32, 14, 14]",
            "embeds.0 [1, 64, 7, 7]",
            "stages.1.0.repmlp_block [1, 64, 7, 7]",
            "stages.1.0 [1, 64, 7, 7]",
            "stages.1.1.repmlp_block [1, 64, 7, 7]",
            "stages.1.1 [1, 64, 7, 7]",
            "mean [1, 64]",
            "head [1, 10]",
        ]
    );
}
