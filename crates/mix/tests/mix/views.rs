//! Operators on parts of tensors: as on copies of them, whatever stands between the rows.

use mixfold_gemm::{Accum, Context, MatMut, MatRef, Scratch};
use mixfold_mix::{Axes, AxisOp, Side};
use mixfold_simd::env;
use proptest::prelude::*;
use proptest::sample::select;

use crate::bits::contexts;
use crate::bound::Real;
use crate::case::{
    Case, NormKind, assert_allowed, assert_same, cases, dirty, grouped, numbers, sequential, view,
};

/// How the result meets what was there before.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Old {
    Replaced,
    Added,
    Multiplied,
    /// Another matrix is added.
    Elsewhere,
}

/// Elements in front of each row and behind it.
type Gap = (usize, usize);

/// An operator on parts of tensors.
#[derive(Clone, Debug)]
struct Views {
    case: Case,
    old: Old,
    /// Of the input, the output and what is added.
    gaps: [Gap; 3],
}

/// What stands between the rows of an output.
const CANARY: f32 = 12345.0;

fn views(case: impl Strategy<Value = Case>) -> impl Strategy<Value = Views> {
    let gap = || prop_oneof![1 => Just((0, 0)), 3 => (0_usize..5, 0_usize..40)];
    let old = select(vec![Old::Replaced, Old::Added, Old::Multiplied, Old::Elsewhere]);
    (case, old, [gap(), gap(), gap()]).prop_map(|(case, old, gaps)| {
        let follow = case.groups > 1 && case.side() == Side::Right;
        let gaps = if follow { [(0, 0); 3] } else { gaps };
        let old = if case.residual { Old::Replaced } else { old };
        Views { case, old, gaps }
    })
}

/// Rows and columns of the matrix that a tensor is.
fn shape(case: &Case, axes: Axes) -> (usize, usize) {
    match case.side() {
        Side::Left => (axes.outer * axes.axis, axes.inner),
        Side::Right => (axes.outer, axes.axis),
    }
}

/// A matrix in memory, with gaps.
struct Spread {
    data: Vec<f32>,
    shape: (usize, usize),
    gap: Gap,
}

impl Spread {
    fn new(x: &[f32], shape: (usize, usize), gap: Gap, filler: f32) -> Self {
        let (rows, cols) = shape;
        let mut data = Vec::new();
        for i in 0..rows {
            data.extend(std::iter::repeat_n(filler, gap.0));
            data.extend(&x[i * cols..][..cols]);
            data.extend(std::iter::repeat_n(filler, gap.1));
        }
        Spread { data, shape, gap }
    }

    fn width(&self) -> usize {
        self.gap.0 + self.shape.1 + self.gap.1
    }

    fn view(&self) -> MatRef<'_, f32> {
        let whole = view(&self.data, self.shape.0, self.width());
        whole.block(0, self.gap.0, self.shape.0, self.shape.1).unwrap()
    }

    fn view_mut(&mut self) -> MatMut<'_, f32> {
        let width = self.width();
        let whole = MatMut::row_major(&mut self.data, self.shape.0, width).unwrap();
        whole.split_cols(self.gap.0).1.split_cols(self.shape.1).0
    }

    /// The elements, and what stands between them.
    fn parts(&self) -> (Vec<f32>, Vec<f32>) {
        let inside =
            |i: &usize| (self.gap.0..self.gap.0 + self.shape.1).contains(&(i % self.width()));
        let (elements, gaps): (Vec<usize>, Vec<usize>) = (0..self.data.len()).partition(inside);
        let of = |places: Vec<usize>| places.into_iter().map(|i| self.data[i]).collect();
        (of(elements), of(gaps))
    }
}

impl Views {
    fn after(&self) -> Axes {
        self.case.axes.with_axis(self.case.out)
    }

