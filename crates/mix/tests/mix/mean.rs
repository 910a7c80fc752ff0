//! [`mean_axis`](mixfold_mix::mean_axis) within its bound.

use mixfold_mix::{Axes, mean_axis};
use mixfold_simd::env;
use proptest::prelude::*;

use crate::bound::{Real, U, statistics};
use crate::case::{assert_allowed, assert_same, numbers};

proptest! {
    #[test]
    fn any_shape(outer in 0_usize..4, axis in 1_usize..70, inner in prop_oneof![4 => 0_usize..70, 1 => Just(1)], offset in -9_f32..9.0) {
        let axes = Axes { outer, axis, inner };
        let x: Vec<f32> = numbers(1, outer * axis * inner).iter().map(|x| x + offset).collect();
        let mean = |place: usize| {
            let (o, i) = (place / inner, place % inner);
            let column: Vec<f64> =
                (0..axis).map(|a| f64::from(x[(o * axis + a) * inner + i])).collect();
            if inner == 1 {
                let column: Vec<f32> = column.iter().map(|&x| x as f32).collect();
                return statistics(&column, 1.0).0;
            }
            let size: f64 = column.iter().map(|x| x.abs()).sum();
            // axis − 1 additions and a division, each of at most the size.
            Real::new(column.iter().sum::<f64>() / axis as f64, axis as f64 * U * size / axis as f64)
        };
        let expected: Vec<Real> = (0..outer * inner).map(mean).collect();
        let mut first: Option<Vec<f32>> = None;
        for isa in env::isas_under_test() {
            let mut y = vec![f32::NAN; outer * inner];
            mean_axis(&x, &mut y, axes, isa).unwrap();
            assert_allowed(&expected, &y, &(isa, axes));
            assert_same(first.get_or_insert(y.clone()), &y, &(isa, axes));
        }
    }
}
