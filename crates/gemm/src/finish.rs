//! From the sums of a register tile to the output: bias, activation, scale, what is added or
//! multiplied, and the last activation in one pass while the tile is in the first level cache.

use mixfold_simd::math::{Identity, Unary};
use mixfold_simd::{Element, Kernel, Simd, V, Vector};

use crate::epilogue::{Activate, Broadcast, Epilogue, Scalar, WithUnary};
use crate::kernel::{Line, MAX_COLS, MAX_ROWS, Tail, TileArgs, tile, tile_cols};

/// Where the elements of a tile go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<T> {
    pub data: *mut T,
    pub row_stride: usize,
    pub col_stride: usize,
}

/// Where elements stand that a tile meets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<T> {
    pub data: *const T,
    pub row_stride: usize,
    pub col_stride: usize,
}

/// What a tile meets before it is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Meets<T> {
    Nothing,
    /// What is added to it.
    Addend(Source<T>),
    /// What is multiplied with it.
    Factor(Source<T>),
}

impl<T> Meets<T> {
    fn source(self) -> Option<Source<T>> {
        match self {
            Meets::Nothing => None,
            Meets::Addend(source) | Meets::Factor(source) => Some(source),
        }
    }

    /// The same elements elsewhere.
    fn moved(self, to: Source<T>) -> Self {
        match self {
            Meets::Nothing => Meets::Nothing,
            Meets::Addend(_) => Meets::Addend(to),
            Meets::Factor(_) => Meets::Factor(to),
        }
    }
}

/// A tile of sums with all that is to happen to it.
#[derive(Clone, Copy)]
pub(crate) struct Finish<'a, T: Scalar> {
    pub epilogue: &'a Epilogue<'a, T>,
    /// `[rows][tile_cols]`
    pub sums: *mut T,
    /// First row and column in the product.
    pub at: (usize, usize),
    pub rows: usize,
    pub cols: usize,
    pub place: Place<T>,
    pub meets: Meets<T>,
}

/// Computes a tile and, if `then` says what is to happen to its sums, finishes it.
///
/// What the micro-kernel can do itself, it does: a complete sum that needs no more than a bias and
/// something added is written to its place from registers.
///
/// # Safety
/// 1. Those of [`tile`].
/// 2. Those of [`finish`] after it; `then` has the sums of `args`.
#[inline(always)]
pub(crate) unsafe fn tile_and_finish<T: Scalar, S: Simd>(
    s: S,
    mut args: TileArgs<T>,
    mut then: Option<Finish<'_, T>>,
    rows: usize,
) {
    let width = if args.narrow { V::<T, S>::LANES } else { tile_cols::<T, S>() };
    if args.fresh
        && let Some(finish) = &then
        && let Some(tail) = tail(finish, width)
    {
        (args.acc, args.acc_stride) = (finish.place.data, finish.place.row_stride);
        args.tail = tail;
        then = None;
    }
    // SAFETY: 1.; if it writes to the tile's place, 2.
    unsafe { tile(s, rows, args) };
    if let Some(then) = then {
        // SAFETY: 2.
        unsafe { finish(s, then) };
    }
}

/// What the micro-kernel adds to a tile of `width` columns, if nothing else is to happen to its sums.
#[inline(always)]
fn tail<T: Scalar>(finish: &Finish<'_, T>, width: usize) -> Option<Tail<T>> {
    let Finish { epilogue, at, cols, place, meets, .. } = *finish;
    let none = T::Activation::IDENTITY;
    let is_sum = epilogue.activation == none
        && epilogue.last == none
        && matches!(epilogue.scale, Broadcast::None);
    if !is_sum || cols != width || place.col_stride != 1 {
        return None;
    }
    let addend = match meets {
        Meets::Nothing => None,
        Meets::Addend(source) if source.col_stride == 1 => Some((source.data, source.row_stride)),
        Meets::Addend(_) | Meets::Factor(_) => return None,
    };
    Some(Tail { bias: Line::of(epilogue.bias, at), addend })
}

