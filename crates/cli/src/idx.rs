//! IDX files, the format of MNIST and its successors: a header, then bytes.
//!
//! Layout (<http://yann.lecun.com/exdb/mnist/>): two zero bytes, the element type (8: unsigned
//! byte), the number of dimensions, each dimension as u32 in big-endian order, the elements in
//! row-major order. The files are shipped compressed; gzip is told by its first bytes.
//!
//! Files are read as a stream, so that no size that they claim costs memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use thiserror::Error;

const UNSIGNED_BYTE: u8 = 8;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Why an IDX file cannot be read.
#[derive(Debug, Error)]
pub(crate) enum IdxError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}: no IDX file: it starts with {start:02x?}")]
    Magic { path: PathBuf, start: [u8; 4] },
    #[error("{path}: elements of type {code:#04x}; unsigned bytes (0x08) can be read")]
    Type { path: PathBuf, code: u8 },
    #[error("{path}: {found} dimensions, expected {expected}")]
    Dimensions { path: PathBuf, expected: usize, found: u8 },
    #[error("{path}: dimensions {shape:?} overflow")]
    Overflow { path: PathBuf, shape: Vec<usize> },
    #[error("{path}: dimensions {shape:?} need {needed} bytes of data, the file has {found}")]
    Length { path: PathBuf, shape: Vec<usize>, needed: u64, found: u64 },
    #[error("{path}: dimensions {shape:?} need {needed} bytes of data, more follow")]
    Trailing { path: PathBuf, shape: Vec<usize>, needed: u64 },
}

/// An open IDX file with `N` dimensions.
pub(crate) struct Idx<const N: usize> {
    path: PathBuf,
    shape: [usize; N],
    reader: Box<dyn Read>,
    needed: u64,
    read: u64,
}

impl<const N: usize> Idx<N> {
    /// Reads the header.
    pub(crate) fn open(path: &Path) -> Result<Self, IdxError> {
        let io = |source| IdxError::Io { path: path.into(), source };
        let mut file = BufReader::new(File::open(path).map_err(io)?);
        if file.fill_buf().map_err(io)?.starts_with(&GZIP) {
            Self::from_reader(path, Box::new(MultiGzDecoder::new(file)))
        } else {
            Self::from_reader(path, Box::new(file))
        }
    }

    fn from_reader(path: &Path, mut reader: Box<dyn Read>) -> Result<Self, IdxError> {
        let io = |source| IdxError::Io { path: path.into(), source };
        let mut start = [0; 4];
        reader.read_exact(&mut start).map_err(io)?;
        let [0, 0, code, dimensions] = start else {
            return Err(IdxError::Magic { path: path.into(), start });
        };
        if code != UNSIGNED_BYTE {
            return Err(IdxError::Type { path: path.into(), code });
        }
        if usize::from(dimensions) != N {
            let (path, found) = (path.into(), dimensions);
            return Err(IdxError::Dimensions { path, expected: N, found });
        }
        let mut shape = [0; N];
        for dimension in &mut shape {
            let mut bytes = [0; 4];
            reader.read_exact(&mut bytes).map_err(io)?;
            *dimension = u32::from_be_bytes(bytes) as usize;
        }
        let needed = shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d));
        let overflow = || IdxError::Overflow { path: path.into(), shape: shape.to_vec() };
        let needed = needed.ok_or_else(overflow)? as u64;
        Ok(Idx { path: path.into(), shape, reader, needed, read: 0 })
    }

    pub(crate) fn shape(&self) -> [usize; N] {
        self.shape
    }

    /// Fills `elements` with those that follow.
    pub(crate) fn read(&mut self, mut elements: &mut [u8]) -> Result<(), IdxError> {
        while !elements.is_empty() {
            let count = match self.reader.read(elements) {
                Ok(0) => return Err(self.length_error()),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Err(self.length_error());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(source) => return Err(IdxError::Io { path: self.path.clone(), source }),
                Ok(count) => count,
            };
            self.read += count as u64;
            elements = &mut elements[count..];
        }
        Ok(())
    }

    /// Checks that nothing follows the last element, and the checksum of a compressed file.
    pub(crate) fn finish(mut self) -> Result<(), IdxError> {
        match self.reader.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => {
                let (path, shape) = (self.path, self.shape.to_vec());
                Err(IdxError::Trailing { path, shape, needed: self.needed })
            }
            Err(source) => Err(IdxError::Io { path: self.path, source }),
        }
    }

    fn length_error(&self) -> IdxError {
        IdxError::Length {
            path: self.path.clone(),
            shape: self.shape.to_vec(),
            needed: self.needed,
            found: self.read,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const PAIR: [u8; 18] = [0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 7, 9];

    fn open<const N: usize>(bytes: &[u8]) -> Result<Idx<N>, IdxError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("idx");
        std::fs::write(&path, bytes).unwrap();
        Idx::open(&path)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn elements<const N: usize>(bytes: &[u8]) -> Result<Vec<u8>, IdxError> {
        let mut file = open::<N>(bytes)?;
        let mut elements = Vec::new();
        for _ in 0..file.shape().iter().product() {
            let mut element = [0];
            file.read(&mut element)?;
            elements.extend(element);
        }
        file.finish()?;
        Ok(elements)
    }

    #[test]
    fn plain_and_compressed() {
        assert_eq!(open::<3>(&PAIR).unwrap().shape(), [1, 2, 1]);
        assert_eq!(elements::<3>(&PAIR).unwrap(), [7, 9]);
        assert_eq!(elements::<3>(&gzip(&PAIR)).unwrap(), [7, 9]);
        // A gzip file may have several members.
        let members = [gzip(&PAIR[..17]), gzip(&PAIR[17..])].concat();
        assert_eq!(elements::<3>(&members).unwrap(), [7, 9]);
    }

    #[test]
    fn what_is_refused() {
        use IdxError::*;
        let error = |bytes: &[u8]| elements::<3>(bytes).unwrap_err();
        let with = |at: usize, byte: u8| {
            let mut bytes = PAIR;
            bytes[at] = byte;
            bytes
        };
        assert!(matches!(error(&with(0, 1)), Magic { start: [1, 0, 8, 3], .. }));
        assert!(matches!(error(&with(2, 13)), Type { code: 13, .. }));
        assert!(matches!(error(&with(3, 1)), Dimensions { expected: 3, found: 1, .. }));
        assert!(matches!(error(&PAIR[..3]), Io { .. }));
        assert!(matches!(error(&PAIR[..10]), Io { .. }));
        let shortened = [PAIR[..17].to_vec(), gzip(&PAIR[..17])];
        for bytes in shortened {
            assert!(matches!(error(&bytes), Length { needed: 2, found: 1, .. }));
        }
        let lengthened = [&PAIR[..], &[1]].concat();
        for bytes in [lengthened.clone(), gzip(&lengthened)] {
            assert!(matches!(error(&bytes), Trailing { needed: 2, .. }));
        }
        let huge = [&[0, 0, 8, 3][..], &[255; 12]].concat();
        assert!(matches!(error(&huge), Overflow { .. }));
    }

    #[test]
    fn damaged_compression() {
        let good = gzip(&PAIR);
        for end in 0..good.len() {
            assert!(elements::<3>(&good[..end]).is_err(), "cut off at {end}");
        }
        let mut checksum = good.clone();
        let at = checksum.len() - 8;
        checksum[at] ^= 1;
        assert!(matches!(elements::<3>(&checksum), Err(IdxError::Io { .. })));
    }
}
