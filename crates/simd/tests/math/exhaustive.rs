//! The error of each lane-wise function over all `f32` values, against its documentation; the
//! instruction sets bit by bit against each other.
//!
//! `cargo test --release -p mixfold-simd --test math -- --ignored --nocapture` prints the figures. One
//! function is one test, so that the harness spreads them over the cores.

use crate::accuracy::{EXP, Function, GELU_ERF, GELU_TANH, RELU, SIGMOID, SILU, check};
use crate::same_as_exp;

fn all_inputs(function: &Function) {
    check(function, 0..=u32::MAX);
}

macro_rules! exhaustive {
    ($($name:ident: $function:ident),+) => {$(
        #[test]
        #[ignore = "all 2^32 inputs: minutes"]
        fn $name() {
            all_inputs(&$function);
        }
    )+};
}

exhaustive! {
    gelu_erf: GELU_ERF,
    gelu_tanh: GELU_TANH,
    silu: SILU,
    sigmoid: SIGMOID,
    exp: EXP,
    relu: RELU
}

/// Where the bits of `Exp` are promised, so that its figures hold here too.
#[test]
#[ignore = "three quarters of all 2^32 inputs: minutes"]
fn exp_of_all_numbers_that_are_not_positive() {
    const BLOCK: usize = 1 << 14;
    let (zero, largest) = ((-0.0_f32).to_bits(), 43.0_f32.to_bits());
    let mut bits = (zero..=u32::MAX).chain(0..=largest).map(f32::from_bits).peekable();
    while bits.peek().is_some() {
        same_as_exp(&bits.by_ref().take(BLOCK).collect::<Vec<_>>());
    }
}
