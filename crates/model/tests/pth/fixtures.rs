//! What PyTorch wrote: `tests/fixtures/make_pth.py`.

use std::path::Path;

use half::{bf16, f16};
use mixfold_model::checkpoint::{Checkpoint, CheckpointError, Dtype, Format, PickleError};
use mixfold_model::{FfOnlyConfig, Loader, Preprocess, Trunk};
use safetensors::tensor::TensorView;

use crate::common::files::fixture;
use crate::common::logits;
use crate::read;

const TWIN: &str = "ff_only_small.safetensors";

const CONFIG: FfOnlyConfig = FfOnlyConfig {
    trunk: Trunk { image: [16, 16], image_channels: 3, patch: 4, channels: 12, depth: 2 },
    channel_hidden: 48,
    token_hidden: 68,
    grid: [4, 4],
};

/// Logits of the images beside the twin.
fn logits_of(weights: &Path) -> Vec<f32> {
    let mut io = Checkpoint::open(fixture("ff_only_small_io.safetensors")).unwrap();
    let images = read(&mut io, "x");
    let model =
        Loader::new().load_config("fixture", CONFIG, Preprocess::IMAGENET, weights).unwrap();
    logits(&model, &images, 2)
}

/// The twin with its values rounded to two bytes.
fn rounded(
    directory: &Path,
    dtype: safetensors::Dtype,
    round: impl Fn(f32) -> [u8; 2],
) -> std::path::PathBuf {
    let mut twin = Checkpoint::open(fixture(TWIN)).unwrap();
    let names: Vec<String> = twin.names().map(str::to_owned).collect();
    let tensors: Vec<(Vec<usize>, Vec<u8>)> = names
        .iter()
        .map(|name| {
            let bytes = read(&mut twin, name).into_iter().flat_map(&round).collect();
            (twin.entry(name).unwrap().shape().to_vec(), bytes)
        })
        .collect();
    let views = names.iter().zip(&tensors).map(|(name, (shape, bytes))| {
        (name, TensorView::new(dtype, shape.clone(), bytes).unwrap())
    });
    let path = directory.join("twin");
    std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    path
}

#[test]
fn logits_of_the_safetensors_twin() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let exact = logits_of(&fixture(TWIN));
    for name in ["bare", "wrapped", "wrapped_protocol4", "views"] {
        let found = logits_of(&fixture(&format!("pth/{name}.pth")));
        assert_eq!(found, exact, "{name}");
    }
    let twin = rounded(directory, safetensors::Dtype::F16, |x| f16::from_f32(x).to_le_bytes());
    let expected = logits_of(&twin);
    assert_ne!(expected, exact);
    assert_eq!(logits_of(&fixture("pth/f16.pth")), expected);
    let twin = rounded(directory, safetensors::Dtype::BF16, |x| bf16::from_f32(x).to_le_bytes());
    let expected = logits_of(&twin);
    assert_ne!(expected, exact);
    assert_eq!(logits_of(&fixture("pth/bf16.pth")), expected);
}

#[test]
fn tables_of_contents() {
    let twin = Checkpoint::open(fixture(TWIN)).unwrap();
    for (name, dtype, bytes) in [
        ("bare", Dtype::F32, 4),
        ("wrapped", Dtype::F32, 4),
        ("wrapped_protocol4", Dtype::F32, 4),
        ("views", Dtype::F32, 4),
        ("f16", Dtype::F16, 2),
        ("bf16", Dtype::Bf16, 2),
    ] {
        let file = Checkpoint::open(fixture(&format!("pth/{name}.pth"))).unwrap();
        assert_eq!(file.format(), Format::Pth);
        assert!(file.metadata().is_empty());
        assert!(file.names().eq(twin.names()), "{name}");
        for (tensor, entry) in file.entries() {
            assert_eq!(entry.shape(), twin.entry(tensor).unwrap().shape(), "{name}: {tensor}");
            assert_eq!(entry.dtype(), &dtype, "{name}: {tensor}");
            assert_eq!(entry.bytes(), bytes * entry.elements() as u64, "{name}: {tensor}");
        }
    }
}

