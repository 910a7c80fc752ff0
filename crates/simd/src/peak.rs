//! The speed of light: how many multiply-adds per second one core does, measured.

use core::hint::black_box;
use std::time::{Duration, Instant};

use crate::{Isa, Kernel, Simd, Vector};

/// Independent chains of multiply-adds: enough to hide their latency, few enough to stay in
/// registers.
const CHAINS: usize = 16;
/// Steps of each chain between two looks at the clock.
const STEPS: usize = 4096;

/// Runs f32 multiply-adds on registers for about `window` and returns GFLOP/s (two operations per
/// multiply-add and lane) of the calling thread.
///
/// Take the best of many short windows, interleaved with what is to be compared: clock and
/// neighbours change within seconds. Where the instruction set is not fused, a multiply-add is a
/// multiplication and an addition, and the figure is the peak of those.
pub fn fma_gflops(isa: Isa, window: Duration) -> f64 {
    let start = Instant::now();
    let mut flops = 0.0;
    loop {
        flops += isa.run(Chains);
        let elapsed = start.elapsed();
        if elapsed >= window {
            return flops / elapsed.as_secs_f64() / 1e9;
        }
    }
}

struct Chains;

impl Kernel for Chains {
    /// Floating point operations done.
    type Out = f64;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        if const { S::REGISTERS >= CHAINS } {
            chains::<S, CHAINS>(s)
        } else {
            // Vectors of several registers each: these are more than 16 chains of the hardware's.
            chains::<S, 6>(s)
        }
    }
}

#[inline(always)]
fn chains<S: Simd, const N: usize>(s: S) -> f64 {
    // x ← x·x + x stays in (−1, 0) and far from subnormal numbers, and needs no second operand.
    let mut x = [S::F32::splat(s, 0.0); N];
    for (i, x) in x.iter_mut().enumerate() {
        *x = S::F32::splat(s, black_box(-0.5 - i as f32 / 64.0));
    }
    for _ in 0..STEPS {
        for x in &mut x {
            *x = x.mul_add(*x, *x);
        }
    }
    for x in x {
        let mut lanes = [0.0; 16];
        x.write_to(&mut lanes);
        black_box(lanes);
    }
    (STEPS * N * S::F32::LANES * 2) as f64
}
