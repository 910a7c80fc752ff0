//! Why an image could not be made into a model's input.

use std::io;
use std::path::PathBuf;

use fast_image_resize::{InvalidPixelsSize, ResizeError};
use image::ImageError;
use thiserror::Error;

use super::MAX_PIXELS;

/// Why an image could not be made into a model's input.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PreprocessError {
    /// The file could not be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The file is no JPEG or PNG, or a damaged one.
    #[error("{path}: {source}")]
    Decode {
        /// The file.
        path: PathBuf,
        /// The decoder's reason.
        source: ImageError,
    },
    /// A JPEG file ends before its image does.
    #[error("{path}: the file is cut off: it ends before the image does")]
    Truncated {
        /// The file.
        path: PathBuf,
    },
    /// The image has more pixels than [`MAX_PIXELS`].
    #[error("{path}: {width} x {height} pixels are more than {MAX_PIXELS}")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Pixels per row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// The image has no pixel.
    #[error("{width} x {height} pixels are an empty image")]
    Empty {
        /// Pixels per row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// A field of [`Preprocess`](super::Preprocess) has an impossible value.
    #[error("{name} is {value}, expected {expected}")]
    Setting {
        /// The field.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it can be.
        expected: &'static str,
    },
    /// The slice for the result has the wrong length.
    #[error("the output has {found} values, {expected} are needed")]
    Output {
        /// Values of one image.
        expected: usize,
        /// Values given room for.
        found: usize,
    },
    /// A batch has not as many values as its shape says.
    #[error("{values} values cannot be images of shape {shape:?}")]
    Shape {
        /// The shape, `[n, channels, height, width]`.
        shape: [usize; 4],
        /// The number of values.
        values: usize,
    },
    /// The image's samples do not fill its dimensions.
    #[error("the image's samples: {0}")]
    Samples(#[from] InvalidPixelsSize),
    /// The image could not be resized.
    #[error("resizing: {0}")]
    Resize(#[from] ResizeError),
}
