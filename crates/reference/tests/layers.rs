//! Axis operators, norms and convolutions on cases computed by hand.

use mixfold_reference::activation::Activation;
use mixfold_reference::axis::{Axes, Linear, gated_mlp, linear, mlp};
use mixfold_reference::conv2d::{Conv2d, Nchw, conv2d};
use mixfold_reference::fill;
use mixfold_reference::gemm::{Mat, gemm};
use mixfold_reference::max_pool2d::{MaxPool2d, max_pool2d};
use mixfold_reference::norm::{Along, BatchNorm, affine, batch_norm, layer_norm};

const X: [f64; 12] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, -1.0, 0.0, 1.0, 0.0, 2.0, -2.0];
const AXES: Axes = Axes { outer: 2, axis: 3, inner: 2 };

#[test]
fn linear_along_the_axis() {
    let weight = Mat::row_major(&[1.0, 10.0, 100.0, 1.0, 0.0, -1.0], 2, 3);
    let y = linear(&X, AXES, &Linear { weight, bias: Some(&[0.5, -0.5]) });
    assert_eq!(y, [531.5, 642.5, -4.5, -4.5, 209.5, -199.5, -3.5, 1.5]);
    let y = linear(
        &X,
        AXES.inner_as_axis(),
        &Linear { weight: Mat::row_major(&[1.0, -1.0], 1, 2), bias: None },
    );
    assert_eq!(y, [-1.0, -1.0, -1.0, -1.0, 1.0, 4.0]);
}

#[test]
fn linear_is_a_product_on_either_side() {
    let axes = Axes { outer: 1, axis: 4, inner: 6 };
    let x: Vec<f64> = fill::input(axes.elements());
    let w: Vec<f64> = fill::Weights::default().tensor("w", &[3, 4]);
    let weight = Mat::row_major(&w, 3, 4);
    let layer = Linear { weight, bias: None };
    assert_eq!(linear(&x, axes, &layer), gemm(weight, Mat::row_major(&x, 4, 6)));
    let last = Axes { outer: 6, axis: 4, inner: 1 };
    let right = gemm(Mat::row_major(&x, 6, 4), weight.transpose());
    assert_eq!(linear(&x, last, &layer), right);
}

#[test]
fn mlp_applies_the_activation_between_its_layers() {
    let first =
        Linear { weight: Mat::row_major(&[1.0, -1.0, -1.0, 1.0], 2, 2), bias: Some(&[0.0, 0.5]) };
    let second = Linear { weight: Mat::row_major(&[2.0, 3.0], 1, 2), bias: Some(&[-1.0]) };
    let axes = Axes { outer: 1, axis: 2, inner: 2 };
    // Columns (1, 3) and (4, 2): hidden (−2, 2.5) and (2, −1.5) before ReLU.
    let y = mlp(&[1.0, 4.0, 3.0, 2.0], axes, &first, Activation::Relu, &second);
    assert_eq!(y, [6.5, 3.0]);
}

#[test]
fn gated_mlp_multiplies_the_upper_half_with_the_activated_lower_half() {
    let first = Linear {
        weight: Mat::row_major(&[1.0, 0.0, 0.0, 1.0, 1.0, -1.0, -1.0, 1.0], 4, 2),
        bias: Some(&[0.0, 1.0, 0.0, 0.5]),
    };
    let second = Linear { weight: Mat::row_major(&[2.0, 3.0], 1, 2), bias: Some(&[-1.0]) };
    let axes = Axes { outer: 2, axis: 2, inner: 2 };
    // Columns (1, 3), (4, 2), (0, 1), (2, 2): U·x + c is (1, 4), (4, 3), (0, 2), (2, 3), and V·x + d is
    // (−2, 2.5), (2, −1.5), (−1, 1.5), (0, 0.5) before ReLU.
    let x = [1.0, 4.0, 3.0, 2.0, 0.0, 2.0, 1.0, 2.0];
    let y = gated_mlp(&x, axes, &first, Activation::Relu, &second);
    assert_eq!(y, [29.0, 15.0, 8.0, 3.5]);
}

