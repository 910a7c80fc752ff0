//! What a classifier says.

/// Logits of a batch: `[batch, classes]`, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Logits {
    classes: usize,
    values: Vec<f32>,
}

impl Logits {
    pub(crate) fn new(classes: usize, values: Vec<f32>) -> Self {
        Logits { classes, values }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// All logits, row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The logits of each image.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.classes.max(1))
    }

    /// The `k` likeliest classes of the first image with their probabilities, likeliest first.
    pub fn top(&self, k: usize) -> Vec<(usize, f32)> {
        self.rows().next().map(|row| top(row, k)).unwrap_or_default()
    }
}

/// The `k` likeliest classes with their probabilities, likeliest first; the lower index first among
/// equals, NaN last. All classes if there are fewer.
///
/// The probability is that of the softmax over all `logits`, `eˡ / Σeˡ`, computed in `f64`. There is
/// none, and all are NaN, if a logit is NaN or +∞, or if all are −∞.
pub fn top(logits: &[f32], k: usize) -> Vec<(usize, f32)> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |logit: f32| (f64::from(logit) - f64::from(largest)).exp();
    let total: f64 = logits.iter().map(|&logit| weight(logit)).sum();
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| {
        let by_value = logits[b].partial_cmp(&logits[a]);
        by_value.unwrap_or_else(|| logits[a].is_nan().cmp(&logits[b].is_nan()))
    });
    order.truncate(k);
    order.into_iter().map(|i| (i, (weight(logits[i]) / total) as f32)).collect()
}
