//! Every error, with its numbers, and nothing written.

use std::error::Error;

use mixfold_gemm::{GemmError, MatRef, Scratch};
use mixfold_mix::{Axes, AxisLinear, AxisMlp, AxisOp, MixError, Norm, PatchEmbed, Side, mean_axis};
use mixfold_simd::{Isa, env};

use crate::case::{Case, NormKind, sequential, view};

pub(crate) const MAX: usize = usize::MAX;

pub(crate) fn axes(outer: usize, axis: usize, inner: usize) -> Axes {
    Axes { outer, axis, inner }
}

/// `apply` and `apply_to` fail with `expected`, and write nothing; so does `scratch_len`, unless the
/// error is about the tensors.
fn refused(op: &AxisOp, (x, y): (usize, usize), axes: Axes, expected: &MixError) {
    let isa = Isa::best();
    refused_by(op, isa, (x, y), axes, expected);
}

fn refused_by(op: &AxisOp, isa: Isa, (x, y): (usize, usize), axes: Axes, expected: &MixError) {
    let (ctx, mut scratch) = (sequential(isa), Scratch::new());
    let (mut x, mut y) = (vec![2.0; x], vec![3.0; y]);
    assert_eq!(op.apply_to(&x, &mut y, axes, &ctx, &mut scratch).as_ref(), Err(expected));
    if !matches!(expected, MixError::Tensor { what: "output", .. }) {
        assert_eq!(op.apply(&mut x, axes, &ctx, &mut scratch).as_ref(), Err(expected));
    }
    if !matches!(expected, MixError::Tensor { .. }) {
        assert_eq!(op.scratch_len(axes, &ctx).as_ref(), Err(expected));
    }
    assert!(x.iter().all(|&x| x == 2.0) && y.iter().all(|&y| y == 3.0), "{expected}");
    assert!(scratch.is_empty(), "{expected}");
}

fn linear(shape: Axes, out: usize) -> AxisOp {
    Case::plain(shape, None, out).op(Isa::best())
}

#[test]
fn tensors() {
    let shape = axes(2, 3, 4);
    let (op, short) = (linear(shape, 5), axes(2, 5, 4));
    refused(&op, (23, 40), shape, &MixError::Tensor { what: "input", axes: shape, found: 23 });
    refused(&op, (25, 40), shape, &MixError::Tensor { what: "input", axes: shape, found: 25 });
    refused(&op, (24, 39), shape, &MixError::Tensor { what: "output", axes: short, found: 39 });
    refused(&op, (24, 41), shape, &MixError::Tensor { what: "output", axes: short, found: 41 });
}

#[test]
fn overflow() {
    let op = linear(axes(2, 3, 4), 5);
    for shape in [axes(MAX, 3, 2), axes(2, 3, MAX), axes(2, MAX, 3), axes(MAX, MAX, 0)] {
        refused(&op, (0, 0), shape, &MixError::Overflow { axes: shape });
    }
    // The input has no elements, the output has too many.
    let op = linear(axes(1, 0, 2), 5);
    let shape = axes(MAX / 2, 0, 2);
    let (ctx, mut scratch) = (sequential(Isa::best()), Scratch::new());
    let expected = Err(MixError::Overflow { axes: shape.with_axis(5) });
    assert_eq!(op.apply_to(&[], &mut [], shape, &ctx, &mut scratch), expected);
    assert_eq!(op.scratch_len(shape, &ctx).map(|_| ()), expected);
    // The tensors have no elements, a task's memory too many.
    let first = MatRef::row_major(&[], 0, MAX).unwrap();
    let second = MatRef::row_major(&[], 0, 0).unwrap();
    for side in [Side::Left, Side::Right] {
        let op = AxisMlp::new(first, second).unwrap().pack(Isa::best(), side).unwrap();
        let shape = axes(0, MAX, if side == Side::Left { 0 } else { 1 });
        let error = op.scratch_len(shape, &ctx).unwrap_err();
        assert!(matches!(error, MixError::Gemm(GemmError::Overflow { .. })), "{error}");
    }
}

#[test]
fn axis_and_side() {
    let shape = axes(2, 3, 4);
    let op = linear(shape, 3);
    refused(&op, (16, 24), axes(2, 2, 4), &MixError::Axis { expected: 3, found: 2 });
    let packed = Side::Left;
    refused(&op, (6, 6), axes(2, 3, 1), &MixError::Side { packed, inner: 1 });
    let op = linear(axes(2, 3, 1), 3);
    let packed = Side::Right;
    refused(&op, (24, 24), shape, &MixError::Side { packed, inner: 4 });
    refused(&op, (0, 0), axes(2, 3, 0), &MixError::Side { packed, inner: 0 });
}

