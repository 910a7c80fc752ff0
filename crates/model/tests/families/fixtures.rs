//! Small models of other libraries with their logits: `tests/fixtures/README.md`.

use mixfold_gemm::Context;
use mixfold_model::{
    AttentionOnlyConfig, Checkpoint, Config, FfOnlyConfig, GMixerConfig, Gelu, GmlpConfig, Loader,
    Preprocess, ResMlpConfig, Trunk, VitConfig,
};

use crate::common::files::{self, Tensor, fixture};
use crate::common::{distance, families::Network, largest, logits};

const CLASSES: usize = 5;

const fn trunk(side: usize, patch: usize, channels: usize) -> Trunk {
    Trunk { image: [side; 2], image_channels: 3, patch, channels, depth: 2 }
}

/// Name of the weights, of inputs and logits, and the sizes.
fn fixtures() -> Vec<(&'static str, &'static str, Config)> {
    let vit = VitConfig { trunk: trunk(32, 8, 24), heads: 3, hidden: 96, distilled: false };
    let resmlp = ResMlpConfig { trunk: trunk(20, 4, 20), hidden: 80 };
    let ff_only = FfOnlyConfig {
        trunk: trunk(16, 4, 12),
        channel_hidden: 48,
        token_hidden: 68,
        grid: [4, 4],
    };
    let attention_only = AttentionOnlyConfig { trunk: trunk(16, 4, 24), heads: 3, grid: [4, 4] };
    let gmixer = GMixerConfig { trunk: trunk(20, 4, 12), token_hidden: 12, channel_hidden: 48 };
    vec![
        ("timm_vit_small.safetensors", "timm_vit_small", vit.into()),
        ("flax_vit_small.npz", "timm_vit_small", vit.into()),
        (
            "timm_deit_distilled_small.safetensors",
            "timm_deit_distilled_small",
            vit.distilled().into(),
        ),
        ("timm_resmlp_small.safetensors", "timm_resmlp_small", resmlp.into()),
        ("facebook_resmlp_small.safetensors", "timm_resmlp_small", resmlp.into()),
        (
            "timm_gmlp_small.safetensors",
            "timm_gmlp_small",
            GmlpConfig { trunk: trunk(20, 4, 12), hidden: 72 }.into(),
        ),
        ("timm_gmixer_small.safetensors", "timm_gmixer_small", gmixer.into()),
        ("ff_only_small.safetensors", "ff_only_small", ff_only.into()),
        (
            "ff_only_interpolated_small.safetensors",
            "ff_only_interpolated_small",
            FfOnlyConfig { grid: [8, 8], ..ff_only }.into(),
        ),
        ("attention_only_small.safetensors", "attention_only_small", attention_only.into()),
    ]
}

fn read(file: &mut Checkpoint, name: &str) -> Tensor {
    let shape = file.entry(name).unwrap().shape().to_vec();
    let mut values = Vec::new();
    file.read_f32(name, &mut values).unwrap();
    Tensor::new(name, &shape, values)
}

/// The logits on every instruction set, against those of the other library, which were computed in f64
/// and rounded once. The bound is a multiple of what the same formulas lose in f32 with plain loops.
#[test]
fn logits_of_other_libraries() {
    for (weights, io, config) in fixtures() {
        let mut file = Checkpoint::open(fixture(&format!("{io}_io.safetensors"))).unwrap();
        let (images, expected) = (read(&mut file, "x"), read(&mut file, "y"));
        let batch = images.shape[0];
        assert_eq!(expected.shape, [batch, CLASSES]);
        let network = Network::new(&config, CLASSES).unwrap();
        let mut usual = Checkpoint::open(fixture(&format!("{io}.safetensors"))).unwrap();
        let names: Vec<String> = usual.names().map(str::to_owned).collect();
        let tensors: Vec<Tensor> = names.iter().map(|name| read(&mut usual, name)).collect();
        let exact = network.logits::<f64>(&tensors, &images.values, batch);
        let plain = network.logits::<f32>(&tensors, &images.values, batch);
        let (plain, size) = (distance(&plain, &exact), largest(&exact));
        let rounding = f64::from(f32::EPSILON) * size;
        assert!(distance(&expected.values, &exact) <= rounding, "{io}: the library's own logits");
        for isa in mixfold_simd::env::isas_under_test() {
            // The exact GELU whatever the names.
            let loader = Loader::new().context(Context::with_isa(isa)).gelu(Gelu::Erf);
            let model = loader
                .load_config("fixture", config.clone(), Preprocess::IMAGENET, fixture(weights))
                .unwrap();
            let error = distance(&logits(&model, &images.values, batch), &exact);
            println!("{weights}, {isa}: {error:e}, plain loops {plain:e}, of {size}");
            assert!(error <= 4.0 * (plain + rounding), "{weights}, {isa}: {error:e} of {size}");
        }
    }
}

/// Flax's names mean the tanh GELU, all others the exact one, unless it is said otherwise.
#[test]
fn the_usual_gelu() {
    for (weights, _, config) in fixtures() {
        let model = Loader::new()
            .load_config("fixture", config, Preprocess::IMAGENET, fixture(weights))
            .unwrap();
        let expected = if weights.starts_with("flax") { Gelu::Tanh } else { Gelu::Erf };
        assert_eq!(model.gelu(), expected, "{weights}");
    }
}

/// A matrix split in heads is not taken for one that is split otherwise.
#[test]
fn other_heads_in_flax() {
    let (weights, _, config) = fixtures().remove(1);
    let Config::Vit(config) = config else { panic!("{config:?}") };
    let config = VitConfig { heads: 4, ..config };
    let error = Loader::new()
        .load_config("fixture", config, Preprocess::IMAGENET, fixture(weights))
        .unwrap_err()
        .to_string();
    for part in ["query/kernel", "[24, 3, 8]", "[24, 4, 6]"] {
        assert!(error.contains(part), "{error}");
    }
}

/// The names of a whole file are as many as the usual ones, but for the matrices in pieces.
#[test]
fn files_are_whole() {
    for (weights, io, _) in fixtures() {
        let count = |name: &str| Checkpoint::open(fixture(name)).unwrap().names().count();
        let pieces = if weights.starts_with("flax") { 2 * 2 * 2 } else { 0 };
        assert_eq!(count(weights), count(&format!("{io}.safetensors")) + pieces, "{weights}");
        assert!(files::fixture(weights).is_file());
    }
}
