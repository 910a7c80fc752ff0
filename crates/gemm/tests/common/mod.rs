//! What the suites share: reproducible matrices of every layout, and how far from the exact result
//! a computed one may be.

#![allow(dead_code, reason = "each suite uses its part")]

use mixfold_gemm::{
    Accum, Activation, Activation64, Broadcast, Context, Epilogue, KernelId, MatMut, MatRef,
    PackedLhs, PackedRhs, Scalar, Scratch, gemm,
};
use mixfold_reference::activation::Activation as Function;
use mixfold_reference::{Real, gemm as reference};
use mixfold_simd::{Isa, env::isas_under_test};

/// `f32` and `f64`, with what is documented of their activations.
pub(crate) trait Sample: Scalar + Real + Into<f64> {
    const ACTIVATIONS: &'static [(Self::Activation, Function)];

    fn eps() -> f64 {
        Self::epsilon().into()
    }
}

impl Sample for f32 {
    const ACTIVATIONS: &'static [(Activation, Function)] = &[
        (Activation::Identity, Function::Identity),
        (Activation::Relu, Function::Relu),
        (Activation::GeluErf, Function::GeluErf),
        (Activation::GeluTanh, Function::GeluTanh),
        (Activation::Sigmoid, Function::Sigmoid),
        (Activation::Silu, Function::Silu),
    ];
}

impl Sample for f64 {
    const ACTIVATIONS: &'static [(Activation64, Function)] =
        &[(Activation64::Identity, Function::Identity), (Activation64::Relu, Function::Relu)];
}

/// Reproducible numbers in [−1, 1), none but 0 so small that a product could underflow (SplitMix64).
pub(crate) fn numbers<T: Sample>(seed: u64, len: usize) -> Vec<T> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        T::of(((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0)
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// What stands between the elements of an output.
pub(crate) const CANARY: f64 = 12345.0;

/// Where the elements of a matrix stand.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Layout {
    RowMajor,
    ColumnMajor,
    RowsApart,
    ByRowsWithGaps,
    ByColumnsWithGaps,
    OneRowRepeated,
    OneColumnRepeated,
    OneElementRepeated,
}

impl Layout {
    /// For operands.
    pub(crate) const ALL: [Layout; 8] = [
        Layout::RowMajor,
        Layout::ColumnMajor,
        Layout::RowsApart,
        Layout::ByRowsWithGaps,
        Layout::ByColumnsWithGaps,
        Layout::OneRowRepeated,
        Layout::OneColumnRepeated,
        Layout::OneElementRepeated,
    ];
    /// For outputs.
    pub(crate) const DISTINCT: [Layout; 5] = [
        Layout::RowMajor,
        Layout::ColumnMajor,
        Layout::RowsApart,
        Layout::ByRowsWithGaps,
        Layout::ByColumnsWithGaps,
    ];

    fn strides(self, rows: usize, cols: usize) -> (usize, usize) {
        match self {
            Layout::RowMajor => (cols, 1),
            Layout::ColumnMajor => (1, rows),
            Layout::RowsApart => (cols + 5, 1),
            Layout::ByRowsWithGaps => (3 * cols + 2, 3),
            Layout::ByColumnsWithGaps => (2, 2 * rows + 3),
            Layout::OneRowRepeated => (0, 1),
            Layout::OneColumnRepeated => (1, 0),
            Layout::OneElementRepeated => (0, 0),
        }
    }
}

/// A matrix in exactly as much memory as it reaches over.
#[derive(Clone, Debug)]
pub(crate) struct Matrix<T> {
    pub data: Vec<T>,
    pub rows: usize,
    pub cols: usize,
    strides: (usize, usize),
}

impl<T: Sample> Matrix<T> {
    /// All places hold `value`.
    pub(crate) fn filled(layout: Layout, rows: usize, cols: usize, value: T) -> Self {
        let strides = layout.strides(rows, cols);
        let last = rows.saturating_sub(1) * strides.0 + cols.saturating_sub(1) * strides.1;
        let len = if rows == 0 || cols == 0 { 0 } else { last + 1 };
        Matrix { data: vec![value; len], rows, cols, strides }
    }

    /// The elements are [`numbers`], what stands between them is [`CANARY`].
    pub(crate) fn new(layout: Layout, rows: usize, cols: usize, seed: u64) -> Self {
        let mut matrix = Matrix::filled(layout, rows, cols, T::of(CANARY));
        let numbers = numbers(seed, rows * cols);
        for (at, x) in matrix.places().zip(numbers) {
            matrix.set(at, x);
        }
        matrix
    }

    /// All (row, column), by rows.
    pub(crate) fn places(&self) -> impl Iterator<Item = (usize, usize)> + use<T> {
        let (rows, cols) = (self.rows, self.cols);
        (0..rows).flat_map(move |i| (0..cols).map(move |j| (i, j)))
    }

    fn index(&self, (i, j): (usize, usize)) -> usize {
        i * self.strides.0 + j * self.strides.1
    }

    pub(crate) fn at(&self, at: (usize, usize)) -> T {
        self.data[self.index(at)]
    }

    pub(crate) fn set(&mut self, at: (usize, usize), x: T) {
        let index = self.index(at);
        self.data[index] = x;
    }

    pub(crate) fn view(&self) -> MatRef<'_, T> {
        MatRef::new(&self.data, self.rows, self.cols, self.strides.0, self.strides.1).unwrap()
    }

    pub(crate) fn view_mut(&mut self) -> MatMut<'_, T> {
        MatMut::new(&mut self.data, self.rows, self.cols, self.strides.0, self.strides.1).unwrap()
    }

    /// What stands between the elements.
    pub(crate) fn gaps(&self) -> Vec<T> {
        let mut between = vec![true; self.data.len()];
        for at in self.places() {
            between[self.index(at)] = false;
        }
        self.data.iter().zip(between).filter_map(|(&x, gap)| gap.then_some(x)).collect()
    }

    /// Row major.
    pub(crate) fn elements(&self) -> Vec<T> {
        self.places().map(|at| self.at(at)).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.data.is_empty()
    }
}