#[test]
fn in_place() {
    let (shape, expected) = (axes(2, 3, 4), MixError::InPlace { axis: 3, out: 5 });
    let (mut x, mut scratch) = (vec![2.0; 24], Scratch::new());
    let result = linear(shape, 5).apply(&mut x, shape, &sequential(Isa::best()), &mut scratch);
    assert_eq!(result, Err(expected.clone()));
    assert!(x.iter().all(|&x| x == 2.0));
    for hidden in [None, Some(7)] {
        let case = Case { residual: true, ..Case::plain(shape, hidden, 5) };
        for side in [Side::Left, Side::Right] {
            assert_eq!(case.try_op(Isa::best(), side).unwrap_err(), expected);
        }
    }
}

#[test]
fn groups_and_periods() {
    let weight = [1.0; 12];
    let linear = |groups| AxisLinear::new(view(&weight, 6, 2)).groups(groups);
    for groups in [0, 4, 5, 7] {
        assert_eq!(linear(groups).unwrap_err(), MixError::Groups { groups, rows: 6 });
    }
    for (side, inner) in [(Side::Left, 4), (Side::Right, 1)] {
        let op = linear(3).unwrap().pack(Isa::best(), side).unwrap();
        assert_eq!((op.groups(), op.axis(), op.out()), (3, 2, 2));
        let error = MixError::Period { what: "groups", period: 3, outer: 4 };
        refused(&op, (8 * inner, 8 * inner), axes(4, 2, inner), &error);

        let norm = Norm::affine_outer(&[1.0; 5], &[0.0; 5]);
        let op = linear(3).unwrap().norm(norm).unwrap().pack(Isa::best(), side).unwrap();
        let error = MixError::Period { what: "gamma", period: 5, outer: 6 };
        refused(&op, (12 * inner, 12 * inner), axes(6, 2, inner), &error);
        let norm = Norm::affine_outer(&[], &[]);
        let op = linear(3).unwrap().norm(norm).unwrap().pack(Isa::best(), side).unwrap();
        let error = MixError::Period { what: "gamma", period: 0, outer: 6 };
        refused(&op, (12 * inner, 12 * inner), axes(6, 2, inner), &error);
    }
    let norm = Norm::affine_outer(&[1.0; 5], &[0.0; 4]);
    let error = MixError::Parameter { what: "beta", expected: 5, found: 4 };
    assert_eq!(linear(1).unwrap().norm(norm).unwrap_err(), error);
}

#[test]
fn scales_and_gates() {
    let error = |what, expected, found| MixError::Parameter { what, expected, found };
    let weight = [1.0; 12];
    let linear = AxisLinear::new(view(&weight, 6, 2)).groups(3).unwrap();
    assert_eq!(linear.clone().scale(&[1.0; 2]).unwrap_err(), error("scale", 6, 2));
    let mlp = AxisMlp::new(view(&weight, 6, 2), view(&weight, 2, 6)).unwrap();
    assert_eq!(mlp.scale(&[1.0; 6]).unwrap_err(), error("scale", 2, 6));

    let (ctx, mut scratch) = (sequential(Isa::best()), Scratch::new());
    for (side, inner) in [(Side::Left, 4), (Side::Right, 1)] {
        let (shape, mut y) = (axes(3, 2, inner), vec![3.0; 6 * inner]);
        let op = linear.clone().pack(Isa::best(), side).unwrap();
        for found in [2, 4, 6] {
            let gate = vec![1.0; found];
            let result = op.gated(&gate).apply(&mut y, shape, &ctx, &mut scratch);
            assert_eq!(result, Err(error("gate", 3, found)));
            let result =
                op.gated(&gate).apply_to(&vec![1.0; 6 * inner], &mut y, shape, &ctx, &mut scratch);
            assert_eq!(result, Err(error("gate", 3, found)));
        }
        let op = linear.clone().scale(&[1.0; 6]).unwrap().pack(Isa::best(), side).unwrap();
        let result = op.gated(&[1.0; 3]).apply(&mut y, shape, &ctx, &mut scratch);
        assert_eq!(result, Err(MixError::GateAndScale));
        assert!(y.iter().all(|&y| y == 3.0) && scratch.is_empty());
    }
}

