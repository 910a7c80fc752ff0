//! One block of a product on one thread. What is not packed yet is packed just before it is used, so
//! that the micro-kernel finds it in the second level cache.

use mixfold_simd::{Element, Kernel, Simd, V, Vector};

use crate::buffer::{carve, padded};
use crate::epilogue::{Accum, Epilogue, Scalar};
use crate::finish::{Finish, tile_and_finish};
use crate::gemm::{Lhs, Rhs};
use crate::kernel::{
    K_STEP, KernelId, LINE, MAX_COLS, Tail, TileArgs, TileSums, second_half, tile_cols,
};
use crate::operand::{PanelsMut, RowSplit, Tiles, TilesMut, panels_len, tiles_len};
use crate::pack::{PANELS_AT_ONCE, PackPanels, PackTiles};
use crate::product::{K_BLOCK, Out};
use crate::{GemmError, Prologue};

/// Rows of the right operand are read in place, at their stride, by at most so many tiles. More of
/// them repay a copy: it takes a seventh of the time of a tile, and its rows are adjacent, without
/// the misses that rows of a large matrix have in the translation of addresses.
const TILES_IN_PLACE: usize = 5;

/// Steps of k at a time where the sums are kept in the output: shorter, so that more rows of the left
/// operand share a panel of the right one.
const K_DIRECT: usize = 512;

/// Elements of the left operand that are packed at a time. They share the second level cache with the
/// panels that they meet.
const fn lhs_len<T>() -> usize {
    196 * K_BLOCK * size_of::<f32>() / size_of::<T>()
}

/// Steps of k at a time: equal parts of at most `limit`.
#[inline(always)]
fn k_step(k: usize, limit: usize) -> usize {
    if k <= limit {
        return k.next_multiple_of(K_STEP).max(K_STEP);
    }
    k.div_ceil(k.div_ceil(limit)).next_multiple_of(K_STEP)
}

/// Whether a block of so many rows meets the right operand more than once.
pub(crate) fn is_tall<T>(rows: usize, k: usize) -> bool {
    rows > lhs_len::<T>() / k_step(k, K_BLOCK)
}

/// Elements of the memory that a block of `rows` × `cols` needs, if its operands are views or not.
///
/// # Errors
/// [`GemmError::Overflow`]
pub(crate) fn memory_len<T: Element>(
    kernel: KernelId,
    (rows, cols, k): (usize, usize, usize),
    (lhs, rhs): (bool, bool),
) -> Result<usize, GemmError> {
    // Shorter steps need no more.
    let step = k_step(k, K_BLOCK);
    let lhs = if lhs { padded::<T>(tiles_len(rows, step)?.min(lhs_len::<T>())) } else { 0 };
    let rhs = match rhs {
        true if is_tall::<T>(rows, k) => padded::<T>(panels_len(kernel, step, cols)?),
        true => {
            let cols = cols.min(PANELS_AT_ONCE * kernel.cols);
            padded::<T>(step * cols.next_multiple_of(MAX_COLS))
        }
        false => 0,
    };
    let sums = if k <= K_DIRECT {
        0
    } else {
        padded::<T>(panels_len(kernel, rows, if k <= K_BLOCK { kernel.cols } else { cols })?)
    };
    let len = lhs.checked_add(rhs).and_then(|len| len.checked_add(sums));
    len.ok_or(GemmError::Overflow { rows, cols })
}

/// A block of a product, whose shapes and kernels are known to agree.
pub(crate) struct Block<'a, T: Scalar> {
    pub lhs: Lhs<'a, T>,
    pub rhs: Rhs<'a, T>,
    /// Rows, columns and steps of k.
    pub shape: (usize, usize, usize),
    pub epilogue: &'a Epilogue<'a, T>,
    pub out: Out<'a, T>,
    /// [`memory_len`] elements.
    pub memory: &'a mut [T],
}

