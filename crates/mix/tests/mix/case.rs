//! An operator with its shape and its numbers, to be run and to be expected.

use mixfold_gemm::{Activation, Context, MatRef, Scratch, ScratchLen};
use mixfold_mix::{Axes, AxisLinear, AxisMlp, AxisOp, MixError, Norm, Side};
use mixfold_reference::axis;
use mixfold_reference::norm::Along;
use mixfold_simd::Isa;
use proptest::prelude::*;
use proptest::sample::select;

use crate::bound::{Real, activate, add, exact, matrix, normalised, scaled};

pub(crate) const EPS: f32 = 1e-5;

/// Numbers in [−1, 1) that depend on `seed` and their place only.
pub(crate) fn numbers(seed: u64, n: usize) -> Vec<f32> {
    let number = |i: u64| {
        let mixed = (seed << 32 ^ (i + 1)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n as u64).map(number).collect()
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum NormKind {
    None,
    LayerInner,
    LayerAxis,
    AffineInner,
    AffineAxis,
}

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) axes: Axes,
    /// None for a linear map.
    pub(crate) hidden: Option<usize>,
    pub(crate) out: usize,
    pub(crate) bias: bool,
    pub(crate) norm: NormKind,
    pub(crate) activation: Activation,
    pub(crate) residual: bool,
}

pub(crate) const ACTIVATIONS: [Activation; 6] = [
    Activation::Identity,
    Activation::Relu,
    Activation::GeluErf,
    Activation::GeluTanh,
    Activation::Sigmoid,
    Activation::Silu,
];

/// Lengths of the mixed axis: none, one, and around tiles of 4, 6 and 14 rows and steps of 32.
const LENGTHS: [usize; 18] = [0, 1, 2, 3, 5, 6, 7, 8, 13, 14, 15, 17, 28, 31, 32, 33, 49, 65];

/// Operators of one side. `outer` and `inner` are around panels of 8, 16 and 32 columns on the left,
/// and around tiles and tasks of 196 rows on the right.
pub(crate) fn cases(side: Side) -> impl Strategy<Value = Case> {
    use NormKind::*;
    let (outer, inner, norms) = match side {
        Side::Left => {
            let outer = (0_usize..4).boxed();
            (
                outer,
                prop_oneof![9 => 2_usize..=70, 1 => Just(0)].boxed(),
                vec![None, LayerInner, LayerAxis, AffineInner, AffineAxis],
            )
        }
        Side::Right => {
            let outer = prop_oneof![8 => 0_usize..50, 2 => 190_usize..200, 1 => 390_usize..395];
            (outer.boxed(), Just(1).boxed(), vec![None, LayerAxis, AffineAxis])
        }
    };
    let hidden = prop_oneof![
        2 => Just(Option::None),
        2 => (1_usize..70).prop_map(Some),
        2 => select(vec![0, 1, 255, 256, 257, 600]).prop_map(Some),
    ];
    let shape = (outer, select(&LENGTHS[..]), inner, hidden);
    let same_out = prop_oneof![Just(Option::None), select(&LENGTHS[..]).prop_map(Some)];
    (shape, same_out, any::<(bool, bool)>(), select(norms), select(&ACTIVATIONS[..])).prop_map(
        |((outer, axis, inner, hidden), out, (bias, residual), norm, activation)| {
            let out = out.unwrap_or(axis);
            let residual = residual && axis == out;
            let axes = Axes { outer, axis, inner };
            Case { axes, hidden, out, bias, norm, activation, residual }
        },
    )
}

impl Case {
    /// A linear map or perceptron with a bias and nothing else.
    pub(crate) fn plain(axes: Axes, hidden: Option<usize>, out: usize) -> Self {
        let activation = if hidden.is_some() { Activation::GeluErf } else { Activation::Identity };
        Case { axes, hidden, out, bias: true, norm: NormKind::None, activation, residual: false }
    }

    pub(crate) fn side(&self) -> Side {
        if self.axes.inner == 1 { Side::Right } else { Side::Left }
    }

    pub(crate) fn input(&self) -> Vec<f32> {
        numbers(1, self.axes.elements().unwrap()).iter().map(|x| 0.25 + 2.0 * x).collect()
    }

    /// A matrix whose products with numbers near 1 are near 1.
    fn weight(seed: u64, out: usize, axis: usize) -> Vec<f32> {
        let scale = 2.0 / (axis.max(1) as f32).sqrt();
        numbers(seed, out * axis).iter().map(|x| x * scale).collect()
    }

    fn bias_of(&self, seed: u64, len: usize) -> Vec<f32> {
        if self.bias { numbers(seed, len) } else { vec![0.0; len] }
    }

    fn gamma_beta(&self) -> (Vec<f32>, Vec<f32>) {
        let len = match self.norm {
            NormKind::LayerInner | NormKind::AffineInner => self.axes.inner,
            _ => self.axes.axis,
        };
        (numbers(2, len).iter().map(|x| 1.0 + 0.5 * x).collect(), numbers(3, len))
    }

    pub(crate) fn norm(&self) -> Option<Norm> {
        let (gamma, beta) = self.gamma_beta();
        Some(match self.norm {
            NormKind::None => return None,
            NormKind::LayerInner => Norm::layer_inner(&gamma, &beta, EPS),
            NormKind::LayerAxis => Norm::layer_axis(&gamma, &beta, EPS),
            NormKind::AffineInner => Norm::affine_inner(&gamma, &beta),
            NormKind::AffineAxis => Norm::affine_axis(&gamma, &beta),
        })
    }

