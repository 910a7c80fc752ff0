//! Files whose tensors are not the model's, and damaged ones.

use std::path::Path;

use mixfold_model::checkpoint::Dtype;
use mixfold_model::{
    Checkpoint, CheckpointError, Config, Form, Loader, Mismatch, Misshapen, Model, ModelError,
    Preprocess, registry,
};
use zip::CompressionMethod::Stored;

use crate::common::files::{self, Tensor, fixture};
use crate::common::{GOLDEN, tensors};

fn load(path: &Path) -> Result<Model, ModelError> {
    Loader::new().load_config("golden", GOLDEN, Preprocess::IMAGENET, path)
}

/// Loads a file with these tensors, some of which have another type.
fn refuse(tensors: &[Tensor], change: impl Fn(Vec<u8>) -> Vec<u8>) -> (Mismatch, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights");
    files::safetensors(&path, tensors);
    let bytes = change(std::fs::read(&path).unwrap());
    std::fs::write(&path, bytes).unwrap();
    let error = load(&path).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("golden") && text.contains(path.to_str().unwrap()), "{text}");
    let ModelError::Mismatch { mismatch, model, path: of } = error else { panic!("{error}") };
    assert_eq!((&model[..], of), ("golden", path));
    (*mismatch, text)
}

fn same(bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

#[test]
fn all_differences_are_in_one_error() {
    let mut tensors = tensors(&GOLDEN, 3);
    tensors.retain(|t| t.name != "norm.bias" && t.name != "blocks.1.mlp_tokens.fc2.weight");
    tensors.push(Tensor::new("extra.weight", &[2], vec![0.0; 2]));
    tensors.push(Tensor::new("blocks.2.norm1.bias", &[6], vec![0.0; 6]));
    for tensor in &mut tensors {
        match &tensor.name[..] {
            // The same number of elements, more, and another rank.
            "blocks.0.mlp_tokens.fc1.weight" => tensor.shape = vec![6, 3],
            "stem.proj.bias" => *tensor = Tensor::new("stem.proj.bias", &[7], vec![0.0; 7]),
            "head.weight" => tensor.shape = vec![18],
            _ => {}
        }
    }
    let (mismatch, text) = refuse(&tensors, |mut bytes| {
        let find = |bytes: &[u8], text: &str| {
            bytes.windows(text.len()).position(|part| part == text.as_bytes()).unwrap()
        };
        for name in ["norm.weight", "head.bias"] {
            let entry = find(&bytes, &format!("\"{name}\":{{"));
            let dtype = entry + find(&bytes[entry..], "F32");
            bytes[dtype..][..3].copy_from_slice(b"I32");
        }
        bytes
    });
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let misshapen = |name: &str, expected: &[usize], found: &[usize]| Misshapen {
        name: name.to_owned(),
        expected: expected.to_vec(),
        found: found.to_vec(),
    };
    let integer = || Dtype::Other("I32".to_owned());
    let expected = Mismatch {
        missing: names(&["blocks.1.mlp_tokens.fc2.weight", "norm.bias"]),
        unexpected: names(&["blocks.2.norm1.bias", "extra.weight"]),
        misshapen: vec![
            misshapen("stem.proj.bias", &[6], &[7]),
            misshapen("blocks.0.mlp_tokens.fc1.weight", &[3, 6], &[6, 3]),
            misshapen("head.weight", &[3, 6], &[18]),
        ],
        mistyped: vec![("norm.weight".into(), integer()), ("head.bias".into(), integer())],
    };
    assert_eq!(mismatch, expected);
    for part in [
        "2 missing: blocks.1.mlp_tokens.fc2.weight, norm.bias",
        "2 unexpected: blocks.2.norm1.bias, extra.weight",
        "3 shape: stem.proj.bias [7] instead of [6]",
        "blocks.0.mlp_tokens.fc1.weight [6, 3] instead of [3, 6]",
        "head.weight [18] instead of [3, 6]",
        "2 type: norm.weight of type I32, head.bias of type I32",
    ] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

#[test]
fn every_tensor_is_needed_and_none_is_ignored() {
    let all = tensors(&GOLDEN, 3);
    for left_out in &all {
        let mut tensors = all.clone();
        tensors.retain(|tensor| tensor.name != left_out.name);
        // A head without bias tells no number of classes: its weight may be misshapen then.
        let (mismatch, _) = refuse(&tensors, same);
        assert_eq!(mismatch.missing, [left_out.name.as_str()]);
        assert!(mismatch.unexpected.is_empty() && mismatch.mistyped.is_empty());
        assert_eq!(mismatch.misshapen.is_empty(), left_out.name != "head.bias");
    }
    let (mismatch, _) = refuse(&[], same);
    let names: Vec<_> = all.iter().map(|tensor| tensor.name.clone()).collect();
    assert_eq!(mismatch, Mismatch { missing: names, ..Mismatch::default() });
}

/// Names and shapes are the file's: someone who wants to repair it looks for them there.
#[test]
fn flax_files_are_described_in_their_own_names_and_layouts() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights.npz");
    let mut flax: Vec<_> = tensors(&GOLDEN, 3).iter().map(files::flax).collect();
    flax.retain(|tensor| tensor.name != "MixerBlock_1/LayerNorm_0/scale");
    for tensor in &mut flax {
        if tensor.name == "stem/kernel" {
            tensor.shape = vec![3, 8, 8, 6];
        }
    }
    // Both conventions in one file.
    flax.extend(tensors(&GOLDEN, 3).into_iter().filter(|tensor| tensor.name == "norm.bias"));
    files::npz(&path, &flax, Stored);
    let ModelError::Mismatch { mismatch, .. } = load(&path).unwrap_err() else { panic!() };
    let Mismatch { missing, unexpected, misshapen, mistyped } = *mismatch;
    assert_eq!(missing, ["MixerBlock_1/LayerNorm_0/scale"]);
    assert_eq!(unexpected, ["norm.bias"]);
    let (expected, found) = (vec![8, 8, 3, 6], vec![3, 8, 8, 6]);
    assert_eq!(misshapen, [Misshapen { name: "stem/kernel".into(), expected, found }]);
    assert!(mistyped.is_empty());
}

#[test]
fn another_number_of_classes_is_no_difference() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights");
    for classes in [1, 2, 7, 1001] {
        files::safetensors(&path, &tensors(&GOLDEN, classes));
        let mut model = load(&path).unwrap();
        assert_eq!(model.classes(), classes);
        assert_eq!(model.parameters(), Config::from(GOLDEN).parameters(classes, Form::Deploy));
        assert_eq!(model.labels(), None);
        assert_eq!(model.label(0), "class 0");

        let labels = directory.path().join("labels.txt");
        let names: String = (0..classes).map(|class| format!("kind {class}\n")).collect();
        std::fs::write(&labels, &names).unwrap();
        model.read_labels(&labels).unwrap();
        assert_eq!(model.label(classes - 1), format!("kind {}", classes - 1));
        assert_eq!(model.label(classes), format!("class {classes}"));
        std::fs::write(&labels, names + "one more\n").unwrap();
        let error = model.read_labels(&labels).unwrap_err();
        assert!(matches!(error, ModelError::Labels(_)));
        let counts = format!("{} names for {classes} classes", classes + 1);
        assert!(error.to_string().contains(&counts), "{error}");
        // The names that were there stay.
        assert_eq!(model.label(0), "kind 0");
    }
    files::safetensors(&path, &tensors(&GOLDEN, 0));
    let error = load(&path).unwrap_err();
    assert!(matches!(&error, ModelError::Config(_)), "{error}");
    assert!(error.to_string().contains("no class"), "{error}");
}

