//! Parts of the networks on cases computed by hand.

use mixfold_reference::activation::Activation;
use mixfold_reference::attention::self_attention;
use mixfold_reference::axis::{Axes, glu, halves};
use mixfold_reference::embedding::resize_bilinear;
use mixfold_reference::tokens::{mean_token, prepend, token};

use crate::assert_close;

/// Rows of queries, keys and values, each of two heads with one feature.
#[test]
fn each_head_has_its_own_weights() {
    let log = |p: f64| p.ln();
    let qkv = [
        // Head 0 weighs the positions 1 : 3, then 9 : 1; head 1 equally, then 2 : 5.
        [1.0, 0.0, log(1.0), log(2.0), 4.0, 10.0],
        [-2.0, 1.0, log(3.0), log(5.0), 8.0, 24.0],
    ];
    let y = self_attention(qkv.as_flattened(), 2, 2, 1, 1.0);
    assert_close(&y, &[7.0, 17.0, 4.4, 20.0], 1e-14);
    // Half the scores: 1 : √3, then 3 : 1; equally, then √2 : √5.
    let y = self_attention(qkv.as_flattened(), 2, 2, 1, 0.5);
    let mix = |a: f64, b: f64, x: f64, y: f64| (a * x + b * y) / (a + b);
    let expected = [
        mix(1.0, 3f64.sqrt(), 4.0, 8.0),
        17.0,
        mix(3.0, 1.0, 4.0, 8.0),
        mix(2f64.sqrt(), 5f64.sqrt(), 10.0, 24.0),
    ];
    assert_close(&y, &expected, 1e-14);
}

#[test]
fn scores_are_dot_products_of_a_head() {
    // Two features: the scores of the first query are 1·5 − 2·2 = 1 and 3·1 − 1 = 1·3 − 2·1 = 1.
    let qkv = [[1.0, -2.0, 5.0, 2.0, 1.0, 3.0], [0.0, 0.0, 3.0, 1.0, 2.0, 7.0]];
    let y = self_attention(qkv.as_flattened(), 2, 1, 2, 0.7);
    assert_eq!(y, [1.5, 5.0, 1.5, 5.0]);
}

#[test]
fn large_scores_do_not_overflow() {
    let qkv = [[1.0f32, 1e30, 3.0], [-1.0, 1e30, 5.0], [0.0, -1e30, 11.0]];
    assert_eq!(self_attention(qkv.as_flattened(), 3, 1, 1, 1.0), [4.0, 11.0, 19.0 / 3.0]);
}

#[test]
fn gate_is_the_second_half() {
    let x: Vec<f64> = (1..=8).map(f64::from).collect();
    let axes = Axes { outer: 2, axis: 2, inner: 2 };
    assert_eq!(halves(&x, axes), [[1.0, 2.0, 5.0, 6.0], [3.0, 4.0, 7.0, 8.0]]);
    assert_eq!(glu(&x, axes, Activation::Identity), [3.0, 8.0, 35.0, 48.0]);
    let last = Axes { outer: 2, axis: 4, inner: 1 };
    assert_eq!(halves(&x, last), [[1.0, 2.0, 5.0, 6.0], [3.0, 4.0, 7.0, 8.0]]);
    let last = Axes { outer: 4, axis: 2, inner: 1 };
    assert_eq!(halves(&x, last), [[1.0, 3.0, 5.0, 7.0], [2.0, 4.0, 6.0, 8.0]]);
    let x = [2.0, -3.0, 3.0, -1.0];
    let last = Axes { outer: 2, axis: 2, inner: 1 };
    assert_eq!(glu(&x, last, Activation::Relu), [0.0, 0.0]);
    assert_eq!(glu(&[-3.0, 2.0], Axes { outer: 1, ..last }, Activation::Relu), [-6.0]);
}

#[test]
#[should_panic(expected = "halves of 3")]
fn odd_axis_has_no_halves() {
    halves(&[0.0; 6], Axes { outer: 1, axis: 3, inner: 2 });
}

#[test]
fn tokens_in_front_and_read_out() {
    let axes = Axes { outer: 2, axis: 2, inner: 2 };
    let x: Vec<f64> = (1..=8).map(f64::from).collect();
    let y = prepend(&[&[-1.0, -2.0], &[-3.0, -4.0]], &x, axes);
    let expected = [
        [-1.0, -2.0, -3.0, -4.0, 1.0, 2.0, 3.0, 4.0],
        [-1.0, -2.0, -3.0, -4.0, 5.0, 6.0, 7.0, 8.0],
    ];
    assert_eq!(y, expected.as_flattened());
    assert_eq!(token(&x, axes, 1), [3.0, 4.0, 7.0, 8.0]);
    assert_eq!(mean_token(&x, axes), [2.0, 3.0, 6.0, 7.0]);
}

/// As FF-only's positions: 14 × 14 for 7 × 7 patches.
#[test]
fn half_the_pixels_are_means_of_four() {
    let x: Vec<f64> = (0..2 * 4 * 6).map(|i| f64::from(i * i % 17)).collect();
    let mut means = Vec::new();
    for c in 0..2 {
        for row in 0..2 {
            for col in 0..3 {
                let at = |dy: usize, dx: usize| x[(c * 4 + 2 * row + dy) * 6 + 2 * col + dx];
                means.push((at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1)) / 4.0);
            }
        }
    }
    assert_eq!(resize_bilinear(&x, 2, [4, 6], [2, 3]), means);
}

#[test]
fn resizing_between_pixels_and_at_the_edges() {
    let x = [0.0, 8.0, 16.0, 40.0];
    assert_eq!(resize_bilinear(&x, 1, [2, 2], [2, 2]), x);
    // Twice the columns: at −¼ (the first), ¼, ¾ and 1¼ (the last).
    let y = resize_bilinear(&x, 1, [2, 2], [2, 4]);
    assert_eq!(y, [0.0, 2.0, 6.0, 8.0, 16.0, 22.0, 34.0, 40.0]);
    assert_eq!(resize_bilinear(&x, 1, [2, 2], [1, 1]), [16.0]);
}
