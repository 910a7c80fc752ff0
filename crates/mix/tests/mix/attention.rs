//! [`SelfAttention`] against the reference, and what it promises.

use mixfold_gemm::Context;
use mixfold_mix::{Axes, Positions, SelfAttention};
use mixfold_reference::attention::self_attention;
use mixfold_reference::gemm::dot_bound;
use mixfold_reference::norm::Along;
use mixfold_simd::{Isa, env};
use proptest::prelude::*;
use proptest::sample::select;

use crate::bits::contexts;
use crate::bound::{Real, U, UNDERFLOW, wide};
use crate::case::{assert_allowed, assert_same, dirty, numbers, reference, sequential};
use crate::errors::axes;
use crate::special::Boundless;

/// Keys of a block.
const BLOCK: usize = 256;

#[derive(Clone, Debug)]
struct Case {
    outer: usize,
    heads: usize,
    width: usize,
    count: usize,
    positions: Positions,
    scale: Option<f32>,
    /// Size of queries, keys and values.
    size: f32,
}

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

impl Case {
    fn new(heads: usize, width: usize, count: usize, positions: Positions) -> Self {
        Case { outer: 1, heads, width, count, positions, scale: None, size: 2.0 }
    }

    fn axes(&self) -> Axes {
        let (outer, channels) = (self.outer, self.heads * self.width);
        match self.positions {
            Positions::Axis => axes(outer, self.count, channels),
            Positions::Inner => axes(outer, channels, self.count),
        }
    }

    fn attention(&self) -> SelfAttention {
        let attention =
            SelfAttention::new(self.heads, self.heads * self.width, self.positions).unwrap();
        match self.scale {
            Some(scale) => attention.scale(scale),
            None => attention,
        }
    }

    fn input(&self) -> Vec<f32> {
        let len = 3 * self.axes().elements().unwrap();
        numbers(1, len).iter().map(|x| self.size * x).collect()
    }

    /// Place of a feature of the queries, keys or values (part 0, 1, 2) in the input.
    fn place(&self, part: usize, outer: usize, position: usize, channel: usize) -> usize {
        let channels = self.heads * self.width;
        let feature = part * channels + channel;
        match self.positions {
            Positions::Axis => (outer * self.count + position) * 3 * channels + feature,
            Positions::Inner => (outer * 3 * channels + feature) * self.count + position,
        }
    }

    /// Outer index, position and channel of a place in the output.
    fn of_output(&self, place: usize) -> (usize, usize, usize) {
        let channels = self.heads * self.width;
        let (outer, place) = (place / (channels * self.count), place % (channels * self.count));
        match self.positions {
            Positions::Axis => (outer, place / channels, place % channels),
            Positions::Inner => (outer, place % self.count, place / self.count),
        }
    }

    /// Place of a channel in the output.
    fn output_place(&self, outer: usize, position: usize, channel: usize) -> usize {
        let channels = self.heads * self.width;
        match self.positions {
            Positions::Axis => (outer * self.count + position) * channels + channel,
            Positions::Inner => (outer * channels + channel) * self.count + position,
        }
    }

    /// The output, on scratch memory full of NaN.
    fn run(&self, qkv: &[f32], ctx: &Context) -> Vec<f32> {
        let (attention, axes) = (self.attention(), self.axes());
        let mut scratch = dirty(attention.scratch_len(axes, ctx).unwrap());
        let mut y = vec![f32::NAN; axes.elements().unwrap()];
        attention.apply(qkv, &mut y, axes, ctx, &mut scratch).unwrap();
        y
    }

    /// The reference with its bounds.
    ///
    /// With s the exact scores, m their maximum and b the number of blocks:
    ///
    /// * the computed score is δ away: a product with the scale, then a dot product, which are
    ///   width + 1 roundings of a term at most;
    /// * its weight is exp of the difference to a maximum, times a decay, the exp of a difference
    ///   of maxima, for each block that follows. The computed maximum at the end is common to all
    ///   weights and leaves with the division. The differences are rounded, and add up to the one
    ///   between the score and that maximum, at most m − s + 2δ; each exp has a relative error of
    ///   8.5e-8 and each product with a decay one of u: the weight has a relative error of
    ///   exp(δ + u·(m − s + 2δ) + b·(8.5e-8 + u)) − 1. Where an exp is no normal number, it has an
    ///   absolute one of two smallest subnormal numbers instead, as has what follows: `tiny`, where
    ///   the largest weight is 1;
    /// * sum and weighted sum are n terms, and b decays with their additions: γ of n + 3b;
    /// * y = N / D of sums with relative weights w, which add up to 1, is then computed within
    ///   (Σ w·e·|v| + |y|·Σ w·e) / (1 − Σ w·e), and rounded twice.
    fn expected(&self, qkv: &[f32]) -> Vec<Real> {
        let (attention, x) = (self.attention(), wide(qkv));
        let scale = self.scale.unwrap_or((1.0 / (self.width as f64).sqrt()) as f32).into();
        let along = match self.positions {
            Positions::Axis => Along::Axis,
            Positions::Inner => Along::Inner,
        };
        let y = self_attention(&x, reference(self.axes()), attention.heads(), along, scale);
        let blocks = self.count.div_ceil(BLOCK) as f64;
        let gamma = dot_bound(self.count + 3 * blocks as usize, 1.0, 2.0 * U);
        let tiny = (blocks + 1.0) * 4.0 * UNDERFLOW;
        let mut bounds = vec![0.0; y.len()];
        for (outer, head, i) in self.queries() {
            let errors = self.weight_errors(&x, scale, (outer, head, i), (gamma, tiny));
            let weights: f64 = errors.iter().sum();
            for channel in head * self.width..(head + 1) * self.width {
                let values = errors.iter().enumerate().map(|(j, &error)| {
                    // A key without weight has no error either.
                    let value = x[self.place(2, outer, j, channel)].abs();
                    if error == 0.0 { 0.0 } else { error * value + UNDERFLOW }
                });
                let place = self.output_place(outer, i, channel);
                let y = y[place].abs();
                let bound = (values.sum::<f64>() + y * weights) / (1.0 - weights);
                let bound = bound + 2.0 * U * (1.0 + U) * (y + bound) + 2.0 * UNDERFLOW;
                bounds[place] = if weights < 1.0 { bound } else { f64::INFINITY };
            }
        }
        y.into_iter().zip(bounds).map(|(value, bound)| Real::new(value, bound)).collect()
    }

