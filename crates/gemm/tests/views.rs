//! Parts of a matrix: halves that are written side by side, and rows as slices.

#![forbid(unsafe_code)]

mod common;

use common::{CANARY, Layout, Matrix, plain, same_bits};
use mixfold_gemm::{Accum, Context, Epilogue, MatMut, MatRef, Scratch, gemm};
use mixfold_simd::env::isas_under_test;
use proptest::prelude::*;
use proptest::sample::select;

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    /// The halves have all elements, each of them once, wherever they stand.
    #[test]
    fn halves(
        (rows, cols) in (0..9_usize, 0..9_usize),
        at in 0..12_usize,
        layout in select(&Layout::DISTINCT[..]),
    ) {
        for across in [false, true] {
            let mut matrix = Matrix::<f32>::filled(layout, rows, cols, CANARY as f32);
            let whole = matrix.view_mut();
            let (first, second) = if across { whole.split_cols(at) } else { whole.split_rows(at) };
            let cut = at.min(if across { cols } else { rows });
            let shape = |len| if across { (rows, len) } else { (len, cols) };
            prop_assert_eq!((first.rows(), first.cols()), shape(cut));
            let rest = if across { cols - cut } else { rows - cut };
            prop_assert_eq!((second.rows(), second.cols()), shape(rest));
            // A product with the identity writes each half through its view.
            for (half, from) in [(first, 0), (second, cut)] {
                let places = (0..half.rows()).flat_map(|i| (0..half.cols()).map(move |j| (i, j)));
                let (top, left) = if across { (0, from) } else { (from, 0) };
                let values: Vec<f32> =
                    places.map(|(i, j)| ((top + i) * 16 + left + j) as f32).collect();
                let (m, n) = (half.rows(), half.cols());
                let identity: Vec<f32> =
                    (0..n * n).map(|i| if i / n == i % n { 1.0 } else { 0.0 }).collect();
                let ctx = Context::new().sequential();
                let values = MatRef::row_major(&values, m, n)?;
                let identity = MatRef::row_major(&identity, n, n)?;
                let none = &Epilogue::NONE;
                gemm(half, Accum::Replace, values, identity, none, &ctx, &mut Scratch::new())?;
            }
            for (i, j) in matrix.places() {
                prop_assert_eq!(matrix.at((i, j)), (i * 16 + j) as f32);
            }
            prop_assert!(matrix.gaps().iter().all(|&x| x == CANARY as f32));
        }
    }

    /// One half is multiplied with a product of the other one, as without a view.
    #[test]
    fn a_half_gates_the_other_one(
        (tokens, channels) in (1..40_usize, 1..70_usize),
        layout in select(&Layout::DISTINCT[..]),
        seed: u64,
    ) {
        let weight = Matrix::<f32>::new(Layout::RowMajor, tokens, tokens, seed);
        let before = Matrix::<f32>::new(layout, tokens, 2 * channels, seed ^ 1);
        for isa in isas_under_test() {
            let ctx = Context::with_isa(isa).sequential();
            let gate = before.view().block(0, channels, tokens, channels)?;
            let mixed = plain(isa, weight.view(), gate);
            let mut after = before.clone();
            let (u, v) = after.view_mut().split_cols(channels);
            let none = &Epilogue::NONE;
            let (left, right) = (weight.view(), v.as_ref());
            gemm(u, Accum::Multiply, left, right, none, &ctx, &mut Scratch::new())?;
            let mut expected = before.clone();
            for at in mixed.places() {
                expected.set(at, mixed.at(at) * before.at(at));
            }
            prop_assert!(same_bits(&expected.data, &after.data), "{isa}");
        }
    }
}

#[test]
fn slices() {
    let mut data = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
    let view = |rows, cols, row_stride, col_stride| {
        MatRef::new(&data, rows, cols, row_stride, col_stride).unwrap()
    };
    assert_eq!(view(2, 3, 3, 1).as_slice(), Some(&data[..]));
    assert_eq!(view(2, 3, 3, 1).rows_at(1, 1).unwrap().as_slice(), Some(&data[3..]));
    assert_eq!(view(1, 3, 9, 1).as_slice(), Some(&data[..3]));
    assert_eq!(view(2, 2, 3, 1).as_slice(), None);
    assert_eq!(view(2, 3, 3, 1).transpose().as_slice(), None);
    assert_eq!(view(2, 3, 0, 1).as_slice(), None);
    assert_eq!(view(2, 0, 7, 3).as_slice(), Some(&[][..]));
    // More elements than there are numbers, all in one place.
    assert_eq!(view(usize::MAX, usize::MAX, 0, 0).as_slice(), None);

    let (first, second) = MatMut::row_major(&mut data, 2, 3).unwrap().split_cols(2);
    assert_eq!((first.into_slice(), second.into_slice()), (None, None));
    let (mut first, mut second) = MatMut::row_major(&mut data, 2, 3).unwrap().split_cols(2);
    assert_eq!(
        (first.row_mut(1), second.row_mut(0)),
        (Some(&mut [3.0, 4.0][..]), Some(&mut [2.0][..]))
    );
    let (all, none) = MatMut::row_major(&mut data, 2, 3).unwrap().split_cols(9);
    assert_eq!(
        (all.into_slice().map(|x| x.len()), none.into_slice()),
        (Some(6), Some(&mut [][..]))
    );
}
