//! Cutting maps into partitions, and putting them together again.

use mixfold_gemm::{Context, MatMut, par_rows};

use crate::{Axes, MixError};

/// Elements of a task, about.
const TASK: usize = 16_384;

/// Maps `[batch, channels, height, width]` and the equal partitions that they are cut into, which are
/// images of their own: `[batch, down, across, channels, partition height, partition width]`, where
/// `down = height / partition height` and `across = width / partition width`.
///
/// Pairs are `(vertical, horizontal)`.
///
/// # Example
/// ```
/// use mixfold_gemm::Context;
/// use mixfold_mix::Partitions;
///
/// # fn main() -> Result<(), mixfold_mix::MixError> {
/// let maps = Partitions { batch: 1, channels: 1, map: (2, 4), partition: (2, 2) };
/// let ctx = Context::new();
/// let (x, mut y) = ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [0.0; 8]);
/// maps.partition(&x, &mut y, &ctx)?;
/// assert_eq!(y, [0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0]);
/// let mut back = [0.0; 8];
/// maps.unpartition(&y, &mut back, &ctx)?;
/// assert_eq!(back, x);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partitions {
    /// Number of images.
    pub batch: usize,
    /// Channels of each image.
    pub channels: usize,
    /// Height and width of a map.
    pub map: (usize, usize),
    /// Height and width of a partition.
    pub partition: (usize, usize),
}

impl Partitions {
    /// Partitions of a map, down and across.
    ///
    /// # Errors
    /// [`MixError::Patches`] if partitions do not fill a map.
    pub fn grid(self) -> Result<(usize, usize), MixError> {
        let Partitions { map, partition, .. } = self;
        let whole = |map: usize, part: usize| part > 0 && map.is_multiple_of(part);
        if !whole(map.0, partition.0) || !whole(map.1, partition.1) {
            return Err(MixError::Patches { image: map, patch: partition });
        }
        Ok((map.0 / partition.0, map.1 / partition.1))
    }

    /// Elements of all maps.
    ///
    /// # Errors
    /// [`MixError::Overflow`]
    pub fn elements(self) -> Result<usize, MixError> {
        self.axes().elements()
    }

    /// Cuts the maps `x` into the partitions `y`: copies, row by row of a partition, on the threads of
    /// `ctx`. Allocates nothing.
    ///
    /// # Errors
    /// If partitions do not fill a map, or `x` or `y` does not have as many elements as the maps.
    pub fn partition(self, x: &[f32], y: &mut [f32], ctx: &Context) -> Result<(), MixError> {
        let (down, across) = self.check(x, y)?;
        let Partitions { channels, map: (height, width), partition: (rows, cols), .. } = self;
        // A channel of a partition.
        fill(y, rows.saturating_mul(cols), ctx, |number, y| {
            let (part, c) = (number / channels, number % channels);
            let (strip, b) = (part / across, part % across);
            let (n, a) = (strip / down, strip % down);
            let first = ((n * channels + c) * height + a * rows) * width + b * cols;
            for (i, y) in y.chunks_exact_mut(cols).enumerate() {
                y.copy_from_slice(&x[first + i * width..][..cols]);
            }
        })
    }

    /// Puts the maps `y` together from the partitions `x`: the inverse of
    /// [`partition`](Self::partition).
    ///
    /// # Errors
    /// As [`partition`](Self::partition).
    pub fn unpartition(self, x: &[f32], y: &mut [f32], ctx: &Context) -> Result<(), MixError> {
        let (down, across) = self.check(x, y)?;
        let Partitions { channels, map: (_, width), partition: (rows, cols), .. } = self;
        // What a channel has of partitions side by side.
        fill(y, rows.saturating_mul(width), ctx, |number, y| {
            let (channel, a) = (number / down, number % down);
            let (n, c) = (channel / channels, channel % channels);
            let part = (n * down + a) * across;
            for (i, y) in y.chunks_exact_mut(width).enumerate() {
                for (b, y) in y.chunks_exact_mut(cols).enumerate() {
                    let first = (((part + b) * channels + c) * rows + i) * cols;
                    y.copy_from_slice(&x[first..][..cols]);
                }
            }
        })
    }

    fn axes(self) -> Axes {
        let outer = self.batch.saturating_mul(self.channels);
        Axes { outer, axis: self.map.0, inner: self.map.1 }
    }

    fn check(self, x: &[f32], y: &[f32]) -> Result<(usize, usize), MixError> {
        let grid = self.grid()?;
        self.axes().check("input", x.len())?;
        self.axes().check("output", y.len())?;
        Ok(grid)
    }
}

/// Has `copy` fill each piece of `len` elements, given its number. They make up `y`.
fn fill(
    y: &mut [f32],
    len: usize,
    ctx: &Context,
    copy: impl Fn(usize, &mut [f32]) + Sync,
) -> Result<(), MixError> {
    if y.is_empty() {
        return Ok(());
    }
    let pieces = y.len() / len;
    let y = MatMut::row_major(y, pieces, len)?;
    let tasks = pieces.div_ceil((TASK / len).max(1)).next_multiple_of(ctx.workers());
    // Tasks need no memory: one state for each thread, of no size.
    let mut states = vec![(); ctx.workers()];
    par_rows(ctx.pool(), y, pieces.div_ceil(tasks), &mut states, |(), at, block| {
        let y = block.into_slice().unwrap_or_default();
        for (number, y) in (at.row..).zip(y.chunks_exact_mut(len)) {
            copy(number, y);
        }
    })?;
    Ok(())
}
