//! Every operation of [`Vector`](mixfold_simd::Vector), for both element types, on every
//! instruction set of the CPU.

mod arithmetic;
mod float;
mod memory;
