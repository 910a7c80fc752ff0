//! What can be wrong with the storages of a PyTorch file.

use thiserror::Error;
use zip::result::ZipError;

/// Why a member of a PyTorch file cannot be read, or why a tensor cannot be had from it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The archive has no such member.
    #[error("it is not in the archive")]
    Missing,
    /// The member's own header is damaged.
    #[error("{0}")]
    Archive(#[from] ZipError),
    /// The member is longer than any of its kind.
    #[error("it has {bytes} bytes, {limit} are possible")]
    Length {
        /// The member's length.
        bytes: u64,
        /// The longest that is read.
        limit: u64,
    },
    /// The member is compressed or encrypted, which `torch.save` never does.
    #[error("it is compressed or encrypted, as PyTorch writes none")]
    Compressed,
    /// The member reaches past the end of the file.
    #[error("its {bytes} bytes at byte {offset} are not within the file of {length} bytes")]
    Outside {
        /// Where the member's bytes begin.
        offset: u64,
        /// The member's length by the archive's directory.
        bytes: u64,
        /// The length of the file.
        length: u64,
    },
    /// The member does not hold the elements that the pickle declares.
    #[error("{elements} elements of {size} bytes are declared, {bytes} bytes are stored")]
    Size {
        /// The number of elements by the pickle.
        elements: u64,
        /// The bytes that one takes.
        size: usize,
        /// The member's length.
        bytes: u64,
    },
    /// The tensor has elements that the storage has not.
    #[error(
        "a tensor of shape {shape:?} with strides {strides:?} from element {offset} on is not within \
         {elements} elements"
    )]
    View {
        /// The tensor's first element.
        offset: u64,
        /// Its dimensions.
        shape: Vec<usize>,
        /// The distance of neighbours along each dimension.
        strides: Vec<usize>,
        /// The number of elements in the storage.
        elements: u64,
    },
    /// The tensor repeats elements of the storage, up to more bytes than the file has.
    #[error("it is repeated to {bytes} bytes, the file has {length}")]
    Repeated {
        /// The bytes of all of the tensor's elements.
        bytes: u64,
        /// The length of the file.
        length: u64,
    },
}
