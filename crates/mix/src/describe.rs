//! Operators along an axis, described with borrowed weights.

use mixfold_gemm::{Activation, MatRef, Packer};

use crate::layers::{Layers, Rows};
use crate::norm::Along;
use crate::op::Weights;
use crate::{AxisOp, MixError, Norm, Side, left, right};

/// What surrounds the matrices of an operator.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    pub norm: Option<Norm>,
    pub activation: Activation,
    pub scale: Option<LayerScale>,
    pub residual: bool,
}

/// What the outputs are multiplied by, one number for each place of an axis.
#[derive(Clone, Debug)]
pub(crate) enum LayerScale {
    /// Of the mixed one, as it is behind the operator.
    Axis(Vec<f32>),
    Inner(Vec<f32>),
}

impl Surroundings {
    fn set_scale(&mut self, scale: LayerScale) -> Result<(), MixError> {
        match (&self.scale, &scale) {
            (Some(LayerScale::Axis(_)), LayerScale::Inner(_))
            | (Some(LayerScale::Inner(_)), LayerScale::Axis(_)) => Err(MixError::TwoScales),
            _ => {
                self.scale = Some(scale);
                Ok(())
            }
        }
    }

    /// That an operator from `axis` to `out` can have them.
    fn check(&self, axis: usize, out: usize, side: Side) -> Result<(), MixError> {
        if self.residual && axis != out {
            return Err(MixError::InPlace { axis, out });
        }
        if side == Side::Right {
            if self.norm.as_ref().is_some_and(|norm| norm.along() == Along::Inner) {
                return Err(MixError::InnerNorm);
            }
            if matches!(self.scale, Some(LayerScale::Inner(_))) {
                return Err(MixError::InnerScale);
            }
        }
        Ok(())
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
    /// If it does not have as many elements as the weight has rows, or there is a scale along the
    /// inner axis.
    pub fn scale(mut self, scale: &[f32]) -> Result<Self, MixError> {
        let scale = checked("scale", scale, self.weight.rows())?;
        self.around.set_scale(LayerScale::Axis(scale))?;
        Ok(self)
    }

    /// With the outputs scaled behind the activation, one number for each place of the inner axis, the
    /// same along the mixed one: ResMLP's layer scale of token mixing goes along the channels
    /// (Touvron et al., 2021). For weights on the left; the length is compared with the tensor's.
    ///
    /// # Errors
    /// [`MixError::TwoScales`] if there is a scale along the mixed axis.
    pub fn scale_inner(mut self, scale: &[f32]) -> Result<Self, MixError> {
        self.around.set_scale(LayerScale::Inner(scale.to_vec()))?;
        Ok(self)
    }

    /// With the input added to the output.
    pub fn residual(mut self) -> Self {
        self.around.residual = true;
        self
    }

    /// Packs the weights for one instruction set and side, on its threads if `packer` is a
    /// [`Context`](mixfold_gemm::Context).
    ///
    /// # Errors
    /// If a residual connection joins lengths that differ, or a norm or scale goes along an inner axis
    /// that the side does not have.
    pub fn pack<'p>(self, packer: impl Into<Packer<'p>>, side: Side) -> Result<AxisOp, MixError> {
        let packer = packer.into();
        let AxisLinear { weight, groups, bias, around } = self;
        let (axis, out) = (weight.cols(), weight.rows() / groups);
        around.check(axis, out, side)?;
        let weights = match side {
            Side::Left => Weights::Left(Layers::linear(packer, weight, groups)?),
            Side::Right => Weights::Right(Layers::linear(packer, weight, groups)?),
        };
        Ok(AxisOp::new(packer.isa(), (groups, axis, out), weights, bias, around))
    }
}