    pub(crate) fn op(&self, isa: Isa) -> AxisOp {
        self.try_op(isa, self.side()).unwrap()
    }

    pub(crate) fn try_op(&self, isa: Isa, side: Side) -> Result<AxisOp, MixError> {
        let (axis, out) = (self.axes.axis, self.out);
        let bias = numbers(7, out);
        if let Some(hidden) = self.hidden {
            let (first, second) = (Case::weight(4, hidden, axis), Case::weight(5, out, hidden));
            let first = MatRef::row_major(&first, hidden, axis)?;
            let mut mlp = AxisMlp::new(first, MatRef::row_major(&second, out, hidden)?)?;
            if self.bias {
                mlp = mlp.bias(&numbers(6, hidden), &bias)?;
            }
            if let Some(norm) = self.norm() {
                mlp = mlp.norm(norm)?;
            }
            let mlp = mlp.activation(self.activation);
            (if self.residual { mlp.residual() } else { mlp }).pack(isa, side)
        } else {
            let weight = Case::weight(5, out, axis);
            let mut linear = AxisLinear::new(MatRef::row_major(&weight, out, axis)?);
            if self.bias {
                linear = linear.bias(&bias)?;
            }
            if let Some(norm) = self.norm() {
                linear = linear.norm(norm)?;
            }
            let linear = linear.activation(self.activation);
            (if self.residual { linear.residual() } else { linear }).pack(isa, side)
        }
    }

    /// The output by `apply_to`, on scratch memory full of NaN.
    pub(crate) fn run(&self, op: &AxisOp, x: &[f32], ctx: &Context) -> Vec<f32> {
        let mut scratch = dirty(op.scratch_len(self.axes, ctx).unwrap());
        let mut y = vec![f32::NAN; self.axes.with_axis(self.out).elements().unwrap()];
        op.apply_to(x, &mut y, self.axes, ctx, &mut scratch).unwrap();
        y
    }

    /// The output by `apply`.
    pub(crate) fn run_in_place(&self, op: &AxisOp, x: &[f32], ctx: &Context) -> Vec<f32> {
        let mut scratch = dirty(op.scratch_len(self.axes, ctx).unwrap());
        let mut y = x.to_vec();
        op.apply(&mut y, self.axes, ctx, &mut scratch).unwrap();
        y
    }

    pub(crate) fn expected(&self, x: &[f32]) -> Vec<Real> {
        let axes = reference(self.axes);
        let normed = self.expected_norm(x);
        let bias = self.bias_of(7, self.out);
        let y = if let Some(hidden) = self.hidden {
            let first = Case::weight(4, hidden, axes.axis);
            let units = matrix(&normed, axes, &first, &self.bias_of(6, hidden));
            let axes = axis::Axes { axis: hidden, ..axes };
            let units = activate(&units, self.activation);
            matrix(&units, axes, &Case::weight(5, self.out, hidden), &bias)
        } else {
            let weight = Case::weight(5, self.out, axes.axis);
            activate(&matrix(&normed, axes, &weight, &bias), self.activation)
        };
        if self.residual { add(&y, &exact(x)) } else { y }
    }

    pub(crate) fn expected_norm(&self, x: &[f32]) -> Vec<Real> {
        let (axes, (gamma, beta)) = (reference(self.axes), self.gamma_beta());
        match self.norm {
            NormKind::None => exact(x),
            NormKind::LayerInner => normalised(x, axes, Along::Inner, (&gamma, &beta), EPS),
            NormKind::LayerAxis => normalised(x, axes, Along::Axis, (&gamma, &beta), EPS),
            NormKind::AffineInner => scaled(x, axes, Along::Inner, &gamma, &beta),
            NormKind::AffineAxis => scaled(x, axes, Along::Axis, &gamma, &beta),
        }
    }
}

pub(crate) fn reference(Axes { outer, axis, inner }: Axes) -> axis::Axes {
    axis::Axes { outer, axis, inner }
}

/// Scratch memory full of NaN.
pub(crate) fn dirty(len: ScratchLen) -> Scratch<f32> {
    let mut scratch = Scratch::with_len(len).unwrap();
    let (shared, workers) = scratch.take(len).unwrap();
    shared.fill(f32::NAN);
    for worker in workers {
        worker.fill(f32::NAN);
    }
    scratch
}

/// A matrix whose rows follow each other.
pub(crate) fn view(x: &[f32], rows: usize, cols: usize) -> MatRef<'_, f32> {
    MatRef::row_major(x, rows, cols).unwrap()
}

pub(crate) fn sequential(isa: Isa) -> Context {
    Context::with_isa(isa).sequential()
}

/// That all numbers are within their bounds.
pub(crate) fn assert_allowed(expected: &[Real], found: &[f32], what: &dyn std::fmt::Debug) {
    assert_eq!(expected.len(), found.len(), "{what:?}");
    for (i, (expected, &found)) in expected.iter().zip(found).enumerate() {
        assert!(expected.allows(found), "{what:?}: element {i}: {found:e} instead of {expected:?}");
    }
}

/// That all bits are the same, except those of NaN.
pub(crate) fn assert_same(expected: &[f32], found: &[f32], what: &dyn std::fmt::Debug) {
    assert_eq!(expected.len(), found.len(), "{what:?}");
    for (i, (a, b)) in expected.iter().zip(found).enumerate() {
        let same = a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
        assert!(same, "{what:?}: element {i}: {b:e} instead of {a:e}");
    }
}
