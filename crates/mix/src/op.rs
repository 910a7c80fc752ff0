//! Operators along an axis, ready to run.

use core::fmt;

use mixfold_gemm::{
    Accum, Activation, Context, MatMut, MatRef, PackedLhs, PackedRhs, Scratch, ScratchLen,
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
    axis: usize,
    out: usize,
    weights: Weights,
    pub(crate) bias: Vec<f32>,
    pub(crate) norm: Option<Norm>,
    pub(crate) activation: Activation,
    residual: bool,
}

impl AxisOp {
    pub(crate) fn new(
        isa: Isa,
        (axis, out): (usize, usize),
        weights: Weights,
        bias: Vec<f32>,
        around: Surroundings,
    ) -> Self {
        let Surroundings { norm, activation, residual } = around;
        AxisOp { isa, axis, out, weights, bias, norm, activation, residual }
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
        axes.check("input", x.len())?;
        self.check(axes, ctx)?;
        if self.axis != self.out {
            return Err(MixError::InPlace { axis: self.axis, out: self.out });
        }
        self.run(None, x, axes, ctx, scratch)
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
        axes.check("input", x.len())?;
        self.check(axes, ctx)?;
        axes.with_axis(self.out).check("output", y.len())?;
        self.run(Some(x), y, axes, ctx, scratch)
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
        self.norm.as_ref().map_or(Ok(()), |norm| norm.check(axes.axis, Some(axes.inner)))
    }

    fn run(
        &self,
        x: Option<&[f32]>,
        y: &mut [f32],
        axes: Axes,
        ctx: &Context,
        scratch: &mut Scratch<f32>,
    ) -> Result<(), MixError> {
        if y.is_empty() {
            return Ok(());
        }
        match &self.weights {
            Weights::Left(layers) => left::run(self, layers, x, y, axes, ctx, scratch),
            Weights::Right(layers) => right::run(self, layers, x, y, axes, ctx, scratch),
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
        let cut = match &self.weights {
            Weights::Left(layers) => left::cut(self, layers, axes, ctx),
            Weights::Right(layers) => right::cut(self, layers, axes, ctx),
        };
        cut.map(|cut| cut.scratch)
    }

    /// The output for work in place, or the output and the same part of the input.
    pub(crate) fn accum<'a>(&self, input: Option<MatRef<'a, f32>>) -> Accum<'a, f32> {
        match (self.residual, input) {
            (false, _) => Accum::Replace,
            (true, None) => Accum::Add,
            (true, Some(input)) => Accum::Onto(input),
        }
    }
}

/// The block of the input that belongs to a block of the output, which is the same in place.
pub(crate) fn input<'a>(
    elsewhere: Option<MatRef<'a, f32>>,
    block: &'a MatMut<'_, f32>,
) -> MatRef<'a, f32> {
    elsewhere.unwrap_or_else(|| block.as_ref())
}
