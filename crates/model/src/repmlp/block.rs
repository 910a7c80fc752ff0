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

use mixfold_gemm::{Activation, Context, MatMut, Scratch, par_rows};
use mixfold_mix::{
    Axes, AxisLinear, AxisMlp, AxisOp, MixError, Partitions, Side, add_outer, mean_axis,
};

use super::block_config::RepMlpBlockConfig;
use super::block_read::{self, Global};
use super::local::BranchOps;
use crate::config::Form;
use crate::network::Workspace;
use crate::weights::Spec;
use crate::{Checkpoint, ModelError};

/// Pixels of a task where means are taken or added, about.
const TASK: usize = 16_384;

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
    config: RepMlpBlockConfig,
    form: Form,
    /// W₁ and W₂, which see the means of an image in the order of its partitions: `[down, across,
    /// channels]`.
    global: Option<AxisOp>,
    local: Local,
    ctx: Context,
}

#[derive(Debug)]
enum Local {
    Folded(AxisOp),
    Branches(BranchOps),
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
        let (mut block, stored) = block_read::find(file, prefix, config)?;
        let form = form.unwrap_or(Form::Deploy);
        if (stored, form) == (Form::Deploy, Form::Train) {
            return Err(ModelError::Folded);
        }
        let isa = ctx.isa();
        let global = match block.global(stored)? {
            None => None,
            Some(global) => {
                let Global { fc1, fc2 } = global.by_partition(config.channels, config.parts());
                let mlp = AxisMlp::new(fc1.matrix()?, fc2.matrix()?)?.bias(&fc1.bias, &fc2.bias)?;
                Some(mlp.activation(Activation::Relu).pack(isa, Side::Right)?)
            }
        };
        let local = if form == Form::Train {
            Local::Branches(block.branches()?.pack(isa)?)
        } else {
            let fc3 = block.folded(stored)?;
            let map = AxisLinear::new(fc3.matrix()?).groups(config.groups)?.bias(&fc3.bias)?;
            Local::Folded(map.pack(isa, Side::Right)?)
        };
        Ok(RepMlpBlock { config: config.clone(), form, global, local, ctx: ctx.clone() })
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
        let (mut block, stored) = block_read::find(file, prefix, config)?;
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
        &self.config
    }

    /// The form that is run.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Number of parameters in this form, without the running statistics of batch norms.
    pub fn parameters(&self) -> u64 {
        self.config.parameters(self.form)
    }

    /// Multiply-adds of convolutions and matrices for one image in this form.
    pub fn macs(&self) -> u64 {
        self.config.macs(self.form)
    }

    /// Bytes of the packed weights.
    pub fn packed_bytes(&self) -> usize {
        let local = match &self.local {
            Local::Folded(fc3) => fc3.bytes(),
            Local::Branches(branches) => branches.bytes(),
        };
        self.global.as_ref().map_or(0, AxisOp::bytes) + local
    }

    /// Makes the block ready for a batch size, with all memory allocated.
    ///
    /// # Errors
    /// If there is not so much memory.
    pub fn plan(&self, batch: usize) -> Result<RepMlpBlockPlan<'_>, ModelError> {
        let shapes = Shapes::new(&self.config, batch);
        let (input, output) = (shapes.input.elements()?, shapes.output.elements()?);
        // A map that is one partition is read and written where it is.
        let lens = match self.global {
            Some(_) => [input, output, shapes.means.outer],
            None => [0; 3],
        };
        let mut workspace = Workspace::new(&lens)?;
        if let Some(global) = &self.global {
            workspace.reserve(global.scratch_len(shapes.vectors, &self.ctx)?)?;
        }
        match &self.local {
            Local::Folded(fc3) => workspace.reserve(fc3.scratch_len(shapes.groups, &self.ctx)?)?,
            Local::Branches(branches) => {
                for len in branches.scratch_len(shapes.parts, &self.ctx)? {
                    workspace.reserve(len)?;
                }
            }
        }
        Ok(RepMlpBlockPlan { block: self, shapes, lens: [input, output], workspace })
    }
}

