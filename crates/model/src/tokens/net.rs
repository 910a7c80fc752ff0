//! A network of tokens with its weights packed.

use mixfold_gemm::{Accum, Activation, Context, MatMut, MatRef, Packer};
use mixfold_mix::{Axes, AxisOp, Norm, PatchEmbed, Side, mean_axis};

use super::part::{Activations, Along, Part, Shape, Written, first_tokens};
use super::{Names, Reader, Readout, TokenFamily, counts};
use crate::ModelError;
use crate::network::{Layer, Network, Observe, Phase, Workspace};
use crate::weights::Weights;

/// A network of tokens with its weights packed.
#[derive(Debug)]
pub(crate) struct TokenNet<F> {
    family: F,
    classes: usize,
    stem: PatchEmbed,
    blocks: Vec<Vec<Part>>,
    norm: Norm,
    /// One for each token that is read out, or one.
    heads: Vec<AxisOp>,
}

impl<F: TokenFamily> TokenNet<F> {
    /// Reads and packs weights, tensor by tensor.
    pub(crate) fn load(
        family: F,
        mut weights: Weights<'_>,
        names: Names,
        gelu: Activation,
        packer: Packer<'_>,
    ) -> Result<Self, ModelError> {
        let classes = weights.shape("head.bias")[0];
        let mut read = Reader::new(&mut weights, names, gelu, packer);
        let stem = family.stem(&mut read)?;
        let blocks = (0..family.trunk().depth).map(|i| family.block(i, &mut read));
        let blocks = blocks.collect::<Result<_, _>>()?;
        let norm = family.norm(&mut read)?;
        let share = match family.heads().len() {
            1 => None,
            count => Some(vec![1.0 / count as f32; classes]),
        };
        let heads = family.heads().iter().map(|head| {
            read.linear(head, |head| match &share {
                None => head.pack(packer, Side::Right),
                Some(share) => head.scale(share)?.pack(packer, Side::Right),
            })
        });
        let heads = heads.collect::<Result<_, _>>()?;
        Ok(TokenNet { family, classes, stem, blocks, norm, heads })
    }

    fn shape(&self, batch: usize) -> Shape {
        let (tokens, channels) = (self.family.tokens(), self.family.trunk().channels);
        Shape { batch, tokens, channels, read: self.heads.len() }
    }

    /// The vectors that the heads read: `[batch, heads, channels]`.
    fn pooled(&self, batch: usize) -> Axes {
        let Shape { channels, read, .. } = self.shape(batch);
        Axes { outer: batch, axis: read, inner: channels }
    }

    /// Where the norm in front of the head stands: before a mean over the tokens, or behind the choice
    /// of some.
    fn normed(&self, batch: usize) -> Axes {
        match self.family.readout() {
            Readout::Mean => self.shape(batch).axes(Along::Tokens),
            Readout::Prefix(_) => self.pooled(batch),
        }
    }

    fn image(&self) -> (usize, usize) {
        let [height, width] = self.family.trunk().image;
        (height, width)
    }
}

