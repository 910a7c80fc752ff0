//! The layers of a RepMLP block with their weights packed.

use mixfold_gemm::{Activation, Context, MatMut, Packer, Scratch, par_rows};
use mixfold_mix::{
    Axes, AxisLinear, AxisMlp, AxisOp, MixError, Partitions, Side, add_outer, mean_axis,
};

use super::block_config::RepMlpBlockConfig;
use super::block_read::{BlockWeights, Global};
use super::local::BranchOps;
use crate::ModelError;
use crate::config::Form;
use crate::network::Workspace;

/// Pixels of a task where means are taken or added, about.
const TASK: usize = 16_384;

/// The layers of a block, ready to run in three steps: [`enter`](Self::enter), [`mix`](Self::mix),
/// [`leave`](Self::leave). Of a block that is [not cut](Self::is_cut), only the second is to be run.
#[derive(Debug)]
pub(crate) struct BlockOps {
    config: RepMlpBlockConfig,
    form: Form,
    /// W₁ and W₂, which see the means of an image in the order of its partitions: `[down, across,
    /// channels]`.
    global: Option<AxisOp>,
    local: Local,
}

#[derive(Debug)]
enum Local {
    Folded(AxisOp),
    Branches(BranchOps),
}

impl BlockOps {
    /// Reads and packs weights of the form `stored`, to be run in the form `form`, with an activation
    /// behind the block.
    ///
    /// # Errors
    /// [`ModelError::Folded`] if the train form is asked for, of weights in deploy form;
    /// [`ModelError::Fold`] if a norm cannot be folded; if the weights cannot be read or memory runs out.
    pub(crate) fn read(
        block: &mut BlockWeights<'_, '_>,
        (stored, form): (Form, Form),
        behind: Activation,
        packer: Packer<'_>,
    ) -> Result<Self, ModelError> {
        if (stored, form) == (Form::Deploy, Form::Train) {
            return Err(ModelError::Folded);
        }
        let config = block.config().clone();
        let global = match block.global(stored)? {
            None => None,
            Some(global) => {
                let Global { fc1, fc2 } = global.by_partition(config.channels, config.parts());
                let mlp = AxisMlp::new(fc1.matrix()?, fc2.matrix()?)?.bias(&fc1.bias, &fc2.bias)?;
                Some(mlp.activation(Activation::Relu).pack(packer, Side::Right)?)
            }
        };
        // Where nothing stands beside the matrix, the norm behind it is all there is to fold.
        let local = if form == Form::Train && !config.kernels.is_empty() {
            Local::Branches(block.branches()?.pack(behind, packer)?)
        } else {
            let fc3 = block.folded(stored)?;
            let map = AxisLinear::new(fc3.matrix()?).groups(config.groups)?.bias(&fc3.bias)?;
            Local::Folded(map.activation(behind).pack(packer, Side::Right)?)
        };
        Ok(BlockOps { config, form, global, local })
    }

    /// The sizes.
    pub(crate) fn config(&self) -> &RepMlpBlockConfig {
        &self.config
    }

    /// The form that is run.
    pub(crate) fn form(&self) -> Form {
        self.form
    }

    /// Bytes of the packed weights.
    pub(crate) fn bytes(&self) -> usize {
        let local = match &self.local {
            Local::Folded(fc3) => fc3.bytes(),
            Local::Branches(branches) => branches.bytes(),
        };
        self.global.as_ref().map_or(0, AxisOp::bytes) + local
    }

    /// Whether maps are cut into partitions: if not, they are mixed as they are.
    pub(crate) fn is_cut(&self) -> bool {
        self.global.is_some()
    }

    /// Elements of input, output and means, of which there are none if maps are not cut.
    pub(crate) fn lens(&self, batch: usize) -> Result<[usize; 3], MixError> {
        let shapes = Shapes::new(&self.config, batch);
        let means = if self.is_cut() { shapes.means.outer } else { 0 };
        Ok([shapes.input.elements()?, shapes.output.elements()?, means])
    }

