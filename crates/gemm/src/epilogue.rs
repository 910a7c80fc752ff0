//! What happens to a register tile before it is written: bias, activation, scale, residual.

use core::ops::Range;

use mixfold_simd::math::{GeluErf, GeluTanh, Identity, Relu, Sigmoid, Silu, Unary};
use mixfold_simd::{Element, Kernel, Simd, V, Vector};

use crate::kernel::tile_cols;
use crate::{GemmError, MatRef};

/// A vector that goes along with every row or every column of a matrix.
#[derive(Clone, Copy, Debug, Default)]
pub enum Broadcast<'a, T> {
    /// Nothing.
    #[default]
    None,
    /// Element i goes with row i.
    PerRow(&'a [T]),
    /// Element j goes with column j.
    PerColumn(&'a [T]),
}

/// Added to the product: per column for weights on the right, per row for weights on the left.
pub type Bias<'a, T> = Broadcast<'a, T>;

/// Multiplied after the activation.
pub type Scale<'a, T> = Broadcast<'a, T>;

impl<T: Element> Broadcast<'_, T> {
    pub(crate) fn check(
        &self,
        what: &'static str,
        rows: usize,
        cols: usize,
    ) -> Result<(), GemmError> {
        let (expected, found) = match self {
            Broadcast::None => return Ok(()),
            Broadcast::PerRow(values) => (rows, values.len()),
            Broadcast::PerColumn(values) => (cols, values.len()),
        };
        if expected == found { Ok(()) } else { Err(GemmError::Vector { what, expected, found }) }
    }

    /// What goes with a block of the rows and columns.
    pub(crate) fn block(&self, rows: Range<usize>, cols: Range<usize>) -> Self {
        match self {
            Broadcast::None => Broadcast::None,
            Broadcast::PerRow(values) => Broadcast::PerRow(&values[rows]),
            Broadcast::PerColumn(values) => Broadcast::PerColumn(&values[cols]),
        }
    }

    /// What goes with the vector of `n` elements from (`row`, `col`) on.
    #[inline(always)]
    pub(crate) fn vector<S: Simd>(
        &self,
        s: S,
        row: usize,
        col: usize,
        n: usize,
    ) -> Option<V<T, S>> {
        match self {
            Broadcast::None => None,
            Broadcast::PerRow(values) => Some(V::<T, S>::splat(s, values[row])),
            Broadcast::PerColumn(values) => {
                Some(V::<T, S>::from_slice(s, &values[col..][..n.min(V::<T, S>::LANES)]))
            }
        }
    }
}

/// A floating point type with its activations: `f32` or `f64`.
pub trait Scalar: Element {
    /// The functions that can follow a product.
    type Activation: Activate<Self>;
}

impl Scalar for f32 {
    type Activation = Activation;
}

impl Scalar for f64 {
    type Activation = Activation64;
}

/// The function that follows a product of `f32`. Their formulas and accuracy are those of
/// [`mixfold_simd::math`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activation {
    /// x
    #[default]
    Identity,
    /// max(x, 0)
    Relu,
    /// x·Φ(x), exact to f32
    GeluErf,
    /// The tanh approximation of GELU
    GeluTanh,
    /// 1 / (1 + e⁻ˣ)
    Sigmoid,
    /// x / (1 + e⁻ˣ)
    Silu,
}

/// The function that follows a product of `f64`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activation64 {
    /// x
    #[default]
    Identity,
    /// max(x, 0)
    Relu,
}

/// The choice of an activation at run time, once per tile. Implemented by [`Activation`] and
/// [`Activation64`].
pub trait Activate<T: Element>: Copy + PartialEq + core::fmt::Debug + Send + Sync {
    /// The activation that does nothing.
    const IDENTITY: Self;

    /// Passes the function to `with`.
    fn choose<W: WithUnary<T>>(self, with: W);
}

/// Work that is compiled once per activation.
pub trait WithUnary<T: Element> {
    /// Does the work.
    fn run(self, f: impl Unary<T>);
}

impl Activate<f32> for Activation {
    const IDENTITY: Self = Activation::Identity;

