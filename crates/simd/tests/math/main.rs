//! The lane-wise functions: accuracy, special values, and the same result at every place.

mod accuracy;
mod exhaustive;

use accuracy::{EXP, Function, GELU_ERF, GELU_TANH, RELU, SIGMOID, SILU, check};
use mixfold_simd::env;
use mixfold_simd::math::{self, ExpNonPositive, Identity, Relu};
use proptest::prelude::*;

const FUNCTIONS: [Function; 6] = [EXP, GELU_ERF, GELU_TANH, SIGMOID, SILU, RELU];

/// A prime number of bit patterns apart, so that all exponents and all low bits occur.
#[test]
fn accuracy_of_samples() {
    for function in &FUNCTIONS {
        check(function, (0..=u32::MAX).step_by(4093));
    }
}

/// Where errors are largest, and where functions pass from one regime to the next.
#[test]
fn accuracy_near_landmarks() {
    let landmarks = [
        0.0,
        0.5,
        1.0,
        4.0,
        5.0,
        8.0,
        12.0,
        16.677,
        87.0,
        87.336_55,
        88.0,
        88.722_84,
        90.0,
        103.278_93,
        103.972_08,
        105.0,
        128.0,
        f32::MAX,
    ];
    for function in &FUNCTIONS {
        for landmark in landmarks {
            for x in [landmark, -landmark] {
                let bits = x.to_bits();
                check(function, bits.saturating_sub(2000)..=bits.saturating_add(2000));
            }
        }
    }
}

#[test]
fn special_values() {
    let (inf, max) = (f32::INFINITY, f32::MAX);
    let expected: [(&Function, &[(f32, f32)]); 6] = [
        (
            &EXP,
            &[
                (0.0, 1.0),
                (-0.0, 1.0),
                (-inf, 0.0),
                (inf, inf),
                (-max, 0.0),
                (max, inf),
                // The last finite result, and the first that overflows.
                (88.722_83, 3.402_798_5e38),
                (88.722_84, inf),
                // The last subnormal result, and the first that underflows.
                (-103.972_08, f32::from_bits(1)),
                (-103.972_084, 0.0),
            ],
        ),
        (&GELU_ERF, &[(0.0, 0.0), (-0.0, 0.0), (inf, inf), (max, max)]),
        (&GELU_TANH, &[(0.0, 0.0), (-0.0, 0.0), (-inf, 0.0), (inf, inf), (max, max), (-max, 0.0)]),
        (&SIGMOID, &[(0.0, 0.5), (-0.0, 0.5), (-inf, 0.0), (inf, 1.0), (max, 1.0), (-max, 0.0)]),
        (&SILU, &[(0.0, 0.0), (-0.0, 0.0), (-inf, 0.0), (inf, inf), (max, max), (-max, 0.0)]),
        (&RELU, &[(0.0, 0.0), (-0.0, 0.0), (-inf, 0.0), (inf, inf), (max, max), (-1e-45, 0.0)]),
    ];
    for isa in env::isas_under_test() {
        for (function, values) in expected {
            for &(x, y) in values {
                let got = function.of(isa, &[x])[0];
                assert_eq!(got.to_bits(), y.to_bits(), "{isa}: {}({x:e}) = {got:e}", function.name);
            }
            for nan in [f32::NAN, -f32::NAN, f32::from_bits(0x7f80_0001)] {
                assert!(function.of(isa, &[nan])[0].is_nan(), "{isa}: {}", function.name);
            }
        }
        let tail = GELU_ERF.of(isa, &[-8.0, -8.5, -f32::MAX, -inf]);
        assert!(tail.iter().all(|&y| y == tail[0] && (-4.985e-15..0.0).contains(&y)), "{tail:?}");
    }
}

/// Of samples, and of all numbers about those where the result is 0, subnormal, or near 1.
#[test]
fn exp_of_numbers_that_are_not_positive() {
    let samples = (0..=u32::MAX).step_by(4093).map(f32::from_bits);
    let landmarks = [0.0_f32, 1.0, 87.336_55, 88.0, 103.278_93, 103.972_08, 105.0, f32::MAX];
    let near = landmarks.map(|x| {
        let bits = x.to_bits();
        (bits.saturating_sub(2000)..=bits.saturating_add(2000)).map(|bits| -f32::from_bits(bits))
    });
    let x: Vec<f32> =
        samples.chain(near.into_iter().flatten()).filter(|x| x.is_nan() || *x <= 43.0).collect();
    assert!(x.iter().any(|x| x.is_nan()) && x.contains(&f32::NEG_INFINITY));
    same_as_exp(&x);
}

/// That [`ExpNonPositive`] has the bits of `Exp`, and NaN where it has.
fn same_as_exp(x: &[f32]) {
    for isa in env::isas_under_test() {
        let (expected, mut found) = (EXP.of(isa, x), x.to_vec());
        math::map(isa, ExpNonPositive, &mut found);
        for ((x, a), b) in x.iter().zip(expected).zip(found) {
            let same = a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
            assert!(same, "{isa}: e^{x:e} is {b:e}, not {a:e}");
        }
    }
}

proptest! {
    /// The result for an element is that for the element alone, wherever it stands.
    #[test]
    fn place_does_not_matter(x in proptest::collection::vec(-30.0_f32..30.0, 0..150)) {
        for isa in env::isas_under_test() {
            for function in &FUNCTIONS {
                let together = function.of(isa, &x);
                for (&x, y) in x.iter().zip(together) {
                    let alone = function.of(isa, &[x])[0];
                    prop_assert_eq!(alone.to_bits(), y.to_bits(), "{} {}", isa, function.name);
                }
            }
        }
    }
}

#[test]
fn generic_functions_on_f64() {
    let x: Vec<f64> = (-40..40).map(f64::from).chain([-0.0, f64::NAN, f64::MAX]).collect();
    for isa in env::isas_under_test() {
        let (mut same, mut relu) = (x.clone(), x.clone());
        math::map(isa, Identity, &mut same);
        math::map(isa, Relu, &mut relu);
        for ((x, same), relu) in x.iter().zip(same).zip(relu) {
            assert_eq!(same.to_bits(), x.to_bits(), "{isa}");
            let expected = if *x <= 0.0 { 0.0 } else { *x };
            assert!(relu.to_bits() == expected.to_bits() || (relu.is_nan() && x.is_nan()), "{isa}");
        }
    }
}

/// All fused instruction sets, of any processor, give these bits: a hash (FNV-1a) of the results.
#[test]
fn same_bits_on_every_processor() {
    let expected = [
        ("exp", 0xf07f_5dfe_9f29_59a3),
        ("gelu_erf", 0x0f77_ef36_9b43_c356),
        ("gelu_tanh", 0x661f_7802_50a8_1777),
        ("sigmoid", 0xefcb_67ae_adbe_11f6),
        ("silu", 0xaf9f_789d_e69c_91f0),
        ("relu", 0x5c4d_feb5_99d3_c502),
    ];
    let x: Vec<f32> =
        (0..=u32::MAX).step_by(4093).map(f32::from_bits).filter(|x| !x.is_nan()).collect();
    for isa in env::isas_under_test().into_iter().filter(|isa| isa.is_fused()) {
        let hashes = FUNCTIONS.map(|function| {
            let bytes = function.of(isa, &x).into_iter().flat_map(|y| y.to_bits().to_le_bytes());
            let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
            });
            (function.name, hash)
        });
        assert_eq!(hashes, expected, "{isa}");
    }
}
