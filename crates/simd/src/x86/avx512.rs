//! AVX-512 Foundation: 32 registers of 512 bits.

use core::arch::x86_64::*;

use super::{token, vector};

token!(
    /// AVX-512 Foundation (Skylake server, Zen 4 and later).
    Avx512, "avx512", registers 32, "avx512f" => "avx512f"
);

vector!(
    /// Sixteen `f32`.
    F32(__m512) of Avx512 = [f32; 16]
    splat _mm512_set1_ps, load _mm512_loadu_ps, store _mm512_storeu_ps,
    add _mm512_add_ps, sub _mm512_sub_ps, mul _mm512_mul_ps, div _mm512_div_ps,
    mul_add _mm512_fmadd_ps, neg_mul_add _mm512_fnmadd_ps, min _mm512_min_ps, max _mm512_max_ps
);

vector!(
    /// Eight `f64`.
    F64(__m512d) of Avx512 = [f64; 8]
    splat _mm512_set1_pd, load _mm512_loadu_pd, store _mm512_storeu_pd,
    add _mm512_add_pd, sub _mm512_sub_pd, mul _mm512_mul_pd, div _mm512_div_pd,
    mul_add _mm512_fmadd_pd, neg_mul_add _mm512_fnmadd_pd, min _mm512_min_pd, max _mm512_max_pd
);

impl F32 {
    /// # Safety
    /// 1. `p` is aligned and valid for reads of `min(n, LANES)` values.
    #[inline(always)]
    unsafe fn load_masked(_: Avx512, p: *const f32, n: usize) -> Self {
        let mask = ((1_u32 << n.min(16)) - 1) as __mmask16;
        // SAFETY: the token proves the features; masked-off lanes are not accessed, 1 covers the
        // others.
        Self(unsafe { _mm512_maskz_loadu_ps(mask, p) })
    }
    /// # Safety
    /// 1. `p` is aligned and valid for writes of `min(n, LANES)` values.
    #[inline(always)]
    unsafe fn store_masked(self, p: *mut f32, n: usize) {
        let mask = ((1_u32 << n.min(16)) - 1) as __mmask16;
        // SAFETY: a vector proves the features; masked-off lanes are not accessed, 1 covers the
        // others.
        unsafe { _mm512_mask_storeu_ps(p, mask, self.0) }
    }
    // The maximum is its second operand unless the first one is larger.
    #[inline(always)]
    fn unless_more_or_nan(self, b: Self) -> Self {
        // SAFETY: a vector is made from a token, which proves the features.
        Self(unsafe {
            let number = _mm512_cmp_ps_mask::<_CMP_ORD_Q>(b.0, b.0);
            _mm512_mask_max_ps(b.0, number, b.0, self.0)
        })
    }
    #[inline(always)]
    fn without_sign(self) -> Self {
        // SAFETY: a vector is made from a token, which proves the features.
        Self(unsafe { _mm512_abs_ps(self.0) })
    }
    #[inline(always)]
    fn add_to_exponent(self, t: Self) -> Self {
        // SAFETY: a vector is made from a token, which proves the features.
        Self(unsafe {
            let shifted = _mm512_slli_epi32::<23>(_mm512_castps_si512(t.0));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(self.0), shifted))
        })
    }
}

impl F64 {
    /// # Safety
    /// 1. `p` is aligned and valid for reads of `min(n, LANES)` values.
    #[inline(always)]
    unsafe fn load_masked(_: Avx512, p: *const f64, n: usize) -> Self {
        let mask = ((1_u32 << n.min(8)) - 1) as __mmask8;
        // SAFETY: the token proves the features; masked-off lanes are not accessed, 1 covers the
        // others.
        Self(unsafe { _mm512_maskz_loadu_pd(mask, p) })
    }
    /// # Safety
    /// 1. `p` is aligned and valid for writes of `min(n, LANES)` values.
    #[inline(always)]
    unsafe fn store_masked(self, p: *mut f64, n: usize) {
        let mask = ((1_u32 << n.min(8)) - 1) as __mmask8;
        // SAFETY: a vector proves the features; masked-off lanes are not accessed, 1 covers the
        // others.
        unsafe { _mm512_mask_storeu_pd(p, mask, self.0) }
    }
    // The maximum is its second operand unless the first one is larger.
    #[inline(always)]
    fn unless_more_or_nan(self, b: Self) -> Self {
        // SAFETY: a vector is made from a token, which proves the features.
        Self(unsafe {
            let number = _mm512_cmp_pd_mask::<_CMP_ORD_Q>(b.0, b.0);
            _mm512_mask_max_pd(b.0, number, b.0, self.0)
        })
    }
    #[inline(always)]
    fn without_sign(self) -> Self {
        // SAFETY: a vector is made from a token, which proves the features.
        Self(unsafe { _mm512_abs_pd(self.0) })
    }
    #[inline(always)]
    fn add_to_exponent(self, t: Self) -> Self {
        // SAFETY: a vector is made from a token, which proves the features.
        Self(unsafe {
            let shifted = _mm512_slli_epi64::<52>(_mm512_castpd_si512(t.0));
            _mm512_castsi512_pd(_mm512_add_epi64(_mm512_castpd_si512(self.0), shifted))
        })
    }
}
