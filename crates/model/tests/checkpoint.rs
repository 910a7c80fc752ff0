//! Files as other programs write them.

mod common;

use std::collections::BTreeMap;

use common::files;
use mixfold_gemm::Pool;
use mixfold_model::checkpoint::{
    Checkpoint, CheckpointError, Dtype, Format, npy, write_safetensors,
};
use zip::CompressionMethod;

fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &mut Checkpoint, name: &str) -> Vec<f32> {
    let mut values = Vec::new();
    file.read_f32(name, &mut values).unwrap();
    values
}

#[test]
fn safetensors_of_timm() {
    let mut file = Checkpoint::open(fixture("timm_mixer_small.safetensors")).unwrap();
    assert_eq!(file.format(), Format::Safetensors);
    assert_eq!(file.names().count(), 30);
    let entry = file.entry("stem.proj.weight").unwrap();
    assert_eq!((entry.dtype(), entry.shape()), (&Dtype::F32, &[32, 3, 4, 4][..]));

    // The whole file through the format's own library.
    let bytes = std::fs::read(file.path()).unwrap();
    let oracle = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut values = Vec::new();
    for (name, view) in oracle.iter() {
        file.read_f32(name, &mut values).unwrap();
        let (expected, _) = view.data().as_chunks::<4>();
        assert!(expected.iter().map(|b| f32::from_le_bytes(*b)).eq(values.iter().copied()));
        assert_eq!(file.entry(name).unwrap().shape(), view.shape());
    }
}

#[test]
fn npz_of_flax() {
    let mut file = Checkpoint::open(fixture("flax_mixer_tiny.npz")).unwrap();
    assert_eq!(file.format(), Format::Npz);
    let entry = file.entry("stem/kernel").unwrap();
    assert_eq!((entry.dtype(), entry.shape()), (&Dtype::F32, &[16, 16, 3, 64][..]));
    assert_eq!(read(&mut file, "stem/kernel")[..3], [0.1317158, -0.28315273, -0.49946693]);
    let head = read(&mut file, "head/kernel");
    assert_eq!(head[head.len() - 2..], [-0.1534397, -0.18137193]);
    let sum: f64 = head.iter().map(|&x| f64::from(x)).sum();
    assert!((sum - -15.787091191363288).abs() < 1e-12, "{sum}");
}

#[test]
fn every_numpy_type_and_layout() {
    let mut file = Checkpoint::open(fixture("arrays.npz")).unwrap();
    let counting: Vec<f32> = (0..24).map(|i| i as f32 / 4.0 - 2.0).collect();
    for (name, dtype) in [
        ("f16", Dtype::F16),
        ("f32", Dtype::F32),
        ("f64", Dtype::F64),
        ("big_f16", Dtype::F16),
        ("big_f32", Dtype::F32),
        ("big_f64", Dtype::F64),
        ("bf16", Dtype::Bf16),
        ("fortran", Dtype::F32),
    ] {
        let entry = file.entry(name).unwrap();
        assert_eq!((entry.dtype(), entry.shape()), (&dtype, &[2, 3, 4][..]), "{name}");
        assert_eq!(read(&mut file, name), counting, "{name}");
    }
    assert_eq!(read(&mut file, "scalar"), [-1.25]);
    assert_eq!(read(&mut file, "nested/name"), [1.0, 1.0]);
    assert!(read(&mut file, "empty").is_empty());

    let error = file.read_f32("int64", &mut Vec::new()).unwrap_err();
    let CheckpointError::Dtype { tensor, dtype, .. } = &error else { panic!("{error:?}") };
    assert_eq!((tensor.as_str(), dtype), ("int64", &Dtype::Other("<i8".into())));
    let error = file.read_f32("absent", &mut Vec::new()).unwrap_err();
    assert!(matches!(error, CheckpointError::Missing { .. }), "{error:?}");
}

#[test]
fn a_buffer_is_reused() {
    let mut file = Checkpoint::open(fixture("timm_mixer_small.safetensors")).unwrap();
    let mut values = Vec::with_capacity(128 * 32);
    let before = values.as_ptr();
    for name in ["blocks.0.mlp_channels.fc1.weight", "head.bias", "stem.proj.weight"] {
        file.read_f32(name, &mut values).unwrap();
        assert_eq!(values.len(), file.entry(name).unwrap().elements());
        assert_eq!(values.as_ptr(), before, "{name}");
    }
}

