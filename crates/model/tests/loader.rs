//! Models by name, by their tensors, and from no file.

use std::path::{Path, PathBuf};

use mixfold_gemm::Context;
use mixfold_model::checkpoint::Dtype;
use mixfold_model::{Checkpoint, Gelu, Loader, Mismatch, ModelError, detect, registry};

fn embedded_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/mixer_fashion.safetensors")
}

/// A safetensors file of zeros.
fn safetensors(path: &Path, tensors: &[(String, Vec<usize>)]) {
    let (mut header, mut end) = (serde_json::Map::new(), 0);
    for (name, shape) in tensors {
        let begin = end;
        end += 4 * shape.iter().product::<usize>();
        let info =
            serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [begin, end]});
        header.insert(name.clone(), info);
    }
    let header = serde_json::Value::from(header).to_string();
    let length = (header.len() as u64).to_le_bytes();
    std::fs::write(path, [&length, header.as_bytes(), &vec![0; end]].concat()).unwrap();
}

/// Names and shapes of the embedded model's tensors.
fn tensors() -> Vec<(String, Vec<usize>)> {
    let file = Checkpoint::open(embedded_file()).unwrap();
    file.entries().map(|(name, entry)| (name.to_owned(), entry.shape().to_vec())).collect()
}

#[test]
fn random_weights_give_ordinary_activations_and_the_same_logits() {
    let loader = Loader::new();
    let model = loader.random("mixer_s32_224", 1).unwrap();
    let info = registry::model("mixer_s32_224").unwrap();
    assert_eq!(model.input(), [3, 224, 224]);
    assert_eq!((model.classes(), model.gelu()), (1000, Gelu::Erf));
    assert_eq!((model.parameters(), model.macs()), (info.parameters(), info.macs()));

    let images: Vec<f32> = (0..3 * 224 * 224).map(|i| (i % 251) as f32 / 125.0 - 1.0).collect();
    let mut logits = vec![0.0; 1000];
    let mut layers = Vec::new();
    let mut plan = model.plan(1).unwrap();
    plan.run_observed(&images, &mut logits, |layer, _, _, values| {
        let power = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / values.len() as f64;
        assert!((1e-3..1e3).contains(&power), "{layer}: {power}");
        layers.push(layer);
    })
    .unwrap();
    assert_eq!(layers, model.layers());

    let mut again = vec![0.0; 1000];
    let same = Loader::new().context(Context::new().sequential()).random("mixer_s32_224", 1);
    same.unwrap().plan(1).unwrap().run(&images, &mut again).unwrap();
    assert_eq!(logits, again);
    let other = loader.random("mixer_s32_224", 2).unwrap();
    other.plan(1).unwrap().run(&images, &mut again).unwrap();
    assert_ne!(logits, again);
}

#[test]
fn unknown_names() {
    for error in [
        Loader::new().random("mixer_x", 0).unwrap_err(),
        Loader::new().load("mixer_x", embedded_file()).unwrap_err(),
    ] {
        assert!(matches!(&error, ModelError::Unknown { name } if name == "mixer_x"), "{error}");
    }
}

#[test]
fn detection_compares_all_tensors_and_takes_the_classes_of_the_head() {
    let file = Checkpoint::open(embedded_file()).unwrap();
    let info = detect(&file).unwrap();
    assert_eq!((info.name, info.classes), (registry::DEFAULT, 10));
    for (name, entry) in file.entries() {
        let size = match entry.dtype() {
            Dtype::F16 => 2,
            Dtype::F32 => 4,
            other => panic!("{name} has type {other}"),
        };
        assert_eq!(entry.bytes(), size * entry.elements() as u64, "{name}");
    }
    let stored: usize = file.entries().map(|(_, entry)| entry.elements()).sum();
    assert_eq!(info.parameters(), stored as u64);

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights.safetensors");
    let detect_written = |tensors: &[(String, Vec<usize>)]| {
        safetensors(&path, tensors);
        detect(&Checkpoint::open(&path).unwrap())
    };

    let mut more_classes = tensors();
    for (name, shape) in &mut more_classes {
        if name.starts_with("head.") {
            shape[0] = 12;
        }
    }
    let found = detect_written(&more_classes).unwrap();
    assert_eq!(found.classes, 12);
    assert_eq!(found.parameters(), info.parameters() + 2 * 81);
    assert_eq!(found.macs(), info.macs() + 2 * 80);

    let mut without = tensors();
    without.retain(|(name, _)| name != "blocks.2.norm2.bias");
    without.push(("extra".into(), vec![2]));
    let Err(ModelError::Mismatch { mismatch, model, .. }) = detect_written(&without) else {
        panic!("a tensor is missing");
    };
    assert_eq!(model, registry::DEFAULT);
    let Mismatch { missing, unexpected, misshapen, mistyped } = *mismatch;
    assert_eq!((missing, unexpected), (vec!["blocks.2.norm2.bias".into()], vec!["extra".into()]));
    assert!(misshapen.is_empty() && mistyped.is_empty());

    let mut shallow = tensors();
    shallow.retain(|(name, _)| !name.starts_with("blocks.3."));
    let error = detect_written(&shallow).unwrap_err();
    assert!(matches!(error, ModelError::Undetected { .. }), "{error}");

    let huge = |name: &str, shape: &[usize]| (name.to_owned(), shape.to_vec());
    let error = detect_written(&[
        huge("stem.proj.weight", &[0, 1, usize::MAX / 2, 1]),
        huge("blocks.0.mlp_tokens.fc1.weight", &[0, usize::MAX / 2]),
        huge("blocks.0.mlp_channels.fc1.weight", &[0, 1]),
    ])
    .unwrap_err();
    assert!(matches!(error, ModelError::Undetected { .. }), "{error}");
}
