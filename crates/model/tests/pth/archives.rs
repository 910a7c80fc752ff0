//! Zip archives that lie, or are not quite those of PyTorch.

use mixfold_model::checkpoint::{Checkpoint, CheckpointError, Format, PickleError, StorageError};
use zip::CompressionMethod::{Deflated, Stored};

use crate::write::{archive, dict, file, pickle, vector};
use crate::{floats, open, read, refuse};

fn small() -> Vec<u8> {
    file(&dict([("w", vector("0", 2))]), &[("0", &floats(&[1.5, -2.0]))])
}

fn table() -> Vec<u8> {
    pickle(&dict([("w", vector("0", 2))]))
}

#[track_caller]
fn member(bytes: &[u8]) -> (String, StorageError) {
    match refuse(bytes) {
        CheckpointError::PthMember { member, source, .. } => (member, *source),
        other => panic!("{other:?}"),
    }
}

#[test]
fn told_by_content() {
    for name in ["weights.pth", "weights.npz", "weights"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        std::fs::write(&path, small()).unwrap();
        let mut file = Checkpoint::open(&path).unwrap();
        assert_eq!((file.format(), read(&mut file, "w")), (Format::Pth, vec![1.5, -2.0]));
    }
    // Other formats under PyTorch's extension.
    for (name, format) in
        [("arrays.npz", Format::Npz), ("ff_only_small.safetensors", Format::Safetensors)]
    {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("weights.pth");
        std::fs::copy(crate::common::files::fixture(name), &path).unwrap();
        assert_eq!(Checkpoint::open(&path).unwrap().format(), format);
    }
    let bytes: &'static [u8] = small().leak();
    let mut file = Checkpoint::from_bytes("file", bytes).unwrap();
    assert_eq!(read(&mut file, "w"), [1.5, -2.0]);
}

#[test]
fn byte_orders() {
    let swapped: Vec<u8> = [1.5_f32, -2.0].iter().flat_map(|value| value.to_be_bytes()).collect();
    let (table, straight) = (table(), floats(&[1.5, -2.0]));
    let build = |order: Option<&[u8]>, storage: &[u8]| {
        let members = [("a/data.pkl", &table[..]), ("a/data/0", storage)];
        let order = order.map(|order| ("a/byteorder", order));
        archive(members.into_iter().chain(order), Stored)
    };
    for (order, storage) in
        [(None, &straight), (Some(&b"little"[..]), &straight), (Some(b"big"), &swapped)]
    {
        let (_directory, mut file) = open(&build(order, storage)).unwrap();
        assert_eq!(read(&mut file, "w"), [1.5, -2.0], "{order:?}");
        let mut bytes = Vec::new();
        file.read_bytes("w", &mut bytes).unwrap();
        assert_eq!(bytes, straight, "{order:?}");
    }
    for order in [&b""[..], b"middle", b"little\n"] {
        let error = refuse(&build(Some(order), &straight));
        assert!(matches!(error, CheckpointError::Archive { .. }), "{error:?}");
    }
    let (name, error) = member(&build(Some(&[0; 17]), &straight));
    assert_eq!(name, "byteorder");
    assert!(matches!(error, StorageError::Length { bytes: 17, limit: 16 }), "{error:?}");
}

#[test]
fn folders() {
    let (table, storage) = (table(), floats(&[1.5, -2.0]));
    for folder in ["archive", "a folder", "a/b", ""] {
        let names = [format!("{folder}/data.pkl"), format!("{folder}/data/0")];
        let members = [(names[0].as_str(), &table[..]), (names[1].as_str(), &storage[..])];
        let (_directory, mut file) = open(&archive(members, Stored)).unwrap();
        assert_eq!(read(&mut file, "w"), [1.5, -2.0], "{folder}");
    }
    let two = [("a/data.pkl", &table[..]), ("b/data.pkl", &table), ("a/data/0", &storage)];
    let error = refuse(&archive(two, Stored));
    assert!(matches!(error, CheckpointError::Archive { .. }), "{error:?}");
    let other = [("a/data.pkl", &table[..]), ("b/data/0", &storage)];
    let error = refuse(&archive(other, Stored));
    let CheckpointError::Storage { source, .. } = &error else { panic!("{error:?}") };
    assert!(matches!(**source, StorageError::Missing), "{error:?}");
}