/// Finishes a tile.
///
/// # Safety
/// 1. `finish.sums` is valid for reads and writes of `rows` · `tile_cols` values, which nothing else
///    reaches meanwhile.
/// 2. `finish.place`, and the source that the tile meets if there is one, are valid for writes and
///    reads of `rows` × `cols` values at their strides; nothing else reaches the former meanwhile.
/// 3. The vectors of the epilogue reach beyond the tile's rows and columns.
#[inline(always)]
pub(crate) unsafe fn finish<T: Scalar, S: Simd>(s: S, finish: Finish<'_, T>) {
    let apart = |stride: usize| stride != 1;
    let source = finish.meets.source();
    if apart(finish.place.col_stride) || source.is_some_and(|source| apart(source.col_stride)) {
        // SAFETY: 1. to 3.
        unsafe { finish_by_copies(s, finish) };
    } else {
        // SAFETY: 1. to 3., and columns are adjacent.
        unsafe { finish_adjacent(s, finish) };
    }
}

/// Finishes a tile whose columns, or those that it meets, are not adjacent, by way of copies that are.
///
/// # Safety
/// As [`finish`].
#[inline(always)]
unsafe fn finish_by_copies<T: Scalar, S: Simd>(s: S, finish: Finish<'_, T>) {
    let Finish { rows, cols, place, meets, .. } = finish;
    let mut met = [T::default(); MAX_ROWS * MAX_COLS];
    let mut done = [T::default(); MAX_ROWS * MAX_COLS];
    let target = Place { data: done.as_mut_ptr(), row_stride: MAX_COLS, col_stride: 1 };
    if let Some(source) = meets.source() {
        // SAFETY: 2.; a copy has room for the largest tile.
        unsafe { copy(source, Place { data: met.as_mut_ptr(), ..target }, rows, cols) };
    }
    let met = Source { data: met.as_ptr(), row_stride: MAX_COLS, col_stride: 1 };
    // SAFETY: 1. and 3.; the copies are 2. and adjacent.
    unsafe { finish_adjacent(s, Finish { place: target, meets: meets.moved(met), ..finish }) };
    let done = Source { data: done.as_ptr(), ..met };
    // SAFETY: 2.
    unsafe { copy(done, place, rows, cols) };
}

/// Copies a tile.
///
/// # Safety
/// 1. `from` is valid for reads, `to` for writes, of `rows` × `cols` values at their strides.
#[inline(never)]
unsafe fn copy<T: Element>(from: Source<T>, to: Place<T>, rows: usize, cols: usize) {
    for i in 0..rows {
        for j in 0..cols {
            let from = from.data.wrapping_add(i * from.row_stride + j * from.col_stride);
            let to = to.data.wrapping_add(i * to.row_stride + j * to.col_stride);
            // SAFETY: 1.
            unsafe { to.write(from.read()) };
        }
    }
}

/// Finishes a tile whose columns are adjacent.
///
/// # Safety
/// As [`finish`]; the column strides are 1.
#[inline(always)]
unsafe fn finish_adjacent<T: Scalar, S: Simd>(s: S, finish: Finish<'_, T>) {
    let Finish { epilogue, sums, at, rows, cols, place, meets } = finish;
    let tile = Tile {
        bias: Line::of(epilogue.bias, at),
        scale: Line::of(epilogue.scale, at),
        sums,
        rows,
        cols,
        place: (place.data, place.row_stride),
        meets,
    };
    let none = T::Activation::IDENTITY;
    if epilogue.last == none {
        epilogue.activation.choose(First(s, tile));
    } else if epilogue.activation == none {
        epilogue.last.choose(Last(s, tile));
    } else {
        // Two activations are rare: they take two passes, so that not each pair needs an instance.
        let sums = (tile.sums, tile_cols::<T, S>());
        let meets = Meets::Nothing;
        epilogue.activation.choose(First(s, Tile { place: sums, meets, ..tile }));
        epilogue.last.choose(Last(s, Tile { bias: Line::None, scale: Line::None, ..tile }));
    }
}

/// Finishes a tile with an activation of the product.
struct First<T, S>(S, Tile<T>);

impl<T: Scalar, S: Simd> WithUnary<T> for First<T, S> {
    #[inline(always)]
    fn run(self, first: impl Unary<T>) {
        self.0.enter(FinishTile { tile: self.1, first, last: Identity });
    }
}

/// Finishes a tile with an activation of what the product gives with what it meets.
struct Last<T, S>(S, Tile<T>);

impl<T: Scalar, S: Simd> WithUnary<T> for Last<T, S> {
    #[inline(always)]
    fn run(self, last: impl Unary<T>) {
        self.0.enter(FinishTile { tile: self.1, first: Identity, last });
    }
}

/// A [`Finish`] with adjacent columns, without activations.
#[derive(Clone, Copy)]
struct Tile<T> {
    bias: Line<T>,
    scale: Line<T>,
    sums: *mut T,
    rows: usize,
    cols: usize,
    /// With its row stride.
    place: (*mut T, usize),
    meets: Meets<T>,
}

