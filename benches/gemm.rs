//! Matrix products: those of MLP-Mixer with packed weights and fused epilogue, and plain ones
//! beside those of other libraries (feature `peers`).

#![forbid(unsafe_code)]

use core::error::Error;
use core::time::Duration;

use criterion::{BenchmarkId, Criterion};
use mixfold_benches::cases::{self, Fused, Tail};
use mixfold_benches::{
    Float, Group, Inputs, Peak, Product, context, criterion, fastest_isa, has_threads, id, isas,
};
use mixfold_gemm::{
    Accum, Activate, Bias, Epilogue, GemmError, Lhs, MatMut, MatRef, PackedLhs, PackedRhs, Rhs,
    Scratch, gemm,
};
use mixfold_mix::Side;

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = criterion(Duration::from_millis(250));
    for isa in isas() {
        let mut peak = Peak::new::<f32>(isa, 1);
        (0..50).for_each(|_| peak.measure());
        eprintln!("peak of {isa}: {:.1} GFLOP/s in f32 on one thread", peak.gflops());
    }

    for case in cases::FUSED_F32 {
        packed(&mut criterion, case)?;
    }
    for case in cases::FUSED_F64 {
        packed(&mut criterion, case)?;
    }
    let mut group = Group::new(&mut criterion, "gemm/unpacked");
    for (weights, shape) in cases::PLAIN_F32 {
        unpacked::<f32>(&mut group, weights, shape)?;
    }
    for (weights, shape) in cases::PLAIN_F64 {
        unpacked::<f64>(&mut group, weights, shape)?;
    }
    drop(group);

    criterion.final_summary();
    Ok(())
}

/// Weights packed before, and a bias along their outputs; on the threads of the case, if the CPU has
/// them.
fn packed<T: Float>(criterion: &mut Criterion, case: Fused<T>) -> Result<(), GemmError> {
    let Fused { group, weights, tail, shape: [m, n, k], threads } = case;
    let (mut group, product) =
        (Group::new(criterion, group), Product::<T>::new([m, n, k], weights));
    let mut inputs = Inputs::default();
    let (bias, residual): (Vec<T>, Vec<T>) =
        (inputs.uniform(m.max(n), 1.0), inputs.uniform(m * n, 1.0));
    let residual = MatRef::row_major(&residual, m, n)?;
    let (accum, activation) = match tail {
        Tail::Activation(f) => (Accum::Replace, f),
        Tail::Residual => (Accum::Onto(residual), T::Activation::IDENTITY),
    };
    let bias = match weights {
        Side::Left => Bias::PerRow(&bias[..m]),
        Side::Right => Bias::PerColumn(&bias[..n]),
    };
    let epilogue = Epilogue { bias, activation, ..Epilogue::NONE };
    let mut out = vec![T::default(); m * n];
    for isa in isas().into_iter().filter(|_| has_threads(threads)) {
        let ctx = context(isa, threads);
        let (tiles, panels);
        let (lhs, rhs) = match weights {
            Side::Left => {
                tiles = PackedLhs::pack(isa, product.lhs()?)?;
                (Lhs::from(&tiles), Rhs::from(product.rhs()?))
            }
            Side::Right => {
                panels = PackedRhs::pack(isa, product.rhs()?)?;
                (Lhs::from(product.lhs()?), Rhs::from(&panels))
            }
        };
        let mut scratch = Scratch::for_gemm(&ctx, m, n, k)?;
        let (id, peak) = (id::<T>(&ctx, &product), Peak::of::<T>(&ctx));
        group.bench(id, product.throughput(), product.flops(), peak, || {
            MatMut::row_major(&mut out, m, n)
                .and_then(|out| gemm(out, accum, lhs, rhs, &epilogue, &ctx, &mut scratch))
                .expect("the shapes agree");
        });
    }
    Ok(())
}

/// Both operands packed by every product, nothing after it: what other libraries do too.
fn unpacked<T: Float>(
    group: &mut Group,
    weights: Side,
    shape: [usize; 3],
) -> Result<(), GemmError> {
    let ([m, n, k], product) = (shape, Product::<T>::new(shape, weights));
    let mut out = vec![T::default(); m * n];
    for isa in isas() {
        let ctx = context(isa, 1);
        let (lhs, rhs) = (product.lhs()?, product.rhs()?);
        let mut scratch = Scratch::for_gemm(&ctx, m, n, k)?;
        let mut multiply = |out: &mut [T]| {
            MatMut::row_major(out, m, n)
                .and_then(|out| {
                    gemm(out, Accum::Replace, lhs, rhs, &Epilogue::NONE, &ctx, &mut scratch)
                })
                .expect("the shapes agree");
        };
        multiply(&mut out);
        let (id, peak) = (id::<T>(&ctx, &product), Peak::of::<T>(&ctx));
        group.bench(id, product.throughput(), product.flops(), peak, || multiply(&mut out));
    }
    let ours = out;
    for peer in T::PEERS {
        let mut out = vec![T::default(); m * n];
        (peer.multiply)(&product, &mut out);
        product.assert_agree(&ours, &out);
        let id = BenchmarkId::new(format!("peer/{}", peer.name), &product);
        let peak = Peak::new::<T>(fastest_isa(), 1);
        group.bench(id, product.throughput(), product.flops(), peak, || {
            (peer.multiply)(&product, &mut out);
        });
    }
    Ok(())
}
