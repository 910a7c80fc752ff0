//! Folds into a matrix in place, against the layers one after the other.

use mixfold_fold::{Affine, BatchNorm, Conv, Geometry, LinearMut, conv_to_fc};
use mixfold_reference::gemm::{Mat, gemm};
use proptest::prelude::*;

use crate::case::{Norm, assert_near, assert_same_bits, case, narrow, numbers, wide};

/// A matrix with its bias, and norms of its inputs and outputs whose channels are shared by some
/// columns and rows.
#[derive(Clone, Debug)]
struct Layer {
    channels: (usize, usize),
    shared: (usize, usize),
    seed: u64,
}

/// Which of the norms are folded.
#[derive(Clone, Copy, Debug)]
struct Folded {
    before: bool,
    after: bool,
}

const FOLDS: [Folded; 3] = [
    Folded { before: true, after: false },
    Folded { before: false, after: true },
    Folded { before: true, after: true },
];

impl Layer {
    fn rows(&self) -> usize {
        self.channels.0 * self.shared.0
    }

    fn cols(&self) -> usize {
        self.channels.1 * self.shared.1
    }

    /// Weight and bias, of the same value in `f32`.
    fn parameters(&self) -> (Vec<f64>, Vec<f64>) {
        let exact = |values: Vec<f64>| wide(&narrow(&values));
        let weight = numbers(self.seed, self.rows() * self.cols());
        (exact(weight), exact(numbers(self.seed + 1, self.rows())))
    }

    fn norms(&self) -> (Norm, Norm) {
        (Norm::new(self.seed + 2, self.channels.1), Norm::new(self.seed + 3, self.channels.0))
    }

    fn fold<T: num_traits::Float>(&self, folds: Folded, weight: &mut [T], bias: &mut [T]) {
        let (before, after) = self.norms();
        let (before, after) = (before.view().affine().unwrap(), after.view().affine().unwrap());
        let mut layer = LinearMut::new(weight, bias).unwrap();
        assert_eq!((layer.rows(), layer.cols()), (self.rows(), self.cols()));
        match folds {
            Folded { before: true, after: true } => layer.between(&before, &after),
            Folded { before: true, .. } => layer.preceded_by(&before),
            Folded { .. } => layer.followed_by(&after),
        }
        .unwrap();
    }

    /// The layers one after the other, and the sizes of their terms.
    fn expected(&self, folds: Folded, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let ((weight, bias), (before, after)) = (self.parameters(), self.norms());
        let abs = |values: &[f64]| values.iter().map(|x| x.abs()).collect::<Vec<_>>();
        let (mut x, mut x_sizes) = (x.to_vec(), abs(x));
        if folds.before {
            for k in 0..x.len() {
                x[k] = before.apply(k / self.shared.1, x[k]);
                x_sizes[k] = before.size(k / self.shared.1, x_sizes[k]);
            }
        }
        let product = |weight: &[f64], x: &[f64], bias: &[f64]| -> Vec<f64> {
            let weight = Mat::row_major(weight, self.rows(), self.cols());
            let y = gemm(weight, Mat::row_major(x, self.cols(), 1));
            y.iter().zip(bias).map(|(y, bias)| y + bias).collect()
        };
        let mut y = product(&weight, &x, &bias);
        let mut sizes = product(&abs(&weight), &x_sizes, &abs(&bias));
        if folds.after {
            for r in 0..y.len() {
                y[r] = after.apply(r / self.shared.0, y[r]);
                sizes[r] = after.size(r / self.shared.0, sizes[r]);
            }
        }
        (y, sizes)
    }
}

fn layer() -> impl Strategy<Value = Layer> {
    let sizes = ((1_usize..5, 1_usize..5), (1_usize..4, 1_usize..7));
    (sizes, 0_u64..1 << 30).prop_map(|((channels, shared), seed)| Layer { channels, shared, seed })
}