struct FinishTile<T, F, L> {
    tile: Tile<T>,
    first: F,
    last: L,
}

/// Rows at a time: as many chains overlap.
const ROWS_AT_ONCE: usize = 4;

impl<T: Scalar, F: Unary<T>, L: Unary<T>> Kernel for FinishTile<T, F, L> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (lanes, cols) = (V::<T, S>::LANES, self.tile.cols);
        let mut col = 0;
        while col + lanes <= cols {
            self.column::<S, true>(s, col);
            col += lanes;
        }
        if col < cols {
            self.column::<S, false>(s, col);
        }
    }
}

impl<T: Scalar, F: Unary<T>, L: Unary<T>> FinishTile<T, F, L> {
    /// The vectors from column `col` on, which are whole or end with the tile.
    #[inline(always)]
    fn column<S: Simd, const WHOLE: bool>(&self, s: S, col: usize) {
        let mut row = 0;
        while row + ROWS_AT_ONCE <= self.tile.rows {
            self.vectors::<S, ROWS_AT_ONCE, WHOLE>(s, row, col);
            row += ROWS_AT_ONCE;
        }
        while row < self.tile.rows {
            self.vectors::<S, 1, WHOLE>(s, row, col);
            row += 1;
        }
    }

    /// The vectors of `N` rows from (`row`, `col`) on.
    #[inline(always)]
    fn vectors<S: Simd, const N: usize, const WHOLE: bool>(&self, s: S, row: usize, col: usize) {
        let Tile { bias, scale, sums, cols, place, meets, .. } = self.tile;
        let n = cols - col;
        let load = |p: *const T| {
            // SAFETY: 2. and 3. of `finish`: the tile has n more columns, or a whole vector.
            unsafe { if WHOLE { V::<T, S>::load(s, p) } else { V::<T, S>::load_first(s, p, n) } }
        };
        let mut x = [V::<T, S>::splat(s, T::default()); N];
        for (i, x) in x.iter_mut().enumerate() {
            let sum = sums.wrapping_add((row + i) * tile_cols::<T, S>() + col);
            // SAFETY: 1. of `finish`; tile_cols is a multiple of LANES.
            *x = unsafe { V::<T, S>::load(s, sum) };
        }
        match bias {
            Line::None => {}
            Line::Uniform(bias) => {
                for x in &mut x {
                    *x = *x + V::<T, S>::splat(s, bias);
                }
            }
            Line::PerRow(bias) => {
                for (i, x) in x.iter_mut().enumerate() {
                    // SAFETY: 3. of `finish`.
                    *x = *x + V::<T, S>::splat(s, unsafe { bias.wrapping_add(row + i).read() });
                }
            }
            Line::PerColumn(bias) => {
                let bias = load(bias.wrapping_add(col));
                for x in &mut x {
                    *x = *x + bias;
                }
            }
        }
        for x in &mut x {
            *x = self.first.apply(s, *x);
        }
        match scale {
            Line::None => {}
            Line::Uniform(scale) => {
                for x in &mut x {
                    *x = *x * V::<T, S>::splat(s, scale);
                }
            }
            Line::PerRow(scale) => {
                for (i, x) in x.iter_mut().enumerate() {
                    // SAFETY: 3. of `finish`.
                    *x = *x * V::<T, S>::splat(s, unsafe { scale.wrapping_add(row + i).read() });
                }
            }
            Line::PerColumn(scale) => {
                let scale = load(scale.wrapping_add(col));
                for x in &mut x {
                    *x = *x * scale;
                }
            }
        }
        let met = |source: Source<T>, i: usize| {
            load(source.data.wrapping_add((row + i) * source.row_stride + col))
        };
        match meets {
            Meets::Nothing => {}
            Meets::Addend(source) => {
                for (i, x) in x.iter_mut().enumerate() {
                    *x = *x + met(source, i);
                }
            }
            Meets::Factor(source) => {
                for (i, x) in x.iter_mut().enumerate() {
                    *x = *x * met(source, i);
                }
            }
        }
        for x in &mut x {
            *x = self.last.apply(s, *x);
        }
        let (data, stride) = place;
        for (i, x) in x.iter().enumerate() {
            let p = data.wrapping_add((row + i) * stride + col);
            // SAFETY: 2. of `finish`: the tile has n more columns, or a whole vector.
            unsafe { if WHOLE { x.store(p) } else { x.store_first(p, n) } }
        }
    }
}
