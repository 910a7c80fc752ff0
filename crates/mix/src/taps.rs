//! Where the taps of a kernel stand along one axis of an image, and the sizes that they give.

use core::ops::Range;

use crate::{Axes, MixError};

/// Heights and widths of an image and of what becomes of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub image: (usize, usize),
    pub output: (usize, usize),
}

impl Sizes {
    /// For taps along the rows and the columns.
    pub(crate) fn new(rows: Taps, cols: Taps, image: (usize, usize)) -> Result<Self, MixError> {
        let padded = (rows.padded(image.0), cols.padded(image.1));
        let axes = Axes { outer: 1, axis: padded.0, inner: padded.1 };
        if padded.0 == usize::MAX || padded.1 == usize::MAX {
            return Err(MixError::Overflow { axes });
        }
        axes.elements()?;
        // A reach that cannot be counted is larger than any image.
        let reach = (rows.reach().unwrap_or(usize::MAX), cols.reach().unwrap_or(usize::MAX));
        if padded.0 < reach.0 || padded.1 < reach.1 {
            return Err(MixError::Reach { padded, reach });
        }
        let windows = |padded: usize, reach: usize, taps: Taps| (padded - reach) / taps.stride + 1;
        let output = (windows(padded.0, reach.0, rows), windows(padded.1, reach.1, cols));
        Ok(Sizes { image, output })
    }

    /// Pixels of the output.
    pub(crate) fn pixels(self) -> usize {
        self.output.0 * self.output.1
    }
}

/// Along one axis, output `i` reads pixel `i · stride + t · dilation − padding` at each tap
/// `t < kernel`, and 0 where there is no such pixel. Only `padding` can be 0.
///
/// The pixels `p, p + stride, p + 2 · stride, …` are a **phase**: what one tap reads for outputs
/// beside each other. Taps a multiple of the stride apart read the same phase at other places, so
/// that there are at most as many phases as taps, and a single one with stride 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taps {
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
    pub dilation: usize,
}

impl Taps {
    /// Pixels from the first tap to the last one, if they can be counted.
    pub(crate) fn reach(self) -> Option<usize> {
        (self.kernel - 1).checked_mul(self.dilation)?.checked_add(1)
    }

    /// A size with the zeros on both sides; saturates.
    pub(crate) fn padded(self, size: usize) -> usize {
        size.saturating_add(self.padding).saturating_add(self.padding)
    }

    /// Number of phases.
    pub(crate) fn phases(self) -> usize {
        self.kernel.min(self.stride / gcd(self.stride, self.dilation))
    }

    /// The phase that a tap reads, and the place there of what the first output reads; saturates.
    pub(crate) fn place(self, tap: usize) -> (usize, usize) {
        let common = gcd(self.stride, self.dilation);
        let cycle = self.stride / common;
        (tap % cycle, (tap / cycle).saturating_mul(self.dilation / common))
    }

    /// Pixels of a phase that `outputs` outputs beside each other read; saturates.
    pub(crate) fn span(self, outputs: usize) -> usize {
        outputs.saturating_add(self.place(self.kernel - 1).1)
    }

    /// Of the first `len` pixels of `phase` that the outputs from number `from` on read, those that
    /// an image of `size` pixels has, and the place in the image of the first one.
    #[inline(always)]
    pub(crate) fn inside(
        self,
        phase: usize,
        from: usize,
        len: usize,
        size: usize,
    ) -> (Range<usize>, usize) {
        let start = from * self.stride + phase * self.dilation;
        let before = |end: usize| end.saturating_sub(start).div_ceil(self.stride).min(len);
        let (first, end) = (before(self.padding), before(self.padding + size));
        let pixel = if first < end { start + first * self.stride - self.padding } else { 0 };
        (first..end, pixel)
    }
}

/// The greatest common divisor of two numbers, not both 0.
fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A pair of which neither is 0.
pub(crate) fn positive(
    what: &'static str,
    found: (usize, usize),
) -> Result<(usize, usize), MixError> {
    if found.0 > 0 && found.1 > 0 { Ok(found) } else { Err(MixError::Step { what, found }) }
}

/// Visits every `stride`-th element of `source` from the first one on with an element of `target`, as
/// many as there are of both.
#[inline(always)]
pub(crate) fn with_every(
    stride: usize,
    source: &[f32],
    target: &mut [f32],
    visit: impl Fn(&mut f32, f32),
) {
    let wholes = source.chunks_exact(stride);
    let rest = wholes.remainder();
    for (target, source) in target.iter_mut().zip(wholes) {
        visit(target, source[0]);
    }
    if let (Some(target), Some(&source)) = (target.get_mut(source.len() / stride), rest.first()) {
        visit(target, source);
    }
}
