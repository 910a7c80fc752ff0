//! Softmax and self-attention on cases computed by hand, and their symmetries.

use mixfold_reference::attention::{self_attention, softmax};
use mixfold_reference::axis::Axes;
use mixfold_reference::fill;
use mixfold_reference::norm::Along;

/// Distance of results in `f64` whose operations come in another order.
const CLOSE: f64 = 64.0 * f64::EPSILON;

fn assert_close(a: &[f64], b: &[f64]) {
    assert_eq!(a.len(), b.len());
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= CLOSE * (1.0 + b.abs()), "{i}: {a} and {b}");
    }
}

#[test]
fn softmax_by_hand() {
    let ln = f64::ln;
    assert_close(&softmax(&[ln(1.0), ln(2.0), ln(5.0)]), &[0.125, 0.25, 0.625]);
    assert_eq!(softmax(&[7.0]), [1.0]);
    assert_eq!(softmax::<f64>(&[]), []);
    assert_eq!(softmax(&[1e4, -1e4, 1e4]), [0.5, 0.0, 0.5]);
    assert_eq!(softmax(&[f64::NEG_INFINITY, 3.0]), [0.0, 1.0]);
}

#[test]
fn softmax_sums_to_one_and_ignores_a_shift() {
    let x: Vec<f64> = fill::input(100);
    let y = softmax(&x);
    assert_close(&[y.iter().sum()], &[1.0]);
    assert!(y.iter().all(|&y| y > 0.0));
    let shifted: Vec<f64> = x.iter().map(|x| x + 8.0).collect();
    assert_close(&softmax(&shifted), &y);
}

#[test]
fn softmax_of_numbers_that_are_not_finite() {
    let (nan, inf) = (f64::NAN, f64::INFINITY);
    for x in [[nan, 0.0], [0.0, nan], [inf, 0.0], [inf, inf], [-inf, -inf], [-inf, nan]] {
        assert!(softmax(&x).iter().all(|y| y.is_nan()), "{x:?}");
    }
}

/// Two positions, two heads of one feature.
#[test]
fn two_heads_by_hand() {
    let axes = Axes { outer: 1, axis: 2, inner: 2 };
    let ln = f64::ln(3.0);
    // Per position: queries of both heads, keys of both heads, values of both heads.
    let qkv = [0.0, 1.0, 1.0, ln, 4.0, 8.0, ln, 0.0, 2.0, 0.0, 8.0, -8.0];
    // Head 0: scores (0, 0) and (ln 3, 2·ln 3); head 1: scores (ln 3, 0) and (0, 0).
    let y = self_attention(&qkv, axes, 2, Along::Axis, 1.0);
    assert_close(&y, &[6.0, 4.0, 7.0, 0.0]);
    // Twice the scale: scores (0, 0) and (ln 9, ln 81); (ln 9, 0) and (0, 0).
    let y = self_attention(&qkv, axes, 2, Along::Axis, 2.0);
    assert_close(&y, &[6.0, 6.4, 7.6, 0.0]);
}

#[test]
fn one_key_gives_its_value() {
    let axes = Axes { outer: 3, axis: 1, inner: 4 };
    let qkv: Vec<f64> = fill::input(3 * axes.elements());
    let values: Vec<f64> = qkv.chunks(12).flat_map(|row| row[8..].to_vec()).collect();
    assert_eq!(self_attention(&qkv, axes, 2, Along::Axis, 0.5), values);
}

#[test]
fn equal_keys_give_the_mean_of_the_values() {
    let axes = Axes { outer: 1, axis: 4, inner: 1 };
    let qkv = [0.3, 2.0, 1.0, -0.7, 2.0, 2.0, 9.0, 2.0, 4.0, 0.0, 2.0, 9.0];
    assert_close(&self_attention(&qkv, axes, 1, Along::Axis, 1.0), &[4.0; 4]);
}

/// A permutation of the positions permutes the output.
#[test]
fn permutations_of_the_positions() {
    let axes = Axes { outer: 1, axis: 7, inner: 6 };
    let qkv: Vec<f64> = fill::input(3 * axes.elements());
    let permuted = |x: &[f64], row: usize| {
        (0..7).flat_map(|i| x[(3 * i + 2) % 7 * row..][..row].to_vec()).collect()
    };
    let qkv_permuted: Vec<f64> = permuted(&qkv, 18);
    let y: Vec<f64> = permuted(&self_attention(&qkv, axes, 3, Along::Axis, 0.7), 6);
    assert_close(&self_attention(&qkv_permuted, axes, 3, Along::Axis, 0.7), &y);
}

/// Positions along the inner axis are those along the axis, transposed.
#[test]
fn either_axis() {
    let transposed = |x: &[f64], rows: usize, cols: usize| -> Vec<f64> {
        let image =
            |x: &[f64]| (0..rows * cols).map(|i| x[i % rows * cols + i / rows]).collect::<Vec<_>>();
        x.chunks(rows * cols).flat_map(image).collect()
    };
    let axes = Axes { outer: 2, axis: 5, inner: 4 };
    let qkv: Vec<f64> = fill::input(3 * axes.elements());
    let y = self_attention(&qkv, axes, 2, Along::Axis, 0.5);
    let inner = Axes { axis: 4, inner: 5, ..axes };
    let found = self_attention(&transposed(&qkv, 5, 12), inner, 2, Along::Inner, 0.5);
    assert_eq!(found, transposed(&y, 5, 4));
}

#[test]
#[should_panic(expected = "5 channels of 2 heads")]
fn heads_divide_the_channels() {
    let axes = Axes { outer: 1, axis: 1, inner: 5 };
    self_attention(&[0.0; 15], axes, 2, Along::Axis, 1.0);
}
