//! Reading the weights of a network of tokens.

use mixfold_gemm::{Activation, MatRef, Packer};
use mixfold_mix::{AxisLinear, AxisMlp, AxisOp, MixError, Norm, PatchEmbed};

use super::{Names, Trunk};
use crate::ModelError;
use crate::weights::Weights;

/// ε of a layer norm, unless a family says otherwise.
const EPS: f32 = 1e-6;

/// Reads tensors into buffers that it uses again, and hands them to an operator.
#[derive(Debug)]
pub(crate) struct Reader<'a, 'b> {
    weights: &'a mut Weights<'b>,
    /// Two for matrices, two for vectors: what is never shortened need not be set to zero again.
    buffers: [Vec<f32>; 4],
    /// Whose names the file has.
    pub names: Names,
    /// The GELU to compute.
    pub gelu: Activation,
    /// What packs the weights.
    pub packer: Packer<'a>,
}

/// The weights of a two-layer perceptron.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Perceptron<'a> {
    pub first: MatRef<'a, f32>,
    pub hidden_bias: &'a [f32],
    pub second: MatRef<'a, f32>,
    pub bias: &'a [f32],
}

impl<'a> Perceptron<'a> {
    /// As gated linear units, of which the second half goes through the activation.
    pub(crate) fn gated(self, activation: Activation) -> Result<AxisMlp<'a>, MixError> {
        let mlp = AxisMlp::glu(self.first, self.second)?.activation(activation);
        mlp.bias(self.hidden_bias, self.bias)
    }

    pub(crate) fn describe(self) -> Result<AxisMlp<'a>, MixError> {
        AxisMlp::new(self.first, self.second)?.bias(self.hidden_bias, self.bias)
    }
}

impl<'a, 'b> Reader<'a, 'b> {
    pub(crate) fn new(
        weights: &'a mut Weights<'b>,
        names: Names,
        gelu: Activation,
        packer: Packer<'a>,
    ) -> Self {
        Reader { weights, buffers: Default::default(), names, gelu, packer }
    }

    /// A tensor of any shape.
    pub(crate) fn values(&mut self, name: &str) -> Result<Vec<f32>, ModelError> {
        let mut values = Vec::new();
        self.weights.vector(name, &mut values)?;
        Ok(values)
    }

    /// A layer norm with the usual ε: the `weight` and `bias` of a module.
    pub(crate) fn layer_norm(
        &mut self,
        module: &str,
        norm: fn(&[f32], &[f32], f32) -> Norm,
    ) -> Result<Norm, ModelError> {
        self.pair(module, ["weight", "bias"], |gamma, beta| norm(gamma, beta, EPS))
    }

    /// Two vectors of a module, handed to `with`.
    pub(crate) fn pair<T>(
        &mut self,
        module: &str,
        names: [&str; 2],
        with: impl FnOnce(&[f32], &[f32]) -> T,
    ) -> Result<T, ModelError> {
        let [.., first, second] = &mut self.buffers;
        for (name, values) in names.into_iter().zip([&mut *first, &mut *second]) {
            self.weights.vector(&format!("{module}.{name}"), values)?;
        }
        Ok(with(first, second))
    }

    /// The `weight` and `bias` of a matrix, handed to `with`.
    pub(crate) fn linear(
        &mut self,
        module: &str,
        with: impl FnOnce(AxisLinear<'_>) -> Result<AxisOp, MixError>,
    ) -> Result<AxisOp, ModelError> {
        let [weight, .., bias] = &mut self.buffers;
        self.weights.vector(&format!("{module}.bias"), bias)?;
        let weight = self.weights.matrix(&format!("{module}.weight"), weight)?;
        Ok(with(AxisLinear::new(weight).bias(bias)?)?)
    }

    /// Several matrices, one below the other, with their biases, handed to `with`.
    pub(crate) fn stacked<T>(
        &mut self,
        modules: &[String],
        with: impl FnOnce(MatRef<'_, f32>, &[f32]) -> Result<T, MixError>,
    ) -> Result<T, ModelError> {
        let [stack, part, biases, values] = &mut self.buffers;
        stack.clear();
        biases.clear();
        for module in modules {
            self.weights.vector(&format!("{module}.bias"), values)?;
            biases.extend_from_slice(values);
            self.weights.append(&format!("{module}.weight"), part, stack)?;
        }
        let cols = stack.len().checked_div(biases.len()).unwrap_or(0);
        Ok(with(MatRef::row_major(stack, biases.len(), cols)?, biases)?)
    }

    /// The layers `fc1` and `fc2` of a module, handed to `with`.
    pub(crate) fn perceptron(
        &mut self,
        module: &str,
        with: impl FnOnce(Perceptron<'_>) -> Result<AxisOp, MixError>,
    ) -> Result<AxisOp, ModelError> {
        let [first, second, hidden_bias, bias] = &mut self.buffers;
        self.weights.vector(&format!("{module}.fc1.bias"), hidden_bias)?;
        self.weights.vector(&format!("{module}.fc2.bias"), bias)?;
        let first = self.weights.matrix(&format!("{module}.fc1.weight"), first)?;
        let second = self.weights.matrix(&format!("{module}.fc2.weight"), second)?;
        Ok(with(Perceptron { first, hidden_bias, second, bias })?)
    }

    /// A patch embedding.
    pub(crate) fn stem(&mut self, module: &str, trunk: &Trunk) -> Result<PatchEmbed, ModelError> {
        let [weight, .., bias] = &mut self.buffers;
        self.weights.vector(&format!("{module}.bias"), bias)?;
        let weight = self.weights.matrix(&format!("{module}.weight"), weight)?;
        let patch = (trunk.patch, trunk.patch);
        Ok(PatchEmbed::pack(self.packer, weight, bias, trunk.image_channels, patch)?)
    }
}
