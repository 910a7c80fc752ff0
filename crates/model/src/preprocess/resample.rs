//! Pillow's antialiased resizing, of the part that a crop shows.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::F32;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use super::PreprocessError;
use super::geometry::Axis;

/// Source samples converted at a time in the first pass, if a line is not longer.
const STRIP: usize = 1 << 18;

/// The filter that samples are weighted by. When an image shrinks, the filter is widened by the
/// same factor (antialiasing).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Interpolation {
    /// A triangle two samples wide.
    Bilinear,
    /// Keys' cubic convolution with a = -0.5 (Catmull-Rom), four samples wide.
    Bicubic,
}

impl Interpolation {
    fn filter(self) -> FilterType {
        match self {
            Self::Bilinear => FilterType::Bilinear,
            Self::Bicubic => FilterType::CatmullRom,
        }
    }

    /// Half the filter's width.
    fn radius(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }
}

/// Two passes over each channel, and the memory between them.
///
/// Each pass is rounded to 8 bits, so that their order shows; it is Pillow's. The sums are in
/// floating point: closer to Pillow's, whose weights have 22 bits, than those of the resizer's own
/// 8-bit path, whose weights have 16.
#[derive(Debug, Default)]
pub(super) struct Resampler {
    resizer: Resizer,
    strip: Vec<F32>,
    result: Vec<F32>,
    narrowed: Vec<F32>,
    output: Vec<u8>,
}

/// What of an axis is read: `first..last` of the source, in which the seen part begins at `start`
/// and is `length` long.
struct Span {
    first: usize,
    last: usize,
    start: f64,
    length: f64,
}

impl Span {
    fn new(axis: &Axis, interpolation: Interpolation) -> Self {
        let (start, length) = axis.window();
        let end = f64::from(axis.source());
        let reach = interpolation.radius() * axis.scale().max(1.0);
        let first = (start - reach).floor().max(0.0);
        let last = (start + length + reach).ceil().min(end);
        let start = start - first;
        // The window ends within what is read, also after rounding.
        let length = length.min(last - first - start);
        Self { first: first as usize, last: last as usize, start, length }
    }

    fn read(&self) -> usize {
        self.last - self.first
    }
}

/// Whether Pillow (13 and later) resizes the rows' axis first: if the height shrinks, and by more
/// than twice as many samples as the width.
fn vertical_first(columns: &Axis, rows: &Axis) -> bool {
    rows.shrinkage() > 0 && rows.shrinkage() > 2 * columns.shrinkage()
}

impl Resampler {
    /// The visible part of the resized image, `[channels, rows, columns]`, of an image
    /// `[rows, columns, channels]`.
    pub(super) fn resample(
        &mut self,
        samples: &[u8],
        channels: usize,
        columns: &Axis,
        rows: &Axis,
        interpolation: Interpolation,
    ) -> Result<&[u8], PreprocessError> {
        let (column_stride, row_stride) = (channels, channels * columns.source() as usize);
        let (width, height) = (columns.visible(), rows.visible());
        self.output.clear();
        for channel in 0..channels {
            let samples = &samples[channel..];
            if vertical_first(columns, rows) {
                let strides = [row_stride, column_stride];
                self.resample_plane(samples, strides, [rows, columns], interpolation)?;
                let result = &self.result;
                let transposed = (0..height)
                    .flat_map(|row| (0..width).map(move |column| &result[column * height + row]));
                self.output.extend(transposed.map(|sum| round(sum.0) as u8));
            } else {
                let strides = [column_stride, row_stride];
                self.resample_plane(samples, strides, [columns, rows], interpolation)?;
                self.output.extend(self.result.iter().map(|sum| round(sum.0) as u8));
            }
        }
        Ok(&self.output)
    }

    /// Resizes one channel along two axes in turn. Strides and axes are in this order; `result` is
    /// `[second axis, first axis]`, not yet rounded.
    fn resample_plane(
        &mut self,
        samples: &[u8],
        [stride, line_stride]: [usize; 2],
        [first, second]: [&Axis; 2],
        interpolation: Interpolation,
    ) -> Result<(), PreprocessError> {
        let options =
            ResizeOptions::new().resize_alg(ResizeAlg::Convolution(interpolation.filter()));
        let (along, across) = (Span::new(first, interpolation), Span::new(second, interpolation));
        let width = first.visible();
        let strip_lines = (STRIP / along.read()).max(1);
        self.narrowed.clear();
        for start in (across.first..across.last).step_by(strip_lines) {
            let lines = start..across.last.min(start + strip_lines);
            let count = lines.len();
            self.strip.clear();
            for line in lines {
                let line = samples[line * line_stride + along.first * stride..].iter();
                let line = line.step_by(stride).take(along.read());
                self.strip.extend(line.map(|&sample| F32::new(f32::from(sample))));
            }
            let options = options.crop(along.start, 0.0, along.length, count as f64);
            let from = (&self.strip[..], [along.read(), count]);
            resize(&mut self.resizer, from, (&mut self.result, [width, count]), &options)?;
            self.narrowed.extend(self.result.iter().map(|sum| F32::new(round(sum.0))));
        }
        let options = options.crop(0.0, across.start, width as f64, across.length);
        let from = (&self.narrowed[..], [width, across.read()]);
        resize(&mut self.resizer, from, (&mut self.result, [width, second.visible()]), &options)
    }
}

/// Fills `to` with `from` resized. Sizes are width and height.
fn resize(
    resizer: &mut Resizer,
    (from, [from_width, from_height]): (&[F32], [usize; 2]),
    (to, [width, height]): (&mut Vec<F32>, [usize; 2]),
    options: &ResizeOptions,
) -> Result<(), PreprocessError> {
    to.clear();
    to.resize(width * height, F32::new(0.0));
    let from = TypedImageRef::new(from_width as u32, from_height as u32, from)?;
    let mut to = TypedImage::from_pixels_slice(width as u32, height as u32, to)?;
    Ok(resizer.resize_typed(&from, &mut to, options)?)
}

/// To the nearest of 0..=255, halves up.
fn round(sum: f32) -> f32 {
    (sum + 0.5).floor().clamp(0.0, 255.0)
}
