//! Where the taps of a kernel stand along one axis of an image.

use core::ops::Range;

/// Along one axis, output `i` reads pixel `i · stride + t · dilation − padding` at each tap
/// `t < kernel`, and 0 where there is no such pixel. Only `padding` can be 0.
///
/// The pixels `p, p + stride, p + 2 · stride, …` are a **phase**: what one tap reads for outputs
/// beside each other. Taps a multiple of the stride apart read the same phase at other places, so
/// that there are at most as many phases as taps, and a single one with stride 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taps {
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
    pub dilation: usize,
}

impl Taps {
    /// Pixels from the first tap to the last one, if they can be counted.
    pub(super) fn reach(self) -> Option<usize> {
        (self.kernel - 1).checked_mul(self.dilation)?.checked_add(1)
    }

    /// A size with the zeros on both sides; saturates.
    pub(super) fn padded(self, size: usize) -> usize {
        size.saturating_add(self.padding).saturating_add(self.padding)
    }

    /// Number of phases.
    pub(super) fn phases(self) -> usize {
        self.kernel.min(self.stride / gcd(self.stride, self.dilation))
    }

    /// The phase that a tap reads, and the place there of what the first output reads; saturates.
    pub(super) fn place(self, tap: usize) -> (usize, usize) {
        let common = gcd(self.stride, self.dilation);
        let cycle = self.stride / common;
        (tap % cycle, (tap / cycle).saturating_mul(self.dilation / common))
    }

    /// Pixels of a phase that `outputs` outputs beside each other read; saturates.
    pub(super) fn span(self, outputs: usize) -> usize {
        outputs.saturating_add(self.place(self.kernel - 1).1)
    }

    /// Of the first `len` pixels of `phase` that the outputs from number `from` on read, those that
    /// an image of `size` pixels has, and the place in the image of the first one.
    pub(super) fn inside(
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
