//! The table of contents of a safetensors file.
//!
//! Layout: the header's length (u64, little-endian), the header (a JSON object: name to type,
//! shape and byte range), the tensors' bytes. The ranges follow one another without gap or overlap
//! and end with the file.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use safetensors::Dtype as Stored;
use safetensors::tensor::TensorInfo;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use super::{CheckpointError, Dtype, Entry, Location, checked_size};

/// The longest header that the format's own library accepts.
const LONGEST_HEADER: u64 = 100_000_000;

pub(super) struct Table {
    pub(super) entries: BTreeMap<String, Entry>,
    pub(super) metadata: BTreeMap<String, String>,
}

/// Reads the table from the start of `file`, whose length is `length`.
pub(super) fn read_table(
    file: &mut impl Read,
    length: u64,
    path: &Path,
) -> Result<Table, CheckpointError> {
    let io = |source| CheckpointError::Io { path: path.into(), source };
    let mut prefix = [0; 8];
    file.read_exact(&mut prefix).map_err(io)?;
    let header_length = u64::from_le_bytes(prefix);
    let limit = LONGEST_HEADER.min(length.saturating_sub(8));
    if header_length > limit {
        return Err(CheckpointError::HeaderLength {
            path: path.into(),
            length: header_length,
            limit,
        });
    }
    let mut header = Vec::new();
    file.take(header_length).read_to_end(&mut header).map_err(io)?;
    if header.len() as u64 != header_length {
        return Err(io(io::ErrorKind::UnexpectedEof.into()));
    }
    let header: Header = serde_json::from_slice(&header)
        .map_err(|source| CheckpointError::Header { path: path.into(), source })?;

    let data = 8 + header_length;
    let entries = check_tensors(header.tensors, data, length - data, path)?;
    Ok(Table { entries, metadata: header.metadata })
}

/// Turns ranges within the `available` bytes of data, which begin at file offset `data`, into
/// entries.
fn check_tensors(
    tensors: BTreeMap<String, TensorInfo>,
    data: u64,
    available: u64,
    path: &Path,
) -> Result<BTreeMap<String, Entry>, CheckpointError> {
    let mut tensors: Vec<_> = tensors.into_iter().collect();
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    let mut entries = BTreeMap::new();
    let mut expected = 0;
    for (tensor, TensorInfo { dtype: stored, shape, data_offsets }) in tensors {
        let (begin, end) = (data_offsets.0 as u64, data_offsets.1 as u64);
        if begin != expected || end < begin || end > available {
            return Err(CheckpointError::Range {
                path: path.into(),
                tensor,
                begin,
                end,
                expected,
                available,
            });
        }
        let dtype = dtype(stored);
        match checked_size(&shape, stored.bitsize()) {
            None => {
                let path = path.into();
                return Err(CheckpointError::ShapeOverflow { path, tensor, shape, dtype });
            }
            Some(needed) if needed != end - begin => {
                return Err(CheckpointError::Size {
                    path: path.into(),
                    tensor,
                    shape,
                    dtype,
                    needed,
                    stored: end - begin,
                });
            }
            Some(_) => {}
        }
        let location = Location::Bytes { offset: data + begin };
        entries.insert(tensor, Entry { dtype, shape, bytes: end - begin, location });
        expected = end;
    }
    if expected != available {
        return Err(CheckpointError::UnusedData { path: path.into(), used: expected, available });
    }
    Ok(entries)
}

fn dtype(stored: Stored) -> Dtype {
    match stored {
        Stored::F16 => Dtype::F16,
        Stored::BF16 => Dtype::Bf16,
        Stored::F32 => Dtype::F32,
        Stored::F64 => Dtype::F64,
        other => Dtype::Other(other.to_string()),
    }
}

struct Header {
    metadata: BTreeMap<String, String>,
    tensors: BTreeMap<String, TensorInfo>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header { metadata: BTreeMap::new(), tensors: BTreeMap::new() };
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        header.metadata = map.next_value::<Option<_>>()?.unwrap_or_default();
                        continue;
                    }
                    let info: TensorInfo = map
                        .next_value()
                        .map_err(|e| A::Error::custom(format_args!("tensor `{name}`: {e}")))?;
                    if header.tensors.contains_key(&name) {
                        return Err(A::Error::custom(format_args!("two tensors `{name}`")));
                    }
                    header.tensors.insert(name, info);
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}
