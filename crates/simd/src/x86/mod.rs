//! x86-64 instruction sets beyond the baseline, found at run time.
//!
//! [`avx2`] and [`avx512`] are leaf tables: each row names an operation of
//! [`Vector`](crate::Vector) and the instruction that does it.

pub mod avx2;
pub mod avx512;

pub use avx2::Avx2;
pub use avx512::Avx512;

use crate::vector::Cache;

/// Hints that the cache line at `p` will be read soon.
#[inline(always)]
pub(crate) fn prefetch<T>(p: *const T, to: Cache) {
    use core::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
    // SAFETY: a prefetch reads nothing and faults at no address; SSE is in the x86-64 baseline.
    unsafe {
        match to {
            Cache::First => _mm_prefetch::<_MM_HINT_T0>(p.cast()),
            Cache::Second => _mm_prefetch::<_MM_HINT_T1>(p.cast()),
        }
    }
}

/// Defines a token: its detection and its enabling come from one list of features.
macro_rules! token {
    ($(#[$doc:meta])* $token:ident, $name:literal, registers $registers:literal,
     $($feature:tt),+ => $features:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $token(());

        impl $token {
            /// The token, if the CPU has the instruction set.
            pub fn detect() -> Option<Self> {
                let found = $(std::arch::is_x86_feature_detected!($feature))&&+;
                found.then_some(Self(()))
            }
        }

        impl $crate::vector::sealed::Sealed for $token {}

        impl $crate::Simd for $token {
            const NAME: &'static str = $name;
            const REGISTERS: usize = $registers;
            const FUSED: bool = true;
            type F32 = F32;
            type F64 = F64;

            // The compiler drops `inline(never)` from functions with target features, so it stands
            // on this one, which cannot absorb the other.
            #[inline(never)]
            fn enter<K: $crate::Kernel>(self, kernel: K) -> K::Out {
                #[target_feature(enable = $features)]
                fn region<S: $crate::Simd, K: $crate::Kernel>(s: S, kernel: K) -> K::Out {
                    kernel.run(s)
                }
                // SAFETY: `self` exists only where the CPU has the features.
                unsafe { region(self, kernel) }
            }

            #[inline(always)]
            fn prefetch<T>(self, p: *const T, to: crate::Cache) {
                super::prefetch(p, to);
            }
        }
    };
}

/// Defines a vector type from its table of instructions.
macro_rules! vector {
    ($(#[$doc:meta])* $name:ident($raw:ident) of $token:ident = [$elem:ident; $lanes:literal]
     splat $splat:ident, load $load:ident, store $store:ident,
     add $add:ident, sub $sub:ident, mul $mul:ident, div $div:ident,
     mul_add $mul_add:ident, neg_mul_add $neg_mul_add:ident, min $min:ident, max $max:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name($raw);

        impl core::ops::Add for $name {
            type Output = Self;
            #[inline(always)]
            fn add(self, b: Self) -> Self {
                // SAFETY: a vector is made from a token, which proves the features.
                Self(unsafe { $add(self.0, b.0) })
            }
        }
        impl core::ops::Sub for $name {
            type Output = Self;
            #[inline(always)]
            fn sub(self, b: Self) -> Self {
                // SAFETY: a vector is made from a token, which proves the features.
                Self(unsafe { $sub(self.0, b.0) })
            }
        }
        impl core::ops::Mul for $name {
            type Output = Self;
            #[inline(always)]
            fn mul(self, b: Self) -> Self {
                // SAFETY: a vector is made from a token, which proves the features.
                Self(unsafe { $mul(self.0, b.0) })
            }
        }
        impl core::ops::Div for $name {
            type Output = Self;
            #[inline(always)]
            fn div(self, b: Self) -> Self {
                // SAFETY: a vector is made from a token, which proves the features.
                Self(unsafe { $div(self.0, b.0) })
            }
        }

        impl $crate::Vector<$token, $elem> for $name {
            const LANES: usize = $lanes;

            #[inline(always)]
            fn splat(_: $token, x: $elem) -> Self {
                // SAFETY: the token proves the features.
                Self(unsafe { $splat(x) })
            }
            #[inline(always)]
            unsafe fn load(_: $token, p: *const $elem) -> Self {
                // SAFETY: the token proves the features; by 1, LANES values can be read.
                Self(unsafe { $load(p) })
            }
            #[inline(always)]
            unsafe fn load_first(s: $token, p: *const $elem, n: usize) -> Self {
                // SAFETY: by 1, min(n, LANES) values can be read.
                unsafe { Self::load_masked(s, p, n) }
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $elem) {
                // SAFETY: a vector proves the features; by 1, LANES values can be written.
                unsafe { $store(p, self.0) }
            }
            #[inline(always)]
            unsafe fn store_first(self, p: *mut $elem, n: usize) {
                // SAFETY: by 1, min(n, LANES) values can be written.
                unsafe { self.store_masked(p, n) }
            }
            #[inline(always)]
            unsafe fn transpose(
                s: $token,
                source: *const $elem,
                source_stride: usize,
                target: *mut $elem,
                target_stride: usize,
            ) {
                // SAFETY: by 1 and 2.
                unsafe { Self::transpose_block(s, (source, source_stride), (target, target_stride)) }
            }
            #[inline(always)]
            fn mul_add(self, b: Self, c: Self) -> Self {
                // SAFETY: a vector is made from a token, which proves the features.
                Self(unsafe { $mul_add(self.0, b.0, c.0) })
            }
            #[inline(always)]
            fn neg_mul_add(self, b: Self, c: Self) -> Self {
                // SAFETY: a vector is made from a token, which proves the features.
                Self(unsafe { $neg_mul_add(self.0, b.0, c.0) })
            }
            // `self < b ? self : b`
            #[inline(always)]
            fn min(self, b: Self) -> Self {
                // SAFETY: a vector is made from a token, which proves the features.
                Self(unsafe { $min(self.0, b.0) })
            }
            // `self > b ? self : b`
            #[inline(always)]
            fn max(self, b: Self) -> Self {
                // SAFETY: a vector is made from a token, which proves the features.
                Self(unsafe { $max(self.0, b.0) })
            }
            #[inline(always)]
            fn max_or_nan(self, b: Self) -> Self {
                self.unless_more_or_nan(b)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                self.without_sign()
            }
            #[inline(always)]
            fn mul_pow2(self, t: Self) -> Self {
                self.add_to_exponent(t)
            }
        }
    };
}

use {token, vector};
