//! The error of each lane-wise function over all `f32` values, against its documentation; the
//! instruction sets bit by bit against each other.
//!
//! `cargo test --release -p mixfold-simd --test math -- --ignored --nocapture` prints the figures. One function is one test, so that the harness spreads them over the cores.

use crate::accuracy::{EXP, Function, GELU_ERF, GELU_TANH, RELU, SIGMOID, SILU, check};

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
