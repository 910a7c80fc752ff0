//! The micro-kernel: a register tile of the product, and the choice of its size.

use core::fmt;
use core::mem::MaybeUninit;

use mixfold_simd::{Cache, Element, Isa, Kernel, Simd, V, Vector};

use crate::epilogue::Broadcast;

/// Values of k that stand next to each other in a packed left operand.
pub(crate) const K_STEP: usize = 32;
/// Largest number of rows of a register tile on any instruction set.
pub(crate) const MAX_ROWS: usize = 14;
/// Largest number of columns of a register tile on any instruction set and type.
pub(crate) const MAX_COLS: usize = 32;

/// Rows of a register tile. With `vectors_across`, the accumulators, one row of the right operand
/// and one value of the left one fill the registers without spilling.
pub(crate) const fn tile_rows<S: Simd>() -> usize {
    if S::REGISTERS >= 32 {
        MAX_ROWS
    } else if S::REGISTERS >= 16 {
        6
    } else {
        4
    }
}

/// Vectors across a register tile.
const fn vectors_across<S: Simd>() -> usize {
    if S::REGISTERS >= 16 { 2 } else { 1 }
}

/// Columns of a register tile.
pub(crate) const fn tile_cols<T: Element, S: Simd>() -> usize {
    vectors_across::<S>() * V::<T, S>::LANES
}

/// Which kernel a packed operand belongs to. Prints as `avx512-f32-14x32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelId {
    /// Name of the instruction set.
    pub isa: &'static str,
    /// `f32` or `f64`.
    pub dtype: &'static str,
    /// Rows of the register tile.
    pub rows: usize,
    /// Columns of the register tile.
    pub cols: usize,
}

impl KernelId {
    /// The kernel of an instruction set for elements `T`.
    pub fn of<T: Element>(isa: Isa) -> KernelId {
        struct Of<T>(core::marker::PhantomData<T>);
        impl<T: Element> Kernel for Of<T> {
            type Out = KernelId;
            #[inline(always)]
            fn run<S: Simd>(self, _: S) -> KernelId {
                KernelId::with::<T, S>()
            }
        }
        isa.run(Of(core::marker::PhantomData::<T>))
    }

    /// The kernel of the instruction set in use.
    #[inline(always)]
    pub(crate) fn with<T: Element, S: Simd>() -> KernelId {
        KernelId { isa: S::NAME, dtype: T::NAME, rows: tile_rows::<S>(), cols: tile_cols::<T, S>() }
    }
}

impl fmt::Display for KernelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}x{}", self.isa, self.dtype, self.rows, self.cols)
    }
}

/// The part of a [`Broadcast`] that goes with a tile, from its first row or column on.
#[derive(Clone, Copy)]
pub(crate) enum Line<T> {
    None,
    Uniform(T),
    PerRow(*const T),
    PerColumn(*const T),
}

impl<T: Element> Line<T> {
    #[inline(always)]
    pub(crate) fn of(broadcast: Broadcast<'_, T>, (row, col): (usize, usize)) -> Self {
        match broadcast {
            Broadcast::None => Line::None,
            Broadcast::Uniform(value) => Line::Uniform(value),
            Broadcast::PerRow(values) => Line::PerRow(values.as_ptr().wrapping_add(row)),
            Broadcast::PerColumn(values) => Line::PerColumn(values.as_ptr().wrapping_add(col)),
        }
    }
}

/// What is added to the sums of a tile before they are written.
#[derive(Clone, Copy)]
pub(crate) struct Tail<T> {
    /// Added first.
    pub bias: Line<T>,
    /// Added last: a tile, whose rows are so far apart.
    pub addend: Option<(*const T, usize)>,
}

impl<T> Tail<T> {
    /// Nothing.
    pub(crate) const NONE: Self = Tail { bias: Line::None, addend: None };
}

