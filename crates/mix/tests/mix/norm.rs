//! [`Norm::apply`](mixfold_mix::Norm::apply) within its bounds, and with the bits that an operator
//! sees.

use mixfold_gemm::Context;
use mixfold_mix::{Axes, AxisLinear, Side};
use mixfold_simd::{Isa, env};
use proptest::prelude::*;
use proptest::sample::select;

use crate::bits::contexts;
use crate::case::{Case, NormKind, assert_allowed, assert_same, dirty, sequential, view};

fn apply(case: &Case, x: &[f32], ctx: &Context) -> Vec<f32> {
    let norm = case.norm().unwrap();
    let mut scratch = dirty(norm.scratch_len(case.axes, ctx).unwrap());
    let mut y = x.to_vec();
    norm.apply(&mut y, case.axes, ctx, &mut scratch).unwrap();
    y
}

/// The norm in front of the identity matrix.
fn in_front(case: &Case, x: &[f32], isa: Isa) -> Vec<f32> {
    let axis = case.axes.axis;
    let mut identity = vec![0.0; axis * axis];
    for diagonal in identity.iter_mut().step_by(axis + 1) {
        *diagonal = 1.0;
    }
    let linear = AxisLinear::new(view(&identity, axis, axis)).norm(case.norm().unwrap()).unwrap();
    case.run(&linear.pack(isa, case.side()).unwrap(), x, &sequential(isa))
}

fn check(case: &Case) {
    let x = case.input();
    let expected = case.expected_norm(&x);
    let mut fused: Option<Vec<f32>> = None;
    for isa in env::isas_under_test() {
        let y = apply(case, &x, &sequential(isa));
        assert_allowed(&expected, &y, &(isa, case));
        for (threads, ctx) in contexts(isa) {
            assert_same(&y, &apply(case, &x, ctx), &(threads, isa, case));
        }
        if isa.is_fused() {
            assert_same(fused.get_or_insert(y.clone()), &y, &(isa, case));
        }
        let on_inner = matches!(case.norm, NormKind::LayerInner | NormKind::AffineInner);
        if case.side() == Side::Left || !on_inner {
            assert_same(&y, &in_front(case, &x, isa), &("in front", isa, case));
        }
    }
}

const NORMS: [NormKind; 5] = [
    NormKind::LayerInner,
    NormKind::LayerAxis,
    NormKind::AffineInner,
    NormKind::AffineAxis,
    NormKind::AffineOuter,
];

proptest! {
    #[test]
    fn any_shape(
        (batch, channels) in (0_usize..4, 1_usize..4),
        axis in 0_usize..70,
        inner in prop_oneof![3 => 0_usize..70, 1 => Just(1), 1 => 60_usize..140],
        norm in select(&NORMS[..]),
    ) {
        let axes = Axes { outer: batch * channels, axis, inner };
        check(&Case { norm, channels, ..Case::plain(axes, None, axis) });
    }
}
