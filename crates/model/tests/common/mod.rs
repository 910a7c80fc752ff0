//! What the suites share: Mixers with reproducible weights, as every kind of checkpoint, and the
//! reference to compare with.

#![allow(dead_code, reason = "each suite uses its part")]

pub(crate) mod agreement;
pub(crate) mod bits;
pub(crate) mod bound;
pub(crate) mod families;
pub(crate) mod files;
pub(crate) mod layers;
pub(crate) mod repmlp;
pub(crate) mod repmlpnet;
pub(crate) mod resnet;
pub(crate) mod two_forms;

use mixfold_gemm::Context;
use mixfold_model::{Gelu, Loader, MixerConfig, Model, Preprocess, Trunk};
use mixfold_reference::activation::Activation;
use mixfold_reference::{fill, mixer as reference};

use files::Tensor;

/// A Mixer's sizes, small ones unless told otherwise: those of the golden vectors.
pub(crate) const GOLDEN: MixerConfig = MixerConfig {
    trunk: Trunk { image: [16, 24], image_channels: 3, patch: 8, channels: 6, depth: 2 },
    token_hidden: 3,
    channel_hidden: 12,
};

/// Those with other sizes of the trunk.
pub(crate) const fn golden(trunk: Trunk) -> MixerConfig {
    MixerConfig { trunk, ..GOLDEN }
}

/// The same sizes for the reference.
pub(crate) fn reference_config(
    config: &MixerConfig,
    classes: usize,
    gelu: Gelu,
) -> reference::MixerConfig {
    let Trunk { image: [height, width], image_channels, patch, channels, depth } = config.trunk;
    reference::MixerConfig {
        height,
        width,
        in_channels: image_channels,
        patch,
        channels,
        token_hidden: config.token_hidden,
        channel_hidden: config.channel_hidden,
        depth,
        classes,
        eps: 1e-6,
        activation: match gelu {
            Gelu::Erf => Activation::GeluErf,
            Gelu::Tanh => Activation::GeluTanh,
        },
    }
}

/// All tensors under timm's names, in timm's order, with the contents of [`fill`].
pub(crate) fn tensors(config: &MixerConfig, classes: usize) -> Vec<Tensor> {
    let (mut weights, mut tensors) = (fill::Weights::default(), Vec::new());
    let config = reference_config(config, classes, Gelu::Erf);
    reference::Mixer::<f32>::new(config, |name, shape| {
        let values: Vec<f32> = weights.tensor(name, shape);
        tensors.push(Tensor::new(name, shape, values.clone()));
        values
    });
    tensors
}

/// A context, a name for it, and the kind of arithmetic: bits are the same within a kind.
pub(crate) struct Case {
    pub ctx: Context,
    pub name: String,
    pub fused: bool,
}

/// Every instruction set on the calling thread and on pools of 1, 2, 3 and 5 threads.
pub(crate) fn contexts() -> Vec<Case> {
    let mut cases = Vec::new();
    for isa in mixfold_simd::env::isas_under_test() {
        let ctx = Context::with_isa(isa);
        let fused = isa.name() != "portable";
        let name = format!("{isa}, sequential");
        cases.push(Case { ctx: ctx.sequential(), name, fused });
        #[cfg(feature = "rayon")]
        for threads in [1, 2, 3, 5] {
            let pool = mixfold_gemm::Rayon::with_threads(threads).unwrap();
            let name = format!("{isa}, {threads} threads");
            cases.push(Case { ctx: ctx.clone().with_pool(pool), name, fused });
        }
    }
    cases
}

/// A Mixer of these sizes with the weights of [`tensors`].
pub(crate) fn load(loader: &Loader, config: MixerConfig, classes: usize) -> Model {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights");
    files::safetensors(&path, &tensors(&config, classes));
    loader.load_config("test", config, Preprocess::IMAGENET, path).unwrap()
}

/// Numbers as varied as those of photographs, in −1..1.
pub(crate) fn images(model: &Model, batch: usize) -> Vec<f32> {
    fill::input(batch * model.input().iter().product::<usize>())
}

/// Logits of a batch, with a plan of its own.
pub(crate) fn logits(model: &Model, images: &[f32], batch: usize) -> Vec<f32> {
    let mut logits = vec![f32::NAN; batch * model.classes()];
    model.plan(batch).unwrap().run(images, &mut logits).unwrap();
    logits
}

/// The largest magnitude.
pub(crate) fn largest<T: Copy + Into<f64>>(values: &[T]) -> f64 {
    values.iter().fold(0.0, |largest, &value| largest.max(value.into().abs()))
}

/// The largest difference.
pub(crate) fn distance<A: Copy + Into<f64>, B: Copy + Into<f64>>(a: &[A], b: &[B]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |worst, (&a, &b)| {
        let distance = (a.into() - b.into()).abs();
        if distance.is_nan() { f64::INFINITY } else { worst.max(distance) }
    })
}