/// That all are equal: bit by bit, but for the payload of NaN.
pub(crate) fn same_bits<T: Sample>(x: &[T], y: &[T]) -> bool {
    let same = |(&x, &y): (&T, &T)| {
        let (x, y): (f64, f64) = (x.into(), y.into());
        x.to_bits() == y.to_bits() || x.is_nan() && y.is_nan()
    };
    x.len() == y.len() && x.iter().zip(y).all(same)
}

/// An exact result and how far from it a computed one may be: the running error analysis of Higham,
/// *Accuracy and Stability of Numerical Algorithms*, section 3.3. Each operation rounds once in the
/// type under test and once in the `f64` of the oracle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Near {
    pub value: f64,
    pub error: f64,
}

impl Near {
    /// A number that is known exactly.
    pub(crate) fn exact(value: f64) -> Self {
        Near { value, error: 0.0 }
    }

    /// After one more rounding in `T`, and in the oracle.
    fn rounded<T: Sample>(self) -> Self {
        let unit = T::eps() / 2.0 + f64::EPSILON;
        Near { error: self.error + unit * (self.value.abs() + self.error), ..self }
    }

    pub(crate) fn plus<T: Sample>(self, x: T) -> Self {
        Near { value: self.value + x.into(), ..self }.rounded::<T>()
    }

    pub(crate) fn times<T: Sample>(self, x: T) -> Self {
        let x: f64 = x.into();
        Near { value: self.value * x, error: self.error * x.abs() }.rounded::<T>()
    }

    /// After an activation, within the largest slope and the documented error of it.
    pub(crate) fn map(self, f: Function) -> Self {
        // Infinities are met exactly, so their limits are met within the documented error.
        let error = if self.value.is_finite() { self.error } else { 0.0 };
        let (slope, accuracy) = match f {
            Function::Identity | Function::Relu => (1.0, 0.0),
            Function::GeluErf => (1.13, 2.87e-7),
            Function::GeluTanh => (1.13, 6e-7),
            Function::Sigmoid => (0.25, 1.2e-7),
            Function::Silu if self.value + error <= 8.0 => (1.1, 5e-7),
            Function::Silu => (1.1, 2e-7 * (self.value + error)),
        };
        Near { value: f.apply(self.value), error: slope * error + accuracy }
    }

    /// Whether `x` may be the computed result. NaN and the infinities have to be met exactly.
    pub(crate) fn admits(self, x: impl Into<f64>) -> bool {
        let x: f64 = x.into();
        if self.value.is_finite() {
            (x - self.value).abs() <= self.error
        } else {
            x == self.value || x.is_nan() && self.value.is_nan()
        }
    }
}

