//! The matrix products of other libraries.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

use crate::{Float, Peer, Product};

pub(crate) const PEERS_F32: [Peer<f32>; 3] = [
    Peer { name: "gemm-f32", multiply: gemm },
    Peer { name: "matrixmultiply-f32", multiply: sgemm },
    Peer { name: "faer-f32", multiply: faer },
];

pub(crate) const PEERS_F64: [Peer<f64>; 3] = [
    Peer { name: "gemm-f64", multiply: gemm },
    Peer { name: "matrixmultiply-f64", multiply: dgemm },
    Peer { name: "faer-f64", multiply: faer },
];

fn faer<T: Float + faer::traits::ComplexField>(product: &Product<T>, out: &mut [T]) {
    let [m, n, k] = product.shape();
    let (lhs, rhs, (row_stride, _)) = product.parts();
    let lhs = MatRef::from_row_major_slice(lhs, m, k);
    let rhs = match row_stride {
        1 => MatRef::from_column_major_slice(rhs, k, n),
        _ => MatRef::from_row_major_slice(rhs, k, n),
    };
    let out = MatMut::from_row_major_slice_mut(out, m, n);
    matmul(out, Accum::Replace, lhs, rhs, T::nearest(1.0), Par::Seq);
}

/// Both operands and the output as pointers with row and column strides.
struct Raw<T> {
    lhs: (*const T, isize, isize),
    rhs: (*const T, isize, isize),
    out: (*mut T, isize, isize),
}

impl<T: Float> Raw<T> {
    /// All elements at `i · row_stride + j · col_stride`, for i and j below the shape of the
    /// product, are valid for reads, and those of `out` for writes, while the arguments live.
    fn new(product: &Product<T>, out: &mut [T]) -> Self {
        let [m, n, k] = product.shape();
        let (lhs, rhs, (row_stride, col_stride)) = product.parts();
        assert_eq!(lhs.len(), m * k, "elements of the left operand");
        assert_eq!(rhs.len(), k * n, "elements of the right operand");
        assert_eq!(out.len(), m * n, "elements of the output");
        Raw {
            lhs: (lhs.as_ptr(), k as isize, 1),
            rhs: (rhs.as_ptr(), row_stride as isize, col_stride as isize),
            out: (out.as_mut_ptr(), n as isize, 1),
        }
    }
}

#[expect(unsafe_code, reason = "the interface of the library")]
fn gemm<T: Float>(product: &Product<T>, out: &mut [T]) {
    let ([m, n, k], Raw { lhs, rhs, out }) = (product.shape(), Raw::new(product, out));
    let (keep, one) = (T::nearest(0.0), T::nearest(1.0));
    let none = peer_gemm::Parallelism::None;
    // SAFETY: `Raw::new` made sure that all elements can be reached; `out` is exclusive.
    unsafe {
        peer_gemm::gemm(
            m, n, k, out.0, out.2, out.1, false, lhs.0, lhs.2, lhs.1, rhs.0, rhs.2, rhs.1, keep,
            one, false, false, false, none,
        );
    }
}

#[expect(unsafe_code, reason = "the interface of the library")]
fn sgemm(product: &Product<f32>, out: &mut [f32]) {
    let ([m, n, k], Raw { lhs, rhs, out }) = (product.shape(), Raw::new(product, out));
    // SAFETY: `Raw::new` made sure that all elements can be reached; `out` is exclusive.
    unsafe {
        matrixmultiply::sgemm(
            m, k, n, 1.0, lhs.0, lhs.1, lhs.2, rhs.0, rhs.1, rhs.2, 0.0, out.0, out.1, out.2,
        );
    }
}

#[expect(unsafe_code, reason = "the interface of the library")]
fn dgemm(product: &Product<f64>, out: &mut [f64]) {
    let ([m, n, k], Raw { lhs, rhs, out }) = (product.shape(), Raw::new(product, out));
    // SAFETY: `Raw::new` made sure that all elements can be reached; `out` is exclusive.
    unsafe {
        matrixmultiply::dgemm(
            m, k, n, 1.0, lhs.0, lhs.1, lhs.2, rhs.0, rhs.1, rhs.2, 0.0, out.0, out.1, out.2,
        );
    }
}
