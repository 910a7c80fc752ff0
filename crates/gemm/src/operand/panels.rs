//! The right operand.

use mixfold_simd::{Element, Isa};

use super::{product, same_kernel, same_shape};
use crate::kernel::KernelId;
use crate::pack;
use crate::{GemmError, MatRef, Prologue};

/// Elements of a right operand of `k` × `cols` in packed layout.
///
/// # Errors
/// [`GemmError::Overflow`]
pub fn panels_len(kernel: KernelId, k: usize, cols: usize) -> Result<usize, GemmError> {
    let overflow = GemmError::Overflow { rows: k, cols };
    let padded = cols.checked_next_multiple_of(kernel.cols).ok_or(overflow)?;
    product(k, padded, k, cols)
}

/// A right operand in packed layout, for reading.
#[derive(Clone, Copy, Debug)]
pub struct Panels<'a, T> {
    data: &'a [T],
    /// Length of the columns in memory; `from..from + k` of it is the operand.
    full_k: usize,
    from: usize,
    k: usize,
    cols: usize,
    kernel: KernelId,
    /// What is read after the last panel.
    next: Option<&'a [T]>,
}

impl<'a, T: Element> Panels<'a, T> {
    /// An operand of which `data` is known to have all elements.
    pub(crate) fn whole(data: &'a [T], k: usize, cols: usize, kernel: KernelId) -> Self {
        Panels { data, full_k: k, from: 0, k, cols, kernel, next: None }
    }

    /// Length of the columns.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The kernel that reads it.
    pub fn kernel(&self) -> KernelId {
        self.kernel
    }

    /// The part `from..to` of every column.
    ///
    /// # Errors
    /// [`GemmError::Part`] if it reaches beyond the operand.
    pub fn part_of_k(self, from: usize, to: usize) -> Result<Self, GemmError> {
        if from > to || to > self.k {
            return Err(GemmError::Part { start: from, end: to, len: self.k, step: 1 });
        }
        Ok(Panels { from: self.from + from, k: to - from, ..self })
    }

    /// The columns `start..end`.
    ///
    /// # Errors
    /// [`GemmError::Part`] if it reaches beyond the operand, or does not start at a panel and end at
    /// one or at the end.
    pub fn columns(self, start: usize, end: usize) -> Result<Self, GemmError> {
        let step = self.kernel.cols;
        let border = |col: usize| col.is_multiple_of(step) || col == self.cols;
        if start > end || end > self.cols || !border(start) || !border(end) {
            return Err(GemmError::Part { start, end, len: self.cols, step });
        }
        let first = start.div_ceil(step) * step * self.full_k;
        Ok(Panels { data: &self.data[first..], cols: end - start, ..self })
    }

    /// The same operand, with the hint that the product after this one reads `next`: its first panel
    /// is brought into the cache during the last panel of this one.
    pub fn followed_by(self, next: Panels<'a, T>) -> Self {
        let start = (next.from * next.kernel.cols).min(next.data.len());
        Panels { next: Some(&next.data[start..]), ..self }
    }

    /// Start of panel `j`, or of what is read after the last one.
    #[inline(always)]
    pub(crate) fn next_ptr(&self, j: usize) -> *const T {
        match self.next {
            Some(next) if j * self.kernel.cols >= self.cols => next.as_ptr(),
            _ => self.ptr(j),
        }
    }

    /// Start of panel `j`.
    #[inline(always)]
    pub(crate) fn ptr(&self, j: usize) -> *const T {
        self.data.as_ptr().wrapping_add((j * self.full_k + self.from) * self.kernel.cols)
    }
}

/// A right operand in packed layout, for writing.
#[derive(Debug)]
pub struct PanelsMut<'a, T> {
    pub(crate) data: &'a mut [T],
    pub(crate) k: usize,
    pub(crate) cols: usize,
    pub(crate) kernel: KernelId,
}

