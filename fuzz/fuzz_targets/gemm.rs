//! Any product of any strided matrices, packed or not, against naive loops in `f64`.

#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use mixfold_fuzz::{Depth, Matrix, Side, Strides, isa};
use mixfold_gemm::{
    Accum, Context, Epilogue, GemmError, Lhs, PackedLhs, PackedRhs, Rhs, Scratch, gemm,
};
use mixfold_reference::gemm as reference;
use mixfold_simd::Isa;

#[derive(Arbitrary, Debug)]
struct Input {
    #[arbitrary(with = isa)]
    isa: Isa,
    shape: (Side, Side, Depth),
    strides: [Strides; 3],
    packed: (bool, bool),
    #[arbitrary(with = accum)]
    accum: Accum<'static, f32>,
    values: Vec<i8>,
}

/// How the product meets what stood in the output.
fn accum(u: &mut Unstructured<'_>) -> arbitrary::Result<Accum<'static, f32>> {
    u.choose(&[Accum::Replace, Accum::Add, Accum::Multiply]).copied()
}

fuzz_target!(|input: Input| {
    // What is refused at the door needs no comparison.
    let _ = check(input);
});

fn check(input: Input) -> Result<(), GemmError> {
    let Input { isa, shape: (Side(m), Side(n), Depth(k)), strides, packed, accum, values } = input;
    let (a, b) = (Matrix::new(m, k, strides[0], &values), Matrix::new(k, n, strides[1], &values));
    let mut out = Matrix::new(m, n, strides[2], &values);
    let before = out.wide();
    let (lhs, rhs) = (PackedLhs::pack(isa, a.view()?)?, PackedRhs::pack(isa, b.view()?)?);
    let lhs = if packed.0 { Lhs::from(&lhs) } else { Lhs::from(a.view()?) };
    let rhs = if packed.1 { Rhs::from(&rhs) } else { Rhs::from(b.view()?) };
    let ctx = Context::with_isa(isa).sequential();
    gemm(out.view_mut()?, accum, lhs, rhs, &Epilogue::NONE, &ctx, &mut Scratch::new())?;

    let wide = (a.wide(), b.wide());
    let (a, b) = (a.reference(&wide.0), b.reference(&wide.1));
    let (sums, scales) = (reference::gemm(a, b), reference::gemm_abs(a, b));
    let mut expected: Vec<_> = before.iter().map(|&old| (old, 0.0)).collect();
    for (at, (sum, scale)) in sums.into_iter().zip(scales).enumerate() {
        let index = out.index(at / n, at % n);
        let old = before[index];
        let (exact, scale) = match accum {
            Accum::Add => (sum + old, scale + old.abs()),
            Accum::Multiply => (sum * old, scale * old.abs()),
            _ => (sum, scale),
        };
        expected[index] = (exact, reference::dot_bound(k + 1, scale, f32::EPSILON.into()));
    }
    for (i, (x, (exact, bound))) in out.wide().into_iter().zip(expected).enumerate() {
        assert!((x - exact).abs() <= bound, "{i}: {x}, not {exact} within {bound}");
    }
    Ok(())
}
