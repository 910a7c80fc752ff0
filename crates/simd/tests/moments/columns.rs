//! [`Moments::of_columns`] against [`Moments::of`] each column.

use mixfold_simd::env;
use mixfold_simd::moments::Moments;
use proptest::prelude::*;

use crate::numbers;

/// Compares all columns of a matrix of `rows` rows with rows of `stride` elements, of which the
/// first `cols` are the columns.
fn check(x: &[f32], rows: usize, cols: usize, stride: usize) {
    for isa in env::isas_under_test() {
        let mut columns = vec![Moments { mean: 7.0, variance: 7.0 }; cols];
        Moments::of_columns(isa, rows, |i| &x[i * stride..][..cols], &mut columns);
        for (j, found) in columns.into_iter().enumerate() {
            let column: Vec<f32> = (0..rows).map(|i| x[i * stride + j]).collect();
            let expected = Moments::of(isa, &column);
            let same = |a: f32, b: f32| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
            assert!(
                same(expected.mean, found.mean) && same(expected.variance, found.variance),
                "{isa}: column {j} of {rows} x {cols}: {found:?} instead of {expected:?}"
            );
        }
    }
}

#[test]
fn all_small_shapes() {
    let x: Vec<f32> = numbers(70 * 40).map(|x| 300.0 + x).collect();
    for rows in (0..=34).chain([47, 48, 49, 64, 70]) {
        for cols in 0..=35 {
            check(&x, rows, cols, 40);
        }
    }
}

proptest! {
    #[test]
    fn any_numbers(
        rows in 0_usize..300,
        cols in 0_usize..40,
        center in -1e4_f32..1e4,
        exponent in -20..20,
        special in proptest::option::of((0_usize..12_000, proptest::sample::select(
            vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -0.0]))),
    ) {
        let scale = libm::exp2f(exponent as f32);
        let mut x: Vec<f32> = numbers(rows * cols).map(|x| (center + x) * scale).collect();
        if let (Some((place, value)), false) = (special, x.is_empty()) {
            let len = x.len();
            x[place % len] = value;
        }
        check(&x, rows, cols, cols);
    }
}
