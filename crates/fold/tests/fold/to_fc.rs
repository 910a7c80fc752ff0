//! A convolution as a matrix: by index, by the identity, and as the convolution itself.

use mixfold_fold::{Conv, Geometry, conv_to_fc};
use mixfold_reference::conv2d::conv2d;
use mixfold_reference::gemm::{Mat, gemm};
use mixfold_reference::identity::identity_conv_to_fc;
use proptest::prelude::*;

use crate::case::{Case, assert_near, case, narrow, numbers};

fn magnitudes(values: &[f64]) -> Vec<f64> {
    values.iter().map(|x| x.abs()).collect()
}

/// The grouped product that a folded layer is.
fn apply(case: &Case, weight: &[f64], bias: &[f64], x: &[f64]) -> Vec<f64> {
    let (rows, cols) = case.group();
    let products = (0..case.conv.groups).flat_map(|group| {
        let weight = Mat::row_major(&weight[group * rows * cols..][..rows * cols], rows, cols);
        gemm(weight, Mat::row_major(&x[group * cols..][..cols], cols, 1))
    });
    products.zip(bias).map(|(dot, bias)| dot + bias).collect()
}

proptest! {
    #[test]
    fn is_the_response_to_the_identity(case in case()) {
        let fc = conv_to_fc::<f64>(&case.kernel(), case.geometry()).unwrap();
        let input = case.input();
        let expected = identity_conv_to_fc(input.channels, case.map, &case.conv, &case.weight());
        prop_assert_eq!(&fc.weight, &expected);
        let output = case.conv.output(input);
        let pixels = output.height * output.width;
        let bias: Vec<f64> =
            case.bias().into_iter().flat_map(|b| std::iter::repeat_n(b, pixels)).collect();
        prop_assert_eq!(&fc.bias, &bias);
        prop_assert_eq!(fc.shape.output, [output.height, output.width]);
        prop_assert_eq!((fc.shape.rows, fc.shape.cols), (output.elements(), case.group().1));
        prop_assert_eq!(fc.shape.elements(), expected.len());
    }

    #[test]
    fn is_the_convolution(case in case()) {
        let fc = conv_to_fc::<f64>(&case.kernel(), case.geometry()).unwrap();
        let (input, weight, bias) = (case.input(), case.weight(), case.bias());
        let x = numbers(case.seed + 2, input.elements());
        let computed = apply(&case, &fc.weight, &fc.bias, &x);
        let expected = conv2d(&x, input, &case.conv, &weight, Some(&bias));
        let [x, weight, bias] = [x, weight, bias].map(|values| magnitudes(&values));
        let sizes = conv2d(&x, input, &case.conv, &weight, Some(&bias));
        // The zeros of the matrix round nothing.
        assert_near(&computed, &expected, &sizes, case.taps() + 1);
    }

    #[test]
    fn is_rounded_once(case in case()) {
        let (kernel, geometry) = (case.kernel(), case.geometry());
        let wide = conv_to_fc::<f64>(&kernel, geometry).unwrap();
        let fc = conv_to_fc::<f32>(&kernel, geometry).unwrap();
        prop_assert_eq!(fc.weight, narrow(&wide.weight));
        prop_assert_eq!(fc.bias, narrow(&wide.bias));
        let (weight, bias) = kernel.rounded::<f32>();
        prop_assert_eq!(weight, narrow(kernel.weight()));
        prop_assert_eq!(bias, narrow(kernel.bias()));
    }

    /// What [`Geometry::same`] means, on kernels that have a centre.
    #[test]
    fn same_keeps_the_map(
        taps in (0_usize..3, 0_usize..3),
        map in (1_usize..7, 1_usize..7),
        dilation in [1_usize..4, 1..4],
    ) {
        let shape = [1, 1, 2 * taps.0 + 1, 2 * taps.1 + 1];
        let weight = numbers(3, shape[2] * shape[3]);
        let kernel = Conv::new(&weight, shape).unwrap().kernel();
        let same = Geometry::same(map.0, map.1).unwrap().dilation(dilation).unwrap();
        let fc = conv_to_fc::<f64>(&kernel, same).unwrap();
        prop_assert_eq!(fc.shape.output, [map.0, map.1]);
        let padded = same.padding([dilation[0] * taps.0, dilation[1] * taps.1]);
        prop_assert_eq!(fc, conv_to_fc(&kernel, padded).unwrap());
    }
}

/// Windows of the kernel 1 to 9 over a map of 2 x 2.
#[test]
fn worked_example() {
    let weight: Vec<f32> = (1_u8..10).map(f32::from).collect();
    let kernel = Conv::new(&weight, [1, 1, 3, 3]).unwrap().bias(&[0.5]).unwrap().kernel();
    let fc = conv_to_fc::<f32>(&kernel, Geometry::same(2, 2).unwrap()).unwrap();
    #[rustfmt::skip]
    assert_eq!(fc.weight, [
        5.0, 6.0, 8.0, 9.0,
        4.0, 5.0, 7.0, 8.0,
        2.0, 3.0, 5.0, 6.0,
        1.0, 2.0, 4.0, 5.0,
    ]);
    assert_eq!(fc.bias, [0.5; 4]);
}

/// A kernel without padding on a map of its own size is its own matrix: a row of all taps.
#[test]
fn one_window() {
    let weight = numbers(5, 2 * 3 * 4);
    let kernel = Conv::new(&weight, [1, 2, 3, 4]).unwrap().kernel();
    let fc = conv_to_fc::<f64>(&kernel, Geometry::valid(3, 4).unwrap()).unwrap();
    assert_eq!((fc.weight, fc.bias), (weight, vec![0.0]));
}

/// A number that is not finite stays where the kernel has it.
#[test]
fn infinite_and_undefined_taps() {
    let weight = [f64::NAN, 1.0, f64::INFINITY];
    let kernel = Conv::new(&weight, [1, 1, 1, 3]).unwrap().kernel();
    let fc = conv_to_fc::<f32>(&kernel, Geometry::same(1, 3).unwrap()).unwrap();
    #[rustfmt::skip]
    let expected = [
        1.0, f32::INFINITY, 0.0,
        f32::NAN, 1.0, f32::INFINITY,
        0.0, f32::NAN, 1.0,
    ];
    assert_eq!(format!("{:?}", fc.weight), format!("{expected:?}"));
}
