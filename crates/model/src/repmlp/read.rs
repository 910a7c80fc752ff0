//! Reading layers, with their batch norms folded.

use mixfold_fold::{Affine, BatchNorm, Conv, FoldError, Kernel, LinearMut};
use mixfold_gemm::{Activation, MatRef, Packer};
use mixfold_mix::{AxisLinear, AxisOp, Conv2d, Conv2dOp, Side};

use crate::ModelError;
use crate::weights::Weights;

/// ε of every batch norm.
pub(crate) const EPS: f64 = 1e-5;

/// Reads tensors into buffers that it uses again.
pub(crate) struct Reader<'a, 'b> {
    weights: &'a mut Weights<'b>,
    norm: [Vec<f32>; 4],
}

/// A matrix `[rows, cols]`, or a convolution as one, with its bias.
#[derive(Clone)]
pub(crate) struct Linear {
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
}

impl Linear {
    /// To be folded into.
    pub(crate) fn fold(
        &mut self,
        module: &str,
        fold: impl FnOnce(&mut LinearMut<'_, f32>) -> Result<(), FoldError>,
    ) -> Result<(), ModelError> {
        let result =
            LinearMut::new(&mut self.weight, &mut self.bias).and_then(|mut l| fold(&mut l));
        result.map_err(|error| wrong(module, error))
    }

    pub(crate) fn matrix(&self) -> Result<MatRef<'_, f32>, ModelError> {
        let rows = self.bias.len();
        Ok(MatRef::row_major(&self.weight, rows, self.weight.len() / rows.max(1))?)
    }
}

/// An error of a fold with the module that it is about.
pub(crate) fn wrong(module: &str, error: FoldError) -> ModelError {
    ModelError::Fold { module: module.to_owned(), error }
}

impl Linear {
    /// A map of vectors, with a function behind it.
    pub(crate) fn pack(&self, f: Activation, packer: Packer<'_>) -> Result<AxisOp, ModelError> {
        let map = AxisLinear::new(self.matrix()?).bias(&self.bias)?.activation(f);
        Ok(map.pack(packer, Side::Right)?)
    }
}

impl<'a, 'b> Reader<'a, 'b> {
    pub(crate) fn new(weights: &'a mut Weights<'b>) -> Self {
        Reader { weights, norm: Default::default() }
    }

    /// A batch norm.
    pub(crate) fn norm<T>(
        &mut self,
        module: &str,
        with: impl FnOnce(&BatchNorm<'_, f32>) -> Result<T, FoldError>,
    ) -> Result<T, ModelError> {
        let [gamma, beta, mean, var] = &mut self.norm;
        for (parameter, values) in [
            ("weight", &mut *gamma),
            ("bias", &mut *beta),
            ("running_mean", &mut *mean),
            ("running_var", &mut *var),
        ] {
            self.weights.vector(&format!("{module}.{parameter}"), values)?;
        }
        with(&BatchNorm { gamma, beta, mean, var, eps: EPS }).map_err(|error| wrong(module, error))
    }

    /// A batch norm as an affine map.
    pub(crate) fn affine(&mut self, module: &str) -> Result<Affine, ModelError> {
        self.norm(module, |norm| norm.affine())
    }

    /// A layer, with a bias of zeros if it has none.
    pub(crate) fn linear(&mut self, module: &str, has_bias: bool) -> Result<Linear, ModelError> {
        let weight_name = format!("{module}.weight");
        let rows = self.weights.shape(&weight_name)[0];
        let mut linear = Linear { weight: Vec::new(), bias: vec![0.0; rows] };
        self.weights.vector(&weight_name, &mut linear.weight)?;
        if has_bias {
            self.weights.vector(&format!("{module}.bias"), &mut linear.bias)?;
        }
        Ok(linear)
    }

    /// A convolution and its batch norm: `module.conv`, `module.bn`.
    pub(crate) fn conv_bn(&mut self, module: &str) -> Result<Linear, ModelError> {
        let affine = self.affine(&format!("{module}.bn"))?;
        let mut conv = self.linear(&format!("{module}.conv"), false)?;
        conv.fold(module, |conv| conv.followed_by(&affine))?;
        Ok(conv)
    }

    /// A convolution whose stride is its kernel, its batch norm and ReLU.
    pub(crate) fn embedding(
        &mut self,
        module: &str,
        packer: Packer<'_>,
    ) -> Result<Conv2dOp, ModelError> {
        let shape = self.weights.shape(&format!("{module}.conv.weight"));
        let patch = (shape[2], shape[3]);
        let conv = self.conv_bn(module)?;
        let embed = Conv2d::new(conv.matrix()?, patch)?.stride(patch)?.bias(&conv.bias)?;
        Ok(embed.activation(Activation::Relu).pack(packer)?)
    }

    /// The kernel of a convolution of `groups` groups and its batch norm.
    pub(crate) fn kernel(&mut self, module: &str, groups: usize) -> Result<Kernel, ModelError> {
        let name = format!("{module}.conv.weight");
        let &[out, inputs, height, width] = self.weights.shape(&name) else {
            unreachable!("a convolution has four dimensions");
        };
        let mut weight = Vec::new();
        self.weights.vector(&name, &mut weight)?;
        self.norm(&format!("{module}.bn"), |norm| {
            Conv::new(&weight, [out, inputs, height, width])?.groups(groups)?.kernel_bn(norm)
        })
    }
}
