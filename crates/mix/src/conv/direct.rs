//! One channel with one kernel: its sums are taken where the pixels stand, without a product.

use mixfold_gemm::{Activate, Activation, WithUnary};
use mixfold_simd::math::Unary;
use mixfold_simd::{Isa, Kernel, Simd, Vector};

/// Pixels of a channel as its outputs read them. What a tap reads for the outputs of a row stands side
/// by side.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub data: &'a [f32],
    /// Of each tap, where it reads for the first output of the first row.
    pub places: &'a [(usize, usize)],
    /// Elements for each number that the first half of a place counts.
    pub span: usize,
    /// Elements from a row of outputs to the next one.
    pub pitch: usize,
    /// Outputs of a row.
    pub width: usize,
    /// Number of the first output in the first row.
    pub first: usize,
}

/// Fills `line`, one number for each output, with `activation(bias + Σ weight · pixel)`: a sum that
/// starts at 0, in the order of the taps, as that of a product.
pub(super) fn fill(
    isa: Isa,
    seen: Seen<'_>,
    (weights, bias): (&[f32], f32),
    activation: Activation,
    line: &mut [f32],
) {
    isa.run(Fill { seen, weights, bias, line: &mut *line });
    apply(isa, activation, line);
}

/// `y = line + y`
pub(super) fn add(isa: Isa, line: &[f32], y: &mut [f32]) {
    isa.run(Add { line, y });
}

/// Applies an activation to each number.
pub(super) fn apply(isa: Isa, activation: Activation, line: &mut [f32]) {
    if activation != Activation::IDENTITY {
        isa.run(Apply { activation, line });
    }
}

struct Fill<'a> {
    seen: Seen<'a>,
    weights: &'a [f32],
    bias: f32,
    line: &'a mut [f32],
}

impl Kernel for Fill<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Fill { seen, weights, bias, line } = self;
        let Seen { data, places, span, pitch, width, first } = seen;
        let (lanes, bias) = (S::F32::LANES, S::F32::splat(s, bias));
        let (mut row, mut col, mut done) = (0, first, 0);
        while done < line.len() {
            let run = (width - col).min(line.len() - done);
            let outputs = &data[row * pitch + col..];
            // Vectors may reach beyond a row: what follows is written later.
            for from in (0..run).step_by(lanes) {
                let mut sum = S::F32::splat(s, 0.0);
                for (&weight, &(slot, shift)) in weights.iter().zip(places) {
                    let pixels = &outputs[slot * span + shift + from..];
                    let weight = S::F32::splat(s, weight);
                    sum = weight.mul_add(S::F32::from_slice(s, pixels), sum);
                }
                (sum + bias).write_to(&mut line[done + from..]);
            }
            (row, col, done) = (row + 1, 0, done + run);
        }
    }
}

struct Add<'a> {
    line: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for Add<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let lanes = S::F32::LANES;
        for (y, line) in self.y.chunks_mut(lanes).zip(self.line.chunks(lanes)) {
            (S::F32::from_slice(s, line) + S::F32::from_slice(s, y)).write_to(y);
        }
    }
}

struct Apply<'a> {
    activation: Activation,
    line: &'a mut [f32],
}

impl Kernel for Apply<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.activation.choose(Each(s, self.line));
    }
}

struct Each<'a, S>(S, &'a mut [f32]);

impl<S: Simd> WithUnary<f32> for Each<'_, S> {
    #[inline(always)]
    fn run(self, f: impl Unary<f32>) {
        let Each(s, line) = self;
        for x in line.chunks_mut(S::F32::LANES) {
            f.apply(s, S::F32::from_slice(s, x)).write_to(x);
        }
    }
}