impl<T: Scalar> Kernel for Block<'_, T> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Block { lhs, rhs, shape: (rows, cols, k), epilogue, mut out, memory: mut rest } = self;
        let kernel = KernelId::with::<T, S>();
        let (width, lanes) = (tile_cols::<T, S>(), V::<T, S>::LANES);
        // Sums that nothing follows are kept where they belong, if whole vectors of them are.
        let direct = match &mut out {
            Out::Matrix(out, Accum::Replace) if out.strides().1 == 1 && epilogue.is_none() => {
                Some((out.ptr(0, 0), out.strides().0))
            }
            _ => None,
        };
        let panels = cols.div_ceil(width);
        let step = k_step(k, if direct.is_some() { K_DIRECT } else { K_BLOCK });
        let split = match lhs {
            Lhs::View(_) => RowSplit::of(rows, kernel.rows),
            Lhs::Packed(tiles) => tiles.split(),
        };
        // Tiles at a time. If that is not all of them, packed panels are kept for the others.
        let at_once = if rows <= lhs_len::<T>() / step {
            split.tiles
        } else {
            (lhs_len::<T>() / step / kernel.rows).max(1)
        };
        let is_kept = at_once < split.tiles;
        let lhs_len = match lhs {
            Lhs::View(_) => rows.min(at_once * kernel.rows) * step,
            Lhs::Packed(_) => 0,
        };
        let rhs_len = match rhs {
            Rhs::View(_) if is_kept => step * panels * width,
            Rhs::View(_) => step * panels.min(PANELS_AT_ONCE) * width,
            Rhs::Packed(_) => 0,
        };
        let lhs_data = carve(&mut rest, lhs_len);
        let rhs_data = carve(&mut rest, rhs_len);
        // Sums in the output leave those of the last panel, if it ends within a vector.
        let kept_panels = if direct.is_some() { 1 } else { panels };
        let sums_len = if k > step { rows * kept_panels * width } else { 0 };
        let sums_data = &mut rest[..sums_len];
        let mut sums = PanelsMut { data: sums_data, k: rows, cols, kernel };
        let mut local = TileSums::new();
        let all_tiles = split.tiles;
        let in_place = split.tiles <= TILES_IN_PLACE
            && matches!(rhs, Rhs::View(view) if view.col_stride() == 1);

        let mut from = 0;
        loop {
            let to = k.min(from + step);
            for top in (0..split.tiles).step_by(at_once) {
                let range = top..split.tiles.min(top + at_once);
                let (first_row, split) = (split.tile(top).0, split.part(&range));
                let is_last = range.end == all_tiles;
                let tiles = match lhs {
                    Lhs::Packed(tiles) => tiles.part_of_rows(&range).part_of_k(from, to),
                    Lhs::View(view) => {
                        let view = view.part((first_row, from), (split.rows(), to - from));
                        let mut target = TilesMut { data: lhs_data, split, k: to - from, kernel };
                        s.enter(PackTiles { target: &mut target, view, prologue: &Prologue::NONE });
                        Tiles::whole(lhs_data, split, to - from, kernel)
                    }
                };
                for j in 0..panels {
                    let left = j * width;
                    let rest = cols - left;
                    let cols = width.min(rest);
                    let vectors = cols.div_ceil(lanes);
                    let is_whole = cols == vectors * lanes;
                    let in_group = matches!(rhs, Rhs::View(_)) && !in_place;
                    let first = if in_group { j / PANELS_AT_ONCE * PANELS_AT_ONCE } else { j };
                    let group = if in_group { PANELS_AT_ONCE.min(panels - first) } else { 1 };
                    let start = if is_kept { first * (to - from) * width } else { 0 };
                    let (b, b_stride) = match rhs {
                        Rhs::Packed(panels) => (panels.ptr(j).wrapping_add(from * width), width),
                        Rhs::View(view) if in_place && is_whole => {
                            (view.ptr(from, left), view.row_stride())
                        }
                        Rhs::View(view) => {
                            if j == first && (top == 0 || !is_kept) {
                                let (k, cols) = (to - from, rest.min(group * width));
                                let view = view.part((from, left), (k, cols));
                                let data = &mut rhs_data[start..][..k * group * width];
                                let mut target = PanelsMut { data, k, cols, kernel };
                                let prologue = &Prologue::NONE;
                                s.enter(PackPanels { target: &mut target, view, prologue });
                            }
                            let place = start + (j - first) * (to - from) * width;
                            (rhs_data.as_ptr().wrapping_add(place), width)
                        }
                    };
                    let next = first + group;
                    let ahead = if top > 0 && in_group && (next < panels || !is_last) {
                        // It has been packed, and after the last panel comes the first one again.
                        let next = if next < panels { next } else { 0 };
                        let start = rhs_data.as_ptr().wrapping_add(next * (to - from) * width);
                        Ahead { start, lines: group * (to - from), stride: width, across: None }
                    } else if next < panels {
                        Ahead::of(&rhs, (from, to), next * width, group * width)
                    } else if !is_last {
                        Ahead::of(&rhs, (from, to), 0, group * width)
                    } else if to < k {
                        Ahead::of(&rhs, (to, k.min(to + step)), 0, group * width)
                    } else {
                        Ahead::after(&rhs, to - from, panels, width, b)
                    };
                    for i in 0..split.tiles {
                        let (row, rows) = split.tile(i);
                        let row = first_row + row;
                        let in_output = direct.filter(|_| is_whole);
                        let (acc, acc_stride, fresh) = if let Some((data, stride)) = in_output {
                            (data.wrapping_add(row * stride + left), stride, from == 0)
                        } else if k > step {
                            let panel = if direct.is_some() { 0 } else { j };
                            (sums.place(row, panel), width, from == 0)
                        } else {
                            (local.as_mut_ptr(), width, true)
                        };
                        let finish = (to == k && in_output.is_none()).then(|| {
                            let (at, (place, meets)) =
                                ((row, left), out.place(top + i, row, j, left));
                            Finish { epilogue, sums: acc, at, rows, cols, place, meets }
                        });
                        let share = ((j - first) * split.tiles + i, group * split.tiles);
                        let (next, next_step) = ahead.share(share, to - from);
                        let args = TileArgs {
                            k: to - from,
                            a: tiles.ptr(i),
                            b,
                            b_stride,
                            acc,
                            acc_stride,
                            narrow: vectors == 1,
                            tail: Tail::NONE,
                            fresh,
                            next,
                            next_step,
                        };
                        // SAFETY: 1. tile i of the left operand has `rows` rows and so many steps of
                        // k, so has panel j of the right one, packed or in place with whole vectors;
                        // `acc` has room for a tile, and was written if not fresh; 2. the shapes of
                        // output, residual and vectors are that of the product.
                        unsafe { tile_and_finish(s, args, finish, rows) };
                    }
                }
            }
            from = to;
            if from == k {
                break;
            }
        }
    }
}

