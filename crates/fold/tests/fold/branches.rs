//! Branches merged into one kernel, against the sum of the branches.

use mixfold_fold::{Branches, Conv, FoldError};
use mixfold_reference::conv2d::{Conv2d, Nchw, conv2d};
use mixfold_reference::gemm::dot_bound;
use proptest::prelude::*;

use crate::case::{Norm, assert_near, narrow, numbers, wide};

#[derive(Clone, Debug)]
struct Block {
    groups: usize,
    group: usize,
    map: [usize; 2],
    dilation: usize,
    /// Half of the size of each convolution, whether it has a bias and whether it has a norm.
    convs: Vec<([usize; 2], bool, bool)>,
    /// Whether each identity has a norm.
    identities: Vec<bool>,
    seed: u64,
}

impl Block {
    fn channels(&self) -> usize {
        self.groups * self.group
    }

    fn input(&self) -> Nchw {
        let [height, width] = self.map;
        Nchw { batch: 1, channels: self.channels(), height, width }
    }

    fn conv2d(&self, half: [usize; 2]) -> Conv2d {
        Conv2d {
            padding: half.map(|half| half * self.dilation),
            dilation: [self.dilation; 2],
            groups: self.groups,
            ..Conv2d::new(self.channels(), half.map(|half| 2 * half + 1))
        }
    }

    fn shape(&self, half: [usize; 2]) -> [usize; 4] {
        [self.channels(), self.group, 2 * half[0] + 1, 2 * half[1] + 1]
    }

    /// Weight, bias and norm of a branch.
    fn parameters(&self, i: usize, half: [usize; 2]) -> (Vec<f64>, Vec<f64>, Norm) {
        let (seed, channels) = (self.seed + 100 * i as u64, self.channels());
        let weight = numbers(seed, self.shape(half).iter().product());
        (weight, numbers(seed + 1, channels), Norm::new(seed + 2, channels))
    }

    /// The sum of all branches, and of the sizes of their terms.
    fn expected(&self, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let pixels = self.map[0] * self.map[1];
        let (mut y, mut sizes) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        let mut add = |values: &[f64], magnitudes: &[f64], norm: Option<&Norm>| {
            for (i, (&value, &size)) in values.iter().zip(magnitudes).enumerate() {
                y[i] += norm.map_or(value, |norm| norm.apply(i / pixels, value));
                sizes[i] += norm.map_or(size, |norm| norm.size(i / pixels, size));
            }
        };
        let abs = |values: &[f64]| values.iter().map(|x| x.abs()).collect::<Vec<_>>();
        for (i, &(half, has_bias, has_norm)) in self.convs.iter().enumerate() {
            let (weight, bias, norm) = self.parameters(i, half);
            let run = |x: &[f64], weight: &[f64], bias: &[f64]| {
                conv2d(x, self.input(), &self.conv2d(half), weight, has_bias.then_some(bias))
            };
            let values = run(x, &weight, &bias);
            let magnitudes = run(&abs(x), &abs(&weight), &abs(&bias));
            add(&values, &magnitudes, has_norm.then_some(&norm));
        }
        for (i, has_norm) in self.identities.iter().enumerate() {
            let norm = Norm::new(self.seed + 7 + i as u64, self.channels());
            add(x, &abs(x), has_norm.then_some(&norm));
        }
        (y, sizes)
    }

    fn branches(&self) -> Result<Branches, FoldError> {
        let mut branches = Branches::new();
        for (i, &(half, has_bias, has_norm)) in self.convs.iter().enumerate() {
            let (weight, bias, norm) = self.parameters(i, half);
            let conv = Conv::new(&weight, self.shape(half))?.groups(self.groups)?;
            let conv = if has_bias { conv.bias(&bias)? } else { conv };
            // In one step, or by way of a kernel.
            branches = match (has_norm, i % 2) {
                (true, 0) => branches.conv_bn(&conv, &norm.view())?,
                (false, 0) => branches.conv(&conv)?,
                (true, _) => branches.kernel(conv.kernel_bn(&norm.view())?)?,
                (false, _) => branches.kernel(conv.kernel())?,
            };
        }
        for (i, has_norm) in self.identities.iter().enumerate() {
            let norm = Norm::new(self.seed + 7 + i as u64, self.channels());
            branches =
                if *has_norm { branches.identity_bn(&norm.view())? } else { branches.identity() };
        }
        Ok(branches)
    }
}

