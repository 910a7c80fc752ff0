//! A matrix product to measure, and to compare with that of another library.

use core::fmt;

use criterion::Throughput;
use mixfold_gemm::{GemmError, MatRef};
use mixfold_mix::Side;
use mixfold_reference::gemm::dot_bound;

use crate::{Float, Inputs};

/// The operands of a product of an m × k with a k × n matrix. Prints as `{m}x{n}x{k}`.
#[derive(Clone, Debug)]
pub struct Product<T> {
    shape: [usize; 3],
    lhs: Vec<T>,
    rhs: Vec<T>,
    /// Elements from one row, and from one column, of the right operand to the next.
    rhs_strides: (usize, usize),
}

/// `out = lhs · rhs` by another library, on the calling thread; `out` is row-major.
#[derive(Clone, Copy, Debug)]
pub struct Peer<T> {
    /// Its name.
    pub name: &'static str,
    /// Its product.
    pub multiply: fn(&Product<T>, &mut [T]),
}

impl<T: Float> Product<T> {
    /// A product of shape `[m, n, k]`. Weights on the right are stored `[n, k]`, as in checkpoints;
    /// everything else is row-major.
    pub fn new(shape: [usize; 3], weights: Side) -> Self {
        let ([m, n, k], mut inputs) = (shape, Inputs::default());
        let (lhs, rhs) = (m * k, k * n);
        match weights {
            Side::Left => {
                let (lhs, rhs) = (inputs.weight(lhs, k), inputs.uniform(rhs, 1.0));
                Product { shape, lhs, rhs, rhs_strides: (n, 1) }
            }
            Side::Right => {
                let (lhs, rhs) = (inputs.uniform(lhs, 1.0), inputs.weight(rhs, k));
                Product { shape, lhs, rhs, rhs_strides: (1, k) }
            }
        }
    }

    /// `[m, n, k]`
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// The left operand.
    ///
    /// # Errors
    /// None.
    pub fn lhs(&self) -> Result<MatRef<'_, T>, GemmError> {
        MatRef::row_major(&self.lhs, self.shape[0], self.shape[2])
    }

    /// The right operand.
    ///
    /// # Errors
    /// None.
    pub fn rhs(&self) -> Result<MatRef<'_, T>, GemmError> {
        let ([_, n, k], (row_stride, col_stride)) = (self.shape, self.rhs_strides);
        MatRef::new(&self.rhs, k, n, row_stride, col_stride)
    }

    /// The elements of both operands, and the row and column strides of the right one.
    #[cfg(feature = "peers")]
    pub(crate) fn parts(&self) -> (&[T], &[T], (usize, usize)) {
        (&self.lhs, &self.rhs, self.rhs_strides)
    }

    /// Floating point operations: 2·m·n·k.
    pub fn flops(&self) -> u64 {
        2 * self.shape.iter().map(|&len| len as u64).product::<u64>()
    }

    /// Criterion has no unit for floating point operations: they are its elements.
    pub fn throughput(&self) -> Throughput {
        Throughput::Elements(self.flops())
    }

    /// Panics unless `x` and `y` can both be this product.
    ///
    /// Each is within γₖ·Σ|a·b| of the exact one, whatever the order of its sums ([`dot_bound`]),
    /// and Σ|a·b| ≤ ‖a‖₂·‖b‖₂ (Cauchy and Schwarz); their difference is within twice that.
    ///
    /// # Panics
    /// If an element is farther off, or not a number.
    pub fn assert_agree(&self, x: &[T], y: &[T]) {
        let ([m, n, k], (row_stride, col_stride)) = (self.shape, self.rhs_strides);
        let norm = |squares: &mut dyn Iterator<Item = T>| {
            squares.map(Into::into).map(|x: f64| x * x).sum::<f64>().sqrt()
        };
        let row = |i: usize| norm(&mut self.lhs[i * k..][..k].iter().copied());
        let col = |j| norm(&mut (0..k).map(|p| self.rhs[p * row_stride + j * col_stride]));
        let cols: Vec<f64> = (0..n).map(col).collect();
        assert_eq!((x.len(), y.len()), (m * n, m * n), "elements of the products");
        for (i, (x, y)) in x.chunks_exact(n).zip(y.chunks_exact(n)).enumerate() {
            let row = row(i);
            for (j, ((&x, &y), col)) in x.iter().zip(y).zip(&cols).enumerate() {
                let (x, y): (f64, f64) = (x.into(), y.into());
                let bound = 2.0 * dot_bound(k, row * col, T::EPSILON);
                assert!((x - y).abs() <= bound, "({i}, {j}): {x} and {y}, within {bound:e}");
            }
        }
    }
}

impl<T> fmt::Display for Product<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [m, n, k] = self.shape;
        write!(f, "{m}x{n}x{k}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares sums in the order of k with sums in reverse, one of which is `wrong` by so much.
    fn compare(side: Side, wrong: f32) {
        let product = Product::<f32>::new([8, 24, 196], side);
        let ([m, n, k], (row_stride, col_stride)) = (product.shape, product.rhs_strides);
        let at = |i: usize, j: usize, p: usize| {
            product.lhs[i * k + p] * product.rhs[p * row_stride + j * col_stride]
        };
        let sum = |i, j, order: &mut dyn Iterator<Item = usize>| order.map(|p| at(i, j, p)).sum();
        let each = || (0..m).flat_map(|i| (0..n).map(move |j| (i, j)));
        let x: Vec<f32> = each().map(|(i, j)| sum(i, j, &mut (0..k))).collect();
        let mut y: Vec<f32> = each().map(|(i, j)| sum(i, j, &mut (0..k).rev())).collect();
        y[m * n / 2] += wrong;
        product.assert_agree(&x, &y);
    }

    #[test]
    fn other_orders_of_summation_agree() {
        compare(Side::Left, 0.0);
        compare(Side::Right, 0.0);
    }

    #[test]
    #[should_panic(expected = "within")]
    fn a_wrong_element_is_found() {
        compare(Side::Right, 1e-3);
    }

    #[test]
    #[should_panic(expected = "within")]
    fn nan_is_found() {
        compare(Side::Left, f32::NAN);
    }
}
