//! The block of RepMLP (Ding et al., 2021).
//!
//! ```text
//! m = x cut into partitions, each one an image of its own
//! v = W₂·relu(W₁·norm(mean(m)) + b₁) + b₂      mean over the pixels of each partition; all channels
//!                                              and partitions of an image are one vector
//! m = m + v                                    at each pixel
//! y = norm(W·m) + Σ norm(conv(m))              W in groups of channels, along channels and pixels
//! ```
//!
//! The partitions `y` are put together to maps. Second and third line are not there if a map is one
//! partition. All norms are batch norms with their running statistics. In deploy form, W has the
//! convolutions and norms of its line folded in, and there is a bias; W₁ has the norm of the means
//! folded in. The latter is done in either form when a block is loaded.

use mixfold_gemm::{Activation, Context};

use super::block_config::RepMlpBlockConfig;
use super::block_ops::BlockOps;
use super::block_read::{self, BlockWeights, Global};
use crate::config::Form;
use crate::network::Workspace;
use crate::weights::Spec;
use crate::{Checkpoint, ModelError};

/// A RepMLP block with its weights packed: a building block for networks of your own.
///
/// From `[batch, channels, height, width]` to `[batch, out channels, height, width]`, without an
/// activation behind it. It is immutable and can be shared by threads.
///
/// * Same bits for any number of threads, position in the batch and, among fused instruction sets,
///   instruction set.
/// * The two forms compute the same function with other roundings.
///
/// # Example
/// ```
/// use mixfold_gemm::Context;
/// use mixfold_model::{Checkpoint, Form, RepMlpBlock, RepMlpBlockConfig};
///
/// # fn main() -> Result<(), mixfold_model::ModelError> {
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/repmlp_v1_block_train.safetensors");
/// let config = RepMlpBlockConfig {
///     channels: 8,
///     out_channels: 8,
///     map: [14, 14],
///     partition: [7, 7],
///     groups: 4,
///     kernels: vec![1, 3, 5],
///     reduction: 1,
/// };
/// let mut file = Checkpoint::open(path)?; // in train form
/// let block = RepMlpBlock::load(&mut file, "", &config, None, &Context::new())?;
/// assert_eq!(block.form(), Form::Deploy);
///
/// let mut plan = block.plan(2)?; // batch 2, all memory now
/// let (x, mut y) = (vec![0.5; 2 * 8 * 14 * 14], vec![0.0; 2 * 8 * 14 * 14]);
/// plan.run(&x, &mut y)?; // no allocation, any number of times
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RepMlpBlock {
    ops: BlockOps,
    ctx: Context,
}

/// A tensor of the deploy form.
#[derive(Clone, Debug, PartialEq)]
pub struct FoldedTensor {
    /// Its official name, with what stands in front of those of the block.
    pub name: String,
    /// Its official shape.
    pub shape: Vec<usize>,
    /// Its elements in row-major order.
    pub values: Vec<f32>,
}

impl RepMlpBlock {
    /// Loads the weights of a block under their official names with `prefix` and a dot in front, or
    /// with nothing if `prefix` is empty. Weights are in deploy form if there is an `fc3.bias`.
    ///
    /// It runs in the form asked for, in deploy form if none is: convolutions and batch norms of
    /// weights in train form are then folded in, in `f64` and rounded once. The context is that of
    /// its plans.
    ///
    /// # Errors
    /// * [`ModelError::Config`] if the sizes do not go together;
    /// * [`ModelError::Mismatch`] with all differences, if the tensors of the prefix are not exactly
    ///   those of the block. Tensors with other names do not matter, neither does
    ///   `num_batches_tracked`;
    /// * [`ModelError::Folded`] if the train form is asked for, of weights in deploy form;
    /// * [`ModelError::Fold`] if a batch norm has a negative variance or the like;
    /// * if the file cannot be read or memory runs out.
    pub fn load(
        file: &mut Checkpoint,
        prefix: &str,
        config: &RepMlpBlockConfig,
        form: Option<Form>,
        ctx: &Context,
    ) -> Result<Self, ModelError> {
        let (mut weights, stored) = block_read::find(file, prefix, config)?;
        let mut block = BlockWeights::new(&mut weights, prefix, config);
        let forms = (stored, form.unwrap_or(Form::Deploy));
        let ops = BlockOps::read(&mut block, forms, Activation::Identity, ctx.into())?;
        Ok(RepMlpBlock { ops, ctx: ctx.clone() })
    }

