//! The matrix product and its bound.

use mixfold_reference::fill;
use mixfold_reference::gemm::{Mat, dot_bound, gemm, gemm_abs};

#[test]
fn strides_select_the_elements() {
    let data: Vec<f64> = (0..12).map(f64::from).collect();
    let mat = Mat::row_major(&data, 3, 4);
    assert_eq!((mat.at(0, 0), mat.at(1, 2), mat.at(2, 3)), (0.0, 6.0, 11.0));
    let transposed = mat.transpose();
    assert_eq!((transposed.rows(), transposed.cols(), transposed.at(2, 1)), (4, 3, 6.0));
    let odd_columns = Mat::new(&data[1..], 3, 2, 4, 2);
    assert_eq!((odd_columns.at(0, 1), odd_columns.at(2, 0)), (3.0, 9.0));
    let one_row_repeated = Mat::new(&data, 100, 4, 0, 1);
    assert_eq!(one_row_repeated.at(99, 3), 3.0);
}

#[test]
#[should_panic(expected = "last element 12 of 12")]
fn view_beyond_the_slice_is_refused() {
    Mat::new(&[0.0f32; 12], 3, 3, 5, 1);
}

#[test]
#[should_panic(expected = "overflows")]
fn view_of_overflowing_size_is_refused() {
    Mat::new(&[0.0f32; 12], 3, 3, usize::MAX / 2 + 1, 1);
}

#[test]
#[should_panic(expected = "(0, 3) of 2x3")]
fn column_beyond_the_row_is_refused() {
    Mat::row_major(&[0.0f32; 6], 2, 3).at(0, 3);
}

#[test]
fn hand_computed_products() {
    let a = Mat::row_major(&[1.0, -2.0, 3.0, 4.0, 5.0, -6.0], 2, 3);
    let b = Mat::row_major(&[7.0, 8.0, 9.0, -10.0, 11.0, 12.0], 3, 2);
    assert_eq!(gemm(a, b), [22.0, 64.0, 7.0, -90.0]);
    assert_eq!(gemm_abs(a, b), [58.0, 64.0, 139.0, 154.0]);
    assert_eq!(gemm(b.transpose(), a.transpose()), [22.0, 7.0, 64.0, -90.0]);
    let (left, right) = (Mat::<f32>::row_major(&[], 2, 0), Mat::row_major(&[], 0, 2));
    assert_eq!(gemm(left, right), [0.0; 4], "an empty sum is 0");
    assert!(gemm(right, Mat::row_major(&[1.0; 6], 2, 3)).is_empty());
}

/// `C` as a sum of outer products, last one first: other loops and another order of addition.
fn outer_products(a: Mat<f32>, b: Mat<f32>) -> Vec<f32> {
    let mut c = vec![0.0; a.rows() * b.cols()];
    for p in (0..a.cols()).rev() {
        for (at, c) in c.iter_mut().enumerate() {
            *c += a.at(at / b.cols(), p) * b.at(p, at % b.cols());
        }
    }
    c
}

#[test]
fn every_order_of_addition_is_within_the_bound() {
    let mut worst = 0.0f64;
    for (m, k, n) in [(1, 1, 1), (3, 2, 5), (7, 33, 4), (5, 1000, 6)] {
        let a32: Vec<f32> = fill::Weights::default().tensor("a", &[k, m]);
        let b32: Vec<f32> = fill::input(k * n);
        let [a64, b64] = [&a32, &b32].map(|v| v.iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
        let (a32, b32) = (Mat::row_major(&a32, k, m).transpose(), Mat::row_major(&b32, k, n));
        let (a64, b64) = (Mat::row_major(&a64, k, m).transpose(), Mat::row_major(&b64, k, n));
        let (exact, scale) = (gemm(a64, b64), gemm_abs(a64, b64));
        for computed in [gemm(a32, b32), outer_products(a32, b32)] {
            for ((c, e), s) in computed.iter().zip(&exact).zip(&scale) {
                let error = (f64::from(*c) - e).abs();
                assert!(error <= dot_bound(k, *s, f32::EPSILON.into()), "{m}x{k}x{n}");
                worst = worst.max(error / dot_bound(1, *s, f32::EPSILON.into()));
            }
        }
    }
    assert!(worst > 0.5, "f32 should round: {worst}");
}

#[test]
fn bound_is_the_published_formula() {
    assert_eq!(dot_bound(0, 1.0, f64::EPSILON), 0.0);
    assert_eq!(dot_bound(4, 3.0, 0.125), 1.0, "γ = 0.25 / 0.75");
    assert_eq!(dot_bound(16, 1.0, 0.125), f64::INFINITY);
    // The square of 1 + 2⁻¹² lies half way between two numbers: the error is u, nearly all of γ₁.
    let (x, eps) = (1.0 + 2f32.powi(-12), f64::from(f32::EPSILON));
    let square = f64::from(x) * f64::from(x);
    let (error, bound) = ((f64::from(x * x) - square).abs(), dot_bound(1, square, eps));
    assert_eq!(error, eps / 2.0);
    assert!(error <= bound && error > 0.99 * bound, "{error} of {bound}");
}
