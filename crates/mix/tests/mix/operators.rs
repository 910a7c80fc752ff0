//! Linear maps and perceptrons of all shapes, in place and to another buffer, within their bounds.

use mixfold_mix::Side;
use mixfold_simd::env;
use proptest::prelude::*;

use crate::case::{Case, assert_allowed, assert_same, cases, grouped, sequential};

fn check(case: &Case) {
    let x = case.input();
    let expected = case.expected(&x);
    for isa in env::isas_under_test() {
        let (op, ctx) = (case.op(isa), sequential(isa));
        assert_eq!((op.axis(), op.out(), op.side()), (case.axes.axis, case.out, case.side()));
        let y = case.run(&op, &x, &ctx);
        assert_allowed(&expected, &y, &(isa, case));
        if case.axes.axis == case.out {
            assert_same(&y, &case.run_in_place(&op, &x, &ctx), &("in place", isa, case));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn on_the_left(case in cases(Side::Left)) {
        check(&case);
    }

    #[test]
    fn on_the_right(case in cases(Side::Right)) {
        check(&case);
    }

    #[test]
    fn grouped_and_scaled(case in prop_oneof![grouped(Side::Left), grouped(Side::Right)]) {
        check(&case);
    }
}