/// What is fetched while panels are used: the source of the next ones.
struct Ahead<T> {
    start: *const T,
    /// Lines of the source, and elements from one to the next.
    lines: usize,
    stride: usize,
    /// Cache lines of a line that is fetched with many others; None where lines are long.
    across: Option<usize>,
}

impl<T: Scalar> Ahead<T> {
    /// The `cols` columns from `left` on, of a packed operand one panel.
    #[inline(always)]
    fn of(rhs: &Rhs<'_, T>, (from, to): (usize, usize), left: usize, cols: usize) -> Self {
        match rhs {
            Rhs::Packed(panels) => {
                let start = panels.ptr(left / cols).wrapping_add(from * cols);
                Ahead { start, lines: to - from, stride: cols, across: None }
            }
            Rhs::View(view) => {
                let start = view.ptr(from, left);
                if view.col_stride() == 1 {
                    let across = Some((cols * size_of::<T>()).div_ceil(LINE));
                    Ahead { start, lines: to - from, stride: view.row_stride(), across }
                } else {
                    Ahead { start, lines: cols, stride: view.col_stride(), across: None }
                }
            }
        }
    }

    /// What follows the last of the panels: what the operand says of it, or nothing but what is
    /// being used.
    #[inline(always)]
    fn after(rhs: &Rhs<'_, T>, k: usize, panels: usize, width: usize, b: *const T) -> Self {
        match rhs {
            Rhs::Packed(rhs) => {
                Ahead { start: rhs.next_ptr(panels), lines: k, stride: width, across: None }
            }
            Rhs::View(_) => Ahead { start: b, lines: 0, stride: 0, across: Some(1) },
        }
    }

    /// The share of tile `i` of `tiles`, of `k` steps: two places from which it is fetched, and elements
    /// between two cache lines of it.
    #[inline(always)]
    fn share(&self, (i, tiles): (usize, usize), k: usize) -> ([*const T; 2], usize) {
        let cache_line = LINE / size_of::<T>();
        let Some(across) = self.across else {
            let start = self.start.wrapping_add(i * self.lines / tiles * self.stride);
            let share = self.lines * self.stride / tiles;
            return ([start, start.wrapping_add(second_half(share, k, cache_line))], cache_line);
        };
        // A tile fetches one cache line each of adjacent lines.
        let (part, parts) = (i / across, tiles.div_ceil(across));
        let line = part * self.lines / parts;
        let at = line * self.stride + i % across * cache_line;
        ([self.start.wrapping_add(at); 2], self.stride)
    }
}
