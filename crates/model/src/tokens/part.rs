//! The parts of a block: each one or a few calls of `mix`.

use mixfold_gemm::{Accum, Context, MatMut, MatRef, Scratch};
use mixfold_mix::{Axes, AxisOp, MixError, SelfAttention};

use crate::ModelError;
use crate::network::Workspace;

/// An axis of the tokens' tensor `[batch, tokens, channels]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Along {
    Tokens,
    Channels,
}

/// A part of a block. `x` is `[batch, tokens, channels]`; `h` is `[batch, tokens, hidden]` and `u` and
/// `v` the halves of its channels.
#[derive(Debug)]
pub(crate) enum Part {
    /// `x = op(x)`
    Mix(Along, AxisOp),
    /// `x = x + proj(attention(qkv(x)))`
    Attention(Box<Attention>),
    /// `h = op(x)` along the channels
    Expand(AxisOp),
    /// `u = u ⊙ op(v)` along the tokens, with so many channels in each half
    Gate(AxisOp, usize),
    /// `x = x + op(u)` along the channels
    Contract(AxisOp),
    /// `r = x + op(x)` along the tokens, of the tokens that are read out alone. From there on a network
    /// computes no others; the first of such parts makes `r`.
    Read(AxisOp),
    /// `r = x + proj(attention(queries(x), keys_values(x)))`, of the tokens that are read out alone
    ReadAttention(Box<ReadAttention>),
    /// `r = op(r)` along the channels
    MixRead(AxisOp),
}

/// An attention with its matrices.
#[derive(Debug)]
pub(crate) struct Attention {
    /// The axis that `qkv` and `proj` go along; the positions that attend to each other are those of
    /// the other one.
    pub along: Along,
    pub qkv: AxisOp,
    pub attention: SelfAttention,
    pub proj: AxisOp,
}

/// An attention among tokens of which only those that are read out ask; all of them answer.
#[derive(Debug)]
pub(crate) struct ReadAttention {
    pub queries: AxisOp,
    pub keys_values: AxisOp,
    /// Of the tokens that are read out.
    pub attention: SelfAttention,
    pub proj: AxisOp,
}

/// What a part has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    X,
    /// With so many channels.
    Hidden(usize),
    Read,
}

/// The sizes of the tokens' tensor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub batch: usize,
    pub tokens: usize,
    pub channels: usize,
    /// Tokens that are read out: the first ones, or the mean.
    pub read: usize,
}

impl Shape {
    pub(crate) fn axes(self, along: Along) -> Axes {
        let Shape { batch, tokens, channels, .. } = self;
        match along {
            Along::Tokens => Axes { outer: batch, axis: tokens, inner: channels },
            Along::Channels => {
                Axes { outer: batch.saturating_mul(tokens), axis: channels, inner: 1 }
            }
        }
    }

    /// The channels of so many tokens of each image.
    fn channels_of(self, tokens: usize) -> Axes {
        Shape { tokens, ..self }.axes(Along::Channels)
    }
}

/// The activations that parts work on.
pub(crate) struct Activations<'a> {
    pub x: &'a mut [f32],
    pub hidden: &'a mut [f32],
    pub attended: &'a mut [f32],
    /// `[batch, tokens that are read out, channels]`
    pub read: &'a mut [f32],
}

impl Part {
    pub(crate) fn written(&self) -> Written {
        match self {
            Part::Mix(..) | Part::Attention(_) | Part::Contract(_) => Written::X,
            Part::Expand(op) => Written::Hidden(op.out()),
            &Part::Gate(_, half) => Written::Hidden(2 * half),
            Part::Read(_) | Part::ReadAttention(_) | Part::MixRead(_) => Written::Read,
        }
    }

    /// Elements of the hidden and attended activations.
    pub(crate) fn lens(&self, shape: Shape) -> Result<[usize; 2], ModelError> {
        Ok(match self {
            Part::Attention(part) => {
                let axes = shape.axes(part.along);
                [axes.with_axis(part.qkv.out()).elements()?, axes.elements()?]
            }
            Part::ReadAttention(part) => {
                let axes = shape.axes(Along::Tokens);
                [part.attention.input(axes)?.elements()?, part.attention.output(axes).elements()?]
            }
            Part::Expand(op) => [shape.axes(Along::Channels).with_axis(op.out()).elements()?, 0],
            _ => [0, 0],
        })
    }

    /// The axes of what each operator reads.
    fn operators(&self, shape: Shape) -> Vec<(&AxisOp, Axes)> {
        match self {
            Part::Mix(along, op) => vec![(op, shape.axes(*along))],
            Part::Attention(part) => {
                let axes = shape.axes(part.along);
                vec![(&part.qkv, axes), (&part.proj, axes)]
            }
            Part::Expand(op) => vec![(op, shape.axes(Along::Channels))],
            &Part::Gate(ref op, half) => {
                vec![(op, Axes { inner: half, ..shape.axes(Along::Tokens) })]
            }
            Part::Contract(op) => vec![(op, shape.axes(Along::Channels).with_axis(op.axis()))],
            Part::Read(op) => vec![(op, shape.axes(Along::Tokens))],
            Part::ReadAttention(part) => {
                let ReadAttention { queries, keys_values, proj, .. } = &**part;
                vec![
                    (queries, shape.channels_of(1)),
                    (keys_values, shape.axes(Along::Channels)),
                    (proj, shape.channels_of(shape.read)),
                ]
            }
            Part::MixRead(op) => vec![(op, shape.channels_of(shape.read))],
        }
    }