impl<'a, T: Element> PanelsMut<'a, T> {
    /// An operand of `k` × `cols` in `data`, whose contents are yet unspecified.
    ///
    /// # Errors
    /// [`GemmError::Length`] if `data` is shorter than [`panels_len`].
    pub fn new(isa: Isa, data: &'a mut [T], k: usize, cols: usize) -> Result<Self, GemmError> {
        let kernel = KernelId::of::<T>(isa);
        let (needed, found) = (panels_len(kernel, k, cols)?, data.len());
        if needed > found {
            return Err(GemmError::Length { needed, found });
        }
        Ok(PanelsMut { data: &mut data[..needed], k, cols, kernel })
    }

    /// Fills it with `prologue(view)`.
    ///
    /// # Errors
    /// [`GemmError::Shape`] or [`GemmError::Vector`] if shapes do not agree.
    pub fn pack(
        &mut self,
        isa: Isa,
        view: MatRef<'_, T>,
        prologue: &Prologue<'_, T>,
    ) -> Result<(), GemmError> {
        same_kernel(KernelId::of::<T>(isa), self.kernel)?;
        same_shape("right operand", (self.k, self.cols), (view.rows(), view.cols()))?;
        prologue.check(view.rows(), view.cols())?;
        if !self.data.is_empty() {
            pack::panels(isa, self, view, prologue);
        }
        Ok(())
    }

    /// Fills it by `gather(row, from, values)`, which is called for the values of `step` rows (the
    /// last ones may be fewer) from `row` on, in the columns of a panel from `from` on. A row takes
    /// [`KernelId::cols`] values; those beyond the last column become 0 afterwards. The calls go
    /// through the rows, and through the panels from the left to the right in each step.
    ///
    /// For operands that are no strided matrix in memory, such as the pixels under the kernel of a
    /// convolution.
    ///
    /// # Panics
    /// If `step` is 0 and there are elements.
    pub fn gather(&mut self, step: usize, mut gather: impl FnMut(usize, usize, &mut [T])) {
        if self.data.is_empty() {
            return;
        }
        let width = self.kernel.cols;
        for row in (0..self.k).step_by(step) {
            let rows = step.min(self.k - row);
            for (j, from) in (0..self.cols).step_by(width).enumerate() {
                let values = &mut self.data[(j * self.k + row) * width..][..rows * width];
                gather(row, from, values);
                let cols = self.cols - from;
                if cols < width {
                    for row in values.chunks_exact_mut(width) {
                        row[cols..].fill(T::default());
                    }
                }
            }
        }
    }

    /// Cuts it and the `view` it is to be filled with into parts of whole panels, of at least `len`
    /// elements but the last one.
    pub(super) fn parts<'v>(
        self,
        view: MatRef<'v, T>,
        len: usize,
    ) -> Result<Vec<(Self, MatRef<'v, T>)>, GemmError> {
        same_shape("right operand", (self.k, self.cols), (view.rows(), view.cols()))?;
        let PanelsMut { data, k, cols, kernel } = self;
        if data.is_empty() {
            return Ok(Vec::new());
        }
        let panel = k * kernel.cols;
        let panels = len.div_ceil(panel).max(1);
        let parts = data.chunks_mut(panels.saturating_mul(panel)).enumerate().map(|(i, data)| {
            let from = i * panels * kernel.cols;
            let cols = (cols - from).min(data.len() / k);
            let view = view.block(0, from, k, cols)?;
            Ok((PanelsMut { data, k, cols, kernel }, view))
        });
        parts.collect()
    }

    /// The operand for writing, for a shorter while.
    pub fn reborrow(&mut self) -> PanelsMut<'_, T> {
        PanelsMut { data: self.data, cols: self.cols, k: self.k, kernel: self.kernel }
    }

    /// The operand for reading.
    pub fn as_ref(&self) -> Panels<'_, T> {
        Panels::whole(self.data, self.k, self.cols, self.kernel)
    }

    /// Start of row `row` of panel `j`.
    #[inline(always)]
    pub(crate) fn place(&mut self, row: usize, j: usize) -> *mut T {
        self.data.as_mut_ptr().wrapping_add((j * self.k + row) * self.kernel.cols)
    }
}
