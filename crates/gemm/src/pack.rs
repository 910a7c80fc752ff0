//! Copying strided matrices into packed layout, with a norm on the way.

use mixfold_simd::{Element, Isa, Kernel, Simd, V, Vector};

use crate::epilogue::Broadcast;
use crate::kernel::{K_STEP, tile_cols};
use crate::operand::{PanelsMut, TilesMut};
use crate::{GemmError, MatRef};

/// Lanes of a vector on any instruction set.
const MAX_LANES: usize = 16;

/// What happens to the elements of an operand while it is packed:
///
/// `y = ((x − center) · scale) · gain + offset`, each one per row or per column of the matrix.
///
/// A layer norm has the mean as `center`, 1/σ as `scale`, γ as `gain` and β as `offset`; a
/// per-channel affine has `gain` and `offset` alone. What is absent is left out of the arithmetic.
#[derive(Clone, Copy, Debug)]
pub struct Prologue<'a, T> {
    /// Subtracted first.
    pub center: Broadcast<'a, T>,
    /// Multiplied second.
    pub scale: Broadcast<'a, T>,
    /// Multiplied third.
    pub gain: Broadcast<'a, T>,
    /// Added last, in one operation with the gain where both are there.
    pub offset: Broadcast<'a, T>,
}

impl<T: Element> Prologue<'_, T> {
    /// Leaves the elements as they are.
    pub const NONE: Self = Prologue {
        center: Broadcast::None,
        scale: Broadcast::None,
        gain: Broadcast::None,
        offset: Broadcast::None,
    };

    /// Whether elements stay as they are.
    #[inline(always)]
    fn is_none(&self) -> bool {
        let Prologue { center, scale, gain, offset } = self;
        [center, scale, gain, offset].iter().all(|part| matches!(part, Broadcast::None))
    }

    pub(crate) fn check(&self, rows: usize, cols: usize) -> Result<(), GemmError> {
        self.center.check("center", rows, cols)?;
        self.scale.check("scale", rows, cols)?;
        self.gain.check("gain", rows, cols)?;
        self.offset.check("offset", rows, cols)
    }

    /// Of the vector of elements from (`row`, `col`) on, `n` of which count.
    #[inline(always)]
    fn apply<S: Simd>(
        &self,
        s: S,
        mut x: V<T, S>,
        (row, col): (usize, usize),
        n: usize,
    ) -> V<T, S> {
        if let Some(center) = self.center.vector(s, row, col, n) {
            x = x - center;
        }
        if let Some(scale) = self.scale.vector(s, row, col, n) {
            x = x * scale;
        }
        match (self.gain.vector(s, row, col, n), self.offset.vector(s, row, col, n)) {
            (Some(gain), Some(offset)) => x.mul_add(gain, offset),
            (Some(gain), None) => x * gain,
            (None, Some(offset)) => x + offset,
            (None, None) => x,
        }
    }

    /// Reads `n` elements of a row of `view`, of which `place` has a copy where the view's columns are
    /// not adjacent, and writes their vector, of which the elements beyond `n` are unspecified.
    ///
    /// # Safety
    /// 1. `place` is valid for writes, and for reads if the columns are not adjacent, of LANES values.
    /// 2. The `n` elements from (`row`, `col`) on are inside of `view`.
    #[inline(always)]
    unsafe fn copy<S: Simd>(
        &self,
        s: S,
        view: MatRef<'_, T>,
        (row, col): (usize, usize),
        n: usize,
        place: *mut T,
    ) {
        let lanes = V::<T, S>::LANES;
        // SAFETY: 1. and 2.
        unsafe {
            let x = if view.col_stride() != 1 {
                V::<T, S>::load(s, place)
            } else if n == lanes {
                V::<T, S>::load(s, view.ptr(row, col))
            } else {
                V::<T, S>::load_first(s, view.ptr(row, col), n)
            };
            self.apply(s, x, (row, col), n).store(place);
        }
    }
}

