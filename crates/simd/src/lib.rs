//! The SIMD layer of mixfold: an algorithm is written once, over the trait [`Simd`], and runs as
//! one instance per instruction set, chosen at run time.
//!
//! * A **token** ([`Portable`], [`Avx2`](x86::Avx2), [`Avx512`](x86::Avx512)) implements [`Simd`].
//!   It exists only where the CPU has the instruction set, so holding one is the proof that its
//!   instructions may be executed.
//! * A **vector** ([`Vector`]) can only be made from a token. Its operations are therefore safe.
//! * A **kernel** ([`Kernel`]) is a value with its arguments as fields; [`Isa::run`] compiles and
//!   runs it for the instruction set in hand.
//!
//! [`math`] holds lane-wise functions (exp, GELU, sigmoid, …), [`moments`] the statistics of the
//! norms, [`peak`] the speed of light to compare a kernel with, [`mod@env`] every environment variable
//! that mixfold reads.
//!
//! # Same bits
//! Every operation of [`Vector`] is lane-wise and correctly rounded or exact, except that
//! [`Vector::mul_add`] rounds once where [`Simd::FUSED`] and twice where not. A kernel whose result
//! does not depend on [`Vector::LANES`] thus gives the same bits on all fused instruction sets.
//!
//! # Example
//! ```
//! use mixfold_simd::{Isa, Kernel, Simd, Vector};
//!
//! /// y ← a·x + y
//! struct Axpy<'a> { a: f32, x: &'a [f32], y: &'a mut [f32] }
//!
//! impl Kernel for Axpy<'_> {
//!     type Out = ();
//!     #[inline(always)]
//!     fn run<S: Simd>(self, s: S) {
//!         let a = S::F32::splat(s, self.a);
//!         let lanes = S::F32::LANES;
//!         for (x, y) in self.x.chunks(lanes).zip(self.y.chunks_mut(lanes)) {
//!             let sum = a.mul_add(S::F32::from_slice(s, x), S::F32::from_slice(s, y));
//!             sum.write_to(y);
//!         }
//!     }
//! }
//!
//! let (x, mut y) = ([1.0; 21], [2.0; 21]);
//! Isa::best().run(Axpy { a: 3.0, x: &x, y: &mut y });
//! assert_eq!(y, [5.0; 21]);
//! ```

pub mod env;
mod isa;
pub mod math;
pub mod moments;
pub mod peak;
mod portable;
mod vector;
#[cfg(target_arch = "x86_64")]
pub mod x86;

pub use isa::{Isa, IsaError};
pub use portable::Portable;
pub use vector::{Cache, Element, Kernel, Simd, V, Vector};
