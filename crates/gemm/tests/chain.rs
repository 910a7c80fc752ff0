//! Products that are written straight into the layout of the next one, and operands that are
//! changed or gathered while they are packed.

#![forbid(unsafe_code)]

mod common;

use common::{Along, K, Layout, Matrix, Near, Sample, edges, numbers, plain, same_bits};
use mixfold_gemm::{
    Accum, Bias, Context, Epilogue, KernelId, MatRef, Out, PackedLhs, PackedRhs, PanelsMut,
    Prologue, Scalar, TilesMut, multiply, panels_len, sums_len, tiles_len,
};
use mixfold_simd::{Isa, env::isas_under_test};
use proptest::prelude::*;
use proptest::sample::select;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// `f(x · y)`, written to memory.
fn separately<T: Sample>(
    isa: Isa,
    x: MatRef<'_, T>,
    y: MatRef<'_, T>,
    epilogue: &Epilogue<'_, T>,
) -> Matrix<T> {
    let mut out = Matrix::filled(Layout::RowMajor, x.rows(), y.cols(), T::nan());
    let ctx = Context::with_isa(isa).sequential();
    common::run(&ctx, (false, false), (x, y), epilogue, out.view_mut(), Accum::Replace);
    out
}

/// [`multiply`] with sums of its own.
fn into<T: Sample>(
    isa: Isa,
    (lhs, rhs): (mixfold_gemm::Tiles<'_, T>, mixfold_gemm::Panels<'_, T>),
    epilogue: &Epilogue<'_, T>,
    out: Out<'_, T>,
) {
    let len = sums_len(KernelId::of::<T>(isa), lhs.rows(), lhs.k(), rhs.cols()).unwrap();
    multiply(isa, lhs, rhs, epilogue, out, &mut vec![T::nan(); len]).unwrap();
}

/// How an inner product in packed layout meets one that was there before.
#[derive(Clone, Copy, Debug)]
enum Before {
    Replaced,
    Added,
    Multiplied,
    /// And another matrix is added.
    Elsewhere(Layout),
}

fn any_before() -> impl Strategy<Value = Before> {
    prop_oneof![
        Just(Before::Replaced),
        Just(Before::Added),
        Just(Before::Multiplied),
        select(&Layout::ALL[..]).prop_map(Before::Elsewhere)
    ]
}

/// `f(a · b) · c` and `c · f(a · b)` with the inner product in packed layout, on top of another one,
/// against the same with them in memory.
fn chained<T: Sample>(
    (m, n, k): (usize, usize, usize),
    other: usize,
    (activation, last): (T::Activation, T::Activation),
    before: Before,
    seed: u64,
) -> Result<(), TestCaseError> {
    let a = Matrix::<T>::new(Layout::RowMajor, m, k, seed);
    let b = Matrix::<T>::new(Layout::ColumnMajor, k, n, seed ^ 1);
    let right = Matrix::<T>::new(Layout::RowMajor, n, other, seed ^ 2);
    let left = Matrix::<T>::new(Layout::RowMajor, other, m, seed ^ 3);
    let (bias, scale) = (numbers(seed ^ 4, n), numbers(seed ^ 5, m));
    let (bias, scale) = (Bias::PerColumn(&bias), Bias::PerRow(&scale));
    let epilogue = Epilogue { bias, activation, scale, last };
    let another = Epilogue { bias: scale, ..Epilogue::NONE };
    let residual = match before {
        Before::Elsewhere(layout) => Matrix::<T>::new(layout, m, n, seed ^ 6),
        _ => Matrix::filled(Layout::RowMajor, 0, 0, T::zero()),
    };
    let accum = match before {
        Before::Replaced => Accum::Replace,
        Before::Added => Accum::Add,
        Before::Multiplied => Accum::Multiply,
        Before::Elsewhere(_) => Accum::Onto(residual.view()),
    };
    for isa in isas_under_test() {
        let kernel = KernelId::of::<T>(isa);
        let mut inner = separately(isa, a.view(), b.view(), &another);
        let ctx = Context::with_isa(isa).sequential();
        let in_memory = (a.view(), b.view());
        common::run(&ctx, (false, false), in_memory, &epilogue, inner.view_mut(), accum);
        let (lhs, rhs) = (PackedLhs::pack(isa, a.view())?, PackedRhs::pack(isa, b.view())?);
        let operands = (lhs.as_tiles(), rhs.as_panels());

        let expected = plain(isa, inner.view(), right.view());
        let mut data = vec![T::nan(); tiles_len(m, n)?];
        let mut tiles = TilesMut::new(isa, &mut data, m, n)?;
        into(isa, operands, &another, Out::Tiles(tiles.reborrow(), Accum::Replace));
        into(isa, operands, &epilogue, Out::Tiles(tiles.reborrow(), accum));
        let mut out = Matrix::filled(Layout::RowMajor, m, other, T::nan());
        let second = PackedRhs::pack(isa, right.view())?;
        let operands_2 = (tiles.as_ref(), second.as_panels());
        into(isa, operands_2, &Epilogue::NONE, Out::Matrix(out.view_mut(), Accum::Replace));
        prop_assert!(same_bits(&expected.data, &out.data), "{isa}: tiles");

        let expected = plain(isa, left.view(), inner.view());
        let mut data = vec![T::nan(); panels_len(kernel, m, n)?];
        let mut panels = PanelsMut::new(isa, &mut data, m, n)?;
        into(isa, operands, &another, Out::Panels(panels.reborrow(), Accum::Replace));
        into(isa, operands, &epilogue, Out::Panels(panels.reborrow(), accum));
        let mut out = Matrix::filled(Layout::RowMajor, other, n, T::nan());
        let second = PackedLhs::pack(isa, left.view())?;
        let operands_2 = (second.as_tiles(), panels.as_ref());
        into(isa, operands_2, &Epilogue::NONE, Out::Matrix(out.view_mut(), Accum::Replace));
        prop_assert!(same_bits(&expected.data, &out.data), "{isa}: panels");
    }
    Ok(())
}

