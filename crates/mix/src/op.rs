//! Operators along an axis, ready to run.

use core::fmt;
use core::ops::Range;

use mixfold_gemm::{
    Accum, Activation, Context, GemmError, MatMut, MatRef, PackedLhs, PackedRhs, Scratch,
    ScratchLen,
};
use mixfold_simd::Isa;

use crate::describe::Surroundings;
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
    scale: Option<Vec<f32>>,
    residual: bool,
}

/// What an operator is applied to.
pub(crate) struct Call<'a> {
    /// The input; none where it stands in the output.
    pub x: Option<&'a [f32]>,
    pub y: &'a mut [f32],
    /// One number for each outer index.
    pub gate: Option<&'a [f32]>,
    pub axes: Axes,
}

/// An operator with a gate for one call: what comes out at outer index o is multiplied by `gate[o]`,
/// before a residual connection adds the input.
#[derive(Clone, Copy, Debug)]
pub struct Gated<'a> {
    op: &'a AxisOp,
    gate: &'a [f32],
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
        self.run(Call { x: None, y: x, gate: None, axes }, ctx, scratch)
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
        self.run(Call { x: Some(x), y, gate: None, axes }, ctx, scratch)
    }

    /// The same operator with a gate, one number for each outer index, for one call.
    pub fn gated<'a>(&'a self, gate: &'a [f32]) -> Gated<'a> {
        Gated { op: self, gate }
    }

    fn check(&self, axes: Axes, ctx: &Context) -> Result<(), MixError> {
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
        self.norm.as_ref().map_or(Ok(()), |norm| norm.check(axes.axis, Some(axes)))
    }

    fn run(
        &self,
        call: Call<'_>,
        ctx: &Context,
        scratch: &mut Scratch<f32>,
    ) -> Result<(), MixError> {
        let Call { x, ref y, gate, axes } = call;
        axes.check("input", x.unwrap_or(y).len())?;
        self.check(axes, ctx)?;
        match x {
            None if self.axis != self.out => {
                return Err(MixError::InPlace { axis: self.axis, out: self.out });
            }
            _ => axes.with_axis(self.out).check("output", y.len())?,
        }
        if let Some(gate) = gate {
            if gate.len() != axes.outer {
                let (expected, found) = (axes.outer, gate.len());
                return Err(MixError::Parameter { what: "gate", expected, found });
            }
            if self.scale.is_some() {
                return Err(MixError::GateAndScale);
            }
        }
        if y.is_empty() {
            return Ok(());
        }
        match &self.weights {
            Weights::Left(layers) => left::run(self, layers, call, ctx, scratch),
            Weights::Right(layers) => right::run(self, layers, call, ctx, scratch),
        }
    }

    /// Memory for [`apply`](Self::apply) and [`apply_to`](Self::apply_to), so that they allocate
    /// nothing.
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

    /// The scale of outputs of a group, if there is any.
    pub(crate) fn scale(&self, group: usize, outputs: Range<usize>) -> Option<&[f32]> {
        self.scale.as_ref().map(|scale| &scale[group * self.out..][outputs])
    }

    /// How outputs of `cols` from `col` on of a block are written: in place, or with the block of the
    /// input elsewhere.
    pub(crate) fn accum<'a>(
        &self,
        input: Option<MatRef<'a, f32>>,
        (col, cols): (usize, usize),
    ) -> Result<Accum<'a, f32>, GemmError> {
        Ok(match (self.residual, input) {
            (false, _) => Accum::Replace,
            (true, None) => Accum::Add,
            (true, Some(input)) => Accum::Onto(input.block(0, col, input.rows(), cols)?),
        })
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
        self.op.run(Call { x: None, y: x, gate: Some(self.gate), axes }, ctx, scratch)
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
        self.op.run(Call { x: Some(x), y, gate: Some(self.gate), axes }, ctx, scratch)
    }
}

/// The block of the input that belongs to a block of the output, which is the same in place.
pub(crate) fn input<'a>(
    elsewhere: Option<MatRef<'a, f32>>,
    block: &'a MatMut<'_, f32>,
) -> MatRef<'a, f32> {
    elsewhere.unwrap_or_else(|| block.as_ref())
}