    /// Outer index, head and position of all queries.
    fn queries(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let (heads, count) = (self.heads, self.count);
        (0..self.outer * heads * count)
            .map(move |n| (n / count / heads, n / count % heads, n % count))
    }

    /// w·e of each key, as `expected` has it; 0 for a score of −∞.
    fn weight_errors(
        &self,
        x: &[f64],
        scale: f64,
        (outer, head, i): (usize, usize, usize),
        (gamma, tiny): (f64, f64),
    ) -> Vec<f64> {
        let blocks = self.count.div_ceil(BLOCK) as f64;
        let terms = self.width + 1;
        let of_key = |j| {
            let (mut score, mut size, mut key) = (0.0, 0.0, 1.0_f64);
            for c in head * self.width..(head + 1) * self.width {
                let (q, k) = (x[self.place(0, outer, i, c)], x[self.place(1, outer, j, c)]);
                score += scale * q * k;
                size += (scale * q * k).abs();
                key = key.max(k.abs());
            }
            (score, dot_bound(terms, size, 2.0 * U) + terms as f64 * (1.0 + key) * UNDERFLOW)
        };
        let keys: Vec<(f64, f64)> = (0..self.count).map(of_key).collect();
        let finite = || keys.iter().filter(|key| key.0 != f64::NEG_INFINITY);
        let largest = finite().map(|key| key.0).fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = finite().map(|key| (key.0 - largest).exp()).sum();
        let most = finite().map(|key| key.1).fold(0.0, f64::max);
        let error = |&(score, delta): &(f64, f64)| {
            let apart = largest - score;
            let exponent = delta + U * (apart + 2.0 * most) + blocks * (8.5e-8 + U);
            let error = exponent.exp_m1() + gamma * exponent.exp();
            if apart == f64::INFINITY { 0.0 } else { (-apart).exp() / total * error + tiny }
        };
        keys.iter().map(error).collect()
    }

    /// Within the bounds, with the same bits on any threads and on all fused instruction sets.
    fn check(&self, qkv: &[f32]) {
        let expected = self.expected(qkv);
        let mut fused: Option<Vec<f32>> = None;
        for isa in env::isas_under_test() {
            let y = self.run(qkv, &sequential(isa));
            assert_allowed(&expected, &y, &(isa, self));
            for (threads, ctx) in contexts(isa) {
                assert_same(&y, &self.run(qkv, ctx), &(threads, isa, self));
            }
            if isa.is_fused() {
                assert_same(fused.get_or_insert(y.clone()), &y, &(isa, self));
            }
        }
    }

    /// With one number that is not finite. Outputs that do not depend on it have the same bits.
    fn check_special(&self, place: usize, special: f32) {
        let clean = self.input();
        if clean.is_empty() {
            return;
        }
        let mut qkv = clean.clone();
        let place = place % qkv.len();
        qkv[place] = special;
        let all = |part: usize| {
            let of = move |outer, i| move |c| (part, outer, i, c);
            let of = move |outer| move |i| (0..self.heads * self.width).map(of(outer, i));
            (0..self.outer).flat_map(move |outer| (0..self.count).flat_map(of(outer)))
        };
        let of_place = (0..3).flat_map(all).find(|&(p, o, i, c)| self.place(p, o, i, c) == place);
        let (part, outer, position, channel) = of_place.unwrap();
        let reaches = |output: usize| {
            let (o, i, c) = self.of_output(output);
            let head = o == outer && c / self.width == channel / self.width;
            head && match part {
                0 => i == position,
                1 => true,
                _ => c == channel,
            }
        };
        let expected = self.expected(&qkv);
        for isa in env::isas_under_test() {
            let ctx = sequential(isa);
            let what = (place, special, isa, self);
            let y = self.run(&qkv, &ctx);
            assert_allowed(&expected, &y, &what);
            for (i, (y, clean)) in y.iter().zip(self.run(&clean, &ctx)).enumerate() {
                assert!(reaches(i) || y.to_bits() == clean.to_bits(), "{what:?}: {i}");
            }
        }
    }
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
