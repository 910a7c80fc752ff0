//! The front door: a product of matrices or packed operands, on the caller's threads.

use core::ops::Range;

use mixfold_simd::Element;

use crate::block::{Block, is_tall, memory_len};
use crate::epilogue::{Accum, Epilogue, Scalar};
use crate::kernel::KernelId;
use crate::operand::{
    PackedLhs, PackedRhs, Panels, RowSplit, Tiles, panels_len, same_kernel, same_shape, tiles_len,
};
use crate::pool::for_each;
use crate::product::{K_BLOCK, Out};
use crate::{Context, GemmError, MatMut, MatRef, Scratch, ScratchLen};

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

/// Rows of a block of the output, about, where threads share the work.
const ROWS: usize = 196;
/// Columns of a block of the output, about, where its sums or packed panels are kept or threads share
/// the work.
const COLS: usize = 768;
/// Multiply-adds that are done before a second thread has awoken.
const SMALL: usize = 1 << 18;

/// Whether a product is one task in any case. The sizes of such a product do not overflow.
fn is_small((m, n, k): (usize, usize, usize)) -> bool {
    m.saturating_mul(n).saturating_mul(k) <= SMALL && m.max(n).max(k) <= SMALL
}

/// How a product is cut into tasks, and which memory it needs.
struct Cut {
    split: RowSplit,
    /// Tiles of a task.
    tiles: usize,
    /// Columns of a task.
    cols: usize,
    /// Tasks below and beside each other.
    grid: (usize, usize),
    scratch: ScratchLen,
}

impl Cut {
    /// For `views` false, the operand is packed already.
    fn new<T: Element>(
        kernel: KernelId,
        workers: usize,
        (m, n, k): (usize, usize, usize),
        views: (bool, bool),
    ) -> Result<Self, GemmError> {
        // Operands that no memory could hold packed are refused, although only parts of them are.
        if views.0 {
            tiles_len(m, k)?;
        }
        if views.1 {
            panels_len(kernel, k, n)?;
        }
        let (split, panels) = (RowSplit::new(m, kernel), n.div_ceil(kernel.cols));
        let rows = if workers > 1 { ROWS } else { m.max(1) };
        let is_kept = k > K_BLOCK || is_tall::<T>(rows, k);
        let cols = if is_kept || workers > 1 { COLS } else { n.max(1) };
        let (mut down, mut across) = (m.div_ceil(rows).max(1), n.div_ceil(cols).max(1));
        // A task for each worker at least, of nearly equal sides: then they copy the least.
        while down.saturating_mul(across) < workers {
            let (can_down, can_across) = (down < split.tiles, across < panels);
            if can_across && (!can_down || n / across >= m / down) {
                across += 1;
            } else if can_down {
                down += 1;
            } else {
                break;
            }
        }
        let tiles = split.tiles.div_ceil(down).max(1);
        let cols = panels.div_ceil(across).max(1) * kernel.cols;
        let grid = (split.tiles.div_ceil(tiles), n.div_ceil(cols));
        let each = memory_len::<T>(kernel, (tiles * kernel.rows, cols, k), views)?;
        let workers = workers.min(grid.0.saturating_mul(grid.1));
        Ok(Cut { split, tiles, cols, grid, scratch: ScratchLen { shared: 0, each, workers } })
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
        let (kernel, shape, views) = (KernelId::of::<T>(ctx.isa()), (m, n, k), (true, true));
        if is_small(shape) {
            let each = memory_len::<T>(kernel, shape, views)?;
            return Scratch::with_len(ScratchLen { shared: 0, each, workers: 1 });
        }
        Scratch::with_len(Cut::new::<T>(kernel, ctx.workers(), shape, views)?.scratch)
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
/// * Memory: parts of a view are packed into `scratch` just before they are used; it grows to what the
///   largest product needed.
/// * Threads: a product of few operations is done by the calling thread alone.
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

    let shape = (m, n, lhs_k);
    let views = (matches!(lhs, Lhs::View(_)), matches!(rhs, Rhs::View(_)));
    if is_small(shape) {
        let each = memory_len::<T>(kernel, shape, views)?;
        let (_, workers) = scratch.take(ScratchLen { shared: 0, each, workers: 1 })?;
        let (out, memory) = (Out::Matrix(out, accum), &mut workers[0][..each]);
        isa.run(Block { lhs, rhs, shape, epilogue, out, memory });
        return Ok(());
    }
    let cut = Cut::new::<T>(kernel, ctx.workers(), shape, views)?;
    let (_, workers) = scratch.take(cut.scratch)?;
    for_each(ctx.pool(), cut.grid.0 * cut.grid.1, workers, |memory, task| {
        let tiles = cut.tiles(task / cut.grid.1);
        let rows = cut.rows(&tiles);
        let left = task % cut.grid.1 * cut.cols;
        let cols = left..n.min(left + cut.cols);
        // SAFETY: 1. the block is inside of the shape of the product, which is that of `out`; 2. the
        // blocks of two tasks are disjoint, each task runs once, and `out` is not used but here.
        let block = unsafe { out.block_unchecked(rows.start, left, rows.len(), cols.len()) };
        let part = || {
            let lhs = match lhs {
                Lhs::Packed(lhs) => Lhs::Packed(lhs.part_of_rows(&tiles)),
                Lhs::View(lhs) => Lhs::View(lhs.rows_at(rows.start, rows.len())?),
            };
            let rhs = match rhs {
                Rhs::Packed(rhs) => Rhs::Packed(rhs.columns(cols.start, cols.end)?),
                Rhs::View(rhs) => Rhs::View(rhs.block(0, left, lhs_k, cols.len())?),
            };
            let accum = accum.block(rows.clone(), cols.clone())?;
            let (shape, out) = ((rows.len(), cols.len(), lhs_k), Out::Matrix(block, accum));
            let epilogue = &epilogue.block(rows, cols);
            isa.run(Block {
                lhs,
                rhs,
                shape,
                epilogue,
                out,
                memory: &mut memory[..cut.scratch.each],
            });
            Ok::<_, GemmError>(())
        };
        part().expect("shapes and kernels have been compared");
    });
    Ok(())
}
