//! The left operand.

use core::ops::Range;

use mixfold_simd::{Element, Isa};

use super::{product, same_kernel, same_shape};
use crate::kernel::{K_STEP, KernelId};
use crate::pack;
use crate::{GemmError, MatRef, Prologue};

/// Rows in tiles whose heights differ by at most one: first `more` tiles of `height + 1` rows, then
/// tiles of `height`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowSplit {
    pub tiles: usize,
    height: usize,
    more: usize,
}

impl RowSplit {
    pub(crate) fn new(rows: usize, kernel: KernelId) -> Self {
        RowSplit::of(rows, kernel.rows)
    }

    /// Into tiles of at most `height` rows.
    #[inline(always)]
    pub(crate) fn of(rows: usize, height: usize) -> Self {
        let tiles = rows.div_ceil(height);
        // Without a division for the smallest matrices.
        if tiles <= 1 {
            return RowSplit { tiles, height: rows, more: 0 };
        }
        RowSplit { tiles, height: rows / tiles, more: rows % tiles }
    }

    /// Number of rows.
    #[inline(always)]
    pub(crate) fn rows(self) -> usize {
        self.tiles * self.height + self.more
    }

    /// First row and height of tile `i`. Tile number `tiles` starts after the last row.
    #[inline(always)]
    pub(crate) fn tile(self, i: usize) -> (usize, usize) {
        (i * self.height + i.min(self.more), self.height + usize::from(i < self.more))
    }

    /// The tiles of `range` alone.
    pub(crate) fn part(self, range: &Range<usize>) -> Self {
        let more = self.more.clamp(range.start, range.end) - range.start;
        RowSplit { tiles: range.len(), more, ..self }
    }
}

/// `k` rounded up to whole steps.
#[inline(always)]
pub(crate) fn padded_k(k: usize) -> usize {
    k.div_ceil(K_STEP) * K_STEP
}

/// Elements of a left operand of `rows` × `k` in packed layout.
///
/// # Errors
/// [`GemmError::Overflow`]
pub fn tiles_len(rows: usize, k: usize) -> Result<usize, GemmError> {
    let padded = k.checked_next_multiple_of(K_STEP).ok_or(GemmError::Overflow { rows, cols: k })?;
    product(rows, padded, rows, k)
}

/// A left operand in packed layout, for reading.
#[derive(Clone, Copy, Debug)]
pub struct Tiles<'a, T> {
    data: &'a [T],
    split: RowSplit,
    /// Length of the rows in memory; `from..from + k` of it is the operand.
    full_k: usize,
    from: usize,
    k: usize,
    kernel: KernelId,
}

impl<'a, T: Element> Tiles<'a, T> {
    /// An operand of which `data` is known to have all elements.
    pub(crate) fn whole(data: &'a [T], split: RowSplit, k: usize, kernel: KernelId) -> Self {
        Tiles { data, split, full_k: k, from: 0, k, kernel }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.split.rows()
    }

    /// Length of the rows.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The kernel that reads it.
    pub fn kernel(&self) -> KernelId {
        self.kernel
    }

    pub(crate) fn split(&self) -> RowSplit {
        self.split
    }

    /// The part `from..to` of every row, where `from` is a multiple of [`K_STEP`].
    pub(crate) fn part_of_k(self, from: usize, to: usize) -> Self {
        debug_assert!(from.is_multiple_of(K_STEP) && from <= to && to <= self.k);
        Tiles { from: self.from + from, k: to - from, ..self }
    }

    /// The tiles of `range` alone.
    pub(crate) fn part_of_rows(self, range: &Range<usize>) -> Self {
        let first = self.split.tile(range.start).0 * padded_k(self.full_k);
        Tiles { data: &self.data[first..], split: self.split.part(range), ..self }
    }

    /// Start of tile `i`.
    #[inline(always)]
    pub(crate) fn ptr(&self, i: usize) -> *const T {
        let (row, height) = self.split.tile(i);
        self.data.as_ptr().wrapping_add(row * padded_k(self.full_k) + self.from * height)
    }
}

/// A left operand in packed layout, for writing.
#[derive(Debug)]
pub struct TilesMut<'a, T> {
    pub(crate) data: &'a mut [T],
    pub(crate) split: RowSplit,
    pub(crate) k: usize,
    pub(crate) kernel: KernelId,
}

