//! The product of packed operands on one thread: the loops around the micro-kernel.

use core::ops::Range;

use mixfold_simd::{Isa, Kernel, Simd};

use crate::epilogue::{Accum, Epilogue, Scalar};
use crate::finish::{Finish, Meets, Place, Source, finish, tile_and_finish};
use crate::kernel::{K_STEP, KernelId, LINE, Tail, TileArgs, TileSums, second_half, tile_cols};
use crate::operand::{
    Panels, PanelsMut, RowSplit, Tiles, TilesMut, panels_len, same_kernel, same_shape,
};
use crate::{GemmError, MatMut};

/// Longest stretch of k that is summed up in registers at a time; a multiple of 32. A panel of the
/// right operand of this length leaves room for tiles of the left one in the second level cache.
pub(crate) const K_BLOCK: usize = 1024;

/// Columns whose sums are kept at a time where k is longer; whole panels of every kernel. So few that
/// the sums stay in the second level cache beside the left operand.
const COLS_BLOCK: usize = 256;

/// Where a product is written, and how it meets what stood there.
#[derive(Debug)]
pub enum Out<'a, T> {
    /// A matrix of any strides.
    Matrix(MatMut<'a, T>, Accum<'a, T>),
    /// The left operand of a further product, whose k are the columns of this one.
    Tiles(TilesMut<'a, T>, Accum<'a, T>),
    /// The right operand of a further product, whose k are the rows of this one.
    Panels(PanelsMut<'a, T>, Accum<'a, T>),
}

impl<T: Scalar> Out<'_, T> {
    /// That a product of these rows and columns can be written here.
    fn check(&self, kernel: KernelId, split: RowSplit, cols: usize) -> Result<(), GemmError> {
        let rows = split.rows();
        let accum = match self {
            Out::Matrix(out, accum) => {
                same_shape("output", (rows, cols), (out.rows(), out.cols()))?;
                accum
            }
            Out::Tiles(out, accum) => {
                same_kernel(kernel, out.kernel)?;
                same_shape("output", (rows, cols), (out.split.rows(), out.k))?;
                debug_assert_eq!(split, out.split, "a tile of the product is one of the output");
                accum
            }
            Out::Panels(out, accum) => {
                same_kernel(kernel, out.kernel)?;
                same_shape("output", (rows, cols), (out.k, out.cols))?;
                accum
            }
        };
        accum.check(rows, cols)
    }

    /// Where the tile `i` of rows, from `row` on, and panel `j` go, and what they meet.
    #[inline(always)]
    pub(crate) fn place(
        &mut self,
        i: usize,
        row: usize,
        j: usize,
        col: usize,
    ) -> (Place<T>, Meets<T>) {
        let (place, accum) = match self {
            Out::Matrix(out, accum) => {
                let (row_stride, col_stride) = out.strides();
                (Place { data: out.ptr(row, col), row_stride, col_stride }, accum)
            }
            Out::Tiles(out, accum) => {
                (Place { data: out.place(i, col), row_stride: K_STEP, col_stride: 1 }, accum)
            }
            Out::Panels(out, accum) => {
                let row_stride = out.kernel.cols;
                (Place { data: out.place(row, j), row_stride, col_stride: 1 }, accum)
            }
        };
        let Place { data, row_stride, col_stride } = place;
        let old = Source { data: data.cast_const(), row_stride, col_stride };
        let meets = match accum {
            Accum::Replace => Meets::Nothing,
            Accum::Add => Meets::Addend(old),
            Accum::Multiply => Meets::Factor(old),
            Accum::Onto(residual) => Meets::Addend(Source {
                data: residual.ptr(row, col),
                row_stride: residual.row_stride(),
                col_stride: residual.col_stride(),
            }),
        };
        (place, meets)
    }
}

/// Elements of the sums that [`multiply`] keeps while it goes through k; 0 where k is short.
///
/// # Errors
/// [`GemmError::Overflow`]
pub fn sums_len(kernel: KernelId, rows: usize, k: usize, cols: usize) -> Result<usize, GemmError> {
    if k <= K_BLOCK { Ok(0) } else { panels_len(kernel, rows, cols.min(COLS_BLOCK)) }
}

