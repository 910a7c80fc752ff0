//! A product whose scratch was made for it allocates nothing.

#[path = "common/allocator.rs"]
mod count;

use std::hint::black_box;

use mixfold_gemm::{
    Accum, Activation, Bias, Context, Epilogue, Lhs, MatMut, MatRef, PackedLhs, PackedRhs, Rhs,
    Scratch, gemm,
};
use mixfold_simd::env::isas_under_test;

use count::allocations;

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(black_box(vec![1_u8; 100]))), 1);
    assert_eq!(allocations(|| drop(black_box(vec![0_u8; 100]))), 1, "zeroed");
    let mut grown = black_box(vec![1_u8; 100]);
    assert_eq!(allocations(|| black_box(&mut grown).reserve_exact(1000)), 1, "grown");
}

#[test]
fn a_product_with_its_scratch_allocates_nothing() {
    for isa in isas_under_test() {
        let ctx = Context::with_isa(isa).sequential();
        for (m, n, k) in [(1, 1, 0), (5, 40, 33), (200, 800, 20), (30, 50, 2500)] {
            let (a, b, bias) = (vec![0.5_f32; m * k], vec![0.25; k * n], vec![1.0; n]);
            let a = MatRef::row_major(&a, m, k).unwrap();
            let b = MatRef::new(&b, k, n, 1, k).unwrap();
            let lhs = PackedLhs::pack(isa, a).unwrap();
            let rhs = PackedRhs::pack(isa, b).unwrap();
            let epilogue = Epilogue {
                bias: Bias::PerColumn(&bias),
                activation: Activation::GeluErf,
                ..Epilogue::NONE
            };
            let mut out = vec![0.0; m * n];
            let mut scratch = Scratch::for_gemm(&ctx, m, n, k).unwrap();
            for lhs in [Lhs::from(a), Lhs::from(&lhs)] {
                for rhs in [Rhs::from(b), Rhs::from(&rhs)] {
                    let count = allocations(|| {
                        let out = MatMut::row_major(&mut out, m, n).unwrap();
                        gemm(out, Accum::Add, lhs, rhs, &epilogue, &ctx, &mut scratch).unwrap();
                    });
                    assert_eq!(count, 0, "{isa}, {m} x {n} x {k}");
                }
            }
        }
    }
}