    /// The tensors of the deploy form, from weights in train form that are found as by
    /// [`load`](Self::load): computed in `f64` and rounded once; the second layer of the global
    /// perceptron as it is.
    ///
    /// # Errors
    /// As [`load`](Self::load); [`ModelError::AlreadyFolded`] if the weights are in deploy form.
    pub fn folded_tensors(
        file: &mut Checkpoint,
        prefix: &str,
        config: &RepMlpBlockConfig,
    ) -> Result<Vec<FoldedTensor>, ModelError> {
        let path = file.path().to_owned();
        let (mut weights, stored) = block_read::find(file, prefix, config)?;
        let mut block = BlockWeights::new(&mut weights, prefix, config);
        if stored == Form::Deploy {
            return Err(ModelError::AlreadyFolded { path });
        }
        let mut layers = Vec::new();
        if let Some(Global { fc1, fc2 }) = block.global(stored)? {
            layers.extend([fc1, fc2]);
        }
        layers.push(block.folded(stored)?);
        let values = layers.into_iter().flat_map(|layer| [layer.weight, layer.bias]);
        let specs = block.specs(Form::Deploy).into_iter();
        let tensor =
            |(spec, values): (Spec, _)| FoldedTensor { name: spec.name, shape: spec.shape, values };
        Ok(specs.zip(values).map(tensor).collect())
    }

    /// The sizes.
    pub fn config(&self) -> &RepMlpBlockConfig {
        self.ops.config()
    }

    /// The form that is run.
    pub fn form(&self) -> Form {
        self.ops.form()
    }

    /// Number of parameters in this form, without the running statistics of batch norms.
    pub fn parameters(&self) -> u64 {
        self.config().parameters(self.form())
    }

    /// Multiply-adds of convolutions and matrices for one image in this form.
    pub fn macs(&self) -> u64 {
        self.config().macs(self.form())
    }

    /// Bytes of the packed weights.
    pub fn packed_bytes(&self) -> usize {
        self.ops.bytes()
    }

    /// Makes the block ready for a batch size, with all memory allocated.
    ///
    /// # Errors
    /// If there is not so much memory.
    pub fn plan(&self, batch: usize) -> Result<RepMlpBlockPlan<'_>, ModelError> {
        let [input, output, _] = self.ops.lens(batch)?;
        let workspace = self.ops.workspace(batch, &self.ctx)?;
        Ok(RepMlpBlockPlan { block: self, batch, lens: [input, output], workspace })
    }
}

/// A RepMLP block made ready for a batch size, with all memory allocated: [`run`](Self::run) allocates
/// nothing of its own.
#[derive(Debug)]
pub struct RepMlpBlockPlan<'b> {
    block: &'b RepMlpBlock,
    batch: usize,
    /// Elements of input and output.
    lens: [usize; 2],
    workspace: Workspace,
}

impl RepMlpBlockPlan<'_> {
    /// Number of images.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Bytes of memory for activations and scratch.
    pub fn bytes(&self) -> usize {
        self.workspace.bytes()
    }

    /// Computes `y` of `[batch, out channels, height, width]` of `x` of
    /// `[batch, channels, height, width]`.
    ///
    /// # Errors
    /// [`ModelError::Length`] if one of the slices has another length; nothing has been written then.
    pub fn run(&mut self, x: &[f32], y: &mut [f32]) -> Result<(), ModelError> {
        let [input, output] = self.lens;
        for (what, expected, found) in [("input", input, x.len()), ("output", output, y.len())] {
            if expected != found {
                return Err(ModelError::Length { what, expected, found });
            }
        }
        let RepMlpBlock { ops, ctx } = self.block;
        Ok(ops.apply(x, y, self.batch, &mut self.workspace, ctx)?)
    }
}