#[test]
fn npy_round_trip() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("y.npy");
    for shape in [&[][..], &[5], &[2, 3], &[2, 0, 3], &[1; 12]] {
        let elements = shape.iter().product();
        let values: Vec<f32> = (0..elements).map(|i| (i as f32).sin()).collect();
        npy::write(&path, shape, &values).unwrap();
        assert_eq!(npy::read(&path).unwrap(), (shape.to_vec(), values));
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!((bytes.len() - 4 * elements) % 64, 0, "the elements are not aligned");
    }
    // The last was complete when it took its name, and nothing is left of the others.
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);

    let error = npy::write(&path, &[2, 3], &[0.0; 5]).unwrap_err();
    assert!(
        matches!(error, CheckpointError::Size { needed: 24, stored: 20, .. }),
        "a refused array must not replace the file: {error:?}"
    );
    assert_eq!(npy::read(&path).unwrap().0, [1; 12]);
}

#[test]
fn npy_written_piece_by_piece() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("y.npy");
    let files = || std::fs::read_dir(directory.path()).unwrap().count();

    let mut writer = npy::Writer::create(&path, &[2, 3]).unwrap();
    writer.append(&[0.0, 1.0]).unwrap();
    writer.append(&[]).unwrap();
    let error = writer.append(&[2.0; 5]).unwrap_err();
    assert!(matches!(error, CheckpointError::Size { needed: 24, stored: 28, .. }), "{error}");
    writer.append(&[2.0, 3.0, 4.0, 5.0]).unwrap();
    assert!(!path.exists());
    writer.finish().unwrap();
    assert_eq!(npy::read(&path).unwrap(), (vec![2, 3], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]));

    let mut writer = npy::Writer::create(&path, &[4]).unwrap();
    writer.append(&[9.0; 3]).unwrap();
    let error = writer.finish().unwrap_err();
    assert!(matches!(error, CheckpointError::Size { needed: 16, stored: 12, .. }), "{error}");
    assert_eq!(npy::read(&path).unwrap().0, [2, 3], "the file of before is untouched");
    assert_eq!(files(), 1, "nothing is left of a file that was not finished");
    let error = npy::Writer::create(&path, &[usize::MAX, 2]).unwrap_err();
    assert!(matches!(error, CheckpointError::ShapeOverflow { .. }), "{error}");
}

#[cfg(unix)]
#[test]
fn npy_files_are_not_private() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let ordinary = directory.path().join("ordinary");
    std::fs::write(&ordinary, "").unwrap();
    let path = directory.path().join("y.npy");
    npy::write(&path, &[1], &[1.0]).unwrap();
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), mode(&ordinary));
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    npy::write(&path, &[1], &[2.0]).unwrap();
    assert_eq!(mode(&path), 0o600, "an existing file keeps its permissions");
}

#[cfg(unix)]
#[test]
fn npy_replaces_nothing_but_files() {
    use std::os::unix::net::UnixListener;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let _listener = UnixListener::bind(&path).unwrap();
    for path in [path.as_path(), directory.path()] {
        let error = npy::write(path, &[1], &[1.0]).unwrap_err();
        assert!(matches!(error, CheckpointError::Io { .. }), "{error}");
        assert!(error.to_string().ends_with("not a file that can be replaced"), "{error}");
    }
    assert!(!std::fs::metadata(&path).unwrap().is_file());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    let error = npy::write(directory.path().join("absent/y.npy"), &[1], &[1.0]).unwrap_err();
    assert!(!error.to_string().contains(".mixfold-"), "the name of a temporary file: {error}");
}

