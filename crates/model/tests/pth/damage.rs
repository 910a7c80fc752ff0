//! Any damage gives a good file or an error; what can be read has the size declared.

use proptest::prelude::*;

use crate::common::files::fixture;
use crate::open;
use crate::write::{View, dict, file, text, vector};

fn read_all(bytes: &[u8]) {
    let Ok((_directory, mut file)) = open(bytes) else { return };
    let names: Vec<String> = file.names().map(str::to_owned).collect();
    let mut values = Vec::new();
    for name in names {
        if file.read_f32(&name, &mut values).is_ok() {
            assert_eq!(values.len(), file.entry(&name).unwrap().elements());
        }
    }
}

/// Each bit of a file with a bare tensor, a transposed one, and more.
#[test]
fn every_bit() {
    let transposed = View {
        storage: "HalfStorage",
        key: "1",
        elements: 6,
        offset: 0,
        shape: &[2, 3],
        strides: &[1, 2],
    };
    let model = dict([("module.a", vector("0", 2)), ("module.b", transposed.tensor())]);
    let value = dict([("note", text("x")), ("model", model)]);
    let whole = file(&value, &[("0", &[1; 8]), ("1", &[2; 12])]);
    read_all(&whole);
    assert_eq!(open(&whole).unwrap().1.names().collect::<Vec<_>>(), ["a", "b"]);
    let mut damaged = whole.clone();
    for place in 0..whole.len() {
        for bit in 0..8 {
            damaged[place] ^= 1 << bit;
            read_all(&damaged);
            damaged[place] = whole[place];
        }
    }
}

proptest! {
    #[test]
    fn several_bytes(
        name in prop::sample::select(&["types", "namespace_protocol1", "hostile_protocol4"]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = std::fs::read(fixture(&format!("pth/{name}.pth"))).unwrap();
        for (index, value) in damage {
            let index = index.index(bytes.len());
            bytes[index] = value;
        }
        read_all(&bytes);
    }

    /// Opcodes at random, in the frame of a good file.
    #[test]
    fn programs_at_random(
        program in prop::collection::vec(
            prop_oneof![
                4 => prop::sample::select(b"().NQR]abehqstu}\x81\x85\x86\x87\x88\x93\x94".to_vec()),
                1 => 0..4_u8,
            ],
            0..60,
        ),
    ) {
        let start = [text("w"), vector("0", 1)].concat();
        read_all(&file(&[start, program].concat(), &[("0", &[0; 4])]));
    }
}
