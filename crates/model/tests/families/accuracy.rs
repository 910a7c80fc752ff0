//! Logits against the reference.

use mixfold_gemm::Context;
use mixfold_model::Loader;

use crate::common::families::{Network, networks};
use crate::common::{distance, images, largest, logits};

/// There is no useful bound of a whole network's rounding error, but a measure of it: the error that
/// the same formulas make when they are evaluated in f32 with plain loops. Sums in another order and
/// fused multiply-adds make other errors of the same size. The largest of a few dozen errors
/// scatters, so that four times as much is allowed, and for the smallest of them what a rounding of
/// the largest logit can make.
#[test]
fn logits_on_every_instruction_set() {
    const BATCH: usize = 5;
    for network in networks() {
        let (tensors, what) = (network.tensors(), &network.config);
        for isa in mixfold_simd::env::isas_under_test() {
            let model = network.load(&Loader::new().context(Context::with_isa(isa)));
            let images = images(&model, BATCH);
            let exact = network.logits::<f64>(&tensors, &images, BATCH);
            let plain = distance(&network.logits::<f32>(&tensors, &images, BATCH), &exact);
            let size = largest(&exact);
            assert!(size > 0.01, "{what:?}: logits of ordinary size, not {size}");
            let error = distance(&logits(&model, &images, BATCH), &exact);
            let allowed = 4.0 * plain + 4.0 * f64::from(f32::EPSILON) * size;
            println!("{}, {isa}: {error:e}, plain loops {plain:e}, of {size}", what.family());
            assert!(
                error <= allowed,
                "{what:?}, {isa}: {error:e}, plain loops {plain:e}, of {size}"
            );
        }
    }
}

/// Whether a norm over the channels removes what a tensor adds, which is the same in all channels of a
/// token.
fn vanishes(name: &str) -> bool {
    ["mlp_tokens.fc2.bias", "blocks.1.mlp2.fc2.bias", "blocks.1.attn_features.proj.bias"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// Every tensor counts: with one of them changed, the logits are others, and still the reference's.
#[test]
fn every_tensor_counts() {
    for network in networks().into_iter().take(8) {
        let tensors = network.tensors();
        let model = network.load(&Loader::new());
        let images = images(&model, 1);
        let base = network.logits::<f64>(&tensors, &images, 1);
        let found = logits(&model, &images, 1);
        let size = largest(&base);
        for i in 0..tensors.len() {
            let mut changed = tensors.clone();
            for (j, value) in changed[i].values.iter_mut().enumerate() {
                *value += 0.1 * f64::sin(1.7 * j as f64 + 0.4) as f32;
            }
            let expected = network.logits::<f64>(&changed, &images, 1);
            let counts = distance(&expected, &base) > 1e-6 * size;
            let name = &changed[i].name;
            assert_eq!(counts, !vanishes(name), "{:?}, {name}", network.config);
            let found = changed_logits(&network, &changed, &images);
            let error = distance(&found, &expected);
            assert!(
                error <= 1e-3 * distance(&expected, &base) + 1e-5 * size,
                "{:?}, {} changed: {error:e}",
                network.config,
                changed[i].name
            );
        }
        assert!(distance(&found, &base) <= 1e-4 * size);
    }
}

fn changed_logits(
    network: &Network,
    tensors: &[crate::common::files::Tensor],
    images: &[f32],
) -> Vec<f32> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights");
    crate::common::files::safetensors(&path, tensors);
    let preprocess = mixfold_model::Preprocess::IMAGENET;
    let config = network.config.clone();
    let model = Loader::new().load_config("changed", config, preprocess, path).unwrap();
    logits(&model, images, 1)
}
