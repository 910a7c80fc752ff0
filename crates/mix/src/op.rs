//! Operators along an axis: their description, and their packed form.

use core::fmt;

use mixfold_gemm::{
    Accum, Activation, Context, MatMut, MatRef, PackedLhs, PackedRhs, Scratch, ScratchLen,
};
use mixfold_simd::Isa;

use crate::norm::Along;
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

/// What surrounds the matrices of an operator.
#[derive(Clone, Debug, Default)]
struct Surroundings {
    norm: Option<Norm>,
    activation: Activation,
    residual: bool,
}

/// A linear map along an axis: `y = activation(W·norm(x) + b)`, plus `x` with a residual connection.
///
/// A description with borrowed weights; [`pack`](Self::pack) makes it ready to run.
#[derive(Clone, Debug)]
pub struct AxisLinear<'a> {
    weight: MatRef<'a, f32>,
    bias: Vec<f32>,
    around: Surroundings,
}

impl<'a> AxisLinear<'a> {
    /// With `weight` of `[out, axis]`, as checkpoints store it (a weight of `[axis, out]` is passed
    /// transposed).
    pub fn new(weight: MatRef<'a, f32>) -> Self {
        let bias = vec![0.0; weight.rows()];
        AxisLinear { weight, bias, around: Surroundings::default() }
    }

    /// With a bias, one number for each output of the axis.
    ///
    /// # Errors
    /// If it does not have as many elements as the weight has rows.
    pub fn bias(self, bias: &[f32]) -> Result<Self, MixError> {
        Ok(AxisLinear { bias: checked("bias", bias, self.weight.rows())?, ..self })
    }

    /// With a norm in front.
    ///
    /// # Errors
    /// If γ or β go along the mixed axis and do not have its length.
    pub fn norm(mut self, norm: Norm) -> Result<Self, MixError> {
        norm.check(self.weight.cols(), None)?;
        self.around.norm = Some(norm);
        Ok(self)
    }

    /// With an activation behind the bias.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.around.activation = activation;
        self
    }

    /// With the input added to the output.
    pub fn residual(mut self) -> Self {
        self.around.residual = true;
        self
    }

    /// Packs the weights for one instruction set and side.
    ///
    /// # Errors
    /// If a residual connection joins lengths that differ, or a norm goes along an inner axis that
    /// the side does not have.
    pub fn pack(self, isa: Isa, side: Side) -> Result<AxisOp, MixError> {
        let (out, axis) = (self.weight.rows(), self.weight.cols());
        let weights = match side {
            Side::Left => Weights::Left(left::Layers::Linear(PackedLhs::pack(isa, self.weight)?)),
            Side::Right => Weights::Right(right::Layers::Linear(PackedRhs::pack(
                isa,
                self.weight.transpose(),
            )?)),
        };
        AxisOp::new(isa, (axis, out), weights, Vec::new(), self.bias, self.around)
    }
}

/// A two-layer perceptron along an axis: `y = W₂·activation(W₁·norm(x) + b₁) + b₂`, plus `x` with a
/// residual connection.
///
/// A description with borrowed weights; [`pack`](Self::pack) makes it ready to run.
#[derive(Clone, Debug)]
pub struct AxisMlp<'a> {
    first: MatRef<'a, f32>,
    second: MatRef<'a, f32>,
    hidden_bias: Vec<f32>,
    bias: Vec<f32>,
    around: Surroundings,
}

impl<'a> AxisMlp<'a> {
    /// With `first` of `[hidden, axis]` and `second` of `[out, hidden]`, as checkpoints store them
    /// (the other way round they are passed transposed).
    ///
    /// # Errors
    /// If the two do not agree in `hidden`.
    pub fn new(first: MatRef<'a, f32>, second: MatRef<'a, f32>) -> Result<Self, MixError> {
        if first.rows() != second.cols() {
            return Err(MixError::Hidden { first: first.rows(), second: second.cols() });
        }
        let (hidden_bias, bias) = (vec![0.0; first.rows()], vec![0.0; second.rows()]);
        Ok(AxisMlp { first, second, hidden_bias, bias, around: Surroundings::default() })
    }