#[test]
fn unknown_models_are_answered_with_those_there_are() {
    let error = Model::load("mixer_b16_225", fixture("timm_mixer_small.safetensors")).unwrap_err();
    assert!(matches!(&error, ModelError::Unknown { name } if name == "mixer_b16_225"));
    let text = error.to_string();
    assert!(text.contains("mixer_b16_225"), "{text}");
    for model in registry::models() {
        assert!(text.contains(model.name), "{text}");
    }
}

#[test]
fn damaged_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights");
    let bytes = std::fs::read(fixture("timm_mixer_small.safetensors")).unwrap();
    let archive = std::fs::read(fixture("flax_mixer_tiny.npz")).unwrap();
    for bytes in [&bytes, &archive] {
        for length in [0, 1, 7, 8, 9, 100, bytes.len() / 2, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let error = Model::detect(&path).unwrap_err();
            assert!(matches!(error, ModelError::Checkpoint(_)), "{length} bytes: {error}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            assert!(matches!(load(&path), Err(ModelError::Checkpoint(_))), "{length} bytes");
        }
    }
    let absent = directory.path().join("absent");
    let error = Model::load("mixer_b16_224", &absent).unwrap_err();
    assert!(matches!(error, ModelError::Checkpoint(CheckpointError::Io { .. })), "{error}");
    assert!(Checkpoint::open(directory.path()).is_err(), "a folder");
}
