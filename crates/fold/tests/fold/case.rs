//! Random layers, and how near two results in `f64` have to be.

use mixfold_fold::{BatchNorm, Conv, Geometry, Kernel};
use mixfold_reference::conv2d::{Conv2d, Nchw};
use mixfold_reference::gemm::dot_bound;
use proptest::prelude::*;

/// Pseudo-random numbers between −1 and 1.
pub(crate) fn numbers(seed: u64, len: usize) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x2545_F491_4F6C_DD1D;
    let next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    };
    // The first ones are still alike for seeds that are.
    core::iter::repeat_with(next).skip(8).take(len).collect()
}

/// The nearest numbers in `f32`.
pub(crate) fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&x| x as f32).collect()
}

/// The same numbers in `f64`.
pub(crate) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

/// Whether two results in `f64`, each computed with at most `roundings` on a term and terms of
/// `sizes` in all, can be the same number.
#[track_caller]
pub(crate) fn assert_near(computed: &[f64], expected: &[f64], sizes: &[f64], roundings: usize) {
    assert_eq!((computed.len(), sizes.len()), (expected.len(), expected.len()));
    for (i, (c, e)) in computed.iter().zip(expected).enumerate() {
        let bound = 2.0 * dot_bound(roundings, sizes[i], f64::EPSILON);
        assert!((c - e).abs() <= bound, "[{i}]: {c} instead of {e}, allowed {bound}");
    }
}

#[track_caller]
pub(crate) fn assert_same_bits(computed: &[f32], expected: &[f32]) {
    assert_eq!(computed.len(), expected.len());
    for (i, (c, e)) in computed.iter().zip(expected).enumerate() {
        assert_eq!(c.to_bits(), e.to_bits(), "[{i}]: {c} instead of {e}");
    }
}

/// A batch norm and its statistics, far from those of a fresh one: mean 0, variance 1, and no scale
/// or shift.
#[derive(Clone, Debug)]
pub(crate) struct Norm {
    pub(crate) gamma: Vec<f64>,
    pub(crate) beta: Vec<f64>,
    pub(crate) mean: Vec<f64>,
    pub(crate) var: Vec<f64>,
    pub(crate) eps: f64,
}

impl Norm {
    /// Variances from 1e-6 to 1e6, means up to 1e3, scales of either sign and 0; all of them have the
    /// same value in `f32`.
    pub(crate) fn new(seed: u64, channels: usize) -> Self {
        let exact = |values: Vec<f64>| wide(&narrow(&values));
        let part = |k: u64| numbers(seed.wrapping_add(k << 32), channels);
        let gamma = part(1).iter().map(|x| if x.abs() < 0.1 { 0.0 } else { 2.0 * x }).collect();
        Norm {
            gamma: exact(gamma),
            beta: exact(part(2)),
            mean: exact(part(3).iter().map(|x| 1e3 * x).collect()),
            var: exact(part(4).iter().map(|x| 10_f64.powf(6.0 * x)).collect()),
            eps: 1e-5,
        }
    }

    pub(crate) fn view(&self) -> BatchNorm<'_, f64> {
        let Norm { gamma, beta, mean, var, eps } = self;
        BatchNorm { gamma, beta, mean, var, eps: *eps }
    }

    /// `x` of a channel, normalised by the definition.
    pub(crate) fn apply(&self, channel: usize, x: f64) -> f64 {
        let deviation = (self.var[channel] + self.eps).sqrt();
        self.gamma[channel] * ((x - self.mean[channel]) / deviation) + self.beta[channel]
    }

    /// The sizes of its terms, where those of `x` are `size`.
    pub(crate) fn size(&self, channel: usize, size: f64) -> f64 {
        let deviation = (self.var[channel] + self.eps).sqrt();
        self.gamma[channel].abs() * (size + self.mean[channel].abs()) / deviation
            + self.beta[channel].abs()
    }

    /// Roundings on a term in [`apply`](Self::apply), and as many in what it is compared with: sum
    /// and root below, difference, quotient, product and sum.
    pub(crate) const ROUNDINGS: usize = 6;
}

/// A convolution on a map.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) conv: Conv2d,
    pub(crate) group_in: usize,
    pub(crate) map: [usize; 2],
    pub(crate) seed: u64,
}

impl Case {
    pub(crate) fn input(&self) -> Nchw {
        let [height, width] = self.map;
        Nchw { batch: 1, channels: self.group_in * self.conv.groups, height, width }
    }

    pub(crate) fn shape(&self) -> [usize; 4] {
        let [height, width] = self.conv.kernel;
        [self.conv.out_channels, self.group_in, height, width]
    }

    /// Terms of each output.
    pub(crate) fn taps(&self) -> usize {
        self.shape()[1..].iter().product()
    }

    pub(crate) fn weight(&self) -> Vec<f64> {
        numbers(self.seed, self.shape().iter().product())
    }

    pub(crate) fn bias(&self) -> Vec<f64> {
        numbers(self.seed + 1, self.conv.out_channels)
    }

    pub(crate) fn kernel(&self) -> Kernel {
        let (weight, bias) = (self.weight(), self.bias());
        let conv = Conv::new(&weight, self.shape()).and_then(|conv| conv.groups(self.conv.groups));
        conv.and_then(|conv| conv.bias(&bias)).unwrap().kernel()
    }

    pub(crate) fn geometry(&self) -> Geometry {
        let Conv2d { padding, stride, dilation, .. } = self.conv;
        let [height, width] = self.map;
        let geometry = Geometry::same(height, width).unwrap().padding(padding);
        geometry.stride(stride).and_then(|geometry| geometry.dilation(dilation)).unwrap()
    }

    /// The numbers of elements of the output, and of the input, in a group.
    pub(crate) fn group(&self) -> (usize, usize) {
        let groups = self.conv.groups;
        (self.conv.output(self.input()).elements() / groups, self.input().elements() / groups)
    }
}

/// One direction of a convolution: kernel, stride, padding up to "same", dilation, map.
fn direction() -> impl Strategy<Value = [usize; 5]> {
    (1_usize..6, 1_usize..4, 1_usize..4)
        .prop_flat_map(|(kernel, stride, dilation)| {
            let reach = dilation * (kernel - 1);
            (Just((kernel, stride, dilation)), 0..=reach / 2)
        })
        .prop_flat_map(|((kernel, stride, dilation), padding)| {
            let least = (dilation * (kernel - 1) + 1).saturating_sub(2 * padding).max(1);
            let rest = [kernel, stride, padding, dilation];
            (least..least + 6).prop_map(move |map| [rest[0], rest[1], rest[2], rest[3], map])
        })
}

pub(crate) fn case() -> impl Strategy<Value = Case> {
    (direction(), direction(), 1_usize..4, 1_usize..4, 1_usize..4, 0_u64..1 << 30).prop_map(
        |(down, across, groups, group_out, group_in, seed)| {
            let pair = |i: usize| [down[i], across[i]];
            let conv = Conv2d {
                out_channels: groups * group_out,
                kernel: pair(0),
                stride: pair(1),
                padding: pair(2),
                dilation: pair(3),
                groups,
            };
            Case { conv, group_in, map: pair(4), seed }
        },
    )
}