#[test]
fn a_file_is_written_the_same_every_time() {
    let directory = tempfile::tempdir().unwrap();
    let keys = 0..8;
    let metadata: BTreeMap<_, _> = keys.map(|i| (format!("key {i}"), format!("\"{i}\""))).collect();
    let write = |name: &str| {
        let path = directory.path().join(name);
        let tensor = |name: &str, dtype| (name.to_owned(), dtype, vec![2]);
        let tensors =
            vec![tensor("b", Dtype::F16), tensor("c", Dtype::F32), tensor("a", Dtype::F32)];
        write_safetensors(&path, tensors, &metadata, |name, bytes| {
            bytes.resize(if name == "b" { 4 } else { 8 }, name.as_bytes()[0]);
            Ok::<_, CheckpointError>(())
        })
        .unwrap();
        std::fs::read(path).unwrap()
    };
    let first = write("0");
    // One of 8! orders, each time.
    assert!((1..4).all(|i| write(&i.to_string()) == first));
    let oracle = safetensors::SafeTensors::deserialize(&first).unwrap();
    assert_eq!(oracle.tensor("c").unwrap().data(), b"cccccccc");
    let (_, header) = safetensors::SafeTensors::read_metadata(&first).unwrap();
    let found: BTreeMap<_, _> = header.metadata().clone().unwrap().into_iter().collect();
    assert_eq!(found, metadata);
}

/// Three threads.
#[derive(Debug)]
struct Three;

impl Pool for Three {
    fn workers(&self) -> usize {
        3
    }
    fn run(&self, work: &(dyn Fn() + Sync)) {
        std::thread::scope(|scope| (0..3).for_each(|_| drop(scope.spawn(work))));
    }
}

/// Tensors that several threads share, of every type, in files that they read by position and in others.
#[test]
fn threads_read_the_same() {
    const LEN: usize = 300_001;
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let numbers: Vec<f32> = (0..LEN).map(|i| (i % 501) as f32 - 250.0).collect();
    let types = [Dtype::F16, Dtype::Bf16, Dtype::F32, Dtype::F64];
    let tensors = types.map(|dtype| (dtype.to_string(), dtype, vec![LEN]));
    write_safetensors(path("safetensors"), tensors.to_vec(), &BTreeMap::new(), |name, bytes| {
        for &x in &numbers {
            match name {
                // Whole numbers below 256 have at most eight significant bits: bf16 is exact.
                "f16" => bytes.extend(half::f16::from_f32(x).to_le_bytes()),
                "bf16" => bytes.extend(half::bf16::from_f32(x).to_le_bytes()),
                "f32" => bytes.extend(x.to_le_bytes()),
                _ => bytes.extend(f64::from(x).to_le_bytes()),
            }
        }
        Ok::<_, CheckpointError>(())
    })
    .unwrap();
    let tensor = [files::Tensor::new("f32", &[LEN], numbers.clone())];
    files::npz(&path("stored"), &tensor, CompressionMethod::Stored);
    files::npz(&path("deflated"), &tensor, CompressionMethod::Deflated);

    let pool = Three;
    let mut values = Vec::new();
    for name in ["safetensors", "stored", "deflated"] {
        let mut file = Checkpoint::open(path(name)).unwrap();
        for tensor in file.names().map(str::to_owned).collect::<Vec<_>>() {
            file.read_f32_on(&pool, &tensor, &mut values).unwrap();
            assert_eq!(values, numbers, "{name}, {tensor}");
        }
    }

    // One bit of the last element.
    let mut bytes = std::fs::read(path("stored")).unwrap();
    let last = numbers[LEN - 4..].iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>();
    let place = bytes.windows(last.len()).rposition(|window| window == last).unwrap();
    bytes[place + last.len() - 1] ^= 1;
    let mut file = Checkpoint::from_bytes("flipped", bytes).unwrap();
    let error = file.read_f32_on(&pool, "f32", &mut values).unwrap_err();
    assert!(error.to_string().contains("checksum"), "{error}");

    // A file that has become shorter since it was opened.
    let mut file = Checkpoint::open(path("safetensors")).unwrap();
    let length = path("safetensors").metadata().unwrap().len();
    let opened = std::fs::File::options().write(true).open(path("safetensors")).unwrap();
    opened.set_len(length - 1).unwrap();
    let failed = file.names().map(str::to_owned).collect::<Vec<_>>().into_iter();
    let failed = failed.filter(|name| file.read_f32_on(&pool, name, &mut values).is_err());
    assert_eq!(failed.count(), 1);
}