/// `a · b`, row major.
pub(crate) fn product<T: Sample>(a: &Matrix<T>, b: &Matrix<T>) -> Vec<Near> {
    let wide = |m: &Matrix<T>| m.data.iter().map(|&x| x.into()).collect::<Vec<f64>>();
    let (a_data, b_data) = (wide(a), wide(b));
    let a = reference::Mat::new(&a_data, a.rows, a.cols, a.strides.0, a.strides.1);
    let b = reference::Mat::new(&b_data, b.rows, b.cols, b.strides.0, b.strides.1);
    let bound = |abs| {
        // The oracle rounds its sum and the sum of absolute values.
        reference::dot_bound(a.cols(), abs, T::eps())
            + reference::dot_bound(a.cols(), abs, 2.0 * f64::EPSILON)
    };
    let sums = reference::gemm(a, b).into_iter().zip(reference::gemm_abs(a, b));
    sums.map(|(value, abs)| Near { value, error: bound(abs) }).collect()
}

/// Along which side of a matrix a vector goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Along {
    Nothing,
    All,
    Rows,
    Columns,
}

impl Along {
    pub(crate) const ALL: [Along; 4] = [Along::Nothing, Along::All, Along::Rows, Along::Columns];

    /// With the first of `values`.
    pub(crate) fn of<T: Sample>(self, values: &[T], rows: usize, cols: usize) -> Broadcast<'_, T> {
        match self {
            Along::Nothing => Broadcast::None,
            Along::All => Broadcast::Uniform(values.first().copied().unwrap_or(T::of(0.5))),
            Along::Rows => Broadcast::PerRow(&values[..rows]),
            Along::Columns => Broadcast::PerColumn(&values[..cols]),
        }
    }
}

/// The value that goes with an element.
pub(crate) fn value<T: Copy>(vector: &Broadcast<'_, T>, at: (usize, usize)) -> Option<T> {
    match vector {
        Broadcast::None => None,
        &Broadcast::Uniform(value) => Some(value),
        Broadcast::PerRow(values) => Some(values[at.0]),
        Broadcast::PerColumn(values) => Some(values[at.1]),
    }
}

/// Which operands are packed before the product.
pub(crate) const PACKINGS: [(bool, bool); 4] =
    [(false, false), (true, false), (false, true), (true, true)];

/// [`gemm`] with operands packed or not.
pub(crate) fn run<T: Sample>(
    ctx: &Context,
    packed: (bool, bool),
    (a, b): (MatRef<'_, T>, MatRef<'_, T>),
    epilogue: &Epilogue<'_, T>,
    out: MatMut<'_, T>,
    accum: Accum<'_, T>,
) {
    let scratch = &mut Scratch::new();
    let lhs = packed.0.then(|| PackedLhs::pack(ctx.isa(), a).unwrap());
    let rhs = packed.1.then(|| PackedRhs::pack(ctx.isa(), b).unwrap());
    match (&lhs, &rhs) {
        (None, None) => gemm(out, accum, a, b, epilogue, ctx, scratch),
        (Some(a), None) => gemm(out, accum, a, b, epilogue, ctx, scratch),
        (None, Some(b)) => gemm(out, accum, a, b, epilogue, ctx, scratch),
        (Some(a), Some(b)) => gemm(out, accum, a, b, epilogue, ctx, scratch),
    }
    .unwrap();
}

/// `a · b` on the calling thread, row major.
pub(crate) fn plain<T: Sample>(isa: Isa, a: MatRef<'_, T>, b: MatRef<'_, T>) -> Matrix<T> {
    let mut out = Matrix::filled(Layout::RowMajor, a.rows(), b.cols(), T::of(f64::NAN));
    let ctx = Context::with_isa(isa).sequential();
    run(&ctx, (false, false), (a, b), &Epilogue::NONE, out.view_mut(), Accum::Replace);
    out
}

/// Sizes around the edges of the register tiles of all instruction sets.
pub(crate) fn edges<T: Sample>(side: impl Fn(KernelId) -> usize) -> Vec<usize> {
    let around = |isa| {
        let step = side(KernelId::of::<T>(isa));
        [0, 1, step - 1, step, step + 1, 2 * step + 1]
    };
    let mut edges: Vec<_> = isas_under_test().into_iter().flat_map(around).collect();
    edges.sort_unstable();
    edges.dedup();
    edges
}

/// Sizes around the edges of the steps and blocks of k.
pub(crate) const K: [usize; 11] = [0, 1, 2, 31, 32, 33, 1023, 1024, 1025, 1026, 2049];
