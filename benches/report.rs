//! Criterion groups that say how near to the peak of the CPU a benchmark comes.

use core::time::Duration;
use std::time::Instant;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput};
use mixfold_gemm::{Context, Scalar};
use mixfold_simd::{Isa, peak};

/// How many floating point operations per second the CPU does at best, measured.
#[derive(Clone, Copy, Debug)]
pub struct Peak {
    isa: Isa,
    threads: usize,
    /// Lanes of a vector, in those of `f32`.
    lanes: f64,
    gflops: f64,
}

impl Peak {
    /// The peak of multiply-adds of `T`, not yet measured.
    pub fn new<T: Scalar>(isa: Isa, threads: usize) -> Self {
        let lanes = size_of::<f32>() as f64 / size_of::<T>() as f64;
        Peak { isa, threads, lanes, gflops: 0.0 }
    }

    /// The peak of multiply-adds of `T` on the threads of a context, not yet measured.
    pub fn of<T: Scalar>(ctx: &Context) -> Self {
        Peak::new::<T>(ctx.isa(), ctx.workers())
    }

    /// Measures for a few milliseconds, on all threads at once, and keeps the best.
    pub fn measure(&mut self) {
        let window = Duration::from_millis(2);
        let gflops = if self.threads == 1 {
            peak::fma_gflops(self.isa, window)
        } else {
            std::thread::scope(|scope| {
                let spawn = |_| scope.spawn(|| peak::fma_gflops(self.isa, window));
                let threads: Vec<_> = (0..self.threads).map(spawn).collect();
                threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
            })
        };
        self.gflops = self.gflops.max(gflops * self.lanes);
    }

    /// The best of all measurements, in GFLOP/s; 0 before the first.
    pub fn gflops(&self) -> f64 {
        self.gflops
    }
}

/// A group of benchmarks. Below what criterion says of each stands its best sample in GFLOP/s, and
/// the fraction that this is of the peak.
pub struct Group<'a>(BenchmarkGroup<'a, WallTime>);

impl<'a> Group<'a> {
    /// A group with a name.
    pub fn new(criterion: &'a mut Criterion, name: &str) -> Self {
        let mut group = criterion.benchmark_group(name);
        // Samples of equal length: the best of them says something, and slow work needs few runs.
        group.sampling_mode(SamplingMode::Flat);
        Group(group)
    }

    /// Measures `work`, which does `flops` floating point operations, and shows its `throughput`.
    ///
    /// The peak is measured before every sample, so that both see the same clock and neighbours.
    pub fn bench(
        &mut self,
        id: BenchmarkId,
        throughput: Throughput,
        flops: u64,
        mut peak: Peak,
        mut work: impl FnMut(),
    ) {
        let (mut calls, mut best) = (0, f64::INFINITY);
        self.0.throughput(throughput).bench_function(id, |bencher| {
            peak.measure();
            bencher.iter_custom(|runs| {
                let start = Instant::now();
                for _ in 0..runs {
                    work();
                }
                let elapsed = start.elapsed();
                calls += 1;
                best = best.min(elapsed.as_secs_f64() / runs as f64);
                elapsed
            });
        });
        // No call: filtered out or only listed. One: `--test`.
        if calls > 1 {
            let (gflops, peak) = (flops as f64 / best / 1e9, peak.gflops());
            let percent = 100.0 * gflops / peak;
            println!("{:24}best:   {gflops:.1} GFLOP/s, {percent:.0} % of the peak {peak:.1}", "");
        }
    }
}