#[test]
fn another_instruction_set() {
    let isas = env::isas_under_test();
    for (packed, wanted) in isas.iter().flat_map(|&a| isas.iter().map(move |&b| (a, b))) {
        if packed == wanted {
            continue;
        }
        let error = MixError::Isa { packed: packed.name(), wanted: wanted.name() };
        for shape in [axes(2, 3, 4), axes(2, 3, 1)] {
            let op = Case::plain(shape, Some(5), 3).op(packed);
            let len = shape.elements().unwrap();
            refused_by(&op, wanted, (len, len), shape, &error);
        }
        let embed = PatchEmbed::pack(packed, view(&[1.0; 12], 3, 4), &[0.0; 3], 1, (2, 2)).unwrap();
        let (ctx, mut scratch, mut y) = (sequential(wanted), Scratch::new(), [3.0; 3]);
        let result = embed.apply(&[1.0; 4], &mut y, 1, (2, 2), &ctx, &mut scratch);
        assert_eq!(result, Err(error.clone()));
        assert_eq!(embed.scratch_len(1, (2, 2), &ctx), Err(error));
        assert_eq!(y, [3.0; 3]);
    }
}

#[test]
fn parameters() {
    let parameter = |what, expected, found| MixError::Parameter { what, expected, found };
    let weight = [0.0; 20];
    let (four_five, five_four) = (view(&weight, 4, 5), view(&weight, 5, 4));
    let linear = || AxisLinear::new(four_five);
    let mlp = || AxisMlp::new(four_five, five_four).unwrap();
    assert_eq!(linear().bias(&[0.0; 5]).unwrap_err(), parameter("bias", 4, 5));
    assert_eq!(mlp().bias(&[0.0; 5], &[0.0; 5]).unwrap_err(), parameter("hidden bias", 4, 5));
    assert_eq!(mlp().bias(&[0.0; 4], &[0.0; 4]).unwrap_err(), parameter("bias", 5, 4));
    let hidden = MixError::Hidden { first: 4, second: 5 };
    assert_eq!(AxisMlp::new(four_five, four_five).unwrap_err(), hidden);

    // Along the mixed axis a norm is compared with the weights, along the inner one with the tensor.
    let of = |gamma, beta| (vec![1.0; gamma], vec![1.0; beta]);
    for (gamma, beta, error) in [
        (4, 5, parameter("gamma", 5, 4)),
        (5, 4, parameter("beta", 5, 4)),
        (6, 6, parameter("gamma", 5, 6)),
    ] {
        let (gamma, beta) = of(gamma, beta);
        for norm in [Norm::layer_axis(&gamma, &beta, 1e-6), Norm::affine_axis(&gamma, &beta)] {
            assert_eq!(linear().norm(norm.clone()).unwrap_err(), error);
            assert_eq!(mlp().norm(norm.clone()).unwrap_err(), error);
            norm_refused(&norm, axes(1, 5, 7), &error);
        }
    }
    let (gamma, beta) = of(7, 6);
    let uneven = Norm::layer_inner(&gamma, &beta, 1e-6);
    assert_eq!(linear().norm(uneven).unwrap_err(), parameter("beta", 7, 6));
    for norm in [Norm::layer_inner(&gamma, &gamma, 1e-6), Norm::affine_inner(&gamma, &gamma)] {
        let error = parameter("gamma", 6, 7);
        norm_refused(&norm, axes(1, 5, 6), &error);
        let op = mlp().norm(norm.clone()).unwrap().pack(Isa::best(), Side::Left).unwrap();
        refused(&op, (30, 30), axes(1, 5, 6), &error);
        let right = linear().norm(norm).unwrap().pack(Isa::best(), Side::Right);
        assert_eq!(right.unwrap_err(), MixError::InnerNorm);
    }
}

fn norm_refused(norm: &Norm, axes: Axes, expected: &MixError) {
    let mut x = vec![2.0; axes.elements().unwrap()];
    let (ctx, mut scratch) = (sequential(Isa::best()), Scratch::new());
    assert_eq!(norm.apply(&mut x, axes, &ctx, &mut scratch).as_ref(), Err(expected));
    assert_eq!(norm.scratch_len(axes, &ctx).as_ref(), Err(expected));
    assert!(x.iter().all(|&x| x == 2.0));
}

