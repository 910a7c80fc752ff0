//! Operators along an axis, described with borrowed weights.

use mixfold_gemm::{Activation, MatRef};
use mixfold_simd::Isa;

use crate::layers::Layers;
use crate::norm::Along;
use crate::op::Weights;
use crate::{AxisOp, MixError, Norm, Side, left, right};

/// What surrounds the matrices of an operator.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    pub norm: Option<Norm>,
    pub activation: Activation,
    pub scale: Option<Vec<f32>>,
    pub residual: bool,
}

impl Surroundings {
    /// That an operator from `axis` to `out` can have them.
    fn check(&self, axis: usize, out: usize, side: Side) -> Result<(), MixError> {
        if self.residual && axis != out {
            return Err(MixError::InPlace { axis, out });
        }
        match &self.norm {
            Some(norm) if norm.along() == Along::Inner && side == Side::Right => {
                Err(MixError::InnerNorm)
            }
            _ => Ok(()),
        }
    }
}

/// A linear map along an axis: `y = activation(W·norm(x) + b) · scale`, plus `x` with a residual
/// connection.
///
/// With [`groups`](Self::groups), there is a matrix for each group, and outer index o belongs to
/// group o mod groups. RepMLPNet's share-sets are such groups: `[batch · channels, height · width, 1]`
/// with channel c in share-set c mod S.
///
/// A description with borrowed weights; [`pack`](Self::pack) makes it ready to run.
#[derive(Clone, Debug)]
pub struct AxisLinear<'a> {
    weight: MatRef<'a, f32>,
    groups: usize,
    bias: Vec<f32>,
    around: Surroundings,
}

impl<'a> AxisLinear<'a> {
    /// With `weight` of `[out, axis]`, as checkpoints store it (a weight of `[axis, out]` is passed
    /// transposed).
    pub fn new(weight: MatRef<'a, f32>) -> Self {
        let bias = vec![0.0; weight.rows()];
        AxisLinear { weight, groups: 1, bias, around: Surroundings::default() }
    }

    /// With a matrix for each of `groups` groups of outer indices, one below the other in the weight,
    /// which is `[groups · out, axis]`; bias and scale are `[groups · out]`.
    ///
    /// # Errors
    /// [`MixError::Groups`] if `groups` does not divide the rows of the weight.
    pub fn groups(self, groups: usize) -> Result<Self, MixError> {
        let rows = self.weight.rows();
        if groups == 0 || !rows.is_multiple_of(groups) {
            return Err(MixError::Groups { groups, rows });
        }
        Ok(AxisLinear { groups, ..self })
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

    /// With the outputs scaled behind the activation, one number for each output of the axis.
    ///
    /// # Errors
    /// If it does not have as many elements as the weight has rows.
    pub fn scale(mut self, scale: &[f32]) -> Result<Self, MixError> {
        self.around.scale = Some(checked("scale", scale, self.weight.rows())?);
        Ok(self)
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
        let AxisLinear { weight, groups, bias, around } = self;
        let (axis, out) = (weight.cols(), weight.rows() / groups);
        around.check(axis, out, side)?;
        let weights = match side {
            Side::Left => Weights::Left(Layers::linear(isa, weight, groups)?),
            Side::Right => Weights::Right(Layers::linear(isa, weight, groups)?),
        };
        Ok(AxisOp::new(isa, (groups, axis, out), weights, bias, around))
    }
}

/// A two-layer perceptron along an axis: `y = (W₂·activation(W₁·norm(x) + b₁) + b₂) · scale`, plus `x`
/// with a residual connection.
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

    /// With the outputs scaled, one number for each output of the axis: a layer scale (Touvron et
    /// al., 2021).
    ///
    /// # Errors
    /// If it does not have as many elements.
    pub fn scale(mut self, scale: &[f32]) -> Result<Self, MixError> {
        self.around.scale = Some(checked("scale", scale, self.second.rows())?);
        Ok(self)
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
        let AxisMlp { first, second, hidden_bias, bias, around } = self;
        let (axis, hidden, out) = (first.cols(), first.rows(), second.rows());
        around.check(axis, out, side)?;
        let weights = match side {
            Side::Left => {
                let units = left::chunk(axis, hidden, out);
                Weights::Left(Layers::mlp(isa, first, &hidden_bias, second, units)?)
            }
            Side::Right => {
                Weights::Right(Layers::mlp(isa, first, &hidden_bias, second, right::CHUNK)?)
            }
        };
        Ok(AxisOp::new(isa, (1, axis, out), weights, bias, around))
    }
}

fn checked(what: &'static str, values: &[f32], expected: usize) -> Result<Vec<f32>, MixError> {
    if values.len() == expected {
        Ok(values.to_vec())
    } else {
        Err(MixError::Parameter { what, expected, found: values.len() })
    }
}
