//! Tasks: how much of the output each one takes, and their working memory.

use mixfold_gemm::{Context, ScratchLen, carve, padded};

/// Rows of a task, about: enough to use each weight often, few enough to stay in the second level
/// cache.
pub(crate) const ROWS: usize = 196;

/// Rows of a task, where `rows` are handed to `workers`: about [`ROWS`], and as many tasks for each
/// worker as for the others.
pub(crate) fn rows_of_task(rows: usize, workers: usize) -> usize {
    let turns = rows.div_ceil(ROWS.saturating_mul(workers)).max(1);
    rows.div_ceil(turns.saturating_mul(workers)).max(1)
}

/// How an output is cut into tasks, and which memory they need.
pub(crate) struct Cut {
    /// Rows or columns of a task.
    pub size: usize,
    pub parts: Parts,
    pub scratch: ScratchLen,
}

impl Cut {
    /// For `tasks` tasks of this size; `shared` is what they share.
    pub(crate) fn new(
        size: usize,
        tasks: usize,
        shared: usize,
        parts: Parts,
        ctx: &Context,
    ) -> Self {
        let workers = ctx.workers().min(tasks);
        Cut { size, parts, scratch: ScratchLen { shared, each: parts.len(), workers } }
    }
}

/// Elements of each part of a task's memory.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Parts {
    /// The packed input.
    pub input: usize,
    /// The packed hidden units of a chunk.
    pub hidden: usize,
    /// Sums of the second product over all chunks.
    pub total: usize,
    /// Sums within a product whose k is long.
    pub sums: usize,
    /// Means, and as many 1/σ; or γ and as many β.
    pub statistics: usize,
    /// The gate of each row.
    pub gate: usize,
}

/// A task's memory.
pub(crate) struct Memory<'a> {
    pub input: &'a mut [f32],
    pub hidden: &'a mut [f32],
    pub total: &'a mut [f32],
    pub sums: &'a mut [f32],
    pub statistics: (&'a mut [f32], &'a mut [f32]),
    pub gate: &'a mut [f32],
}

impl Parts {
    /// Elements of all parts.
    fn len(self) -> usize {
        let Parts { input, hidden, total, sums, statistics, gate } = self;
        [input, hidden, total, sums, statistics.saturating_mul(2), gate]
            .into_iter()
            .fold(0, |sum: usize, part| sum.saturating_add(padded::<f32>(part)))
    }

    pub(crate) fn carve(self, mut memory: &mut [f32]) -> Memory<'_> {
        Memory {
            input: carve(&mut memory, self.input),
            hidden: carve(&mut memory, self.hidden),
            total: carve(&mut memory, self.total),
            sums: carve(&mut memory, self.sums),
            statistics: carve(&mut memory, 2 * self.statistics).split_at_mut(self.statistics),
            gate: carve(&mut memory, self.gate),
        }
    }
}
