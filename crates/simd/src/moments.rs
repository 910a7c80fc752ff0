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
    /// Mean and variance of `x`. Of no numbers, both are 0.
    ///
    /// Two passes with correction (Chan, Golub and LeVeque, 1983): a first mean c, then the sums of
    /// d = x − c and of d², from which μ = c + Σd/n and variance = (Σd² − (Σd)²/n) / n. Element i
    /// goes to partial sum i mod 16; these are added pairwise in `f64`. The bits are thus the same
    /// on every instruction set.
    ///
    /// With u = 2⁻²⁴ and s = Σ|x − μ|/n, the error of the mean is at most u·|μ| + (n/16 + 2)·u·s and
    /// the relative error of the variance at most (n/16 + 5)·u, to first order in u. Numbers whose
    /// squares or sums leave the range of `f32` give a mean or variance that is not finite.
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
        let count = self.0.len() as f64;
        let center = sums(s, self.0, 0.0).center(count);
        sums(s, self.0, center).moments(count, center)
    }
}

/// Sums about a center c.
#[derive(Clone, Copy, Default)]
struct Sums {
    /// Σ(x − c)
    deviations: f64,
    /// Σ(x − c)²
    squares: f64,
}

impl Sums {
    /// From the partial sums.
    #[inline(always)]
    fn of(deviations: [f32; PARTIAL_SUMS], squares: [f32; PARTIAL_SUMS]) -> Self {
        Sums { deviations: pairwise(deviations), squares: pairwise(squares) }
    }

    /// The mean of `count` numbers from sums about 0, to be the next center.
    #[inline(always)]
    fn center(&self, count: f64) -> f32 {
        (self.deviations / count) as f32
    }

    /// Of `count` numbers.
    #[inline(always)]
    fn moments(&self, count: f64, center: f32) -> Moments {
        let Sums { deviations, squares } = self;
        if count == 0.0 {
            return Moments::default();
        }
        let variance = (squares - deviations * deviations / count) / count;
        Moments {
            mean: (f64::from(center) + deviations / count) as f32,
            // Rounding can make it negative. NaN stays NaN.
            variance: if variance < 0.0 { 0.0 } else { variance as f32 },
        }
    }
}

/// The sum, pair by pair, in `f64`.
#[inline(always)]
fn pairwise(sums: [f32; PARTIAL_SUMS]) -> f64 {
    let mut sums = sums.map(f64::from);
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
    }
    sums[0]
}

#[inline(always)]
fn sums<S: Simd>(s: S, x: &[f32], center: f32) -> Sums {
    let mut partial = PartialSums::new(s, center);
    let (groups, rest) = x.as_chunks();
    for group in groups {
        partial.add(s, group);
    }
    if !rest.is_empty() {
        // The deviation of the center is 0.
        let mut group = [center; PARTIAL_SUMS];
        group[..rest.len()].copy_from_slice(rest);
        partial.add(s, &group);
    }
    Sums::of(lanes(s, partial.deviations), lanes(s, partial.squares))
}

/// The partial sums, in as many vectors as it takes, of which there are at most two.
struct PartialSums<S: Simd> {
    center: S::F32,
    deviations: [S::F32; 2],
    squares: [S::F32; 2],
}

impl<S: Simd> PartialSums<S> {
    #[inline(always)]
    fn new(s: S, center: f32) -> Self {
        const { assert!(PARTIAL_SUMS <= 2 * S::F32::LANES) };
        let zero = [S::F32::splat(s, 0.0); 2];
        Self { center: S::F32::splat(s, center), deviations: zero, squares: zero }
    }

    #[inline(always)]
    fn add(&mut self, s: S, group: &[f32; PARTIAL_SUMS]) {
        let places = self.deviations.iter_mut().zip(&mut self.squares);
        for ((deviations, squares), x) in places.zip(group.chunks_exact(S::F32::LANES)) {
            let d = S::F32::from_slice(s, x) - self.center;
            *deviations = *deviations + d;
            // Not a fused multiply-add, which not every instruction set has.
            *squares = *squares + d * d;
        }
    }
}

/// The first lanes of some vectors.
#[inline(always)]
fn lanes<S: Simd, const N: usize>(_: S, vectors: [S::F32; N]) -> [f32; PARTIAL_SUMS] {
    let mut lanes = [0.0; PARTIAL_SUMS];
    for (lanes, vector) in lanes.chunks_exact_mut(S::F32::LANES).zip(vectors) {
        vector.write_to(lanes);
    }
    lanes
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
        let OfColumns { rows, row, moments } = self;
        let count = rows as f64;
        for (group, moments) in moments.chunks_mut(S::F32::LANES).enumerate() {
            let columns = (group * S::F32::LANES, moments.len());
            let sums = column_sums(s, rows, &row, columns, [0.0; PARTIAL_SUMS]);
            let centers = sums.map(|sums| sums.center(count));
            let sums = column_sums(s, rows, &row, columns, centers);
            for ((moments, sums), center) in moments.iter_mut().zip(sums).zip(centers) {
                *moments = sums.moments(count, center);
            }
        }
    }
}

/// The sums of each of the columns from `first` on, `len` of them, at most [`Vector::LANES`].
#[inline(always)]
fn column_sums<'a, S: Simd>(
    s: S,
    rows: usize,
    row: &impl Fn(usize) -> &'a [f32],
    (first, len): (usize, usize),
    centers: [f32; PARTIAL_SUMS],
) -> [Sums; PARTIAL_SUMS] {
    let center = S::F32::from_slice(s, &centers);
    let mut deviations = [S::F32::splat(s, 0.0); PARTIAL_SUMS];
    let mut squares = deviations;
    for top in (0..rows).step_by(PARTIAL_SUMS) {
        for (i, (deviations, squares)) in deviations.iter_mut().zip(&mut squares).enumerate() {
            if top + i < rows {
                let d = S::F32::from_slice(s, &row(top + i)[first..][..len]) - center;
                *deviations = *deviations + d;
                *squares = *squares + d * d;
            }
        }
    }
    let (deviations, squares) = (transposed(s, deviations), transposed(s, squares));
    let mut sums = [Sums::default(); PARTIAL_SUMS];
    for (sums, (deviations, squares)) in sums.iter_mut().zip(deviations.into_iter().zip(squares)) {
        *sums = Sums::of(deviations, squares);
    }
    sums
}

/// The lanes of the vectors: first those number 0 of each one.
#[inline(always)]
fn transposed<S: Simd>(
    s: S,
    vectors: [S::F32; PARTIAL_SUMS],
) -> [[f32; PARTIAL_SUMS]; PARTIAL_SUMS] {
    let mut columns = [[0.0; PARTIAL_SUMS]; PARTIAL_SUMS];
    for (i, &vector) in vectors.iter().enumerate() {
        for (column, lane) in columns.iter_mut().zip(lanes(s, [vector])) {
            column[i] = lane;
        }
    }
    columns
}