proptest! {
    #[test]
    fn is_the_layers_one_after_the_other(layer in layer()) {
        let x = numbers(layer.seed + 9, layer.cols());
        for folds in FOLDS {
            let (mut weight, mut bias) = layer.parameters();
            layer.fold(folds, &mut weight, &mut bias);
            let folded = Mat::row_major(&weight, layer.rows(), layer.cols());
            let y = gemm(folded, Mat::row_major(&x, layer.cols(), 1));
            let y: Vec<f64> = y.iter().zip(&bias).map(|(y, bias)| y + bias).collect();
            let (expected, sizes) = layer.expected(folds, &x);
            // Two sums over the columns: that of the layer, and that of the bias.
            assert_near(&y, &expected, &sizes, 2 * layer.cols() + 2 * Norm::ROUNDINGS + 4);
        }
    }

    #[test]
    fn is_rounded_once(layer in layer()) {
        for folds in FOLDS {
            let (mut weight, mut bias) = layer.parameters();
            let (mut narrow_weight, mut narrow_bias) = (narrow(&weight), narrow(&bias));
            layer.fold(folds, &mut weight, &mut bias);
            layer.fold(folds, &mut narrow_weight, &mut narrow_bias);
            assert_same_bits(&narrow_weight, &narrow(&weight));
            assert_same_bits(&narrow_bias, &narrow(&bias));
        }
    }

    /// The convolution beside a layer, as a matrix of its own that is added.
    #[test]
    fn a_convolution_is_added_as_its_matrix(case in case(), shared in any::<bool>()) {
        let (kernel, geometry) = (case.kernel(), case.geometry());
        let fc = conv_to_fc::<f64>(&kernel, geometry).unwrap();
        let shape = fc.shape;
        // Where the kernel has entries, and what it leaves alone.
        let ones = vec![1.0; kernel.weight().len()];
        let ones = Conv::new(&ones, kernel.shape()).unwrap().groups(kernel.groups()).unwrap();
        let reached = conv_to_fc::<f64>(&ones.kernel(), geometry).unwrap().weight;
        let before = narrow(&numbers(case.seed + 4, shape.elements()));
        let bias_before = narrow(&numbers(case.seed + 5, shape.rows));
        let channels = if shared { case.conv.out_channels } else { shape.rows };
        let affine = Norm::new(case.seed + 6, channels).view().affine().unwrap();
        let alone = Affine::new(&vec![1.0; channels], &vec![0.0; channels]).unwrap();
        for after in [Some(&affine), None] {
            let (mut weight, mut bias) = (before.clone(), bias_before.clone());
            let mut layer = LinearMut::new(&mut weight, &mut bias).unwrap();
            layer.add_conv(after, &kernel, geometry).unwrap();
            let after = after.unwrap_or(&alone);
            let channel = |row: usize| row / (shape.rows / channels);
            let expected: Vec<f32> = (0..shape.elements()).map(|i| {
                let scaled = f64::from(before[i]) * after.scale()[channel(i / shape.cols)];
                (if reached[i] == 1.0 { scaled + fc.weight[i] } else { scaled }) as f32
            }).collect();
            assert_same_bits(&weight, &expected);
            let expected: Vec<f32> = (0..shape.rows).map(|r| {
                let (scale, shift) = (after.scale()[channel(r)], after.shift()[channel(r)]);
                (f64::from(bias_before[r]) * scale + shift + fc.bias[r]) as f32
            }).collect();
            assert_same_bits(&bias, &expected);
        }
    }
}

/// A layer of zeros becomes the convolution.
#[test]
fn into_zeros() {
    let weight = numbers(1, 18);
    let kernel = Conv::new(&weight, [2, 1, 3, 3]).unwrap().kernel();
    let geometry = Geometry::same(4, 5).unwrap();
    let fc = conv_to_fc::<f32>(&kernel, geometry).unwrap();
    let mut zeros = fc.clone();
    zeros.weight.fill(0.0);
    zeros.bias.fill(0.0);
    let mut layer = LinearMut::new(&mut zeros.weight, &mut zeros.bias).unwrap();
    layer.add_conv(None, &kernel, geometry).unwrap();
    assert_eq!(zeros, fc);
}

/// No rows, no columns, and neither.
#[test]
fn empty_layers() {
    let norm = Norm::new(1, 3).view().affine().unwrap();
    let none = Affine::new::<f32>(&[], &[]).unwrap();
    let mut bias = [1.0_f32; 3];
    let mut layer = LinearMut::new(&mut [], &mut bias).unwrap();
    assert_eq!((layer.rows(), layer.cols()), (3, 0));
    layer.between(&none, &norm).unwrap();
    let folded = (0..3).map(|r| (norm.scale()[r] + norm.shift()[r]) as f32);
    assert_eq!(bias.to_vec(), folded.collect::<Vec<_>>());
    let mut layer = LinearMut::<f32>::new(&mut [], &mut []).unwrap();
    assert_eq!((layer.rows(), layer.cols()), (0, 0));
    layer.between(&none, &none).unwrap();
}

/// Parameters that are not finite go through the formula.
#[test]
fn infinite_and_undefined_parameters() {
    let affine = BatchNorm {
        gamma: &[1.0_f32, f32::NAN, 1.0],
        beta: &[0.5, 0.5, f32::NEG_INFINITY],
        mean: &[0.0; 3],
        var: &[f32::INFINITY, 1.0, 1.0],
        eps: 0.0,
    }
    .affine()
    .unwrap();
    let (mut weight, mut bias) = ([2.0_f32; 3], [1.0_f32; 3]);
    LinearMut::new(&mut weight, &mut bias).unwrap().followed_by(&affine).unwrap();
    assert_eq!(format!("{weight:?}"), "[0.0, NaN, 2.0]");
    assert_eq!(format!("{bias:?}"), "[0.5, NaN, -inf]");
}
