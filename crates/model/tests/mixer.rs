//! Whole Mixers against stored outputs.

use std::path::PathBuf;

use mixfold_gemm::Context;
use mixfold_model::{Checkpoint, Gelu, Loader, MixerConfig, Preprocess};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn tensor(file: &mut Checkpoint, name: &str) -> (Vec<usize>, Vec<f32>) {
    let mut values = Vec::new();
    file.read_f32(name, &mut values).unwrap();
    (file.entry(name).unwrap().shape().to_vec(), values)
}

#[test]
fn timm_fixture() {
    let config = MixerConfig {
        image: [32, 32],
        image_channels: 3,
        patch: 4,
        channels: 32,
        token_hidden: 16,
        channel_hidden: 128,
        depth: 2,
    };
    let mut io = Checkpoint::open(fixture("timm_mixer_small_io.safetensors")).unwrap();
    println!("{:?}", io.names().collect::<Vec<_>>());
    let (shape, x) = tensor(&mut io, "x");
    let (_, y) = tensor(&mut io, "y");
    for isa in mixfold_simd::env::isas_under_test() {
        let model = Loader::new()
            .context(Context::with_isa(isa))
            .load_mixer(
                "small",
                config,
                Preprocess::IMAGENET,
                fixture("timm_mixer_small.safetensors"),
            )
            .unwrap();
        let mut logits = vec![0.0; y.len()];
        model.plan(shape[0]).unwrap().run(&x, &mut logits).unwrap();
        let largest = y.iter().fold(0.0_f32, |a, y| a.max(y.abs()));
        let worst = y.iter().zip(&logits).fold(0.0_f32, |a, (y, l)| a.max((y - l).abs()));
        println!("{isa} {worst:e} of {largest}");
        assert!(worst <= 1e-5 * largest, "{isa}: {worst} of {largest}");
        assert_eq!(model.gelu(), Gelu::Erf);
    }
}