#[test]
fn two_members_of_one_name() {
    let (table, storage) = (table(), floats(&[1.5, -2.0]));
    let members = [("a/data.pkl", &table[..]), ("a/data/0", &storage), ("a/data/1", &storage)];
    let mut bytes = archive(members, Stored);
    let name = b"a/data/1";
    let places: Vec<usize> =
        (0..bytes.len() - name.len()).filter(|&i| bytes[i..].starts_with(name)).collect();
    assert_eq!(places.len(), 2);
    for place in places {
        bytes[place + name.len() - 1] = b'0';
    }
    let error = refuse(&bytes);
    assert!(matches!(error, CheckpointError::Archive { .. }), "{error:?}");
}

#[test]
fn bombs() {
    // Of gigabytes, were it unpacked.
    let bomb = archive([("a/data.pkl", &vec![b'('; 8 << 20][..])], Deflated);
    assert!(bomb.len() < 16 << 10);
    let (name, error) = member(&bomb);
    assert_eq!(name, "data.pkl");
    assert!(matches!(error, StorageError::Compressed), "{error:?}");

    let long = archive([("a/data.pkl", &vec![b'('; (16 << 20) + 1][..])], Stored);
    let (_, error) = member(&long);
    assert!(matches!(error, StorageError::Length { bytes: 0x100_0001, .. }), "{error:?}");
    let longest = archive([("a/data.pkl", &vec![b'('; 16 << 20][..])], Stored);
    let error = refuse(&longest);
    let CheckpointError::Pickle { source, .. } = &error else { panic!("{error:?}") };
    assert!(matches!(source, PickleError::Limit { .. }), "{error:?}");
}

/// The archive with a number in the directory's record of one of its members changed.
fn lie(mut bytes: Vec<u8>, member: &str, fields: &[(usize, u32)]) -> Vec<u8> {
    let record = (0..bytes.len())
        .find(|&i| {
            bytes[i..].starts_with(b"PK\x01\x02") && bytes[i + 46..].starts_with(member.as_bytes())
        })
        .unwrap();
    for &(field, value) in fields {
        bytes[record + field..][..4].copy_from_slice(&value.to_le_bytes());
    }
    bytes
}

const COMPRESSED: usize = 20;
const SIZE: usize = 24;
const OFFSET: usize = 42;

#[test]
fn sizes_and_offsets_of_members() {
    let storage = |fields: &[(usize, u32)]| refuse(&lie(small(), "archive/data/0", fields));
    for size in [0, 7, 9, 1 << 20, u32::MAX - 1] {
        let error = storage(&[(COMPRESSED, size), (SIZE, size)]);
        let CheckpointError::Storage { source, .. } = &error else { panic!("{error:?}") };
        match **source {
            StorageError::Size { bytes, .. } => assert_eq!(bytes, u64::from(size)),
            StorageError::Outside { bytes, .. } => {
                assert!(bytes == u64::from(size) && size >= 1 << 20)
            }
            ref other => panic!("{other:?}"),
        }
        for field in [COMPRESSED, SIZE] {
            let error = storage(&[(field, size)]);
            let CheckpointError::Storage { source, .. } = &error else { panic!("{error:?}") };
            assert!(matches!(**source, StorageError::Compressed), "{error:?}");
        }
        let fields = [(COMPRESSED, size), (SIZE, size)];
        let error = refuse(&lie(small(), "archive/data.pkl", &fields));
        assert!(
            matches!(error, CheckpointError::PthMember { .. } | CheckpointError::Pickle { .. }),
            "{size}: {error:?}"
        );
    }
    let length = small().len() as u32;
    for offset in [1, 17, length - 30, length - 1, length, u32::MAX - 1] {
        for member in ["archive/data/0", "archive/data.pkl"] {
            refuse(&lie(small(), member, &[(OFFSET, offset)]));
        }
    }
}

#[test]
fn truncated_files() {
    for whole in [small(), std::fs::read(crate::common::files::fixture("pth/types.pth")).unwrap()] {
        for length in 0..whole.len() {
            assert!(open(&whole[..length]).is_err(), "truncated at {length}");
        }
    }
}

#[test]
fn a_file_that_shrank_after_opening() {
    let (_directory, mut file) = open(&small()).unwrap();
    std::fs::OpenOptions::new().write(true).open(file.path()).unwrap().set_len(40).unwrap();
    let error = file.read_f32("w", &mut Vec::new()).unwrap_err();
    let CheckpointError::Read { tensor, source, .. } = &error else { panic!("{error:?}") };
    assert_eq!(tensor, "w");
    assert_eq!(source.kind(), std::io::ErrorKind::UnexpectedEof);
}
