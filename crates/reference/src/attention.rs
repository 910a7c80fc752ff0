//! Self-attention.

use crate::{Real, product, sum};

/// Multi-head self-attention (Vaswani et al., arXiv 1706.03762) without its projections, of each head
/// by itself:
///
/// `y[i] = Σⱼ p[i, j]·v[j]`, `p[i, j] = exp(s[i, j] − maxₖ s[i, k]) / Σₖ exp(s[i, k] − maxₖ s[i, k])`,
/// `s[i, j] = scale·Σ_f q[i, f]·k[j, f]`
///
/// The rows of `qkv`, `[positions, 3·heads·width]`, are queries, keys and values, each with the
/// `width` features of head 0 first; those of `y` are `[positions, heads·width]`.
///
/// # Panics
/// If `qkv` does not have that size.
pub fn self_attention<T: Real>(
    qkv: &[T],
    positions: usize,
    heads: usize,
    width: usize,
    scale: T,
) -> Vec<T> {
    let size = [positions, 3, heads, width];
    assert_eq!(qkv.len(), product(&size), "queries, keys and values {size:?}");
    let at = |part: usize, position: usize, head: usize, feature: usize| {
        qkv[((position * 3 + part) * heads + head) * width + feature]
    };
    let mut y = Vec::with_capacity(product(&[positions, heads, width]));
    for i in 0..positions {
        for head in 0..heads {
            let score = |j| scale * sum((0..width).map(|f| at(0, i, head, f) * at(1, j, head, f)));
            let scores: Vec<T> = (0..positions).map(score).collect();
            let largest = scores.iter().copied().fold(T::neg_infinity(), T::max);
            let weights: Vec<T> = scores.iter().map(|&s| (s - largest).exp()).collect();
            let total = sum(weights.iter().copied());
            for f in 0..width {
                let terms = weights.iter().enumerate().map(|(j, &w)| w / total * at(2, j, head, f));
                y.push(sum(terms));
            }
        }
    }
    y
}
