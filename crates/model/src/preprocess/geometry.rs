//! Sizes and offsets, rounded as timm and torchvision round them.

/// One axis of an image: resized as a whole, of which the centre is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    source: u32,
    resized: u64,
    start: u64,
    visible: usize,
    padding: usize,
}

impl Axis {
    /// The centre `crop` samples of `resized` ones. If there are fewer, all of them are seen, with
    /// padding on both sides: as torchvision's `center_crop`.
    pub(super) fn new(source: u32, resized: u64, crop: usize) -> Self {
        let excess = resized.saturating_sub(crop as u64);
        let visible = (resized - excess) as usize;
        Self {
            source,
            resized,
            start: half_to_even(excess),
            visible,
            padding: (crop - visible) / 2,
        }
    }

    /// The samples of the image.
    pub(super) fn source(&self) -> u32 {
        self.source
    }

    /// The samples of the resized image that are seen.
    pub(super) fn visible(&self) -> usize {
        self.visible
    }

    /// The empty samples before those that are seen.
    pub(super) fn padding(&self) -> usize {
        self.padding
    }

    /// How many samples resizing takes away; negative if it adds some.
    pub(super) fn shrinkage(&self) -> i64 {
        i64::from(self.source) - self.resized as i64
    }

    /// Source samples per resized sample.
    pub(super) fn scale(&self) -> f64 {
        f64::from(self.source) / self.resized as f64
    }

    /// Where in the source the seen samples begin, and how long they are together.
    pub(super) fn window(&self) -> (f64, f64) {
        let place = |n: u64| n as f64 * f64::from(self.source) / self.resized as f64;
        (place(self.start), place(self.visible as u64))
    }
}

/// `n / 2`, to the even neighbour if it lies halfway, as Python's `round`.
fn half_to_even(n: u64) -> u64 {
    let half = n / 2;
    half + (n % 2) * (half % 2)
}

/// Height and width that keep the aspect ratio of `source` and cover `target`.
///
/// For a square target: torchvision's `Resize(size)`, the longer side is `size * long / short`
/// rounded down. For another: timm's `ResizeKeepRatio`, both sides rounded to nearest.
pub(super) fn fit_shorter_side(source: [u32; 2], target: [f64; 2]) -> [u64; 2] {
    let [height, width] = source.map(f64::from);
    if target[0] == target[1] {
        let size = target[0];
        let longer = (size * height.max(width) / height.min(width)) as u64;
        let size = size as u64;
        if width <= height { [longer, size] } else { [size, longer] }
    } else {
        let ratio = (height / target[0]).min(width / target[1]);
        // A side shorter than half a pixel would vanish.
        [height, width].map(|side| ((side / ratio).round_ties_even() as u64).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_round_to_even() {
        let halves: Vec<u64> = (0..10).map(half_to_even).collect();
        assert_eq!(halves, [0, 0, 1, 2, 2, 2, 3, 4, 4, 4]);
    }

    #[test]
    fn shorter_side_is_fitted() {
        // torchvision.transforms.Resize(256) and timm's ResizeKeepRatio, run.
        assert_eq!(fit_shorter_side([480, 640], [256.0; 2]), [256, 341]);
        assert_eq!(fit_shorter_side([640, 480], [256.0; 2]), [341, 256]);
        assert_eq!(fit_shorter_side([333, 333], [256.0; 2]), [256, 256]);
        assert_eq!(fit_shorter_side([3000, 1], [256.0; 2]), [768_000, 256]);
        assert_eq!(fit_shorter_side([480, 640], [256.0, 384.0]), [288, 384]);
        assert_eq!(fit_shorter_side([100, 333], [64.0, 96.0]), [64, 213]);
    }

    #[test]
    fn crop_takes_the_centre_or_pads() {
        let seen = |resized, crop| {
            let axis = Axis::new(100, resized, crop);
            (axis.start, axis.visible, axis.padding)
        };
        assert_eq!(seen(256, 224), (16, 224, 0));
        assert_eq!(seen(227, 224), (2, 224, 0));
        assert_eq!(seen(229, 224), (2, 224, 0));
        assert_eq!(seen(224, 224), (0, 224, 0));
        assert_eq!(seen(221, 224), (0, 221, 1));
    }
}
