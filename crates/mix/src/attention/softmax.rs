//! From scores to weights, a block of keys at a time.
//!
//! A weight is exp(score − m) with the largest score m so far, so that none exceeds 1. When a block
//! brings a larger one, what has been summed up before shrinks by exp(old m − new m), the decay. The
//! division by the sum of the weights is left to the end.
//!
//! m is at least the smallest finite number, whatever the scores are: a query with no score but −∞
//! has weights of exp(−∞) = 0 until a finite one comes, and 0 / 0 if none does.

use mixfold_gemm::TilesMut;
use mixfold_simd::math::{ExpNonPositive, Unary};
use mixfold_simd::{Kernel, Simd, Vector};

/// Number of partial sums, the same on every instruction set.
const PARTIAL_SUMS: usize = 16;

/// Chains of maxima of a column.
const CHAINS: usize = 4;

/// Keys of a row that stand beside each other.
const STEP: usize = TilesMut::<f32>::STEP;

/// What is known of each query after some blocks of keys.
pub(super) struct Running<'a> {
    /// The largest score.
    pub largest: &'a mut [f32],
    /// The sum of the weights.
    pub sum: &'a mut [f32],
    /// By what the last block made the sums before it shrink.
    pub decay: &'a mut [f32],
    /// The sum of the weights of the last block.
    pub added: &'a mut [f32],
}

impl Running<'_> {
    /// Of `len` queries, before the first block.
    pub(super) fn start(&mut self, len: usize) -> Running<'_> {
        let Running { largest, sum, decay, added } = self;
        let (largest, sum) = (&mut largest[..len], &mut sum[..len]);
        largest.fill(f32::NEG_INFINITY);
        sum.fill(0.0);
        Running { largest, sum, decay: &mut decay[..len], added: &mut added[..len] }
    }

    /// The same, for a shorter while.
    pub(super) fn reborrow(&mut self) -> Running<'_> {
        let Running { largest, sum, decay, added } = self;
        Running { largest, sum, decay, added }
    }

    /// 1 / sum of each query, in the place of the decay.
    pub(super) fn reciprocal(&mut self) -> &[f32] {
        for (to, &sum) in self.decay.iter_mut().zip(&*self.sum) {
            *to = 1.0 / sum;
        }
        self.decay
    }

    /// With `decay` the differences of the maxima, and `added` the sums of the block.
    #[inline(always)]
    fn shrink<S: Simd>(&mut self, s: S) {
        let lanes = S::F32::LANES;
        let places = self.sum.chunks_mut(lanes).zip(self.decay.chunks_mut(lanes));
        for ((sum, decay), added) in places.zip(self.added.chunks(lanes)) {
            let by = ExpNonPositive.apply(s, S::F32::from_slice(s, decay));
            let total = S::F32::from_slice(s, sum).mul_add(by, S::F32::from_slice(s, added));
            by.write_to(decay);
            total.write_to(sum);
        }
    }
}

/// The scores of queries with some keys, as a left operand of one tile: a query is a row.
///
/// Key i of the block goes to partial sum i mod 16; these are added pairwise.
pub(super) struct Rows<'a> {
    pub scores: &'a mut [f32],
    pub keys: usize,
    pub running: Running<'a>,
}

impl Kernel for Rows<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        const { assert!(PARTIAL_SUMS <= 2 * S::F32::LANES) };
        let Rows { scores, keys, mut running } = self;
        let rows = running.sum.len();
        // First all maxima, so that the exponentials of a row do not wait for its own.
        for row in 0..rows {
            let mut largest = [S::F32::splat(s, f32::NEG_INFINITY); 2];
            for from in (0..keys).step_by(STEP) {
                let part = &scores[from * rows + row * STEP..][..STEP.min(keys - from)];
                let (groups, rest) = part.as_chunks::<PARTIAL_SUMS>();
                for group in groups {
                    for (largest, x) in largest.iter_mut().zip(group.chunks_exact(S::F32::LANES)) {
                        *largest = S::F32::from_slice(s, x).max(*largest);
                    }
                }
                for (largest, x) in largest.iter_mut().zip(rest.chunks(S::F32::LANES)) {
                    *largest = tail(s, x).max(*largest);
                }
            }
            let before = running.largest[row];
            let largest = larger(before, pairwise(lanes(s, largest), larger));
            running.largest[row] = larger(largest, f32::MIN);
            running.decay[row] = before - running.largest[row];
        }
        for row in 0..rows {
            let shift = S::F32::splat(s, running.largest[row]);
            let mut sums = [S::F32::splat(s, 0.0); 2];
            for from in (0..keys).step_by(STEP) {
                let part = &mut scores[from * rows + row * STEP..][..STEP.min(keys - from)];
                let (groups, rest) = part.as_chunks_mut::<PARTIAL_SUMS>();
                for group in groups {
                    for (sum, x) in sums.iter_mut().zip(group.chunks_exact_mut(S::F32::LANES)) {
                        let weight = ExpNonPositive.apply(s, S::F32::from_slice(s, x) - shift);
                        weight.write_to(x);
                        *sum = *sum + weight;
                    }
                }
                for (sum, x) in sums.iter_mut().zip(rest.chunks_mut(S::F32::LANES)) {
                    let weight = ExpNonPositive.apply(s, tail(s, x) - shift);
                    weight.write_to(x);
                    *sum = *sum + weight;
                }
            }
            running.added[row] = pairwise(lanes(s, sums), |a, b| a + b);
        }
        running.shrink(s);
    }
}

