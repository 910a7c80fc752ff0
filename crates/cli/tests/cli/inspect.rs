use std::fs;
use std::path::Path;

use mixfold_model::{Checkpoint, registry};
use tempfile::tempdir;

use crate::{Ran, fixture, keys, mixfold, pth, sorted, weights};

fn inspect(path: &Path, options: &[&str]) -> Ran {
    mixfold(["inspect", path.to_str().unwrap()].iter().chain(options))
}

const KEYS: [&str; 6] = ["path", "format", "model", "mismatch", "metadata", "tensors"];

#[test]
fn a_file_that_fits() {
    let json = inspect(&weights(), &["--json"]).json();
    assert_eq!(keys(&json), sorted(KEYS));
    assert_eq!((&json["format"], &json["mismatch"]), (&"safetensors".into(), &().into()));
    let info = registry::model("mixer_fashion").unwrap();
    let model = &json["model"];
    let expected = [
        "name",
        "form",
        "family",
        "input",
        "classes",
        "parameters",
        "macs",
        "folded_parameters",
        "folded_macs",
    ];
    assert_eq!(keys(model), sorted(expected));
    assert_eq!(model["name"], "mixer_fashion");
    assert_eq!(model["input"], serde_json::json!([1, 28, 28]));
    assert_eq!(model["parameters"], info.parameters());
    assert_eq!(model["macs"], info.macs());
    assert!(["form", "folded_parameters", "folded_macs"].iter().all(|key| model[key].is_null()));

    let file = Checkpoint::open(weights()).unwrap();
    let tensors = json["tensors"].as_array().unwrap();
    assert_eq!(tensors.len(), file.entries().count());
    for (tensor, (name, entry)) in tensors.iter().zip(file.entries()) {
        assert_eq!(keys(tensor), sorted(["name", "dtype", "shape", "bytes"]));
        assert_eq!(tensor["name"], name);
        assert_eq!(tensor["dtype"], entry.dtype().to_string());
        assert_eq!(tensor["shape"], serde_json::json!(entry.shape()));
        assert_eq!(tensor["bytes"], entry.bytes());
    }

    let text = inspect(&weights(), &[]).success();
    assert!(text.contains("mixer_fashion (MLP-Mixer)") && text.contains("226,046"), "{text}");
    assert!(file.names().all(|name| text.contains(name)), "{text}");
}

#[test]
fn files_that_do_not_fit() {
    for (name, format, reason) in [
        ("timm_mixer_small.safetensors", "safetensors", "2 blocks of 32 channels"),
        ("flax_mixer_tiny.npz", "npz", "24 patches are no square image"),
        ("arrays.npz", "npz", "not named like those of any family"),
        ("pth/wrapped.pth", "pth", "2 blocks of 12 channels"),
        ("pth/types.pth", "pth", "not named like those of any family"),
    ] {
        let json = inspect(&fixture(name), &["--json"]).json();
        assert_eq!(keys(&json), sorted(KEYS));
        assert_eq!((&json["format"], &json["model"]), (&format.into(), &().into()), "{name}");
        let mismatch = json["mismatch"].as_str().unwrap();
        assert!(mismatch.contains(reason), "{mismatch}");
        let text = inspect(&fixture(name), &[]).success();
        assert!(text.contains("none: ") && text.contains(reason), "{text}");
    }
}

#[test]
fn a_file_of_pytorch() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, pth::of_training(&weights())).unwrap();
    let [found, expected] = [&path, &weights()].map(|path| inspect(path, &["--json"]).json());
    assert_eq!((&found["format"], &expected["format"]), (&"pth".into(), &"safetensors".into()));
    assert_eq!(found["model"]["name"], "mixer_fashion");
    assert_eq!(found["model"], expected["model"]);
    let tensors = |json: &serde_json::Value| -> Vec<_> {
        let tensors = json["tensors"].as_array().unwrap().iter();
        tensors.map(|tensor| (tensor["name"].clone(), tensor["shape"].clone())).collect()
    };
    assert_eq!(tensors(&found), tensors(&expected));

    for (name, hints) in [
        ("hostile", ["global `posix.system`", "torch.save(torch.load("]),
        ("legacy", ["before 1.6", "torch.save(torch.load("]),
    ] {
        let error = inspect(&fixture(&format!("pth/{name}.pth")), &[]).failure(1);
        assert!(hints.iter().all(|hint| error.contains(hint)), "{error}");
    }
}

#[test]
fn files_of_no_kind() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("file");
    for (bytes, hint) in [
        (&b""[..], "neither safetensors, npz nor PyTorch's"),
        (b"some text of no meaning", "neither safetensors, npz nor PyTorch's"),
        (b"\xff\xff\xff\xff\xff\xff\xff\x7f{}", "the header claims"),
    ] {
        fs::write(&path, bytes).unwrap();
        let error = inspect(&path, &[]).failure(1);
        assert!(error.contains(hint), "{error}");
    }
    assert!(inspect(folder.path(), &[]).failure(1).contains("directory"));
}

#[test]
fn names_and_metadata_cannot_act_on_a_terminal() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("file");
    let header = serde_json::json!({
        "__metadata__": {"a\x1bb": "c\nd"},
        "e\x1b[2J": {"dtype": "I64", "shape": [], "data_offsets": [0, 8]},
    })
    .to_string();
    let length = (header.len() as u64).to_le_bytes();
    fs::write(&path, [&length, header.as_bytes(), &[0; 8]].concat()).unwrap();
    let text = inspect(&path, &[]).success();
    assert!(!text.contains('\x1b'), "{text:?}");
    assert!(text.contains("a\\u{1b}b  c d") && text.contains("scalar"), "{text}");
}
