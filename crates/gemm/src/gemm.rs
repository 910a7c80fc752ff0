//! The front door: a product of matrices or packed operands, on the caller's threads.

use core::ops::Range;

use mixfold_simd::Element;

use crate::buffer::{carve, padded};
use crate::epilogue::{Accum, Epilogue, Scalar};
use crate::kernel::KernelId;
use crate::operand::{
    PackedLhs, PackedRhs, Panels, PanelsMut, RowSplit, Tiles, TilesMut, padded_k, panels_len,
    same_kernel, same_shape, tiles_len,
};
use crate::pool::{for_each, par_rows};
use crate::product::{Out, multiply, sums_len};
use crate::{Context, GemmError, MatMut, MatRef, Prologue, Scratch, ScratchLen};

/// A left operand: a matrix of any strides, or a packed one.
#[derive(Clone, Copy, Debug)]
pub enum Lhs<'a, T> {
    /// Packed by each product anew.
    View(MatRef<'a, T>),
    /// Packed before.
    Packed(Tiles<'a, T>),
}

/// A right operand: a matrix of any strides, or a packed one.
#[derive(Clone, Copy, Debug)]
pub enum Rhs<'a, T> {
    /// Packed by each product anew.
    View(MatRef<'a, T>),
    /// Packed before.
    Packed(Panels<'a, T>),
}

impl<'a, T> From<MatRef<'a, T>> for Lhs<'a, T> {
    fn from(view: MatRef<'a, T>) -> Self {
        Lhs::View(view)
    }
}

impl<'a, T: Element> From<&'a PackedLhs<T>> for Lhs<'a, T> {
    fn from(packed: &'a PackedLhs<T>) -> Self {
        Lhs::Packed(packed.as_tiles())
    }
}

impl<'a, T> From<MatRef<'a, T>> for Rhs<'a, T> {
    fn from(view: MatRef<'a, T>) -> Self {
        Rhs::View(view)
    }
}

impl<'a, T: Element> From<&'a PackedRhs<T>> for Rhs<'a, T> {
    fn from(packed: &'a PackedRhs<T>) -> Self {
        Rhs::Packed(packed.as_panels())
    }
}

/// Rows of a block of the output, about.
const ROWS: usize = 196;
/// Columns of a block of the output, about. A block of the left operand and the sums of a block of
/// the output share the second level cache.
const COLS: usize = 768;

/// How a product is cut into tasks, and which memory it needs.
struct Cut {
    kernel: KernelId,
    split: RowSplit,
    /// Tiles of a task.
    tiles: usize,
    /// Columns of a task.
    cols: usize,
    /// Tasks below and beside each other.
    grid: (usize, usize),
    lhs_len: usize,
    rhs_len: usize,
    scratch: ScratchLen,
}

impl Cut {
    /// For `lhs` and `rhs` false, the operand is packed already.
    fn new<T: Element>(
        ctx: &Context,
        (m, n, k): (usize, usize, usize),
        (lhs, rhs): (bool, bool),
    ) -> Result<Self, GemmError> {
        let (kernel, workers) = (KernelId::of::<T>(ctx.isa()), ctx.workers());
        let (split, panels) = (RowSplit::new(m, kernel), n.div_ceil(kernel.cols));
        // A task for each worker at least: beside each other if there are columns enough.
        let down = m.div_ceil(ROWS).max(1);
        let across = n.div_ceil(COLS).max(workers.div_ceil(down)).min(panels).max(1);
        let down = down.max(workers.div_ceil(across));
        let tiles = split.tiles.div_ceil(down).max(1);
        let cols = panels.div_ceil(across).max(1) * kernel.cols;
        let grid = (split.tiles.div_ceil(tiles), n.div_ceil(cols));

        let lhs_len = if lhs { padded::<T>(tiles_len(m, k)?) } else { 0 };
        let rhs_len = if rhs { padded::<T>(panels_len(kernel, k, n)?) } else { 0 };
        let shared =
            lhs_len.checked_add(rhs_len).ok_or(GemmError::Overflow { rows: m, cols: n })?;
        let each = sums_len(kernel, tiles * kernel.rows, k, cols)?;
        let scratch =
            ScratchLen { shared, each, workers: workers.min(grid.0.saturating_mul(grid.1)) };
        Ok(Cut { kernel, split, tiles, cols, grid, lhs_len, rhs_len, scratch })
    }

    /// The tiles of the tasks number `i` from the top.
    fn tiles(&self, i: usize) -> Range<usize> {
        i * self.tiles..self.split.tiles.min((i + 1) * self.tiles)
    }