/// Copies a block of a view whose columns are not adjacent to rows of `stride` values; what is right of
/// the block becomes 0, up to `width`.
///
/// # Safety
/// 1. The block is inside of the view.
/// 2. `target` is valid for writes of `width` ≤ `stride` values at each of the rows; `width` is a
///    multiple of LANES.
#[inline(always)]
unsafe fn gather<T: Element, S: Simd>(
    s: S,
    view: MatRef<'_, T>,
    (top, left): (usize, usize),
    (rows, cols): (usize, usize),
    target: *mut T,
    (width, stride): (usize, usize),
) {
    if view.row_stride() == 1 {
        let lanes = V::<T, S>::LANES;
        for col in (0..width).step_by(lanes) {
            let lines = lanes.min(cols.saturating_sub(col));
            for row in (0..rows).step_by(lanes) {
                let len = lanes.min(rows - row);
                let source = (view.ptr(top + row, left + col), view.col_stride());
                let target = (target.wrapping_add(row * stride + col), stride);
                // SAFETY: 1. `lines` × `len` values of 1. by the choice of both; 2. by 2.
                unsafe { transpose(s, source, (lines, len), target) };
            }
        }
        return;
    }
    for col in 0..width {
        for row in 0..rows {
            // SAFETY: 1.
            let read = || unsafe { view.ptr(top + row, left + col).read() };
            let x = if col < cols { read() } else { T::default() };
            // SAFETY: 2.
            unsafe { target.add(row * stride + col).write(x) };
        }
    }
}

/// Writes `lines` of `len` values, at most LANES each, as the columns of `len` rows of LANES values;
/// the other columns become 0.
///
/// # Safety
/// 1. `source` with its stride is valid for reads of the lines.
/// 2. `target` with its stride is valid for writes of the rows, none of which is one of the lines.
#[inline(always)]
unsafe fn transpose<T: Element, S: Simd>(
    s: S,
    source: (*const T, usize),
    (lines, len): (usize, usize),
    target: (*mut T, usize),
) {
    let lanes = V::<T, S>::LANES;
    if lines == lanes && len == lanes {
        // SAFETY: 1. and 2.
        unsafe { V::<T, S>::transpose(s, source.0, source.1, target.0, target.1) };
        return;
    }
    // Through a whole block of each.
    let mut before = [[T::default(); MAX_LANES]; MAX_LANES];
    let mut after = [[T::default(); MAX_LANES]; MAX_LANES];
    for (i, line) in before.iter_mut().enumerate().take(lines) {
        // SAFETY: 1.; a line of the copy has room for a vector.
        unsafe {
            let x = V::<T, S>::load_first(s, source.0.wrapping_add(i * source.1), len);
            x.store(line.as_mut_ptr());
        }
    }
    let (from, to) = (before.as_ptr().cast(), after.as_mut_ptr().cast());
    // SAFETY: 1. and 2. the copies have room for LANES × LANES values.
    unsafe { V::<T, S>::transpose(s, from, MAX_LANES, to, MAX_LANES) };
    for (i, row) in after.iter().enumerate().take(len) {
        // SAFETY: 2.
        unsafe { V::<T, S>::load(s, row.as_ptr()).store(target.0.wrapping_add(i * target.1)) };
    }
}

/// Copies `n` adjacent values; the last vector is filled up with zeros.
///
/// # Safety
/// 1. `from` is valid for reads of `n` values.
/// 2. `to` is valid for writes of `n` values, rounded up to whole vectors.
#[inline(always)]
unsafe fn copy_row<T: Element, S: Simd>(s: S, from: *const T, to: *mut T, n: usize) {
    let lanes = V::<T, S>::LANES;
    let mut col = 0;
    while col + lanes <= n {
        // SAFETY: 1. and 2.
        unsafe { V::<T, S>::load(s, from.add(col)).store(to.add(col)) };
        col += lanes;
    }
    if col < n {
        // SAFETY: 1. and 2.
        unsafe { V::<T, S>::load_first(s, from.add(col), n - col).store(to.add(col)) };
    }
}

/// Panels whose rows are copied together, so that what is read is longer than a row of one.
pub(crate) const PANELS_AT_ONCE: usize = 4;

/// Copies a view with adjacent columns to panels.
///
/// # Safety
/// 1. The view has the rows and columns of `target`.
/// 2. `target` has all elements.
#[inline(always)]
unsafe fn copy_panels<T: Element, S: Simd>(
    s: S,
    target: &mut PanelsMut<'_, T>,
    view: MatRef<'_, T>,
) {
    let (width, lanes) = (tile_cols::<T, S>(), V::<T, S>::LANES);
    let panel = target.k * width;
    for first in (0..target.cols).step_by(PANELS_AT_ONCE * width) {
        let end = target.cols.min(first + PANELS_AT_ONCE * width);
        for row in 0..target.k {
            let mut place = target.place(row, 0).wrapping_add(first * target.k);
            let mut col = first;
            while col + width <= end {
                for vector in (0..width).step_by(lanes) {
                    // SAFETY: 1. `width` more columns are there; 2. at a row of a panel.
                    unsafe {
                        let x = V::<T, S>::load(s, view.ptr(row, col + vector));
                        x.store(place.wrapping_add(vector));
                    }
                }
                place = place.wrapping_add(panel);
                col += width;
            }
            if col < end {
                for vector in (0..width).step_by(lanes) {
                    let n = lanes.min((end - col).saturating_sub(vector));
                    // SAFETY: 1. n more columns are there; 2. at a row of a panel.
                    unsafe {
                        let x = V::<T, S>::load_first(s, view.ptr(row, col + vector), n);
                        x.store(place.wrapping_add(vector));
                    }
                }
            }
        }
    }
}