/// Arguments of a register tile: `acc += a · b`, then what `tail` adds.
#[derive(Clone, Copy)]
pub(crate) struct TileArgs<T> {
    /// Steps of k.
    pub k: usize,
    /// `[k / K_STEP][rows][K_STEP]`; the last block may be read in part.
    pub a: *const T,
    /// `[k][tile_cols]`, rows `b_stride` apart.
    pub b: *const T,
    pub b_stride: usize,
    /// `[rows][tile_cols]`, rows `acc_stride` apart.
    pub acc: *mut T,
    pub acc_stride: usize,
    /// Whether only the first vector of each row of `b` and `acc` is used.
    pub narrow: bool,
    /// Whether the sum starts at 0 instead of at `acc`.
    pub fresh: bool,
    pub tail: Tail<T>,
    /// What will be read next, to be brought into the second level cache meanwhile: two places, of which
    /// a cache line each is fetched for every [`UNROLL`] steps of k. They may be the same.
    pub next: [*const T; 2],
    /// Elements from a line that is fetched to the next.
    pub next_step: usize,
}

/// Room for the sums of a tile that is finished at once.
#[repr(align(64))]
pub(crate) struct TileSums<T>(MaybeUninit<[T; MAX_ROWS * MAX_COLS]>);

impl<T> TileSums<T> {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        TileSums(MaybeUninit::uninit())
    }

    #[inline(always)]
    pub(crate) fn as_mut_ptr(&mut self) -> *mut T {
        self.0.as_mut_ptr().cast()
    }
}

