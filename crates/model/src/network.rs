//! What every model offers to [`Model`](crate::Model) and [`Plan`](crate::Plan).

use std::fmt;

use mixfold_gemm::{Buffer, Context, Scratch, ScratchLen};

use crate::ModelError;
use crate::config::Form;

/// A step of a model, after which its activations can be seen. Prints as `stem`,
/// `blocks.3.mlp_tokens`, `blocks.3`, `norm`, `mean`, `head`, with a part of a block named as in its
/// checkpoints; in a model of stages,
/// `stages.2.3.repmlp_block`, `stages.2.3`, `embeds.0`; in a ResNet, `stage0.0`,
/// `stage3.2.light_repmlp`, `stage3.2`, `gap`, `linear`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layer {
    /// The patch embedding.
    Stem,
    /// A part of a block: the block's number, the part's name, and the kind of work that it is.
    Part(usize, &'static str, Phase),
    /// A block, and the kind of work that its last part is.
    Block(usize, Phase),
    /// The first half of a unit, which mixes places: its stage and its number there.
    UnitTokens(usize, usize),
    /// A unit: its stage and its number there.
    Unit(usize, usize),
    /// The embedding behind a stage, which halves the map.
    Embed(usize),
    /// A module that stands alone in a ResNet, and the kind of work that it is.
    Module(&'static str, Phase),
    /// A part of a ResNet's block with the ReLU behind it: the stage, counted from 1, the block's
    /// number there, the part's name, and the kind of work that it is.
    StagePart(usize, usize, &'static str, Phase),
    /// A block of a ResNet: its stage, counted from 1, and its number there.
    StageBlock(usize, usize),
    /// The last norm.
    Norm,
    /// The mean over the tokens.
    Mean,
    /// The classifier.
    Head,
}

impl Layer {
    /// The kind of work that leads to it.
    pub fn phase(self) -> Phase {
        match self {
            Layer::Stem | Layer::Embed(_) => Phase::Stem,
            Layer::Part(_, _, phase) | Layer::Block(_, phase) => phase,
            Layer::Module(_, phase) | Layer::StagePart(.., phase) => phase,
            Layer::UnitTokens(..) => Phase::Tokens,
            Layer::Unit(..) | Layer::StageBlock(..) => Phase::Channels,
            Layer::Norm | Layer::Mean | Layer::Head => Phase::Head,
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Layer::Stem => f.write_str("stem"),
            Layer::Part(i, name, _) => write!(f, "blocks.{i}.{name}"),
            Layer::Block(i, _) => write!(f, "blocks.{i}"),
            Layer::UnitTokens(stage, unit) => write!(f, "stages.{stage}.{unit}.repmlp_block"),
            Layer::Unit(stage, unit) => write!(f, "stages.{stage}.{unit}"),
            Layer::Embed(stage) => write!(f, "embeds.{stage}"),
            Layer::Module(name, _) => f.write_str(name),
            Layer::StagePart(stage, block, name, _) => write!(f, "stage{stage}.{block}.{name}"),
            Layer::StageBlock(stage, block) => write!(f, "stage{stage}.{block}"),
            Layer::Norm => f.write_str("norm"),
            Layer::Mean => f.write_str("mean"),
            Layer::Head => f.write_str("head"),
        }
    }
}

/// A kind of work, for measuring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// The patch embeddings; in a ResNet, what stands in front of the blocks.
    Stem,
    /// Mixing tokens, or the places of a map: in a ResNet, the RepMLPs.
    Tokens,
    /// Mixing channels; in a ResNet, all convolutions of the blocks, those of several places too.
    Channels,
    /// All behind the last block.
    Head,
}

impl Phase {
    /// All phases.
    pub const ALL: [Phase; 4] = [Phase::Stem, Phase::Tokens, Phase::Channels, Phase::Head];
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Stem => "stem",
            Phase::Tokens => "tokens",
            Phase::Channels => "channels",
            Phase::Head => "head",
        })
    }
}

/// Sees the activations after a step: the step, their shape, their values.
pub(crate) type Observe<'a> = &'a mut dyn FnMut(Layer, &[usize], &[f32]);

/// A model with its weights.
pub(crate) trait Network: fmt::Debug + Send + Sync {
    /// Channels, height and width of an image.
    fn input(&self) -> [usize; 3];
    /// Why images of no other size can be run.
    fn fixed_size(&self) -> &'static str;
    fn classes(&self) -> usize;
    /// The form that is run, if there are two.
    fn form(&self) -> Option<Form> {
        None
    }
    /// The steps after which activations can be seen, in order.
    fn layers(&self) -> Vec<Layer>;
    fn parameters(&self) -> u64;
    /// Multiply-adds of convolutions, matrices and attention for one image, as they are run, in a phase
    /// or in all.
    fn macs(&self, phase: Option<Phase>) -> u64;
    /// Bytes of the packed weights.
    fn packed_bytes(&self) -> usize;
    /// Rows of the large products per image: so many times is a weight used.
    fn rows(&self) -> usize;
    /// Memory for 1 to `batch` images.
    fn workspace(&self, batch: usize, ctx: &Context) -> Result<Workspace, ModelError>;
    /// Computes the logits of `batch` images.
    fn forward(
        &self,
        images: &[f32],
        logits: &mut [f32],
        batch: usize,
        workspace: &mut Workspace,
        ctx: &Context,
        observe: Observe<'_>,
    ) -> Result<(), ModelError>;
}

/// The memory of a forward pass: activations, and scratch memory of the kernels.
#[derive(Debug)]
pub(crate) struct Workspace {
    activations: Vec<Buffer<f32>>,
    scratch: Scratch<f32>,
}

impl Workspace {
    /// With activations of these lengths.
    pub(crate) fn new(lens: &[usize]) -> Result<Self, ModelError> {
        let activations = lens.iter().map(|&len| Buffer::zeroed(len)).collect::<Result<_, _>>()?;
        Ok(Workspace { activations, scratch: Scratch::new() })
    }

    /// Makes the scratch memory at least this large.
    pub(crate) fn reserve(&mut self, len: ScratchLen) -> Result<(), ModelError> {
        self.scratch.take(len)?;
        Ok(())
    }

    /// The activations, as many as there were lengths, and scratch memory.
    pub(crate) fn parts<const N: usize>(&mut self) -> ([&mut [f32]; N], &mut Scratch<f32>) {
        let activations = self.activations.first_chunk_mut().expect("as many as were asked for");
        (activations.each_mut().map(|buffer| &mut buffer[..]), &mut self.scratch)
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        let activations: usize = self.activations.iter().map(|buffer| buffer.len()).sum();
        size_of::<f32>() * (activations + self.scratch.len())
    }
}