    /// The output, of which the old contents, or the numbers that are added, are `met`.
    fn run(&self, op: &AxisOp, x: &[f32], met: &[f32], ctx: &Context) -> Vec<f32> {
        let Views { case, old, gaps } = self;
        let (before, after) = (shape(case, case.axes), shape(case, self.after()));
        let x = Spread::new(x, before, gaps[0], f32::NAN);
        let nan = vec![f32::NAN; met.len()];
        let is_read = matches!(old, Old::Added | Old::Multiplied);
        let mut y = Spread::new(if is_read { met } else { &nan }, after, gaps[1], CANARY);
        let residual = Spread::new(met, after, gaps[2], f32::NAN);
        let accum = match old {
            Old::Replaced => Accum::Replace,
            Old::Added => Accum::Add,
            Old::Multiplied => Accum::Multiply,
            Old::Elsewhere => Accum::Onto(residual.view()),
        };
        let mut scratch = dirty(op.scratch_len(case.axes, ctx).unwrap());
        let (x, axes) = (x.view(), case.axes);
        match case.gate() {
            None => op.apply_views(x, y.view_mut(), accum, axes, ctx, &mut scratch),
            Some(gate) => {
                op.gated(&gate).apply_views(x, y.view_mut(), accum, axes, ctx, &mut scratch)
            }
        }
        .unwrap();
        let (elements, gaps) = y.parts();
        assert!(gaps.iter().all(|&x| x == CANARY), "written between the rows: {self:?}");
        elements
    }

    /// What becomes of a result that meets another number.
    fn meet<T>(&self, y: T, met: T, add: impl Fn(T, T) -> T, mul: impl Fn(T, T) -> T) -> T {
        match self.old {
            Old::Replaced => y,
            Old::Added | Old::Elsewhere => add(y, met),
            Old::Multiplied => mul(y, met),
        }
    }

