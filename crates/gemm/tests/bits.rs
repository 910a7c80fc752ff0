//! The order of arithmetic, and what does not change a bit of a result: threads, packing, position,
//! pieces of k, and which fused instruction set it is.

#![forbid(unsafe_code)]

mod common;

use common::{Layout, Matrix, Sample, numbers, plain, same_bits};
use mixfold_gemm::{
    Accum, Activation, Bias, Context, Epilogue, KernelId, Out, PackedLhs, PackedRhs, PartialSums,
    multiply, panels_len, sums_len,
};
use mixfold_gemm::{Pool, Threads};
use mixfold_simd::env::isas_under_test;
use proptest::prelude::*;
use proptest::sample::select;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Threads that all cases share: of `rayon` if there is, or our own.
#[derive(Clone, Copy, Debug)]
struct Shared {
    threads: usize,
    own: bool,
}

impl Shared {
    fn pool(self) -> &'static dyn Pool {
        static POOLS: [std::sync::OnceLock<Box<dyn Pool>>; 12] =
            [const { std::sync::OnceLock::new() }; 12];
        let Shared { threads, own } = self;
        let pool = POOLS[2 * threads + usize::from(own)].get_or_init(|| match own {
            #[cfg(feature = "rayon")]
            false => Box::new(mixfold_gemm::Rayon::with_threads(threads).unwrap()),
            _ => Box::new(Threads::new(threads).unwrap()),
        });
        &**pool
    }
}

impl Pool for Shared {
    fn workers(&self) -> usize {
        self.pool().workers()
    }
    fn run(&self, work: &(dyn Fn() + Sync)) {
        self.pool().run(work);
    }
}

proptest! {
    #![proptest_config(config(16))]

    /// Sizes on both sides of one task's rows (196), columns (768) and steps of k (1024).
    #[test]
    fn threads(
        m in prop_oneof![1..30_usize, 190..210_usize],
        n in prop_oneof![1..70_usize, 760..800_usize],
        k in prop_oneof![3 => 0..70_usize, 1 => Just(1030_usize)],
        layouts in (select(&Layout::ALL[..]), select(&Layout::ALL[..]), select(&Layout::DISTINCT[..])),
        is_gate: bool,
        seed: u64,
    ) {
        let a = Matrix::<f32>::new(layouts.0, m, k, seed);
        let b = Matrix::<f32>::new(layouts.1, k, n, seed ^ 1);
        let accum = if is_gate { Accum::Multiply } else { Accum::Add };
        let before = Matrix::<f32>::new(layouts.2, m, n, seed ^ 2);
        let bias = numbers(seed ^ 3, m);
        let epilogue = Epilogue {
            bias: Bias::PerRow(&bias),
            activation: Activation::GeluErf,
            last: Activation::Relu,
            ..Epilogue::NONE
        };
        let compute = |ctx: &Context, packed| {
            let mut out = before.clone();
            let operands = (a.view(), b.view());
            common::run(ctx, packed, operands, &epilogue, out.view_mut(), accum);
            out.data
        };
        for isa in isas_under_test() {
            let ctx = Context::with_isa(isa).sequential();
            let alone = compute(&ctx, (false, false));
            for (threads, own) in [(1, true), (2, false), (2, true), (3, false), (5, true)] {
                let ctx = ctx.clone().with_pool(Shared { threads, own });
                for packed in common::PACKINGS {
                    let together = compute(&ctx, packed);
                    prop_assert!(same_bits(&alone, &together), "{isa}, {threads}, {packed:?}");
                }
            }
        }
    }
}

