//! Parts of the networks on cases computed by hand.

use mixfold_reference::activation::Activation;
use mixfold_reference::axis::{Axes, glu, halves};
use mixfold_reference::embedding::resize_bilinear;
use mixfold_reference::tokens::{mean_token, prepend, token};

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
