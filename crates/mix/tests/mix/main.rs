//! Operators, norms and patch embedding against `mixfold-reference` in `f64`, on every instruction
//! set, and the promise of same bits.

mod attention;
mod attention_case;
mod attention_errors;
mod bits;
mod bound;
mod case;
mod conv;
mod conv_errors;
mod errors;
mod large;
mod max_pool;
mod mean;
mod norm;
mod operators;
mod outer;
mod partition;
mod patch;
mod patch_errors;
mod special;
mod swap;
mod views;
mod views_errors;