#[test]
fn every_type() {
    let mut file = Checkpoint::open(fixture("pth/types.pth")).unwrap();
    for (name, dtype) in [
        ("float16", Dtype::F16),
        ("bfloat16", Dtype::Bf16),
        ("float32", Dtype::F32),
        ("float64", Dtype::F64),
    ] {
        assert_eq!(file.entry(name).unwrap().dtype(), &dtype);
        assert_eq!(read(&mut file, name), [0.0, 1.0, 0.0, 1.0], "{name}");
    }
    for (name, size) in [
        ("bool", 1),
        ("uint8", 1),
        ("int8", 1),
        ("int16", 2),
        ("int32", 4),
        ("int64", 8),
        ("complex64", 8),
        ("complex128", 16),
    ] {
        let entry = file.entry(name).unwrap();
        assert_eq!((entry.shape(), entry.bytes()), (&[2, 2][..], 4 * size), "{name}");
        let error = file.read_f32(name, &mut Vec::new()).unwrap_err();
        let CheckpointError::Dtype { dtype, .. } = &error else { panic!("{error:?}") };
        assert_eq!(dtype, &Dtype::Other(name.into()));
    }
    assert_eq!(read(&mut file, "expanded"), [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
    assert_eq!(file.entry("empty").unwrap().shape(), [0, 3]);
    assert!(read(&mut file, "empty").is_empty());
    assert_eq!(read(&mut file, "scalar"), [-1.25]);
}

/// The bytes of a tensor as they are, of any type, whatever the order in the storage.
#[test]
fn bytes_as_stored() {
    let mut file = Checkpoint::open(fixture("pth/types.pth")).unwrap();
    let mut bytes = Vec::new();
    for (name, one) in [
        ("float16", &[0, 0x3c][..]),
        ("bfloat16", &[0x80, 0x3f]),
        ("float32", &[0, 0, 0x80, 0x3f]),
        ("float64", &[0, 0, 0, 0, 0, 0, 0xf0, 0x3f]),
        ("bool", &[1]),
        ("int8", &[1]),
        ("int16", &[1, 0]),
        ("int32", &[1, 0, 0, 0]),
        ("int64", &[1, 0, 0, 0, 0, 0, 0, 0]),
        ("complex64", &[0, 0, 0x80, 0x3f, 0, 0, 0, 0]),
    ] {
        file.read_bytes(name, &mut bytes).unwrap();
        let zero = vec![0; one.len()];
        assert_eq!(bytes, [&zero[..], one, &zero, one].concat(), "{name}");
    }
    file.read_bytes("empty", &mut bytes).unwrap();
    assert!(bytes.is_empty());

    let mut twin = Checkpoint::open(fixture(TWIN)).unwrap();
    let names: Vec<String> = twin.names().map(str::to_owned).collect();
    let mut expected = Vec::new();
    for name in ["bare", "views"] {
        let mut file = Checkpoint::open(fixture(&format!("pth/{name}.pth"))).unwrap();
        for tensor in &names {
            file.read_bytes(tensor, &mut bytes).unwrap();
            twin.read_bytes(tensor, &mut expected).unwrap();
            assert_eq!(bytes, expected, "{name}: {tensor}");
        }
    }
}

#[test]
fn arguments_in_the_oldest_protocol() {
    let mut file = Checkpoint::open(fixture("pth/namespace_protocol1.pth")).unwrap();
    assert_eq!(file.names().collect::<Vec<_>>(), ["weight"]);
    assert_eq!(read(&mut file, "weight"), [0.0, 1.0, 0.0, 1.0]);
}

#[test]
fn files_that_are_refused() {
    let error = Checkpoint::open(fixture("pth/legacy.pth")).unwrap_err();
    assert!(matches!(error, CheckpointError::LegacyPth { .. }), "{error:?}");
    assert!(error.to_string().contains("torch.save(torch.load("), "{error}");

    for name in ["hostile", "hostile_protocol4"] {
        let error = Checkpoint::open(fixture(&format!("pth/{name}.pth"))).unwrap_err();
        assert!(error.to_string().contains("`posix.system`"), "{error}");
        let CheckpointError::Pickle { source: PickleError::Global { module, name, .. }, .. } =
            error
        else {
            panic!("{error:?}")
        };
        assert_eq!((module.as_str(), name.as_str()), ("posix", "system"));
        assert!(!std::path::Path::new("executed").exists());
    }
}
