//! Every error of operators on parts of tensors, of gated perceptrons and of scales along the inner
//! axis, with its numbers, and nothing written.

use mixfold_gemm::{Accum, GemmError, MatMut, MatRef, Scratch};
use mixfold_mix::{Axes, AxisLinear, AxisMlp, AxisOp, MixError, Side};
use mixfold_simd::{Isa, env};

use crate::case::{Case, Scaling, sequential, view};
use crate::errors::{MAX, axes};

/// Rows, columns and strides of a matrix.
type Shape = (usize, usize, usize, usize);

/// `apply_views` fails with `expected`, with a gate too, and writes nothing.
fn refused(
    op: &AxisOp,
    (x, y): (Shape, Shape),
    onto: Option<Shape>,
    accum: Accum<'_, f32>,
    axes: Axes,
    expected: &MixError,
) {
    let (data, mut out) = (vec![2.0; 400], vec![3.0; 400]);
    let (ctx, mut scratch) = (sequential(Isa::best()), Scratch::new());
    let of = |(rows, cols, row_stride, col_stride)| {
        MatRef::new(&data, rows, cols, row_stride, col_stride).unwrap()
    };
    let accum = onto.map_or(accum, |residual| Accum::Onto(of(residual)));
    for gate in [None, Some(vec![1.0; axes.outer.min(10)])] {
        let y = MatMut::new(&mut out, y.0, y.1, y.2, y.3).unwrap();
        let result = match gate {
            None => op.apply_views(of(x), y, accum, axes, &ctx, &mut scratch),
            Some(gate) => op.gated(&gate).apply_views(of(x), y, accum, axes, &ctx, &mut scratch),
        };
        assert_eq!(result.as_ref(), Err(expected));
    }
    assert!(out.iter().all(|&y| y == 3.0) && scratch.is_empty(), "{expected}");
}

#[test]
fn shapes_and_columns() {
    let shape = |what, expected, found| GemmError::Shape { what, expected, found }.into();
    // On the left as [outer · axis, inner], on the right as [outer, axis].
    for (axes, (x, y)) in [
        (axes(2, 3, 4), ((6, 4, 9, 1), (10, 4, 7, 1))),
        (axes(6, 3, 1), ((6, 3, 9, 1), (6, 5, 7, 1))),
    ] {
        let op = Case::plain(axes, None, 5).op(Isa::best());
        let size = |(rows, cols, ..): Shape| (rows, cols);
        let wrong = |(rows, cols, row_stride, col_stride): Shape| {
            [(rows - 1, cols, row_stride, col_stride), (rows, cols + 1, row_stride, col_stride)]
        };
        for other in wrong(x) {
            let error = shape("input", size(x), size(other));
            refused(&op, (other, y), None, Accum::Add, axes, &error);
        }
        for other in wrong(y) {
            let error = shape("output", size(y), size(other));
            refused(&op, (x, other), None, Accum::Multiply, axes, &error);
            let error = shape("residual", size(y), size(other));
            refused(&op, (x, y), Some(other), Accum::Replace, axes, &error);
        }
        let error = MixError::Columns { what: "input", col_stride: 2 };
        refused(&op, ((x.0, x.1, x.2, 2), y), None, Accum::Replace, axes, &error);
        let error = MixError::Columns { what: "output", col_stride: 10 };
        refused(&op, (x, (y.0, y.1, 1, 10)), None, Accum::Replace, axes, &error);
    }
}

#[test]
fn sides_axes_and_sizes() {
    let empty = (0, 0, 0, 1);
    let op = Case::plain(axes(2, 3, 4), None, 5).op(Isa::best());
    let refused = |axes: Axes, expected: &MixError| {
        refused(&op, (empty, empty), None, Accum::Replace, axes, expected);
    };
    refused(axes(2, 2, 4), &MixError::Axis { expected: 3, found: 2 });
    refused(axes(2, 3, 1), &MixError::Side { packed: Side::Left, inner: 1 });
    for large in [axes(MAX, 3, 2), axes(2, 3, MAX)] {
        refused(large, &MixError::Overflow { axes: large });
    }
    let many = axes(MAX / 6, 3, 0);
    let (expected, found) = ((MAX / 6 * 3, 0), (0, 0));
    refused(many, &GemmError::Shape { what: "input", expected, found }.into());
    // The output alone is too large.
    let large = axes(MAX / 3, 3, 0);
    refused(large, &MixError::Overflow { axes: large.with_axis(5) });
}

