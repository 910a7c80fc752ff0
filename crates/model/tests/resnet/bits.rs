//! The same bits, whatever runs and however images are put together; and what observers see.

use mixfold_gemm::Context;
use mixfold_model::{Form, Loader, RepMlpPlace, ResNetConfig};

use crate::common::bits::assert_same_bits;
use crate::common::resnet::{plain, repmlp, small, stage};
use crate::common::two_forms::{FORMS, load};
use crate::common::{contexts, images, logits};

const CLASSES: usize = 7;

/// Small ones, and one whose maps are cut into several tasks.
fn configs() -> Vec<ResNetConfig> {
    let larger = ResNetConfig {
        image: [112, 84],
        image_channels: 3,
        stem: 16,
        stages: vec![
            stage(64, 2, repmlp(RepMlpPlace::Bottleneck, 2, [7, 7], 4)),
            stage(128, 2, None),
        ]
        .into(),
        kernels: vec![1, 3, 5].into(),
    };
    vec![small(), plain(), larger]
}

#[test]
fn any_threads_batch_position_and_fused_instruction_set() {
    let cases = contexts();
    for config in configs() {
        for (stored, form) in FORMS {
            let what = format!("{config:?}, {stored} as {form}");
            assert_same_bits(&cases, &what, 5, |loader| {
                load(&loader.clone().form(form), &config, CLASSES, stored, 3)
            });
        }
    }
}

/// What is not a number in an image stays in its logits.
#[test]
fn images_do_not_see_each_other() {
    for config in configs() {
        for (stored, form) in FORMS {
            let model = load(&Loader::new().form(form), &config, CLASSES, stored, 3);
            let image = model.input().iter().product::<usize>();
            let whole = images(&model, 4);
            let expected = logits(&model, &whole, 4);
            for wrong in [f32::NAN, f32::INFINITY] {
                let mut images = whole.clone();
                images[2 * image + 17] = wrong;
                let found = logits(&model, &images, 4);
                for (i, (found, expected)) in
                    found.chunks(CLASSES).zip(expected.chunks(CLASSES)).enumerate()
                {
                    assert_eq!(found == expected, i != 2, "{form}: {wrong}, image {i}");
                }
            }
        }
    }
}

/// Names and shapes of what an observer sees.
#[test]
fn observers_see_every_layer_of_every_image() {
    let model = load(&Loader::new().context(Context::new()), &small(), CLASSES, Form::Train, 3);
    let mut seen = Vec::new();
    let mut logits = vec![0.0; 2 * CLASSES];
    let images = images(&model, 2);
    let mut plan = model.plan(2).unwrap();
    plan.run_observed(&images, &mut logits, |layer, first, shape, values| {
        assert_eq!(values.len(), shape.iter().product::<usize>());
        seen.push(format!("{first}: {layer} {shape:?}"));
    })
    .unwrap();
    let layers = [
        "stage0.0 [2, 5, 8, 12]",
        "stage0.1 [2, 5, 4, 6]",
        "stage1.0.conv1 [2, 4, 4, 6]",
        "stage1.0.conv2 [2, 4, 4, 6]",
        "stage1.0 [2, 16, 4, 6]",
        "stage1.1.light_conv1 [2, 4, 4, 6]",
        "stage1.1.light_repmlp [2, 4, 4, 6]",
        "stage1.1 [2, 16, 4, 6]",
        "stage1.2.light_conv1 [2, 4, 4, 6]",
        "stage1.2.light_repmlp [2, 4, 4, 6]",
        "stage1.2 [2, 16, 4, 6]",
        "stage2.0.conv1 [2, 6, 4, 6]",
        "stage2.0.conv2 [2, 6, 2, 3]",
        "stage2.0 [2, 24, 2, 3]",
        "stage2.1.btnk_conv1 [2, 6, 2, 3]",
        "stage2.1.btnk_conv2 [2, 3, 2, 3]",
        "stage2.1.btnk_repmlp [2, 3, 2, 3]",
        "stage2.1.btnk_conv4 [2, 6, 2, 3]",
        "stage2.1 [2, 24, 2, 3]",
        "gap [2, 24]",
        "linear [2, 7]",
    ];
    // Both images go together: the last map has few places.
    assert_eq!(seen, layers.map(|layer| format!("0: {layer}")));
    let names: Vec<_> = model.layers().iter().map(|layer| layer.to_string()).collect();
    assert_eq!(names, layers.map(|layer| layer.split_once(' ').unwrap().0));
}
