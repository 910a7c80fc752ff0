//! Gathering the pixels under a kernel.

use mixfold_gemm::{GemmError, MatRef, PanelsMut, Prologue};
use mixfold_simd::Isa;

use super::taps::Taps;
use crate::{Axes, MixError};

/// The taps of a kernel in two dimensions.
#[derive(Debug)]
pub(super) struct Stencil {
    rows: Taps,
    cols: Taps,
    /// Of each tap in raster order, what [`Taps::place`] says of its row and of its column.
    places: Vec<[(usize, usize); 2]>,
}

/// Heights and widths of an image and of what becomes of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub image: (usize, usize),
    pub output: (usize, usize),
}

impl Sizes {
    /// Pixels of the output.
    pub(super) fn pixels(self) -> usize {
        self.output.0 * self.output.1
    }
}

impl Stencil {
    pub(super) fn new(rows: Taps, cols: Taps) -> Self {
        let place = |row| (0..cols.kernel).map(move |col| [rows.place(row), cols.place(col)]);
        Stencil { rows, cols, places: (0..rows.kernel).flat_map(place).collect() }
    }

    /// Number of taps.
    pub(super) fn taps(&self) -> usize {
        self.places.len()
    }

    /// Whether every output reads one pixel, and the outputs all pixels in their order.
    fn is_pointwise(&self) -> bool {
        let pointwise = |taps: Taps| (taps.kernel, taps.stride, taps.padding) == (1, 1, 0);
        pointwise(self.rows) && pointwise(self.cols)
    }

    /// What becomes of an image.
    pub(super) fn sizes(&self, image: (usize, usize)) -> Result<Sizes, MixError> {
        let (rows, cols) = (self.rows, self.cols);
        let padded = (rows.padded(image.0), cols.padded(image.1));
        let axes = Axes { outer: 1, axis: padded.0, inner: padded.1 };
        axes.elements()?;
        // A reach that cannot be counted is larger than any image.
        let reach = (rows.reach().unwrap_or(usize::MAX), cols.reach().unwrap_or(usize::MAX));
        if padded.0 == usize::MAX || padded.1 == usize::MAX {
            return Err(MixError::Overflow { axes });
        }
        if padded.0 < reach.0 || padded.1 < reach.1 {
            return Err(MixError::Reach { padded, reach });
        }
        let windows = |padded: usize, reach: usize, taps: Taps| (padded - reach) / taps.stride + 1;
        let output = (windows(padded.0, reach.0, rows), windows(padded.1, reach.1, cols));
        Ok(Sizes { image, output })
    }

    /// Shape of a window for `outputs` pixels of the output beside each other, wherever they start:
    /// rows of all phases, columns of all phases.
    fn shape(&self, sizes: Sizes, outputs: usize) -> (usize, usize) {
        let width = sizes.output.1;
        let rows = (outputs.saturating_add(width) - 2) / width + 1;
        let (phases, others) = (self.rows.phases(), self.cols.phases());
        let rows = self.rows.span(rows.min(sizes.output.0)).saturating_mul(phases);
        (rows, self.cols.span(width).saturating_mul(others))
    }

    /// Elements of a window for `outputs` pixels, at least one, of the output.
    pub(super) fn window_len(&self, sizes: Sizes, outputs: usize) -> Result<usize, MixError> {
        if self.is_pointwise() {
            return Ok(0);
        }
        let (axis, inner) = self.shape(sizes, outputs);
        Axes { outer: 1, axis, inner }.elements()
    }
}

/// What some outputs read, as the right operand of a product: the outputs are its columns, channels
/// and the taps of each its rows.
pub(super) struct Pixels<'a> {
    sizes: Sizes,
    /// First output, and how many.
    outputs: (usize, usize),
    /// None where the outputs read all pixels in their order.
    window: Option<Window<'a>>,
}

impl<'a> Pixels<'a> {
    /// For `outputs.1` pixels of the output from number `outputs.0` on, with memory of
    /// [`Stencil::window_len`] elements.
    pub(super) fn new(
        stencil: &'a Stencil,
        sizes: Sizes,
        outputs: (usize, usize),
        memory: &'a mut [f32],
    ) -> Self {
        let window = match stencil.is_pointwise() {
            true => None,
            false => Some(Window::new(stencil, sizes, outputs, memory)),
        };
        Pixels { sizes, outputs, window }
    }

    /// Number of outputs.
    pub(super) fn cols(&self) -> usize {
        self.outputs.1
    }