/// A two-layer perceptron along an axis: `y = (W₂·activation(W₁·norm(x) + b₁) + b₂) · scale`, plus `x`
/// with a residual connection.
///
/// A [gated](Self::glu) one has `y = (W₂·((U·n + c) ⊙ activation(V·n + d)) + b₂) · scale` with
/// `n = norm(x)`, and is computed with the hidden units of a chunk in the cache as well.
///
/// A description with borrowed weights; [`pack`](Self::pack) makes it ready to run.
#[derive(Clone, Debug)]
pub struct AxisMlp<'a> {
    first: MatRef<'a, f32>,
    second: MatRef<'a, f32>,
    /// Whether `first` is U above V.
    is_gated: bool,
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
        Ok(AxisMlp::with(first, second, false))
    }

    /// A gated perceptron, with `first` of `[2 · hidden, axis]` and `second` of `[out, hidden]`: the
    /// upper half U of `first` and its lower half V give `(U·n + c) ⊙ activation(V·n + d)`, where the
    /// [hidden bias](Self::bias) is c, then d.
    ///
    /// With [`Activation::Sigmoid`] this is the gated linear unit (GLU) of Dauphin et al. (2017); with
    /// SiLU, GELU, ReLU or the identity it is SwiGLU, GEGLU, ReGLU or the bilinear layer of Shazeer
    /// (2020).
    ///
    /// # Errors
    /// [`MixError::GatedHidden`] if `first` does not have two rows for each column of `second`.
    pub fn glu(first: MatRef<'a, f32>, second: MatRef<'a, f32>) -> Result<Self, MixError> {
        if second.cols().checked_mul(2) != Some(first.rows()) {
            return Err(MixError::GatedHidden { first: first.rows(), second: second.cols() });
        }
        Ok(AxisMlp::with(first, second, true))
    }

    fn with(first: MatRef<'a, f32>, second: MatRef<'a, f32>, is_gated: bool) -> Self {
        let (hidden_bias, bias) = (vec![0.0; first.rows()], vec![0.0; second.rows()]);
        AxisMlp { first, second, is_gated, hidden_bias, bias, around: Surroundings::default() }
    }

    /// With biases, one number for each row of the first matrix and one for each output of the axis.
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

    /// With an activation between the layers; of a gated perceptron, on its gate V.
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
    /// If it does not have as many elements, or there is a scale along the inner axis.
    pub fn scale(mut self, scale: &[f32]) -> Result<Self, MixError> {
        let scale = checked("scale", scale, self.second.rows())?;
        self.around.set_scale(LayerScale::Axis(scale))?;
        Ok(self)
    }

    /// With the outputs scaled, one number for each place of the inner axis, as
    /// [`AxisLinear::scale_inner`].
    ///
    /// # Errors
    /// [`MixError::TwoScales`] if there is a scale along the mixed axis.
    pub fn scale_inner(mut self, scale: &[f32]) -> Result<Self, MixError> {
        self.around.set_scale(LayerScale::Inner(scale.to_vec()))?;
        Ok(self)
    }

    /// With the input added to the output.
    pub fn residual(mut self) -> Self {
        self.around.residual = true;
        self
    }

    /// Packs the weights for one instruction set and side, on its threads if `packer` is a
    /// [`Context`](mixfold_gemm::Context).
    ///
    /// # Errors
    /// If a residual connection joins lengths that differ, or a norm or scale goes along an inner axis
    /// that the side does not have.
    pub fn pack<'p>(self, packer: impl Into<Packer<'p>>, side: Side) -> Result<AxisOp, MixError> {
        let packer = packer.into();
        let AxisMlp { first, second, is_gated, hidden_bias, bias, around } = self;
        let (axis, hidden, out) = (first.cols(), second.cols(), second.rows());
        around.check(axis, out, side)?;
        let rows = |from: usize, activation| {
            let (weight, bias) = (first.rows_at(from, hidden)?, &hidden_bias[from..][..hidden]);
            Ok::<_, MixError>(Rows { weight, bias, activation })
        };
        let factors = match is_gated {
            false => vec![rows(0, around.activation)?],
            true => vec![rows(hidden, around.activation)?, rows(0, Activation::Identity)?],
        };
        let weights = match side {
            Side::Left => {
                let of_unit = axis.saturating_mul(factors.len()).saturating_add(out);
                let units = left::chunk(hidden, of_unit);
                Weights::Left(Layers::mlp(packer, &factors, second, units)?)
            }
            Side::Right => Weights::Right(Layers::mlp(packer, &factors, second, right::CHUNK)?),
        };
        Ok(AxisOp::new(packer.isa(), (1, axis, out), weights, bias, around))
    }
}

fn checked(what: &'static str, values: &[f32], expected: usize) -> Result<Vec<f32>, MixError> {
    if values.len() == expected {
        Ok(values.to_vec())
    } else {
        Err(MixError::Parameter { what, expected, found: values.len() })
    }
}
