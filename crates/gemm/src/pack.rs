//! Copying strided matrices into packed layout.

use mixfold_simd::{Element, Isa, Kernel, Simd, V, Vector};

use crate::MatRef;
use crate::kernel::{K_STEP, tile_cols};
use crate::operand::{PanelsMut, TilesMut};
use crate::prologue::{Block, Prologue};

/// Copies a block of a view of any strides to rows of `stride` values; what is right of the block
/// becomes 0, up to `width`.
///
/// # Safety
/// 1. The block is inside of the view.
/// 2. `target` is valid for writes of `width` ≤ `stride` values at each of the rows.
#[inline(always)]
unsafe fn gather<T: Element>(
    view: MatRef<'_, T>,
    (top, left): (usize, usize),
    (rows, cols): (usize, usize),
    target: *mut T,
    (width, stride): (usize, usize),
) {
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

/// Fills `target` with `prologue(view)`, of the same shape.
pub(crate) fn tiles<T: Element>(
    isa: Isa,
    target: &mut TilesMut<'_, T>,
    view: MatRef<'_, T>,
    prologue: &Prologue<'_, T>,
) {
    isa.run(PackTiles { target, view, prologue });
}

struct PackTiles<'a, 'b, T> {
    target: &'a mut TilesMut<'b, T>,
    view: MatRef<'a, T>,
    prologue: &'a Prologue<'a, T>,
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
                    unsafe { gather(view, at, size, block, (K_STEP, K_STEP)) };
                    source = (block.cast_const(), K_STEP);
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

struct PackPanels<'a, 'b, T> {
    target: &'a mut PanelsMut<'b, T>,
    view: MatRef<'a, T>,
    prologue: &'a Prologue<'a, T>,
}

impl<T: Element> Kernel for PackPanels<'_, '_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let lanes = V::<T, S>::LANES;
        let width = tile_cols::<T, S>();
        let PackPanels { target, view, prologue } = self;
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
                    unsafe { gather(view, at, size, to, (width, width)) };
                    source = (to.cast_const(), width);
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
