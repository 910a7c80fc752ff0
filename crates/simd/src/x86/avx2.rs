//! AVX2 with FMA: 16 registers of 256 bits.

use core::arch::x86_64::*;

use super::{token, vector};

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

impl F32 {
    /// # Safety
    /// 1. `p` is aligned and valid for reads of `min(n, LANES)` values.
    #[inline(always)]
    unsafe fn load_masked(_: Avx2, p: *const f32, n: usize) -> Self {
        // SAFETY: the token proves the features; masked-off lanes are not accessed, 1 covers the
        // others.
        Self(unsafe {
            let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(n.min(8) as i32), lane);
            _mm256_maskload_ps(p, mask)
        })
    }
    /// # Safety
    /// 1. `p` is aligned and valid for writes of `min(n, LANES)` values.
    // Masked stores are slow on several processors; this one is made of stores of 4, 2 and 1 lanes.
    #[inline(always)]
    unsafe fn store_masked(self, mut p: *mut f32, n: usize) {
        // SAFETY: a vector proves the features. Each store writes as many values as its bit of n
        // stands for, at the end of those before it: n in all, or LANES if n is more; by 1.
        unsafe {
            if n >= 8 {
                return _mm256_storeu_ps(p, self.0);
            }
            let mut rest = _mm256_castps256_ps128(self.0);
            if n & 4 != 0 {
                _mm_storeu_ps(p, rest);
                rest = _mm256_extractf128_ps::<1>(self.0);
                p = p.add(4);
            }
            if n & 2 != 0 {
                _mm_storel_epi64(p.cast(), _mm_castps_si128(rest));
                rest = _mm_movehl_ps(rest, rest);
                p = p.add(2);
            }
            if n & 1 != 0 {
                _mm_store_ss(p, rest);
            }
        }
    }
    /// Four values of every fourth row.
    ///
    /// # Safety
    /// 1. They are valid for reads.
    #[inline(always)]
    unsafe fn every_fourth_row(_: Avx2, (p, stride): (*const f32, usize)) -> __m256 {
        // SAFETY: the token proves the features; 1.
        unsafe {
            let x = _mm256_castps128_ps256(_mm_loadu_ps(p));
            _mm256_insertf128_ps::<1>(x, _mm_loadu_ps(p.add(4 * stride)))
        }
    }
    /// # Safety
    /// 1. and 2. of `Vector::transpose`.
    #[inline(always)]
    unsafe fn transpose_block(
        s: Avx2,
        (source, stride): (*const f32, usize),
        target: (*mut f32, usize),
    ) {
        for col in (0..8).step_by(4) {
            // SAFETY: the token proves the features; four columns from `col` on of 1 and 2.
            unsafe {
                let p = source.add(col);
                let a = Self::every_fourth_row(s, (p, stride));
                let b = Self::every_fourth_row(s, (p.add(stride), stride));
                let c = Self::every_fourth_row(s, (p.add(2 * stride), stride));
                let d = Self::every_fourth_row(s, (p.add(3 * stride), stride));
                let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d));
                let (ab, cd) = (_mm256_castps_pd(ab), _mm256_castps_pd(cd));
                let (row, stride) = (target.0.add(col * target.1), target.1);
                _mm256_storeu_pd(row.cast(), _mm256_unpacklo_pd(ab, cd));
                _mm256_storeu_pd(row.add(stride).cast(), _mm256_unpackhi_pd(ab, cd));
                let (ab, cd) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
                let (ab, cd) = (_mm256_castps_pd(ab), _mm256_castps_pd(cd));
                _mm256_storeu_pd(row.add(2 * stride).cast(), _mm256_unpacklo_pd(ab, cd));
                _mm256_storeu_pd(row.add(3 * stride).cast(), _mm256_unpackhi_pd(ab, cd));
            }
        }
    }
    // The maximum is its second operand unless the first one is larger.
    #[inline(always)]
    fn unless_more_or_nan(self, b: Self) -> Self {
        // SAFETY: a vector is made from a token, which proves the features.
        Self(unsafe {
            let max = _mm256_max_ps(b.0, self.0);
            _mm256_blendv_ps(max, b.0, _mm256_cmp_ps::<_CMP_UNORD_Q>(b.0, b.0))
        })
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
    /// 1. `p` is aligned and valid for reads of `min(n, LANES)` values.
    #[inline(always)]
    unsafe fn load_masked(_: Avx2, p: *const f64, n: usize) -> Self {
        // SAFETY: the token proves the features; masked-off lanes are not accessed, 1 covers the
        // others.
        Self(unsafe {
            let lane = _mm256_setr_epi64x(0, 1, 2, 3);
            let mask = _mm256_cmpgt_epi64(_mm256_set1_epi64x(n.min(4) as i64), lane);
            _mm256_maskload_pd(p, mask)
        })
    }
    /// # Safety
    /// 1. `p` is aligned and valid for writes of `min(n, LANES)` values.
    // As for `f32`.
    #[inline(always)]
    unsafe fn store_masked(self, mut p: *mut f64, n: usize) {
        // SAFETY: as for `f32`.
        unsafe {
            if n >= 4 {
                return _mm256_storeu_pd(p, self.0);
            }
            let mut rest = _mm256_castpd256_pd128(self.0);
            if n & 2 != 0 {
                _mm_storeu_pd(p, rest);
                rest = _mm256_extractf128_pd::<1>(self.0);
                p = p.add(2);
            }
            if n & 1 != 0 {
                _mm_store_sd(p, rest);
            }
        }
    }
    /// Two values of every other row.
    ///
    /// # Safety
    /// 1. They are valid for reads.
    #[inline(always)]
    unsafe fn every_other_row(_: Avx2, (p, stride): (*const f64, usize)) -> __m256d {
        // SAFETY: the token proves the features; 1.
        unsafe {
            let x = _mm256_castpd128_pd256(_mm_loadu_pd(p));
            _mm256_insertf128_pd::<1>(x, _mm_loadu_pd(p.add(2 * stride)))
        }
    }
    /// # Safety
    /// 1. and 2. of `Vector::transpose`.
    #[inline(always)]
    unsafe fn transpose_block(
        s: Avx2,
        (source, stride): (*const f64, usize),
        target: (*mut f64, usize),
    ) {
        for col in (0..4).step_by(2) {
            // SAFETY: the token proves the features; two columns from `col` on of 1 and 2.
            unsafe {
                let p = source.add(col);
                let a = Self::every_other_row(s, (p, stride));
                let b = Self::every_other_row(s, (p.add(stride), stride));
                let row = target.0.add(col * target.1);
                _mm256_storeu_pd(row, _mm256_unpacklo_pd(a, b));
                _mm256_storeu_pd(row.add(target.1), _mm256_unpackhi_pd(a, b));
            }
        }
    }
    // The maximum is its second operand unless the first one is larger.
    #[inline(always)]
    fn unless_more_or_nan(self, b: Self) -> Self {
        // SAFETY: a vector is made from a token, which proves the features.
        Self(unsafe {
            let max = _mm256_max_pd(b.0, self.0);
            _mm256_blendv_pd(max, b.0, _mm256_cmp_pd::<_CMP_UNORD_Q>(b.0, b.0))
        })
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