    /// Scratch memory for this many images.
    pub(crate) fn reserve(
        &self,
        workspace: &mut Workspace,
        batch: usize,
        ctx: &Context,
    ) -> Result<(), ModelError> {
        let shapes = Shapes::new(&self.config, batch);
        if let Some(global) = &self.global {
            workspace.reserve(global.scratch_len(shapes.vectors, ctx)?)?;
        }
        match &self.local {
            Local::Folded(fc3) => workspace.reserve(fc3.scratch_len(shapes.groups, ctx)?),
            Local::Branches(branches) => branches
                .scratch_len(shapes.parts, ctx)?
                .into_iter()
                .try_for_each(|len| workspace.reserve(len)),
        }
    }

    /// Memory for [`apply`](Self::apply).
    pub(crate) fn workspace(&self, batch: usize, ctx: &Context) -> Result<Workspace, ModelError> {
        // A map that is one partition is read and written where it is.
        let lens = if self.is_cut() { self.lens(batch)? } else { [0; 3] };
        let mut workspace = Workspace::new(&lens)?;
        self.reserve(&mut workspace, batch, ctx)?;
        Ok(workspace)
    }

    /// All steps.
    pub(crate) fn apply(
        &self,
        x: &[f32],
        y: &mut [f32],
        batch: usize,
        workspace: &mut Workspace,
        ctx: &Context,
    ) -> Result<(), MixError> {
        let ([parts, mixed, means], scratch) = workspace.parts();
        if !self.is_cut() {
            return self.mix(x, y, batch, ctx, scratch);
        }
        self.enter(x, [&mut *parts, means], batch, ctx, scratch)?;
        self.mix(parts, mixed, batch, ctx, scratch)?;
        self.leave(mixed, y, batch, ctx)
    }

    /// Cuts maps into partitions, and adds to each what the global perceptron makes of all means.
    /// Nothing is done if maps are not cut.
    pub(crate) fn enter(
        &self,
        x: &[f32],
        [parts, means]: [&mut [f32]; 2],
        batch: usize,
        ctx: &Context,
        scratch: &mut Scratch<f32>,
    ) -> Result<(), MixError> {
        let (Some(global), shapes) = (&self.global, Shapes::new(&self.config, batch)) else {
            return Ok(());
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
        })
    }

    /// The matrix and the convolutions, of each partition by itself.
    pub(crate) fn mix(
        &self,
        parts: &[f32],
        mixed: &mut [f32],
        batch: usize,
        ctx: &Context,
        scratch: &mut Scratch<f32>,
    ) -> Result<(), MixError> {
        let shapes = Shapes::new(&self.config, batch);
        match &self.local {
            Local::Folded(fc3) => fc3.apply_to(parts, mixed, shapes.groups, ctx, scratch),
            Local::Branches(branches) => branches.apply(parts, mixed, shapes.parts, ctx, scratch),
        }
    }

    /// Puts partitions together to maps.
    pub(crate) fn leave(
        &self,
        mixed: &[f32],
        y: &mut [f32],
        batch: usize,
        ctx: &Context,
    ) -> Result<(), MixError> {
        Shapes::new(&self.config, batch).output.unpartition(mixed, y, ctx)
    }
}

/// How the steps of a block see the tensors.
#[derive(Clone, Copy, Debug)]
struct Shapes {
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
            input: Partitions { batch, channels, map, partition },
            output: Partitions { batch, channels: out_channels, map, partition },
            parts,
            means: Axes { outer: parts.saturating_mul(channels), axis: pixels, inner: 1 },
            vectors: Axes { outer: batch, axis: config.global()[0], inner: 1 },
            groups: Axes { outer: parts.saturating_mul(groups), axis: shared * pixels, inner: 1 },
        }
    }
}

/// Has `work` change some rows of `len` elements at a time, on all threads, given the number of the
/// first one. There are `pixels` to read or write for each row.
pub(super) fn each(
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