    /// The rows of these tiles.
    fn rows(&self, tiles: &Range<usize>) -> Range<usize> {
        self.split.tile(tiles.start).0..self.split.tile(tiles.end).0
    }
}

impl<T: Element> Scratch<T> {
    /// Memory for the product of an `m` × `k` with a `k` × `n` matrix, packed or not, so that it
    /// allocates nothing.
    ///
    /// # Errors
    /// [`GemmError::Overflow`] or [`GemmError::Memory`] if there is not so much memory.
    pub fn for_gemm(ctx: &Context, m: usize, n: usize, k: usize) -> Result<Self, GemmError> {
        Scratch::with_len(Cut::new::<T>(ctx, (m, n, k), (true, true))?.scratch)
    }
}

/// `out = epilogue(lhs · rhs)`, where `accum` says what becomes of the old contents of `out`.
///
/// * Shapes: `lhs` is m × k, `rhs` is k × n, `out` is m × n, each with any strides. Zero sizes are
///   allowed; with k = 0 the product is 0 and the epilogue follows.
/// * Arithmetic: each element is a sum in the order of k that starts at 0; then, once, `+ bias`,
///   `activation`, `· scale`, then what `accum` says: `+` or `·` what stood there, `+ residual`; then
///   the `last` activation.
/// * Accuracy: with u half the distance from 1 to the next number, the sum is within
///   k·u / (1 − k·u) · Σ|a·b| of the exact one, fused or not (Higham, *Accuracy and Stability of
///   Numerical Algorithms*, chapter 3), as long as nothing overflows or underflows.
/// * Same bits for any number of threads, packed or not, any strides, any position of a row or
///   column in its matrix, and on all fused instruction sets (not for payloads of NaN).
/// * Memory: a view is packed into `scratch`, which grows to what the largest product needed.
///
/// # Errors
/// If shapes do not agree or an operand was packed for another kernel; nothing has been written.
///
/// # Example
/// ```
/// use mixfold_gemm::{
///     Accum, Activation, Bias, Context, Epilogue, MatMut, MatRef, PackedRhs, Scratch, gemm,
/// };
///
/// # fn main() -> Result<(), mixfold_gemm::GemmError> {
/// let (x, weight, bias) = (vec![0.5_f32; 196 * 64], vec![0.25; 128 * 64], vec![1.0; 128]);
/// let mut h = vec![0.0; 196 * 128];
///
/// let ctx = Context::new();
/// // A checkpoint stores [out, in]; the product wants [in, out].
/// let weight = PackedRhs::pack(ctx.isa(), MatRef::row_major(&weight, 128, 64)?.transpose())?;
/// let epilogue = Epilogue {
///     bias: Bias::PerColumn(&bias),
///     activation: Activation::GeluErf,
///     ..Epilogue::NONE
/// };
/// let mut scratch = Scratch::for_gemm(&ctx, 196, 128, 64)?;
/// gemm(
///     MatMut::row_major(&mut h, 196, 128)?,
///     Accum::Replace,
///     MatRef::row_major(&x, 196, 64)?,
///     &weight,
///     &epilogue,
///     &ctx,
///     &mut scratch,
/// )?;
/// assert_eq!(h[0], 9.0);
/// # Ok(())
/// # }
/// ```
pub fn gemm<'a, T: Scalar>(
    out: MatMut<'_, T>,
    accum: Accum<'_, T>,
    lhs: impl Into<Lhs<'a, T>>,
    rhs: impl Into<Rhs<'a, T>>,
    epilogue: &Epilogue<'_, T>,
    ctx: &Context,
    scratch: &mut Scratch<T>,
) -> Result<(), GemmError> {
    let (lhs, rhs, isa) = (lhs.into(), rhs.into(), ctx.isa());
    let kernel = KernelId::of::<T>(isa);
    let (m, lhs_k) = match &lhs {
        Lhs::View(view) => (view.rows(), view.cols()),
        Lhs::Packed(tiles) => (tiles.rows(), tiles.k()),
    };
    let (rhs_k, n) = match &rhs {
        Rhs::View(view) => (view.rows(), view.cols()),
        Rhs::Packed(panels) => (panels.k(), panels.cols()),
    };
    if lhs_k != rhs_k {
        return Err(GemmError::Inner { lhs: lhs_k, rhs: rhs_k });
    }
    same_shape("output", (m, n), (out.rows(), out.cols()))?;
    accum.check(m, n)?;
    epilogue.check(m, n)?;
    if let Lhs::Packed(tiles) = &lhs {
        same_kernel(kernel, tiles.kernel())?;
    }
    if let Rhs::Packed(panels) = &rhs {
        same_kernel(kernel, panels.kernel())?;
    }

    if m == 0 || n == 0 {
        return Ok(());
    }

    let cut = Cut::new::<T>(
        ctx,
        (m, n, lhs_k),
        (matches!(lhs, Lhs::View(_)), matches!(rhs, Rhs::View(_))),
    )?;
    let (mut shared, workers) = scratch.take(cut.scratch)?;
    let lhs_data = carve(&mut shared, cut.lhs_len);
    let rhs_data = carve(&mut shared, cut.rhs_len);
    let lhs = match lhs {
        Lhs::Packed(tiles) => tiles,
        Lhs::View(view) => pack_lhs(ctx, &cut, lhs_data, view)?,
    };
    let rhs = match rhs {
        Rhs::Packed(panels) => panels,
        Rhs::View(view) => pack_rhs(ctx, &cut, rhs_data, view)?,
    };
    for_each(ctx.pool(), cut.grid.0 * cut.grid.1, workers, |sums, task| {
        let tiles = cut.tiles(task / cut.grid.1);
        let rows = cut.rows(&tiles);
        let left = task % cut.grid.1 * cut.cols;
        let cols = left..n.min(left + cut.cols);
        // SAFETY: 1. the block is inside of the shape of the product, which is that of `out`; 2. the
        // blocks of two tasks are disjoint, each task runs once, and `out` is not used but here.
        let block = unsafe { out.block_unchecked(rows.start, left, rows.len(), cols.len()) };
        let part = || {
            let accum = accum.block(rows.clone(), cols.clone())?;
            let epilogue = epilogue.block(rows, cols.clone());
            let (lhs, rhs) = (lhs.part_of_rows(&tiles), rhs.columns(cols.start, cols.end)?);
            multiply(isa, lhs, rhs, &epilogue, Out::Matrix(block, accum), sums)
        };
        part().expect("shapes and kernels have been compared");
    });
    Ok(())
}