    pub(crate) fn reserve(
        &self,
        workspace: &mut Workspace,
        shape: Shape,
        ctx: &Context,
    ) -> Result<(), ModelError> {
        for (op, axes) in self.operators(shape) {
            workspace.reserve(op.scratch_len(axes, ctx)?)?;
        }
        let attention = match self {
            Part::Attention(part) => &part.attention,
            Part::ReadAttention(part) => &part.attention,
            _ => return Ok(()),
        };
        workspace.reserve(attention.scratch_len(shape.axes(Along::Tokens), ctx)?)
    }

    /// Bytes of the packed weights.
    pub(crate) fn bytes(&self) -> usize {
        let shape = Shape { batch: 0, tokens: 0, channels: 0, read: 0 };
        self.operators(shape).iter().map(|(op, _)| op.bytes()).sum()
    }

    pub(crate) fn apply(
        &self,
        activations: &mut Activations<'_>,
        shape: Shape,
        ctx: &Context,
        scratch: &mut Scratch<f32>,
    ) -> Result<(), MixError> {
        let Activations { x, hidden, attended, read } = activations;
        let channels = shape.axes(Along::Channels);
        match self {
            Part::Mix(along, op) => op.apply(x, shape.axes(*along), ctx, scratch),
            Part::Attention(part) => {
                let Attention { along, qkv, attention, proj } = &**part;
                let axes = shape.axes(*along);
                let hidden = &mut hidden[..axes.with_axis(qkv.out()).elements()?];
                let attended = &mut attended[..axes.elements()?];
                qkv.apply_to(x, hidden, axes, ctx, scratch)?;
                attention.apply(hidden, attended, shape.axes(Along::Tokens), ctx, scratch)?;
                proj.apply_add(attended, x, axes, ctx, scratch)
            }
            Part::Expand(op) => {
                let hidden = &mut hidden[..channels.with_axis(op.out()).elements()?];
                op.apply_to(x, hidden, channels, ctx, scratch)
            }
            &Part::Gate(ref op, half) => {
                let axes = Axes { inner: half, ..shape.axes(Along::Tokens) };
                let (u, v) = halves(hidden, channels.outer, half)?;
                op.apply_views(v.as_ref(), u, Accum::Multiply, axes, ctx, scratch)
            }
            Part::Contract(op) => {
                let (u, _) = halves(hidden, channels.outer, op.axis())?;
                let x = MatMut::row_major(x, channels.outer, channels.axis)?;
                let axes = channels.with_axis(op.axis());
                op.apply_views(u.as_ref(), x, Accum::Add, axes, ctx, scratch)
            }
            Part::Read(op) => {
                first_tokens(x, read, shape);
                op.apply_add(x, read, shape.axes(Along::Tokens), ctx, scratch)
            }
            Part::ReadAttention(part) => part.apply(activations, shape, ctx, scratch),
            Part::MixRead(op) => op.apply(read, shape.channels_of(shape.read), ctx, scratch),
        }
    }
}

impl ReadAttention {
    fn apply(
        &self,
        activations: &mut Activations<'_>,
        shape: Shape,
        ctx: &Context,
        scratch: &mut Scratch<f32>,
    ) -> Result<(), MixError> {
        let ReadAttention { queries, keys_values, attention, proj } = self;
        let Activations { x, hidden, attended, read } = activations;
        let Shape { batch, tokens, channels, .. } = shape;
        let (all, rows) = (shape.axes(Along::Tokens), shape.axes(Along::Channels));
        let width = attention.input(all)?.inner;
        let hidden = &mut hidden[..rows.with_axis(width).elements()?];
        let attended = &mut attended[..attention.output(all).elements()?];
        let (one, asking) = (shape.channels_of(1), shape.channels_of(shape.read));

        for token in 0..shape.read {
            let x = MatRef::new(&x[token * channels..], batch, channels, tokens * channels, 1)?;
            let hidden = &mut hidden[token * width..];
            let hidden = MatMut::new(hidden, batch, channels, tokens * width, 1)?;
            queries.apply_views(x, hidden, Accum::Replace, one, ctx, scratch)?;
        }
        let (_, answers) = MatMut::row_major(hidden, rows.outer, width)?.split_cols(channels);
        let all_tokens = MatRef::row_major(x, rows.outer, channels)?;
        keys_values.apply_views(all_tokens, answers, Accum::Replace, rows, ctx, scratch)?;
        attention.apply(hidden, attended, all, ctx, scratch)?;
        first_tokens(x, read, shape);
        proj.apply_add(attended, read, asking, ctx, scratch)
    }
}

/// Copies the tokens that are read out of each image.
pub(crate) fn first_tokens(x: &[f32], read: &mut [f32], shape: Shape) {
    let images = x.chunks_exact((shape.tokens * shape.channels).max(1));
    for (image, read) in images.zip(read.chunks_exact_mut((shape.read * shape.channels).max(1))) {
        read.copy_from_slice(&image[..read.len()]);
    }
}

/// The halves of the columns of a matrix.
fn halves(
    hidden: &mut [f32],
    rows: usize,
    half: usize,
) -> Result<(MatMut<'_, f32>, MatMut<'_, f32>), MixError> {
    Ok(MatMut::row_major(hidden, rows, 2 * half)?.split_cols(half))
}
