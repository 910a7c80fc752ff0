//! FC3 of a RepMLP block and the convolutions beside it: what their tensors are called, and how they are
//! read.

use super::fc3::Fc3;
use super::local::Branches;
use super::read::{Linear, Reader};
use super::specs::Specs;
use crate::ModelError;
use crate::config::Form;
use crate::weights::{Spec, Weights};

/// FC3 of a block, a matrix `[out · height · width, inputs · height · width]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fc3Sizes {
    /// What stands in front of the names in the block, with its dot.
    pub prefix: String,
    /// Output channels; of a RepMLPNet, share-sets.
    pub out: usize,
    /// Input channels of a group.
    pub inputs: usize,
    /// Groups of the output channels.
    pub groups: usize,
    /// Height and width of a partition.
    pub partition: [usize; 2],
    /// Channels of the batch norm behind the matrix.
    pub norm: usize,
    /// Sizes of the convolutions beside it in train form.
    pub kernels: Vec<usize>,
}

impl Fc3Sizes {
    /// The layer's name.
    pub(crate) fn layer(&self) -> String {
        format!("{}fc3", self.prefix)
    }

    fn module(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The tensors of a form.
    pub(crate) fn specs(&self, form: Form) -> Vec<Spec> {
        let [height, width] = self.partition;
        let places = height.saturating_mul(width);
        let [rows, cols] = [self.out, self.inputs].map(|channels| channels.saturating_mul(places));
        let mut specs = Specs::default();
        specs.add(format!("{}.weight", self.layer()), &[rows, cols, 1, 1]);
        match form {
            Form::Deploy => specs.add(format!("{}.bias", self.layer()), &[rows]),
            Form::Train => {
                specs.norm(&self.module("fc3_bn"), self.norm);
                for &kernel in &self.kernels {
                    let shape = [self.out, self.inputs, kernel, kernel];
                    specs.conv_bn(&self.module(&format!("repconv{kernel}")), shape);
                }
            }
        }
        specs.into_inner()
    }

    /// The matrix and what stands beside it, of weights in train form.
    pub(crate) fn branches(&self, read: &mut Reader<'_, '_>) -> Result<Branches, ModelError> {
        let kernel =
            |size: &usize| read.kernel(&self.module(&format!("repconv{size}")), self.groups);
        let kernels = self.kernels.iter().map(kernel).collect::<Result<_, _>>()?;
        let module = self.layer();
        Ok(Branches {
            fc: read.linear(&module, false)?,
            norm: read.affine(&self.module("fc3_bn"))?,
            module,
            kernels,
            groups: self.groups,
            map: self.partition,
        })
    }

    /// The matrix and bias of the deploy form, of weights in the form `stored`.
    pub(crate) fn folded(
        &self,
        read: &mut Reader<'_, '_>,
        stored: Form,
    ) -> Result<Linear, ModelError> {
        match stored {
            Form::Train => self.branches(read)?.fold(),
            Form::Deploy => read.linear(&self.layer(), true),
        }
    }

    /// The matrix before and after folding, of weights in the form `stored`.
    pub(crate) fn read(&self, weights: &mut Weights<'_>, stored: Form) -> Result<Fc3, ModelError> {
        let mut read = Reader::new(weights);
        let (trained, folded) = match stored {
            Form::Deploy => (None, self.folded(&mut read, stored)?.weight),
            Form::Train => {
                let branches = self.branches(&mut read)?;
                let trained = branches.fc.weight.clone();
                (Some(trained), branches.fold()?.weight)
            }
        };
        let &Fc3Sizes { out, inputs, partition, .. } = self;
        Ok(Fc3 { layer: self.layer(), out, inputs, partition, trained, folded })
    }
}
