//! The measured peak is a peak.

use std::time::Duration;

use mixfold_simd::{Isa, env, peak};

/// The best of many short windows.
fn gflops(isa: Isa) -> f64 {
    (0..50).map(|_| peak::fma_gflops(isa, Duration::from_millis(1))).fold(0.0, f64::max)
}

#[test]
fn is_positive_and_finite() {
    for isa in env::isas_under_test() {
        let gflops = gflops(isa);
        println!("{isa}: {gflops:.1} GFLOP/s");
        // Between one flop per microsecond and more than a core of any design.
        assert!((1e-3..1e5).contains(&gflops), "{isa}: {gflops}");
    }
}