    /// Within the bounds, and with the bits that copies give, on any number of threads.
    fn check(&self) {
        let case = &self.case;
        let (x, met) = (case.input(), numbers(11, self.after().elements().unwrap()));
        let expected = case.expected(&x).into_iter().zip(&met);
        let expected: Vec<_> = expected
            .map(|(y, &met)| self.meet(y, Real::exact(met), Real::add, Real::mul))
            .collect();
        for isa in env::isas_under_test() {
            let (op, ctx) = (case.op(isa), sequential(isa));
            let y = self.run(&op, &x, &met, &ctx);
            assert_allowed(&expected, &y, &(isa, self));
            let copied = case.run(&op, &x, &ctx).into_iter().zip(&met);
            let copied: Vec<_> =
                copied.map(|(y, &met)| self.meet(y, met, |a, b| a + b, |a, b| a * b)).collect();
            assert_same(&copied, &y, &("copies", isa, self));
            for (threads, ctx) in contexts(isa) {
                assert_same(&y, &self.run(&op, &x, &met, ctx), &(threads, isa, self));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn on_the_left(views in views(cases(Side::Left))) {
        views.check();
    }

    #[test]
    fn on_the_right(views in views(cases(Side::Right))) {
        views.check();
    }

    #[test]
    fn grouped_and_scaled(
        views in prop_oneof![views(grouped(Side::Left)), views(grouped(Side::Right))],
    ) {
        views.check();
    }

    /// A number that is not finite among those that the result meets reaches its own place, if any.
    #[test]
    fn not_finite(
        views in prop_oneof![views(cases(Side::Left)), views(cases(Side::Right))],
        place in any::<usize>(),
        special in select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY]),
    ) {
        let (x, clean) = (views.case.input(), numbers(11, views.after().elements().unwrap()));
        prop_assume!(!clean.is_empty());
        let (place, mut met) = (place % clean.len(), clean.clone());
        met[place] = special;
        for isa in env::isas_under_test() {
            let (op, ctx) = (views.case.op(isa), sequential(isa));
            let clean = views.run(&op, &x, &clean, &ctx);
            for (i, (y, clean)) in views.run(&op, &x, &met, &ctx).iter().zip(clean).enumerate() {
                if i == place && views.old != Old::Replaced {
                    prop_assert!(!y.is_finite(), "{isa}: {i} of {views:?}");
                } else {
                    prop_assert_eq!(y.to_bits(), clean.to_bits(), "{}: {} of {:?}", isa, i, views);
                }
            }
        }
    }
}

/// Weights that pass the cache in chunks, and sums of several blocks of k.
#[test]
fn large() {
    for axes in [Axes { outer: 2, axis: 98, inner: 40 }, Axes { outer: 50, axis: 98, inner: 1 }] {
        for (hidden, gated) in [(Some(1792), false), (Some(900), true), (None, false)] {
            for old in [Old::Replaced, Old::Added, Old::Multiplied, Old::Elsewhere] {
                let case =
                    Case { gated, norm: NormKind::LayerAxis, ..Case::plain(axes, hidden, 98) };
                Views { case, old, gaps: [(3, 5), (1, 0), (0, 7)] }.check();
            }
        }
        let axes = Axes { axis: 1100, ..axes };
        let case = Case::plain(axes, None, 40);
        Views { case, old: Old::Multiplied, gaps: [(3, 5), (1, 0), (0, 0)] }.check();
    }
}

/// gMLP's spatial gating unit: the second half of the channels, normalised and mixed along the
/// tokens, gates the first half in place.
#[test]
fn a_half_gates_the_other_one() {
    let (axes, norm) = (Axes { outer: 3, axis: 19, inner: 45 }, NormKind::LayerInner);
    let case = Case { norm, ..Case::plain(axes, None, 19) };
    let (rows, u, v) = (3 * 19, numbers(12, 3 * 19 * 45), case.input());
    let halves = |i: usize| [&u[i * 45..][..45], &v[i * 45..][..45]].concat();
    let hidden: Vec<_> = (0..rows).flat_map(halves).collect();
    let expected = case.expected(&v).into_iter().zip(&u);
    let expected: Vec<_> = expected.map(|(gate, &u)| gate.mul(Real::exact(u))).collect();
    for isa in env::isas_under_test() {
        let op = case.op(isa);
        for (threads, ctx) in contexts(isa) {
            let mut hidden = hidden.clone();
            let whole = MatMut::row_major(&mut hidden, rows, 90).unwrap();
            let (first, second) = whole.split_cols(45);
            let mut scratch = Scratch::new();
            op.apply_views(second.as_ref(), first, Accum::Multiply, axes, ctx, &mut scratch)
                .unwrap();
            let of = |half: usize| {
                let row = |row: &[f32]| row[half * 45..][..45].to_vec();
                hidden.chunks(90).flat_map(row).collect::<Vec<_>>()
            };
            assert_allowed(&expected, &of(0), &(threads, isa));
            assert_same(&v, &of(1), &(threads, isa));
        }
    }
}

/// Whole tensors that are added to are views without gaps.
#[test]
fn added_to_a_whole_tensor() {
    for axes in [Axes { outer: 3, axis: 19, inner: 45 }, Axes { outer: 57, axis: 19, inner: 1 }] {
        for hidden in [None, Some(70)] {
            let case = Case { norm: NormKind::LayerAxis, ..Case::plain(axes, hidden, 23) };
            let views = Views { case, old: Old::Added, gaps: [(0, 0); 3] };
            let (case, x) = (&views.case, views.case.input());
            let met = numbers(11, views.after().elements().unwrap());
            for isa in env::isas_under_test() {
                let (op, ctx) = (case.op(isa), sequential(isa));
                let (mut y, mut scratch) =
                    (met.clone(), dirty(op.scratch_len(axes, &ctx).unwrap()));
                op.apply_add(&x, &mut y, axes, &ctx, &mut scratch).unwrap();
                assert_same(&views.run(&op, &x, &met, &ctx), &y, &(isa, case));
            }
        }
    }
}

/// The token that is read out, alone, has the bits that it has among all tokens.
#[test]
fn one_token_of_each_image() {
    let axes = Axes { outer: 3, axis: 50, inner: 45 };
    for (hidden, gated) in [(None, false), (Some(70), false), (Some(70), true)] {
        let norm = NormKind::LayerAxis;
        let all = Case { norm, gated, ..Case::plain(axes, hidden, 50) };
        let first = Case { out: 1, ..all.clone() };
        let x = all.input();
        for isa in env::isas_under_test() {
            let ctx = sequential(isa);
            let all = Case { residual: true, ..all.clone() };
            let expected = all.run_in_place(&all.op(isa), &x, &ctx);
            let expected: Vec<_> =
                (0..3).flat_map(|o| expected[o * 50 * 45..][..45].to_vec()).collect();
            let mut y = vec![f32::NAN; 3 * 45];
            let (op, mut scratch) = (first.op(isa), Scratch::new());
            let (input, output) = (view(&x, 150, 45), MatMut::row_major(&mut y, 3, 45).unwrap());
            let residual = Accum::Onto(MatRef::new(&x, 3, 45, 50 * 45, 1).unwrap());
            op.apply_views(input, output, residual, axes, &ctx, &mut scratch).unwrap();
            assert_same(&expected, &y, &(isa, &first));
        }
    }
}
