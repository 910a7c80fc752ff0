//! Self-attention.

use crate::{Real, axis::Axes, norm::Along, product, sum};

/// `softmax(x)[j] = exp(x[j] − m) / Σₖ exp(x[k] − m)` with `m` the largest element.
///
/// NaN everywhere if an element is NaN or `+∞`, or if all are `−∞`.
pub fn softmax<T: Real>(x: &[T]) -> Vec<T> {
    let largest = x.iter().fold(T::neg_infinity(), |m, &x| if x > m { x } else { m });
    let exps: Vec<T> = x.iter().map(|&x| (x - largest).exp()).collect();
    let total = sum(exps.iter().copied());
    exps.into_iter().map(|e| e / total).collect()
}

/// Multi-head self-attention (Vaswani et al., arXiv 1706.03762) without its projections:
///
/// `y[i] = Σⱼ softmaxⱼ(scale · q[i]·k[j]) · v[j]`
///
/// for each outer index and head, with positions i and j, and vectors of the head's features.
///
/// `axes` is the shape of `y`. Its positions run along `positions` and its channels, those of head
/// 0 first, along the other one of the last two dimensions. In `qkv`, that other one is three times
/// as long: the channels of all queries, then of all keys, then of all values.
///
/// # Panics
/// If `qkv` does not have three times the size of `axes`, or `heads` does not divide the channels.
pub fn self_attention<T: Real>(
    qkv: &[T],
    axes: Axes,
    heads: usize,
    positions: Along,
    scale: T,
) -> Vec<T> {
    assert_eq!(qkv.len(), product(&[3, axes.elements()]), "input {axes:?}");
    let (count, channels) = match positions {
        Along::Axis => (axes.axis, axes.inner),
        Along::Inner => (axes.inner, axes.axis),
    };
    assert!(heads > 0 && channels % heads == 0, "{channels} channels of {heads} heads");
    let index = |axes: Axes, outer, position, channel| match positions {
        Along::Axis => axes.index(outer, position, channel),
        Along::Inner => axes.index(outer, channel, position),
    };
    let input = match positions {
        Along::Axis => Axes { inner: 3 * channels, ..axes },
        Along::Inner => Axes { axis: 3 * channels, ..axes },
    };
    let mut y = vec![T::zero(); axes.elements()];
    for outer in 0..axes.outer {
        for head in 0..heads {
            let features = head * (channels / heads)..(head + 1) * (channels / heads);
            let at = |part, position, channel| {
                qkv[index(input, outer, position, part * channels + channel)]
            };
            for i in 0..count {
                let score = |j| {
                    let dot = sum(features.clone().map(|c| at(0, i, c) * at(1, j, c)));
                    scale * dot
                };
                let weights = softmax(&(0..count).map(score).collect::<Vec<_>>());
                for c in features.clone() {
                    let terms = weights.iter().enumerate().map(|(j, &w)| w * at(2, j, c));
                    y[index(axes, outer, i, c)] = sum(terms);
                }
            }
        }
    }
    y
}