fn pack_lhs<'a, T: Scalar>(
    ctx: &Context,
    cut: &Cut,
    data: &'a mut [T],
    view: MatRef<'_, T>,
) -> Result<Tiles<'a, T>, GemmError> {
    let (rows, k) = (view.rows(), view.cols());
    let len = tiles_len(rows, k)?;
    // In packed layout, tiles take up as many places as their rows would.
    let target = MatMut::row_major(data, rows, padded_k(k))?;
    let mut workers = vec![(); ctx.workers()];
    for_each(ctx.pool(), cut.grid.0, &mut workers, |(), task| {
        let tiles = cut.tiles(task);
        let rows = cut.rows(&tiles);
        // SAFETY: 1. by construction; 2. the rows of two tasks are disjoint, and `target` is not
        // used but here.
        let part = unsafe { target.block_unchecked(rows.start, 0, rows.len(), padded_k(k)) };
        let part = || {
            let data = part.into_slice().unwrap_or_default();
            let mut target = TilesMut::split(data, cut.split.part(&tiles), k, cut.kernel)?;
            target.pack(ctx.isa(), view.rows_at(rows.start, rows.len())?, &Prologue::NONE)
        };
        part().expect("rows of the view and of its packed form");
    });
    Tiles::new(&data[..len], cut.split, k, cut.kernel)
}

fn pack_rhs<'a, T: Scalar>(
    ctx: &Context,
    cut: &Cut,
    data: &'a mut [T],
    view: MatRef<'_, T>,
) -> Result<Panels<'a, T>, GemmError> {
    let (k, n) = (view.rows(), view.cols());
    let len = panels_len(cut.kernel, k, n)?;
    let panels = n.div_ceil(cut.kernel.cols);
    let target = MatMut::row_major(&mut data[..len], panels, k * cut.kernel.cols)?;
    let (mut workers, each) = (vec![(); ctx.workers()], cut.cols / cut.kernel.cols);
    par_rows(ctx.pool(), target, each, &mut workers, |(), at, part| {
        let left = at.row * cut.kernel.cols;
        let cols = (part.rows() * cut.kernel.cols).min(n - left);
        let part = || {
            let mut target =
                PanelsMut::new(ctx.isa(), part.into_slice().unwrap_or_default(), k, cols)?;
            target.pack(ctx.isa(), view.block(0, left, k, cols)?, &Prologue::NONE)
        };
        part().expect("columns of the view and of its packed form");
    })?;
    Panels::new(&data[..len], k, n, cut.kernel)
}
