//! Pictures of tiles under captions, as PNG.

use std::io::Write;

use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::iso_8859_1::{FONT_7X13, FONT_7X13_BOLD};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::prelude::{DrawTarget, Drawable, Pixel};
use embedded_graphics::text::{Baseline, Text};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, ImageResult};

use crate::colors::Color;

/// The most pixels that a picture has.
pub(crate) const MOST_PIXELS: u64 = 40_000_000;

// All in pixels.
const MARGIN: usize = 14;
const LETTER: usize = 7;
const LINE: usize = 16;
/// Between tiles, and between those of a pair.
const GAP: usize = 8;
const NARROW: usize = 2;
/// Tiles fill a line of about this width.
const WIDTH: usize = 1000;
const BAR: usize = 160;

const BLACK: Color = [20, 20, 20];
const GREY: Color = [95, 95, 95];
/// Around a place that is pointed out.
const MARK: Color = [80, 220, 255];

/// Images under a caption, all of one size.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) title: String,
    pub(crate) note: String,
    /// Height and width of an image.
    pub(crate) size: [usize; 2],
    /// A color for each value, row by row.
    pub(crate) images: Vec<Vec<Color>>,
    /// Side of the square that is drawn for a value.
    pub(crate) scale: usize,
    /// Each two stand close together.
    pub(crate) paired: bool,
    /// A place that is pointed out in each image.
    pub(crate) mark: Option<[usize; 2]>,
}

/// What the colours mean, below all sections.
#[derive(Debug)]
pub(crate) struct Legend {
    pub(crate) low: String,
    pub(crate) high: String,
    /// The colour at a place from 0 to 1.
    pub(crate) color: fn(f64) -> Color,
}

/// A side for each value of images of this size: several pixels, more for small images.
pub(crate) fn usual_scale(size: [usize; 2], about: usize) -> usize {
    (about / size[0].max(size[1]).max(1)).max(2)
}

impl Section {
    fn tile(&self) -> [usize; 2] {
        self.size.map(|side| side.saturating_mul(self.scale))
    }

    /// Columns of tiles, in lines of about the same length; an even number of pairs.
    fn columns(&self) -> usize {
        let step = if self.paired { 2 } else { 1 };
        let most = (WIDTH / self.tile()[1].saturating_add(GAP).max(1)).max(1);
        let most = most.next_multiple_of(step);
        let lines = self.images.len().div_ceil(most).max(1);
        self.images.len().div_ceil(lines).next_multiple_of(step).max(1)
    }

    fn left(&self, column: usize) -> usize {
        let saved = if self.paired { column.div_ceil(2) * (GAP - NARROW) } else { 0 };
        column.saturating_mul(self.tile()[1].saturating_add(GAP)).saturating_sub(saved)
    }

    fn width(&self) -> usize {
        let text = self.title.chars().count().max(self.note.chars().count()) * LETTER;
        text.max(self.left(self.columns()))
    }

    fn height(&self) -> usize {
        let lines = self.images.len().div_ceil(self.columns());
        lines.saturating_mul(self.tile()[0].saturating_add(GAP)).saturating_add(2 * LINE + LINE)
    }
}

/// Width and height of a picture.
pub(crate) fn size(sections: &[Section], legend: Option<&Legend>) -> [usize; 2] {
    let bar = legend.map_or(0, |l| BAR + (l.low.len() + l.high.len() + 2) * LETTER);
    let width = sections.iter().map(Section::width).fold(bar, usize::max);
    let height = sections.iter().map(Section::height).fold(0, usize::saturating_add);
    let height = height.saturating_add(if legend.is_some() { LINE } else { 0 });
    [width, height].map(|side| side.saturating_add(2 * MARGIN))
}

/// Whether there are too many pixels to draw.
pub(crate) fn is_too_large([width, height]: [usize; 2]) -> bool {
    (width as u64).saturating_mul(height as u64) > MOST_PIXELS
}

