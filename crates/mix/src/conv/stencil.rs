//! The taps of a kernel in two dimensions, and the sizes that they give.

use mixfold_gemm::GemmError;

use crate::taps::{Sizes, Taps};
use crate::{Axes, MixError};

/// The taps of a kernel in two dimensions.
#[derive(Debug)]
pub(super) struct Stencil {
    pub rows: Taps,
    pub cols: Taps,
    /// Of each tap in raster order, where it reads for the first output: the number of column phases
    /// of a window before, and the place in the one that follows.
    pub places: Vec<(usize, usize)>,
}

impl Stencil {
    /// # Errors
    /// [`GemmError::Memory`] if there is not so much memory.
    pub(super) fn new(rows: Taps, cols: Taps) -> Result<Self, GemmError> {
        let place = |row: usize, col: usize| {
            let ((row_phase, row), (col_phase, col)) = (rows.place(row), cols.place(col));
            // Where this saturates, no window of that size exists.
            let lines = row.saturating_mul(rows.phases()).saturating_add(row_phase);
            (lines.saturating_mul(cols.phases()).saturating_add(col_phase), col)
        };
        let (taps, mut places) = (rows.kernel * cols.kernel, Vec::new());
        let bytes = taps.saturating_mul(size_of::<(usize, usize)>());
        places.try_reserve_exact(taps).map_err(|_| GemmError::Memory { bytes })?;
        places.extend((0..taps).map(|tap| place(tap / cols.kernel, tap % cols.kernel)));
        Ok(Stencil { rows, cols, places })
    }

    /// Phases of the rows, times those of the columns.
    pub(super) fn phases(&self) -> usize {
        self.rows.phases() * self.cols.phases()
    }

    /// Number of taps.
    pub(super) fn taps(&self) -> usize {
        self.places.len()
    }

    /// Whether every output reads one pixel, and the outputs all pixels in their order.
    pub(super) fn is_pointwise(&self) -> bool {
        let pointwise = |taps: Taps| (taps.kernel, taps.stride, taps.padding) == (1, 1, 0);
        pointwise(self.rows) && pointwise(self.cols)
    }

    /// What becomes of an image.
    pub(super) fn sizes(&self, image: (usize, usize)) -> Result<Sizes, MixError> {
        Sizes::new(self.rows, self.cols, image)
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
