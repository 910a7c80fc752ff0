//! Official models with stored outputs, which were computed in f64 from f32 weights.

use std::path::Path;

use mixfold_gemm::Context;
use mixfold_model::{
    Checkpoint, Form, Loader, Model, ModelError, Preprocess, RepMlpNetConfig, RepMlpNetStage,
};
use mixfold_simd::env;

use crate::common::files::fixture;

pub(crate) fn small() -> RepMlpNetConfig {
    let stages = [[8, 1, 1], [16, 1, 2], [24, 2, 4], [32, 1, 8]];
    let stages =
        stages.map(|[channels, depth, share_sets]| RepMlpNetStage { channels, depth, share_sets });
    RepMlpNetConfig {
        image: [64, 64],
        image_channels: 3,
        patch: 4,
        stages: stages.to_vec().into(),
        kernels: vec![1, 3].into(),
        gate_reduction: 4,
        ffn_expansion: 4,
    }
}

pub(crate) fn load(loader: &Loader, file: impl AsRef<Path>) -> Result<Model, ModelError> {
    let preprocess = Preprocess::IMAGENET;
    loader.load_config("small", small(), preprocess, file)
}

pub(crate) fn stored() -> (Vec<f32>, Vec<f32>) {
    let mut io = Checkpoint::open(fixture("repmlpnet_small_io.safetensors")).unwrap();
    let (mut x, mut y) = (Vec::new(), Vec::new());
    io.read_f32("x", &mut x).unwrap();
    io.read_f32("y", &mut y).unwrap();
    (x, y)
}

pub(crate) fn run(model: &Model, images: &[f32], batch: usize) -> Vec<f32> {
    let mut logits = vec![f32::NAN; batch * model.classes()];
    model.plan(batch).unwrap().run(images, &mut logits).unwrap();
    logits
}

#[test]
fn both_files_in_both_forms() {
    let (images, stored) = stored();
    let largest = stored.iter().fold(0.0, |most: f32, y| most.max(y.abs()));
    for isa in env::isas_under_test() {
        let loader = Loader::new().context(Context::with_isa(isa).sequential());
        for (file, form) in [
            ("repmlpnet_small_train.safetensors", Form::Train),
            ("repmlpnet_small_train.safetensors", Form::Deploy),
            ("repmlpnet_small_deploy.safetensors", Form::Deploy),
        ] {
            let model = load(&loader.clone().form(form), fixture(file)).unwrap();
            assert_eq!(model.form(), Some(form));
            for (i, (y, stored)) in run(&model, &images, 3).iter().zip(&stored).enumerate() {
                let error = (y - stored).abs() / largest;
                assert!(error <= 1e-5, "{isa}, {file}, {form}: {i}: {y} instead of {stored}");
            }
        }
    }
}
