//! Folding the convolutions of RepMLPNet's blocks into their fully connected layers, on one thread:
//! as a matrix with its memory, and in place together with the batch norm of the layer.
//!
//! Bytes are those of the folded weight.

#![forbid(unsafe_code)]

use core::hint::black_box;
use core::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use mixfold_benches::{Inputs, cases, criterion};
use mixfold_fold::{BatchNorm, Branches, Conv, FoldError, Geometry, Kernel, LinearMut, conv_to_fc};

fn main() -> Result<(), FoldError> {
    let mut criterion = criterion(Duration::from_millis(300));
    for [sets, side] in cases::FOLDED {
        bench(&mut criterion, sets, side)?;
    }
    criterion.final_summary();
    Ok(())
}

fn bench(criterion: &mut Criterion, sets: usize, side: usize) -> Result<(), FoldError> {
    let (kernel, geometry) = (kernel(sets)?, Geometry::same(side, side)?);
    let shape = geometry.fc_shape(kernel.shape())?;
    let id = || BenchmarkId::new("f32", format_args!("{}x{}", shape.rows, shape.cols));
    let bytes = Throughput::Bytes((shape.elements() * size_of::<f32>()) as u64);

    let mut group = criterion.benchmark_group("fold/conv-to-fc");
    group.sampling_mode(SamplingMode::Flat).throughput(bytes.clone());
    group.bench_function(id(), |bencher| {
        bencher.iter(|| conv_to_fc::<f32>(black_box(&kernel), geometry).expect("memory"));
    });
    group.finish();

    let mut inputs = Inputs::default();
    let mut weight: Vec<f32> = inputs.weight(shape.elements(), shape.cols);
    let mut bias: Vec<f32> = inputs.uniform(shape.rows, 1.0);
    // A scale of −1: any number of runs, and the weights stay of their size.
    let [gamma, beta, mean, var] = [-1.0_f32, 0.0, 0.0, 1.0].map(|value| vec![value; sets]);
    let norm = BatchNorm { gamma: &gamma, beta: &beta, mean: &mean, var: &var, eps: 0.0 };
    let mut group = criterion.benchmark_group("fold/in-place");
    group.sampling_mode(SamplingMode::Flat).throughput(bytes);
    group.bench_function(id(), |bencher| {
        bencher.iter(|| {
            let affine = black_box(norm).affine().expect("the variance is positive");
            let mut layer = LinearMut::new(&mut weight, &mut bias).expect("rows with a bias each");
            layer.add_conv(Some(&affine), &kernel, geometry).expect("the shapes agree");
        });
    });
    group.finish();
    Ok(())
}

/// The branches of a block, 1×1 and 3×3, one channel to a group.
fn kernel(sets: usize) -> Result<Kernel, FoldError> {
    let mut inputs = Inputs::default();
    let mut branches = Branches::new();
    for size in [1, 3] {
        let weight: Vec<f32> = inputs.weight(sets * size * size, size * size);
        let [gamma, beta, mean] = [(); 3].map(|()| inputs.uniform::<f32>(sets, 1.0));
        let var = vec![1.0; sets];
        let norm = BatchNorm { gamma: &gamma, beta: &beta, mean: &mean, var: &var, eps: 1e-5 };
        let conv = Conv::new(&weight, [sets, 1, size, size])?.groups(sets)?;
        branches = branches.conv_bn(&conv, &norm)?;
    }
    branches.merge()
}
