//! AVX2 with FMA: 16 registers of 256 bits.

use core::arch::x86_64::*;

use super::{token, vector};
use crate::Vector;

token!(
    /// AVX2 and FMA (Haswell, Zen and later).
    Avx2, "avx2", registers 16, "avx2", "fma" => "avx2,fma"
);

vector!(
    /// Eight `f32`.
    F32(__m256) of Avx2 = [f32; 8]
    splat _mm256_set1_ps, load _mm256_loadu_ps, store _mm256_storeu_ps,
    add _mm256_add_ps, sub _mm256_sub_ps, mul _mm256_mul_ps, div _mm256_div_ps,
    mul_add _mm256_fmadd_ps, neg_mul_add _mm256_fnmadd_ps, min _mm256_min_ps, max _mm256_max_ps
);

vector!(
    /// Four `f64`.
    F64(__m256d) of Avx2 = [f64; 4]
    splat _mm256_set1_pd, load _mm256_loadu_pd, store _mm256_storeu_pd,
    add _mm256_add_pd, sub _mm256_sub_pd, mul _mm256_mul_pd, div _mm256_div_pd,
    mul_add _mm256_fmadd_pd, neg_mul_add _mm256_fnmadd_pd, min _mm256_min_pd, max _mm256_max_pd
);

// Masked stores are slow on several processors, so partial vectors go through a copy.
impl F32 {
    /// # Safety
    /// 1. `p` is valid for reads of `min(n, LANES)` values.
    #[inline(always)]
    unsafe fn load_masked(s: Avx2, p: *const f32, n: usize) -> Self {
        let mut lanes = [0.0; 8];
        // SAFETY: by 1 for the source; the target holds LANES values and is a local of its own.
        unsafe { p.copy_to_nonoverlapping(lanes.as_mut_ptr(), n.min(8)) };
        Self::from_slice(s, &lanes)
    }
    /// # Safety
    /// 1. `p` is valid for writes of `min(n, LANES)` values.
    #[inline(always)]
    unsafe fn store_masked(self, p: *mut f32, n: usize) {
        let mut lanes = [0.0; 8];
        self.write_to(&mut lanes);
        // SAFETY: by 1 for the target; the source holds LANES values and is a local of its own.
        unsafe { p.copy_from_nonoverlapping(lanes.as_ptr(), n.min(8)) };
    }
    #[inline(always)]
    fn without_sign(self) -> Self {
        // SAFETY: a vector is made from a token, which proves the features.
        Self(unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), self.0) })
    }
    #[inline(always)]
    fn add_to_exponent(self, t: Self) -> Self {
        // SAFETY: a vector is made from a token, which proves the features.
        Self(unsafe {
            let shifted = _mm256_slli_epi32::<23>(_mm256_castps_si256(t.0));
            _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(self.0), shifted))
        })
    }
}

impl F64 {
    /// # Safety
    /// 1. `p` is valid for reads of `min(n, LANES)` values.
    #[inline(always)]
    unsafe fn load_masked(s: Avx2, p: *const f64, n: usize) -> Self {
        let mut lanes = [0.0; 4];
        // SAFETY: by 1 for the source; the target holds LANES values and is a local of its own.
        unsafe { p.copy_to_nonoverlapping(lanes.as_mut_ptr(), n.min(4)) };
        Self::from_slice(s, &lanes)
    }
    /// # Safety
    /// 1. `p` is valid for writes of `min(n, LANES)` values.
    #[inline(always)]
    unsafe fn store_masked(self, p: *mut f64, n: usize) {
        let mut lanes = [0.0; 4];
        self.write_to(&mut lanes);
        // SAFETY: by 1 for the target; the source holds LANES values and is a local of its own.
        unsafe { p.copy_from_nonoverlapping(lanes.as_ptr(), n.min(4)) };
    }
    #[inline(always)]
    fn without_sign(self) -> Self {
        // SAFETY: a vector is made from a token, which proves the features.
        Self(unsafe { _mm256_andnot_pd(_mm256_set1_pd(-0.0), self.0) })
    }
    #[inline(always)]
    fn add_to_exponent(self, t: Self) -> Self {
        // SAFETY: a vector is made from a token, which proves the features.
        Self(unsafe {
            let shifted = _mm256_slli_epi64::<52>(_mm256_castpd_si256(t.0));
            _mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(self.0), shifted))
        })
    }
}