    /// Fills `panels` with as many channels as it has rows for, from number `first` of `x` on.
    pub(super) fn pack(
        &mut self,
        isa: Isa,
        x: &[f32],
        first: usize,
        panels: &mut PanelsMut<'_, f32>,
    ) -> Result<(), GemmError> {
        let pixels = self.sizes.image.0 * self.sizes.image.1;
        let x = &x[first * pixels..];
        match &mut self.window {
            Some(window) => window.gather(x, panels),
            None => {
                let k = panels.as_ref().k();
                let x =
                    MatRef::row_major(x, k, pixels)?.block(0, self.outputs.0, k, self.outputs.1);
                panels.pack(isa, x?, &Prologue::NONE)?;
            }
        }
        Ok(())
    }
}

/// The pixels of one channel that some outputs read, in the order in which they read them:
/// `[row phase][row][column phase][column]`, with zeros around the image.
///
/// What a tap reads for the outputs of a row stands side by side, whatever the stride, and needs no
/// comparison with the borders of the image.
struct Window<'a> {
    stencil: &'a Stencil,
    sizes: Sizes,
    /// First output, row and column.
    from: (usize, usize),
    /// Rows of a row phase, columns of a column phase.
    spans: (usize, usize),
    data: &'a mut [f32],
}

impl<'a> Window<'a> {
    fn new(
        stencil: &'a Stencil,
        sizes: Sizes,
        (from, outputs): (usize, usize),
        data: &'a mut [f32],
    ) -> Self {
        // The same pixels are outside for all channels.
        data.fill(0.0);
        let width = sizes.output.1;
        let (first, last) = (from / width, (from + outputs - 1) / width);
        let spans = (stencil.rows.span(last - first + 1), stencil.cols.span(width));
        Window { stencil, sizes, from: (first, from % width), spans, data }
    }

    /// Fills `panels` from the images of its channels, which follow each other in `x`.
    fn gather(&mut self, x: &[f32], panels: &mut PanelsMut<'_, f32>) {
        let (height, width) = self.sizes.image;
        let (taps, pixels) = (self.stencil.taps(), height * width);
        let out_width = self.sizes.output.1;
        // From one row of the window to the next.
        let stride = self.stencil.cols.phases() * self.spans.1;
        let (mut channel, mut tap) = (0, taps);
        let (mut line, mut col) = (0, 0);
        panels.gather(|_, from, mut values| {
            if from == 0 {
                if tap == taps {
                    self.load(&x[channel * pixels..][..pixels]);
                    (channel, tap) = (channel + 1, 0);
                }
                (line, col) = (self.start(tap), self.from.1);
                tap += 1;
            }
            while !values.is_empty() {
                let run = (out_width - col).min(values.len());
                let (head, tail) = values.split_at_mut(run);
                head.copy_from_slice(&self.data[line + col..][..run]);
                values = tail;
                col += run;
                if col == out_width {
                    (line, col) = (line + stride, 0);
                }
            }
        });
    }

    /// Where a tap begins to read for the first row of outputs.
    fn start(&self, tap: usize) -> usize {
        let [(row_phase, row), (col_phase, col)] = self.stencil.places[tap];
        let line = (row_phase * self.spans.0 + row) * self.stencil.cols.phases() + col_phase;
        line * self.spans.1 + col
    }

    /// Copies what is inside of a channel's image.
    fn load(&mut self, channel: &[f32]) {
        let Stencil { rows, cols, .. } = *self.stencil;
        let ((height, width), phases) = (self.sizes.image, cols.phases());
        for col_phase in 0..phases {
            let (inside, left) = cols.inside(col_phase, 0, self.spans.1, width);
            if inside.is_empty() {
                continue;
            }
            for row_phase in 0..rows.phases() {
                let (lines, top) = rows.inside(row_phase, self.from.0, self.spans.0, height);
                let sources = channel.chunks_exact(width).skip(top).step_by(rows.stride);
                for (line, source) in lines.zip(sources) {
                    let line = (row_phase * self.spans.0 + line) * phases + col_phase;
                    let target = &mut self.data[line * self.spans.1..][inside.clone()];
                    copy_every(cols.stride, &source[left..], target);
                }
            }
        }
    }
}

/// Copies every `stride`-th element of `source` from the first one on, as many as fit `target`.
fn copy_every(stride: usize, source: &[f32], target: &mut [f32]) {
    match stride {
        1 => target.copy_from_slice(&source[..target.len()]),
        _ => {
            for (target, source) in target.iter_mut().zip(source.iter().step_by(stride)) {
                *target = *source;
            }
        }
    }
}
