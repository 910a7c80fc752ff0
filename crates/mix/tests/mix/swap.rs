//! [`swap_axes`] against loops over all three axes, on any threads.

use mixfold_mix::{Axes, MixError, swap_axes};
use mixfold_simd::Isa;
use proptest::prelude::*;

use crate::bits::contexts;
use crate::case::{assert_same, numbers, sequential};

fn check(axes: Axes) {
    let Axes { outer, axis, inner } = axes;
    let x = numbers(1, outer * axis * inner);
    let expected: Vec<f32> = (0..x.len())
        .map(|at| (at / (inner * axis), at / axis % inner, at % axis))
        .map(|(o, i, a)| x[(o * axis + a) * inner + i])
        .collect();
    let on_threads = contexts(Isa::best()).map(|(_, ctx)| ctx.clone());
    for ctx in [sequential(Isa::best())].into_iter().chain(on_threads) {
        let mut y = vec![f32::NAN; x.len()];
        swap_axes(&x, &mut y, axes, &ctx).unwrap();
        assert_same(&expected, &y, &(axes, ctx.workers()));
    }
}

proptest! {
    #[test]
    fn any_shape(outer in 0_usize..5, axis in 0_usize..50, inner in 0_usize..50) {
        check(Axes { outer, axis, inner });
    }
}

#[test]
fn shapes_of_many_tasks() {
    // Squares and rests; tasks of several outer indices; rows longer than a task.
    for (outer, axis, inner) in [(1, 384, 196), (3, 768, 49), (200, 16, 17), (2, 20_000, 3)] {
        check(Axes { outer, axis, inner });
    }
}

#[test]
fn errors() {
    let axes = Axes { outer: 2, axis: 3, inner: 4 };
    let (ctx, x, mut y) = (sequential(Isa::best()), [1.0; 24], [2.0; 24]);
    let tensor = |what| Err(MixError::Tensor { what, axes, found: 23 });
    assert_eq!(swap_axes(&x[1..], &mut y, axes, &ctx), tensor("input"));
    assert_eq!(swap_axes(&x, &mut y[1..], axes, &ctx), tensor("output"));
    assert_eq!(y, [2.0; 24]);
}
