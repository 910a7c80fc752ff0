//! Mean and variance, as the norms need them.

use crate::{Isa, Kernel, Simd, Vector};

/// Number of partial sums, the same on every instruction set.
const PARTIAL_SUMS: usize = 16;

/// Mean and biased variance of a set of numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// μ = Σx / n
    pub mean: f32,
    /// Σ(x − μ)² / n
    pub variance: f32,
}

impl Moments {
    /// Mean and variance of `x`, in two passes. Of no numbers, both are 0.
    ///
    /// Element i goes to partial sum i mod 16; the partial sums are added in order in `f64`. The
    /// bits are thus the same on every instruction set. With u = 2⁻²⁴ and n numbers, the error of
    /// the mean is at most (n/16 + 1)·u·Σ|x|/n to first order.
    #[inline]
    pub fn of(isa: Isa, x: &[f32]) -> Moments {
        isa.run(Of(x))
    }

    /// Mean and variance of every column of a matrix of `rows` rows, each given by `row` as a slice;
    /// the number of columns is that of `moments`. The same bits as [`of`](Self::of) each column.
    ///
    /// # Panics
    /// If a row is too short.
    pub fn of_columns<'a>(
        isa: Isa,
        rows: usize,
        row: impl Fn(usize) -> &'a [f32],
        moments: &mut [Moments],
    ) {
        isa.run(OfColumns { rows, row, moments });
    }

    /// 1 / √(variance + eps), computed in `f64`.
    #[inline]
    pub fn rstd(self, eps: f32) -> f32 {
        (1.0 / (f64::from(self.variance) + f64::from(eps)).sqrt()) as f32
    }
}

/// [`Moments::of`] as a kernel, to be run inside another.
#[derive(Clone, Copy, Debug)]
pub struct Of<'a>(pub &'a [f32]);

impl Kernel for Of<'_> {
    type Out = Moments;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Moments {
        let x = self.0;
        if x.is_empty() {
            return Moments::default();
        }
        let count = x.len() as f64;
        let mean = (partial_sums(s, x, 0.0, |x| x) / count) as f32;
        let center = S::F32::splat(s, mean);
        let squares = partial_sums(s, x, mean, |x| (x - center) * (x - center));
        Moments { mean, variance: (squares / count) as f32 }
    }
}

/// Σ f(xᵢ). The last group is filled up with `neutral`, of which `f` is 0.
#[inline(always)]
fn partial_sums<S: Simd>(s: S, x: &[f32], neutral: f32, f: impl Fn(S::F32) -> S::F32) -> f64 {
    let lanes = S::F32::LANES;
    // As many vectors as make up the partial sums; two are enough for eight lanes.
    let mut sums = [S::F32::splat(s, 0.0); 2];
    let vectors = const { PARTIAL_SUMS / S::F32::LANES };
    let mut add = |group: &[f32]| {
        for (i, sum) in sums.iter_mut().enumerate().take(vectors) {
            *sum = *sum + f(S::F32::from_slice(s, &group[i * lanes..][..lanes]));
        }
    };
    let groups = x.chunks_exact(PARTIAL_SUMS);
    let rest = groups.remainder();
    groups.for_each(&mut add);
    if !rest.is_empty() {
        let mut group = [neutral; PARTIAL_SUMS];
        group[..rest.len()].copy_from_slice(rest);
        add(&group);
    }
    let mut partial = [0.0; PARTIAL_SUMS];
    for (i, sum) in sums.into_iter().enumerate().take(vectors) {
        sum.write_to(&mut partial[i * lanes..][..lanes]);
    }
    partial.into_iter().map(f64::from).sum()
}

struct OfColumns<'m, F> {
    rows: usize,
    row: F,
    moments: &'m mut [Moments],
}

impl<'a, F: Fn(usize) -> &'a [f32]> Kernel for OfColumns<'_, F> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (lanes, count) = (S::F32::LANES, self.rows as f64);
        for (group, moments) in self.moments.chunks_mut(lanes).enumerate() {
            let first = group * lanes;
            let row = |i| S::F32::from_slice(s, &(self.row)(i)[first..][..moments.len()]);
            let means = column_sums(s, self.rows, row).map(|sum| (sum / count) as f32);
            let center = S::F32::from_slice(s, &means);
            let squares = column_sums(s, self.rows, |i| (row(i) - center) * (row(i) - center));
            for ((moments, mean), squares) in moments.iter_mut().zip(means).zip(squares) {
                *moments = match self.rows {
                    0 => Moments::default(),
                    _ => Moments { mean, variance: (squares / count) as f32 },
                };
            }
        }
    }
}

/// Σ f(i) over the rows, lane by lane.
#[inline(always)]
fn column_sums<S: Simd>(s: S, rows: usize, f: impl Fn(usize) -> S::F32) -> [f64; PARTIAL_SUMS] {
    let mut sums = [S::F32::splat(s, 0.0); PARTIAL_SUMS];
    for top in (0..rows).step_by(PARTIAL_SUMS) {
        for (i, sum) in sums.iter_mut().enumerate() {
            if top + i < rows {
                *sum = *sum + f(top + i);
            }
        }
    }
    // At most as many lanes as partial sums.
    let mut total = [0.0; PARTIAL_SUMS];
    for sum in sums {
        let mut lanes = [0.0; PARTIAL_SUMS];
        sum.write_to(&mut lanes);
        for (total, lane) in total.iter_mut().zip(lanes) {
            *total += f64::from(lane);
        }
    }
    total
}
