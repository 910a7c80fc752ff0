//! The entries that a convolution has in its matrix: few, and known by their index.

use crate::geometry::{Inside, Windows};
use crate::{FoldError, Geometry, Kernel};

/// A kernel on a map: each row `(o, oy, ox)` of the matrix holds the taps of one window, at the
/// columns `(c, iy, ix)` on which they fall.
pub(crate) struct Band<'a> {
    kernel: &'a Kernel,
    windows: Windows,
    down: Vec<Inside>,
    across: Vec<Inside>,
}

impl<'a> Band<'a> {
    /// Its memory is O(height + width) of the output map.
    pub(crate) fn new(kernel: &'a Kernel, geometry: Geometry) -> Result<Self, FoldError> {
        let [.., height, width] = kernel.shape();
        let windows = geometry.windows([height, width])?;
        let (down, across) = (windows.along(0), windows.along(1));
        Ok(Band { kernel, windows, down, across })
    }

    /// All rows, in their order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.kernel.shape()[0]).flat_map(move |channel| {
            self.down.iter().flat_map(move |down| {
                self.across.iter().map(move |across| Row { band: self, channel, down, across })
            })
        })
    }
}

pub(crate) struct Row<'a> {
    band: &'a Band<'a>,
    channel: usize,
    down: &'a Inside,
    across: &'a Inside,
}

impl Row<'_> {
    /// The bias of the output channel.
    pub(crate) fn bias(&self) -> f64 {
        self.band.kernel.bias()[self.channel]
    }

    /// Calls `entry(column, value)` for each tap that lies inside the map.
    #[inline]
    pub(crate) fn entries(&self, mut entry: impl FnMut(usize, f64)) {
        let Row { band: Band { kernel, windows, .. }, channel, down, across } = self;
        let ([_, in_channels, kh, kw], [height, width]) = (kernel.shape(), windows.map);
        for c in 0..in_channels {
            let mut line = (c * height + down.first) * width + across.first;
            for ky in down.taps.clone() {
                let taps = ((channel * in_channels + c) * kh + ky) * kw;
                let mut col = line;
                for &tap in &kernel.weight()[taps..][across.taps.clone()] {
                    entry(col, tap);
                    col += across.step;
                }
                line += down.step * width;
            }
        }
    }
}
