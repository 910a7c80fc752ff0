//! Self-attention on queries, keys and values that stand beside each other in one tensor.

mod columns;
mod cut;
mod rows;
mod softmax;

use mixfold_gemm::{Context, GemmError, MatMut, MatRef, Scratch, ScratchLen, par_blocks};

use crate::{Axes, MixError};
use cut::Cut;

/// Along which axis of `[outer, axis, inner]` the positions stand that attend to each other; the
/// features stand along the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// `[outer, positions, features]`: tokens attend to tokens, as in a vision transformer.
    Axis,
    /// `[outer, features, positions]`: channels attend to channels, where tokens come first.
    Inner,
}

/// Multi-head self-attention (Vaswani et al., 2017) without its projections:
///
/// `y_i = Σ_j softmax_j(scale · q_i·k_j) · v_j`
///
/// for each outer index and each head, where i and j are positions and q, k, v vectors of
/// `width = channels / heads` features. The scale is width^−½ unless another one is given.
///
/// Queries, keys and values come in one tensor, as a linear map makes them. Its features are, in this
/// order, those of all queries, all keys and all values, `channels` each, and there those of head 0,
/// of head 1, and so on. With y of `[outer, positions, channels]`, the input is
/// `[outer, positions, 3 · channels]` ([`Positions::Axis`]); with y of `[outer, channels, positions]`,
/// it is `[outer, 3 · channels, positions]` ([`Positions::Inner`]). Neither is transposed in memory.
/// Where only the first positions are asked for ([`first`](SelfAttention::first)), y has those alone, and
/// what stands in the place of the other queries is not read.
///
/// # Method
/// A task is a head, or some queries of one. Its keys and values are packed for the two products.
/// The scores of a few queries (a register tile of them) with at most 256 keys are computed into the
/// first level cache, become weights there, and are multiplied with the values; with more keys, the
/// sums so far are scaled to the new maximum (Milakov and Gimelshein, 2018). Working memory grows with
/// the number of positions, not with its square.
///
/// # Accuracy
/// Let s_j be the exact scores of a query, m their maximum, w_j = softmax(s)_j, n the number of keys,
/// b = ⌈n / 256⌉, and u = 2⁻²⁴. A score has an error of at most δ_j = (width + 2)·u·Σ|scale·q·k_j|, and
/// a weight before it is divided by their sum a relative error of at most
/// η_j = δ_j + u·(m − s_j) + 8.5e-8·b, to first order. The error of y is at most
/// Σ w_j·(η_j + (n + 3b)·u)·(|v_j| + |y|) + 2u·|y|. Weights of less than the smallest normal number
/// of f32 lose bits.
///
/// # Not finite
/// A query with a score that is NaN or +∞, or with none but −∞, gives NaN, as the formula with the
/// maximum subtracted does; a key with a score of −∞ beside finite ones has weight 0. An infinite
/// value gives NaN where its weight becomes 0 to f32, and else itself. With at most 256 keys that is
/// where its score is 104 or more below the maximum; with more, where it is so far below the largest
/// one up to its block, or a later block raises that by as much. Nothing reaches another query, head or
/// outer index but through the keys and values that they share. A score or sum of values that
/// overflows counts as infinite.
///
/// # Same bits
/// For any number of threads and any place in `outer`, and among fused instruction sets.
///
/// # Example
/// ```
/// use mixfold_gemm::{Context, Scratch};
/// use mixfold_mix::{Axes, Positions, SelfAttention};
///
/// # fn main() -> Result<(), mixfold_mix::MixError> {
/// // Two tokens with one query, key and value each.
/// let attention = SelfAttention::new(1, 1, Positions::Axis)?;
/// let axes = Axes { outer: 1, axis: 2, inner: 1 };
/// let qkv = [0.0, 5.0, 1.0, 100.0, 6.0, 3.0];
/// let mut y = [0.0; 2];
/// attention.apply(&qkv, &mut y, axes, &Context::new(), &mut Scratch::new())?;
/// // The first one attends to both tokens alike, the second one to itself.
/// assert_eq!(y, [2.0, 3.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SelfAttention {
    heads: usize,
    channels: usize,
    positions: Positions,
    scale: f32,
    /// Positions that are asked for.
    first: usize,
}

impl SelfAttention {
    /// With `channels` features in `heads` heads.
    ///
    /// # Errors
    /// [`MixError::Heads`] if there are no heads, or they do not divide the channels.
    pub fn new(heads: usize, channels: usize, positions: Positions) -> Result<Self, MixError> {
        if heads == 0 || !channels.is_multiple_of(heads) {
            return Err(MixError::Heads { heads, channels });
        }
        let scale = 1.0 / ((channels / heads) as f64).sqrt();
        Ok(SelfAttention { heads, channels, positions, scale: scale as f32, first: usize::MAX })
    }

    /// With another scale of the scores.
    pub fn scale(self, scale: f32) -> Self {
        SelfAttention { scale, ..self }
    }

    /// Of the first positions alone, or of all if there are not more: y is `[outer, first, channels]`
    /// or `[outer, channels, first]`. The bits are those of the first ones among all.
    pub fn first(self, first: usize) -> Self {
        SelfAttention { first, ..self }
    }

    /// Number of heads.
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// Features of a head.
    pub fn width(&self) -> usize {
        self.channels / self.heads
    }

