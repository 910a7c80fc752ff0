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
    /// Four values of every fourth row.
    ///
    /// # Safety
    /// 1. They are valid for reads.
    #[inline(always)]
    unsafe fn every_fourth_row(_: Avx512, (p, stride): (*const f32, usize)) -> __m512 {
        // SAFETY: the token proves the features; 1.
        unsafe {
            let x = _mm512_castps128_ps512(_mm_loadu_ps(p));
            let x = _mm512_insertf32x4::<1>(x, _mm_loadu_ps(p.add(4 * stride)));
            let x = _mm512_insertf32x4::<2>(x, _mm_loadu_ps(p.add(8 * stride)));
            _mm512_insertf32x4::<3>(x, _mm_loadu_ps(p.add(12 * stride)))
        }
    }
    /// # Safety
    /// 1. and 2. of `Vector::transpose`.
    #[inline(always)]
    unsafe fn transpose_block(
        s: Avx512,
        (source, stride): (*const f32, usize),
        target: (*mut f32, usize),
    ) {
        for col in (0..16).step_by(4) {
            // SAFETY: the token proves the features; four columns from `col` on of 1 and 2.
            unsafe {
                let p = source.add(col);
                let a = Self::every_fourth_row(s, (p, stride));
                let b = Self::every_fourth_row(s, (p.add(stride), stride));
                let c = Self::every_fourth_row(s, (p.add(2 * stride), stride));
                let d = Self::every_fourth_row(s, (p.add(3 * stride), stride));
                let (ab, cd) = (_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d));
                let (ab, cd) = (_mm512_castps_pd(ab), _mm512_castps_pd(cd));
                let (row, stride) = (target.0.add(col * target.1), target.1);
                _mm512_storeu_pd(row.cast(), _mm512_unpacklo_pd(ab, cd));
                _mm512_storeu_pd(row.add(stride).cast(), _mm512_unpackhi_pd(ab, cd));
                let (ab, cd) = (_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d));
                let (ab, cd) = (_mm512_castps_pd(ab), _mm512_castps_pd(cd));
                _mm512_storeu_pd(row.add(2 * stride).cast(), _mm512_unpacklo_pd(ab, cd));
                _mm512_storeu_pd(row.add(3 * stride).cast(), _mm512_unpackhi_pd(ab, cd));
            }
        }
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
    /// Two values of every other row.
    ///
    /// # Safety
    /// 1. They are valid for reads.
    #[inline(always)]
    unsafe fn every_other_row(_: Avx512, (p, stride): (*const f64, usize)) -> __m512d {
        // SAFETY: the token proves the features; 1.
        unsafe {
            let p = p.cast::<f32>();
            let x = _mm512_castps128_ps512(_mm_loadu_ps(p));
            let x = _mm512_insertf32x4::<1>(x, _mm_loadu_ps(p.add(4 * stride)));
            let x = _mm512_insertf32x4::<2>(x, _mm_loadu_ps(p.add(8 * stride)));
            _mm512_castps_pd(_mm512_insertf32x4::<3>(x, _mm_loadu_ps(p.add(12 * stride))))
        }
    }
    /// # Safety
    /// 1. and 2. of `Vector::transpose`.
    #[inline(always)]
    unsafe fn transpose_block(
        s: Avx512,
        (source, stride): (*const f64, usize),
        target: (*mut f64, usize),
    ) {
        for col in (0..8).step_by(2) {
            // SAFETY: the token proves the features; two columns from `col` on of 1 and 2.
            unsafe {
                let p = source.add(col);
                let a = Self::every_other_row(s, (p, stride));
                let b = Self::every_other_row(s, (p.add(stride), stride));
                let row = target.0.add(col * target.1);
                _mm512_storeu_pd(row, _mm512_unpacklo_pd(a, b));
                _mm512_storeu_pd(row.add(target.1), _mm512_unpackhi_pd(a, b));
            }
        }
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