#[test]
fn residual_connections() {
    for (axes, shape) in [(axes(2, 3, 4), (6, 4, 4, 1)), (axes(6, 3, 1), (6, 3, 3, 1))] {
        for hidden in [None, Some(7)] {
            let case = Case { residual: true, ..Case::plain(axes, hidden, 3) };
            let op = case.op(Isa::best());
            let error = MixError::ResidualAndAccum;
            for accum in [Accum::Add, Accum::Multiply] {
                refused(&op, (shape, shape), None, accum, axes, &error);
            }
            refused(&op, (shape, shape), Some(shape), Accum::Replace, axes, &error);
            let (x, mut y) = (case.input(), vec![7.0; case.input().len()]);
            let (ctx, mut scratch) = (sequential(Isa::best()), Scratch::new());
            assert_eq!(op.apply_add(&x, &mut y, axes, &ctx, &mut scratch), Err(error));
            assert!(y.iter().all(|&y| y == 7.0), "written");
        }
    }
}

/// The rows of several groups have to follow each other on the right, not so on the left.
#[test]
fn groups() {
    let right = axes(6, 3, 1);
    let case = Case { groups: 2, ..Case::plain(right, None, 5) };
    let op = case.op(Isa::best());
    let (x, y) = ((6, 3, 3, 1), (6, 5, 5, 1));
    let error = |what, cols, row_stride| MixError::RowStride { what, cols, row_stride };
    refused(&op, ((6, 3, 4, 1), y), None, Accum::Add, right, &error("input", 3, 4));
    refused(&op, (x, (6, 5, 8, 1)), None, Accum::Add, right, &error("output", 5, 8));
    let residual = Some((6, 5, 7, 1));
    refused(&op, (x, y), residual, Accum::Add, right, &error("residual", 5, 7));

    let left = Case { groups: 2, ..Case::plain(axes(6, 3, 4), None, 5) };
    let (x, mut y) = (vec![1.0; 18 * 9], vec![0.0; 30 * 7]);
    let x = MatRef::new(&x, 18, 4, 9, 1).unwrap();
    let y = MatMut::new(&mut y, 30, 4, 7, 1).unwrap();
    let (ctx, mut scratch) = (sequential(Isa::best()), Scratch::new());
    let op = left.op(Isa::best());
    op.apply_views(x, y, Accum::Replace, left.axes, &ctx, &mut scratch).unwrap();
}

#[test]
fn another_instruction_set() {
    let isas = env::isas_under_test();
    for (packed, wanted) in isas.iter().flat_map(|&a| isas.iter().map(move |&b| (a, b))) {
        if packed == wanted {
            continue;
        }
        let axes = axes(2, 3, 4);
        let op = Case::plain(axes, None, 3).op(packed);
        let (x, mut y, mut scratch) = ([2.0; 24], [3.0; 24], Scratch::new());
        let out = MatMut::row_major(&mut y, 6, 4).unwrap();
        let (x, ctx) = (view(&x, 6, 4), sequential(wanted));
        let result = op.apply_views(x, out, Accum::Add, axes, &ctx, &mut scratch);
        let error = MixError::Isa { packed: packed.name(), wanted: wanted.name() };
        assert_eq!((result, y), (Err(error), [3.0; 24]));
    }
}