/// Fills `target` with `prologue(view)`, of the same shape.
pub(crate) fn tiles<T: Element>(
    isa: Isa,
    target: &mut TilesMut<'_, T>,
    view: MatRef<'_, T>,
    prologue: &Prologue<'_, T>,
) {
    isa.run(PackTiles { target, view, prologue });
}

pub(crate) struct PackTiles<'a, 'b, T> {
    pub target: &'a mut TilesMut<'b, T>,
    pub view: MatRef<'a, T>,
    pub prologue: &'a Prologue<'a, T>,
}

impl<T: Element> Kernel for PackTiles<'_, '_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let lanes = V::<T, S>::LANES;
        let PackTiles { target, view, prologue } = self;
        let is_plain = view.col_stride() == 1 && prologue.is_none();
        for i in 0..target.split.tiles {
            let (row, height) = target.split.tile(i);
            for left in (0..target.k).step_by(K_STEP) {
                let cols = K_STEP.min(target.k - left);
                let block = target.place(i, left);
                if is_plain {
                    for r in 0..height {
                        let (from, to) = (view.ptr(row + r, left), block.wrapping_add(r * K_STEP));
                        // SAFETY: 1. a row of the tile's part of the view; 2. a row of a block has
                        // K_STEP values, a multiple of LANES.
                        unsafe { copy_row(s, from, to, cols) };
                    }
                    continue;
                }
                if view.col_stride() != 1 {
                    let (at, size) = ((row, left), (height, cols));
                    // SAFETY: 1. the tile's part of the view; 2. a block has `height` rows of K_STEP.
                    unsafe { gather(s, view, at, size, block, (K_STEP, K_STEP)) };
                    if prologue.is_none() {
                        continue;
                    }
                }
                for r in 0..height {
                    for col in (0..cols).step_by(lanes) {
                        let n = lanes.min(cols - col);
                        let place = block.wrapping_add(r * K_STEP + col);
                        // SAFETY: 1. K_STEP is a multiple of LANES; 2. by the choice of n.
                        unsafe { prologue.copy(s, view, (row + r, left + col), n, place) };
                    }
                }
            }
        }
    }
}

/// Fills `target` with `prologue(view)`, of the same shape.
pub(crate) fn panels<T: Element>(
    isa: Isa,
    target: &mut PanelsMut<'_, T>,
    view: MatRef<'_, T>,
    prologue: &Prologue<'_, T>,
) {
    isa.run(PackPanels { target, view, prologue });
}

pub(crate) struct PackPanels<'a, 'b, T> {
    pub target: &'a mut PanelsMut<'b, T>,
    pub view: MatRef<'a, T>,
    pub prologue: &'a Prologue<'a, T>,
}

impl<T: Element> Kernel for PackPanels<'_, '_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let lanes = V::<T, S>::LANES;
        let width = tile_cols::<T, S>();
        let PackPanels { target, view, prologue } = self;
        if view.col_stride() == 1 && prologue.is_none() {
            // SAFETY: 1. shapes agree; 2. a target is whole.
            unsafe { copy_panels(s, target, view) };
            return;
        }
        for (j, left) in (0..target.cols).step_by(width).enumerate() {
            let cols = width.min(target.cols - left);
            // Blocks of rows, so that source and target of a transposition both stay in cache.
            for top in (0..target.k).step_by(K_STEP) {
                let rows = K_STEP.min(target.k - top);
                if view.col_stride() != 1 {
                    let (at, size) = ((top, left), (rows, cols));
                    // SAFETY: 1. the panel's part of the view; 2. rows of a panel have `width`.
                    unsafe { gather(s, view, at, size, target.place(top, j), (width, width)) };
                    if prologue.is_none() {
                        continue;
                    }
                }
                for row in top..top + rows {
                    for col in (0..width).step_by(lanes) {
                        let n = lanes.min(cols.saturating_sub(col));
                        let place = target.place(row, j).wrapping_add(col);
                        if n == 0 {
                            // SAFETY: `width` is a multiple of LANES.
                            unsafe { V::<T, S>::splat(s, T::default()).store(place) };
                            continue;
                        }
                        // SAFETY: 1. `width` is a multiple of LANES; 2. by the choice of n.
                        unsafe { prologue.copy(s, view, (row, left + col), n, place) };
                    }
                }
            }
        }
    }
}