impl<'a, T: Element> TilesMut<'a, T> {
    /// Values of a row that stand next to each other: a tile is `[k / STEP][rows of the tile][STEP]`.
    pub const STEP: usize = K_STEP;

    /// An operand of `rows` × `k` in `data`, whose contents are yet unspecified.
    ///
    /// # Errors
    /// [`GemmError::Length`] if `data` is shorter than [`tiles_len`].
    pub fn new(isa: Isa, data: &'a mut [T], rows: usize, k: usize) -> Result<Self, GemmError> {
        let kernel = KernelId::of::<T>(isa);
        TilesMut::split(data, RowSplit::new(rows, kernel), k, kernel)
    }

    pub(crate) fn split(
        data: &'a mut [T],
        split: RowSplit,
        k: usize,
        kernel: KernelId,
    ) -> Result<Self, GemmError> {
        let (needed, found) = (tiles_len(split.rows(), k)?, data.len());
        if needed > found {
            return Err(GemmError::Length { needed, found });
        }
        Ok(TilesMut { data: &mut data[..needed], split, k, kernel })
    }

    /// Cuts it and the `view` it is to be filled with into parts of whole tiles, of at least `len`
    /// elements but the last one.
    pub(super) fn parts<'v>(
        self,
        view: MatRef<'v, T>,
        len: usize,
    ) -> Result<Vec<(Self, MatRef<'v, T>)>, GemmError> {
        same_shape("left operand", (self.split.rows(), self.k), (view.rows(), view.cols()))?;
        let TilesMut { mut data, split, k, kernel } = self;
        if data.is_empty() {
            return Ok(Vec::new());
        }
        let tile = split.tile(0).1 * padded_k(k);
        let tiles = len.div_ceil(tile).clamp(1, split.tiles);
        let parts = (0..split.tiles).step_by(tiles).map(|first| {
            let range = first..split.tiles.min(first + tiles);
            let (from, to) = (split.tile(range.start).0, split.tile(range.end).0);
            let part;
            (part, data) = core::mem::take(&mut data).split_at_mut((to - from) * padded_k(k));
            let view = view.rows_at(from, to - from)?;
            Ok((TilesMut { data: part, split: split.part(&range), k, kernel }, view))
        });
        parts.collect()
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
        same_shape("left operand", (self.split.rows(), self.k), (view.rows(), view.cols()))?;
        prologue.check(view.rows(), view.cols())?;
        if !self.data.is_empty() {
            pack::tiles(isa, self, view, prologue);
        }
        Ok(())
    }

    /// Fills it by `gather(row, from, values)`, which is called for at most 32 adjacent values of a
    /// row at a time, from column `from` on. For operands that are no strided matrix in memory, such
    /// as the patches of an image.
    pub fn gather(&mut self, mut gather: impl FnMut(usize, usize, &mut [T])) {
        if self.data.is_empty() {
            return;
        }
        let padded = padded_k(self.k);
        for i in 0..self.split.tiles {
            let (row, height) = self.split.tile(i);
            let tile = &mut self.data[row * padded..][..height * padded];
            for (block, values) in tile.chunks_exact_mut(height * K_STEP).enumerate() {
                let from = block * K_STEP;
                let len = K_STEP.min(self.k - from);
                for (i, values) in values.chunks_exact_mut(K_STEP).enumerate() {
                    gather(row + i, from, &mut values[..len]);
                }
            }
        }
    }

    /// The operand for writing, for a shorter while.
    pub fn reborrow(&mut self) -> TilesMut<'_, T> {
        TilesMut { data: self.data, split: self.split, k: self.k, kernel: self.kernel }
    }

    /// The operand for reading.
    pub fn as_ref(&self) -> Tiles<'_, T> {
        Tiles::whole(self.data, self.split, self.k, self.kernel)
    }

    /// Start of the `height` × 32 values of tile `i` from column `col` on.
    #[inline(always)]
    pub(crate) fn place(&mut self, i: usize, col: usize) -> *mut T {
        let (row, height) = self.split.tile(i);
        let block = col / K_STEP * K_STEP * height + col % K_STEP;
        self.data.as_mut_ptr().wrapping_add(row * padded_k(self.k) + block)
    }
}
