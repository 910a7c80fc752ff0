//! [`PatchEmbed`] against a convolution, with tokens in front and positions behind.

use mixfold_gemm::Context;
use mixfold_mix::PatchEmbed;
use mixfold_reference::conv2d::{Conv2d, Nchw, conv2d};
use mixfold_reference::gemm::dot_bound;
use mixfold_simd::{Isa, env};
use proptest::prelude::*;
use proptest::sample::select;

use crate::bits::contexts;
use crate::bound::{Real, U, exact, wide};
use crate::case::{assert_allowed, assert_same, dirty, numbers, sequential, view};

#[derive(Clone, Debug)]
struct Case {
    batch: usize,
    channels: usize,
    patch: (usize, usize),
    /// Patches below and beside each other.
    grid: (usize, usize),
    out: usize,
    /// Tokens in front of an image's patches.
    prefix: usize,
    has_positions: bool,
}

impl Case {
    fn image(&self) -> (usize, usize) {
        (self.patch.0 * self.grid.0, self.patch.1 * self.grid.1)
    }

    fn patches(&self) -> usize {
        self.grid.0 * self.grid.1
    }

    fn tokens(&self) -> usize {
        self.prefix + self.patches()
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

    fn prefix(&self) -> Vec<f32> {
        numbers(4, self.prefix * self.out)
    }

    fn positions(&self) -> Option<Vec<f32>> {
        self.has_positions.then(|| numbers(5, self.patches() * self.out))
    }

    fn embed(&self, isa: Isa) -> PatchEmbed {
        self.embed_with(isa, &self.prefix(), self.positions().as_deref())
    }

    fn embed_with(&self, isa: Isa, prefix: &[f32], positions: Option<&[f32]>) -> PatchEmbed {
        let weight = self.weight();
        let weight = view(&weight, self.out, self.k());
        let embed = PatchEmbed::pack(isa, weight, &self.bias(), self.channels, self.patch).unwrap();
        let embed = if self.prefix > 0 { embed.prefix(prefix).unwrap() } else { embed };
        match positions {
            Some(positions) => embed.positions(positions).unwrap(),
            None => embed,
        }
    }

    fn run(&self, embed: &PatchEmbed, ctx: &Context) -> Vec<f32> {
        self.run_on(&self.input(), embed, ctx)
    }

    fn run_on(&self, x: &[f32], embed: &PatchEmbed, ctx: &Context) -> Vec<f32> {
        // Without outputs nothing tells how many tokens the prefix has.
        if self.out > 0 {
            assert_eq!(embed.tokens(self.image()).unwrap(), self.tokens());
        }
        let mut scratch = dirty(embed.scratch_len(self.batch, self.image(), ctx).unwrap());
        let mut y = vec![f32::NAN; self.batch * self.tokens() * self.out];
        embed.apply(x, &mut y, self.batch, self.image(), ctx, &mut scratch).unwrap();
        y
    }

    fn expected(&self) -> Vec<Real> {
        let (prefix, positions) = (exact(&self.prefix()), self.positions());
        let (patches, len) = (self.expected_patches(), self.patches() * self.out);
        let mut expected = Vec::with_capacity(self.batch * (prefix.len() + len));
        for n in 0..self.batch {
            expected.extend(&prefix);
            let patches = &patches[n * len..][..len];
            match &positions {
                None => expected.extend(patches),
                Some(positions) => {
                    let positions = positions.iter().map(|&x| Real::exact(x));
                    expected.extend(patches.iter().zip(positions).map(|(y, x)| y.add(x)));
                }
            }
        }
        expected
    }

    /// The convolution, its channels last, with the bound of a dot product and its bias.
    fn expected_patches(&self) -> Vec<Real> {
        // The reference has no image that is smaller than the kernel.
        if self.patches() == 0 {
            return Vec::new();
        }
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
            let patch = (size, size);
            let case =
                Case { batch: 2, channels, patch, grid, out: 35, prefix: 0, has_positions: false };
            case.check();
            Case { prefix: 1, has_positions: true, ..case.clone() }.check();
            Case { prefix: 2, has_positions: true, ..case }.check();
        }
    }
}

