//! Numbers that are not finite, and sizes of zero.

use mixfold_gemm::{Activation, Context, Pool};
use mixfold_mix::{Axes, Norm, Side, mean_axis};
use mixfold_simd::env;
use proptest::prelude::*;
use proptest::sample::select;

use crate::case::{Case, NormKind, assert_allowed, assert_same, cases, dirty, sequential};

/// Where a number that is not finite stays: in the places of the output that depend on it. The
/// others have the bits that they have without it.
fn check(case: &Case, place: usize, special: f32) {
    let clean = case.input();
    if clean.is_empty() {
        return;
    }
    let mut x = clean.clone();
    let place = place % x.len();
    x[place] = special;
    let expected = case.expected(&x);
    let Axes { axis, inner, .. } = case.axes;
    // The inner axis is mixed by statistics alone.
    let of_rows = case.norm == NormKind::LayerInner;
    // An activation of −∞ is within its bound of 0, not 0, so that a gate's product with ∞ is any number.
    let is_known = !(case.gated && special.is_infinite());
    let reaches = |i: usize| {
        let (outer, column) = (i / (case.out * inner), i % inner);
        outer == place / (axis * inner) && (of_rows || column == place % inner)
    };
    for isa in env::isas_under_test() {
        let (op, ctx) = (case.op(isa), sequential(isa));
        let what = (place, special, isa, case);
        let y = case.run(&op, &x, &ctx);
        if is_known {
            assert_allowed(&expected, &y, &what);
        }
        for (i, (y, clean)) in y.iter().zip(case.run(&op, &clean, &ctx)).enumerate() {
            assert!(reaches(i) || y.to_bits() == clean.to_bits(), "{what:?}: {i}");
        }
        if axis == case.out {
            assert_same(&y, &case.run_in_place(&op, &x, &ctx), &what);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn not_finite(
        case in prop_oneof![cases(Side::Left), cases(Side::Right)],
        place in any::<usize>(),
        special in select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY]),
    ) {
        check(&case, place, special);
    }
}

#[test]
fn nan_reaches_all_that_depends_on_it() {
    for axes in [Axes { outer: 3, axis: 9, inner: 40 }, Axes { outer: 30, axis: 9, inner: 1 }] {
        for hidden in [None, Some(300)] {
            let activation = Activation::GeluErf;
            let case = Case { activation, ..Case::plain(axes, hidden, 5) };
            let mut x = case.input();
            let image = axes.axis * axes.inner;
            x[image + 4 * axes.inner] = f32::NAN;
            for isa in env::isas_under_test() {
                let y = case.run(&case.op(isa), &x, &sequential(isa));
                for (i, y) in y.into_iter().enumerate() {
                    let (outer, column) = (i / (5 * axes.inner), i % axes.inner);
                    assert_eq!(y.is_nan(), (outer, column) == (1, 0), "{isa}: {i} of {case:?}");
                }
            }
        }
    }
}

#[test]
fn zero_sizes() {
    let activation = Activation::Sigmoid;
    let sizes = [0, 1, 2, 33];
    for shape in 0..sizes.len().pow(4) {
        let size = |place| sizes[shape / sizes.len().pow(place) % sizes.len()];
        let (axes, out) = (Axes { outer: size(0), axis: size(1), inner: size(2) }, size(3));
        for hidden in [None, Some(0), Some(3)] {
            for norm in [NormKind::None, NormKind::LayerAxis, NormKind::AffineAxis] {
                let case = Case { activation, norm, ..Case::plain(axes, hidden, out) };
                let x = case.input();
                let expected = case.expected(&x);
                for isa in env::isas_under_test() {
                    let (op, ctx) = (case.op(isa), sequential(isa));
                    assert_allowed(&expected, &case.run(&op, &x, &ctx), &(isa, &case));
                }
            }
        }
    }
}

#[test]
fn norms_and_means_of_zero_sizes() {
    for isa in env::isas_under_test() {
        let ctx = sequential(isa);
        for axes in [(0, 3, 2), (3, 0, 2), (3, 2, 0), (0, 0, 0), (3, 0, 1), (0, 3, 1)] {
            let axes = Axes { outer: axes.0, axis: axes.1, inner: axes.2 };
            let [of_axis, of_inner] = [axes.axis, axes.inner].map(|n| vec![1.0; n]);
            for norm in [
                Norm::layer_axis(&of_axis, &of_axis, 1e-6),
                Norm::layer_inner(&of_inner, &of_inner, 1e-6),
                Norm::affine_axis(&of_axis, &of_axis),
                Norm::affine_inner(&of_inner, &of_inner),
            ] {
                let mut scratch = dirty(norm.scratch_len(axes, &ctx).unwrap());
                norm.apply(&mut [], axes, &ctx, &mut scratch).unwrap();
            }
            let mut y = vec![0.0; axes.outer * axes.inner];
            mean_axis(&[], &mut y, axes, isa).unwrap();
            assert!(y.iter().all(|y| y.is_nan()), "the mean of nothing: {y:?}");
        }
    }
}

/// A pool that claims more threads than there can be.
#[derive(Debug)]
pub(crate) struct Boundless;

impl Pool for Boundless {
    fn workers(&self) -> usize {
        usize::MAX
    }
    fn run(&self, work: &(dyn Fn() + Sync)) {
        work();
    }
}

/// Memory is for as many threads as there are tasks.
#[test]
fn boundless_workers() {
    for isa in env::isas_under_test() {
        let ctx = Context::with_isa(isa).with_pool(Boundless);
        for axes in
            [Axes { outer: 3, axis: 98, inner: 70 }, Axes { outer: 210, axis: 98, inner: 1 }]
        {
            for hidden in [None, Some(20), Some(1800)] {
                let norm = NormKind::LayerAxis;
                let case = Case { norm, residual: true, ..Case::plain(axes, hidden, 98) };
                let (op, x) = (case.op(isa), case.input());
                assert!(op.scratch_len(axes, &ctx).unwrap().workers <= axes.outer * axes.inner);
                let expected = case.run(&op, &x, &sequential(isa));
                assert_same(&expected, &case.run(&op, &x, &ctx), &(isa, &case));
            }
        }
    }
}
