//! Decoding files that may be hostile.

use std::fs::File;
use std::io::{BufReader, Seek};
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::{PreprocessError, jpeg};

/// The most pixels an image may have: 2^27, a square of 11585. Checked before decoding, since few
/// bytes can declare, and even encode, many pixels.
pub const MAX_PIXELS: u64 = 1 << 27;

/// What a decoder may allocate: [`MAX_PIXELS`] of the largest kind, RGBA of 16 bits.
const MAX_BYTES: u64 = 8 * MAX_PIXELS;

/// Decodes a JPEG or PNG file, told from its content, and turns it upright by its EXIF orientation.
///
/// # Errors
/// The file cannot be read, is of another format, is damaged or cut off, or has more than
/// [`MAX_PIXELS`] pixels. Damage within the data of a JPEG cannot always be told.
pub fn open_image(path: impl AsRef<Path>) -> Result<DynamicImage, PreprocessError> {
    let path = path.as_ref();
    let io = |source| PreprocessError::Io { path: path.into(), source };
    let decode = |source| PreprocessError::Decode { path: path.into(), source };

    let file = BufReader::new(File::open(path).map_err(io)?);
    let mut reader = ImageReader::new(file).with_guessed_format().map_err(io)?;
    if reader.format() == Some(ImageFormat::Jpeg) {
        let mut file = reader.into_inner();
        if !jpeg::is_whole(&mut file).map_err(io)? {
            return Err(PreprocessError::Truncated { path: path.into() });
        }
        file.rewind().map_err(io)?;
        reader = ImageReader::with_format(file, ImageFormat::Jpeg);
    }
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(decode)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(PreprocessError::TooLarge { path: path.into(), width, height });
    }
    let orientation = decoder.orientation().map_err(decode)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(decode)?;
    image.apply_orientation(orientation);
    Ok(image)
}