/// 3 · 32 · 32 values are three blocks of k.
#[test]
fn images_alone_and_in_a_batch() {
    for (patch, prefix) in [(32, 0), (32, 2), (4, 0), (4, 1)] {
        let has_positions = prefix > 0;
        let (patch, grid) = ((patch, patch), (2, 3));
        let batch = Case { batch: 3, channels: 3, patch, grid, out: 20, prefix, has_positions };
        let one = Case { batch: 1, ..batch.clone() };
        let (x, pixels, len) = (batch.input(), one.input().len(), one.tokens() * one.out);
        for isa in env::isas_under_test() {
            let embed = batch.embed(isa);
            for (threads, ctx) in contexts(isa) {
                let all = batch.run(&embed, ctx);
                for n in 0..batch.batch {
                    let alone = one.run_on(&x[n * pixels..][..pixels], &embed, ctx);
                    assert_same(&all[n * len..][..len], &alone, &(isa, threads, n, &batch));
                }
            }
        }
    }
}

/// A task ends behind each token: in the prefix, behind it, and among the patches.
#[test]
fn tasks_that_end_anywhere() {
    for (batch, prefix) in (1..=6).flat_map(|batch| [(batch, 1), (batch, 2), (batch, 3)]) {
        for has_positions in [false, true] {
            let (patch, grid) = ((2, 3), (1, 2));
            Case { batch, channels: 1, patch, grid, out: 17, prefix, has_positions }.check();
        }
    }
}

/// (1 + 2²⁴) − 2²⁴ is 0, and 1 + (2²⁴ − 2²⁴) is 1.
#[test]
fn positions_are_added_to_what_has_its_bias() {
    let large = (1 << 24) as f32;
    for isa in env::isas_under_test() {
        let embed = PatchEmbed::pack(isa, view(&[1.0], 1, 1), &[large], 1, (1, 1)).unwrap();
        let embed = embed.positions(&[-large]).unwrap();
        let (ctx, mut y) = (sequential(isa), [f32::NAN]);
        let mut scratch = dirty(embed.scratch_len(1, (1, 1), &ctx).unwrap());
        embed.apply(&[1.0], &mut y, 1, (1, 1), &ctx, &mut scratch).unwrap();
        assert_eq!(y, [0.0], "{isa}");
    }
}

/// The last prefix and the last positions count.
#[test]
fn prefix_and_positions_are_replaced() {
    let isa = Isa::best();
    let embed = || PatchEmbed::pack(isa, view(&[1.0; 2], 2, 1), &[0.0; 2], 1, (1, 1)).unwrap();
    let embed = embed().prefix(&[1.0; 6]).unwrap().positions(&[1.0; 4]).unwrap();
    let embed = embed.prefix(&[2.0, 3.0]).unwrap().positions(&[10.0, 20.0]).unwrap();
    let (ctx, mut y) = (sequential(isa), [f32::NAN; 4]);
    let mut scratch = dirty(embed.scratch_len(1, (1, 1), &ctx).unwrap());
    embed.apply(&[5.0], &mut y, 1, (1, 1), &ctx, &mut scratch).unwrap();
    assert_eq!(y, [2.0, 3.0, 15.0, 25.0]);
}

/// A number that is not finite stays in the column of its token, of every image; the rest has the
/// bits that it has without it.
#[test]
fn not_finite() {
    let (patch, grid) = ((3, 2), (2, 3));
    let case = Case { batch: 2, channels: 2, patch, grid, out: 33, prefix: 2, has_positions: true };
    let (prefix, positions) = (case.prefix(), case.positions().unwrap());
    for isa in env::isas_under_test() {
        let clean = case.run(&case.embed(isa), &sequential(isa));
        for special in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let check = |embed: PatchEmbed, place: usize| {
                let expected = |i: usize| {
                    if i % (case.tokens() * case.out) == place { special } else { clean[i] }
                };
                let expected: Vec<f32> = (0..clean.len()).map(expected).collect();
                for (threads, ctx) in contexts(isa) {
                    let what = (isa, threads, place, special);
                    assert_same(&expected, &case.run(&embed, ctx), &what);
                }
            };
            for place in [0, 32, 33, 65] {
                let mut prefix = prefix.clone();
                prefix[place] = special;
                check(case.embed_with(isa, &prefix, Some(&positions)), place);
            }
            for place in [0, 32, 33, 5 * 33 + 16, 6 * 33 - 1] {
                let mut positions = positions.clone();
                positions[place] = special;
                let embed = case.embed_with(isa, &prefix, Some(&positions));
                check(embed, place + prefix.len());
            }
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
        prefix in 0_usize..3,
        has_positions in any::<bool>(),
    ) {
        Case { batch, channels, patch, grid, out, prefix, has_positions }.check();
    }
}