#[test]
#[should_panic(expected = "halves of 3")]
fn gated_mlp_of_odd_rows_is_refused() {
    let first = Linear { weight: Mat::row_major(&[0.0; 9], 3, 3), bias: None };
    let second = Linear { weight: Mat::row_major(&[0.0], 1, 1), bias: None };
    gated_mlp(&X, AXES, &first, Activation::Silu, &second);
}

#[test]
#[should_panic(expected = "columns of the weight")]
fn weight_of_another_axis_is_refused() {
    linear(&X, AXES, &Linear { weight: Mat::row_major(&[0.0; 8], 2, 4), bias: None });
}

#[test]
fn layer_norm_of_each_row() {
    // Mean 4, deviations (−3, −1, 1, 3), biased variance 5: with eps 4 the divisor is exactly 3.
    let y = layer_norm(
        &[1.0, 3.0, 5.0, 7.0, 20.0, 20.0, 20.0, 20.0],
        Axes { outer: 1, axis: 2, inner: 4 },
        Along::Inner,
        &[3.0, 6.0, 9.0, -1.0],
        &[0.0, 1.0, 2.0, 3.0],
        4.0,
    );
    assert_eq!(y, [-3.0, -1.0, 5.0, 2.0, 0.0, 1.0, 2.0, 3.0]);
}

#[test]
fn layer_norm_along_the_axis_is_that_of_the_transpose() {
    let axes = Axes { outer: 1, axis: 4, inner: 2 };
    let x = [1.0, 20.0, 3.0, 20.0, 5.0, 20.0, 7.0, 20.0];
    let y = layer_norm(&x, axes, Along::Axis, &[3.0, 6.0, 9.0, -1.0], &[0.0, 1.0, 2.0, 3.0], 4.0);
    assert_eq!(y, [-3.0, 0.0, -1.0, 1.0, 5.0, 2.0, 2.0, 3.0]);
}

/// A one-pass variance `E[x²] − E[x]²` would lose all digits here.
#[test]
fn variance_is_two_pass() {
    let axes = Axes { outer: 1, axis: 2, inner: 1 };
    let y =
        layer_norm(&[16_777_214.0f32, 16_777_212.0], axes, Along::Axis, &[1.0; 2], &[0.0; 2], 0.0);
    assert_eq!(y, [1.0, -1.0]);
}

#[test]
fn affine_by_either_index() {
    let y = affine(
        &X[..6],
        Axes { outer: 1, ..AXES },
        Along::Axis,
        &[1.0, 2.0, 3.0],
        &[0.5, 0.0, -1.0],
    );
    assert_eq!(y, [1.5, 2.5, 6.0, 8.0, 14.0, 17.0]);
    let y = affine(&X[..6], Axes { outer: 1, ..AXES }, Along::Inner, &[1.0, 2.0], &[0.5, 0.0]);
    assert_eq!(y, [1.5, 4.0, 3.5, 8.0, 5.5, 12.0]);
}

#[test]
fn batch_norm_by_the_statistics_of_each_channel() {
    let bn = BatchNorm {
        weight: vec![1.0, 6.0, -1.0],
        bias: vec![0.0, 0.5, 1.0],
        running_mean: vec![1.0, 4.0, 0.0],
        running_var: vec![0.0, 5.0, -3.0],
    };
    // With eps 4 the divisors are 2, 3 and 1.
    let y = batch_norm(&X, AXES, &bn, 4.0);
    assert_eq!(y, [0.0, 0.5, -1.5, 0.5, -4.0, -5.0, -1.0, -0.5, -5.5, -7.5, -1.0, 3.0]);
}

fn image(channels: usize, height: usize, width: usize) -> Nchw {
    Nchw { batch: 1, channels, height, width }
}

