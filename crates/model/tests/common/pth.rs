//! PyTorch files, their pickles and archives, written by other means than the library's.

#![allow(dead_code, reason = "each suite uses its part")]

use std::io::{Cursor, Write};
use std::path::Path;

use mixfold_model::checkpoint::{Checkpoint, Dtype};
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

/// A view of a storage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    /// Such as `FloatStorage`.
    pub storage: &'a str,
    pub key: &'a str,
    pub elements: i64,
    pub offset: i64,
    pub shape: &'a [i64],
    pub strides: &'a [i64],
}

impl View<'_> {
    /// Opcodes that make the tensor.
    pub(crate) fn tensor(&self) -> Vec<u8> {
        let numbers = |values: &[i64]| tuple(values.iter().map(|&value| int(value)));
        let kind = global("torch", self.storage);
        let id = [text("storage"), kind, text(self.key), text("cpu"), int(self.elements)];
        let id = [tuple(id), b"Q".to_vec()].concat();
        let hooks = [global("collections", "OrderedDict"), b")R".to_vec()].concat();
        let (shape, strides) = (numbers(self.shape), numbers(self.strides));
        let arguments = [id, int(self.offset), shape, strides, b"\x89".to_vec(), hooks];
        call(global("torch._utils", "_rebuild_tensor_v2"), arguments)
    }
}

/// A vector that is all of the storage.
pub(crate) fn vector(key: &str, elements: i64) -> Vec<u8> {
    let storage = "FloatStorage";
    View { storage, key, elements, offset: 0, shape: &[elements], strides: &[1] }.tensor()
}

pub(crate) fn int(value: i64) -> Vec<u8> {
    match i32::try_from(value) {
        Ok(value) => [b"J", &value.to_le_bytes()[..]].concat(),
        Err(_) => [b"\x8a\x08", &value.to_le_bytes()[..]].concat(),
    }
}

pub(crate) fn text(value: &str) -> Vec<u8> {
    [b"X", &(value.len() as u32).to_le_bytes()[..], value.as_bytes()].concat()
}

pub(crate) fn tuple(values: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    [b"(".to_vec(), values.into_iter().flatten().collect(), b"t".to_vec()].concat()
}

pub(crate) fn list(values: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    [b"](".to_vec(), values.into_iter().flatten().collect(), b"e".to_vec()].concat()
}

pub(crate) fn dict<'a>(items: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> Vec<u8> {
    let items = items.into_iter().flat_map(|(key, value)| [text(key), value].concat()).collect();
    [b"}(".to_vec(), items, b"u".to_vec()].concat()
}

pub(crate) fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

pub(crate) fn call(function: Vec<u8>, arguments: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    [function, tuple(arguments), b"R".to_vec()].concat()
}

/// An `argparse.Namespace` with these attributes.
pub(crate) fn namespace(attributes: Vec<u8>) -> Vec<u8> {
    [global("argparse", "Namespace"), b")\x81".to_vec(), attributes, b"b".to_vec()].concat()
}

/// A pickle of protocol 2.
pub(crate) fn pickle(value: &[u8]) -> Vec<u8> {
    [b"\x80\x02", value, b"."].concat()
}

/// A zip archive.
pub(crate) fn archive<'a>(
    members: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    method: CompressionMethod,
) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        zip.start_file(name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A file that holds `value`, which opcodes make, and storages by name.
pub(crate) fn file(value: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
    let pickle = pickle(value);
    let names: Vec<String> =
        storages.iter().map(|(name, _)| format!("archive/data/{name}")).collect();
    let storages = names.iter().zip(storages).map(|(name, (_, bytes))| (name.as_str(), *bytes));
    let members = [("archive/data.pkl", &pickle[..]), ("archive/byteorder", b"little")];
    archive(members.into_iter().chain(storages), CompressionMethod::Stored)
}

/// The tensors of a safetensors file in the way a training script saves them with PyTorch: beside other
/// things, as those of a parallel model.
pub(crate) fn of_training(path: &Path) -> Vec<u8> {
    let mut file = Checkpoint::open(path).unwrap();
    let names: Vec<String> = file.names().map(str::to_owned).collect();
    let (mut state, mut storages) = (Vec::new(), Vec::new());
    for (i, name) in names.into_iter().enumerate() {
        let mut bytes = Vec::new();
        file.read_bytes(&name, &mut bytes).unwrap();
        let entry = file.entry(&name).unwrap();
        let storage = match entry.dtype() {
            Dtype::F16 => "HalfStorage",
            Dtype::F32 => "FloatStorage",
            Dtype::Other(name) if name == "I64" => "LongStorage",
            other => panic!("{other}"),
        };
        let shape: Vec<i64> = entry.shape().iter().map(|&length| length as i64).collect();
        let strides: Vec<i64> =
            (1..=shape.len()).map(|axis| shape[axis..].iter().product()).collect();
        let (key, elements) = (i.to_string(), entry.elements() as i64);
        let (key, shape, strides) = (&*key, &*shape, &*strides);
        let view = View { storage, key, elements, offset: 0, shape, strides };
        state.push((format!("module.{name}"), view.tensor()));
        storages.push((key.to_owned(), bytes));
    }
    let state = dict(state.iter().map(|(name, tensor)| (name.as_str(), tensor.clone())));
    let arguments = namespace(dict([("model", text("repmlp")), ("lr", int(1))]));
    let value = dict([("epoch", int(3)), ("args", arguments), ("state_dict", state)]);
    let storages: Vec<(&str, &[u8])> =
        storages.iter().map(|(key, bytes)| (key.as_str(), &bytes[..])).collect();
    self::file(&value, &storages)
}
