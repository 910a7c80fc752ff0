//! The portable instance, over `wide`: SSE2 on a default x86-64 build, NEON on aarch64, simd128 on
//! wasm, and whatever `-C target-cpu` allows.

use core::ops::{Add, Div, Mul, Sub};

use wide::{f32x8, f64x4, u32x8, u64x4};

use crate::vector::{Cache, Kernel, Simd, Vector, sealed};

/// The instruction set that the program was compiled for. Always available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portable;

/// Whether `wide` uses NEON, the baseline of aarch64.
const NEON: bool = cfg!(all(target_arch = "aarch64", target_feature = "neon"));

impl sealed::Sealed for Portable {}

impl Simd for Portable {
    const NAME: &'static str = if NEON { "neon" } else { "portable" };
    // Counted in vectors of 256 bits.
    const REGISTERS: usize = if cfg!(target_feature = "avx512f") {
        32
    } else if cfg!(target_feature = "avx") || NEON {
        16
    } else {
        8
    };
    const FUSED: bool = cfg!(all(target_feature = "avx", target_feature = "fma")) || NEON;
    type F32 = F32;
    type F64 = F64;

    #[inline(never)]
    fn enter<K: Kernel>(self, kernel: K) -> K::Out {
        kernel.run(self)
    }

    #[inline(always)]
    fn prefetch<T>(self, p: *const T, to: Cache) {
        #[cfg(target_arch = "x86_64")]
        crate::x86::prefetch(p, to);
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (p, to);
    }
}

macro_rules! vector {
    ($(#[$doc:meta])* $name:ident($raw:ident, $bits:ident) = [$elem:ident; $lanes:literal], mantissa $mantissa:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name($raw);

        impl Add for $name {
            type Output = Self;
            #[inline(always)]
            fn add(self, b: Self) -> Self {
                Self(self.0 + b.0)
            }
        }
        impl Sub for $name {
            type Output = Self;
            #[inline(always)]
            fn sub(self, b: Self) -> Self {
                Self(self.0 - b.0)
            }
        }
        impl Mul for $name {
            type Output = Self;
            #[inline(always)]
            fn mul(self, b: Self) -> Self {
                Self(self.0 * b.0)
            }
        }
        impl Div for $name {
            type Output = Self;
            #[inline(always)]
            fn div(self, b: Self) -> Self {
                Self(self.0 / b.0)
            }
        }

        impl Vector<Portable, $elem> for $name {
            const LANES: usize = $lanes;

            #[inline(always)]
            fn splat(_: Portable, x: $elem) -> Self {
                Self($raw::splat(x))
            }
            #[inline(always)]
            unsafe fn load(_: Portable, p: *const $elem) -> Self {
                // SAFETY: by 1, $lanes values can be read; an array has the alignment of one.
                Self($raw::new(unsafe { p.cast::<[$elem; $lanes]>().read() }))
            }
            #[inline(always)]
            unsafe fn load_first(_: Portable, p: *const $elem, n: usize) -> Self {
                let mut lanes = [0.0; $lanes];
                for (i, lane) in lanes.iter_mut().enumerate() {
                    if i < n {
                        // SAFETY: by 1, n values can be read, and i < n.
                        *lane = unsafe { p.add(i).read() };
                    }
                }
                Self($raw::new(lanes))
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $elem) {
                // SAFETY: by 1, $lanes values can be written; an array has the alignment of one.
                unsafe { p.cast::<[$elem; $lanes]>().write(self.0.to_array()) }
            }
            #[inline(always)]
            unsafe fn store_first(self, p: *mut $elem, n: usize) {
                for (i, lane) in self.0.to_array().into_iter().enumerate() {
                    if i < n {
                        // SAFETY: by 1, n values can be written, and i < n.
                        unsafe { p.add(i).write(lane) }
                    }
                }
            }
            #[inline(always)]
            unsafe fn transpose(
                _: Portable,
                source: *const $elem,
                source_stride: usize,
                target: *mut $elem,
                target_stride: usize,
            ) {
                let mut rows = [$raw::splat(0.0); $lanes];
                for (i, row) in rows.iter_mut().enumerate() {
                    // SAFETY: by 1; an array has the alignment of one value.
                    let row_of_source = unsafe {
                        source.add(i * source_stride).cast::<[$elem; $lanes]>().read()
                    };
                    *row = $raw::new(row_of_source);
                }
                for (i, row) in $raw::transpose(rows).into_iter().enumerate() {
                    // SAFETY: by 2; an array has the alignment of one value.
                    unsafe {
                        target.add(i * target_stride).cast::<[$elem; $lanes]>().write(row.to_array());
                    }
                }
            }
            #[inline(always)]
            fn mul_add(self, b: Self, c: Self) -> Self {
                Self(self.0.mul_add(b.0, c.0))
            }
            #[inline(always)]
            fn neg_mul_add(self, b: Self, c: Self) -> Self {
                Self(self.0.mul_neg_add(b.0, c.0))
            }
            // `fast_min` is the instruction itself. SSE's returns the second operand where one is
            // NaN, NEON's the NaN, wasm's the first operand: there the two change places.
            #[inline(always)]
            fn min(self, b: Self) -> Self {
                let (x, y) = if cfg!(target_arch = "wasm32") { (b, self) } else { (self, b) };
                Self(x.0.fast_min(y.0))
            }
            #[inline(always)]
            fn max(self, b: Self) -> Self {
                let (x, y) = if cfg!(target_arch = "wasm32") { (b, self) } else { (self, b) };
                Self(x.0.fast_max(y.0))
            }
            #[inline(always)]
            fn max_or_nan(self, b: Self) -> Self {
                Self((b.0.simd_gt(self.0) | b.0.is_nan()).select(b.0, self.0))
            }
            #[inline(always)]
            fn abs(self) -> Self {
                Self(self.0.abs())
            }
            #[inline(always)]
            fn mul_pow2(self, t: Self) -> Self {
                let (x, t): ($bits, $bits) = (bytemuck::cast(self.0), bytemuck::cast(t.0));
                Self(bytemuck::cast(x + (t << $mantissa)))
            }
        }
    };
}

vector!(
    /// Eight `f32`, in one register or two or four narrower ones.
    F32(f32x8, u32x8) = [f32; 8], mantissa 23
);
vector!(
    /// Four `f64`, in one register or two.
    F64(f64x4, u64x4) = [f64; 4], mantissa 52
);