/// Both operands packed with `prologue`, recovered by a product with the identity, which is exact.
fn packed<T: Sample>(
    isa: Isa,
    x: &Matrix<T>,
    prologue: &Prologue<'_, T>,
) -> Result<[Matrix<T>; 2], TestCaseError> {
    let (rows, cols) = (x.rows, x.cols);
    let identity = |size| {
        let mut identity = Matrix::filled(Layout::RowMajor, size, size, T::zero());
        (0..size).for_each(|i| identity.set((i, i), T::one()));
        identity
    };
    let mut outs = [(); 2].map(|()| Matrix::filled(Layout::RowMajor, rows, cols, T::nan()));
    let [out_tiles, out_panels] = &mut outs;

    let mut data = vec![T::nan(); tiles_len(rows, cols)?];
    let mut tiles = TilesMut::new(isa, &mut data, rows, cols)?;
    tiles.pack(isa, x.view(), prologue)?;
    let right = PackedRhs::pack(isa, identity(cols).view())?;
    let out = Out::Matrix(out_tiles.view_mut(), Accum::Replace);
    into(isa, (tiles.as_ref(), right.as_panels()), &Epilogue::NONE, out);

    let mut data = vec![T::nan(); panels_len(KernelId::of::<T>(isa), rows, cols)?];
    let mut panels = PanelsMut::new(isa, &mut data, rows, cols)?;
    panels.pack(isa, x.view(), prologue)?;
    let left = PackedLhs::pack(isa, identity(rows).view())?;
    let out = Out::Matrix(out_panels.view_mut(), Accum::Replace);
    into(isa, (left.as_tiles(), panels.as_ref()), &Epilogue::NONE, out);
    Ok(outs)
}

/// `((x − center) · scale) · gain + offset`
fn prologue<T: Sample>(
    layout: Layout,
    (rows, cols): (usize, usize),
    along: [Along; 4],
    seed: u64,
) -> Result<(), TestCaseError> {
    let x = Matrix::<T>::new(layout, rows, cols, seed);
    let vectors = [1, 2, 3, 4].map(|i| numbers::<T>(seed ^ i, rows.max(cols)));
    let [center, scale, gain, offset] =
        std::array::from_fn(|i| along[i].of(&vectors[i], rows, cols));
    let prologue = Prologue { center, scale, gain, offset };
    for isa in isas_under_test() {
        for (side, y) in ["tiles", "panels"].into_iter().zip(packed(isa, &x, &prologue)?) {
            for at in x.places() {
                let near = Near::exact(x.at(at).into());
                let near = common::value(&center, at).map_or(near, |c| near.plus(-c));
                let near = common::value(&scale, at).map_or(near, |s| near.times(s));
                let near = common::value(&gain, at).map_or(near, |g| near.times(g));
                let near = common::value(&offset, at).map_or(near, |o| near.plus(o));
                prop_assert!(near.admits(y.at(at)), "{isa}, {side}, {at:?}: {:?}", y.at(at));
            }
        }
    }
    Ok(())
}

fn activation<T: Sample>() -> impl Strategy<Value = <T as Scalar>::Activation> {
    (0..T::ACTIVATIONS.len()).prop_map(|i| T::ACTIVATIONS[i].0)
}

