//! What a table of contents says of a tensor.

use std::fmt;

use super::{decode, npz, pth};

/// The element type of a stored tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dtype {
    /// IEEE binary16.
    F16,
    /// bfloat16. NumPy has no such type and stores it as two opaque bytes (`|V2`), as JAX's
    /// checkpoints do.
    Bf16,
    /// IEEE binary32.
    F32,
    /// IEEE binary64.
    F64,
    /// Any other type, by the file's own name for it (PyTorch's in a `.pth`);
    /// [`Checkpoint::read_f32`](super::Checkpoint::read_f32) refuses it.
    Other(String),
}

/// What the table of contents says of one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) bytes: u64,
    pub(super) location: Location,
}

/// Where a tensor is in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// Little-endian elements in row-major order from this byte of the file on.
    Bytes { offset: u64 },
    /// A member of a zip archive.
    Member(npz::Member),
    /// Elements in a storage.
    View(pth::View),
}

impl Entry {
    /// The element type as stored.
    pub fn dtype(&self) -> &Dtype {
        &self.dtype
    }

    /// The dimensions, outermost first; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The bytes that its elements take, decompressed.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The product of the dimensions: 1 for a scalar.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

impl Dtype {
    pub(super) fn float(&self) -> Option<decode::Float> {
        match self {
            Self::F16 => Some(decode::Float::F16),
            Self::Bf16 => Some(decode::Float::Bf16),
            Self::F32 => Some(decode::Float::F32),
            Self::F64 => Some(decode::Float::F64),
            Self::Other(_) => None,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Other(name) => name,
        })
    }
}

/// The number of elements of `shape` and of the bytes they take, or `None` on overflow.
pub(super) fn checked_size(shape: &[usize], bits: usize) -> Option<u64> {
    let elements = shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d))?;
    let bytes = elements.checked_mul(bits)?.div_ceil(8);
    u64::try_from(bytes).ok()
}
