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
    AffineOuter,
}

/// What multiplies the output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scaling {
    None,
    /// One number for each output of the axis.
    Outputs,
    /// One number for each place of the inner axis.
    Inner,
    /// One number for each outer index, given when called; those of `Case::axes` start with this one.
    Gate(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) axes: Axes,
    /// Outer index o has γ and β of o mod `channels`, and the matrix of o mod `groups`.
    pub(crate) channels: usize,
    pub(crate) groups: usize,
    /// None for a linear map.
    pub(crate) hidden: Option<usize>,
    /// Whether the perceptron is a gated one.
    pub(crate) gated: bool,
    pub(crate) out: usize,
    pub(crate) bias: bool,
    pub(crate) norm: NormKind,
    pub(crate) activation: Activation,
    pub(crate) scaling: Scaling,
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
    (shape, same_out, any::<[bool; 3]>(), select(norms), select(&ACTIVATIONS[..])).prop_map(
        |((outer, axis, inner, hidden), out, [bias, residual, gated], norm, activation)| {
            let out = out.unwrap_or(axis);
            let (residual, gated) = (residual && axis == out, gated && hidden.is_some());
            let axes = Axes { outer, axis, inner };
            let plain = Case::plain(axes, hidden, out);
            Case { bias, norm, activation, residual, gated, ..plain }
        },
    )
}

/// Operators with groups, a norm for each outer index, a scale or a gate.
pub(crate) fn grouped(side: Side) -> impl Strategy<Value = Case> {
    let mut scalings = vec![Scaling::None, Scaling::Outputs, Scaling::Gate(0)];
    if side == Side::Left {
        scalings.push(Scaling::Inner);
    }
    let scaling = select(scalings);
    let batch = match side {
        Side::Left => (0_usize..3).boxed(),
        Side::Right => prop_oneof![4 => 0_usize..9, 1 => 40_usize..60].boxed(),
    };
    (cases(side), 1_usize..5, 1_usize..4, batch, scaling, any::<bool>()).prop_map(
        |(case, groups, times, batch, scaling, affine)| {
            let channels = groups * times;
            let axes = Axes { outer: batch * channels, ..case.axes };
            let groups = if case.hidden.is_some() { 1 } else { groups };
            let norm = if affine { NormKind::AffineOuter } else { case.norm };
            Case { axes, channels, groups, norm, scaling, ..case }
        },
    )
}

impl Case {
    /// A linear map or perceptron with a bias and nothing else.
    pub(crate) fn plain(axes: Axes, hidden: Option<usize>, out: usize) -> Self {
        let activation = if hidden.is_some() { Activation::GeluErf } else { Activation::Identity };
        Case {
            axes,
            channels: 1,
            groups: 1,
            hidden,
            gated: false,
            out,
            bias: true,
            norm: NormKind::None,
            activation,
            scaling: Scaling::None,
            residual: false,
        }
    }

    fn scale(&self) -> Vec<f32> {
        match self.scaling {
            Scaling::Inner => numbers(8, self.axes.inner),
            _ => numbers(8, self.groups * self.out),
        }
    }

