//! Weights from files: safetensors, NumPy's `.npz` and PyTorch's `.pth`, told apart by content.
//!
//! A file is read, not mapped: [`Checkpoint::open`] reads and checks the table of contents,
//! [`Checkpoint::read_f32`] reads one tensor, by position, into a buffer of the caller's;
//! [`Checkpoint::read_f32_on`] does that on several threads. Peak memory is the table and the largest
//! tensor, not the file.
//!
//! Nothing a file says is believed before it is checked: header lengths against the file's
//! length, shapes against the bytes stored (products without overflow), declared sizes of
//! compressed members against what their compressed bytes can expand to. The pickle in a `.pth` is
//! read, never run: it can name nothing but tensors, ordered dicts and the arguments of a training
//! script (`argparse.Namespace`, in which nothing is looked up), [`PickleError`] otherwise.
//!
//! ```no_run
//! use mixfold_model::Checkpoint;
//!
//! let mut file = Checkpoint::open("mixer_b16_224.safetensors")?;
//! let mut weight = Vec::new();
//! file.read_f32("blocks.0.mlp_tokens.fc1.weight", &mut weight)?;
//! assert_eq!(weight.len(), 384 * 196);
//! # Ok::<(), mixfold_model::CheckpointError>(())
//! ```

mod bytes;
mod decode;
mod entry;
mod error;
mod format;
pub mod npy;
mod npz;
mod pickle;
mod pth;
mod replacement;
mod safetensors;
mod stored;
mod write;

use std::borrow::Cow;
use std::collections::{BTreeMap, TryReserveError};
use std::fs::File;
use std::hint::black_box;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mixfold_gemm::{Pool, Sequential};
use zip::ZipArchive;

use bytes::{Bytes, Cursor};
use entry::{Location, checked_size};
use format::Start;
use stored::Stored;

pub use entry::{Dtype, Entry};
pub use error::CheckpointError;
pub use format::Format;
pub use pickle::PickleError;
pub use pth::StorageError;
pub use replacement::Replacement;
pub use write::{Tensor, write_safetensors};

/// A weights file that has been opened: its table of contents, checked, and the file itself.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    entries: BTreeMap<String, Entry>,
    metadata: BTreeMap<String, String>,
    bytes: Arc<dyn Bytes>,
    source: Source,
    chunk: Vec<u64>,
}

type Reader = BufReader<Cursor>;
type Archive = ZipArchive<Reader>;

#[derive(Debug)]
enum Source {
    Safetensors(Cursor),
    Npz(Archive),
    Pth(Reader),
}