fn block() -> impl Strategy<Value = Block> {
    let conv = ((0_usize..3, 0_usize..3), any::<bool>(), any::<bool>());
    let conv = conv.prop_map(|(half, bias, norm)| ([half.0, half.1], bias, norm));
    let convs = proptest::collection::vec(conv, 1..4);
    let identities = proptest::collection::vec(any::<bool>(), 0..3);
    let sizes = (1_usize..4, 1_usize..4, 1_usize..6, 1_usize..6, 1_usize..3);
    (sizes, convs, identities, 0_u64..1 << 30).prop_map(|(sizes, convs, identities, seed)| {
        let (groups, group, height, width, dilation) = sizes;
        Block { groups, group, map: [height, width], dilation, convs, identities, seed }
    })
}

proptest! {
    #[test]
    fn is_the_sum_of_the_branches(block in block()) {
        let kernel = block.branches().and_then(Branches::merge).unwrap();
        let largest = |d: usize| block.convs.iter().map(|conv| conv.0[d]).max().unwrap();
        let half = [largest(0), largest(1)];
        prop_assert_eq!(kernel.shape(), block.shape(half));
        prop_assert_eq!(kernel.groups(), block.groups);
        let x = numbers(block.seed + 3, block.input().elements());
        let conv = block.conv2d(half);
        let y = conv2d(&x, block.input(), &conv, kernel.weight(), Some(kernel.bias()));
        let (expected, sizes) = block.expected(&x);
        let terms = kernel.shape()[1..].iter().product::<usize>();
        let branches = block.convs.len() + block.identities.len();
        assert_near(&y, &expected, &sizes, terms + branches + Norm::ROUNDINGS + 2);
    }

    /// Rounded to `f32` and run in `f32`: one rounding for each weight, and those of its sum.
    #[test]
    fn is_as_exact_as_one_convolution(block in block()) {
        let kernel = block.branches().and_then(Branches::merge).unwrap();
        let largest = |d: usize| block.convs.iter().map(|conv| conv.0[d]).max().unwrap();
        let (conv, input) = (block.conv2d([largest(0), largest(1)]), block.input());
        let x = wide(&narrow(&numbers(block.seed + 3, input.elements())));
        let (weight, bias) = kernel.rounded::<f32>();
        let y = wide(&conv2d(&narrow(&x), input, &conv, &weight, Some(&bias)));
        let (expected, branch_sizes) = block.expected(&x);
        let abs = |values: &[f64]| values.iter().map(|x| x.abs()).collect::<Vec<_>>();
        let sizes =
            conv2d(&abs(&x), input, &conv, &abs(kernel.weight()), Some(&abs(kernel.bias())));
        let terms = kernel.shape()[1..].iter().product::<usize>() + 2;
        let branches = block.convs.len() + block.identities.len();
        for i in 0..y.len() {
            let fold = terms + branches + Norm::ROUNDINGS;
            let bound = dot_bound(terms, sizes[i], f32::EPSILON.into())
                + 2.0 * dot_bound(fold, branch_sizes[i], f64::EPSILON);
            prop_assert!((y[i] - expected[i]).abs() <= bound, "[{}]: {}, {}", i, y[i], expected[i]);
        }
    }
}

/// The centres of 1 x 1, 1 x 5 and 3 x 1 fall on that of 3 x 5.
#[test]
fn centres_fall_on_each_other() {
    let row: Vec<f32> = vec![1.0, 2.0, 3.0, 4.0, 5.0];
    let kernel = Branches::new()
        .conv(&Conv::new(&[100.0_f32], [1, 1, 1, 1]).unwrap())
        .and_then(|branches| branches.conv(&Conv::new(&row, [1, 1, 1, 5])?))
        .and_then(|branches| branches.conv(&Conv::new(&[10.0_f32, 20.0, 30.0], [1, 1, 3, 1])?))
        .and_then(|branches| branches.identity().merge())
        .unwrap();
    assert_eq!(kernel.shape(), [1, 1, 3, 5]);
    #[rustfmt::skip]
    assert_eq!(kernel.weight(), [
        0.0, 0.0, 10.0, 0.0, 0.0,
        1.0, 2.0, 124.0, 4.0, 5.0,
        0.0, 0.0, 30.0, 0.0, 0.0,
    ]);
}
