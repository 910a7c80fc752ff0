//! Packing weights as they are packed when a model is loaded, with the memory that they need.

#![forbid(unsafe_code)]

use core::error::Error;
use core::hint::black_box;
use core::time::Duration;

use criterion::{Criterion, Throughput};
use mixfold_benches::{Float, Inputs, cases, context, criterion, id, isas};
use mixfold_gemm::{GemmError, MatRef, PackedLhs, PackedRhs};
use mixfold_mix::Side;

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = criterion(Duration::from_millis(300));
    for (group, side, weight) in cases::PACKED {
        pack::<f32>(&mut criterion, group, side, weight)?;
    }
    criterion.final_summary();
    Ok(())
}

/// Packs a weight that is stored `[out, in]`, as in checkpoints.
fn pack<T: Float>(
    criterion: &mut Criterion,
    name: &str,
    side: Side,
    [out, axis]: [usize; 2],
) -> Result<(), GemmError> {
    let weight: Vec<T> = Inputs::default().weight(out * axis, axis);
    let view = MatRef::row_major(&weight, out, axis)?;
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Bytes(size_of_val(&*weight) as u64));
    for isa in isas() {
        let id = id::<T>(&context(isa, 1), format_args!("{out}x{axis}"));
        group.bench_function(id, |bencher| match side {
            Side::Left => bencher.iter(|| PackedLhs::pack(isa, black_box(view)).expect("memory")),
            Side::Right => {
                bencher.iter(|| PackedRhs::pack(isa, black_box(view).transpose()).expect("memory"))
            }
        });
    }
    group.finish();
    Ok(())
}