/// Computes a tile of `rows` rows, 1 ≤ `rows` ≤ `tile_rows`.
///
/// Every element of the sum is a chain of multiply-adds in the order of k, whatever the tile.
///
/// # Safety
/// 1. `args.a` is valid for reads of `rows` values at each step of k in the packed order.
/// 2. `args.b` is valid for reads of `tile_cols` values, or a vector if `narrow`, at each of `k` rows,
///    `b_stride` apart.
/// 3. `args.acc` is valid for writes, and unless `fresh` for reads, of as many values at each of
///    `rows` rows, `acc_stride` apart, which nothing else reaches meanwhile.
/// 4. The vectors of `args.tail` reach beyond the tile's rows and columns, and its addend is valid for
///    reads of as many values as `args.acc`.
#[inline(always)]
pub(crate) unsafe fn tile<T: Element, S: Simd>(s: S, rows: usize, args: TileArgs<T>) {
    macro_rules! by_rows {
        ($vectors:literal: $($r:literal)+) => {
            match rows {
                // `if const` keeps instances that an instruction set has no registers for from
                // being compiled.
                $($r if const { $r <= tile_rows::<S>() } => s.enter(Tile::<T, $r, $vectors>(args)),)+
                _ => debug_assert!(false, "a tile of {rows} rows"),
            }
        };
    }
    if const { vectors_across::<S>() == 2 } && args.narrow {
        by_rows!(1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    } else if const { vectors_across::<S>() == 2 } {
        by_rows!(2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    } else {
        by_rows!(1: 1 2 3 4);
    }
}

/// How far behind its start a tile's `share` of what is fetched is begun a second time, so that all of it
/// is fetched in `k` steps, a line in each of two places for every [`UNROLL`] of them; 0 if one place is
/// enough.
#[inline(always)]
pub(crate) fn second_half(share: usize, k: usize, line: usize) -> usize {
    if k / UNROLL * line < share { share.div_ceil(2) } else { 0 }
}

/// Cache lines of the next [`K_STEP`] values of `rows` rows to be fetched in [`UNROLL`] steps of k.
const fn lines_ahead<T>(rows: usize) -> usize {
    (rows * K_STEP * size_of::<T>()).div_ceil(LINE).div_ceil(K_STEP / UNROLL)
}

struct Tile<T, const R: usize, const N: usize>(TileArgs<T>);

/// Steps of k between two turns of the inner loop.
const UNROLL: usize = 2;
/// Bytes of a cache line.
pub(crate) const LINE: usize = 64;

impl<T: Element, const R: usize, const N: usize> Kernel for Tile<T, R, N> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let TileArgs { k, mut a, mut b, b_stride, acc, acc_stride, fresh, .. } = self.0;
        let TileArgs { tail, mut next, next_step, .. } = self.0;
        let lanes = V::<T, S>::LANES;
        let mut sum = [[V::<T, S>::splat(s, T::default()); N]; R];
        if !fresh {
            for (i, row) in sum.iter_mut().enumerate() {
                for (j, sum) in row.iter_mut().enumerate() {
                    // SAFETY: 3. of `tile`.
                    *sum = unsafe { V::<T, S>::load(s, acc.add(i * acc_stride + j * lanes)) };
                }
            }
        }
        for _ in 0..k / K_STEP {
            // The next block of the left operand, or the first one of the next tile.
            let mut ahead = a.wrapping_add(R * K_STEP);
            for _ in 0..K_STEP / UNROLL {
                for u in 0..UNROLL {
                    // SAFETY: 1. and 2. of `tile`, at a step below k.
                    unsafe { step(s, &mut sum, a.add(u), b.add(u * b_stride)) };
                }
                // SAFETY: the ends of what 1. and 2. of `tile` make readable.
                unsafe {
                    a = a.add(UNROLL);
                    b = b.wrapping_add(UNROLL * b_stride);
                }
                for _ in 0..const { lines_ahead::<T>(R) } {
                    s.prefetch(ahead, Cache::First);
                    ahead = ahead.wrapping_add(LINE / size_of::<T>());
                }
                for next in &mut next {
                    s.prefetch(*next, Cache::Second);
                    *next = next.wrapping_add(next_step);
                }
            }
            a = a.wrapping_add((R - 1) * K_STEP);
        }
        for _ in 0..k % K_STEP {
            // SAFETY: 1. and 2. of `tile`, at a step below k.
            unsafe {
                step(s, &mut sum, a, b);
                a = a.add(1);
                b = b.wrapping_add(b_stride);
            }
        }
        match tail.bias {
            Line::None => {}
            Line::Uniform(bias) => {
                for row in &mut sum {
                    for sum in row {
                        *sum = *sum + V::<T, S>::splat(s, bias);
                    }
                }
            }
            Line::PerRow(bias) => {
                for (i, row) in sum.iter_mut().enumerate() {
                    // SAFETY: 4. of `tile`.
                    let bias = V::<T, S>::splat(s, unsafe { *bias.add(i) });
                    for sum in row {
                        *sum = *sum + bias;
                    }
                }
            }
            Line::PerColumn(bias) => {
                for row in &mut sum {
                    for (j, sum) in row.iter_mut().enumerate() {
                        // SAFETY: 4. of `tile`.
                        *sum = *sum + unsafe { V::<T, S>::load(s, bias.add(j * lanes)) };
                    }
                }
            }
        }
        if let Some((addend, stride)) = tail.addend {
            for (i, row) in sum.iter_mut().enumerate() {
                for (j, sum) in row.iter_mut().enumerate() {
                    let place = addend.wrapping_add(i * stride + j * lanes);
                    // SAFETY: 4. of `tile`.
                    *sum = *sum + unsafe { V::<T, S>::load(s, place) };
                }
            }
        }
        // By reference: an array moved into an iterator goes through memory.
        for (i, row) in sum.iter().enumerate() {
            for (j, sum) in row.iter().enumerate() {
                // SAFETY: 3. of `tile`.
                unsafe { sum.store(acc.add(i * acc_stride + j * lanes)) };
            }
        }
    }
}

/// One step of k: `sum[i][j] += a[i · K_STEP] · b[j · LANES..]`.
///
/// # Safety
/// 1. `a` is valid for reads of a value at i · K_STEP for each i < R.
/// 2. `b` is valid for reads of N vectors.
#[inline(always)]
unsafe fn step<T: Element, S: Simd, const R: usize, const N: usize>(
    s: S,
    sum: &mut [[V<T, S>; N]; R],
    a: *const T,
    b: *const T,
) {
    // SAFETY: 2.
    let b: [V<T, S>; N] =
        core::array::from_fn(|j| unsafe { V::<T, S>::load(s, b.add(j * V::<T, S>::LANES)) });
    for (i, row) in sum.iter_mut().enumerate() {
        // SAFETY: 1.
        let a = V::<T, S>::splat(s, unsafe { *a.add(i * K_STEP) });
        for (sum, b) in row.iter_mut().zip(b) {
            *sum = a.mul_add(b, *sum);
        }
    }
}
