//! RepMLPNets, which stay in their form.

use std::fs;

use mixfold_model::checkpoint::{Dtype, write_safetensors};
use mixfold_model::{Checkpoint, Form, Gelu, RepMlpNetConfig, RepMlpNetStage, form};
use zip::CompressionMethod;

use crate::common::files::{Tensor, fixture, npz};
use crate::common::{images, logits};
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

#[test]
fn either_form_in_every_format() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let config = small().into();
    for (name, expected) in [
        ("repmlpnet_small_train.safetensors", Form::Train),
        ("repmlpnet_small_deploy.safetensors", Form::Deploy),
    ] {
        // With numbers of updates of one norm, which are integers.
        let mut file = Checkpoint::open(fixture(name)).unwrap();
        let mut tensors = table(&fixture(name));
        tensors.retain(|(name, ..)| !name.ends_with("num_batches_tracked"));
        let of_floats = tensors.clone();
        let updates = "head_norm.num_batches_tracked";
        tensors.push((updates.into(), Dtype::Other("I64".into()), vec![]));
        write_safetensors(path("input"), tensors, &file.metadata().clone(), |name, bytes| {
            match name {
                name if name == updates => bytes.extend(7_i64.to_le_bytes()),
                name => file.read_bytes(name, bytes)?,
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
            let found = converted(&path(input), &config, &path("output"));
            assert_eq!(found.gelu, Gelu::Erf);
            let is_whole = input != "input.npz";
            assert_eq!(found.tensors, of_floats.len() + usize::from(is_whole));
            let mut output = Checkpoint::open(path("output")).unwrap();
            assert_eq!(form(&output), Some(expected));
            if is_whole {
                assert_eq!(table(&path("output")), table(&path("input")));
                let mut bytes = Vec::new();
                output.read_bytes(updates, &mut bytes).unwrap();
                assert_eq!(bytes, 7_i64.to_le_bytes());
            }
            let [before, after] = [input, "output"].map(|name| load(&path(name), &config, None));
            let images = images(&before, 1);
            assert_eq!(logits(&before, &images, 1), logits(&after, &images, 1));

            converted(&path("output"), &config, &path("again"));
            assert!(fs::read(path("again")).unwrap() == fs::read(path("output")).unwrap());
        }
    }
}
