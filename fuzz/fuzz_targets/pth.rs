//! Any bytes as a file of PyTorch, and as the pickle in one: a table of contents or an error, and tensors
//! of the sizes in the table, no larger than the file.

#![no_main]

use std::io::{Cursor, Write};

use libfuzzer_sys::fuzz_target;
use mixfold_model::Checkpoint;
use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, result::ZipResult};

fuzz_target!(|bytes: &[u8]| {
    check(bytes.to_vec());
    check(archive(bytes).expect("memory can be written"));
});

fn check(bytes: Vec<u8>) {
    let length = bytes.len() as u64;
    let Ok(mut file) = Checkpoint::from_bytes("file", bytes) else { return };
    let names: Vec<String> = file.names().map(str::to_owned).collect();
    let (mut values, mut stored) = (Vec::new(), Vec::new());
    for name in names {
        let entry = file.entry(&name).expect("a name of the file's").clone();
        if file.read_f32(&name, &mut values).is_ok() {
            assert_eq!(values.len(), entry.elements());
        }
        if file.read_bytes(&name, &mut stored).is_ok() {
            assert!(stored.len() as u64 == entry.bytes() && entry.bytes() <= length);
        }
    }
}

/// A file with this pickle and one storage.
fn archive(pickle: &[u8]) -> ZipResult<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in [("a/data.pkl", pickle), ("a/data/0", &[7; 64])] {
        zip.start_file(name, options)?;
        zip.write_all(bytes)?;
    }
    Ok(zip.finish()?.into_inner())
}
