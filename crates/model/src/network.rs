//! What every model offers to [`Model`](crate::Model) and [`Plan`](crate::Plan).

use std::fmt;

use mixfold_gemm::{Buffer, Context, Scratch, ScratchLen};

use crate::ModelError;

/// A step of a model, after which its activations can be seen. Prints as `stem`,
/// `blocks.3.mlp_tokens`, `blocks.3`, `norm`, `mean`, `head`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layer {
    /// The patch embedding.
    Stem,
    /// The first half of a block, which mixes tokens.
    Tokens(usize),
    /// A block.
    Block(usize),
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
            Layer::Stem => Phase::Stem,
            Layer::Tokens(_) => Phase::Tokens,
            Layer::Block(_) => Phase::Channels,
            Layer::Norm | Layer::Mean | Layer::Head => Phase::Head,
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Layer::Stem => f.write_str("stem"),
            Layer::Tokens(i) => write!(f, "blocks.{i}.mlp_tokens"),
            Layer::Block(i) => write!(f, "blocks.{i}"),
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
    /// The patch embedding.
    Stem,
    /// Mixing tokens.
    Tokens,
    /// Mixing channels.
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
    fn classes(&self) -> usize;
    /// The steps after which activations can be seen, in order.
    fn layers(&self) -> Vec<Layer>;
    fn parameters(&self) -> u64;
    /// Multiply-adds of convolutions and matrices for one image, in a phase or in all.
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

/// The memory of a forward pass.
#[derive(Debug)]
pub(crate) struct Workspace {
    x: Buffer<f32>,
    pooled: Buffer<f32>,
    scratch: Scratch<f32>,
}

impl Workspace {
    pub(crate) fn new(x: usize, pooled: usize) -> Result<Self, ModelError> {
        let (x, pooled) = (Buffer::zeroed(x)?, Buffer::zeroed(pooled)?);
        Ok(Workspace { x, pooled, scratch: Scratch::new() })
    }

    /// Makes the scratch memory at least this large.
    pub(crate) fn reserve(&mut self, len: ScratchLen) -> Result<(), ModelError> {
        self.scratch.take(len)?;
        Ok(())
    }

    /// Activations, pooled activations and scratch memory.
    pub(crate) fn parts(
        &mut self,
        x: usize,
        pooled: usize,
    ) -> (&mut [f32], &mut [f32], &mut Scratch<f32>) {
        (&mut self.x[..x], &mut self.pooled[..pooled], &mut self.scratch)
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<f32>() * (self.x.len() + self.pooled.len() + self.scratch.len())
    }
}
