//! Zip archives of `.npy` arrays, as `numpy.savez` writes them.

use std::collections::BTreeMap;

use std::io::{self, Read};
use std::path::Path;

use crc32fast::Hasher;
use mixfold_gemm::Pool;
use zip::CompressionMethod;

use super::bytes::Bytes;
use super::decode::{Float, read_floats};
use super::npy::Header;
use super::stored::Stored;
use super::{Archive, CheckpointError, Entry, Location};

/// Deflate's greatest expansion: 258 bytes from the two bits of a repeated match.
const DEFLATE_EXPANSION: u64 = 1032;

/// Where an array is, and how its elements are laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    index: usize,
    /// Where in the file the member begins.
    pub(super) offset: u64,
    /// Bytes of the member before the elements.
    header: u64,
    big_endian: bool,
    pub(super) fortran_order: bool,
    /// Where it is without compression.
    pub(super) stored: Option<StoredMember>,
}

/// The bytes of a member that is not compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoredMember {
    /// Where in the file they begin.
    start: u64,
    checksum: u32,
}

/// Reads the header of every array in the archive.
pub(super) fn open(
    mut archive: Archive,
    length: u64,
    path: &Path,
) -> Result<(Archive, BTreeMap<String, Entry>), CheckpointError> {
    let mut entries = BTreeMap::new();
    for index in 0..archive.len() {
        let (tensor, entry) = read_entry(&mut archive, index, length, path)?;
        if entries.contains_key(&tensor) {
            return Err(CheckpointError::Duplicate { path: path.into(), tensor });
        }
        entries.insert(tensor, entry);
    }
    Ok((archive, entries))
}

fn read_entry(
    archive: &mut Archive,
    index: usize,
    length: u64,
    path: &Path,
) -> Result<(String, Entry), CheckpointError> {
    let member = |source| CheckpointError::Member { path: path.into(), index, source };
    let mut file = archive.by_index(index).map_err(member)?;
    let name = file.name().map_err(member)?;
    let tensor = name.strip_suffix(".npy").unwrap_or(&name).to_owned();

    let (compressed, size) = (file.compressed_size(), file.size());
    let expansion = match file.compression() {
        CompressionMethod::Stored => 1,
        _ => DEFLATE_EXPANSION,
    };
    if compressed > length || size > compressed.saturating_mul(expansion) {
        return Err(CheckpointError::Inflation { path: path.into(), tensor, compressed, size });
    }

    let (start, checksum) = (file.data_start(), file.crc32());
    let is_plain = file.compression() == CompressionMethod::Stored && !file.encrypted();
    let is_inside = |&start: &u64| start.checked_add(size).is_some_and(|end| end <= length);
    let start = start.filter(|_| is_plain && size == compressed).filter(is_inside);
    let stored = start.map(|start| StoredMember { start, checksum });

    let header = Header::read(&mut file).map_err(|source| CheckpointError::Npy {
        path: path.into(),
        tensor: tensor.clone(),
        source,
    })?;
    let header = header.check(size, &tensor, path)?;
    let location = Location::Member(Member {
        index,
        offset: file.header_start(),
        header: header.bytes,
        big_endian: header.big_endian,
        fortran_order: header.fortran_order,
        stored,
    });
    let Header { dtype, shape, bytes, .. } = header;
    Ok((tensor, Entry { dtype, shape, bytes: size.saturating_sub(bytes), location }))
}

impl Member {
    /// Reads the array's elements into `values`, in the order they are stored, and verifies the member's
    /// checksum.
    pub(super) fn read_stored(
        &self,
        StoredMember { start, checksum }: StoredMember,
        float: Float,
        bytes: &dyn Bytes,
        pool: &dyn Pool,
        values: &mut [f32],
    ) -> io::Result<()> {
        let mut header = vec![0; self.header as usize];
        bytes.read_exact_at(&mut header, start)?;
        let mut found = Hasher::new();
        found.update(&header);
        let offset = start + self.header;
        let elements = Stored { offset, float, big_endian: self.big_endian };
        if elements.read_checked(bytes, pool, values, found)?.finalize() == checksum {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, "Invalid checksum"))
        }
    }
}

/// Appends the array's elements to `values`, in the order they are stored, and verifies the
/// member's checksum.
pub(super) fn read(
    archive: &mut Archive,
    member: &Member,
    float: Float,
    count: usize,
    chunk: &mut Vec<u64>,
    values: &mut Vec<f32>,
) -> io::Result<()> {
    let mut file = archive.by_index(member.index)?;
    io::copy(&mut Read::by_ref(&mut file).take(member.header), &mut io::sink())?;
    read_floats(&mut file, float, member.big_endian, count, chunk, values)?;
    // The checksum is compared when the end is met.
    match file.read(&mut [0])? {
        0 => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "more bytes than the array declares")),
    }
}
