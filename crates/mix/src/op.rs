//! Operators along an axis, ready to run.

use core::fmt;
use core::ops::Range;

use mixfold_gemm::{
    Accum, Activation, Context, MatMut, MatRef, PackedLhs, PackedRhs, Scratch, ScratchLen,
};
use mixfold_simd::Isa;

use crate::describe::{LayerScale, Surroundings};
use crate::layers::Layers;
use crate::{Axes, MixError, Norm, left, right};

/// On which side of the product the weights stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `Y = W·X`, for a tensor with `inner > 1`.
    Left,
    /// `Y = X·Wᵀ`, for a tensor with `inner == 1`.
    Right,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Left => "left",
            Side::Right => "right",
        })
    }
}

#[derive(Debug)]
pub(crate) enum Weights {
    Left(Layers<PackedLhs<f32>>),
    Right(Layers<PackedRhs<f32>>),
}

/// An operator along an axis with its weights packed: what [`AxisLinear`](crate::AxisLinear) and [`AxisMlp`](crate::AxisMlp) become.
///
/// It is immutable and can be shared by threads. The input of an operator with a norm or activation
/// may hold NaN and infinities; they stay in the places that depend on them.
#[derive(Debug)]
pub struct AxisOp {
    isa: Isa,
    groups: usize,
    axis: usize,
    out: usize,
    weights: Weights,
    bias: Vec<f32>,
    pub(crate) norm: Option<Norm>,
    pub(crate) activation: Activation,
    scale: Option<LayerScale>,
    residual: bool,
}

/// What an operator is applied to: matrices of `[outer · axis, inner]` for weights on the left, of
/// `[outer, axis]` for weights on the right, with adjacent columns.
pub(crate) struct Call<'a> {
    /// The input; none where it stands in the output.
    pub x: Option<MatRef<'a, f32>>,
    pub y: MatMut<'a, f32>,
    pub accum: Accum<'a, f32>,
    /// One number for each outer index.
    pub gate: Option<&'a [f32]>,
    pub axes: Axes,
}

/// An operator with a gate for one call: what comes out at outer index o is multiplied by `gate[o]`,
/// before a residual connection adds the input.
#[derive(Clone, Copy, Debug)]
pub struct Gated<'a> {
    pub(crate) op: &'a AxisOp,
    pub(crate) gate: &'a [f32],
}

impl AxisOp {
    pub(crate) fn new(
        isa: Isa,
        (groups, axis, out): (usize, usize, usize),
        weights: Weights,
        bias: Vec<f32>,
        around: Surroundings,
    ) -> Self {
        let Surroundings { norm, activation, scale, residual } = around;
        AxisOp { isa, groups, axis, out, weights, bias, norm, activation, scale, residual }
    }

    /// Number of groups: outer index o uses the matrix of group o mod groups.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Length of the mixed axis before.
    pub fn axis(&self) -> usize {
        self.axis
    }

    /// Length of the mixed axis after.
    pub fn out(&self) -> usize {
        self.out
    }

    /// The side that the weights were packed for.
    pub fn side(&self) -> Side {
        match self.weights {
            Weights::Left(_) => Side::Left,
            Weights::Right(_) => Side::Right,
        }
    }

    /// Bytes of the packed weights.
    pub fn bytes(&self) -> usize {
        match &self.weights {
            Weights::Left(layers) => layers.bytes(),
            Weights::Right(layers) => layers.bytes(),
        }
    }

    /// Applies the operator in place: `x` of `axes` becomes the output.
    ///
    /// # Errors
    /// If shapes, side or instruction set do not agree, or the axis would change its length.
    pub fn apply(
        &self,
        x: &mut [f32],
        axes: Axes,
        ctx: &Context,
        scratch: &mut Scratch<f32>,
    ) -> Result<(), MixError> {
        self.run_tensors((None, x), Accum::Replace, None, axes, ctx, scratch)
    }

    /// Applies the operator from `x`, of `axes`, to `y`, of `axes` with the new length of the axis.
    ///
    /// # Errors
    /// If shapes, side or instruction set do not agree.
    pub fn apply_to(
        &self,
        x: &[f32],
        y: &mut [f32],
        axes: Axes,
        ctx: &Context,
        scratch: &mut Scratch<f32>,
    ) -> Result<(), MixError> {
        self.run_tensors((Some(x), y), Accum::Replace, None, axes, ctx, scratch)
    }

    /// As [`apply_to`](Self::apply_to), but adds the result to `y`: a residual connection from elsewhere.
    ///
    /// # Errors
    /// As [`apply_to`](Self::apply_to), and if the operator has a residual connection of its own.
    pub fn apply_add(
        &self,
        x: &[f32],
        y: &mut [f32],
        axes: Axes,
        ctx: &Context,
        scratch: &mut Scratch<f32>,
    ) -> Result<(), MixError> {
        self.run_tensors((Some(x), y), Accum::Add, None, axes, ctx, scratch)
    }

    /// The same operator with a gate, one number for each outer index, for one call.
    pub fn gated<'a>(&'a self, gate: &'a [f32]) -> Gated<'a> {
        Gated { op: self, gate }
    }

    pub(crate) fn check(&self, axes: Axes, ctx: &Context) -> Result<(), MixError> {
        if self.isa != ctx.isa() {
            return Err(MixError::Isa { packed: self.isa.name(), wanted: ctx.isa().name() });
        }
        if self.axis != axes.axis {
            return Err(MixError::Axis { expected: self.axis, found: axes.axis });
        }
        if (self.side() == Side::Right) != (axes.inner == 1) {
            return Err(MixError::Side { packed: self.side(), inner: axes.inner });
        }
        if !axes.outer.is_multiple_of(self.groups) {
            let (period, outer) = (self.groups, axes.outer);
            return Err(MixError::Period { what: "groups", period, outer });
        }
        if let Some(scale) = self.scale_inner().filter(|scale| scale.len() != axes.inner) {
            let (expected, found) = (axes.inner, scale.len());
            return Err(MixError::Parameter { what: "scale", expected, found });
        }
        self.norm.as_ref().map_or(Ok(()), |norm| norm.check(axes.axis, Some(axes)))
    }

