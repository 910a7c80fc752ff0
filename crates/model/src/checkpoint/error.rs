//! What can be wrong with a weights file.

use std::io;
use std::path::PathBuf;

use thiserror::Error;
use zip::result::ZipError;

use super::npy::HeaderError;
use super::{Dtype, PickleError, StorageError};

/// Why a weights file could not be opened, read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file could not be opened, read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The first bytes are neither those of a safetensors file nor those of a zip archive.
    #[error("{path}: neither safetensors, npz nor PyTorch's: {}", beginning(start))]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// Its first bytes, nine at most.
        start: Vec<u8>,
    },
    /// The bytes of a tensor were asked for as they are stored, in a file that is an archive of arrays.
    #[error(
        "{path}: tensor `{tensor}` cannot be copied as it is: the file is an npz; convert it first"
    )]
    Stored {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// A safetensors header is longer than the rest of the file, or than the format allows.
    #[error("{path}: the header claims {length} bytes, {limit} are possible")]
    HeaderLength {
        /// The file.
        path: PathBuf,
        /// The header's length by the file's first eight bytes.
        length: u64,
        /// The bytes that follow in the file, or the format's limit if that is less.
        limit: u64,
    },
    /// A safetensors header is not the JSON it should be.
    #[error("{path}: invalid safetensors header: {source}")]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column in the header.
        source: serde_json::Error,
    },
    /// A safetensors tensor does not begin where the one before it ends, or ends before it
    /// begins, or past the data.
    #[error(
        "{path}: tensor `{tensor}` claims bytes {begin}..{end} of the data, \
         they must begin at {expected} and lie within {available} bytes"
    )]
    Range {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// First byte, counted from the end of the header.
        begin: u64,
        /// One past the last byte.
        end: u64,
        /// The end of the tensor before.
        expected: u64,
        /// The bytes between the header and the end of the file.
        available: u64,
    },
    /// Bytes at the end of a safetensors file belong to no tensor.
    #[error("{path}: the tensors take {used} bytes of data, the file holds {available}")]
    UnusedData {
        /// The file.
        path: PathBuf,
        /// The end of the last tensor.
        used: u64,
        /// The bytes between the header and the end of the file.
        available: u64,
    },
    /// A tensor's bytes are not as many as its shape and type need.
    #[error(
        "{path}: tensor `{tensor}` of shape {shape:?} and type {dtype} needs {needed} bytes, \
         {stored} are stored"
    )]
    Size {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its dimensions.
        shape: Vec<usize>,
        /// Its element type.
        dtype: Dtype,
        /// Product of the dimensions times the element's size.
        needed: u64,
        /// The bytes the file holds for it.
        stored: u64,
    },
    /// The product of a tensor's dimensions and element size overflows.
    #[error("{path}: tensor `{tensor}` of shape {shape:?} and type {dtype} overflows")]
    ShapeOverflow {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its dimensions.
        shape: Vec<usize>,
        /// Its element type.
        dtype: Dtype,
    },
    /// A zip archive's directory is damaged.
    #[error("{path}: damaged or cut off: {source}")]
    Archive {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: ZipError,
    },
    /// A zip member is damaged, or uses what is not supported: encryption, another compression
    /// than deflate.
    #[error("{path}: archive member {index}: {source}")]
    Member {
        /// The file.
        path: PathBuf,
        /// The member's place in the archive's directory, from 0.
        index: usize,
        /// The reason.
        source: ZipError,
    },
    /// Two members of an archive share one name.
    #[error("{path}: tensor `{tensor}` is stored twice")]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// The shared name.
        tensor: String,
    },
    /// A zip member's compressed bytes cannot expand to the size it declares.
    #[error(
        "{path}: tensor `{tensor}` declares {size} bytes in {compressed} compressed ones: \
         more than the compression allows"
    )]
    Inflation {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Declared compressed size.
        compressed: u64,
        /// Declared size.
        size: u64,
    },
    /// An array does not start with a valid `.npy` header.
    #[error("{path}: `{tensor}` is not a .npy array: {source}")]
    Npy {
        /// The file.
        path: PathBuf,
        /// The array's name.
        tensor: String,
        /// What is wrong with the header.
        source: HeaderError,
    },
    /// A PyTorch file is from before version 1.6, not a zip archive.
    #[error(
        "{path}: a file of PyTorch from before 1.6; write it anew with a later one: \
         torch.save(torch.load(FILE), NEW)"
    )]
    LegacyPth {
        /// The file.
        path: PathBuf,
    },
    /// A member of a PyTorch file that is no storage is missing or cannot be read.
    #[error("{path}: archive member `{member}`: {source}")]
    PthMember {
        /// The file.
        path: PathBuf,
        /// The member's name within the archive's folder.
        member: String,
        /// The reason.
        source: Box<StorageError>,
    },
    /// The pickle of a PyTorch file is damaged, or needs what is not accepted.
    #[error("{path}: data.pkl: {source}")]
    Pickle {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: PickleError,
    },
    /// A PyTorch file holds no dict.
    #[error("{path}: no state dict: the file holds {found}")]
    NoStateDict {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: &'static str,
    },
    /// A value of a state dict is no tensor; or the dict of a PyTorch file is no state dict, and has
    /// none under the keys that training scripts use.
    #[error(
        "{path}: `{name}` is {found}, no tensor; a state dict of tensors is looked for in the file's \
         dict, then under `model`, `state_dict` and `model_ema`"
    )]
    NoTensor {
        /// The file.
        path: PathBuf,
        /// The key.
        name: String,
        /// What there is.
        found: &'static str,
    },
    /// A tensor of a PyTorch file cannot be had from its storage.
    #[error("{path}: tensor `{tensor}` in storage `{}`: {source}", .storage.escape_debug())]
    Storage {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The storage's key: the name of a member in the archive's folder `data`.
        storage: String,
        /// The reason.
        source: Box<StorageError>,
    },
    /// The file has no tensor of this name.
    #[error("{path}: no tensor `{tensor}`")]
    Missing {
        /// The file.
        path: PathBuf,
        /// The name asked for.
        tensor: String,
    },
    /// The tensor's element type cannot be read as f32.
    #[error("{path}: tensor `{tensor}` has type {dtype}; f16, bf16, f32 and f64 can be read")]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its element type.
        dtype: Dtype,
    },
    /// The tensor does not fit in memory.
    #[error("{path}: tensor `{tensor}`: no memory for {elements} values")]
    OutOfMemory {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The number of f32 values.
        elements: usize,
    },
    /// A tensor's bytes could not be read, or their checksum is wrong.
    #[error("{path}: tensor `{tensor}` at byte {offset}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Where in the file its (possibly compressed) bytes begin.
        offset: u64,
        /// The reason.
        source: io::Error,
    },
}

/// What a file begins with, if with anything.
fn beginning(bytes: &[u8]) -> String {
    match bytes {
        [] => "the file is empty".into(),
        _ => format!("the file starts with {bytes:02x?}"),
    }
}
