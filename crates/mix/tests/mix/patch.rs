//! [`PatchEmbed`] against a convolution.

use mixfold_gemm::Context;
use mixfold_mix::PatchEmbed;
use mixfold_reference::conv2d::{Conv2d, Nchw, conv2d};
use mixfold_reference::gemm::dot_bound;
use mixfold_simd::{Isa, env};
use proptest::prelude::*;
use proptest::sample::select;

use crate::bits::contexts;
use crate::bound::{Real, U, wide};
use crate::case::{assert_allowed, assert_same, dirty, numbers, sequential, view};

#[derive(Clone, Debug)]
struct Case {
    batch: usize,
    channels: usize,
    patch: (usize, usize),
    /// Patches below and beside each other.
    grid: (usize, usize),
    out: usize,
}

impl Case {
    fn image(&self) -> (usize, usize) {
        (self.patch.0 * self.grid.0, self.patch.1 * self.grid.1)
    }

    fn k(&self) -> usize {
        self.channels * self.patch.0 * self.patch.1
    }

    fn input(&self) -> Vec<f32> {
        numbers(1, self.batch * self.channels * self.image().0 * self.image().1)
    }

    fn weight(&self) -> Vec<f32> {
        numbers(2, self.out * self.k())
    }

    fn bias(&self) -> Vec<f32> {
        numbers(3, self.out)
    }

    fn embed(&self, isa: Isa) -> PatchEmbed {
        let weight = self.weight();
        let weight = view(&weight, self.out, self.k());
        PatchEmbed::pack(isa, weight, &self.bias(), self.channels, self.patch).unwrap()
    }

    fn run(&self, embed: &PatchEmbed, ctx: &Context) -> Vec<f32> {
        let tokens = embed.tokens(self.image()).unwrap();
        assert_eq!(tokens, self.grid.0 * self.grid.1);
        let mut scratch = dirty(embed.scratch_len(self.batch, self.image(), ctx).unwrap());
        let mut y = vec![f32::NAN; self.batch * tokens * self.out];
        embed.apply(&self.input(), &mut y, self.batch, self.image(), ctx, &mut scratch).unwrap();
        y
    }

    /// The convolution, its channels last, with the bound of a dot product and its bias.
    fn expected(&self) -> Vec<Real> {
        let (height, width) = self.image();
        let input = Nchw { batch: self.batch, channels: self.channels, height, width };
        let kernel = [self.patch.0, self.patch.1];
        let conv = Conv2d { stride: kernel, ..Conv2d::new(self.out, kernel) };
        let [x, weight, bias] = [self.input(), self.weight(), self.bias()].map(|x| wide(&x));
        let values = conv2d(&x, input, &conv, &weight, Some(&bias));
        let [x, weight, bias] =
            [x, weight, bias].map(|x| x.iter().map(|x| x.abs()).collect::<Vec<_>>());
        let sizes = conv2d(&x, input, &conv, &weight, Some(&bias));
        let output = conv.output(input);
        let mut expected = Vec::with_capacity(values.len());
        for n in 0..output.batch {
            for (row, col) in
                (0..output.height).flat_map(|row| (0..output.width).map(move |col| (row, col)))
            {
                for channel in 0..self.out {
                    let i = output.index(n, channel, row, col);
                    expected.push(Real::new(values[i], dot_bound(self.k() + 1, sizes[i], 2.0 * U)));
                }
            }
        }
        expected
    }

    fn check(&self) {
        let expected = self.expected();
        let mut fused: Option<Vec<f32>> = None;
        for isa in env::isas_under_test() {
            let embed = self.embed(isa);
            let y = self.run(&embed, &sequential(isa));
            assert_allowed(&expected, &y, &(isa, self));
            for (threads, ctx) in contexts(isa) {
                assert_same(&y, &self.run(&embed, ctx), &(threads, isa, self));
            }
            if isa.is_fused() {
                assert_same(fused.get_or_insert(y.clone()), &y, &(isa, self));
            }
        }
    }
}

#[test]
fn usual_patches() {
    for (size, grid) in
        [(1, (15, 14)), (4, (14, 14)), (7, (3, 5)), (14, (4, 3)), (16, (4, 4)), (32, (2, 3))]
    {
        for channels in [1, 3] {
            Case { batch: 2, channels, patch: (size, size), grid, out: 35 }.check();
        }
    }
}

/// 3 · 32 · 32 values are three blocks of k.
#[test]
fn one_image_alone_and_in_a_batch() {
    for patch in [(32, 32), (4, 4)] {
        let batch = Case { batch: 3, channels: 3, patch, grid: (2, 3), out: 20 };
        for isa in env::isas_under_test() {
            let (embed, ctx) = (batch.embed(isa), sequential(isa));
            let all = batch.run(&embed, &ctx);
            let alone = Case { batch: 1, ..batch.clone() }.run(&embed, &ctx);
            assert_same(&all[..alone.len()], &alone, &(isa, patch));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_shape(
        batch in 0_usize..4,
        channels in 0_usize..4,
        patch in (1_usize..9, 1_usize..9),
        grid in (0_usize..7, 0_usize..7),
        out in select(vec![0, 1, 7, 8, 15, 16, 17, 31, 32, 33, 70]),
    ) {
        let case = Case { batch, channels, patch, grid, out };
        // The reference has no image that is smaller than the kernel.
        if grid.0 * grid.1 > 0 {
            case.check();
        } else {
            let isa = Isa::best();
            assert!(case.run(&case.embed(isa), &sequential(isa)).is_empty());
        }
    }
}
