//! Folded layers against the layers that they replace.

#![forbid(unsafe_code)]

mod branches;
mod case;
mod errors;
mod golden;
mod linear;
mod to_fc;