#[test]
fn gated_perceptrons() {
    let weight = [1.0; 48];
    let glu = |first, second| AxisMlp::glu(view(&weight[..first * 2], first, 2), second);
    for (first, second) in [(6, 4), (7, 3), (3, 3), (0, 1), (2, 0)] {
        let result = glu(first, view(&weight[..5 * second], 5, second));
        assert_eq!(result.unwrap_err(), MixError::GatedHidden { first, second });
    }
    let huge = MatRef::row_major(&[], 0, MAX).unwrap();
    let error = MixError::GatedHidden { first: 6, second: MAX };
    assert_eq!(glu(6, huge).unwrap_err(), error);

    let glu = glu(6, view(&weight[..6], 2, 3)).unwrap();
    let parameter = |what, expected, found| MixError::Parameter { what, expected, found };
    let error = parameter("hidden bias", 6, 3);
    assert_eq!(glu.clone().bias(&[0.0; 3], &[0.0; 2]).unwrap_err(), error);
    assert_eq!(glu.scale(&[1.0; 3]).unwrap_err(), parameter("scale", 2, 3));
}

#[test]
fn scales_along_the_inner_axis() {
    let weight = [1.0; 12];
    let linear = AxisLinear::new(view(&weight, 6, 2)).groups(3).unwrap();
    let mlp = AxisMlp::new(view(&weight, 6, 2), view(&weight, 2, 6)).unwrap();
    let (along, inner) = ([1.0; 6], [1.0; 5]);

    let two = linear.clone().scale(&along).unwrap().scale_inner(&inner);
    assert_eq!(two.unwrap_err(), MixError::TwoScales);
    let two = linear.clone().scale_inner(&inner).unwrap().scale(&along);
    assert_eq!(two.unwrap_err(), MixError::TwoScales);
    let two = mlp.clone().scale(&along[..2]).unwrap().scale_inner(&inner);
    assert_eq!(two.unwrap_err(), MixError::TwoScales);
    let two = mlp.clone().scale_inner(&inner).unwrap().scale(&along[..2]);
    assert_eq!(two.unwrap_err(), MixError::TwoScales);
    let op = mlp.scale_inner(&[1.0]).unwrap().pack(Isa::best(), Side::Right);
    assert_eq!(op.unwrap_err(), MixError::InnerScale);
    let op = linear.scale_inner(&[1.0]).unwrap().pack(Isa::best(), Side::Right);
    assert_eq!(op.unwrap_err(), MixError::InnerScale);

    let shape = axes(2, 3, 4);
    let case = Case { scaling: Scaling::Inner, ..Case::plain(shape, None, 3) };
    let op = case.op(Isa::best());
    let (ctx, mut scratch, mut x) = (sequential(Isa::best()), Scratch::new(), [2.0; 30]);
    let error = MixError::Parameter { what: "scale", expected: 5, found: 4 };
    let wide = axes(2, 3, 5);
    assert_eq!(op.apply(&mut x, wide, &ctx, &mut scratch), Err(error.clone()));
    assert_eq!(op.scratch_len(wide, &ctx), Err(error.clone()));
    refused(&op, ((6, 5, 5, 1), (6, 5, 5, 1)), None, Accum::Add, wide, &error);
    let gated = op.gated(&[1.0; 2]).apply(&mut x[..24], shape, &ctx, &mut scratch);
    assert_eq!((gated, x), (Err(MixError::GateAndScale), [2.0; 30]));
}

/// The texts hold the numbers.
#[test]
fn texts() {
    for (error, text) in [
        (
            MixError::GatedHidden { first: 7, second: 3 },
            "the first matrix of a gated perceptron has 7 rows, the second one 3 columns: the rows \
             must be twice as many",
        ),
        (
            MixError::Columns { what: "input", col_stride: 2 },
            "the columns of the input are 2 elements apart: they must be adjacent",
        ),
        (
            MixError::RowStride { what: "output", cols: 5, row_stride: 8 },
            "the rows of 5 elements of the output are 8 elements apart: with groups on the right, \
             rows must follow each other",
        ),
    ] {
        assert_eq!(error.to_string(), text);
    }
}
