//! Tasks of an attention, and their working memory.

use core::ops::Range;

use mixfold_gemm::{
    Context, GemmError, KernelId, ScratchLen, carve, padded, panels_len, sums_len, tiles_len,
};

use super::softmax::Running;
use super::{Positions, SelfAttention};
use crate::{Axes, MixError};

/// Keys of a block, at most: their scores with the queries of a tile stay in the first level cache.
/// The same on every instruction set, as sums begin anew with each block.
const KEYS: usize = 256;
/// Tasks for each worker from which on it does not matter that the last ones end alone.
const TURNS: usize = 4;

/// A length in parts that differ by at most one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    parts: usize,
    size: usize,
    /// Parts of `size + 1`, which come first.
    more: usize,
}

impl Split {
    /// As few parts of at most `most` as there can be.
    pub(super) fn new(len: usize, most: usize) -> Self {
        let parts = len.div_ceil(most);
        Split { parts, size: len / parts.max(1), more: len % parts.max(1) }
    }

    /// The largest part.
    fn most(self) -> usize {
        self.size + usize::from(self.more > 0)
    }

    /// The parts, in order.
    pub(super) fn ranges(self) -> impl Iterator<Item = Range<usize>> {
        let start = move |i: usize| i * self.size + i.min(self.more);
        (0..self.parts).map(move |i| start(i)..start(i + 1))
    }
}

/// How an attention is cut into tasks, and which memory they need.
pub(super) struct Cut {
    /// Parts of the queries of each head.
    pub parts: usize,
    /// Queries of a part.
    pub queries: usize,
    pub scratch: ScratchLen,
    blocks: Split,
    len: Len,
}

/// Elements of each part of a task's memory.
struct Len {
    /// A block of packed keys, and of packed values.
    block: usize,
    queries: usize,
    scores: usize,
    total: usize,
    sums: usize,
    /// One number for each query of a tile.
    line: usize,
}

/// A task's memory.
pub(super) struct Memory<'a> {
    /// Blocks of keys.
    pub blocks: Split,
    /// The packed keys of each block.
    pub keys: Blocks<'a>,
    /// The packed values of each block.
    pub values: Blocks<'a>,
    /// The packed queries of a tile.
    pub queries: &'a mut [f32],
    /// Scores, or weights, of a tile with a block of keys.
    pub scores: &'a mut [f32],
    /// Weighted sums of values so far.
    pub total: &'a mut [f32],
    /// Of a product whose k is long.
    pub sums: &'a mut [f32],
    pub running: Running<'a>,
}

/// Memory for a packed operand of each block.
pub(super) struct Blocks<'a> {
    data: &'a mut [f32],
    len: usize,
}

impl Blocks<'_> {
    /// Of block `i`.
    pub(super) fn block(&mut self, i: usize) -> &mut [f32] {
        &mut self.data[i * self.len..][..self.len]
    }
}

impl Cut {
    /// The shapes are known to fit the address space.
    pub(super) fn new(
        attention: &SelfAttention,
        axes: Axes,
        ctx: &Context,
    ) -> Result<Self, MixError> {
        let (kernel, workers) = (KernelId::of::<f32>(ctx.isa()), ctx.workers());
        let (positions, heads) = (attention.positions(axes), attention.heads);
        let asked = attention.positions(attention.output(axes));
        let blocks = Split::new(positions, KEYS);
        let (len, tile) = match attention.positions {
            Positions::Axis => {
                (Len::of_rows(kernel, attention.width(), blocks.most())?, kernel.rows)
            }
            Positions::Inner => {
                (Len::of_columns(kernel, attention.width(), blocks.most())?, kernel.cols)
            }
        };
        // Heads, in parts where they leave workers without work.
        let all = axes.outer.saturating_mul(heads);
        let even =
            |tasks: usize| tasks.is_multiple_of(workers) || tasks >= workers.saturating_mul(TURNS);
        let tiles = asked.div_ceil(tile).max(1);
        let parts = match even(all) {
            true => 1,
            false => (1..tiles).find(|parts| even(heads.saturating_mul(*parts))).unwrap_or(tiles),
        };
        let queries = asked.div_ceil(parts).max(1);
        let tasks = if parts == 1 { all } else { heads.saturating_mul(asked.div_ceil(queries)) };
        let each = len.each(blocks);
        let scratch = ScratchLen { shared: 0, each, workers: workers.min(tasks) };
        Ok(Cut { parts, queries, scratch, blocks, len })
    }

    pub(super) fn carve<'a>(&self, mut memory: &'a mut [f32]) -> Memory<'a> {
        let Cut { blocks, len, .. } = self;
        let all = blocks.parts * len.block;
        Memory {
            blocks: *blocks,
            keys: Blocks { data: carve(&mut memory, all), len: len.block },
            values: Blocks { data: carve(&mut memory, all), len: len.block },
            queries: carve(&mut memory, len.queries),
            scores: carve(&mut memory, len.scores),
            total: carve(&mut memory, len.total),
            sums: carve(&mut memory, len.sums),
            running: Running {
                largest: carve(&mut memory, len.line),
                sum: carve(&mut memory, len.line),
                decay: carve(&mut memory, len.line),
                added: carve(&mut memory, len.line),
            },
        }
    }
}

impl Len {
    /// Queries are rows of the scores.
    fn of_rows(kernel: KernelId, width: usize, keys: usize) -> Result<Self, GemmError> {
        let rows = kernel.rows;
        let (keys_len, values) =
            (panels_len(kernel, width, keys)?, panels_len(kernel, keys, width)?);
        Ok(Len {
            block: padded::<f32>(keys_len.max(values)),
            queries: tiles_len(rows, width)?,
            scores: tiles_len(rows, keys)?,
            total: rows.saturating_mul(width),
            sums: sums_len(kernel, rows, width, keys)?,
            line: rows,
        })
    }

    /// Queries are columns of the scores.
    fn of_columns(kernel: KernelId, width: usize, keys: usize) -> Result<Self, GemmError> {
        let cols = kernel.cols;
        Ok(Len {
            block: padded::<f32>(tiles_len(keys, width)?.max(tiles_len(width, keys)?)),
            queries: panels_len(kernel, width, cols)?,
            scores: panels_len(kernel, keys, cols)?,
            total: cols.saturating_mul(width),
            sums: sums_len(kernel, keys, width, cols)?,
            line: cols,
        })
    }

    /// Elements of all parts.
    fn each(&self, blocks: Split) -> usize {
        let &Len { block, queries, scores, total, sums, line } = self;
        let all = block.saturating_mul(blocks.parts);
        [all, all, queries, scores, total, sums, line, line, line, line]
            .into_iter()
            .fold(0, |sum: usize, part| sum.saturating_add(padded::<f32>(part)))
    }
}
