//! [`Moments`] against sums in `f64`, with the bounds of its documentation.

mod columns;

use mixfold_simd::env;
use mixfold_simd::moments::Moments;
use proptest::prelude::*;

/// Rounding error of one `f32` operation.
const U: f64 = 1.0 / (1_u32 << 24) as f64;

/// Sums in `f64` over a set of numbers.
struct Exact {
    mean: f64,
    variance: f64,
    /// Σ|x − μ| / n
    spread: f64,
    /// Σ|x| / n
    magnitude: f64,
}

impl Exact {
    fn of(x: &[f32]) -> Exact {
        let average = |f: &dyn Fn(f64) -> f64| {
            x.iter().map(|&x| f(f64::from(x))).sum::<f64>() / x.len() as f64
        };
        let mean = average(&|x| x);
        Exact {
            mean,
            variance: average(&|x| (x - mean) * (x - mean)),
            spread: average(&|x| (x - mean).abs()),
            magnitude: average(&f64::abs),
        }
    }
}

/// Checks the bounds, and that all instruction sets give the same bits.
fn check(x: &[f32]) {
    let Exact { mean, variance, spread, magnitude } = Exact::of(x);
    let depth = x.len() as f64 / 16.0;
    // How far the first mean may be from the mean; the second pass is about the former.
    let off = (depth + 1.0) * U * magnitude;
    // Terms of second order in U, and the error of the f64 sums.
    let slack = 1.001;
    let mean_bound = slack * (U * mean.abs() + (depth + 2.0) * U * (spread + off));
    let variance_bound =
        slack * ((depth + 5.0) * U * (variance + 3.0 * off * off)) + f64::from(f32::MIN_POSITIVE);
    let mut first = None;
    for isa in env::isas_under_test() {
        let moments = Moments::of(isa, x);
        let error = (f64::from(moments.mean) - mean).abs();
        assert!(error <= mean_bound, "{isa}: {moments:?}, error of the mean {error:e}");
        let error = (f64::from(moments.variance) - variance).abs();
        assert!(error <= variance_bound, "{isa}: {moments:?}, error of the variance {error:e}");
        assert!(moments.variance >= 0.0, "{isa}: {moments:?}");
        let bits = (moments.mean.to_bits(), moments.variance.to_bits());
        assert_eq!(bits, *first.get_or_insert(bits), "{isa}: {moments:?}");
    }
}

/// Numbers of a fixed sequence in [−1, 1), without a pattern of period 16.
fn numbers(n: usize) -> impl Iterator<Item = f32> {
    (1..=n as u64).map(|i| {
        let mixed = (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u32;
        mixed as f32 / (1 << 23) as f32 - 1.0
    })
}

#[test]
fn all_short_lengths_and_a_long_one() {
    for n in (1..=100).chain([768, 769, 3072]) {
        let x: Vec<f32> = numbers(n).collect();
        check(&x);
        // A mean a thousand times the deviation.
        check(&x.iter().map(|x| 1000.0 + x).collect::<Vec<_>>());
        check(&x.iter().map(|x| -1e-3 * x).collect::<Vec<_>>());
    }
}

proptest! {
    #[test]
    fn any_numbers(
        x in proptest::collection::vec(-1.0_f32..1.0, 1..200),
        center in -1e4_f32..1e4,
        exponent in -20..20,
    ) {
        let scale = libm::exp2f(exponent as f32);
        check(&x.iter().map(|x| (center + x) * scale).collect::<Vec<_>>());
    }
}

#[test]
fn every_place_counts_once() {
    for n in 1..=100 {
        for place in 0..n {
            let mut x = vec![0.0; n];
            x[place] = n as f32;
            for isa in env::isas_under_test() {
                assert_eq!(Moments::of(isa, &x).mean, 1.0, "{isa}: {place} of {n}");
            }
        }
    }
}

#[test]
fn of_nothing_and_of_equal_numbers() {
    for isa in env::isas_under_test() {
        assert_eq!(Moments::of(isa, &[]), Moments { mean: 0.0, variance: 0.0 }, "{isa}");
        for n in 1..=100 {
            for x in [0.0, -0.1, 1e-30, 12_345.678] {
                let moments = Moments::of(isa, &vec![x; n]);
                assert_eq!(moments.mean, x, "{isa}: {n} times {x}");
                assert!(moments.variance <= 1e-12 * x * x, "{isa}: {n} times {x}: {moments:?}");
            }
        }
    }
}

#[test]
fn not_finite_stays_visible() {
    for isa in env::isas_under_test() {
        for n in [1, 15, 16, 33] {
            for x in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut numbers: Vec<f32> = numbers(n).collect();
                numbers[n / 2] = x;
                let Moments { mean, variance } = Moments::of(isa, &numbers);
                assert!(!mean.is_finite() && !variance.is_finite(), "{isa}: {mean} {variance}");
            }
        }
    }
}

#[test]
fn rstd_is_rounded_once() {
    for (variance, eps) in [(1.0, 0.0), (0.25, 1e-6), (0.0, 1e-6), (1e-40, 0.0), (3e38, 1e-5)] {
        let exact = 1.0 / (f64::from(variance) + f64::from(eps)).sqrt();
        assert_eq!(Moments { mean: 0.0, variance }.rstd(eps), exact as f32);
    }
    assert_eq!(Moments::default().rstd(0.0), f32::INFINITY);
}