/// A vector that ends with `x`, and has −∞ in the lanes beyond.
#[inline(always)]
fn tail<S: Simd>(s: S, x: &[f32]) -> S::F32 {
    const BEYOND: [f32; 2 * PARTIAL_SUMS] = {
        let mut beyond = [0.0; 2 * PARTIAL_SUMS];
        let mut i = PARTIAL_SUMS;
        while i < beyond.len() {
            beyond[i] = f32::NEG_INFINITY;
            i += 1;
        }
        beyond
    };
    let beyond = &BEYOND[PARTIAL_SUMS - x.len().min(PARTIAL_SUMS)..];
    S::F32::from_slice(s, x) + S::F32::from_slice(s, beyond)
}

/// The larger number; `b` if one is NaN.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// The lanes of the vectors, as many as there are partial sums.
#[inline(always)]
fn lanes<S: Simd>(_: S, vectors: [S::F32; 2]) -> [f32; PARTIAL_SUMS] {
    let mut lanes = [0.0; PARTIAL_SUMS];
    for (lanes, vector) in lanes.chunks_exact_mut(S::F32::LANES).zip(vectors) {
        vector.write_to(lanes);
    }
    lanes
}

/// All of them, pair by pair.
#[inline(always)]
fn pairwise(mut values: [f32; PARTIAL_SUMS], f: impl Fn(f32, f32) -> f32) -> f32 {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            values[i] = f(values[i], values[i + half]);
        }
    }
    values[0]
}

/// The scores of queries with some keys, as a right operand of one panel: a query is a column, of
/// which there are whole vectors.
///
/// Sums go in the order of the keys.
pub(super) struct Columns<'a> {
    pub scores: &'a mut [f32],
    pub running: Running<'a>,
}

impl Kernel for Columns<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Columns { scores, mut running } = self;
        let (width, lanes) = (running.sum.len(), S::F32::LANES);
        for first in (0..width).step_by(lanes) {
            let columns = first..first + lanes;
            let before = S::F32::from_slice(s, &running.largest[columns.clone()]);
            // Several chains, which overlap.
            let mut largest = [before; CHAINS];
            let groups = scores.chunks_exact(CHAINS * width);
            for row in groups.remainder().chunks_exact(width) {
                largest[0] = S::F32::from_slice(s, &row[columns.clone()]).max(largest[0]);
            }
            for group in groups {
                for (largest, row) in largest.iter_mut().zip(group.chunks_exact(width)) {
                    *largest = S::F32::from_slice(s, &row[columns.clone()]).max(*largest);
                }
            }
            let [a, b, c, d] = largest;
            let largest = S::F32::splat(s, f32::MIN).max(a.max(b).max(c.max(d)));

            let mut sum = S::F32::splat(s, 0.0);
            for row in scores.chunks_exact_mut(width) {
                let x = &mut row[columns.clone()];
                let weight = ExpNonPositive.apply(s, S::F32::from_slice(s, x) - largest);
                weight.write_to(x);
                sum = sum + weight;
            }
            largest.write_to(&mut running.largest[columns.clone()]);
            (before - largest).write_to(&mut running.decay[columns.clone()]);
            sum.write_to(&mut running.added[columns]);
        }
        running.shrink(s);
    }
}
