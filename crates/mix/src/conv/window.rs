//! Gathering the pixels under a kernel.

use mixfold_gemm::PanelsMut;
use mixfold_simd::{Isa, Kernel, Simd, Vector};

use super::direct::Seen;
use super::stencil::Stencil;
use crate::taps::{Sizes, with_every};

/// The pixels of one channel that some outputs read, in the order in which they read them:
/// `[row][row phase][column phase][column]`, with zeros around the image.
///
/// What a tap reads for the outputs of a row stands side by side, whatever the stride, and needs no
/// comparison with the borders of the image.
pub(super) struct Window<'a> {
    stencil: &'a Stencil,
    sizes: Sizes,
    /// First output, row and column.
    first: (usize, usize),
    /// Rows of a row phase, columns of a column phase.
    spans: (usize, usize),
    /// Elements from what a tap reads for a row of outputs to what it reads for the next one.
    pitch: usize,
    data: &'a mut [f32],
}

impl<'a> Window<'a> {
    /// For `outputs` pixels of the output from number `first` on, in memory of
    /// [`Stencil::window_len`] elements.
    pub(super) fn new(
        stencil: &'a Stencil,
        sizes: Sizes,
        (first, outputs): (usize, usize),
        data: &'a mut [f32],
    ) -> Self {
        // The same pixels are outside for all channels.
        data.fill(0.0);
        let width = sizes.output.1;
        let (top, last) = (first / width, (first + outputs - 1) / width);
        let spans = (stencil.rows.span(last - top + 1), stencil.cols.span(width));
        let pitch = stencil.phases() * spans.1;
        Window { stencil, sizes, first: (top, first % width), spans, pitch, data }
    }

    /// What the outputs see of the image of a channel.
    pub(super) fn see(&mut self, isa: Isa, channel: &[f32]) -> Seen<'_> {
        isa.run(Load { channel, window: &mut *self });
        let (width, first) = (self.sizes.output.1, self.first.1);
        let Window { stencil: Stencil { places, .. }, spans, pitch, .. } = *self;
        Seen { data: self.data, places, span: spans.1, pitch, width, first }
    }

    /// Fills `panels` from the images of its channels, which follow each other in `x`.
    pub(super) fn gather(&mut self, isa: Isa, x: &[f32], panels: &mut PanelsMut<'_, f32>) {
        let (taps, pixels) = (self.stencil.taps(), self.sizes.image.0 * self.sizes.image.1);
        let (cols, width) = (panels.as_ref().cols(), panels.as_ref().kernel().cols);
        let mut at = (0, 0);
        panels.gather(taps, |row, from, values| {
            if from == 0 {
                let channel = &x[row / taps * pixels..][..pixels];
                isa.run(Load { channel, window: &mut *self });
                at = (0, self.first.1);
            }
            let cols = width.min(cols - from);
            at = isa.run(Spread { window: self, at, values, width, cols });
        });
    }
}

/// Copies what a window sees of the image of a channel.
struct Load<'a, 'b> {
    channel: &'a [f32],
    window: &'a mut Window<'b>,
}

impl Kernel for Load<'_, '_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Load { channel, window } = self;
        match window.stencil.cols.stride {
            1 => load::<1>(channel, window),
            2 => load::<2>(channel, window),
            4 => load::<4>(channel, window),
            _ => load::<0>(channel, window),
        }
    }
}

/// [`Load`] with a stride across the image that is known, or 0 if it is not.
#[inline(always)]
fn load<const STRIDE: usize>(channel: &[f32], window: &mut Window<'_>) {
    let Stencil { rows, cols, .. } = *window.stencil;
    let ((height, width), span) = (window.sizes.image, window.spans.1);
    let (pitch, phases) = (window.pitch, cols.phases());
    let stride = if STRIDE == 0 { cols.stride } else { STRIDE };
    for col_phase in 0..phases {
        let (inside, left) = cols.inside(col_phase, 0, span, width);
        if inside.is_empty() {
            continue;
        }
        for row_phase in 0..rows.phases() {
            let (lines, top) = rows.inside(row_phase, window.first.0, window.spans.0, height);
            for (i, line) in lines.enumerate() {
                let source = &channel[(top + i * rows.stride) * width..][..width];
                let slot = row_phase * phases + col_phase;
                let target = &mut window.data[line * pitch + slot * span..][inside.clone()];
                with_every(stride, &source[left..], target, |target, source| *target = source);
            }
        }
    }
}

/// Copies what the taps read for the outputs of a panel, to rows of `width` values, of which `cols`
/// count: from column `at.1` of row `at.0` of the outputs on, counted from the first row. Returns
/// where the next panel begins.
struct Spread<'a, 'b> {
    window: &'a Window<'b>,
    at: (usize, usize),
    values: &'a mut [f32],
    width: usize,
    cols: usize,
}

impl Kernel for Spread<'_, '_> {
    type Out = (usize, usize);

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> (usize, usize) {
        let Spread { window, at: (mut line, mut col), values, width, cols } = self;
        let (out_width, span, lanes) = (window.sizes.output.1, window.spans.1, S::F32::LANES);
        let mut done = 0;
        while done < cols {
            let run = (out_width - col).min(cols - done);
            let (outputs, vectors) = (line * window.pitch + col, run.div_ceil(lanes));
            for (&(slot, shift), row) in
                window.stencil.places.iter().zip(values.chunks_exact_mut(width))
            {
                let source = &window.data[outputs + slot * span + shift..];
                let target = &mut row[done..];
                // Vectors may reach beyond: what follows is written later.
                let (sources, targets) = (source.chunks(lanes), target.chunks_mut(lanes));
                for (source, target) in sources.zip(targets).take(vectors) {
                    S::F32::from_slice(s, source).write_to(target);
                }
            }
            done += run;
            col += run;
            if col == out_width {
                (line, col) = (line + 1, 0);
            }
        }
        (line, col)
    }
}
