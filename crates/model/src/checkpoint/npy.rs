//! NumPy's `.npy` arrays: one header, then the elements.
//!
//! Layout (NumPy's `numpy.lib.format`): `\x93NUMPY`, two bytes of version, the header's length
//! (u16, from version 2 on u32; little-endian), the header, the elements. The header is a Python
//! dictionary with the keys `descr`, `fortran_order` and `shape`.

mod literal;
mod write;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use thiserror::Error;

use super::{CheckpointError, Dtype, checked_size, decode};

pub use write::{Writer, write};

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// The longest header read. NumPy's own are below 200 bytes unless the type is a record.
const LONGEST_HEADER: u32 = 64 * 1024;

/// The name given to the array of a `.npy` file, which has none, in errors.
const ARRAY: &str = "array";

/// What is wrong with a `.npy` header.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The header could not be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The first bytes are not those of the format.
    #[error("it starts with {0:02x?}")]
    Magic([u8; 6]),
    /// The format's version is not 1, 2 or 3.
    #[error("version {major}.{minor} is unknown")]
    Version {
        /// First byte of the version.
        major: u8,
        /// Second byte of the version.
        minor: u8,
    },
    /// The header is longer than any that describes numbers.
    #[error("its header claims {length} bytes, {limit} are possible")]
    Length {
        /// The header's length as stored.
        length: u32,
        /// The longest header read.
        limit: u32,
    },
    /// The header is not the dictionary it should be.
    #[error("expected {expected} at byte {offset} of the header")]
    Syntax {
        /// What was expected.
        expected: &'static str,
        /// Where in the dictionary's text.
        offset: usize,
    },
}

/// Reads an array of `f16`, `f32` or `f64`, in either byte order, as its shape and its elements in
/// row-major order, converted to f32 as [`Checkpoint::read_f32`](super::Checkpoint::read_f32)
/// does.
///
/// # Errors
/// The file cannot be read, is not a `.npy` file, holds another type, or not exactly the bytes that
/// its shape and type need.
pub fn read(path: impl AsRef<Path>) -> Result<(Vec<usize>, Vec<f32>), CheckpointError> {
    let path = path.as_ref();
    let tensor = || ARRAY.to_owned();
    let io = |source| CheckpointError::Io { path: path.into(), source };
    let file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let mut reader = BufReader::new(file);
    let header = Header::read(&mut reader)
        .map_err(|source| CheckpointError::Npy { path: path.into(), tensor: tensor(), source })?
        .check(length, ARRAY, path)?;
    let Some(float) = header.dtype.float() else {
        return Err(CheckpointError::Dtype {
            path: path.into(),
            tensor: tensor(),
            dtype: header.dtype,
        });
    };
    let elements = header.shape.iter().product();
    let mut values = Vec::new();
    values.try_reserve_exact(elements).map_err(|_| CheckpointError::OutOfMemory {
        path: path.into(),
        tensor: tensor(),
        elements,
    })?;
    decode::read_floats(
        &mut reader,
        float,
        header.big_endian,
        elements,
        &mut Vec::new(),
        &mut values,
    )
    .map_err(|source| CheckpointError::Read {
        path: path.into(),
        tensor: tensor(),
        offset: header.bytes,
        source,
    })?;
    if header.fortran_order {
        decode::column_to_row_major(&mut values, &header.shape);
    }
    Ok((header.shape, values))
}

/// A `.npy` header.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) dtype: Dtype,
    pub(super) big_endian: bool,
    pub(super) fortran_order: bool,
    pub(super) shape: Vec<usize>,
    /// Its length in bytes: where the elements begin.
    pub(super) bytes: u64,
}

impl Header {
    /// Reads the header, and no more, from `reader`.
    pub(super) fn read(reader: &mut impl Read) -> Result<Self, HeaderError> {
        let mut magic = [0; 6];
        reader.read_exact(&mut magic)?;
        if magic != *MAGIC {
            return Err(HeaderError::Magic(magic));
        }
        let mut version = [0; 2];
        reader.read_exact(&mut version)?;
        let (length, before) = match version {
            [1, 0] => {
                let mut length = [0; 2];
                reader.read_exact(&mut length)?;
                (u32::from(u16::from_le_bytes(length)), 10)
            }
            [2 | 3, 0] => {
                let mut length = [0; 4];
                reader.read_exact(&mut length)?;
                (u32::from_le_bytes(length), 12)
            }
            [major, minor] => return Err(HeaderError::Version { major, minor }),
        };
        if length > LONGEST_HEADER {
            return Err(HeaderError::Length { length, limit: LONGEST_HEADER });
        }
        let mut text = vec![0; length as usize];
        reader.read_exact(&mut text)?;
        let (descr, fortran_order, shape) = literal::parse(&text)?;
        let (dtype, big_endian) = dtype(descr);
        Ok(Self { dtype, big_endian, fortran_order, shape, bytes: before + u64::from(length) })
    }

    /// Checks that header and elements fill `stored` bytes. Of types that cannot be decoded only
    /// the number of elements is checked.
    pub(super) fn check(
        self,
        stored: u64,
        tensor: &str,
        path: &Path,
    ) -> Result<Self, CheckpointError> {
        let stored = stored.saturating_sub(self.bytes);
        let float = self.dtype.float();
        match checked_size(&self.shape, float.map_or(1, |float| 8 * float.bytes())) {
            Some(needed) if needed == stored || float.is_none() => Ok(self),
            needed => {
                let (path, tensor) = (path.into(), tensor.to_owned());
                let Self { shape, dtype, .. } = self;
                Err(match needed {
                    Some(needed) => {
                        CheckpointError::Size { path, tensor, shape, dtype, needed, stored }
                    }
                    None => CheckpointError::ShapeOverflow { path, tensor, shape, dtype },
                })
            }
        }
    }
}

/// Element type and byte order of a NumPy type code.
fn dtype(descr: &str) -> (Dtype, bool) {
    match descr {
        "<f2" => (Dtype::F16, false),
        ">f2" => (Dtype::F16, true),
        "<f4" => (Dtype::F32, false),
        ">f4" => (Dtype::F32, true),
        "<f8" => (Dtype::F64, false),
        ">f8" => (Dtype::F64, true),
        "|V2" | "<V2" => (Dtype::Bf16, false),
        other => (Dtype::Other(other.to_owned()), false),
    }
}
