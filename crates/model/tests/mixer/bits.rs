//! The same bits, whatever runs and however images are put together.

use mixfold_gemm::Context;
use mixfold_model::{Layer, Loader, MixerConfig, Trunk, registry};

use crate::common::bits::{assert_same_bits, observe};
use crate::common::{contexts, images, load};

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

#[test]
fn any_threads_batch_position_and_fused_instruction_set() {
    let cases = contexts();
    for config in CONFIGS {
        assert_same_bits(&cases, &format!("{config:?}"), 9, |loader| load(loader, config, 7));
    }
}

#[test]
fn the_embedded_model() {
    let load = |loader: &Loader| loader.embedded(registry::DEFAULT).unwrap();
    assert_same_bits(&contexts(), "embedded", 9, load);
}

#[test]
fn a_registered_model_with_random_weights() {
    let mut cases = contexts();
    cases.retain(|case| [1, 3].contains(&case.ctx.workers()));
    let load = |loader: &Loader| loader.random("mixer_s32_224", 3).unwrap();
    assert_same_bits(&cases, "mixer_s32_224", 2, load);
}

/// What an observer sees: every layer of every group, in order, whatever the number of threads.
#[test]
fn observers_see_every_layer_of_every_image() {
    let config = CONFIGS[1];
    let ctx = Context::new();
    let model = load(&Loader::new().context(ctx.clone()), config, 7);
    let sequential = load(&Loader::new().context(ctx.sequential()), config, 7);
    let images = images(&model, 9);
    let found = observe(&model, &images, 9);
    assert_eq!(found, observe(&sequential, &images, 9));
    let (seen, logits) = found;

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
