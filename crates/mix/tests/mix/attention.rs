//! [`SelfAttention`](mixfold_mix::SelfAttention) against the reference, and what it promises.

use mixfold_gemm::Context;
use mixfold_mix::Positions;
use mixfold_simd::{Isa, env};
use proptest::prelude::*;
use proptest::sample::select;

use crate::attention_case::Case;
use crate::bits::contexts;
use crate::case::{assert_same, dirty, sequential};
use crate::special::Boundless;

fn cases() -> impl Strategy<Value = Case> {
    let width = select(vec![1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 64, 65]);
    let around = [0, 1, 2, 5, 6, 7, 8, 13, 14, 15, 16, 17, 28, 29, 31, 32, 33, 47, 63, 64, 65, 98];
    let positions = select(vec![Positions::Axis, Positions::Inner]);
    let scale = prop_oneof![Just(None), select(vec![-1.5_f32, 0.0, 0.125]).prop_map(Some)];
    let shape = (0_usize..4, 1_usize..4, width, select(around.to_vec()));
    (shape, positions, scale, select(vec![1.0_f32, 3.0])).prop_map(
        |((outer, heads, width, count), positions, scale, size)| Case {
            outer,
            heads,
            width,
            count,
            positions,
            scale,
            size,
        },
    )
}

