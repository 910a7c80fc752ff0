//! What a file can make the reader hold.

use mixfold_model::checkpoint::Checkpoint;

use crate::write::{View, archive, dict, file, global, pickle, text};
use crate::{count, store};

/// The most that opening the file, and reading its tensor `w` if there is one, holds at once.
fn peak(bytes: &[u8]) -> usize {
    let (_directory, path) = store(bytes);
    let (peak, ()) = count::peak(|| {
        if let Ok(mut file) = Checkpoint::open(&path) {
            let _ = file.read_f32("w", &mut Vec::new());
        }
    });
    peak
}

/// Pickles that make as much as they can of each byte.
#[test]
fn of_pickles() {
    const SIZE: usize = 1 << 20;
    // Values on the stack, 24 bytes for each of 65536, when they are moved to where they fit.
    const STACK: usize = 3 * 24 * 65536;
    let remember = [b"}".to_vec(), text("k"), b"q\x00Ns".to_vec()].concat();
    let of = |unit: &[u8]| pickle(&unit.repeat(SIZE / unit.len()));
    let lists = |unit: &[u8], n: usize| of(&[b"](", &unit.repeat(n)[..], b"e"].concat()[..]);
    let dicts = [b"(".to_vec(), b"h\x00N".repeat(20_000), b"u".to_vec()].concat();
    let dicts = [remember, dicts.repeat(SIZE / dicts.len())].concat();
    for (what, pickle) in [
        ("numbers", of(b"N")),
        ("marks", of(b"(")),
        ("lists", lists(b"]", 20_000)),
        ("dicts", lists(b"}", 20_000)),
        ("dicts between numbers", lists(b"}NNN", 10_000)),
        ("tuples", lists(b")NNN", 10_000)),
        ("tuples in tuples", pickle(&[b"N".to_vec(), b"\x85q\x00".repeat(SIZE / 3)].concat())),
        (
            "long tuples",
            of(&[b"](", &[b"(", &b"N".repeat(60_000)[..], b"t"].concat()[..], b"e"].concat()),
        ),
        ("memo", pickle(&memo(SIZE / 5))),
        ("memo of protocol 4", pickle(&[b"N".to_vec(), b"\x94".repeat(SIZE)].concat())),
        (
            "tuples and memo of protocol 4",
            pickle(&[b"N".to_vec(), b"\x85\x94\x94\x94".repeat(SIZE / 4)].concat()),
        ),
        ("namespaces", pickle(&namespaces(SIZE / 6))),
        ("items of dicts", pickle(&dicts)),
        ("names of one tensor", pickle(&names(50_000))),
    ] {
        let members = [("a/data.pkl", &pickle[..]), ("a/data/0", &[0; 4])];
        let found = peak(&archive(members, zip::CompressionMethod::Stored));
        println!("{what}: {} bytes for each of {}", found / pickle.len(), pickle.len());
        assert!(found <= 96 * pickle.len() + STACK, "{what}: {found} of {}", pickle.len());
    }
}

/// Puts a value down again and again.
fn memo(entries: usize) -> Vec<u8> {
    let puts = (0..entries as u32).flat_map(|entry| [b"r", &entry.to_le_bytes()[..]].concat());
    std::iter::once(b'N').chain(puts).collect()
}

/// Empty namespaces, each remembered.
fn namespaces(count: usize) -> Vec<u8> {
    let class = [global("argparse", "Namespace"), b"\x94)\x94".to_vec()].concat();
    let lists = [b"](", &b"h\x00h\x01\x81\x94".repeat(10_000)[..], b"e"].concat();
    [class, lists.repeat(count / 10_000)].concat()
}

/// A strided tensor of many dimensions, under as many short names.
fn names(count: usize) -> Vec<u8> {
    let mut shape = [1; 16];
    shape[..2].fill(2);
    let view = View {
        storage: "ByteStorage",
        key: "0",
        elements: 4,
        offset: 0,
        shape: &shape,
        strides: &std::array::from_fn::<_, 16, _>(|axis| axis as i64 + 1),
    };
    let more = (0..count).map(|i| [text(&format!("{i:x}")), b"h\x00s".to_vec()].concat());
    let first = [b"}".to_vec(), text("w"), view.tensor(), b"q\x00s".to_vec()].concat();
    std::iter::once(first).chain(more).flatten().collect()
}

/// A tensor takes four bytes for an element, and once more those from its first element to its last
/// if they do not follow one another; the file has two or more.
#[test]
fn of_tensors() {
    let storage = vec![0; 2 << 20];
    let view = View {
        storage: "HalfStorage",
        key: "0",
        elements: 1 << 20,
        offset: 0,
        shape: &[1024, 1024],
        strides: &[1, 1024],
    };
    let few = View { shape: &[2], strides: &[(1 << 20) - 1], ..view };
    let repeated = View { shape: &[1 << 10, 1 << 10], strides: &[0, 1], ..view };
    // A chunk of 128 KiB, the pickle, the table.
    const REST: usize = 256 << 10;
    for view in [view, few, repeated] {
        let bytes = file(&dict([("w", view.tensor())]), &[("0", &storage)]);
        let found = peak(&bytes);
        assert!(found <= 4 * bytes.len() + REST, "{view:?}: {found} of {}", bytes.len());
    }
}
