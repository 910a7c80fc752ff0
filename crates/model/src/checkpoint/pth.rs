//! Files of `torch.save`: a zip archive of a pickle, which says where each tensor is, and of storages.
//!
//! Members are `NAME/data.pkl`; `NAME/data/KEY`, a storage, stored without compression; and
//! `NAME/byteorder`, little-endian if there is none. A tensor is a view of a storage: first element,
//! shape and strides; several may share one storage. Checksums are not compared: PyTorch can be told to
//! write none.

mod error;
mod state;

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use zip::CompressionMethod;
use zip::result::ZipError;

use super::decode::{self, Float, read_floats};
use super::pickle::{self, Pickle, Storage, Tensor};
use super::stored::Stored;
use super::{Archive, CheckpointError, Entry, Location, Reader, checked_size};

pub use error::StorageError;

/// The end of the name of the member that says what the others are.
const PICKLE: &[u8] = b"/data.pkl";

/// The first bytes of files that `torch.save` wrote before PyTorch 1.6: a pickle of a magic number.
const LEGACY: [u8; 9] = [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9];

/// Where a tensor's elements are, and how they are laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// Where in the file the first element is.
    pub(super) offset: u64,
    big_endian: bool,
    /// Of a tensor whose elements do not follow one another.
    strided: Option<Strided>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Strided {
    /// In elements, 0 along dimensions of length 1.
    strides: Vec<usize>,
    /// Elements from the first one on up to the last.
    span: usize,
}

impl View {
    /// The elements, if they follow one another.
    pub(super) fn stored(&self, float: Float) -> Option<Stored> {
        let (offset, big_endian) = (self.offset, self.big_endian);
        self.strided.is_none().then_some(Stored { offset, float, big_endian })
    }
}

/// Whether a file that starts with these bytes is one of PyTorch without an archive.
pub(super) fn is_legacy(start: &[u8]) -> bool {
    start == LEGACY
}

/// Whether the archive is one of PyTorch.
pub(super) fn is_pth(archive: &Archive) -> bool {
    archive.file_names_raw().any(|name| name.ends_with(PICKLE))
}

/// Finds the state dict and checks its tensors against their storages.
pub(super) fn open(
    archive: Archive,
    length: u64,
    path: &Path,
) -> Result<(Reader, BTreeMap<String, Entry>), CheckpointError> {
    let refuse = |reason: &'static str| CheckpointError::Archive {
        path: path.into(),
        source: ZipError::InvalidArchive(reason.into()),
    };
    if archive.has_duplicate_names() {
        return Err(refuse("two members have one name"));
    }
    let mut pickles = archive.file_names_raw().filter_map(|name| name.strip_suffix(PICKLE));
    let folder = match (pickles.next(), pickles.next()) {
        (Some(folder), None) => folder.to_owned(),
        _ => return Err(refuse("more than one data.pkl")),
    };
    drop(pickles);
    let mut files = Files { archive, folder, length };
    let member = |member: &str, source| {
        let (member, source) = (member.to_owned(), Box::new(source));
        CheckpointError::PthMember { path: path.into(), member, source }
    };
    let big_endian = match files.read("byteorder", 16) {
        Ok(order) if order == b"little" => false,
        Ok(order) if order == b"big" => true,
        Ok(_) => return Err(refuse("its byteorder is neither little nor big")),
        Err(StorageError::Missing) => false,
        Err(error) => return Err(member("byteorder", error)),
    };
    let bytes =
        files.read("data.pkl", pickle::LONGEST).map_err(|error| member("data.pkl", error))?;
    let pickle = Pickle::read(&bytes)
        .map_err(|source| CheckpointError::Pickle { path: path.into(), source })?;

    let mut entries = BTreeMap::new();
    for (tensor, view) in state::tensors(&pickle, path)? {
        if entries.contains_key(tensor) {
            let (path, tensor) = (path.into(), tensor.to_owned());
            return Err(CheckpointError::Duplicate { path, tensor });
        }
        let entry = files.entry(view, big_endian).map_err(|source| {
            let (tensor, storage) = (tensor.to_owned(), view.storage.key.to_owned());
            let source = Box::new(source);
            CheckpointError::Storage { path: path.into(), tensor, storage, source }
        })?;
        entries.insert(tensor.to_owned(), entry);
    }
    Ok((files.archive.into_inner(), entries))
}

struct Files {
    archive: Archive,
    folder: Vec<u8>,
    /// Of the whole file.
    length: u64,
}

impl Files {
    fn index(&self, member: &str) -> Result<usize, StorageError> {
        let name = [&self.folder, &b"/"[..], member.as_bytes()].concat();
        self.archive.index_for_name_raw(&name).ok_or(StorageError::Missing)
    }

