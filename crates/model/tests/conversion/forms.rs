//! RepMLPNets and ResNets, which stay in their form.

use std::fs;
use std::path::Path;

use mixfold_model::checkpoint::{Dtype, write_safetensors};
use mixfold_model::{Checkpoint, Config, Form, Gelu, RepMlpNetConfig, RepMlpNetStage, form};
use zip::CompressionMethod;

use crate::common::files::{Tensor, fixture, npz};
use crate::common::two_forms;
use crate::common::{images, logits, resnet};
use crate::{converted, load, pth, table};

fn small() -> RepMlpNetConfig {
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

/// Converts a safetensors file of `f32` with a number of updates put to a norm, if it has norms, as it is
/// and in the other formats.
fn stays(source: &Path, config: &Config, expected: Form, norm: Option<&str>) {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    // Numbers of updates are integers.
    let mut file = Checkpoint::open(source).unwrap();
    let mut tensors = table(source);
    tensors.retain(|(name, ..)| !name.ends_with("num_batches_tracked"));
    let of_floats = tensors.clone();
    let updates = norm.map(|norm| format!("{norm}.num_batches_tracked"));
    let integer = |name: &String| (name.clone(), Dtype::Other("I64".into()), vec![]);
    tensors.extend(updates.iter().map(integer));
    write_safetensors(path("input"), tensors, &file.metadata().clone(), |name, bytes| {
        match Some(name) == updates.as_deref() {
            true => bytes.extend(7_i64.to_le_bytes()),
            false => file.read_bytes(name, bytes)?,
        }
        Ok::<_, mixfold_model::CheckpointError>(())
    })
    .unwrap();
    fs::write(path("input.pth"), pth::of_training(&path("input"))).unwrap();
    let arrays: Vec<_> = of_floats
        .iter()
        .map(|(name, _, shape)| {
            let mut values = Vec::new();
            file.read_f32(name, &mut values).unwrap();
            Tensor::new(name, shape, values)
        })
        .collect();
    npz(&path("input.npz"), &arrays, CompressionMethod::Stored);

    for input in ["input", "input.pth", "input.npz"] {
        let found = converted(&path(input), config, &path("output"));
        assert_eq!(found.gelu, Gelu::Erf);
        let kept = updates.as_deref().filter(|_| input != "input.npz");
        assert_eq!(found.tensors, of_floats.len() + usize::from(kept.is_some()));
        let mut output = Checkpoint::open(path("output")).unwrap();
        assert_eq!(form(&output), Some(expected));
        if input != "input.npz" {
            assert_eq!(table(&path("output")), table(&path("input")));
        }
        if let Some(updates) = kept {
            let mut bytes = Vec::new();
            output.read_bytes(updates, &mut bytes).unwrap();
            assert_eq!(bytes, 7_i64.to_le_bytes());
        }
        for (name, ..) in &of_floats {
            let [mut before, mut after] = [Vec::new(), Vec::new()];
            file.read_bytes(name, &mut before).unwrap();
            output.read_bytes(name, &mut after).unwrap();
            assert!(before == after, "{input}: {name}");
        }
        let [before, after] = [input, "output"].map(|name| load(&path(name), config, None));
        let images = images(&before, 1);
        assert_eq!(logits(&before, &images, 1), logits(&after, &images, 1));

        converted(&path("output"), config, &path("again"));
        assert!(fs::read(path("again")).unwrap() == fs::read(path("output")).unwrap());
    }
}

#[test]
fn repmlpnets() {
    let config = small().into();
    for (name, form) in [
        ("repmlpnet_small_train.safetensors", Form::Train),
        ("repmlpnet_small_deploy.safetensors", Form::Deploy),
    ] {
        stays(&fixture(name), &config, form, Some("head_norm"));
    }
}

/// With RepMLPs of both kinds, and with none.
#[test]
fn resnets() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights");
    for config in [resnet::small(), resnet::plain()] {
        for (form, norm) in [(Form::Train, Some("stage1.0.conv2.bn")), (Form::Deploy, None)] {
            two_forms::write(&path, &config, 5, form, 3);
            stays(&path, &config.clone().into(), form, norm);
        }
    }
}