    /// Shape of the input where `axes` is that of all positions, `[outer, positions, channels]` or
    /// `[outer, channels, positions]`.
    ///
    /// # Errors
    /// [`MixError::Channels`] if the axes do not have the channels of the attention,
    /// [`MixError::Overflow`] if a shape does not fit the address space.
    pub fn input(&self, axes: Axes) -> Result<Axes, MixError> {
        let found = match self.positions {
            Positions::Axis => axes.inner,
            Positions::Inner => axes.axis,
        };
        if found != self.channels {
            return Err(MixError::Channels { expected: self.channels, found });
        }
        axes.elements()?;
        let three = self.channels.checked_mul(3).ok_or(MixError::Overflow { axes })?;
        let input = match self.positions {
            Positions::Axis => Axes { inner: three, ..axes },
            Positions::Inner => Axes { axis: three, ..axes },
        };
        input.elements()?;
        Ok(input)
    }

    /// Shape of the output where `axes` is that of all positions: the same, or with the
    /// [`first`](Self::first) ones alone.
    pub fn output(&self, axes: Axes) -> Axes {
        match self.positions {
            Positions::Axis => axes.with_axis(axes.axis.min(self.first)),
            Positions::Inner => Axes { inner: axes.inner.min(self.first), ..axes },
        }
    }

    /// Number of positions of a tensor.
    fn positions(&self, axes: Axes) -> usize {
        match self.positions {
            Positions::Axis => axes.axis,
            Positions::Inner => axes.inner,
        }
    }

    /// Memory for [`apply`](Self::apply), so that it allocates nothing.
    ///
    /// # Errors
    /// As [`input`](Self::input).
    pub fn scratch_len(&self, axes: Axes, ctx: &Context) -> Result<ScratchLen, MixError> {
        self.input(axes)?;
        Ok(Cut::new(self, axes, ctx)?.scratch)
    }

    /// Fills `y`, whose shape is [`output`](Self::output)`(axes)`, from queries, keys and values, whose
    /// shape is [`input`](Self::input)`(axes)`.
    ///
    /// # Errors
    /// If `axes` does not have the channels of the attention, or `qkv` or `y` not the length of its
    /// shape.
    pub fn apply(
        &self,
        qkv: &[f32],
        y: &mut [f32],
        axes: Axes,
        ctx: &Context,
        scratch: &mut Scratch<f32>,
    ) -> Result<(), MixError> {
        self.input(axes)?.check("input", qkv.len())?;
        let output = self.output(axes);
        output.check("output", y.len())?;
        let cut = Cut::new(self, axes, ctx)?;
        if y.is_empty() {
            return Ok(());
        }
        let (_, workers) = scratch.take(cut.scratch)?;
        // Parts of a head are blocks of one image.
        let images = if cut.parts == 1 { axes.outer } else { 1 };
        let (len, of_queries) = (axes.axis * axes.inner, output.axis * output.inner);
        let (width, positions, queries) =
            (self.width(), self.positions(axes), self.positions(output));
        let qkv = qkv.chunks_exact(images * 3 * len);
        for (qkv, y) in qkv.zip(y.chunks_exact_mut(images * of_queries)) {
            let qkv = Qkv::new(self, qkv, positions)?;
            let (shape, block) = match self.positions {
                Positions::Axis => ((images * queries, self.channels), (cut.queries, width)),
                Positions::Inner => ((images * self.channels, queries), (width, cut.queries)),
            };
            let y = MatMut::row_major(y, shape.0, shape.1)?;
            par_blocks(ctx.pool(), y, block, workers, |memory, at, block| {
                let memory = cut.carve(memory);
                let part = || match self.positions {
                    Positions::Axis => {
                        let (image, first) = (at.row / queries, at.row % queries);
                        let head = qkv.head(image, at.col / width, (first, block.rows()))?;
                        rows::run(ctx.isa(), head, self.scale, block, memory)
                    }
                    Positions::Inner => {
                        let (image, row) = (at.row / self.channels, at.row % self.channels);
                        let head = qkv.head(image, row / width, (at.col, block.cols()))?;
                        columns::run(ctx.isa(), head, self.scale, block, memory)
                    }
                };
                part().expect("shapes have been compared");
            })?;
        }
        Ok(())
    }
}

/// Queries, keys and values of some images.
struct Qkv<'a> {
    /// Of `[images · positions, 3 · channels]`, or of `[images · 3 · channels, positions]`.
    all: MatRef<'a, f32>,
    attention: &'a SelfAttention,
    positions: usize,
}

impl<'a> Qkv<'a> {
    fn new(
        attention: &'a SelfAttention,
        data: &'a [f32],
        positions: usize,
    ) -> Result<Self, GemmError> {
        let (rows, cols) = match attention.positions {
            Positions::Axis => (data.len() / (3 * attention.channels), 3 * attention.channels),
            Positions::Inner => (data.len() / positions, positions),
        };
        Ok(Qkv { all: MatRef::row_major(data, rows, cols)?, attention, positions })
    }

    /// A head of an image, with `queries.1` of its queries from `queries.0` on.
    fn head(
        &self,
        image: usize,
        head: usize,
        queries: (usize, usize),
    ) -> Result<Head<'a>, GemmError> {
        let Qkv { all, attention, positions } = *self;
        let (channels, width) = (attention.channels, attention.width());
        let part = |part: usize, (first, len): (usize, usize)| {
            let feature = part * channels + head * width;
            match attention.positions {
                Positions::Axis => all.block(image * positions + first, feature, len, width),
                Positions::Inner => {
                    let row = image * 3 * channels + feature;
                    all.block(row, first, width, len).map(MatRef::transpose)
                }
            }
        };
        let every = (0, positions);
        Ok(Head { queries: part(0, queries)?, keys: part(1, every)?, values: part(2, every)? })
    }
}

/// Of one head, each of them a matrix of `[positions, width]`.
#[derive(Clone, Copy)]
struct Head<'a> {
    queries: MatRef<'a, f32>,
    keys: MatRef<'a, f32>,
    values: MatRef<'a, f32>,
}