/// `out = epilogue(lhs · rhs)` on the calling thread.
///
/// Every element is a sum in the order of k that starts at 0, then what [`Epilogue`] and [`Accum`]
/// say. `sums` is working memory of [`sums_len`] elements.
///
/// # Errors
/// If shapes do not agree, if an operand was packed for another kernel than that of `isa`, or if
/// `sums` is too short. Nothing has been written then.
pub fn multiply<T: Scalar>(
    isa: Isa,
    lhs: Tiles<'_, T>,
    rhs: Panels<'_, T>,
    epilogue: &Epilogue<'_, T>,
    mut out: Out<'_, T>,
    sums: &mut [T],
) -> Result<(), GemmError> {
    let kernel = KernelId::of::<T>(isa);
    check(kernel, lhs, rhs)?;
    epilogue.check(lhs.rows(), rhs.cols())?;
    out.check(kernel, lhs.split(), rhs.cols())?;
    if lhs.rows() == 0 || rhs.cols() == 0 {
        return Ok(());
    }
    let k = lhs.k();
    if k <= K_BLOCK {
        isa.run(Sweep { lhs, rhs, sums: Sums::Local, finish: Some((epilogue, &mut out)) });
        return Ok(());
    }
    for col in (0..rhs.cols()).step_by(COLS_BLOCK) {
        let cols = COLS_BLOCK.min(rhs.cols() - col);
        let block = rhs.columns(col, col + cols)?;
        let mut sums = PartialSums::new(isa, &mut *sums, lhs.rows(), cols)?;
        for from in (0..k).step_by(K_BLOCK) {
            let to = k.min(from + K_BLOCK);
            sums.add(isa, lhs.part_of_k(from, to), block.part_of_k(from, to)?)?;
        }
        sums.write(isa, epilogue, &mut out, col);
    }
    Ok(())
}

fn check<T: Scalar>(
    kernel: KernelId,
    lhs: Tiles<'_, T>,
    rhs: Panels<'_, T>,
) -> Result<(), GemmError> {
    same_kernel(kernel, lhs.kernel())?;
    same_kernel(kernel, rhs.kernel())?;
    if lhs.k() == rhs.k() { Ok(()) } else { Err(GemmError::Inner { lhs: lhs.k(), rhs: rhs.k() }) }
}

/// Sums of products over k, for when the operands come in pieces of k.
///
/// They are kept in full, so that the pieces do not change a bit of the result.
#[derive(Debug)]
pub struct PartialSums<'a, T> {
    /// Panels of `[rows][tile_cols]`.
    sums: PanelsMut<'a, T>,
    fresh: bool,
}

impl<'a, T: Scalar> PartialSums<'a, T> {
    /// Sums of 0 of `rows` × `cols` in `data` of [`panels_len`]`(kernel, rows, cols)` elements, whose
    /// contents do not matter.
    ///
    /// # Errors
    /// [`GemmError::Length`] if `data` is too short.
    pub fn new(isa: Isa, data: &'a mut [T], rows: usize, cols: usize) -> Result<Self, GemmError> {
        Ok(PartialSums { sums: PanelsMut::new(isa, data, rows, cols)?, fresh: true })
    }

    /// Adds `lhs · rhs`, in the order of k.
    ///
    /// # Errors
    /// If shapes or kernels do not agree.
    pub fn add(
        &mut self,
        isa: Isa,
        lhs: Tiles<'_, T>,
        rhs: Panels<'_, T>,
    ) -> Result<(), GemmError> {
        let kernel = KernelId::of::<T>(isa);
        check(kernel, lhs, rhs)?;
        same_kernel(kernel, self.sums.kernel)?;
        same_shape("partial sums", (self.sums.k, self.sums.cols), (lhs.rows(), rhs.cols()))?;
        if !self.sums.data.is_empty() {
            let sums = Sums::Kept { sums: &mut self.sums, fresh: self.fresh };
            isa.run(Sweep { lhs, rhs, sums, finish: None });
            self.fresh = false;
        }
        Ok(())
    }

    /// Writes `epilogue(sums)`.
    ///
    /// # Errors
    /// If shapes or kernels do not agree.
    pub fn finish(
        self,
        isa: Isa,
        epilogue: &Epilogue<'_, T>,
        mut out: Out<'_, T>,
    ) -> Result<(), GemmError> {
        let (kernel, rows, cols) = (KernelId::of::<T>(isa), self.sums.k, self.sums.cols);
        same_kernel(kernel, self.sums.kernel)?;
        epilogue.check(rows, cols)?;
        out.check(kernel, RowSplit::new(rows, kernel), cols)?;
        self.write(isa, epilogue, &mut out, 0);
        Ok(())
    }

