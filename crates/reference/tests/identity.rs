//! The matrix of a convolution.

use mixfold_reference::conv2d::{Conv2d, Nchw, conv2d};
use mixfold_reference::fill;
use mixfold_reference::gemm::{Mat, gemm};
use mixfold_reference::identity::identity_conv_to_fc;

#[test]
fn each_row_is_a_window_of_the_kernel() {
    let conv = Conv2d { padding: [1, 1], ..Conv2d::new(1, [3, 3]) };
    let kernel: Vec<f64> = (1..10).map(f64::from).collect();
    let fc = identity_conv_to_fc(1, [2, 2], &conv, &kernel);
    #[rustfmt::skip]
    assert_eq!(fc, [
        5.0, 6.0, 8.0, 9.0,
        4.0, 5.0, 7.0, 8.0,
        2.0, 3.0, 5.0, 6.0,
        1.0, 2.0, 4.0, 5.0,
    ]);
}

/// Two groups, from two channels each to three: as many outputs as inputs would hide a wrong shape.
#[test]
fn its_product_is_the_convolution_of_each_group() {
    let conv = Conv2d {
        stride: [1, 2],
        padding: [1, 0],
        dilation: [2, 1],
        groups: 2,
        ..Conv2d::new(6, [2, 3])
    };
    let input = Nchw { batch: 1, channels: 4, height: 3, width: 5 };
    let kernel: Vec<f64> = fill::Weights::default().tensor("conv.weight", &[6, 2, 2, 3]);
    let x: Vec<f64> = fill::input(input.elements());
    let fc = identity_conv_to_fc(4, [3, 5], &conv, &kernel);
    let y = conv2d(&x, input, &conv, &kernel, None);
    // Three channels of 3 x 2, from two of 3 x 5.
    let (rows, cols) = (18, 30);
    assert_eq!((fc.len(), y.len()), (2 * rows * cols, 2 * rows));
    for group in 0..2 {
        let weight = Mat::row_major(&fc[group * rows * cols..][..rows * cols], rows, cols);
        let x = Mat::row_major(&x[group * cols..][..cols], cols, 1);
        for (computed, expected) in gemm(weight, x).iter().zip(&y[group * rows..]) {
            assert!((computed - expected).abs() < 1e-14, "{computed} instead of {expected}");
        }
    }
}
