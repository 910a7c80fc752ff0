//! Same bits on any number of threads, at any place of the batch, on all fused instruction sets, on
//! both sides, and in one chunk or many.

use std::sync::LazyLock;

use mixfold_gemm::{Context, Rayon};
use mixfold_mix::{Axes, AxisMlp, Side};
use mixfold_simd::{Isa, env};
use proptest::prelude::*;

use crate::case::{
    Case, NormKind, Scaling, assert_same, cases, grouped, numbers, sequential, view,
};

/// The instruction set on 1, 2, 3 and 5 threads, with their number.
pub(crate) fn contexts(isa: Isa) -> impl Iterator<Item = &'static (usize, Context)> {
    static CONTEXTS: LazyLock<Vec<(usize, Context)>> = LazyLock::new(|| {
        let context = |isa, threads| {
            (threads, Context::with_isa(isa).with_pool(Rayon::with_threads(threads).unwrap()))
        };
        let isas = env::isas_under_test().into_iter();
        isas.flat_map(|isa| [1, 2, 3, 5].map(|threads| context(isa, threads))).collect()
    });
    CONTEXTS.iter().filter(move |(_, ctx)| ctx.isa() == isa)
}

fn check(case: &Case) {
    let x = case.input();
    let mut fused: Option<Vec<f32>> = None;
    for isa in env::isas_under_test() {
        let op = case.op(isa);
        let y = case.run(&op, &x, &sequential(isa));
        for (threads, ctx) in contexts(isa) {
            assert_same(&y, &case.run(&op, &x, ctx), &(threads, isa, case));
            if op.axis() == op.out() {
                let y_in_place = case.run_in_place(&op, &x, ctx);
                assert_same(&y, &y_in_place, &("in place", threads, isa, case));
            }
        }
        if isa.is_fused() {
            assert_same(fused.get_or_insert(y.clone()), &y, &(isa, case));
        }
    }
}

/// One place of the batch alone gives what it gives among others.
fn check_alone(case: &Case) {
    let Axes { outer, axis, inner } = case.axes;
    let x = case.input();
    let (batch, channels) = (outer / case.channels, case.channels);
    let (before, after) = (channels * axis * inner, channels * case.out * inner);
    for isa in env::isas_under_test() {
        let (op, ctx) = (case.op(isa), sequential(isa));
        let y = case.run(&op, &x, &ctx);
        for o in [0, batch / 2, batch.saturating_sub(1)].into_iter().filter(|&o| o < batch) {
            let scaling = match case.scaling {
                Scaling::Gate(first) => Scaling::Gate(first + o * channels),
                scaling => scaling,
            };
            let axes = Axes { outer: channels, ..case.axes };
            let alone = Case { axes, scaling, ..case.clone() };
            let part = alone.run(&op, &x[o * before..][..before], &ctx);
            assert_same(&y[o * after..][..after], &part, &(o, isa, case));
        }
    }
}

/// The axis and the inner axis exchanged, for one place of `outer`.
fn transposed(x: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    (0..cols).flat_map(|j| (0..rows).map(move |i| x[i * cols + j])).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_threads_on_the_left(case in cases(Side::Left)) {
        check(&case);
    }

    #[test]
    fn any_threads_on_the_right(case in cases(Side::Right)) {
        check(&case);
    }

    #[test]
    fn any_place_of_the_batch(case in prop_oneof![cases(Side::Left), cases(Side::Right)]) {
        check_alone(&case);
    }

    #[test]
    fn grouped_and_scaled(case in prop_oneof![grouped(Side::Left), grouped(Side::Right)]) {
        check(&case);
        check_alone(&case);
    }

    /// On the left a perceptron of 600 units is one chunk, on the right three.
    #[test]
    fn both_sides(case in cases(Side::Right)) {
        let Axes { outer, axis, .. } = case.axes;
        prop_assume!(outer > 1);
        let left = Case { axes: Axes { outer: 1, axis, inner: outer }, ..case.clone() };
        let x = case.input();
        for isa in env::isas_under_test() {
            let ctx = sequential(isa);
            let right = case.run(&case.op(isa), &x, &ctx);
            let left = left.run(&left.op(isa), &transposed(&x, outer, axis), &ctx);
            assert_same(&transposed(&right, outer, case.out), &left, &(isa, &case));
        }
    }
}

/// 700 hidden units from 100 and to 100 fit the cache, to 500 they do not.
#[test]
fn one_chunk_and_many_on_the_left() {
    let (axis, hidden, few, many) = (100, 700, 100, 500);
    let (first, second) = (numbers(4, hidden * axis), numbers(5, many * hidden));
    let (hidden_bias, bias) = (numbers(6, hidden), numbers(7, many));
    let axes = Axes { outer: 2, axis, inner: 40 };
    for isa in env::isas_under_test() {
        let ctx = sequential(isa);
        let run = |out: usize| {
            let second = view(&second[..out * hidden], out, hidden);
            let mlp = AxisMlp::new(view(&first, hidden, axis), second).unwrap();
            let mlp = mlp.bias(&hidden_bias, &bias[..out]).unwrap().gelu();
            let case = Case::plain(axes, Some(hidden), out);
            case.run(&mlp.pack(isa, Side::Left).unwrap(), &case.input(), &ctx)
        };
        let (one, chunks) = (run(few), run(many));
        for o in 0..axes.outer {
            let one = &one[o * few * axes.inner..][..few * axes.inner];
            let chunks = &chunks[o * many * axes.inner..][..few * axes.inner];
            assert_same(one, chunks, &(o, isa));
        }
    }
}

/// Few rows, whose columns threads share, with sums of several blocks of k.
#[test]
fn any_threads_with_few_rows_and_many_columns() {
    for (outer, axis, out) in [(1, 70, 1000), (64, 1100, 300), (200, 97, 97), (64, 64, 1)] {
        for residual in [false, axis == out] {
            let scaling = Scaling::Outputs;
            let axes = Axes { outer, axis, inner: 1 };
            check(&Case { residual, scaling, ..Case::plain(axes, None, out) });
            check(&Case { scaling: Scaling::Gate(3), ..Case::plain(axes, None, out) });
        }
    }
}

/// Sums of several blocks of k, and weights that pass the cache in chunks.
#[test]
fn any_threads_with_large_operators() {
    for axes in [Axes { outer: 1, axis: 1100, inner: 70 }, Axes { outer: 70, axis: 1100, inner: 1 }]
    {
        for hidden in [None, Some(300)] {
            let norm = NormKind::LayerAxis;
            let case = Case { residual: true, norm, ..Case::plain(axes, hidden, axes.axis) };
            check(&case);
            check_alone(&case);
            if hidden.is_some() {
                check(&Case { gated: true, ..case });
            }
        }
    }
}