impl Checkpoint {
    /// Opens the file and checks its table of contents. The format is told from the first bytes,
    /// and of a zip archive from the names of its members: the extension does not matter. No
    /// tensor is read.
    ///
    /// # Errors
    /// The file cannot be read, is of no [`Format`], or contradicts itself: a header longer than
    /// the file, a tensor whose bytes are not those of its shape and type, overlap with its
    /// neighbour or reach past the end, two tensors of one name, a compressed size that cannot
    /// hold what it claims. A `.pth` holds something else than tensors, dicts, lists, tuples,
    /// numbers, strings and `argparse.Namespace`, or no state dict.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, CheckpointError> {
        let path = path.as_ref();
        let io = |source| CheckpointError::Io { path: path.into(), source };
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        Self::from_source(path, Arc::new(file), length)
    }

    /// Opens a file that is in memory already. `name` stands for its path in errors.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_bytes(
        name: impl AsRef<Path>,
        bytes: impl Into<Cow<'static, [u8]>>,
    ) -> Result<Self, CheckpointError> {
        let bytes = bytes.into();
        let length = bytes.len() as u64;
        Self::from_source(name.as_ref(), Arc::new(bytes), length)
    }

    fn from_source(
        path: &Path,
        bytes: Arc<dyn Bytes>,
        length: u64,
    ) -> Result<Self, CheckpointError> {
        let io = |source| CheckpointError::Io { path: path.into(), source };
        let mut file = Cursor::new(bytes.clone(), length);
        let mut start = Vec::with_capacity(9);
        Read::by_ref(&mut file).take(9).read_to_end(&mut start).map_err(io)?;
        file.seek(SeekFrom::Start(0)).map_err(io)?;

        let (entries, metadata, source) = match Start::of(&start) {
            Start::Safetensors => {
                let table = safetensors::read_table(&mut file, length, path)?;
                (table.entries, table.metadata, Source::Safetensors(file))
            }
            Start::Zip => {
                let archive = ZipArchive::new(BufReader::new(file))
                    .map_err(|source| CheckpointError::Archive { path: path.into(), source })?;
                let (source, entries) = if pth::is_pth(&archive) {
                    let (reader, entries) = pth::open(archive, length, path)?;
                    (Source::Pth(reader), entries)
                } else {
                    let (archive, entries) = npz::open(archive, length, path)?;
                    (Source::Npz(archive), entries)
                };
                (entries, BTreeMap::new(), source)
            }
            Start::LegacyPth => return Err(CheckpointError::LegacyPth { path: path.into() }),
            Start::Unknown => {
                return Err(CheckpointError::UnknownFormat { path: path.into(), start });
            }
        };
        Ok(Self { path: path.into(), entries, metadata, bytes, source, chunk: Vec::new() })
    }

    /// The path the file was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's format.
    pub fn format(&self) -> Format {
        match self.source {
            Source::Safetensors(_) => Format::Safetensors,
            Source::Npz(_) => Format::Npz,
            Source::Pth(_) => Format::Pth,
        }
    }

    /// The `__metadata__` of a safetensors file; empty for other formats.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The tensors' names in alphabetical order. Those of an `.npz` are without the `.npy` that
    /// NumPy adds to each member.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Names and descriptions of all tensors, in alphabetical order.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// Type and shape of a tensor, or `None` if there is none of this name.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// Replaces the contents of `values` by the tensor, in row-major order and as f32: exact for
    /// f16, bf16 and f32; f64 rounded to nearest, to infinity beyond f32's range. Allocates only
    /// if `values` has too little capacity. After an error the contents are unspecified.
    ///
    /// # Errors
    /// There is no such tensor, its type is not one of those, its bytes cannot be read, or (in a
    /// zip archive) their checksum is wrong.
    pub fn read_f32(&mut self, name: &str, values: &mut Vec<f32>) -> Result<(), CheckpointError> {
        self.read_f32_on(&Sequential, name, values)
    }

    /// As [`read_f32`](Self::read_f32), on the threads of `pool`. They share what is stored without
    /// compression, its elements next to each other.
    ///
    /// # Errors
    /// As [`read_f32`](Self::read_f32).
    pub fn read_f32_on(
        &mut self,
        pool: &dyn Pool,
        name: &str,
        values: &mut Vec<f32>,
    ) -> Result<(), CheckpointError> {
        let count = self.read_into(pool, name, values)?.len();
        values.truncate(count);
        Ok(())
    }

    /// Reads a tensor into the front of `values`, which become more if they are too few, and never
    /// fewer: what is there already need not be set to zero again.
    pub(crate) fn read_into<'v>(
        &mut self,
        pool: &dyn Pool,
        name: &str,
        values: &'v mut Vec<f32>,
    ) -> Result<&'v mut [f32], CheckpointError> {
        let path = &self.path;
        let Some(entry) = self.entries.get(name) else {
            return Err(CheckpointError::Missing { path: path.clone(), tensor: name.into() });
        };
        let Some(float) = entry.dtype.float() else {
            return Err(CheckpointError::Dtype {
                path: path.clone(),
                tensor: name.into(),
                dtype: entry.dtype.clone(),
            });
        };
        let count = entry.elements();
        let is_stored = match &entry.location {
            Location::Bytes { .. } => true,
            Location::Member(member) => member.stored.is_some(),
            Location::View(view) => view.stored(float).is_some(),
        };
        let reserved = if is_stored { room(values, count) } else { empty(values, count) };
        reserved.map_err(|_| CheckpointError::OutOfMemory {
            path: path.clone(),
            tensor: name.into(),
            elements: count,
        })?;
        let (bytes, chunk) = (&*self.bytes, &mut self.chunk);
        let (offset, result) = match (&mut self.source, &entry.location) {
            (Source::Safetensors(_), &Location::Bytes { offset }) => {
                let stored = Stored { offset, float, big_endian: false };
                (offset, stored.read(bytes, pool, &mut values[..count]))
            }
            (Source::Npz(archive), Location::Member(member)) => {
                let read = match &member.stored {
                    Some(stored) => {
                        member.read_stored(*stored, float, bytes, pool, &mut values[..count])
                    }
                    None => npz::read(archive, member, float, count, chunk, values),
                };
                if read.is_ok() && member.fortran_order {
                    values.truncate(count);
                    decode::column_to_row_major(values, &entry.shape);
                }
                (member.offset, read)
            }
            (Source::Pth(reader), Location::View(view)) => {
                let read = match view.stored(float) {
                    Some(stored) => stored.read(bytes, pool, &mut values[..count]),
                    None => pth::read(reader, view, float, &entry.shape, chunk, values),
                };
                (view.offset, read)
            }
            _ => unreachable!("`open` gives each entry a location in its own source"),
        };
        match result {
            Ok(()) => Ok(&mut values[..count]),
            Err(source) => Err(CheckpointError::Read {
                path: path.clone(),
                tensor: name.into(),
                offset,
                source,
            }),
        }
    }

    /// Replaces the contents of `bytes` by the tensor as it is stored, of whatever type: little-endian, in
    /// row-major order.
    ///
    /// # Errors
    /// There is no such tensor, the file is an `.npz`, or its bytes cannot be read.
    pub fn read_bytes(&mut self, name: &str, bytes: &mut Vec<u8>) -> Result<(), CheckpointError> {
        let (path, tensor) = (self.path.clone(), name.to_owned());
        let Some(entry) = self.entries.get(name) else {
            return Err(CheckpointError::Missing { path, tensor });
        };
        let offset = match &entry.location {
            &Location::Bytes { offset } => offset,
            Location::View(view) => view.offset,
            Location::Member(_) => return Err(CheckpointError::Stored { path, tensor }),
        };
        bytes.clear();
        let (needed, elements) = (entry.bytes, entry.elements());
        let reserved =
            usize::try_from(needed).is_ok_and(|len| bytes.try_reserve_exact(len).is_ok());
        if !reserved {
            return Err(CheckpointError::OutOfMemory { path, tensor, elements });
        }
        let read = match (&mut self.source, &entry.location) {
            (Source::Safetensors(file), _) => file
                .seek(SeekFrom::Start(offset))
                .and_then(|_| decode::read_whole(file, needed, bytes)),
            (Source::Pth(reader), Location::View(view)) => {
                pth::read_bytes(reader, view, entry, bytes)
            }
            _ => unreachable!("`open` gives each entry a location in its own source"),
        };
        read.map_err(|source| CheckpointError::Read { path, tensor, offset, source })
    }
}

/// Makes `values` at least `count`.
fn room(values: &mut Vec<f32>, count: usize) -> Result<(), TryReserveError> {
    if values.capacity() < count {
        *values = Vec::new();
        values.try_reserve_exact(count)?;
        // There is memory. Zeros are given untouched by the system: the threads that read touch it first.
        drop(black_box(mem::take(values)));
        *values = vec![0.0; count];
    } else if values.len() < count {
        values.resize(count, 0.0);
    }
    Ok(())
}

/// Makes `values` none, with room for `count`.
fn empty(values: &mut Vec<f32>, count: usize) -> Result<(), TryReserveError> {
    values.clear();
    values.try_reserve_exact(count)
}
