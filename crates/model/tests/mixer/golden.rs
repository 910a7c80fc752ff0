//! The outputs of the official implementations in f64, from every kind of checkpoint.

use mixfold_gemm::Context;
use mixfold_model::{Gelu, Loader, Preprocess};
use mixfold_reference::fill;
use zip::CompressionMethod::{Deflated, Stored};

use crate::common::{self, GOLDEN, files};

/// Two images; timm's Mixer.
const ERF: [f64; 6] =
    [-0.050799989, 0.371133512, 0.008134209, -0.064618653, 0.383173191, 0.010147706];
/// The same; the official Flax Mixer.
const TANH: [f64; 6] =
    [-0.050830940, 0.371157000, 0.008142129, -0.064638571, 0.383185510, 0.010155546];

#[test]
fn every_kind_of_checkpoint_gives_the_golden_logits_in_the_same_bits() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let timm = common::tensors(&GOLDEN, 3);
    let flax: Vec<_> = timm.iter().map(files::flax).collect();
    let legacy: Vec<_> = timm.iter().map(files::legacy).collect();
    files::safetensors(&path("timm.safetensors"), &timm);
    files::safetensors(&path("flax.safetensors"), &flax);
    files::npz(&path("timm.npz"), &timm, Stored);
    files::npz(&path("flax.npz"), &flax, Stored);
    files::npz(&path("flax_compressed.npz"), &flax, Deflated);
    files::npz(&path("legacy.npz"), &legacy, Stored);

    let images: Vec<f32> = fill::input(2 * 3 * 16 * 24);
    for isa in mixfold_simd::env::isas_under_test() {
        for (gelu, golden) in [(Gelu::Erf, ERF), (Gelu::Tanh, TANH)] {
            let mut first = None;
            for (file, usual) in [
                ("timm.safetensors", Gelu::Erf),
                ("timm.npz", Gelu::Erf),
                ("flax.safetensors", Gelu::Tanh),
                ("flax.npz", Gelu::Tanh),
                ("flax_compressed.npz", Gelu::Tanh),
                ("legacy.npz", Gelu::Tanh),
            ] {
                let loader = Loader::new().context(Context::with_isa(isa));
                let load = |loader: &Loader| {
                    loader.load_config("golden", GOLDEN, Preprocess::IMAGENET, path(file)).unwrap()
                };
                assert_eq!(load(&loader).gelu(), usual, "{file}");
                let model = load(&loader.gelu(gelu));
                assert_eq!(model.gelu(), gelu, "{file}");
                assert_eq!((model.classes(), model.input()), (3, [3, 16, 24]), "{file}");

                let logits = common::logits(&model, &images, 2);
                for (logit, golden) in logits.iter().zip(golden) {
                    let error = (f64::from(*logit) - golden).abs();
                    let what = format!("{isa}, {file}, {gelu:?}");
                    assert!(error <= 1e-5 * golden.abs(), "{what}: {logit} instead of {golden}");
                }
                assert_eq!(&logits, first.get_or_insert_with(|| logits.clone()), "{isa}, {file}");
            }
        }
    }
}

/// A head of one class is `[1]` in the oldest checkpoints too, though lengths of 1 do not count.
#[test]
fn a_head_of_one_class() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("legacy.npz");
    let legacy: Vec<_> = common::tensors(&GOLDEN, 1).iter().map(files::legacy).collect();
    files::npz(&path, &legacy, Stored);
    let loader = Loader::new().gelu(Gelu::Erf);
    let model = loader.load_config("golden", GOLDEN, Preprocess::IMAGENET, path).unwrap();
    assert_eq!(model.classes(), 1);
    let images = common::images(&model, 2);
    let same = common::logits(&common::load(&loader, GOLDEN, 1), &images, 2);
    assert_eq!(common::logits(&model, &images, 2), same);
}
