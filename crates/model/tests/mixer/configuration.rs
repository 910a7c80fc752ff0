//! timm's `config.json` beside the weights, and the metadata in them.

use std::fs;
use std::path::PathBuf;

use mixfold_model::preprocess::{Color, ConfigError, Interpolation, Resize};
use mixfold_model::{LabelsError, Loader, Model, ModelError, Preprocess};
use tempfile::TempDir;

use crate::common::{GOLDEN, files, tensors};

/// A folder with the weights of a model of three classes.
struct Folder {
    directory: TempDir,
    name: &'static str,
}

impl Folder {
    fn of(name: &'static str) -> Self {
        let folder = Folder { directory: tempfile::tempdir().unwrap(), name };
        files::safetensors(&folder.path("weights.safetensors"), &tensors(&GOLDEN, 3));
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn load(&self, config: &str) -> Result<Model, ModelError> {
        fs::write(self.path("config.json"), config).unwrap();
        let weights = self.path("weights.safetensors");
        Loader::new().load_config(self.name, GOLDEN, Preprocess::IMAGENET, weights)
    }
}

/// What the model has without a configuration: the size and colour of its images.
const OWN: Preprocess = Preprocess { size: [16, 24], color: Color::Rgb, ..Preprocess::IMAGENET };

const SETTINGS: &str = r#""num_classes": 3, "label_names": ["ape", "bee", "cow"],
    "input_size": [1, 448, 448], "interpolation": "bilinear", "crop_pct": 0.9, "crop_mode": "squash",
    "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]"#;

#[test]
fn of_the_model_is_applied() {
    for (name, architecture) in [
        ("mixer_b16_224", "mixer_b16_224"),
        ("mixer_b16_224", "mixer_b16_224.goog_in21k_ft_in1k"),
        ("my.own", "my.own"),
        ("my.own", "my.own.tag"),
    ] {
        let folder = Folder::of(name);
        for config in [
            format!(r#"{{"architecture": "{architecture}", {SETTINGS}}}"#),
            format!(r#"{{"architecture": "{architecture}", "pretrained_cfg": {{{SETTINGS}}}}}"#),
            format!(r#"{{"pretrained_cfg": {{"architecture": "{architecture}", {SETTINGS}}}}}"#),
        ] {
            let model = folder.load(&config).unwrap();
            let expected = Preprocess {
                resize: Resize::Squash,
                crop_fraction: 0.9,
                interpolation: Interpolation::Bilinear,
                mean: [0.1, 0.2, 0.3],
                std: [0.4, 0.5, 0.6],
                ..OWN
            };
            assert_eq!(model.preprocess(), &expected, "{config}");
            assert_eq!(model.labels().unwrap(), ["ape", "bee", "cow"], "{config}");
            assert_eq!(model.label(2), "cow");
        }
    }
}

#[test]
fn of_another_architecture_is_ignored_whatever_it_says() {
    let folder = Folder::of("mixer_b16_224");
    for config in [
        format!(r#"{{"architecture": "mixer_b32_224", {SETTINGS}}}"#),
        format!(r#"{{"architecture": "mixer_b16_224_miil", {SETTINGS}}}"#),
        format!(r#"{{"architecture": "mixer_b16", {SETTINGS}}}"#),
        format!("{{{SETTINGS}}}"),
        r#"{"architecture": "resnet50", "interpolation": "lanczos", "num_classes": -1}"#.into(),
        r#"{"architectures": ["ViTForImageClassification"], "mean": "half"}"#.into(),
        r#"{"architecture": 7}"#.into(),
        "{}".into(),
        "[]".into(),
    ] {
        let model = folder.load(&config).unwrap();
        assert_eq!((model.preprocess(), model.labels()), (&OWN, None), "{config}");
    }
    fs::remove_file(folder.path("config.json")).unwrap();
    fs::create_dir(folder.path("config.json")).unwrap();
    let weights = folder.path("weights.safetensors");
    Loader::new().load_config("mixer_b16_224", GOLDEN, Preprocess::IMAGENET, weights).unwrap();
}

#[test]
fn that_contradicts_the_weights_or_cannot_be_read_is_an_error() {
    let folder = Folder::of("mixer_b16_224");
    let weights = folder.path("weights.safetensors");
    let error =
        folder.load(r#"{"architecture": "mixer_b16_224", "num_classes": 1000}"#).unwrap_err();
    let ModelError::Classes { path, expected: 1000, found: 3 } = &error else { panic!("{error}") };
    assert_eq!(path, &weights);
    assert!(error.to_string().contains("3 classes") && error.to_string().contains("1000"));

    let config = folder.path("config.json");
    let error = folder.load(r#"{"architecture": "mixer_b16_224", "label_names": ["ape"]}"#);
    let Err(ModelError::Labels(LabelsError::Count { path, found: 1, classes: 3 })) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(path, &config);

    for (text, json) in [
        ("", true),
        ("{", true),
        (r#"{"architecture": "mixer_b16_224",}"#, true),
        (r#"{"architecture": "mixer_b16_224", "mean": "half"}"#, false),
        (r#"{"architecture": "mixer_b16_224.tag", "interpolation": "lanczos"}"#, false),
    ] {
        let error = folder.load(text).unwrap_err();
        assert!(error.to_string().contains(config.to_str().unwrap()), "{error}");
        match error {
            ModelError::TimmConfig(ConfigError::Json { .. }) => assert!(json, "{text}"),
            ModelError::TimmConfig(ConfigError::Setting { .. }) => assert!(!json, "{text}"),
            error => panic!("{error}"),
        }
    }
    fs::write(&config, b"\xff\xfe").unwrap();
    let error = Loader::new().load_config("x", GOLDEN, Preprocess::IMAGENET, weights).unwrap_err();
    assert!(matches!(error, ModelError::TimmConfig(ConfigError::Io { .. })), "{error}");
}

/// A file of weights that a training script has written, as it does for the embedded model.
fn described(model: &str, classes: &str, mean: &str) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights");
    files::safetensors(&path, &tensors(&GOLDEN, 3));
    let bytes = fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let (header, data) = bytes[8..].split_at(length);
    let mut header: serde_json::Value = serde_json::from_slice(header).unwrap();
    header["__metadata__"] = serde_json::json!({"model": model, "classes": classes, "mean": mean});
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

#[test]
fn metadata_of_the_weights() {
    let folder = Folder::of("own");
    let names = r#"["ape", "bee", "cow"]"#;
    let write = |bytes: Vec<u8>| fs::write(folder.path("weights.safetensors"), bytes).unwrap();
    write(described("own", names, "[0.25, 0.5, 0.75]"));
    let model = folder.load("{}").unwrap();
    assert_eq!(model.label(1), "bee");
    assert_eq!(model.preprocess(), &Preprocess { mean: [0.25, 0.5, 0.75], ..OWN });
    // A configuration without names leaves them; with names it replaces them.
    let model = folder.load(r#"{"architecture": "own", "crop_pct": 0.5}"#).unwrap();
    assert_eq!(model.label(1), "bee");
    assert_eq!(model.preprocess().crop_fraction, 0.5);
    assert_eq!(model.preprocess().mean, [0.25, 0.5, 0.75]);
    let model = folder.load(r#"{"architecture": "own", "label_names": ["x", "y", "z"]}"#).unwrap();
    assert_eq!(model.label(1), "y");

    // Metadata of another model, or that cannot be understood, are nobody's.
    for bytes in [
        described("other", names, "[0.25, 0.5, 0.75]"),
        described("own", "ape, bee, cow", "half"),
        described("own", r#"["ape"]"#, "[0.25]"),
    ] {
        write(bytes);
        let model = folder.load("{}").unwrap();
        assert_eq!((model.preprocess(), model.labels()), (&OWN, None));
    }
}