/// Draws sections, one below the other, of a size that [`is_too_large`] has not refused.
pub(crate) fn draw(sections: &[Section], legend: Option<&Legend>) -> Picture {
    let mut picture = Picture::new(size(sections, legend));
    let mut top = MARGIN;
    for section in sections {
        picture.text([MARGIN, top], &section.title, &FONT_7X13_BOLD, BLACK);
        picture.text([MARGIN, top + LINE], &section.note, &FONT_7X13, GREY);
        let (tile, columns) = (section.tile(), section.columns());
        for (i, image) in section.images.iter().enumerate() {
            let left = MARGIN + section.left(i % columns);
            let top = top + 2 * LINE + 2 + i / columns * (tile[0] + GAP);
            picture.tile([left, top], section, image);
        }
        top += section.height();
    }
    if let Some(Legend { low, high, color }) = legend {
        picture.text([MARGIN, top], low, &FONT_7X13, GREY);
        let left = MARGIN + (low.chars().count() + 1) * LETTER;
        for x in 0..BAR {
            let color = color(x as f64 / (BAR - 1) as f64);
            picture.fill([left + x, top + 1], [1, 11], color);
        }
        picture.text([left + BAR + LETTER, top], high, &FONT_7X13, GREY);
    }
    picture
}

/// Pixels, row by row.
#[derive(Debug)]
pub(crate) struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Picture {
    fn new([width, height]: [usize; 2]) -> Self {
        Picture { width, height, pixels: vec![255; width * height * 3] }
    }

    pub(crate) fn size(&self) -> [usize; 2] {
        [self.width, self.height]
    }

    fn fill(&mut self, [left, top]: [usize; 2], [width, height]: [usize; 2], color: Color) {
        for y in top..(top + height).min(self.height) {
            let row = &mut self.pixels[y * self.width * 3..][..self.width * 3];
            for pixel in row.chunks_exact_mut(3).skip(left).take(width) {
                pixel.copy_from_slice(&color);
            }
        }
    }

    fn tile(&mut self, [left, top]: [usize; 2], section: &Section, image: &[Color]) {
        let scale = section.scale;
        let place = |y: usize, x: usize| [left + x * scale, top + y * scale];
        for (y, row) in image.chunks_exact(section.size[1].max(1)).enumerate() {
            for (x, &color) in row.iter().enumerate() {
                self.fill(place(y, x), [scale; 2], color);
            }
        }
        if let Some([y, x]) = section.mark {
            let [left, top] = place(y, x);
            let far = scale - 1;
            self.fill([left, top], [scale, 1], MARK);
            self.fill([left, top + far], [scale, 1], MARK);
            self.fill([left, top], [1, scale], MARK);
            self.fill([left + far, top], [1, scale], MARK);
        }
    }

    fn text(&mut self, [x, y]: [usize; 2], text: &str, font: &MonoFont<'_>, color: Color) {
        let [r, g, b] = color;
        let style = MonoTextStyle::new(font, Rgb888::new(r, g, b));
        let at = Point::new(x as i32, y as i32);
        let Ok(_) = Text::with_baseline(text, at, style, Baseline::Top).draw(self);
    }

    /// Writes it as PNG.
    pub(crate) fn write(&self, file: impl Write) -> ImageResult<()> {
        let encoder =
            PngEncoder::new_with_quality(file, CompressionType::Best, FilterType::Adaptive);
        let (width, height) = (self.width as u32, self.height as u32);
        encoder.write_image(&self.pixels, width, height, ExtendedColorType::Rgb8)
    }
}

impl OriginDimensions for Picture {
    fn size(&self) -> Size {
        Size::new(self.width as u32, self.height as u32)
    }
}

impl DrawTarget for Picture {
    type Color = Rgb888;
    type Error = std::convert::Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(
        &mut self,
        pixels: I,
    ) -> Result<(), Self::Error> {
        for Pixel(Point { x, y }, color) in pixels {
            if let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y))
                && x < self.width
            {
                self.fill([x, y], [1, 1], [color.r(), color.g(), color.b()]);
            }
        }
        Ok(())
    }
}