/// Several blocks of keys.
fn long() -> impl Strategy<Value = Case> {
    let count = select(vec![197, 255, 256, 257, 300, 511, 512, 513, 600]);
    (cases(), count).prop_map(|(case, count)| Case {
        outer: case.outer.min(2),
        width: case.width.min(33),
        count,
        ..case
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_shape(case in cases()) {
        case.check(&case.input());
    }

    #[test]
    fn not_finite(
        case in cases(),
        place in any::<usize>(),
        special in select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY]),
    ) {
        case.check_special(place, special);
    }

    /// The first positions have the bits that they have among all, on any threads, whatever stands in
    /// the place of the other queries.
    #[test]
    fn the_first_positions(
        case in prop_oneof![4 => cases(), 1 => long()],
        first in select(vec![0, 1, 2, 6, 14, 15, 33, 1000]),
    ) {
        let clean = case.input();
        let mut qkv = clean.clone();
        let (count, channels) = (case.count, case.heads * case.width);
        for (o, i) in (0..case.outer).flat_map(|o| (first..count).map(move |i| (o, i))) {
            (0..channels).for_each(|c| qkv[case.place(0, o, i, c)] = f32::NAN);
        }
        let attention = case.attention().first(first);
        let shape = attention.output(case.axes());
        for isa in env::isas_under_test() {
            let all = case.run(&clean, &sequential(isa));
            let kept = |&place: &usize| case.of_output(place).1 < first;
            let expected: Vec<f32> = (0..all.len()).filter(kept).map(|place| all[place]).collect();
            let alone = sequential(isa);
            for ctx in contexts(isa).map(|(_, ctx)| ctx).chain([&alone]) {
                let mut scratch = dirty(attention.scratch_len(case.axes(), ctx).unwrap());
                let mut y = vec![f32::NAN; shape.elements().unwrap()];
                attention.apply(&qkv, &mut y, case.axes(), ctx, &mut scratch).unwrap();
                assert_same(&expected, &y, &(first, isa, &case));
            }
        }
    }

    #[test]
    fn any_place_of_the_batch(case in prop_oneof![4 => cases(), 1 => long()]) {
        let qkv = case.input();
        let len = case.axes().elements().unwrap() / case.outer.max(1);
        for isa in env::isas_under_test() {
            let ctx = sequential(isa);
            let y = case.run(&qkv, &ctx);
            for o in 0..case.outer {
                let alone = Case { outer: 1, ..case.clone() };
                let part = alone.run(&qkv[3 * o * len..][..3 * len], &ctx);
                assert_same(&y[o * len..][..len], &part, &(o, isa, &case));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn several_blocks_of_keys(case in long()) {
        case.check(&case.input());
    }

    #[test]
    fn not_finite_in_several_blocks(
        case in long(),
        place in any::<usize>(),
        special in select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY]),
    ) {
        case.check_special(place, special);
    }
}

const BOTH: [Positions; 2] = [Positions::Axis, Positions::Inner];

/// Those of vision transformers, and of attention over features; a head wider than the products sum
/// up at a time.
#[test]
fn usual_and_wide_heads() {
    for positions in BOTH {
        for (heads, width, count) in [(3, 64, 197), (1, 197, 192), (2, 1030, 20), (1, 4, 1100)] {
            let case = Case::new(heads, width, count, positions);
            case.check(&case.input());
        }
    }
}

/// Scores of ±10⁴, of which the largest one, or all that equal it, get all the weight.
#[test]
fn huge_scores() {
    for positions in BOTH {
        for (count, special) in [(1, 0), (40, 7), (700, 0), (700, 350), (700, 699)] {
            let case = Case { scale: Some(1.0), ..Case::new(1, 1, count, positions) };
            let mut qkv = case.input();
            for j in 0..count {
                qkv[case.place(0, 0, j, 0)] = 100.0;
                qkv[case.place(1, 0, j, 0)] = if j == special { 100.0 } else { -100.0 };
            }
            let value = qkv[case.place(2, 0, special, 0)];
            for isa in env::isas_under_test() {
                let y = case.run(&qkv, &sequential(isa));
                assert_same(&vec![value; count], &y, &(isa, &case, special));
            }
            for sign in [1.0, -1.0] {
                for j in 0..count {
                    qkv[case.place(1, 0, j, 0)] = sign * 100.0;
                }
                case.check(&qkv);
            }
        }
    }
}

/// A block in which all scores are −∞ takes nothing from the others; if all are, the result is NaN.
#[test]
fn blocks_of_minus_infinity() {
    for positions in BOTH {
        for hidden in [0..300, 400..700, 100..650, 1..700, 0..699, 0..700] {
            let case = Case { scale: Some(1.0), ..Case::new(1, 1, 700, positions) };
            let mut qkv = case.input();
            for j in 0..700 {
                qkv[case.place(0, 0, j, 0)] = 1.0;
                if hidden.contains(&j) {
                    qkv[case.place(1, 0, j, 0)] = f32::NEG_INFINITY;
                }
            }
            case.check(&qkv);
            let y = case.run(&qkv, &sequential(Isa::best()));
            assert!(y.iter().all(|y| y.is_nan() == (hidden.len() == 700)), "{hidden:?}");
        }
    }
}

/// An infinite value whose score is far below the maximum gives itself or NaN, by whether its weight
/// becomes 0: in its own block, or when a later one has a larger score.
#[test]
fn infinite_values_with_little_weight() {
    // A score, the largest one beside it in its block, and that of the block behind.
    for (score, first, second, is_nan) in [
        (-103.0, 0.0, 0.0, false),
        (-105.0, 0.0, 0.0, true),
        (-105.0, 0.0, -300.0, true),
        (-120.0, -60.0, 0.0, false),
        (-103.0, -103.0, 0.0, false),
        (-105.0, -105.0, 0.0, true),
    ] {
        for positions in BOTH {
            let case = Case { scale: Some(1.0), ..Case::new(1, 1, 512, positions) };
            let mut qkv = case.input();
            for j in 0..512 {
                qkv[case.place(0, 0, j, 0)] = 1.0;
                qkv[case.place(1, 0, j, 0)] = if j < 256 { first } else { second };
            }
            qkv[case.place(1, 0, 7, 0)] = score;
            for value in [f32::INFINITY, f32::NEG_INFINITY] {
                qkv[case.place(2, 0, 7, 0)] = value;
                let expected = if is_nan { f32::NAN } else { value };
                for isa in env::isas_under_test() {
                    let y = case.run(&qkv, &sequential(isa));
                    assert_same(&[expected; 512], &y, &(isa, score, first, second, positions));
                }
            }
        }
    }
}

#[test]
fn zero_sizes() {
    for positions in BOTH {
        for (outer, width, count) in [(0, 3, 5), (2, 0, 5), (2, 3, 0), (0, 0, 0)] {
            let case = Case { outer, ..Case::new(2, width, count, positions) };
            for isa in env::isas_under_test() {
                assert_eq!(case.run(&[], &sequential(isa)), []);
            }
        }
    }
}

/// Memory is for as many threads as there are tasks, and grows with the positions, not their square.
#[test]
fn memory() {
    for isa in env::isas_under_test() {
        let ctx = Context::with_isa(isa).with_pool(Boundless);
        for positions in BOTH {
            let case = Case { outer: 2, ..Case::new(3, 8, 70, positions) };
            let len = case.attention().scratch_len(case.axes(), &ctx).unwrap();
            assert!(len.workers <= 3 * 70, "{len:?}");
            let (x, y) = (case.input(), case.run(&case.input(), &ctx));
            assert_same(&y, &case.run(&x, &sequential(isa)), &(isa, &case));

            let each = |count| {
                let case = Case::new(3, 64, count, positions);
                case.attention().scratch_len(case.axes(), &sequential(isa)).unwrap().each
            };
            assert!(each(8000) < 3 * each(4000), "{} and {}", each(4000), each(8000));
        }
    }
}
