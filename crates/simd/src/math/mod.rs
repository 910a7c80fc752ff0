//! Lane-wise functions, each written once for all instruction sets.
//!
//! A function is a value that implements [`Unary`], so that a kernel can take it as a parameter;
//! [`map`] applies one to a slice. The accuracy in each one's documentation is the largest error
//! over **all** 2³² `f32` inputs against `f64` arithmetic, on fused and unfused instruction sets;
//! `cargo test --release -p mixfold-simd --test math -- --ignored --nocapture` prints them again.

mod exp;
mod gelu;
mod sigmoid;

pub use exp::{Exp, ExpNonPositive};
pub use gelu::{GeluErf, GeluTanh};
pub use sigmoid::{Sigmoid, Silu};

use crate::{Element, Isa, Kernel, Simd, V, Vector};

/// A function of one variable, applied lane by lane.
pub trait Unary<T: Element>: Copy + Send + Sync {
    /// The function of every lane of `x`. Implementations carry `#[inline(always)]`.
    fn apply<S: Simd>(self, s: S, x: V<T, S>) -> V<T, S>;
}

/// `x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity;

impl<T: Element> Unary<T> for Identity {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, x: V<T, S>) -> V<T, S> {
        x
    }
}

/// `max(x, 0)`, exact; NaN stays NaN, −0 gives +0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relu;

impl<T: Element> Unary<T> for Relu {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: V<T, S>) -> V<T, S> {
        let zero = V::<T, S>::splat(s, T::default());
        // Instruction sets differ in max(0, −0); adding 0 makes both +0.
        zero.max(x) + zero
    }
}

/// Replaces each element of `x` by `f` of it. The result does not depend on the place in `x`.
pub fn map<T: Element>(isa: Isa, f: impl Unary<T>, x: &mut [T]) {
    struct Map<'a, T, F>(F, &'a mut [T]);
    impl<T: Element, F: Unary<T>> Kernel for Map<'_, T, F> {
        type Out = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let lanes = V::<T, S>::LANES;
            let mut groups = self.1.chunks_exact_mut(4 * lanes);
            for group in &mut groups {
                // Four independent vectors: their chains overlap.
                let mut vectors = [V::<T, S>::splat(s, T::default()); 4];
                for (vector, x) in vectors.iter_mut().zip(group.chunks_exact(lanes)) {
                    *vector = V::<T, S>::from_slice(s, x);
                }
                for (&vector, x) in vectors.iter().zip(group.chunks_exact_mut(lanes)) {
                    self.0.apply(s, vector).write_to(x);
                }
            }
            for chunk in groups.into_remainder().chunks_mut(lanes) {
                self.0.apply(s, V::<T, S>::from_slice(s, chunk)).write_to(chunk);
            }
        }
    }
    isa.run(Map(f, x));
}

/// c₀ + c₁x + c₂x² + … by Horner's rule.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, coefficients: [f32; N], x: S::F32) -> S::F32 {
    let mut sum = S::F32::splat(s, coefficients[N - 1]);
    // By index: an iterator need not be inlined.
    for i in 1..N {
        sum = sum.mul_add(x, S::F32::splat(s, coefficients[N - 1 - i]));
    }
    sum
}
