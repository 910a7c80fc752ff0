//! Copying strided matrices into packed layout.

use mixfold_simd::{Element, Isa, Kernel, Simd, V, Vector};

use crate::MatRef;
use crate::kernel::{K_STEP, tile_cols};
use crate::operand::{PanelsMut, TilesMut};
use crate::prologue::{Block, Prologue};

/// Lanes of a vector on any instruction set.
const MAX_LANES: usize = 16;

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
        let PackTiles { target, view, prologue } = self;
        for i in 0..target.split.tiles {
            let (row, height) = target.split.tile(i);
            for left in (0..target.k).step_by(K_STEP) {
                let cols = K_STEP.min(target.k - left);
                let block = target.place(i, left);
                let target = (block, K_STEP);
                let mut source = (view.ptr(row, left), view.row_stride());
                if view.col_stride() != 1 {
                    let (at, size) = ((row, left), (height, cols));
                    // SAFETY: 1. the tile's part of the view; 2. a block has `height` rows of K_STEP.
                    unsafe { gather(s, view, at, size, block, (K_STEP, K_STEP)) };
                    source = (block.cast_const(), K_STEP);
                    if prologue.is_none() {
                        continue;
                    }
                }
                let block = Block { at: (row, left), rows: height, cols, source, target };
                // SAFETY: 1. the tile's part of the view or its copy; 2. K_STEP is a multiple of LANES.
                unsafe { prologue.copy(s, block) };
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
                let to = target.place(top, j);
                let mut source = (view.ptr(top, left), view.row_stride());
                if view.col_stride() != 1 {
                    let (at, size) = ((top, left), (rows, cols));
                    // SAFETY: 1. the panel's part of the view; 2. rows of a panel have `width`.
                    unsafe { gather(s, view, at, size, to, (width, width)) };
                    source = (to.cast_const(), width);
                    if prologue.is_none() {
                        continue;
                    }
                }
                let block = Block { at: (top, left), rows, cols, source, target: (to, width) };
                // SAFETY: 1. the panel's part of the view or its copy; 2. `width` is a multiple of LANES.
                unsafe { prologue.copy(s, block) };
                let filled = cols.next_multiple_of(lanes);
                for row in 0..rows {
                    for col in (filled..width).step_by(lanes) {
                        // SAFETY: the rest of a row of the panel.
                        unsafe {
                            V::<T, S>::splat(s, T::default()).store(to.add(row * width + col))
                        };
                    }
                }
            }
        }
    }
}