/// Each element is a chain of multiply-adds in the order of k that starts at 0.
fn is_a_chain<T: Sample>(m: usize, n: usize, k: usize, seed: u64) -> Result<(), TestCaseError> {
    let a = Matrix::<T>::new(Layout::RowMajor, m, k, seed);
    let b = Matrix::<T>::new(Layout::ColumnMajor, k, n, seed ^ 1);
    for isa in isas_under_test() {
        let out = plain(isa, a.view(), b.view());
        for (i, j) in out.places() {
            let chain = (0..k).fold(T::zero(), |sum, p| {
                let (a, b) = (a.at((i, p)), b.at((p, j)));
                if isa.is_fused() { a.mul_add(b, sum) } else { a * b + sum }
            });
            prop_assert!(same_bits(&[out.at((i, j))], &[chain]), "{isa} at {i}, {j}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(100))]

    #[test]
    fn order_of_arithmetic(
        (m, n) in (1..20_usize, 1..40_usize),
        k in prop_oneof![3 => 0..70_usize, 1 => 1020..1060_usize],
        seed: u64,
    ) {
        is_a_chain::<f32>(m, n, k, seed)?;
        is_a_chain::<f64>(m, n, k, seed)?;
    }

    /// A block of the product is the product of rows and columns.
    #[test]
    fn position(
        (m, n, k) in (1..60_usize, 1..120_usize, prop_oneof![0..70_usize, 1020..1030_usize]),
        (top, left, rows, cols) in any::<(usize, usize, usize, usize)>(),
        seed: u64,
    ) {
        let (top, left) = (top % m, left % n);
        let (rows, cols) = (1 + rows % (m - top), 1 + cols % (n - left));
        let a = Matrix::<f64>::new(Layout::RowMajor, m, k, seed);
        let b = Matrix::<f64>::new(Layout::RowMajor, k, n, seed ^ 1);
        let (upper, lower) = (a.view().rows_at(top, rows).unwrap(), b.view());
        let lower = lower.block(0, left, k, cols).unwrap();
        for isa in isas_under_test() {
            let whole = plain(isa, a.view(), b.view());
            let part = plain(isa, upper, lower);
            for (i, j) in part.places() {
                let (x, y) = (part.at((i, j)), whole.at((top + i, left + j)));
                prop_assert_eq!(x.to_bits(), y.to_bits(), "{} at {:?}", isa, (i, j));
            }
        }
    }

    #[test]
    fn fused_instruction_sets(
        (m, n, k) in (1..60_usize, 1..120_usize, 0..70_usize),
        layouts in (select(&Layout::ALL[..]), select(&Layout::ALL[..])),
        (activation, last) in (0..6_usize, 0..6_usize),
        seed: u64,
    ) {
        let a = Matrix::<f32>::new(layouts.0, m, k, seed);
        let b = Matrix::<f32>::new(layouts.1, k, n, seed ^ 1);
        let bias = numbers(seed ^ 2, n);
        let epilogue = Epilogue {
            bias: Bias::PerColumn(&bias),
            activation: <f32 as Sample>::ACTIVATIONS[activation].0,
            last: <f32 as Sample>::ACTIVATIONS[last].0,
            ..Epilogue::NONE
        };
        let mut results = Vec::new();
        for isa in isas_under_test().into_iter().filter(|isa| isa.is_fused()) {
            let mut out = Matrix::new(Layout::RowMajor, m, n, seed);
            let ctx = Context::with_isa(isa).sequential();
            let operands = (a.view(), b.view());
            common::run(&ctx, (false, false), operands, &epilogue, out.view_mut(), Accum::Add);
            results.push(out.data);
        }
        prop_assert!(results.windows(2).all(|pair| same_bits(&pair[0], &pair[1])));
    }

    /// Pieces of k of any length, none and empty ones among them.
    #[test]
    fn pieces_of_k(
        (m, n, k) in (0..40_usize, 0..80_usize, prop_oneof![0..70_usize, 1020..1100_usize]),
        cuts in proptest::collection::vec(any::<usize>(), 0..5),
        onto: bool,
        seed: u64,
    ) {
        let a = Matrix::<f32>::new(Layout::RowMajor, m, k, seed);
        let b = Matrix::<f32>::new(Layout::ColumnMajor, k, n, seed ^ 1);
        let residual = Matrix::<f32>::new(Layout::RowsApart, m, n, seed ^ 2);
        let accum = || if onto { Accum::Onto(residual.view()) } else { Accum::Replace };
        let scale = numbers(seed ^ 3, n);
        let epilogue = Epilogue {
            activation: Activation::Silu,
            scale: Bias::PerColumn(&scale),
            last: if onto { Activation::GeluTanh } else { Activation::Identity },
            ..Epilogue::NONE
        };
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (k + 1)).chain([0, k]).collect();
        cuts.sort_unstable();
        if k == 0 && onto {
            cuts.clear();
        }
        let nan = Matrix::filled(Layout::RowMajor, m, n, f32::NAN);
        for isa in isas_under_test() {
            let kernel = KernelId::of::<f32>(isa);
            let (lhs, rhs) = (PackedLhs::pack(isa, a.view())?, PackedRhs::pack(isa, b.view())?);
            let mut whole = nan.clone();
            let mut sums = vec![f32::NAN; sums_len(kernel, m, k, n)?];
            let out = Out::Matrix(whole.view_mut(), accum());
            multiply(isa, lhs.as_tiles(), rhs.as_panels(), &epilogue, out, &mut sums)?;

            let mut pieces = nan.clone();
            let mut data = vec![f32::NAN; panels_len(kernel, m, n)?];
            let mut sums = PartialSums::new(isa, &mut data, m, n)?;
            for cut in cuts.windows(2) {
                let columns = a.view().block(0, cut[0], m, cut[1] - cut[0])?;
                let lhs = PackedLhs::pack(isa, columns)?;
                sums.add(isa, lhs.as_tiles(), rhs.as_panels().part_of_k(cut[0], cut[1])?)?;
            }
            sums.finish(isa, &epilogue, Out::Matrix(pieces.view_mut(), accum()))?;
            prop_assert!(same_bits(&whole.data, &pieces.data), "{isa}, {cuts:?}");
        }
    }

    /// Panels by themselves are the columns of the product.
    #[test]
    fn columns_of_a_packed_operand(
        (m, n, k) in (1..40_usize, 1..200_usize, 0..70_usize),
        (from, to) in any::<(usize, usize)>(),
        seed: u64,
    ) {
        let a = Matrix::<f32>::new(Layout::RowMajor, m, k, seed);
        let b = Matrix::<f32>::new(Layout::RowMajor, k, n, seed ^ 1);
        for isa in isas_under_test() {
            let step = KernelId::of::<f32>(isa).cols;
            let (lhs, rhs) = (PackedLhs::pack(isa, a.view())?, PackedRhs::pack(isa, b.view())?);
            let border = |x: usize| (x % (n.div_ceil(step) + 1) * step).min(n);
            let (from, to) = (border(from).min(border(to)), border(from).max(border(to)));
            let whole = plain(isa, a.view(), b.view());
            let mut part = Matrix::filled(Layout::ColumnMajor, m, to - from, f32::NAN);
            let columns = rhs.as_panels().columns(from, to)?.followed_by(rhs.as_panels());
            let out = Out::Matrix(part.view_mut(), Accum::Replace);
            multiply(isa, lhs.as_tiles(), columns, &Epilogue::NONE, out, &mut [])?;
            for (i, j) in part.places() {
                prop_assert_eq!(part.at((i, j)).to_bits(), whole.at((i, from + j)).to_bits());
            }
        }
    }
}

#[test]
fn sums_of_no_pieces_are_zero() {
    for isa in isas_under_test() {
        let kernel = KernelId::of::<f32>(isa);
        let mut data = vec![f32::NAN; panels_len(kernel, 15, 40).unwrap()];
        let mut out = Matrix::filled(Layout::RowMajor, 15, 40, 2.0);
        let sums = PartialSums::new(isa, &mut data, 15, 40).unwrap();
        let target = Out::Matrix(out.view_mut(), Accum::Add);
        sums.finish(isa, &Epilogue::NONE, target).unwrap();
        assert!(out.data.iter().all(|&x| x == 2.0), "{isa}");
    }
}
