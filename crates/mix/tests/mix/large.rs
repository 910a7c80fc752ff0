//! Operators whose k exceeds what registers add up at a time (1024), and whose weights exceed what
//! stays in the cache on the left (350 000 elements).

use mixfold_mix::Axes;
use mixfold_simd::env;

use crate::case::{Case, NormKind, Scaling, assert_allowed, assert_same, sequential};

fn check(case: &Case) {
    let x = case.input();
    let expected = case.expected(&x);
    for isa in env::isas_under_test() {
        let (op, ctx) = (case.op(isa), sequential(isa));
        let y = case.run(&op, &x, &ctx);
        assert_allowed(&expected, &y, &(isa, case));
        if case.axes.axis == case.out {
            assert_same(&y, &case.run_in_place(&op, &x, &ctx), &("in place", isa, case));
        }
    }
}

#[test]
fn long_axis() {
    for axis in [1024, 1025, 2080] {
        for (axes, norm) in [
            (Axes { outer: 2, axis, inner: 35 }, NormKind::LayerInner),
            (Axes { outer: 1, axis, inner: 33 }, NormKind::LayerAxis),
            (Axes { outer: 17, axis, inner: 1 }, NormKind::LayerAxis),
        ] {
            check(&Case { norm, ..Case::plain(axes, None, 29) });
            check(&Case { norm, ..Case::plain(axes, Some(19), 29) });
            check(&Case { norm, ..Case::plain(axes, Some(300), 3) });
            check(&Case { norm, gated: true, ..Case::plain(axes, Some(19), 29) });
        }
    }
}

/// On the left in one chunk of more than 1024 units, on the right in chunks of 256.
#[test]
fn long_hidden() {
    for axes in [Axes { outer: 2, axis: 20, inner: 33 }, Axes { outer: 40, axis: 20, inner: 1 }] {
        for hidden in [1024, 1030, 1281] {
            check(&Case { residual: true, ..Case::plain(axes, Some(hidden), 20) });
            check(&Case { gated: true, ..Case::plain(axes, Some(hidden), 20) });
        }
    }
}

#[test]
fn weights_beyond_the_cache() {
    // 900 units are four chunks, of which the last one is smaller; 1792 are seven whole ones.
    for (axis, hidden, out) in [(197, 900, 197), (98, 1792, 98), (10, 600, 577)] {
        for (axes, norm) in [
            (Axes { outer: 1, axis, inner: 40 }, NormKind::None),
            (Axes { outer: 3, axis, inner: 2 }, NormKind::LayerAxis),
            (Axes { outer: 2, axis, inner: 35 }, NormKind::LayerInner),
        ] {
            let case = Case { norm, residual: axis == out, ..Case::plain(axes, Some(hidden), out) };
            check(&case);
            check(&Case { gated: true, scaling: Scaling::Inner, ..case });
        }
    }
}

/// One chunk without a gate is several with it.
#[test]
fn gated_weights_beyond_the_cache() {
    let axes = Axes { outer: 2, axis: 196, inner: 40 };
    for hidden in [580, 600] {
        check(&Case { gated: true, residual: true, ..Case::plain(axes, Some(hidden), 196) });
    }
}

/// Wider than the panels of a task, which the cache bounds.
#[test]
fn weights_beyond_the_cache_in_several_tasks() {
    let axes = Axes { outer: 1, axis: 700, inner: 250 };
    check(&Case { residual: true, ..Case::plain(axes, Some(257), 700) });
}
