//! Tensors as views of storages, within them and not.

use mixfold_model::checkpoint::{CheckpointError, StorageError};
use proptest::prelude::*;
use zip::CompressionMethod::{Deflated, Stored};

use crate::write::{View, dict, file, pickle, vector};
use crate::{floats, open, read, refuse_storage};

/// All of a storage of 24 numbers that count from 0.
const ALL: View<'_> = View {
    storage: "FloatStorage",
    key: "0",
    elements: 24,
    offset: 0,
    shape: &[2, 3, 4],
    strides: &[12, 4, 1],
};

fn counting() -> Vec<u8> {
    floats(&(0..24).map(|i| i as f32).collect::<Vec<_>>())
}

fn with(view: View<'_>) -> Vec<u8> {
    file(&dict([("w", view.tensor())]), &[("0", &counting())])
}

proptest! {
    /// Any view that lies within the storage has the elements that its strides say.
    #[test]
    fn elements_by_their_strides(
        dimensions in prop::collection::vec((0..4_i64, 0..9_i64), 0..5),
        offset in 0..24_i64,
    ) {
        let (shape, strides): (Vec<_>, Vec<_>) = dimensions.into_iter().unzip();
        let view = View { offset, shape: &shape, strides: &strides, ..ALL };
        let mut expected = vec![offset];
        for (&length, &stride) in shape.iter().zip(&strides) {
            let step = |&place: &i64| (0..length).map(move |i| place + i * stride);
            expected = expected.iter().flat_map(step).collect();
        }
        let bytes = with(view);
        match open(&bytes) {
            Ok((_directory, mut file)) => {
                let expected: Vec<f32> = expected.iter().map(|&place| place as f32).collect();
                prop_assert_eq!(read(&mut file, "w"), expected);
            }
            Err(CheckpointError::Storage { source, .. }) => match *source {
                StorageError::View { .. } => prop_assert!(expected.iter().any(|&place| place > 23)),
                StorageError::Repeated { bytes: repeated, .. } => {
                    prop_assert_eq!(repeated, 4 * expected.len() as u64);
                    prop_assert!(repeated > bytes.len() as u64);
                }
                other => prop_assert!(false, "{other:?}"),
            },
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }
}

#[test]
fn views_that_share_a_storage() {
    let transposed = View { shape: &[4, 6], strides: &[1, 4], ..ALL };
    let part = View { offset: 5, shape: &[2, 2], strides: &[8, 2], ..ALL };
    let value = dict([("a", ALL.tensor()), ("b", transposed.tensor()), ("c", part.tensor())]);
    let (_directory, mut file) = open(&file(&value, &[("0", &counting())])).unwrap();
    assert!(read(&mut file, "a").iter().enumerate().all(|(i, &value)| value == i as f32));
    let b = read(&mut file, "b");
    assert_eq!((&b[..6], b[23]), (&[0.0, 4.0, 8.0, 12.0, 16.0, 20.0][..], 23.0));
    assert_eq!(read(&mut file, "c"), [5.0, 7.0, 13.0, 15.0]);
    assert_eq!(file.entry("c").unwrap().bytes(), 16);
    // In any order.
    assert_eq!(read(&mut file, "a")[23], 23.0);
}

#[test]
fn views_beyond_their_storage() {
    for view in [
        View { offset: 1, ..ALL },
        View { offset: i64::MAX, ..ALL },
        View { offset: 25, shape: &[0], strides: &[1], ..ALL },
        View { shape: &[25], strides: &[1], ..ALL },
        View { shape: &[2], strides: &[24], ..ALL },
        View { shape: &[2], strides: &[i64::MAX], ..ALL },
        View { shape: &[3, 3], strides: &[i64::MAX, i64::MAX], ..ALL },
        View { shape: &[i64::MAX], strides: &[2], ..ALL },
        View { shape: &[i64::MAX, i64::MAX], strides: &[1, 1], ..ALL },
    ] {
        let error = refuse_storage(&with(view));
        let StorageError::View { elements: 24, offset, .. } = error else { panic!("{error:?}") };
        assert_eq!(offset, view.offset as u64);
    }
    for (shape, repeated) in [
        (&[1 << 40, 2][..], 1_u64 << 43),
        (&[i64::MAX, i64::MAX], u64::MAX),
        (&[1 << 62, 4], u64::MAX),
    ] {
        let error = refuse_storage(&with(View { shape, strides: &[0, 0], ..ALL }));
        let StorageError::Repeated { bytes, .. } = error else { panic!("{error:?}") };
        assert_eq!(bytes, repeated);
    }
}

#[test]
fn storages_that_are_not_as_declared() {
    let value = |view: View<'_>| dict([("w", view.tensor())]);
    for (view, storage) in [
        (View { elements: 23, ..ALL }, counting()),
        (View { elements: 25, ..ALL }, counting()),
        (View { elements: 0, ..ALL }, counting()),
        (View { elements: i64::MAX, ..ALL }, counting()),
        (View { storage: "DoubleStorage", ..ALL }, counting()),
        (View { storage: "HalfStorage", ..ALL }, counting()),
        (ALL, vec![0; 95]),
        (ALL, vec![0; 97]),
        (ALL, vec![]),
    ] {
        let error = refuse_storage(&file(&value(view), &[("0", &storage)]));
        let StorageError::Size { elements, bytes, .. } = error else { panic!("{error:?}") };
        assert_eq!((elements, bytes), (view.elements as u64, storage.len() as u64));
    }
    for key in ["1", "", "../data.pkl", "../../etc/passwd", "/etc/passwd", "0/", "00", "\0"] {
        let error = refuse_storage(&file(&value(View { key, ..ALL }), &[("0", &counting())]));
        assert!(matches!(error, StorageError::Missing), "{key}: {error:?}");
    }
}

#[test]
fn compressed_storages() {
    let pickle = pickle(&dict([("w", vector("0", 1 << 20))]));
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    let mut add = |name: &str, bytes: &[u8], method| {
        zip.start_file(name, options.compression_method(method)).unwrap();
        std::io::Write::write_all(&mut zip, bytes).unwrap();
    };
    add("a/data.pkl", &pickle, Stored);
    add("a/data/0", &vec![0; 4 << 20], Deflated);
    let bomb = zip.finish().unwrap().into_inner();
    assert!(bomb.len() < 8192);
    let error = refuse_storage(&bomb);
    assert!(matches!(error, StorageError::Compressed), "{error:?}");
}
