//! Writing safetensors files.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};
use std::path::Path;

use safetensors::Dtype as Stored;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{CheckpointError, Dtype, Replacement, checked_size};

/// A tensor to be written: name, type, dimensions.
pub type Tensor = (String, Dtype, Vec<usize>);

/// Writes a safetensors file, tensor by tensor: `fill` gives the bytes of the tensor that it is asked
/// for, in row-major order and little-endian, in a buffer that is used again. Returns the bytes of all
/// tensors.
///
/// The file is written beside `path` and renamed to it when it is complete, so that no reader meets
/// half of it, and a file that stood there is lost to no failure. The same arguments give the same
/// bytes.
///
/// # Errors
/// Those of `fill`; a type that the format does not have; two tensors of one name; a shape that
/// overflows, or to which the bytes do not belong; a file that cannot be written.
pub fn write_safetensors<E: From<CheckpointError>>(
    path: impl AsRef<Path>,
    mut tensors: Vec<Tensor>,
    metadata: &BTreeMap<String, String>,
    mut fill: impl FnMut(&str, &mut Vec<u8>) -> Result<(), E>,
) -> Result<u64, E> {
    let path = path.as_ref();
    let io = |source| CheckpointError::Io { path: path.into(), source };
    // Large elements first, so that all are aligned.
    tensors.sort_by(|a, b| {
        let size = |dtype: &Dtype| dtype.stored().map_or(0, |stored| stored.bitsize());
        size(&b.1).cmp(&size(&a.1)).then_with(|| a.0.cmp(&b.0))
    });
    let (header, end) = header(path, &tensors, metadata)?;
    let mut file = Replacement::begin(path).map_err(io)?;
    file.write_all(&header).map_err(io)?;
    let mut bytes = Vec::new();
    for (name, dtype, shape) in &tensors {
        bytes.clear();
        fill(name, &mut bytes)?;
        let needed = size(path, name, dtype, shape)?;
        if bytes.len() as u64 != needed {
            let (path, tensor, stored) = (path.into(), name.clone(), bytes.len() as u64);
            let (shape, dtype) = (shape.clone(), dtype.clone());
            let error = CheckpointError::Size { path, tensor, shape, dtype, needed, stored };
            return Err(error.into());
        }
        file.write_all(&bytes).map_err(io)?;
    }
    file.finish().map_err(io)?;
    Ok(end)
}

/// Length, JSON and padding of the header, and the bytes of all tensors.
fn header(
    path: &Path,
    tensors: &[Tensor],
    metadata: &BTreeMap<String, String>,
) -> Result<(Vec<u8>, u64), CheckpointError> {
    let invalid = |reason: String| CheckpointError::Io {
        path: path.into(),
        source: io::Error::new(io::ErrorKind::InvalidInput, reason),
    };
    let mut names = HashSet::new();
    if let Some((name, ..)) = tensors.iter().find(|(name, ..)| !names.insert(name)) {
        return Err(invalid(format!("two tensors `{name}`")));
    }
    let (mut infos, mut end) = (Vec::new(), 0_usize);
    for (name, dtype, shape) in tensors {
        let unknown = || invalid(format!("tensor `{name}`: safetensors has no type {dtype}"));
        let stored = dtype.stored().ok_or_else(unknown)?;
        let overflow = || invalid(format!("tensor `{name}` exceeds the address space"));
        let len = usize::try_from(size(path, name, dtype, shape)?).map_err(|_| overflow())?;
        let next = end.checked_add(len).ok_or_else(overflow)?;
        let info = TensorInfo { dtype: stored, shape: shape.clone(), data_offsets: (end, next) };
        infos.push((name.clone(), info));
        end = next;
    }
    Metadata::new(None, infos.clone()).map_err(|error| invalid(error.to_string()))?;
    let mut json = serde_json::to_vec(&Header { metadata, infos: &infos })
        .map_err(|source| CheckpointError::Header { path: path.into(), source })?;
    json.resize(json.len().next_multiple_of(8), b' ');
    Ok(([&(json.len() as u64).to_le_bytes()[..], &json].concat(), end as u64))
}

/// What the header says. The library's own type puts the metadata in an order that changes from one
/// call to the next.
struct Header<'a> {
    metadata: &'a BTreeMap<String, String>,
    infos: &'a [(String, TensorInfo)],
}

impl Serialize for Header<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1 + self.infos.len()))?;
        map.serialize_entry("__metadata__", self.metadata)?;
        for (name, info) in self.infos {
            map.serialize_entry(name, info)?;
        }
        map.end()
    }
}

fn size(path: &Path, name: &str, dtype: &Dtype, shape: &[usize]) -> Result<u64, CheckpointError> {
    let bits = dtype.stored().map_or(0, |stored| stored.bitsize());
    checked_size(shape, bits).ok_or_else(|| CheckpointError::ShapeOverflow {
        path: path.into(),
        tensor: name.to_owned(),
        shape: shape.to_vec(),
        dtype: dtype.clone(),
    })
}

impl Dtype {
    /// The same type in safetensors, if it has it.
    pub(crate) fn stored(&self) -> Option<Stored> {
        match self {
            Dtype::F16 => Some(Stored::F16),
            Dtype::Bf16 => Some(Stored::BF16),
            Dtype::F32 => Some(Stored::F32),
            Dtype::F64 => Some(Stored::F64),
            // By PyTorch's name, or by its own.
            Dtype::Other(name) => match name.as_str() {
                "bool" => Some(Stored::BOOL),
                "uint8" => Some(Stored::U8),
                "int8" => Some(Stored::I8),
                "int16" => Some(Stored::I16),
                "int32" => Some(Stored::I32),
                "int64" => Some(Stored::I64),
                name => serde_json::from_value(name.into()).ok(),
            },
        }
    }
}