    pub(crate) fn gate(&self) -> Option<Vec<f32>> {
        match self.scaling {
            Scaling::Gate(first) => Some(numbers(9, first + self.axes.outer).split_off(first)),
            _ => None,
        }
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
            NormKind::AffineOuter => self.channels,
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
            NormKind::AffineOuter => Norm::affine_outer(&gamma, &beta),
        })
    }

    /// Rows of the first matrix of a perceptron.
    fn first_rows(&self, hidden: usize) -> usize {
        if self.gated { 2 * hidden } else { hidden }
    }

    pub(crate) fn op(&self, isa: Isa) -> AxisOp {
        self.try_op(isa, self.side()).unwrap()
    }

    pub(crate) fn try_op(&self, isa: Isa, side: Side) -> Result<AxisOp, MixError> {
        let (axis, out) = (self.axes.axis, self.out);
        let bias = numbers(7, self.groups * out);
        if let Some(hidden) = self.hidden {
            let rows = self.first_rows(hidden);
            let (first, second) = (Case::weight(4, rows, axis), Case::weight(5, out, hidden));
            let (first, second) = (view(&first, rows, axis), view(&second, out, hidden));
            let new = if self.gated { AxisMlp::glu } else { AxisMlp::new };
            let mut mlp = new(first, second)?;
            if self.bias {
                mlp = mlp.bias(&numbers(6, rows), &bias)?;
            }
            if let Some(norm) = self.norm() {
                mlp = mlp.norm(norm)?;
            }
            if self.scaling == Scaling::Outputs {
                mlp = mlp.scale(&self.scale())?;
            }
            if self.scaling == Scaling::Inner {
                mlp = mlp.scale_inner(&self.scale())?;
            }
            let mlp = mlp.activation(self.activation);
            (if self.residual { mlp.residual() } else { mlp }).pack(isa, side)
        } else {
            let rows = self.groups * out;
            let weight = Case::weight(5, rows, axis);
            let linear = AxisLinear::new(MatRef::row_major(&weight, rows, axis)?);
            let mut linear = linear.groups(self.groups)?;
            if self.bias {
                linear = linear.bias(&bias)?;
            }
            if let Some(norm) = self.norm() {
                linear = linear.norm(norm)?;
            }
            if self.scaling == Scaling::Outputs {
                linear = linear.scale(&self.scale())?;
            }
            if self.scaling == Scaling::Inner {
                linear = linear.scale_inner(&self.scale())?;
            }
            let linear = linear.activation(self.activation);
            (if self.residual { linear.residual() } else { linear }).pack(isa, side)
        }
    }

    /// The output by `apply_to`, on scratch memory full of NaN.
    pub(crate) fn run(&self, op: &AxisOp, x: &[f32], ctx: &Context) -> Vec<f32> {
        let mut scratch = dirty(op.scratch_len(self.axes, ctx).unwrap());
        let mut y = vec![f32::NAN; self.axes.with_axis(self.out).elements().unwrap()];
        match self.gate() {
            None => op.apply_to(x, &mut y, self.axes, ctx, &mut scratch),
            Some(gate) => op.gated(&gate).apply_to(x, &mut y, self.axes, ctx, &mut scratch),
        }
        .unwrap();
        y
    }

    /// The output by `apply`.
    pub(crate) fn run_in_place(&self, op: &AxisOp, x: &[f32], ctx: &Context) -> Vec<f32> {
        let mut scratch = dirty(op.scratch_len(self.axes, ctx).unwrap());
        let mut y = x.to_vec();
        match self.gate() {
            None => op.apply(&mut y, self.axes, ctx, &mut scratch),
            Some(gate) => op.gated(&gate).apply(&mut y, self.axes, ctx, &mut scratch),
        }
        .unwrap();
        y
    }

    pub(crate) fn expected(&self, x: &[f32]) -> Vec<Real> {
        let normed = self.expected_norm(x);
        let slab = self.axes.axis * self.axes.inner;
        let one = axis::Axes { outer: 1, ..reference(self.axes) };
        let of_outer = |o| self.expected_product(&normed[o * slab..][..slab], one, o % self.groups);
        let mut y: Vec<_> = (0..self.axes.outer).flat_map(of_outer).collect();
        let (gate, scale) = (self.gate(), self.scale());
        for (i, y) in y.iter_mut().enumerate() {
            let (o, a) = (i / (self.out * one.inner), i / one.inner % self.out);
            *y = match (self.scaling, &gate) {
                (_, Some(gate)) => y.mul(Real::exact(gate[o])),
                (Scaling::Outputs, _) => y.mul(Real::exact(scale[o % self.groups * self.out + a])),
                (Scaling::Inner, _) => y.mul(Real::exact(scale[i % one.inner])),
                _ => *y,
            };
        }
        if self.residual { add(&y, &exact(x)) } else { y }
    }

    /// Of one outer index, up to the activation.
    fn expected_product(&self, x: &[Real], axes: axis::Axes, group: usize) -> Vec<Real> {
        let out = self.out;
        let bias = self.bias_of(7, self.groups * out);
        let Some(hidden) = self.hidden else {
            let weight = Case::weight(5, self.groups * out, axes.axis);
            let weight = &weight[group * out * axes.axis..][..out * axes.axis];
            let y = matrix(x, axes, weight, &bias[group * out..][..out]);
            return activate(&y, self.activation);
        };
        let rows = self.first_rows(hidden);
        let first = Case::weight(4, rows, axes.axis);
        let units = matrix(x, axes, &first, &self.bias_of(6, rows));
        let (values, gate) = units.split_at((rows - hidden) * axes.inner);
        let mut units = activate(gate, self.activation);
        for (unit, value) in units.iter_mut().zip(values) {
            *unit = unit.mul(*value);
        }
        matrix(&units, axis::Axes { axis: hidden, ..axes }, &Case::weight(5, out, hidden), &bias)
    }

    pub(crate) fn expected_norm(&self, x: &[f32]) -> Vec<Real> {
        let (axes, (gamma, beta)) = (reference(self.axes), self.gamma_beta());
        match self.norm {
            NormKind::None => exact(x),
            NormKind::LayerInner => normalised(x, axes, Along::Inner, (&gamma, &beta), EPS),
            NormKind::LayerAxis => normalised(x, axes, Along::Axis, (&gamma, &beta), EPS),
            NormKind::AffineInner => scaled(x, axes, Along::Inner, &gamma, &beta),
            NormKind::AffineAxis => scaled(x, axes, Along::Axis, &gamma, &beta),
            // As [batch, channels, the rest].
            NormKind::AffineOuter => {
                let (outer, inner) = (axes.outer / self.channels, axes.axis * axes.inner);
                let axes = axis::Axes { outer, axis: self.channels, inner };
                scaled(x, axes, Along::Axis, &gamma, &beta)
            }
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