#[test]
fn convolution_is_not_flipped() {
    let x: Vec<f64> = (1..=9).map(f64::from).collect();
    let conv = Conv2d::new(1, [2, 2]);
    let y = conv2d(&x, image(1, 3, 3), &conv, &[1.0, 10.0, 100.0, 1000.0], Some(&[0.5]));
    assert_eq!(y, [5421.5, 6532.5, 8754.5, 9865.5]);
}

#[test]
fn convolution_with_padding_stride_and_dilation() {
    let x: Vec<f64> = (1..=12).map(f64::from).collect();
    let conv =
        Conv2d { stride: [2, 1], padding: [1, 0], dilation: [2, 3], ..Conv2d::new(1, [2, 2]) };
    // Rows of the window: −1 and 1, then 1 and 3 (both outer ones are padding); columns 0 and 3.
    let input = image(1, 3, 4);
    assert_eq!(conv.output(input), image(1, 2, 1));
    assert_eq!(conv2d(&x, input, &conv, &[1.0, 10.0, 100.0, 1000.0], None), [8500.0, 85.0]);
}

#[test]
fn groups_see_their_own_channels() {
    let x = [1.0, 2.0, 3.0, 4.0];
    let conv = Conv2d { groups: 2, ..Conv2d::new(4, [1, 1]) };
    let weight = [1.0, 10.0, 1.0, -1.0, 1.0, 10.0, 1.0, -1.0];
    let y = conv2d(&x, image(4, 1, 1), &conv, &weight, Some(&[0.0, 0.0, 0.5, 0.0]));
    assert_eq!(y, [21.0, -1.0, 43.5, -1.0]);
}

#[test]
fn pointwise_convolution_is_linear_along_the_channels() {
    let input = Nchw { batch: 2, channels: 3, height: 2, width: 5 };
    let x: Vec<f64> = fill::input(input.elements());
    let w: Vec<f64> = fill::Weights::default().tensor("w", &[4, 3, 1, 1]);
    let bias = [1.0, 2.0, 3.0, 4.0];
    let layer = Linear { weight: Mat::row_major(&w, 4, 3), bias: Some(&bias) };
    assert_eq!(
        conv2d(&x, input, &Conv2d::new(4, [1, 1]), &w, Some(&bias)),
        linear(&x, Axes { outer: 2, axis: 3, inner: 10 }, &layer)
    );
}

#[test]
#[should_panic(expected = "kernel reaches over 5 of 4")]
fn kernel_larger_than_the_image_is_refused() {
    Conv2d::new(1, [5, 1]).output(image(1, 4, 4));
}

/// As `torch.nn.functional.max_pool2d` gives it.
#[test]
fn max_pooling() {
    let nan = f64::NAN;
    let x = [
        [1.0, 5.0, -2.0, 0.0, 3.0],
        [-4.0, -1.0, -7.0, nan, -2.0],
        [-3.0, -6.0, -5.0, -8.0, -9.0],
        [2.0, -1.0, -4.0, -1.0, -6.0],
    ]
    .concat();
    let input = Nchw { batch: 1, channels: 1, height: 4, width: 5 };
    let same = |y: Vec<f64>, expected: &[f64]| {
        let same = y.iter().zip(expected).all(|(y, x)| y == x || y.is_nan() && x.is_nan());
        assert!(same && y.len() == expected.len(), "{y:?}, {expected:?}");
    };
    let pool = MaxPool2d { kernel: [3, 3], stride: [2, 2], padding: [1, 1] };
    same(max_pool2d(&x, input, &pool), &[5.0, nan, nan, 2.0, nan, nan]);
    let pool = MaxPool2d { kernel: [2, 3], stride: [2, 1], padding: [0, 0] };
    same(max_pool2d(&x, input, &pool), &[5.0, nan, nan, 2.0, -1.0, -1.0]);
    let halves = Nchw { channels: 2, height: 2, ..input };
    let pool = MaxPool2d { kernel: [1, 2], stride: [3, 3], padding: [0, 1] };
    same(max_pool2d(&x, halves, &pool), &[1.0, 0.0, -3.0, -5.0]);
}
