//! [`add_outer`] and [`add_gated`] within their bounds, on every instruction set.

use mixfold_mix::{Axes, MixError, add_gated, add_outer};
use mixfold_simd::{Isa, env};
use proptest::prelude::*;

use crate::bound::Real;
use crate::case::{assert_allowed, assert_same, numbers};

proptest! {
    #[test]
    fn any_shape(outer in 0_usize..5, axis in 0_usize..40, inner in 0_usize..40) {
        let axes = Axes { outer, axis, inner };
        let (slab, n) = (axis * inner, outer * axis * inner);
        let (x, y, v) = (numbers(1, n), numbers(2, n), numbers(3, outer));
        let of = |values: &[f32], i: usize| Real::exact(values[i]);
        let sums: Vec<_> = (0..n).map(|i| of(&x, i).add(of(&v, i / slab))).collect();
        let gated: Vec<_> =
            (0..n).map(|i| of(&y, i).mul(of(&v, i / slab)).add(of(&x, i))).collect();
        let mut fused: Option<Vec<f32>> = None;
        for isa in env::isas_under_test() {
            let mut found = x.clone();
            add_outer(&mut found, &v, axes, isa).unwrap();
            assert_allowed(&sums, &found, &(isa, axes));
            let mut found = x.clone();
            add_gated(&mut found, &y, &v, axes, isa).unwrap();
            assert_allowed(&gated, &found, &(isa, axes));
            if isa.is_fused() {
                assert_same(fused.get_or_insert(found.clone()), &found, &(isa, axes));
            }
        }
    }
}

#[test]
fn errors() {
    let (axes, isa) = (Axes { outer: 2, axis: 3, inner: 4 }, Isa::best());
    let parameter = |what, found| Err(MixError::Parameter { what, expected: 2, found });
    let tensor = |what, found| Err(MixError::Tensor { what, axes, found });
    let (mut x, y) = ([1.0; 24], [2.0; 24]);
    assert_eq!(add_outer(&mut x, &[1.0; 3], axes, isa), parameter("outer values", 3));
    assert_eq!(add_outer(&mut x[1..], &[1.0; 2], axes, isa), tensor("input", 23));
    assert_eq!(add_gated(&mut x, &y, &[1.0], axes, isa), parameter("gate", 1));
    assert_eq!(add_gated(&mut x[1..], &y, &[1.0; 2], axes, isa), tensor("output", 23));
    assert_eq!(add_gated(&mut x, &y[1..], &[1.0; 2], axes, isa), tensor("input", 23));
    assert_eq!(x, [1.0; 24]);
}
