//! An attention with its shape and its numbers, to be run and to be expected.

use mixfold_gemm::Context;
use mixfold_mix::{Axes, Positions, SelfAttention};
use mixfold_reference::attention::self_attention;
use mixfold_reference::gemm::dot_bound;
use mixfold_reference::norm::Along;
use mixfold_simd::env;

use crate::bits::contexts;
use crate::bound::{Real, U, UNDERFLOW, wide};
use crate::case::{assert_allowed, assert_same, dirty, numbers, reference, sequential};
use crate::errors::axes;

/// Keys of a block.
const BLOCK: usize = 256;

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) outer: usize,
    pub(crate) heads: usize,
    pub(crate) width: usize,
    pub(crate) count: usize,
    pub(crate) positions: Positions,
    pub(crate) scale: Option<f32>,
    /// Size of queries, keys and values.
    pub(crate) size: f32,
}

impl Case {
    pub(crate) fn new(heads: usize, width: usize, count: usize, positions: Positions) -> Self {
        Case { outer: 1, heads, width, count, positions, scale: None, size: 2.0 }
    }

    pub(crate) fn axes(&self) -> Axes {
        let (outer, channels) = (self.outer, self.heads * self.width);
        match self.positions {
            Positions::Axis => axes(outer, self.count, channels),
            Positions::Inner => axes(outer, channels, self.count),
        }
    }

    pub(crate) fn attention(&self) -> SelfAttention {
        let attention =
            SelfAttention::new(self.heads, self.heads * self.width, self.positions).unwrap();
        match self.scale {
            Some(scale) => attention.scale(scale),
            None => attention,
        }
    }

    pub(crate) fn input(&self) -> Vec<f32> {
        let len = 3 * self.axes().elements().unwrap();
        numbers(1, len).iter().map(|x| self.size * x).collect()
    }

    /// Place of a feature of the queries, keys or values (part 0, 1, 2) in the input.
    pub(crate) fn place(
        &self,
        part: usize,
        outer: usize,
        position: usize,
        channel: usize,
    ) -> usize {
        let channels = self.heads * self.width;
        let feature = part * channels + channel;
        match self.positions {
            Positions::Axis => (outer * self.count + position) * 3 * channels + feature,
            Positions::Inner => (outer * 3 * channels + feature) * self.count + position,
        }
    }

    /// Outer index, position and channel of a place in the output.
    pub(crate) fn of_output(&self, place: usize) -> (usize, usize, usize) {
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
    pub(crate) fn run(&self, qkv: &[f32], ctx: &Context) -> Vec<f32> {
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
    pub(crate) fn check(&self, qkv: &[f32]) {
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
    ///
    /// Scores are of ordinary size: a value that is infinite and has a weight that is 0 to `f32` gives
    /// NaN.
    pub(crate) fn check_special(&self, place: usize, special: f32) {
        Case { scale: None, ..self.clone() }.check_ordinary(place, special);
    }

    fn check_ordinary(&self, place: usize, special: f32) {
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
