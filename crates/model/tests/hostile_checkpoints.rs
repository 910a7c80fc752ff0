//! Files that lie: each is refused with an error that names what is wrong, and none makes the
//! reader panic or reserve memory that the file does not fill.

use std::io::{Cursor, Write};
use std::path::PathBuf;

use mixfold_model::checkpoint::npy::{self, HeaderError};
use mixfold_model::checkpoint::{Checkpoint, CheckpointError, Dtype};
use proptest::prelude::*;
use tempfile::{TempDir, tempdir};
use zip::write::{SimpleFileOptions, ZipWriter};

fn store(bytes: &[u8]) -> (TempDir, PathBuf) {
    let directory = tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, bytes).unwrap();
    (directory, path)
}

fn open(bytes: &[u8]) -> Result<(TempDir, Checkpoint), CheckpointError> {
    let (directory, path) = store(bytes);
    Ok((directory, Checkpoint::open(path)?))
}

/// Opens the file, reads every tensor, and returns the first error.
fn refuse(bytes: &[u8]) -> CheckpointError {
    let result = open(bytes).and_then(|(_directory, mut file)| {
        let names: Vec<String> = file.names().map(str::to_owned).collect();
        let mut values = Vec::new();
        names.iter().try_for_each(|name| file.read_f32(name, &mut values))
    });
    let error = result.expect_err("the file was accepted");
    let text = error.to_string();
    assert!(!text.contains('\n') && text.contains("file"), "{text}");
    error
}

fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

fn npy_file(header: &str, data: &[u8]) -> Vec<u8> {
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat()
}

fn npz(members: &[(&str, &[u8])], method: zip::CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

const F32_2X2: &str = r#"{"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}"#;
const NPY_2X2: &str = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }";

#[test]
fn the_files_that_the_lies_are_made_from_are_good() {
    let stored = npz(&[("w.npy", &npy_file(NPY_2X2, &[0; 16]))], zip::CompressionMethod::Stored);
    for bytes in [safetensors(F32_2X2, &[0; 16]), stored] {
        let (_directory, mut file) = open(&bytes).unwrap();
        let mut values = vec![1.0; 9];
        file.read_f32("w", &mut values).unwrap();
        assert_eq!(values, [0.0; 4]);
    }
}

#[test]
fn neither_format() {
    for bytes in [&b""[..], b"P", b"PK", b"{\"w\": 1}", b"\x80\x02}q\x00", &[0; 100]] {
        let error = refuse(bytes);
        assert!(matches!(error, CheckpointError::UnknownFormat { .. }), "{error:?}");
        let told = if bytes.is_empty() { "the file is empty" } else { "the file starts with [" };
        assert!(error.to_string().contains(told), "{error}");
    }
    let error = Checkpoint::open("absent").unwrap_err();
    assert!(matches!(error, CheckpointError::Io { .. }), "{error:?}");
}

#[test]
fn metadata_is_kept() {
    let header = r#"{"__metadata__":{"format":"pt"}}    "#;
    let (_directory, file) = open(&safetensors(header, &[])).unwrap();
    assert_eq!(file.metadata()["format"], "pt");
    assert_eq!(file.names().count(), 0);
}