#[test]
fn norms_and_means() {
    let (shape, isa) = (axes(2, 3, 4), Isa::best());
    let norm = Case { norm: NormKind::LayerAxis, ..Case::plain(shape, None, 3) }.norm().unwrap();
    let (ctx, mut scratch) = (sequential(isa), Scratch::new());
    let error = MixError::Tensor { what: "input", axes: shape, found: 23 };
    let mut x = [2.0; 23];
    assert_eq!(norm.apply(&mut x, shape, &ctx, &mut scratch), Err(error.clone()));
    assert_eq!(x, [2.0; 23]);
    let large = axes(MAX, 3, 4);
    let overflow = Err(MixError::Overflow { axes: large });
    assert_eq!(norm.apply(&mut x, large, &ctx, &mut scratch), overflow);
    assert_eq!(norm.scratch_len(large, &ctx).map(|_| ()), overflow);

    let mut y = [3.0; 8];
    assert_eq!(mean_axis(&x, &mut y, shape, isa), Err(error));
    let error = MixError::Tensor { what: "output", axes: axes(2, 1, 4), found: 7 };
    assert_eq!(mean_axis(&[2.0; 24], &mut y[..7], shape, isa), Err(error));
    assert_eq!(mean_axis(&[], &mut y, large, isa), overflow);
    // No input, too many means.
    let means = axes(MAX, 0, 4);
    let overflow = Err(MixError::Overflow { axes: means.with_axis(1) });
    assert_eq!(mean_axis(&[], &mut y, means, isa), overflow);
    assert_eq!(y, [3.0; 8]);
}

#[test]
fn kernels() {
    let empty = MatRef::row_major(&[], 0, MAX).unwrap();
    let error = AxisLinear::new(empty).pack(Isa::best(), Side::Left).unwrap_err();
    assert!(matches!(error, MixError::Gemm(GemmError::Overflow { rows: 0, cols: MAX })), "{error}");
    assert_eq!(error.source().unwrap().to_string(), error.to_string());
    assert!(MixError::InnerNorm.source().is_none());
}

/// The texts hold the numbers.
#[test]
fn texts() {
    let shape = axes(2, 3, 4);
    for (error, text) in [
        (MixError::Overflow { axes: shape }, "a tensor of [2, 3, 4] exceeds the address space"),
        (
            MixError::Tensor { what: "input", axes: shape, found: 5 },
            "the input has 5 elements, not [2, 3, 4]",
        ),
        (
            MixError::Axis { expected: 3, found: 4 },
            "the mixed axis has length 4, the weights want 3",
        ),
        (
            MixError::Parameter { what: "gamma", expected: 3, found: 4 },
            "gamma has 4 elements, expected 3",
        ),
        (
            MixError::Rows { what: "prefix", columns: 3, found: 4 },
            "prefix has 4 elements, which are not whole rows of 3",
        ),
        (
            MixError::Hidden { first: 3, second: 4 },
            "the first matrix has 3 rows, the second one 4 columns: they must be equal",
        ),
        (
            MixError::InPlace { axis: 3, out: 4 },
            "an axis of length 3 becomes one of 4: no residual and no work in place",
        ),
        (
            MixError::Side { packed: Side::Left, inner: 1 },
            "the weights were packed on the left, which a tensor with inner length 1 does not allow: \
             right for 1, left for more",
        ),
        (
            MixError::Isa { packed: "avx2", wanted: "avx512" },
            "the operator was packed for avx2, the context uses avx512: pack it with the same \
             instruction set",
        ),
        (
            MixError::Patches { image: (4, 7), patch: (2, 3) },
            "an image of 4 x 7 cannot be cut into patches of 2 x 3",
        ),
        (
            MixError::Kernel { columns: 10, kernel: (3, 2) },
            "a convolution's weight with rows of 10 elements is not made of kernels of 3 x 2",
        ),
        (
            MixError::Groups { groups: 3, rows: 4 },
            "a weight of 4 rows cannot be divided among 3 groups",
        ),
        (
            MixError::Step { what: "stride", found: (0, 2) },
            "a stride of 0 x 2: both must be at least 1",
        ),
        (
            MixError::Reach { padded: (4, 7), reach: (5, 3) },
            "an image of 4 x 7 with its padding is smaller than the 5 x 3 that the kernel covers",
        ),
        (MixError::Heads { heads: 3, channels: 4 }, "4 channels cannot be divided among 3 heads"),
        (
            MixError::Channels { expected: 3, found: 4 },
            "the tensor has 4 channels, the attention 3",
        ),
    ] {
        assert_eq!(error.to_string(), text);
    }
}