    /// Rows and columns of the matrix that a tensor is, or a part of it.
    pub(crate) fn shape(&self, axes: Axes) -> (usize, usize) {
        let Axes { outer, axis, inner } = axes;
        match self.side() {
            Side::Left => (outer * axis, inner),
            Side::Right => (outer, axis),
        }
    }

    /// Applies the operator to whole tensors, in place or not.
    fn run_tensors(
        &self,
        (x, y): (Option<&[f32]>, &mut [f32]),
        accum: Accum<'_, f32>,
        gate: Option<&[f32]>,
        axes: Axes,
        ctx: &Context,
        scratch: &mut Scratch<f32>,
    ) -> Result<(), MixError> {
        let after = axes.with_axis(self.out);
        axes.check("input", x.unwrap_or(y).len())?;
        self.check(axes, ctx)?;
        match x {
            None if self.axis != self.out => {
                return Err(MixError::InPlace { axis: self.axis, out: self.out });
            }
            _ => after.check("output", y.len())?,
        }
        let ((x_rows, x_cols), (y_rows, y_cols)) = (self.shape(axes), self.shape(after));
        let x = x.map(|x| MatRef::row_major(x, x_rows, x_cols)).transpose()?;
        let y = MatMut::row_major(y, y_rows, y_cols)?;
        self.run(Call { x, y, accum, gate, axes }, ctx, scratch)
    }

    /// Applies the operator to matrices whose shapes have been compared.
    pub(crate) fn run(
        &self,
        mut call: Call<'_>,
        ctx: &Context,
        scratch: &mut Scratch<f32>,
    ) -> Result<(), MixError> {
        if let Some(gate) = call.gate {
            let (expected, found) = (call.axes.outer, gate.len());
            if expected != found {
                return Err(MixError::Parameter { what: "gate", expected, found });
            }
            if self.scale.is_some() {
                return Err(MixError::GateAndScale);
            }
        }
        if self.residual {
            call.accum = match (call.accum, call.x) {
                (Accum::Replace, None) => Accum::Add,
                (Accum::Replace, Some(x)) => Accum::Onto(x),
                _ => return Err(MixError::ResidualAndAccum),
            };
        }
        if call.y.rows() == 0 || call.y.cols() == 0 {
            return Ok(());
        }
        match &self.weights {
            Weights::Left(layers) => left::run(self, layers, call, ctx, scratch),
            Weights::Right(layers) => right::run(self, layers, call, ctx, scratch),
        }
    }

    /// Memory for [`apply`](Self::apply), [`apply_to`](Self::apply_to),
    /// [`apply_add`](Self::apply_add) and [`apply_views`](Self::apply_views), so that they allocate nothing.
    ///
    /// # Errors
    /// If shapes, side or instruction set do not agree, or the shape or the memory does not fit the
    /// address space.
    pub fn scratch_len(&self, axes: Axes, ctx: &Context) -> Result<ScratchLen, MixError> {
        axes.elements()?;
        axes.with_axis(self.out).elements()?;
        self.check(axes, ctx)?;
        match &self.weights {
            Weights::Left(layers) => left::cut(self, layers, axes, ctx).map(|cut| cut.scratch),
            Weights::Right(layers) => right::scratch_len(self, layers, axes, ctx),
        }
    }

    /// The bias of outputs of a group.
    pub(crate) fn bias(&self, group: usize, outputs: Range<usize>) -> &[f32] {
        &self.bias[group * self.out..][outputs]
    }

    /// The scale of outputs of a group along the mixed axis, if there is one.
    pub(crate) fn scale(&self, group: usize, outputs: Range<usize>) -> Option<&[f32]> {
        match &self.scale {
            Some(LayerScale::Axis(scale)) => Some(&scale[group * self.out..][outputs]),
            _ => None,
        }
    }

    /// The scale along the inner axis, if there is one.
    pub(crate) fn scale_inner(&self) -> Option<&[f32]> {
        match &self.scale {
            Some(LayerScale::Inner(scale)) => Some(scale),
            _ => None,
        }
    }
}

impl Gated<'_> {
    /// As [`AxisOp::apply`].
    ///
    /// # Errors
    /// As [`AxisOp::apply`], and if the gate does not have one element for each outer index, or the
    /// operator has a scale.
    pub fn apply(
        &self,
        x: &mut [f32],
        axes: Axes,
        ctx: &Context,
        scratch: &mut Scratch<f32>,
    ) -> Result<(), MixError> {
        self.op.run_tensors((None, x), Accum::Replace, Some(self.gate), axes, ctx, scratch)
    }

    /// As [`AxisOp::apply_to`].
    ///
    /// # Errors
    /// As [`apply`](Self::apply), in place or not.
    pub fn apply_to(
        &self,
        x: &[f32],
        y: &mut [f32],
        axes: Axes,
        ctx: &Context,
        scratch: &mut Scratch<f32>,
    ) -> Result<(), MixError> {
        self.op.run_tensors((Some(x), y), Accum::Replace, Some(self.gate), axes, ctx, scratch)
    }
}

/// The block of the input that belongs to a block of the output, which is the same in place.
pub(crate) fn input<'a>(
    elsewhere: Option<MatRef<'a, f32>>,
    block: &'a MatMut<'_, f32>,
) -> MatRef<'a, f32> {
    elsewhere.unwrap_or_else(|| block.as_ref())
}
