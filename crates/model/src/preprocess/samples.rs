//! Decoded images of any kind as 8-bit RGB or grey samples.

use image::DynamicImage;

/// The channels of a model's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// One channel, luma by ITU-R 601-2: `0.299 R + 0.587 G + 0.114 B`.
    Grey,
    /// Red, green, blue.
    Rgb,
}

impl Color {
    /// The number of channels: 1 or 3.
    pub fn channels(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb => 3,
        }
    }
}

/// The image's samples, `[height, width, channels]`: its own if they are so already, else in
/// `buffer`. Alpha is dropped, not blended; of 16 bits the upper 8 are taken.
pub(super) fn interleaved<'a>(
    image: &'a DynamicImage,
    color: Color,
    buffer: &'a mut Vec<u8>,
) -> &'a [u8] {
    let upper = |sample: u16| (sample >> 8) as u8;
    let same = |sample: u8| sample;
    buffer.clear();
    match (image, color) {
        (DynamicImage::ImageRgb8(image), Color::Rgb) => return image.as_raw(),
        (DynamicImage::ImageLuma8(image), Color::Grey) => return image.as_raw(),
        (DynamicImage::ImageLuma8(image), _) => convert::<_, 1>(image, same, color, buffer),
        (DynamicImage::ImageLumaA8(image), _) => convert::<_, 2>(image, same, color, buffer),
        (DynamicImage::ImageRgb8(image), _) => convert::<_, 3>(image, same, color, buffer),
        (DynamicImage::ImageRgba8(image), _) => convert::<_, 4>(image, same, color, buffer),
        (DynamicImage::ImageLuma16(image), _) => convert::<_, 1>(image, upper, color, buffer),
        (DynamicImage::ImageLumaA16(image), _) => convert::<_, 2>(image, upper, color, buffer),
        (DynamicImage::ImageRgb16(image), _) => convert::<_, 3>(image, upper, color, buffer),
        (DynamicImage::ImageRgba16(image), _) => convert::<_, 4>(image, upper, color, buffer),
        (other, _) => convert::<_, 3>(&other.to_rgb8(), same, color, buffer),
    }
    buffer
}

fn convert<T: Copy, const SAMPLES: usize>(
    pixels: &[T],
    to_u8: impl Fn(T) -> u8,
    color: Color,
    buffer: &mut Vec<u8>,
) {
    let (pixels, _) = pixels.as_chunks::<SAMPLES>();
    // One or two samples are grey, the second alpha.
    let rgb = pixels.iter().map(|pixel| {
        let of = if SAMPLES < 3 { [0, 0, 0] } else { [0, 1, 2] };
        of.map(|sample: usize| to_u8(pixel[sample]))
    });
    match color {
        Color::Rgb => buffer.extend(rgb.flatten()),
        Color::Grey => buffer.extend(rgb.map(luma)),
    }
}

/// Pillow's integer luma. The weights add up to 65536, so that grey stays as it is.
fn luma([r, g, b]: [u8; 3]) -> u8 {
    let sum = u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471;
    ((sum + 0x8000) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageBuffer, Rgb, Rgb32FImage};

    #[test]
    fn luma_of_grey_is_grey() {
        assert!((0..=255).all(|v| luma([v; 3]) == v));
    }

    #[test]
    fn other_kinds_go_through_rgb() {
        let image: Rgb32FImage = ImageBuffer::from_pixel(2, 1, Rgb([1.0, 0.0, 0.5]));
        let image = DynamicImage::ImageRgb32F(image);
        let mut buffer = vec![9; 3];
        let samples = interleaved(&image, Color::Rgb, &mut buffer);
        assert_eq!(samples, [255, 0, 128, 255, 0, 128]);
    }
}