    /// With biases, one number for each hidden unit and one for each output of the axis.
    ///
    /// # Errors
    /// If they do not have as many elements.
    pub fn bias(self, hidden: &[f32], out: &[f32]) -> Result<Self, MixError> {
        let hidden_bias = checked("hidden bias", hidden, self.first.rows())?;
        Ok(AxisMlp { hidden_bias, bias: checked("bias", out, self.second.rows())?, ..self })
    }

    /// With a norm in front.
    ///
    /// # Errors
    /// If γ or β go along the mixed axis and do not have its length.
    pub fn norm(mut self, norm: Norm) -> Result<Self, MixError> {
        norm.check(self.first.cols(), None)?;
        self.around.norm = Some(norm);
        Ok(self)
    }

    /// With an activation between the layers.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.around.activation = activation;
        self
    }

    /// With the exact GELU between the layers.
    pub fn gelu(self) -> Self {
        self.activation(Activation::GeluErf)
    }

    /// With the input added to the output.
    pub fn residual(mut self) -> Self {
        self.around.residual = true;
        self
    }

    /// Packs the weights for one instruction set and side.
    ///
    /// # Errors
    /// If a residual connection joins lengths that differ, or a norm goes along an inner axis that
    /// the side does not have.
    pub fn pack(self, isa: Isa, side: Side) -> Result<AxisOp, MixError> {
        let (axis, out) = (self.first.cols(), self.second.rows());
        let weights = match side {
            Side::Left => Weights::Left(left::Layers::mlp(isa, self.first, self.second)?),
            Side::Right => Weights::Right(right::Layers::mlp(isa, self.first, self.second)?),
        };
        AxisOp::new(isa, (axis, out), weights, self.hidden_bias, self.bias, self.around)
    }
}

fn checked(what: &'static str, values: &[f32], expected: usize) -> Result<Vec<f32>, MixError> {
    if values.len() == expected {
        Ok(values.to_vec())
    } else {
        Err(MixError::Parameter { what, expected, found: values.len() })
    }
}

#[derive(Debug)]
enum Weights {
    Left(left::Layers),
    Right(right::Layers),
}

/// An operator along an axis with its weights packed: what [`AxisLinear`] and [`AxisMlp`] become.
///
/// It is immutable and can be shared by threads. The input of an operator with a norm or activation
/// may hold NaN and infinities; they stay in the places that depend on them.
#[derive(Debug)]
pub struct AxisOp {
    isa: Isa,
    axis: usize,
    out: usize,
    weights: Weights,
    pub(crate) hidden_bias: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    pub(crate) norm: Option<Norm>,
    pub(crate) activation: Activation,
    residual: bool,
}

impl AxisOp {
    fn new(
        isa: Isa,
        (axis, out): (usize, usize),
        weights: Weights,
        hidden_bias: Vec<f32>,
        bias: Vec<f32>,
        around: Surroundings,
    ) -> Result<Self, MixError> {
        let Surroundings { norm, activation, residual } = around;
        if residual && axis != out {
            return Err(MixError::InPlace { axis, out });
        }
        let inner_norm = norm.as_ref().is_some_and(|norm| norm.along() == Along::Inner);
        if inner_norm && matches!(weights, Weights::Right(_)) {
            return Err(MixError::InnerNorm);
        }
        Ok(AxisOp { isa, axis, out, weights, hidden_bias, bias, norm, activation, residual })
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
        self.check(axes, x.len(), ctx)?;
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
        self.check(axes, x.len(), ctx)?;
        axes.with_axis(self.out).check("output", y.len())?;
        self.run(Some(x), y, axes, ctx, scratch)
    }

    fn check(&self, axes: Axes, len: usize, ctx: &Context) -> Result<(), MixError> {
        axes.check("input", len)?;
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
    /// If the shape does not fit the address space.
    pub fn scratch_len(&self, axes: Axes, ctx: &Context) -> Result<ScratchLen, MixError> {
        match &self.weights {
            Weights::Left(layers) => Ok(left::Cut::new(self, layers, axes, ctx)?.scratch),
            Weights::Right(layers) => Ok(right::Cut::new(self, layers, axes, ctx)?.scratch),
        }
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
