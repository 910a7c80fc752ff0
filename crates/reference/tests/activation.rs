//! Activations against values computed with 60 digits.

use Activation::{GeluErf, GeluTanh, Identity, Relu, Sigmoid, Silu};
use mixfold_reference::activation::{Activation, gelu_erf, gelu_tanh, relu, sigmoid, silu};

/// `x, gelu_erf, gelu_tanh, sigmoid, silu`.
#[rustfmt::skip]
const KNOWN: [[f64; 5]; 16] = [
    [-37.0, -2.1184613523340935e-298, -0.0, 8.533047625744065e-17, -3.1572276215253042e-15],
    [-30.0, -1.472014178144456e-196, -0.0, 9.357622968839299e-14, -2.8072868906517896e-12],
    [-20.0, -5.507248237212468e-88, -3.3754509563109673e-261, 2.0611536181902037e-09, -4.122307236380407e-08],
    [-13.0, -7.952313719414843e-38, -1.0511517767632533e-76, 2.2603242979035746e-06, -2.938421587274647e-05],
    [-10.0, -7.619853024160526e-23, -1.204092348209806e-37, 4.5397868702434395e-05, -0.00045397868702434395],
    [-5.5, -1.0444259356238245e-07, -5.9276402638802624e-09, 0.004070137715896128, -0.0223857574374287],
    [-3.0, -0.0040496940948902835, -0.003637392081773019, 0.04742587317756678, -0.14227761953270035],
    [-1.0, -0.15865525393145705, -0.1588080093917233, 0.2689414213699951, -0.2689414213699951],
    [-0.5, -0.15426876936299344, -0.15428599017485609, 0.37754066879814546, -0.18877033439907273],
    [-0.001, -0.000499601057786089, -0.000499601057786418, 0.4997500000208333, -0.0004997500000208334],
    [-1e-300, -5e-301, -5e-301, 0.5, -5e-301],
    [0.001, 0.000500398942213911, 0.000500398942213582, 0.5002499999791666, 0.0005002499999791667],
    [0.5, 0.34573123063700656, 0.34571400982514394, 0.6224593312018546, 0.3112296656009273],
    [1.0, 0.8413447460685429, 0.8411919906082767, 0.7310585786300049, 0.7310585786300049],
    [3.0, 2.99595030590511, 2.996362607918227, 0.9525741268224333, 2.8577223804672998],
    [8.0, 7.999999999999995, 8.0, 0.9996646498695335, 7.997317198956268],
];

fn assert_relative(x: f64, computed: f64, expected: f64, tolerance: f64) {
    let error = (computed - expected).abs();
    assert!(error <= tolerance * expected.abs(), "at {x}: {computed} instead of {expected}");
}

#[test]
fn known_values() {
    for [x, erf, tanh, logistic, swish] in KNOWN {
        assert_relative(x, gelu_erf(x), erf, (x * x + 4.0) * f64::EPSILON);
        let argument = 1.6 * (x + 0.0448 * x * x * x).abs();
        assert_relative(x, gelu_tanh(x), tanh, (4.0 * argument + 4.0) * f64::EPSILON);
        assert_relative(x, sigmoid(x), logistic, 4.0 * f64::EPSILON);
        assert_relative(x, silu(x), swish, 4.0 * f64::EPSILON);
        assert_eq!(relu(x), if x > 0.0 { x } else { 0.0 });
    }
}

/// `erfc(z) ~ exp(−z²) / (z√π) · (1 − 1/(2z²) + 3/(4z⁴) − 15/(8z⁶) + …)`, so that
/// `gelu(−a) ~ −φ(a) · (1 − 1/a² + 3/a⁴ − 15/a⁶ + 105/a⁸)` with an error below the next term.
#[test]
fn erf_tail_follows_its_asymptotic_series() {
    for step in 0..2500 {
        let a = 12.0 + f64::from(step) * 0.01;
        let r = 1.0 / (a * a);
        let series = 1.0 + r * (-1.0 + r * (3.0 + r * (-15.0 + r * 105.0)));
        let density = (-0.5 * a * a).exp() / std::f64::consts::TAU.sqrt();
        let tolerance = 945.0 * r.powi(5) + (2.0 * a * a + 8.0) * f64::EPSILON;
        assert_relative(-a, gelu_erf(-a), -density * series, tolerance);
    }
}

#[test]
fn gelu_of_x_and_minus_x_differ_by_x() {
    for step in 0..4000 {
        let x = f64::from(step) * 0.0025;
        for gelu in [gelu_erf, gelu_tanh] {
            assert!((gelu(x) - gelu(-x) - x).abs() <= 4.0 * f64::EPSILON * x, "{x}");
        }
    }
}

#[test]
fn the_two_gelus_differ_as_published() {
    let differences = (0..80_000).map(|i| f64::from(i) * 1e-4 - 4.0);
    let differences = differences.map(|x| ((gelu_erf(x) - gelu_tanh(x)).abs(), x));
    let (largest, at) = differences.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    assert!((largest - 4.73e-4).abs() < 1e-6 && (at.abs() - 2.699).abs() < 1e-3, "{largest}, {at}");
}

#[test]
fn f32_is_accurate_to_the_tail() {
    for step in -1280..1280 {
        let x = step as f32 / 100.0;
        let wide = f64::from(x);
        let eps = f64::from(f32::EPSILON);
        let pairs = [(GeluErf, (wide * wide + 4.0) * eps), (Sigmoid, 4.0 * eps), (Silu, 4.0 * eps)];
        for (activation, tolerance) in pairs {
            let computed = f64::from(activation.apply(x));
            assert_relative(wide, computed, activation.apply(wide), tolerance);
        }
    }
}

#[test]
fn limits_zeros_and_nan() {
    let inf = f64::INFINITY;
    for (activation, lower, upper, zero) in [
        (Identity, -inf, inf, 0.0),
        (Relu, 0.0, inf, 0.0),
        (GeluErf, 0.0, inf, 0.0),
        (GeluTanh, 0.0, inf, 0.0),
        (Sigmoid, 0.0, 1.0, 0.5),
        (Silu, 0.0, inf, 0.0),
    ] {
        assert_eq!(activation.apply(-inf), lower, "{activation:?}");
        assert_eq!(activation.apply(inf), upper, "{activation:?}");
        assert_eq!(activation.apply(0.0), zero, "{activation:?}");
        assert_eq!(activation.apply(-0.0), zero, "{activation:?}");
        assert!(activation.apply(f64::NAN).is_nan(), "{activation:?}");
        assert_eq!(activation.apply(f32::NEG_INFINITY), lower as f32, "{activation:?}");
        if activation != Identity {
            assert_eq!(activation.apply(-f32::MAX), lower as f32, "{activation:?}");
        }
        if upper == inf {
            assert_eq!(activation.apply(f32::MAX), f32::MAX, "{activation:?}");
        }
    }
    assert!(relu(-0.0f32).is_sign_positive());
}