    #[inline(always)]
    fn choose<W: WithUnary<f32>>(self, with: W) {
        match self {
            Activation::Identity => with.run(Identity),
            Activation::Relu => with.run(Relu),
            Activation::GeluErf => with.run(GeluErf),
            Activation::GeluTanh => with.run(GeluTanh),
            Activation::Sigmoid => with.run(Sigmoid),
            Activation::Silu => with.run(Silu),
        }
    }
}

impl Activate<f64> for Activation64 {
    const IDENTITY: Self = Activation64::Identity;

    #[inline(always)]
    fn choose<W: WithUnary<f64>>(self, with: W) {
        match self {
            Activation64::Identity => with.run(Identity),
            Activation64::Relu => with.run(Relu),
        }
    }
}

/// What follows a product, in this order: `+ bias`, `activation`, `· scale`; then what [`Accum`]
/// says.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a, T: Scalar> {
    /// Added to the product.
    pub bias: Bias<'a, T>,
    /// Applied to the sum.
    pub activation: T::Activation,
    /// Multiplied: a layer scale or a gate.
    pub scale: Scale<'a, T>,
}

impl<T: Scalar> Epilogue<'_, T> {
    /// The product as it is.
    pub const NONE: Self =
        Epilogue { bias: Bias::None, activation: T::Activation::IDENTITY, scale: Scale::None };

    /// What follows a block of the rows and columns.
    pub(crate) fn block(&self, rows: Range<usize>, cols: Range<usize>) -> Self {
        Epilogue {
            bias: self.bias.block(rows.clone(), cols.clone()),
            activation: self.activation,
            scale: self.scale.block(rows, cols),
        }
    }

    pub(crate) fn check(&self, rows: usize, cols: usize) -> Result<(), GemmError> {
        self.bias.check("bias", rows, cols)?;
        self.scale.check("scale", rows, cols)
    }
}

/// How a result meets what stood in the output.
#[derive(Clone, Copy, Debug, Default)]
pub enum Accum<'a, T> {
    /// Takes its place. The old contents are not read.
    #[default]
    Replace,
    /// Is added to it: a residual connection in place.
    Add,
    /// Takes its place, added to another matrix: a residual connection to elsewhere.
    Onto(MatRef<'a, T>),
}

impl<T: Element> Accum<'_, T> {
    /// How a block of the result meets the same block of the output.
    pub(crate) fn block(&self, rows: Range<usize>, cols: Range<usize>) -> Result<Self, GemmError> {
        Ok(match self {
            Accum::Replace => Accum::Replace,
            Accum::Add => Accum::Add,
            Accum::Onto(residual) => {
                Accum::Onto(residual.block(rows.start, cols.start, rows.len(), cols.len())?)
            }
        })
    }
}

/// Where the elements of a tile go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<T> {
    pub data: *mut T,
    pub row_stride: usize,
    pub col_stride: usize,
}

/// Where the elements stand that are added to a tile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Residual<T> {
    pub data: *const T,
    pub row_stride: usize,
    pub col_stride: usize,
}

/// A tile of sums with all that is to happen to it.
#[derive(Clone, Copy)]
pub(crate) struct Finish<'a, T: Scalar> {
    pub epilogue: &'a Epilogue<'a, T>,
    /// `[rows][tile_cols]`
    pub sums: *const T,
    /// First row and column in the product.
    pub at: (usize, usize),
    pub rows: usize,
    pub cols: usize,
    pub place: Place<T>,
    pub residual: Option<Residual<T>>,
}

/// Finishes a tile.
///
/// # Safety
/// 1. `finish.sums` is valid for reads of `rows` · `tile_cols` values.
/// 2. `finish.place`, and `residual` if there, are valid for writes and reads of `rows` × `cols`
///    values at their strides; nothing else reaches the former meanwhile.
/// 3. The vectors of the epilogue reach beyond the tile's rows and columns.
#[inline(always)]
pub(crate) unsafe fn finish<T: Scalar, S: Simd>(s: S, finish: Finish<'_, T>) {
    struct Enter<'a, T: Scalar, S>(S, Finish<'a, T>);
    impl<T: Scalar, S: Simd> WithUnary<T> for Enter<'_, T, S> {
        #[inline(always)]
        fn run(self, f: impl Unary<T>) {
            self.0.enter(FinishTile { finish: self.1, f });
        }
    }
    finish.epilogue.activation.choose(Enter(s, finish));
}

