//! What happens to the elements of an operand while it is packed.

use mixfold_simd::{Element, Simd, V, Vector};

use crate::GemmError;
use crate::epilogue::Broadcast;

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
    pub(crate) fn is_none(&self) -> bool {
        let Prologue { center, scale, gain, offset } = self;
        [center, scale, gain, offset].iter().all(|part| matches!(part, Broadcast::None))
    }

    pub(crate) fn check(&self, rows: usize, cols: usize) -> Result<(), GemmError> {
        self.center.check("center", rows, cols)?;
        self.scale.check("scale", rows, cols)?;
        self.gain.check("gain", rows, cols)?;
        self.offset.check("offset", rows, cols)
    }
}

/// A block of a matrix on its way into packed layout. Its columns are adjacent on both sides.
#[derive(Clone, Copy)]
pub(crate) struct Block<T> {
    /// First row and column in the matrix, which say what the prologue is there.
    pub at: (usize, usize),
    pub rows: usize,
    pub cols: usize,
    /// The elements, and how far a row is from the next. They may be those of `target`.
    pub source: (*const T, usize),
    /// Where they go, in rows of whole vectors; what is right of the block becomes unspecified.
    pub target: (*mut T, usize),
}

/// One step of a [`Prologue`] for a vector of columns.
enum Step<'a, T: Element, S: Simd> {
    None,
    /// The same for all rows.
    Vector(V<T, S>),
    /// A value for each row, from the first row of the block on.
    Rows(&'a [T]),
}

impl<'a, T: Element, S: Simd> Step<'a, T, S> {
    /// For a block of `rows` rows and `n` columns from (`row`, `col`) on.
    #[inline(always)]
    fn of(
        s: S,
        broadcast: &Broadcast<'a, T>,
        (row, col): (usize, usize),
        (rows, n): (usize, usize),
    ) -> Self {
        match *broadcast {
            Broadcast::None => Step::None,
            Broadcast::Uniform(value) => Step::Vector(V::<T, S>::splat(s, value)),
            Broadcast::PerRow(values) => Step::Rows(&values[row..][..rows]),
            Broadcast::PerColumn(values) => {
                let values = &values[col..][..n.min(V::<T, S>::LANES)];
                Step::Vector(V::<T, S>::from_slice(s, values))
            }
        }
    }
}

impl<T: Element> Prologue<'_, T> {
    /// Copies a block to `target`, changed.
    ///
    /// # Safety
    /// 1. `source` with its stride is valid for reads of `rows` × `cols` values.
    /// 2. `target` with its stride is valid for writes of `rows` rows of `cols` values, rounded up to
    ///    whole vectors.
    #[inline(always)]
    pub(crate) unsafe fn copy<S: Simd>(&self, s: S, block: Block<T>) {
        let lanes = V::<T, S>::LANES;
        let mut col = 0;
        while col + lanes <= block.cols {
            // SAFETY: 1. and 2.
            unsafe { self.vectors::<S, true>(s, block, col) };
            col += lanes;
        }
        if col < block.cols {
            // SAFETY: 1. and 2.
            unsafe { self.vectors::<S, false>(s, block, col) };
        }
    }

    /// The vectors of a block from column `col` on, which are whole or end with the block.
    ///
    /// # Safety
    /// As [`copy`](Self::copy).
    #[inline(always)]
    unsafe fn vectors<S: Simd, const WHOLE: bool>(&self, s: S, block: Block<T>, col: usize) {
        let Block { at, rows, cols, source, target } = block;
        let n = cols - col;
        let at = (at.0, at.1 + col);
        let center = Step::of(s, &self.center, at, (rows, n));
        let scale = Step::of(s, &self.scale, at, (rows, n));
        let gain = Step::of(s, &self.gain, at, (rows, n));
        let offset = Step::of(s, &self.offset, at, (rows, n));
        for row in 0..rows {
            let (from, to) = (source.0.wrapping_add(row * source.1 + col), row * target.1 + col);
            // SAFETY: 1.: the block has n more columns, or a whole vector.
            let mut x = unsafe {
                if WHOLE { V::<T, S>::load(s, from) } else { V::<T, S>::load_first(s, from, n) }
            };
            match &center {
                Step::None => {}
                Step::Vector(center) => x = x - *center,
                Step::Rows(center) => x = x - V::<T, S>::splat(s, center[row]),
            }
            match &scale {
                Step::None => {}
                Step::Vector(scale) => x = x * *scale,
                Step::Rows(scale) => x = x * V::<T, S>::splat(s, scale[row]),
            }
            x = match (&gain, &offset) {
                (Step::None, Step::None) => x,
                (Step::None, Step::Vector(offset)) => x + *offset,
                (Step::None, Step::Rows(offset)) => x + V::<T, S>::splat(s, offset[row]),
                (Step::Vector(gain), Step::None) => x * *gain,
                (Step::Rows(gain), Step::None) => x * V::<T, S>::splat(s, gain[row]),
                (Step::Vector(gain), Step::Vector(offset)) => x.mul_add(*gain, *offset),
                (Step::Vector(gain), Step::Rows(offset)) => {
                    x.mul_add(*gain, V::<T, S>::splat(s, offset[row]))
                }
                (Step::Rows(gain), Step::Vector(offset)) => {
                    x.mul_add(V::<T, S>::splat(s, gain[row]), *offset)
                }
                (Step::Rows(gain), Step::Rows(offset)) => {
                    x.mul_add(V::<T, S>::splat(s, gain[row]), V::<T, S>::splat(s, offset[row]))
                }
            };
            // SAFETY: 2.
            unsafe { x.store(target.0.wrapping_add(to)) };
        }
    }
}
