//! The working memory of a task.

use mixfold_gemm::{carve, padded};

/// Elements of each part.
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
    /// Means, and as many 1/σ.
    pub statistics: usize,
}

/// The parts.
pub(crate) struct Memory<'a> {
    pub input: &'a mut [f32],
    pub hidden: &'a mut [f32],
    pub total: &'a mut [f32],
    pub sums: &'a mut [f32],
    pub statistics: (&'a mut [f32], &'a mut [f32]),
}

impl Parts {
    /// Elements of all parts.
    pub(crate) fn len(self) -> usize {
        let Parts { input, hidden, total, sums, statistics } = self;
        [input, hidden, total, sums, 2 * statistics]
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
        }
    }
}