struct FinishTile<'a, T: Scalar, F> {
    finish: Finish<'a, T>,
    f: F,
}

/// Rows at a time: as many chains overlap.
const ROWS_AT_ONCE: usize = 4;

impl<T: Scalar, F: Unary<T>> Kernel for FinishTile<'_, T, F> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let lanes = V::<T, S>::LANES;
        for col in (0..self.finish.cols).step_by(lanes) {
            let mut row = 0;
            while row + ROWS_AT_ONCE <= self.finish.rows {
                self.vectors::<S, ROWS_AT_ONCE>(s, row, col);
                row += ROWS_AT_ONCE;
            }
            while row < self.finish.rows {
                self.vectors::<S, 1>(s, row, col);
                row += 1;
            }
        }
    }
}

impl<T: Scalar, F: Unary<T>> FinishTile<'_, T, F> {
    /// The vectors from column `col` on of `N` rows.
    #[inline(always)]
    fn vectors<S: Simd, const N: usize>(&self, s: S, row: usize, col: usize) {
        let Finish { epilogue, sums, at, cols, place, residual, .. } = self.finish;
        let n = V::<T, S>::LANES.min(cols - col);
        let at = |i: usize| (at.0 + row + i, at.1 + col);
        let mut x: [V<T, S>; N] = core::array::from_fn(|i| {
            let sum = sums.wrapping_add((row + i) * tile_cols::<T, S>() + col);
            // SAFETY: 1. of `finish`; tile_cols is a multiple of LANES.
            unsafe { V::<T, S>::load(s, sum) }
        });
        for (i, x) in x.iter_mut().enumerate() {
            if let Some(bias) = epilogue.bias.vector(s, at(i).0, at(i).1, n) {
                *x = *x + bias;
            }
        }
        for x in &mut x {
            *x = self.f.apply(s, *x);
        }
        for (i, x) in x.iter_mut().enumerate() {
            if let Some(scale) = epilogue.scale.vector(s, at(i).0, at(i).1, n) {
                *x = *x * scale;
            }
            if let Some(Residual { data, row_stride, col_stride }) = residual {
                let data = data.wrapping_add((row + i) * row_stride + col * col_stride);
                // SAFETY: 2. of `finish`.
                *x = *x + unsafe { read(s, data, col_stride, n) };
            }
        }
        for (i, x) in x.into_iter().enumerate() {
            let Place { data, row_stride, col_stride } = place;
            let data = data.wrapping_add((row + i) * row_stride + col * col_stride);
            // SAFETY: 2. of `finish`.
            unsafe { write::<T, S>(x, data, col_stride, n) };
        }
    }
}

/// # Safety
/// 1. `p` is valid for reads of `n` ≤ LANES values, `stride` apart.
#[inline(always)]
unsafe fn read<T: Element, S: Simd>(s: S, p: *const T, stride: usize, n: usize) -> V<T, S> {
    if stride == 1 && n == V::<T, S>::LANES {
        // SAFETY: 1.
        return unsafe { V::<T, S>::load(s, p) };
    }
    let mut lanes = [T::default(); 16];
    for (i, lane) in lanes.iter_mut().enumerate().take(n) {
        // SAFETY: 1.
        *lane = unsafe { p.add(i * stride).read() };
    }
    V::<T, S>::from_slice(s, &lanes)
}

/// # Safety
/// 1. `p` is valid for writes of `n` ≤ LANES values, `stride` apart.
#[inline(always)]
unsafe fn write<T: Element, S: Simd>(x: V<T, S>, p: *mut T, stride: usize, n: usize) {
    if stride == 1 && n == V::<T, S>::LANES {
        // SAFETY: 1.
        return unsafe { x.store(p) };
    }
    let mut lanes = [T::default(); 16];
    x.write_to(&mut lanes);
    for (i, lane) in lanes.into_iter().enumerate().take(n) {
        // SAFETY: 1.
        unsafe { p.add(i * stride).write(lane) };
    }
}
