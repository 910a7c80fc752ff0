//! Cutting maps into partitions, and putting them together again.

use crate::{Axes, MixError};

/// Maps `[batch, channels, height, width]` and the equal partitions that they are cut into, which are
/// images of their own: `[batch, down, across, channels, partition height, partition width]`, where
/// `down = height / partition height` and `across = width / partition width`.
///
/// Pairs are `(vertical, horizontal)`.
///
/// # Example
/// ```
/// use mixfold_mix::Partitions;
///
/// # fn main() -> Result<(), mixfold_mix::MixError> {
/// let maps = Partitions { batch: 1, channels: 1, map: (2, 4), partition: (2, 2) };
/// let (x, mut y) = ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [0.0; 8]);
/// maps.partition(&x, &mut y)?;
/// assert_eq!(y, [0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0]);
/// let mut back = [0.0; 8];
/// maps.unpartition(&y, &mut back)?;
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

    /// Cuts the maps `x` into the partitions `y`: copies, row by row of a partition.
    ///
    /// # Errors
    /// If partitions do not fill a map, or `x` or `y` does not have as many elements as the maps.
    pub fn partition(self, x: &[f32], y: &mut [f32]) -> Result<(), MixError> {
        let grid = self.check(x, y)?;
        let row = self.partition.1;
        for (y, start) in y.chunks_exact_mut(row).zip(self.rows(grid)) {
            y.copy_from_slice(&x[start..][..row]);
        }
        Ok(())
    }

    /// Puts the maps `y` together from the partitions `x`: the inverse of
    /// [`partition`](Self::partition).
    ///
    /// # Errors
    /// As [`partition`](Self::partition).
    pub fn unpartition(self, x: &[f32], y: &mut [f32]) -> Result<(), MixError> {
        let grid = self.check(x, y)?;
        let row = self.partition.1;
        for (x, start) in x.chunks_exact(row).zip(self.rows(grid)) {
            y[start..][..row].copy_from_slice(x);
        }
        Ok(())
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

    /// Where the rows of partitions begin in the maps, in the order of the partitions.
    fn rows(self, (down, across): (usize, usize)) -> impl Iterator<Item = usize> {
        let Partitions { batch, channels, map: (height, width), partition: (rows, cols) } = self;
        let parts = (0..batch).flat_map(move |n| (0..down).map(move |a| (n, a)));
        let parts = parts.flat_map(move |(n, a)| (0..across).map(move |b| (n, a, b)));
        parts.flat_map(move |(n, a, b)| {
            (0..channels).flat_map(move |c| {
                let first = ((n * channels + c) * height + a * rows) * width + b * cols;
                (0..rows).map(move |row| first + row * width)
            })
        })
    }
}
