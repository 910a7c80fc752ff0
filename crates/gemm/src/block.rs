//! One block of a product on one thread. What is not packed yet is packed just before it is used, so
//! that the micro-kernel finds it in the second level cache.

use core::mem::MaybeUninit;

use mixfold_simd::{Element, Kernel, Simd, V, Vector};

use crate::buffer::{carve, padded};
use crate::epilogue::{Accum, Epilogue, Scalar};
use crate::finish::{Finish, finish};
use crate::gemm::{Lhs, Rhs};
use crate::kernel::{
    K_STEP, KernelId, LINE, MAX_COLS, MAX_ROWS, TileArgs, second_half, tile, tile_cols,
};
use crate::operand::{PanelsMut, RowSplit, Tiles, TilesMut, panels_len, tiles_len};
use crate::pack::{PANELS_AT_ONCE, PackPanels, PackTiles};
use crate::product::{K_BLOCK, Out};
use crate::{GemmError, Prologue};

/// Rows of the right operand are read in place, at their stride, by at most so many tiles. More of
/// them repay a copy: it takes a seventh of the time of a tile, and its rows are adjacent, without
/// the misses that rows of a large matrix have in the translation of addresses.
const TILES_IN_PLACE: usize = 5;

/// Steps of k at a time: equal parts of at most [`K_BLOCK`].
#[inline(always)]
fn k_step(k: usize) -> usize {
    if k <= K_BLOCK {
        return k.next_multiple_of(K_STEP).max(K_STEP);
    }
    k.div_ceil(k.div_ceil(K_BLOCK)).next_multiple_of(K_STEP)
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
    let part = k.min(k_step(k));
    let lhs = if lhs { padded::<T>(tiles_len(rows, part)?) } else { 0 };
    let rhs = if rhs {
        padded::<T>(part * cols.min(PANELS_AT_ONCE * kernel.cols).next_multiple_of(MAX_COLS))
    } else {
        0
    };
    let sums = if k > K_BLOCK { padded::<T>(panels_len(kernel, rows, cols)?) } else { 0 };
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

/// Sums of a tile that is finished at once.
#[repr(align(64))]
struct Local<T>(MaybeUninit<[T; MAX_ROWS * MAX_COLS]>);

impl<T: Scalar> Kernel for Block<'_, T> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Block { lhs, rhs, shape: (rows, cols, k), epilogue, mut out, memory: mut rest } = self;
        let kernel = KernelId::with::<T, S>();
        let (width, lanes) = (tile_cols::<T, S>(), V::<T, S>::LANES);
        let (panels, step) = (cols.div_ceil(width), k_step(k));
        let part = k.min(step);
        let lhs_len =
            if matches!(lhs, Lhs::View(_)) { rows * part.next_multiple_of(K_STEP) } else { 0 };
        let rhs_len =
            if matches!(rhs, Rhs::View(_)) { part * panels.min(PANELS_AT_ONCE) * width } else { 0 };
        let lhs_data = carve(&mut rest, lhs_len);
        let rhs_data = carve(&mut rest, rhs_len);
        let sums_len = if k > K_BLOCK { rows * cols.next_multiple_of(width) } else { 0 };
        let mut sums = PanelsMut { data: &mut rest[..sums_len], k: rows, cols, kernel };
        let mut local: Local<T> = Local(MaybeUninit::uninit());
        let split = match lhs {
            Lhs::View(_) => RowSplit::of(rows, kernel.rows),
            Lhs::Packed(tiles) => tiles.split(),
        };
        // Sums that nothing follows are kept where they belong, if whole vectors of them are.
        let direct = match &mut out {
            Out::Matrix(out, Accum::Replace) if out.strides().1 == 1 && epilogue.is_none() => {
                Some((out.ptr(0, 0), out.strides().0))
            }
            _ => None,
        };
        let in_place = split.tiles <= TILES_IN_PLACE
            && matches!(rhs, Rhs::View(view) if view.col_stride() == 1);

        let mut from = 0;
        loop {
            let to = k.min(from + step);
            let tiles = match lhs {
                Lhs::Packed(tiles) => tiles.part_of_k(from, to),
                Lhs::View(view) => {
                    let view = view.part((0, from), (rows, to - from));
                    let mut target = TilesMut { data: lhs_data, split, k: to - from, kernel };
                    s.enter(PackTiles { target: &mut target, view, prologue: &Prologue::NONE });
                    Tiles::whole(lhs_data, split, to - from, kernel)
                }
            };
            for j in 0..panels {
                let left = j * width;
                let in_group = !matches!(rhs, Rhs::Packed(_)) && !in_place;
                let first = if in_group { j / PANELS_AT_ONCE * PANELS_AT_ONCE } else { j };
                let group = if in_group { PANELS_AT_ONCE.min(panels - first) } else { 1 };
                let (b, b_stride) = match rhs {
                    Rhs::Packed(panels) => (panels.ptr(j).wrapping_add(from * width), width),
                    Rhs::View(view) if in_place && width <= cols - left => {
                        (view.ptr(from, left), view.row_stride())
                    }
                    Rhs::View(view) => {
                        if j == first {
                            let shape = (to - from, (group * width).min(cols - left));
                            let view = view.part((from, left), shape);
                            let data = &mut rhs_data[..shape.0 * group * width];
                            let mut target = PanelsMut { data, k: shape.0, cols: shape.1, kernel };
                            let prologue = &Prologue::NONE;
                            s.enter(PackPanels { target: &mut target, view, prologue });
                        }
                        let panel = (j - first) * (to - from) * width;
                        (rhs_data.as_ptr().wrapping_add(panel), width)
                    }
                };
                let next = first + group;
                let ahead = if next < panels {
                    Ahead::of(&rhs, (from, to), next * width, group * width)
                } else if to < k {
                    Ahead::of(&rhs, (to, k.min(to + step)), 0, group * width)
                } else {
                    Ahead::after(&rhs, to - from, panels, width, b)
                };
                let cols = width.min(cols - left);
                let vectors = cols.div_ceil(lanes).min(width / lanes);
                for i in 0..split.tiles {
                    let (row, rows) = split.tile(i);
                    let (acc, acc_stride, fresh) = if let Some((data, stride)) = direct
                        && cols == vectors * lanes
                    {
                        (data.wrapping_add(row * stride + left), stride, from == 0)
                    } else if k > K_BLOCK {
                        (sums.place(row, j), width, from == 0)
                    } else {
                        (local.0.as_mut_ptr().cast(), width, true)
                    };
                    let (next, next_step) = ahead
                        .share(((j - first) * split.tiles + i, group * split.tiles), to - from);
                    let args = TileArgs {
                        k: to - from,
                        a: tiles.ptr(i),
                        b,
                        b_stride,
                        acc,
                        acc_stride,
                        narrow: vectors == 1,
                        fresh,
                        next,
                        next_step,
                    };
                    // SAFETY: 1. tile i of the left operand has `rows` rows and so many steps of k;
                    // 2. so has panel j of the right one, packed or with all columns in place;
                    // 3. `acc` has room for a tile, and was written if not fresh.
                    unsafe { tile(s, rows, args) };
                    if to == k && !(direct.is_some() && cols == vectors * lanes) {
                        let at = (row, left);
                        let (place, meets) = out.place(i, row, j, left);
                        let done = Finish { epilogue, sums: acc, at, rows, cols, place, meets };
                        // SAFETY: 1. the tile has just been computed; 2. and 3. the shapes of output,
                        // residual and vectors are that of the product.
                        unsafe { finish(s, done) };
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
    /// Cache lines of a line that is fetched with many others; 0 where lines are long.
    across: usize,
}

impl<T: Scalar> Ahead<T> {
    /// The `cols` columns from `left` on, of a packed operand one panel.
    #[inline(always)]
    fn of(rhs: &Rhs<'_, T>, (from, to): (usize, usize), left: usize, cols: usize) -> Self {
        match rhs {
            Rhs::Packed(panels) => {
                let start = panels.ptr(left / cols).wrapping_add(from * cols);
                Ahead { start, lines: to - from, stride: cols, across: 0 }
            }
            Rhs::View(view) => {
                let start = view.ptr(from, left);
                if view.col_stride() == 1 {
                    let across = (cols * size_of::<T>()).div_ceil(LINE);
                    Ahead { start, lines: to - from, stride: view.row_stride(), across }
                } else {
                    Ahead { start, lines: cols, stride: view.col_stride(), across: 0 }
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
                Ahead { start: rhs.next_ptr(panels), lines: k, stride: width, across: 0 }
            }
            Rhs::View(_) => Ahead { start: b, lines: 0, stride: 0, across: 1 },
        }
    }

    /// The share of tile `i` of `tiles`, of `k` steps: two places from which it is fetched, and elements
    /// between two cache lines of it.
    #[inline(always)]
    fn share(&self, (i, tiles): (usize, usize), k: usize) -> ([*const T; 2], usize) {
        let cache_line = LINE / size_of::<T>();
        if self.across == 0 {
            let start = self.start.wrapping_add(i * self.lines / tiles * self.stride);
            let share = self.lines * self.stride / tiles;
            ([start, start.wrapping_add(second_half(share, k, cache_line))], cache_line)
        } else {
            // A tile fetches one cache line each of adjacent lines.
            let (part, parts) = (i / self.across, tiles.div_ceil(self.across));
            let line = part * self.lines / parts;
            let at = line * self.stride + i % self.across * cache_line;
            ([self.start.wrapping_add(at); 2], self.stride)
        }
    }
}