fn any_along() -> impl Strategy<Value = [Along; 4]> {
    let along = || select(&Along::ALL[..]);
    (along(), along(), along(), along()).prop_map(Into::into)
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn chain_of_f32(
        m in select(edges::<f32>(|id| id.rows)),
        n in select(edges::<f32>(|id| id.cols)),
        k in select(&K[..]),
        other in 0..50_usize,
        activations in (activation::<f32>(), activation::<f32>()),
        before in any_before(),
        seed: u64,
    ) {
        chained::<f32>((m, n, k), other, activations, before, seed)?;
    }

    /// The inner product has the long k of the outer one.
    #[test]
    fn chain_with_a_long_middle(
        (m, n) in prop_oneof![(1..20_usize, 1020..1060_usize), (1020..1060_usize, 1..40_usize)],
        (k, other) in (0..40_usize, 1..20_usize),
        activations in (activation::<f64>(), activation::<f64>()),
        before in any_before(),
        seed: u64,
    ) {
        chained::<f64>((m, n, k), other, activations, before, seed)?;
    }

    #[test]
    fn prologue_of_f32(
        layout in select(&Layout::ALL[..]),
        shape in (0..70_usize, 0..70_usize),
        along in any_along(),
        seed: u64,
    ) {
        prologue::<f32>(layout, shape, along, seed)?;
    }

    #[test]
    fn prologue_of_f64(
        layout in select(&Layout::ALL[..]),
        shape in (0..70_usize, 0..70_usize),
        along in any_along(),
        seed: u64,
    ) {
        prologue::<f64>(layout, shape, along, seed)?;
    }

    /// Each value is asked for once, in order, and stands where `pack` puts it; columns beyond the
    /// end are 0.
    #[test]
    fn gathering_panels_is_packing(
        shape in (0..50_usize, 0..100_usize),
        step in 1..60_usize,
        seed: u64,
    ) {
        let (rows, cols) = shape;
        let x = Matrix::<f32>::new(Layout::RowMajor, rows, cols, seed);
        for isa in isas_under_test() {
            let width = KernelId::of::<f32>(isa).cols;
            let len = panels_len(KernelId::of::<f32>(isa), rows, cols)?;
            let (mut packed, mut gathered) = (vec![f32::NAN; len], vec![f32::NAN; len]);
            PanelsMut::new(isa, &mut packed, rows, cols)?.pack(isa, x.view(), &Prologue::NONE)?;
            let mut next = (0, 0);
            PanelsMut::new(isa, &mut gathered, rows, cols)?.gather(step, |row, from, values| {
                assert_eq!(next, (row, from));
                assert_eq!(values.len(), step.min(rows - row) * width);
                next = if from + width < cols { (row, from + width) } else { (row + step, 0) };
                for (i, values) in (row..).zip(values.chunks_exact_mut(width)) {
                    for (j, value) in (from..cols).zip(values) {
                        *value = x.at((i, j));
                    }
                }
            });
            prop_assert_eq!(next, (if len > 0 { rows.next_multiple_of(step) } else { 0 }, 0));
            prop_assert!(same_bits(&packed, &gathered), "{isa}");
        }
    }

    /// Each value is asked for once, and stands where `pack` puts it.
    #[test]
    fn gathering_tiles_is_packing(rows in 0..50_usize, cols in 0..100_usize, seed: u64) {
        let x = Matrix::<f32>::new(Layout::RowMajor, rows, cols, seed);
        for isa in isas_under_test() {
            let mut data = vec![f32::NAN; tiles_len(rows, cols)?];
            let mut tiles = TilesMut::new(isa, &mut data, rows, cols)?;
            let mut asked = Matrix::filled(Layout::RowMajor, rows, cols, 0.0_f32);
            tiles.gather(|row, from, values| {
                assert!((1..=32).contains(&values.len()));
                for (j, value) in (from..).zip(values) {
                    asked.set((row, j), asked.at((row, j)) + 1.0);
                    *value = x.at((row, j));
                }
            });
            prop_assert!(asked.data.iter().all(|&times| times == 1.0));
            let b = Matrix::<f32>::new(Layout::RowMajor, cols, 9, seed ^ 1);
            let rhs = PackedRhs::pack(isa, b.view())?;
            let mut out = Matrix::filled(Layout::RowMajor, rows, 9, f32::NAN);
            let into_out = Out::Matrix(out.view_mut(), Accum::Replace);
            into(isa, (tiles.as_ref(), rhs.as_panels()), &Epilogue::NONE, into_out);
            prop_assert!(same_bits(&plain(isa, x.view(), b.view()).data, &out.data), "{isa}");
        }
    }
}
