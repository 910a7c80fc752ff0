//! The logits before and after, and the file, bit by bit.

use std::fs;
use std::path::{Path, PathBuf};

use mixfold_model::checkpoint::Dtype;
use mixfold_model::{
    AttentionOnlyConfig, Checkpoint, Config, FfOnlyConfig, GMixerConfig, Gelu, GmlpConfig,
    MixerConfig, ResMlpConfig, Trunk, VitConfig,
};
use zip::CompressionMethod;

use crate::common::files::{self, fixture};
use crate::common::{GOLDEN, images, logits, tensors};
use crate::{converted, load, table};

/// A file whose tensors are to come out under the names and in the shapes of another one.
struct Case {
    input: PathBuf,
    usual: PathBuf,
    config: Config,
    gelu: Gelu,
}

const fn trunk(side: usize, patch: usize, channels: usize) -> Trunk {
    Trunk { image: [side; 2], image_channels: 3, patch, channels, depth: 2 }
}

/// Every naming, and every format; `directory` is for files that are no fixtures.
fn cases(directory: &Path) -> Vec<Case> {
    let vit = VitConfig { trunk: trunk(32, 8, 24), heads: 3, hidden: 96, distilled: false };
    let resmlp = ResMlpConfig { trunk: trunk(20, 4, 20), hidden: 80 };
    let ff_only = FfOnlyConfig {
        trunk: trunk(16, 4, 12),
        channel_hidden: 48,
        token_hidden: 68,
        grid: [4, 4],
    };
    let attention = AttentionOnlyConfig { trunk: trunk(16, 4, 24), heads: 3, grid: [4, 4] };
    let gmlp = GmlpConfig { trunk: trunk(20, 4, 12), hidden: 72 };
    let gmixer = GMixerConfig { trunk: trunk(20, 4, 12), token_hidden: 12, channel_hidden: 48 };
    let mixer = MixerConfig { trunk: trunk(32, 4, 32), token_hidden: 16, channel_hidden: 128 };
    let case = |input: &str, usual: &str, config: Config| {
        let gelu = if input.starts_with("flax") { Gelu::Tanh } else { Gelu::Erf };
        Case { input: fixture(input), usual: fixture(usual), config, gelu }
    };
    let same = |name: &str, config: Config| case(name, name, config);
    let mut cases = vec![
        same("timm_mixer_small.safetensors", mixer.into()),
        same("timm_vit_small.safetensors", vit.into()),
        case("flax_vit_small.npz", "timm_vit_small.safetensors", vit.into()),
        same("timm_deit_distilled_small.safetensors", vit.distilled().into()),
        same("timm_resmlp_small.safetensors", resmlp.into()),
        case("facebook_resmlp_small.safetensors", "timm_resmlp_small.safetensors", resmlp.into()),
        same("timm_gmlp_small.safetensors", gmlp.into()),
        same("timm_gmixer_small.safetensors", gmixer.into()),
        same("ff_only_small.safetensors", ff_only.into()),
        same(
            "ff_only_interpolated_small.safetensors",
            FfOnlyConfig { grid: [8, 8], ..ff_only }.into(),
        ),
        same("attention_only_small.safetensors", attention.into()),
    ];
    for name in ["bare", "wrapped", "wrapped_protocol4", "views", "f16", "bf16"] {
        let input = format!("pth/{name}.pth");
        cases.push(case(&input, "ff_only_small.safetensors", ff_only.into()));
    }
    let resmlp_pth = directory.join("resmlp.pth");
    let facebook = fixture("facebook_resmlp_small.safetensors");
    fs::write(&resmlp_pth, crate::pth::of_training(&facebook)).unwrap();
    let usual = fixture("timm_resmlp_small.safetensors");
    cases.push(Case { input: resmlp_pth, usual, config: resmlp.into(), gelu: Gelu::Erf });

    let usual = tensors(&GOLDEN, 5);
    let path = |name: &str| directory.join(name);
    files::safetensors(&path("golden"), &usual);
    let flax: Vec<_> = usual.iter().map(files::flax).collect();
    let legacy: Vec<_> = usual.iter().map(files::legacy).collect();
    files::npz(&path("flax.npz"), &flax, CompressionMethod::Deflated);
    files::npz(&path("legacy.npz"), &legacy, CompressionMethod::Stored);
    files::npz(&path("usual.npz"), &usual, CompressionMethod::Stored);
    files::safetensors(&path("flax.safetensors"), &flax);
    for (name, gelu) in [
        ("flax.npz", Gelu::Tanh),
        ("legacy.npz", Gelu::Tanh),
        ("flax.safetensors", Gelu::Tanh),
        ("usual.npz", Gelu::Erf),
    ] {
        let (input, usual) = (path(name), path("golden"));
        cases.push(Case { input, usual, config: GOLDEN.into(), gelu });
    }
    cases
}

#[test]
fn same_logits_and_the_usual_names() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("output");
    for Case { input, usual, config, gelu } in cases(directory.path()) {
        let found = converted(&input, &config, &output);
        let name = input.display();
        assert_eq!(found.gelu, gelu, "{name}");
        let expected: Vec<_> =
            table(&usual).into_iter().map(|(name, _, shape)| (name, Dtype::F32, shape)).collect();
        assert_eq!(table(&output), expected, "{name}");
        // The usual GELU of either file, and each of the two.
        for choice in [None, Some(Gelu::Erf), Some(Gelu::Tanh)] {
            let (before, after) = (load(&input, &config, choice), load(&output, &config, choice));
            assert_eq!((before.gelu(), after.gelu()), (choice.unwrap_or(gelu), before.gelu()));
            let images = images(&before, 2);
            let [before, after] = [before, after].map(|model| logits(&model, &images, 2));
            assert!(before.iter().all(|logit| logit.is_finite()));
            let bits = |logits: &[f32]| logits.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&before), bits(&after), "{name}, {choice:?}");
        }
    }
}

/// Values under the usual names are those that another program wrote.
#[test]
fn same_values_as_the_twin() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("output");
    let exact = |case: &Case| !case.input.to_str().unwrap().contains("f16");
    for Case { input, usual, config, .. } in cases(directory.path()).into_iter().filter(exact) {
        converted(&input, &config, &output);
        let [mut found, mut expected] = [&output, &usual].map(|p| Checkpoint::open(p).unwrap());
        let [mut a, mut b] = [Vec::new(), Vec::new()];
        for (name, ..) in table(&usual) {
            found.read_f32(&name, &mut a).unwrap();
            expected.read_f32(&name, &mut b).unwrap();
            assert_eq!(a, b, "{}: {name}", input.display());
        }
    }
}

/// A file that has been converted stays as it is, be it in its own place.
#[test]
fn twice_is_once() {
    let directory = tempfile::tempdir().unwrap();
    let [once, twice] = ["once", "twice"].map(|name| directory.path().join(name));
    for Case { input, config, gelu, .. } in cases(directory.path()) {
        let first = converted(&input, &config, &once);
        let bytes = fs::read(&once).unwrap();
        let second = converted(&once, &config, &twice);
        assert_eq!((second.gelu, second.tensors), (gelu, first.tensors));
        assert!(fs::read(&twice).unwrap() == bytes, "{}", input.display());
        converted(&once, &config, &once);
        assert!(fs::read(&once).unwrap() == bytes, "{}", input.display());
    }
}