#[test]
fn safetensors_header_lengths() {
    for length in [49, 1 << 20, u64::MAX, u64::MAX - 7] {
        let mut bytes = safetensors("{}", &[b' '; 46]);
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        let error = refuse(&bytes);
        let CheckpointError::HeaderLength { length: claimed, limit: 48, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!(claimed, length);
    }
}

#[test]
fn safetensors_headers() {
    for header in [
        "{",
        "{]",
        r#"{"w":1}"#,
        r#"{"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,0]}}"#,
        r#"{"w":{"dtype":"F99","shape":[1],"data_offsets":[0,0]}}"#,
        r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0]}}"#,
        r#"{"w":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},
            "w":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#,
        r#"{"__metadata__":{"a":1}}"#,
    ] {
        let error = refuse(&safetensors(header, &[]));
        assert!(matches!(error, CheckpointError::Header { .. }), "{header}: {error:?}");
    }
    let nested = format!("{{\"w\":{}", "[".repeat(100_000));
    assert!(matches!(refuse(&safetensors(&nested, &[])), CheckpointError::Header { .. }));
    let error = refuse(&safetensors(r#"{"a.b":{"dtype":"F99"}}"#, &[]));
    assert!(error.to_string().contains("tensor `a.b`"), "{error}");
}

#[test]
fn safetensors_ranges() {
    let tensor = |name: &str, elements: u64, begin: u64, end: u64| {
        format!(r#""{name}":{{"dtype":"F32","shape":[{elements}],"data_offsets":[{begin},{end}]}}"#)
    };
    let two = |a: String, b: String| format!("{{{a},{b}}}");
    let cases = [
        ("overlap", two(tensor("a", 2, 0, 8), tensor("b", 2, 4, 12)), "b"),
        ("the same twice", two(tensor("a", 4, 0, 16), tensor("b", 4, 0, 16)), "b"),
        ("gap", two(tensor("a", 1, 0, 4), tensor("b", 2, 8, 16)), "b"),
        ("past the end", two(tensor("a", 2, 0, 8), tensor("b", 4, 8, 24)), "b"),
        ("backwards", two(tensor("a", 2, 0, 8), tensor("b", 0, 8, 4)), "b"),
        ("far away", two(tensor("a", 2, 0, 8), tensor("b", 1, u64::MAX - 4, u64::MAX)), "b"),
    ];
    for (what, header, name) in cases {
        let error = refuse(&safetensors(&header, &[0; 16]));
        let CheckpointError::Range { tensor, available: 16, .. } = &error else {
            panic!("{what}: {error:?}")
        };
        assert_eq!(tensor, name, "{what}");
    }
    let error = refuse(&safetensors(F32_2X2, &[0; 17]));
    assert!(
        matches!(error, CheckpointError::UnusedData { used: 16, available: 17, .. }),
        "{error:?}"
    );
}

#[test]
fn safetensors_shapes() {
    let header = |shape: &str, dtype: &str| {
        format!(r#"{{"w":{{"dtype":"{dtype}","shape":[{shape}],"data_offsets":[0,16]}}}}"#)
    };
    for shape in ["4294967296,4294967296", "18446744073709551615,2,0", "4611686018427387905"] {
        let error = refuse(&safetensors(&header(shape, "F32"), &[0; 16]));
        assert!(matches!(error, CheckpointError::ShapeOverflow { .. }), "{shape}: {error:?}");
    }
    let error = refuse(&safetensors(&header("5", "F32"), &[0; 16]));
    let CheckpointError::Size { shape, dtype, needed: 20, stored: 16, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!((shape, dtype), (vec![5], Dtype::F32));
    let error = refuse(&safetensors(&header("2", "I64"), &[0; 16]));
    let CheckpointError::Dtype { tensor, dtype, .. } = &error else { panic!("{error:?}") };
    assert_eq!((tensor.as_str(), dtype), ("w", &Dtype::Other("I64".into())));
}

#[test]
fn a_file_that_shrank_after_opening() {
    let (directory, mut file) = open(&safetensors(F32_2X2, &[0; 16])).unwrap();
    let shrunk = std::fs::OpenOptions::new().write(true).open(file.path()).unwrap();
    shrunk.set_len(70).unwrap();
    let error = file.read_f32("w", &mut Vec::new()).unwrap_err();
    let CheckpointError::Read { tensor, offset, source, .. } = &error else { panic!("{error:?}") };
    assert_eq!((tensor.as_str(), *offset), ("w", 8 + F32_2X2.len() as u64));
    assert_eq!(source.kind(), std::io::ErrorKind::UnexpectedEof);
    drop(directory);
}

#[test]
fn npy_headers() {
    let read = |bytes: &[u8]| {
        let (_directory, path) = store(bytes);
        npy::read(path).unwrap_err()
    };
    let header = |bytes: &[u8]| match read(bytes) {
        CheckpointError::Npy { source, .. } => source,
        other => panic!("{other:?}"),
    };
    assert!(matches!(header(b"\x93NUMPX\x01\x00"), HeaderError::Magic(_)));
    assert!(matches!(header(b"\x93NUM"), HeaderError::Io(_)));
    assert!(matches!(
        header(b"\x93NUMPY\x04\x00\x00\x00"),
        HeaderError::Version { major: 4, minor: 0 }
    ));
    assert!(matches!(
        header(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{"),
        HeaderError::Length { length: u32::MAX, limit: 65536 }
    ));
    assert!(matches!(header(b"\x93NUMPY\x01\x00\xff\xff{"), HeaderError::Io(_)));
    assert!(matches!(header(&npy_file("{'descr': 1}", &[])), HeaderError::Syntax { .. }));

    let shape = |shape: &str| {
        let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}");
        read(&npy_file(&text, &[0; 16]))
    };
    let error = shape("(4294967296, 4294967296)");
    assert!(matches!(error, CheckpointError::ShapeOverflow { .. }), "{error:?}");
    for (lie, bytes) in [("(1000000000,)", 4_000_000_000_u64), ("(3,)", 12), ("()", 4)] {
        let error = shape(lie);
        let CheckpointError::Size { needed, stored: 16, .. } = error else { panic!("{error:?}") };
        assert_eq!(needed, bytes);
    }
    let text = "{'descr': '<c16', 'fortran_order': False, 'shape': (1,)}";
    let error = read(&npy_file(text, &[0; 16]));
    assert!(matches!(error, CheckpointError::Dtype { .. }), "{error:?}");
    let text = "{'descr': '<i8', 'fortran_order': False, 'shape': (4294967296, 4294967296)}";
    let error = read(&npy_file(text, &[0; 16]));
    assert!(matches!(error, CheckpointError::ShapeOverflow { .. }), "{error:?}");
}

#[test]
fn npz_members() {
    let stored = zip::CompressionMethod::Stored;
    let good = npy_file(NPY_2X2, &[0; 16]);

    let error = refuse(&npz(&[("archive/notes", b"\x80\x02}q\x00.....")], stored));
    let CheckpointError::Npy { tensor, source: HeaderError::Magic(_), .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(tensor, "archive/notes");

    let error = refuse(&npz(&[("w.npy", &good), ("w", &good)], stored));
    assert!(matches!(error, CheckpointError::Duplicate { .. }), "{error:?}");

    let short = npy_file(NPY_2X2, &[0; 12]);
    let error = refuse(&npz(&[("w.npy", &short)], stored));
    assert!(matches!(error, CheckpointError::Size { needed: 16, stored: 12, .. }), "{error:?}");

    let mut damaged = npz(&[("w.npy", &good)], stored);
    let element = damaged.windows(good.len()).position(|w| w == good).unwrap() + good.len() - 1;
    damaged[element] ^= 1;
    let error = refuse(&damaged);
    assert!(matches!(error, CheckpointError::Read { .. }), "checksum: {error:?}");

    let whole = npz(&[("w.npy", &good)], stored);
    for length in 4..whole.len() {
        assert!(open(&whole[..length]).is_err(), "truncated at {length}");
    }
}

/// An archive whose only member declares other sizes than it has.
fn lying_npz(member: &[u8], compressed: Option<u32>, size: u32) -> Vec<u8> {
    let mut bytes = npz(&[("w.npy", member)], zip::CompressionMethod::Deflated);
    let directory = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    for sizes in [18, directory + 20] {
        if let Some(compressed) = compressed {
            bytes[sizes..sizes + 4].copy_from_slice(&compressed.to_le_bytes());
        }
        bytes[sizes + 4..sizes + 8].copy_from_slice(&size.to_le_bytes());
    }
    bytes
}

#[test]
fn zip_sizes_that_cannot_be() {
    // A header that asks for 4 GB, in a member that declares as much.
    let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000,), }";
    let header = npy_file(text, &[]);
    let size = 4_000_000_000 + header.len() as u32;
    let error = refuse(&lying_npz(&header, None, size));
    assert!(matches!(error, CheckpointError::Inflation { .. }), "{error:?}");
    let error = refuse(&lying_npz(&header, Some(u32::MAX - 1), size));
    assert!(matches!(error, CheckpointError::Inflation { .. }), "{error:?}");

    // A plausible lie is found when the bytes run out.
    let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (100,), }";
    let header = npy_file(text, &[]);
    let error = refuse(&lying_npz(&header, None, 400 + header.len() as u32));
    assert!(matches!(error, CheckpointError::Read { .. }), "{error:?}");

    // The other way: more bytes than are declared.
    let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }";
    let long = npy_file(text, &[0; 1 << 20]);
    let error = refuse(&lying_npz(&long, None, (long.len() - (1 << 20) + 4) as u32));
    assert!(matches!(error, CheckpointError::Read { .. }), "{error:?}");
}

#[test]
fn a_zip_bomb_costs_what_it_declares() {
    // 4 MiB of zeros in some 4 KiB: legitimate, declared, and read only when asked for.
    let text = "{'descr': '<f4', 'fortran_order': True, 'shape': (1024, 1024), }";
    let bomb = npy_file(text, &vec![0; 4 << 20]);
    let bytes = npz(&[("w.npy", &bomb)], zip::CompressionMethod::Deflated);
    assert!(bytes.len() < 8192);
    let (_directory, mut file) = open(&bytes).unwrap();
    assert_eq!(file.entry("w").unwrap().elements(), 1 << 20);
    let mut values = Vec::new();
    file.read_f32("w", &mut values).unwrap();
    assert_eq!(values.len(), 1 << 20);
}

proptest! {
    /// Any damage gives a good file or an error; what can be read has the size declared.
    #[test]
    fn damaged_files_never_panic(
        which in 0..3_usize,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let array = npy_file(
            "{'descr': '<f4', 'fortran_order': True, 'shape': (3, 2), }",
            &[1; 24],
        );
        let members = [("a.npy", &array[..]), ("b.npy", &array[..])];
        let mut bytes = match which {
            0 => safetensors(F32_2X2, &[1; 16]),
            1 => npz(&members, zip::CompressionMethod::Stored),
            _ => npz(&members, zip::CompressionMethod::Deflated),
        };
        for (index, value) in damage {
            let index = index.index(bytes.len());
            bytes[index] = value;
        }
        if let Ok((_directory, mut file)) = open(&bytes) {
            let names: Vec<String> = file.names().map(str::to_owned).collect();
            let mut values = Vec::new();
            for name in names {
                if file.read_f32(&name, &mut values).is_ok() {
                    prop_assert_eq!(values.len(), file.entry(&name).unwrap().elements());
                }
            }
        }
    }
}