    /// Where the member's bytes begin, and how many they are.
    fn locate(&mut self, member: &str) -> Result<(u64, u64), StorageError> {
        let index = self.index(member)?;
        let member = self.archive.by_index_raw(index)?;
        let (offset, bytes) = (member.data_start().unwrap_or(u64::MAX), member.size());
        let stored = member.compression() == CompressionMethod::Stored && !member.encrypted();
        if !stored || member.compressed_size() != bytes {
            return Err(StorageError::Compressed);
        }
        let length = self.length;
        match offset.checked_add(bytes) {
            Some(end) if end <= length => Ok((offset, bytes)),
            _ => Err(StorageError::Outside { offset, bytes, length }),
        }
    }

    /// The bytes of a member that is not longer than `limit`.
    fn read(&mut self, member: &str, limit: u64) -> Result<Vec<u8>, StorageError> {
        let (_, bytes) = self.locate(member)?;
        if bytes > limit {
            return Err(StorageError::Length { bytes, limit });
        }
        let index = self.index(member)?;
        let mut contents = Vec::new();
        self.archive.by_index_raw(index)?.read_to_end(&mut contents).map_err(ZipError::Io)?;
        Ok(contents)
    }

    /// Checks that the tensor is within its storage, and the storage within the file.
    fn entry(&mut self, view: &Tensor<'_>, big_endian: bool) -> Result<Entry, StorageError> {
        let Tensor { storage: Storage { element, key, elements }, offset, shape, strides } = view;
        let (size, elements) = (element.bytes, *elements);
        let (begin, bytes) = self.locate(&format!("data/{key}"))?;
        if elements.checked_mul(size as u64) != Some(bytes) {
            return Err(StorageError::Size { elements, size, bytes });
        }
        let outside = || StorageError::View {
            offset: *offset,
            shape: shape.clone(),
            strides: strides.clone(),
            elements,
        };
        let span = span(shape, strides).ok_or_else(outside)?;
        let end = offset.checked_add(span as u64).ok_or_else(outside)?;
        if end > elements {
            return Err(outside());
        }
        let length = self.length;
        let bytes = checked_size(shape, 8 * size).unwrap_or(u64::MAX);
        if bytes > length {
            return Err(StorageError::Repeated { bytes, length });
        }
        let steps = shape.iter().zip(strides).map(|(&length, &stride)| match length {
            0 | 1 => 0,
            _ => stride,
        });
        let strided =
            (!is_row_major(shape, strides)).then(|| Strided { strides: steps.collect(), span });
        let offset = begin + offset * size as u64;
        let location = Location::View(View { offset, big_endian, strided });
        Ok(Entry { dtype: element.dtype(), shape: shape.clone(), bytes, location })
    }
}

/// The elements from a tensor's first one on up to its last: none if it has none.
fn span(shape: &[usize], strides: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().zip(strides).try_fold(1_usize, |span, (&length, &stride)| {
        (length - 1).checked_mul(stride)?.checked_add(span)
    })
}

/// Whether the elements follow one another. The strides of dimensions of length 1 do not matter.
fn is_row_major(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    let long = shape.iter().zip(strides).rev().filter(|&(&length, _)| length > 1);
    let mut follows = long.map(|(&length, &stride)| {
        let follows = stride == expected;
        expected *= length;
        follows
    });
    shape.contains(&0) || follows.all(|follows| follows)
}

/// Appends the tensor's elements to `values` in row-major order.
pub(super) fn read(
    reader: &mut Reader,
    view: &View,
    float: Float,
    shape: &[usize],
    chunk: &mut Vec<u64>,
    values: &mut Vec<f32>,
) -> io::Result<()> {
    reader.seek(SeekFrom::Start(view.offset))?;
    let Some(Strided { strides, span }) = &view.strided else {
        let count = shape.iter().product();
        return read_floats(reader, float, view.big_endian, count, chunk, values);
    };
    let mut stored = Vec::new();
    stored.try_reserve_exact(*span).map_err(|_| io::ErrorKind::OutOfMemory)?;
    read_floats(reader, float, view.big_endian, *span, chunk, &mut stored)?;
    decode::gather(&stored, shape, strides, values);
    Ok(())
}

/// Appends the tensor's elements to `bytes` as they are, in row-major order and little-endian.
pub(super) fn read_bytes(
    reader: &mut Reader,
    view: &View,
    entry: &Entry,
    bytes: &mut Vec<u8>,
) -> io::Result<()> {
    reader.seek(SeekFrom::Start(view.offset))?;
    let size = entry.bytes().checked_div(entry.elements() as u64).unwrap_or(0) as usize;
    match &view.strided {
        None => decode::read_whole(reader, entry.bytes(), bytes)?,
        Some(Strided { strides, span }) => {
            let (length, mut stored) = (span * size, Vec::new());
            stored.try_reserve_exact(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
            decode::read_whole(reader, length as u64, &mut stored)?;
            decode::for_each_place(&entry.shape, strides, |place| {
                bytes.extend_from_slice(&stored[place * size..][..size]);
            });
        }
    }
    // A complex number is two, each in the file's byte order.
    let number = if entry.dtype.to_string().starts_with("complex") { size / 2 } else { size };
    if view.big_endian && number > 1 {
        bytes.chunks_exact_mut(number).for_each(<[u8]>::reverse);
    }
    Ok(())
}
