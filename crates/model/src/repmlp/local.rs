//! RepMLP's local perceptron: a fully connected layer over the places of a map, with convolutions
//! beside it in train form.

use mixfold_fold::{self as fold, Affine, Geometry, Kernel};
use mixfold_gemm::{Activation, Context, Packer, Scratch, ScratchLen};
use mixfold_mix::{Axes, AxisLinear, AxisOp, Conv2d, Conv2dOp, MixError, Norm, Side};

use super::read::{Linear, wrong};
use crate::ModelError;

/// The layers of the train form as they are read: `y = norm(W·x) + Σ conv(x)` for
/// `x` of `[batch, channels, height, width]`.
#[derive(Clone)]
pub(crate) struct Branches {
    /// What its tensors' names begin with.
    pub module: String,
    /// W of `[groups · out, channels / groups · height · width]`, and a bias of zeros.
    pub fc: Linear,
    /// The batch norm behind W; each of its channels stands for as many rows.
    pub norm: Affine,
    /// The convolutions with their batch norms, of `groups` groups.
    pub kernels: Vec<Kernel>,
    pub groups: usize,
    /// Height and width of the map.
    pub map: [usize; 2],
}

impl Branches {
    /// All of it as one matrix and bias.
    pub(crate) fn fold(self) -> Result<Linear, ModelError> {
        let Branches { module, mut fc, norm, kernels, map: [height, width], .. } = self;
        fc.fold(&module, |fc| {
            if kernels.is_empty() {
                return fc.followed_by(&norm);
            }
            let add = |branches: fold::Branches, kernel| branches.kernel(kernel);
            let kernel = kernels.into_iter().try_fold(fold::Branches::new(), add)?.merge()?;
            fc.add_conv(Some(&norm), &kernel, Geometry::same(height, width)?)
        })?;
        Ok(fc)
    }

    /// Ready to run, with an activation behind the sum of all if there is a convolution.
    pub(crate) fn pack(
        &self,
        behind: Activation,
        packer: Packer<'_>,
    ) -> Result<BranchOps, ModelError> {
        let Branches { module, fc, norm, kernels, groups, map } = self;
        let shared = fc.bias.len() / norm.channels().max(1);
        let spread = |values: &[f64]| -> Vec<f32> {
            values.iter().flat_map(|&x| std::iter::repeat_n(x as f32, shared)).collect()
        };
        let norm = Norm::affine_axis(&spread(norm.scale()), &spread(norm.shift()));
        let last = kernels.len().saturating_sub(1);
        let pack = |(i, kernel): (usize, &Kernel)| {
            let (weight, bias) = kernel.rounded::<f32>();
            let [.., height, width] = kernel.shape();
            let weight = Linear { weight, bias };
            let conv = Conv2d::new(weight.matrix()?, (height, width))?.groups(*groups)?;
            let conv = conv.padding((height / 2, width / 2)).bias(&weight.bias)?;
            let behind = if i == last { behind } else { Activation::Identity };
            Ok::<_, ModelError>(conv.activation_of_sum(behind).pack(packer)?)
        };
        let convs = kernels.iter().enumerate().map(pack).collect::<Result<_, _>>()?;
        if fc.bias.len() % groups != 0 {
            let (rows, elements) = (*groups, fc.bias.len());
            return Err(wrong(module, fold::FoldError::Ragged { rows, elements }));
        }
        let fc = AxisLinear::new(fc.matrix()?).groups(*groups)?.pack(packer, Side::Right)?;
        Ok(BranchOps { groups: *groups, fc, norm, convs, map: (map[0], map[1]) })
    }
}

/// The train form, ready to run.
#[derive(Debug)]
pub(crate) struct BranchOps {
    groups: usize,
    fc: AxisOp,
    norm: Norm,
    convs: Vec<Conv2dOp>,
    map: (usize, usize),
}

impl BranchOps {
    /// How the matrix and the norm behind it see the tensors.
    fn axes(&self, batch: usize) -> (Axes, Axes) {
        let rows = batch.saturating_mul(self.groups);
        (
            Axes { outer: rows, axis: self.fc.axis(), inner: 1 },
            Axes { outer: batch, axis: self.groups * self.fc.out(), inner: 1 },
        )
    }

    /// Groups of the matrix and of the convolutions; of a RepMLPNet, its share-sets, which are then all
    /// channels of an image.
    pub(crate) fn groups(&self) -> usize {
        self.groups
    }

    pub(crate) fn scratch_len(
        &self,
        batch: usize,
        ctx: &Context,
    ) -> Result<Vec<ScratchLen>, MixError> {
        let (fc, norm) = self.axes(batch);
        let ends = [self.fc.scratch_len(fc, ctx), self.norm.scratch_len(norm, ctx)];
        let convs = self.convs.iter().map(|conv| conv.scratch_len(batch, self.map, ctx));
        ends.into_iter().chain(convs).collect()
    }

    /// From `x` of `[batch, channels, height, width]` to `y` of `[batch, out, height, width]`.
    pub(crate) fn apply(
        &self,
        x: &[f32],
        y: &mut [f32],
        batch: usize,
        ctx: &Context,
        scratch: &mut Scratch<f32>,
    ) -> Result<(), MixError> {
        let (fc, norm) = self.axes(batch);
        self.fc.apply_to(x, y, fc, ctx, scratch)?;
        self.norm.apply(y, norm, ctx, scratch)?;
        for conv in &self.convs {
            conv.apply_add(x, y, batch, self.map, ctx, scratch)?;
        }
        Ok(())
    }

    /// Bytes of the packed weights.
    pub(crate) fn bytes(&self) -> usize {
        self.fc.bytes() + self.convs.iter().map(Conv2dOp::bytes).sum::<usize>()
    }
}
