//! What the authors' implementations fold, in `f64`, on the contents of [`fill`].

use mixfold_fold::{BatchNorm, Branches, Conv, FoldError, Geometry, Kernel, LinearMut};
use mixfold_reference::fill::Weights;

struct Norm([Vec<f64>; 4]);

impl Norm {
    fn next(weights: &mut Weights, channels: usize) -> Self {
        let names = ["bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"];
        Norm(names.map(|name| weights.tensor(name, &[channels])))
    }

    fn view(&self) -> BatchNorm<'_, f64> {
        let [gamma, beta, mean, var] = &self.0;
        BatchNorm { gamma, beta, mean, var, eps: 1e-5 }
    }
}

/// Convolutions of sizes 1 and 3 with a norm behind each.
fn local_perceptron(
    weights: &mut Weights,
    channels: usize,
    groups: usize,
) -> Result<Kernel, FoldError> {
    let mut branches = Branches::new();
    for size in [1, 3] {
        let shape = [channels, channels / groups, size, size];
        let weight = weights.tensor::<f64>("conv.weight", &shape);
        let norm = Norm::next(weights, channels);
        branches = branches.conv_bn(&Conv::new(&weight, shape)?.groups(groups)?, &norm.view())?;
    }
    branches.merge()
}

/// Expected numbers are printed to nine decimals.
#[track_caller]
fn assert_printed(computed: f64, expected: f64) {
    assert!((computed - expected).abs() < 0.51e-9, "{computed} instead of {expected}");
}

#[track_caller]
fn assert_all_printed(computed: &[f64], expected: &[f64]) {
    assert_eq!(computed.len(), expected.len());
    for (&c, &e) in computed.iter().zip(expected) {
        assert_printed(c, e);
    }
}

fn sum(values: &[f64]) -> f64 {
    values.iter().sum()
}

fn sum_of_squares(values: &[f64]) -> f64 {
    values.iter().map(|x| x * x).sum()
}

/// The block of Ding et al., arXiv 2105.01883: 4 channels on 6 x 6, partitions of 3 x 3, 2 groups.
#[test]
fn repmlp_block() {
    let mut weights = Weights::default();
    let hidden = 4 * 2 * 2;
    let mut fc1 = weights.tensor::<f64>("fc1_fc2.fc1.weight", &[hidden, hidden]);
    let mut fc1_bias = weights.tensor::<f64>("fc1_fc2.fc1.bias", &[hidden]);
    weights.tensor::<f64>("fc1_fc2.fc2.weight", &[hidden, hidden]);
    weights.tensor::<f64>("fc1_fc2.fc2.bias", &[hidden]);
    let avg = Norm::next(&mut weights, 4).view().affine().unwrap();
    let mut fc3 = weights.tensor::<f64>("fc3.weight", &[36, 18]);
    let mut fc3_bias = vec![0.0; 36];
    let fc3_norm = Norm::next(&mut weights, 36).view().affine().unwrap();
    let kernel = local_perceptron(&mut weights, 4, 2).unwrap();

    let mut layer = LinearMut::new(&mut fc1, &mut fc1_bias).unwrap();
    layer.preceded_by(&avg).unwrap();
    #[rustfmt::skip]
    assert_all_printed(&fc1[..6], &[
        0.403203775, 0.189510248, -0.113312909, -0.362843235, -0.436455571, -0.309122612,
    ]);
    #[rustfmt::skip]
    assert_all_printed(&fc1_bias[..6], &[
        0.033428922, -0.046689748, -0.307505347, -0.415236939, -0.121585648, 0.304464566,
    ]);
    assert_printed(sum(&fc1_bias), -0.142947924);

    let mut layer = LinearMut::new(&mut fc3, &mut fc3_bias).unwrap();
    layer.add_conv(Some(&fc3_norm), &kernel, Geometry::same(3, 3).unwrap()).unwrap();
    #[rustfmt::skip]
    assert_all_printed(&fc3[..6], &[
        -0.019245483, -0.028903601, 0.425702393, 0.025427730, 0.041168681, -0.086096564,
    ]);
    assert_printed(fc3[36 * 18 - 1], -0.108462545);
    assert_printed(sum(&fc3), 5.591319513);
    assert_printed(sum_of_squares(&fc3), 63.195238447);
    #[rustfmt::skip]
    assert_all_printed(&fc3_bias[..6], &[
        1.372458924, 1.333080731, 1.047914223, 0.744934736, 0.614187810, 0.668825486,
    ]);
    assert_printed(fc3_bias[35], -0.254985354);
    assert_printed(sum(&fc3_bias), 9.934776424);
}

/// The block of Ding et al., arXiv 2112.11081: 6 channels on 3 x 3, 3 share-sets.
#[test]
fn repmlpnet_block() {
    let mut weights = Weights::default();
    for (name, shape) in [
        ("fc1.weight", &[3, 6][..]),
        ("fc1.bias", &[3]),
        ("fc2.weight", &[6, 3]),
        ("fc2.bias", &[6]),
    ] {
        weights.tensor::<f64>(name, shape);
    }
    let mut fc3 = weights.tensor::<f64>("fc3.weight", &[27, 9]);
    let mut fc3_bias = vec![0.0; 27];
    let fc3_norm = Norm::next(&mut weights, 3).view().affine().unwrap();
    let kernel = local_perceptron(&mut weights, 3, 3).unwrap();

    let mut layer = LinearMut::new(&mut fc3, &mut fc3_bias).unwrap();
    layer.add_conv(Some(&fc3_norm), &kernel, Geometry::same(3, 3).unwrap()).unwrap();
    #[rustfmt::skip]
    assert_all_printed(&fc3[..6], &[
        0.346183297, 0.054553943, 0.280141835, 0.036683381, -0.003530547, -0.364916323,
    ]);
    assert_printed(fc3[27 * 9 - 1], 0.090095660);
    assert_printed(sum(&fc3), 2.546533863);
    assert_printed(sum_of_squares(&fc3), 16.476759238);
    assert_all_printed(&fc3_bias[..9], &[0.505673413; 9]);
    assert_printed(fc3_bias[26], -0.897420066);
    assert_printed(sum(&fc3_bias), -7.302111002);
}
