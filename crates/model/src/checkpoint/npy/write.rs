//! Writing `.npy` arrays of f32.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{ARRAY, MAGIC};
use crate::checkpoint::{CheckpointError, Dtype, Replacement, checked_size};

/// Writes an f32 array in row-major order, version 1.0, little-endian. The file is written beside
/// `path` and renamed to it when it is complete, so that no reader meets half of it.
///
/// # Errors
/// `values` has not as many elements as `shape` says, or the file cannot be written; at the path is
/// something that must not be replaced, such as a folder or a device.
pub fn write(
    path: impl AsRef<Path>,
    shape: &[usize],
    values: &[f32],
) -> Result<(), CheckpointError> {
    let mut writer = Writer::create(path, shape)?;
    writer.append(values)?;
    writer.finish()
}

/// Writes an f32 array piece by piece, as [`write`](fn@write) does. If it is dropped before
/// [`finish`](Self::finish), nothing is left of it.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: Replacement,
    shape: Vec<usize>,
    needed: u64,
    written: u64,
    bytes: Vec<u8>,
}

impl Writer {
    /// Begins an array of this shape, beside `path`.
    ///
    /// # Errors
    /// The file cannot be written, at the path is something else than a file, or the shape overflows.
    pub fn create(path: impl AsRef<Path>, shape: &[usize]) -> Result<Self, CheckpointError> {
        let path = path.as_ref();
        let needed = checked_size(shape, 32).ok_or_else(|| CheckpointError::ShapeOverflow {
            path: path.into(),
            tensor: ARRAY.to_owned(),
            shape: shape.to_vec(),
            dtype: Dtype::F32,
        })?;
        let begin = || {
            let mut file = Replacement::begin(path)?;
            file.write_all(&encode_header(shape)?)?;
            Ok(file)
        };
        let file = begin().map_err(|source| CheckpointError::Io { path: path.into(), source })?;
        let (path, shape) = (path.into(), shape.to_vec());
        Ok(Self { path, file, shape, needed, written: 0, bytes: Vec::new() })
    }

    /// The array's dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Adds the elements that follow.
    ///
    /// # Errors
    /// There are more than the shape says, and none is written then; or the file cannot be written.
    pub fn append(&mut self, values: &[f32]) -> Result<(), CheckpointError> {
        let written = self.written + size_of_val(values) as u64;
        if written > self.needed {
            return Err(self.size_error(written));
        }
        for block in values.chunks(16 * 1024) {
            self.bytes.clear();
            self.bytes.extend(block.iter().flat_map(|value| value.to_le_bytes()));
            let result = self.file.write_all(&self.bytes);
            result.map_err(|source| CheckpointError::Io { path: self.path.clone(), source })?;
        }
        self.written = written;
        Ok(())
    }

    /// Creates or replaces the file at the path.
    ///
    /// # Errors
    /// There are fewer elements than the shape says, or the file cannot be written.
    pub fn finish(self) -> Result<(), CheckpointError> {
        if self.written != self.needed {
            return Err(self.size_error(self.written));
        }
        let Self { path, file, .. } = self;
        file.finish().map_err(|source| CheckpointError::Io { path, source })
    }

    fn size_error(&self, stored: u64) -> CheckpointError {
        CheckpointError::Size {
            path: self.path.clone(),
            tensor: ARRAY.to_owned(),
            shape: self.shape.clone(),
            dtype: Dtype::F32,
            needed: self.needed,
            stored,
        }
    }
}

/// Magic, version, length and dictionary, padded so that the elements begin at a multiple of 64.
fn encode_header(shape: &[usize]) -> io::Result<Vec<u8>> {
    let shape = match shape {
        [only] => format!("({only},)"),
        _ => format!("({})", shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    };
    let mut text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    let before = MAGIC.len() + 2 + 2;
    let padded = (before + text.len() + 1).next_multiple_of(64) - before;
    text.extend(std::iter::repeat_n(' ', padded - 1 - text.len()));
    text.push('\n');
    let length = u16::try_from(text.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "too many dimensions"))?;
    Ok([MAGIC, &[1, 0][..], &length.to_le_bytes(), text.as_bytes()].concat())
}