impl RepMlpBlock {
    /// The matrix and the convolutions, of each partition by itself.
    fn local(
        &self,
        x: &[f32],
        y: &mut [f32],
        shapes: &Shapes,
        scratch: &mut Scratch<f32>,
    ) -> Result<(), MixError> {
        match &self.local {
            Local::Folded(fc3) => fc3.apply_to(x, y, shapes.groups, &self.ctx, scratch),
            Local::Branches(branches) => branches.apply(x, y, shapes.parts, &self.ctx, scratch),
        }
    }
}

/// How the steps of a block see the tensors.
#[derive(Clone, Copy, Debug)]
struct Shapes {
    batch: usize,
    input: Partitions,
    output: Partitions,
    /// Partitions of all images.
    parts: usize,
    /// The pixels of each channel of each partition.
    means: Axes,
    /// All means of an image.
    vectors: Axes,
    /// The features of each group of each partition.
    groups: Axes,
}

impl Shapes {
    fn new(config: &RepMlpBlockConfig, batch: usize) -> Self {
        let &RepMlpBlockConfig { channels, out_channels, map, partition, groups, .. } = config;
        let (map, partition) = ((map[0], map[1]), (partition[0], partition[1]));
        let parts = batch.saturating_mul(config.parts());
        let pixels = config.pixels();
        let shared = channels / groups;
        Shapes {
            batch,
            input: Partitions { batch, channels, map, partition },
            output: Partitions { batch, channels: out_channels, map, partition },
            parts,
            means: Axes { outer: parts.saturating_mul(channels), axis: pixels, inner: 1 },
            vectors: Axes { outer: batch, axis: config.global()[0], inner: 1 },
            groups: Axes { outer: parts.saturating_mul(groups), axis: shared * pixels, inner: 1 },
        }
    }
}

/// A RepMLP block made ready for a batch size, with all memory allocated: [`run`](Self::run) allocates
/// nothing of its own.
#[derive(Debug)]
pub struct RepMlpBlockPlan<'b> {
    block: &'b RepMlpBlock,
    shapes: Shapes,
    /// Elements of input and output.
    lens: [usize; 2],
    workspace: Workspace,
}

impl RepMlpBlockPlan<'_> {
    /// Number of images.
    pub fn batch(&self) -> usize {
        self.shapes.batch
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
        Ok(self.forward(x, y)?)
    }

    fn forward(&mut self, x: &[f32], y: &mut [f32]) -> Result<(), MixError> {
        let RepMlpBlockPlan { block, shapes, workspace, .. } = self;
        let ([parts, mixed, means], scratch) = workspace.parts();
        let ctx = &block.ctx;
        let Some(global) = &block.global else {
            return block.local(x, y, shapes, scratch);
        };
        shapes.input.partition(x, parts, ctx)?;
        let pixels = shapes.means.axis;
        each(ctx, means, 1, pixels, |first, means| {
            let axes = Axes { outer: means.len(), ..shapes.means };
            mean_axis(&parts[first * pixels..][..means.len() * pixels], means, axes, ctx.isa())
        })?;
        global.apply(means, shapes.vectors, ctx, scratch)?;
        each(ctx, parts, pixels, pixels, |first, parts| {
            let axes = Axes { outer: parts.len() / pixels, ..shapes.means };
            add_outer(parts, &means[first..][..axes.outer], axes, ctx.isa())
        })?;
        block.local(parts, mixed, shapes, scratch)?;
        shapes.output.unpartition(mixed, y, ctx)
    }
}

/// Has `work` change some rows of `len` elements at a time, on all threads, given the number of the
/// first one. There are `pixels` to read or write for each row.
fn each(
    ctx: &Context,
    values: &mut [f32],
    len: usize,
    pixels: usize,
    work: impl Fn(usize, &mut [f32]) -> Result<(), MixError> + Sync,
) -> Result<(), MixError> {
    let rows = (TASK / pixels).max(1);
    let count = values.len() / len;
    let values = MatMut::row_major(values, count, len)?;
    // Tasks need no memory: one state for each thread, of no size.
    let mut states = vec![(); ctx.workers()];
    par_rows(ctx.pool(), values, rows, &mut states, |(), at, block| {
        let rows = block.into_slice().unwrap_or_default();
        work(at.row, rows).expect("shapes have been compared");
    })?;
    Ok(())
}