    /// Writes to the columns of `out` from `first_col` on, the first one of a panel. The kernels and
    /// shapes are known to agree.
    fn write(self, isa: Isa, epilogue: &Epilogue<'_, T>, out: &mut Out<'_, T>, first_col: usize) {
        let PartialSums { sums, fresh } = self;
        if fresh {
            sums.data.fill(T::default());
        }
        if !sums.data.is_empty() {
            isa.run(FinishAll { sums, epilogue, out, first_col });
        }
    }
}

/// Where the sums of a tile stand.
enum Sums<'a, 'b, T> {
    /// In memory of the tile's own, finished at once.
    Local,
    /// In panels, for later.
    Kept { sums: &'a mut PanelsMut<'b, T>, fresh: bool },
}

/// All tiles of a product, panel after panel.
struct Sweep<'a, 'b, T: Scalar> {
    lhs: Tiles<'a, T>,
    rhs: Panels<'a, T>,
    sums: Sums<'a, 'b, T>,
    finish: Option<(&'a Epilogue<'a, T>, &'a mut Out<'b, T>)>,
}

impl<T: Scalar> Kernel for Sweep<'_, '_, T> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Sweep { lhs, rhs, mut sums, mut finish } = self;
        let width = tile_cols::<T, S>();
        let (k, split) = (lhs.k(), lhs.split());
        let mut local = TileSums::new();
        let panels: Range<usize> = 0..rhs.cols().div_ceil(width);
        // The next panel is fetched while this one is used, by each tile its share; where there are few
        // tiles, in two halves at once.
        let share = (k * width).div_ceil(split.tiles.max(1));
        let half = second_half(share, k, LINE / size_of::<T>());
        for j in panels.clone() {
            let b = rhs.ptr(j);
            let next = rhs.next_ptr(j + 1);
            for i in 0..split.tiles {
                let (row, rows) = split.tile(i);
                let (acc, fresh) = match &mut sums {
                    Sums::Local => (local.as_mut_ptr(), true),
                    Sums::Kept { sums, fresh } => (sums.place(row, j), *fresh),
                };
                let finish = finish.as_mut().map(|(epilogue, out)| {
                    let (at, cols) = ((row, j * width), width.min(rhs.cols() - j * width));
                    let (place, meets) = out.place(i, row, j, at.1);
                    Finish { epilogue, sums: acc, at, rows, cols, place, meets }
                });
                let next = next.wrapping_add(share * i);
                let args = TileArgs {
                    k,
                    a: lhs.ptr(i),
                    b,
                    b_stride: width,
                    acc,
                    acc_stride: width,
                    narrow: false,
                    fresh,
                    tail: Tail::NONE,
                    next: [next, next.wrapping_add(half)],
                    next_step: LINE / size_of::<T>(),
                };
                // SAFETY: 1. tile i of the left operand has `rows` rows and k steps, so has panel j of
                // the right one; `acc` has room for a tile, and was written if not fresh; 2. `check`
                // compared the shapes of output, residual and vectors with that of the product.
                unsafe { tile_and_finish(s, args, finish, rows) };
            }
        }
    }
}

/// All tiles of kept sums, which are the columns from `first_col` on of the output.
struct FinishAll<'a, 'b, T: Scalar> {
    sums: PanelsMut<'a, T>,
    epilogue: &'a Epilogue<'a, T>,
    out: &'a mut Out<'b, T>,
    first_col: usize,
}

impl<T: Scalar> Kernel for FinishAll<'_, '_, T> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let FinishAll { mut sums, epilogue, out, first_col } = self;
        let first_panel = first_col / tile_cols::<T, S>();
        let split = RowSplit::new(sums.k, sums.kernel);
        for (j, col) in (0..sums.cols).step_by(tile_cols::<T, S>()).enumerate() {
            let cols = tile_cols::<T, S>().min(sums.cols - col);
            for i in 0..split.tiles {
                let (row, rows) = split.tile(i);
                let at = (row, first_col + col);
                let (place, meets) = out.place(i, row, first_panel + j, at.1);
                let acc = sums.place(row, j);
                // SAFETY: 1. the sums have all rows of panel j; 2. and 3. `multiply` and
                // `PartialSums::finish` compared the shapes of output, residual and vectors with
                // that of the product, of which these are columns.
                unsafe {
                    finish(s, Finish { epilogue, sums: acc, at, rows, cols, place, meets });
                }
            }
        }
    }
}