/// What is observed behind a part of a block; the last part has no name.
fn layer(block: usize, &(name, phase): &(&'static str, Phase)) -> Layer {
    match name {
        "" => Layer::Block(block, phase),
        _ => Layer::Part(block, name, phase),
    }
}

/// The vectors that a head reads.
fn head_axes(batch: usize, channels: usize) -> Axes {
    Axes { outer: batch, axis: channels, inner: 1 }
}

impl<F: TokenFamily> Network for TokenNet<F> {
    fn input(&self) -> [usize; 3] {
        let [height, width] = self.family.trunk().image;
        [self.family.trunk().image_channels, height, width]
    }

    fn fixed_size(&self) -> &'static str {
        F::FIXED_SIZE
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn layers(&self) -> Vec<Layer> {
        let readout = match self.family.readout() {
            Readout::Mean => &[Layer::Norm, Layer::Mean, Layer::Head][..],
            Readout::Prefix(_) => &[Layer::Norm, Layer::Head][..],
        };
        let blocks =
            (0..self.blocks.len()).flat_map(|i| F::PARTS.iter().map(move |part| layer(i, part)));
        [Layer::Stem].into_iter().chain(blocks).chain(readout.iter().copied()).collect()
    }

    fn parameters(&self) -> u64 {
        counts::parameters(&self.family, self.classes)
    }

    fn macs(&self, phase: Option<Phase>) -> u64 {
        let phases = match &phase {
            Some(phase) => std::slice::from_ref(phase),
            None => &Phase::ALL,
        };
        let macs = |&phase| counts::computed_macs(&self.family, self.classes, phase);
        phases.iter().map(macs).fold(0, u64::saturating_add)
    }

    fn packed_bytes(&self) -> usize {
        let blocks: usize = self.blocks.iter().flatten().map(Part::bytes).sum();
        let heads: usize = self.heads.iter().map(AxisOp::bytes).sum();
        self.stem.bytes() + blocks + heads
    }

    fn rows(&self) -> usize {
        self.family.tokens()
    }

    fn workspace(&self, batch: usize, ctx: &Context) -> Result<Workspace, ModelError> {
        let x = self.shape(batch).axes(Along::Tokens).elements()?;
        let (mut hidden, mut attended) = (0, 0);
        for part in self.blocks.iter().flatten() {
            let lens = part.lens(self.shape(batch))?;
            (hidden, attended) = (hidden.max(lens[0]), attended.max(lens[1]));
        }
        let pooled = self.pooled(batch).elements()?;
        let mut workspace = Workspace::new(&[x, hidden, attended, pooled])?;
        // Fewer images can be cut into larger tasks, which need more memory.
        for batch in 1..=batch {
            workspace.reserve(self.stem.scratch_len(batch, self.image(), ctx)?)?;
            // All blocks are alike, but the last one.
            for part in self.blocks.first().into_iter().chain(self.blocks.last()).flatten() {
                part.reserve(&mut workspace, self.shape(batch), ctx)?;
            }
            workspace.reserve(self.norm.scratch_len(self.normed(batch), ctx)?)?;
            for head in &self.heads {
                let channels = self.family.trunk().channels;
                workspace.reserve(head.scratch_len(head_axes(batch, channels), ctx)?)?;
            }
        }
        Ok(workspace)
    }

    fn forward(
        &self,
        images: &[f32],
        logits: &mut [f32],
        batch: usize,
        workspace: &mut Workspace,
        ctx: &Context,
        observe: Observe<'_>,
    ) -> Result<(), ModelError> {
        let shape @ Shape { tokens, channels, .. } = self.shape(batch);
        let (all, pooled) = (shape.axes(Along::Tokens), self.pooled(batch));
        let ([x, hidden, attended, read], scratch) = workspace.parts();
        let (x, read) = (&mut x[..all.elements()?], &mut read[..pooled.elements()?]);

        self.stem.apply(images, x, batch, self.image(), ctx, scratch)?;
        observe(Layer::Stem, &[batch, tokens, channels], x);
        let mut activations = Activations { x, hidden, attended, read };
        let mut written = Written::X;
        for (i, block) in self.blocks.iter().enumerate() {
            for (part, named) in block.iter().zip(F::PARTS) {
                part.apply(&mut activations, shape, ctx, scratch)?;
                written = part.written();
                let layer = layer(i, named);
                let (shape, values) = match written {
                    Written::X => ([batch, tokens, channels], &*activations.x),
                    Written::Hidden(width) => ([batch, tokens, width], &*activations.hidden),
                    Written::Read => ([batch, pooled.axis, channels], &*activations.read),
                };
                observe(layer, &shape, &values[..shape.iter().product()]);
            }
        }
        let Activations { x, read, .. } = activations;
        match self.family.readout() {
            Readout::Mean => {
                self.norm.apply(x, all, ctx, scratch)?;
                observe(Layer::Norm, &[batch, tokens, channels], x);
                mean_axis(x, read, all, ctx.isa())?;
                observe(Layer::Mean, &[batch, channels], read);
            }
            Readout::Prefix(count) => {
                if written != Written::Read {
                    first_tokens(x, read, shape);
                }
                self.norm.apply(read, pooled, ctx, scratch)?;
                observe(Layer::Norm, &[batch, count, channels], read);
            }
        }
        for (i, head) in self.heads.iter().enumerate() {
            let x = MatRef::new(&read[i * channels..], batch, channels, pooled.axis * channels, 1)?;
            let y = MatMut::row_major(logits, batch, self.classes)?;
            let accum = if i == 0 { Accum::Replace } else { Accum::Add };
            head.apply_views(x, y, accum, head_axes(batch, channels), ctx, scratch)?;
        }
        observe(Layer::Head, &[batch, self.classes], logits);
        Ok(())
    }
}
