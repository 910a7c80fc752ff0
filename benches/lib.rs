//! What the benchmarks share: what they measure ([`cases`]) and the means to do so: settings, instruction
//! sets and threads, ids and inputs ([`Product`], [`layers`]), and the report of the fraction of the peak
//! ([`Group`]), or of measurements that take turns ([`Turns`]).
//!
//! Every benchmark is called `{group}/{kernel}/{what}`, as `gemm/left-gelu/avx512-f32-14x32/384x768x196`;
//! one that runs on more than one thread ends with `/threads=2`.

#![cfg_attr(not(feature = "peers"), forbid(unsafe_code))]
#![cfg_attr(feature = "peers", deny(unsafe_code))]

pub mod cases;
pub mod layers;
#[cfg(feature = "peers")]
mod peers;
mod product;
mod report;
mod turns;

use core::fmt::Display;
use core::time::Duration;

use criterion::{BenchmarkId, Criterion};
use mixfold_gemm::{Context, KernelId, Scalar, Threads};
use mixfold_simd::{Isa, env};

pub use product::{Peer, Product};
pub use report::{Group, Peak};
pub use turns::Turns;

/// Criterion with few and short samples: `measurement` in all for each benchmark, more only where
/// ten runs take longer. Options of the command line come first.
pub fn criterion(measurement: Duration) -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(measurement)
        .configure_from_args()
}

/// The instruction set that `MIXFOLD_ISA` names, or all of the CPU, slowest first.
///
/// # Panics
/// If the CPU does not have the one that is named.
pub fn isas() -> Vec<Isa> {
    env::isas().unwrap_or_else(|error| panic!("{}: {error}", env::ISA.name))
}

/// The instruction set that `MIXFOLD_ISA` names, or the fastest of the CPU.
///
/// # Panics
/// If the CPU does not have the one that is named.
pub fn fastest_isa() -> Isa {
    env::isa().unwrap_or_else(|error| panic!("{}: {error}", env::ISA.name))
}

/// An instruction set on the calling thread alone, or on a pool of `threads` threads.
///
/// # Panics
/// If the system does not give the threads.
pub fn context(isa: Isa, threads: usize) -> Context {
    let ctx = Context::with_isa(isa);
    match threads {
        1 => ctx.sequential(),
        _ => ctx.with_pool(Threads::new(threads).expect("the system gives the threads")),
    }
}

/// Whether the CPU runs so many threads at once.
pub fn has_threads(threads: usize) -> bool {
    std::thread::available_parallelism().is_ok_and(|cpus| cpus.get() >= threads)
}

/// The id of a benchmark of elements `T`: kernel, `what` and, if there are more than one, threads.
pub fn id<T: Scalar>(ctx: &Context, what: impl Display) -> BenchmarkId {
    let kernel = KernelId::of::<T>(ctx.isa()).to_string();
    match ctx.workers() {
        1 => BenchmarkId::new(kernel, what),
        threads => BenchmarkId::new(kernel, format!("{what}/threads={threads}")),
    }
}

/// `f32` or `f64`.
pub trait Float: Scalar + Into<f64> {
    /// Distance from 1 to the next number.
    const EPSILON: f64;
    /// The libraries to measure beside ours; none without the feature `peers`.
    const PEERS: &'static [Peer<Self>];
    /// The nearest number.
    fn nearest(x: f64) -> Self;
}

impl Float for f32 {
    const EPSILON: f64 = f32::EPSILON as f64;
    #[cfg(feature = "peers")]
    const PEERS: &'static [Peer<f32>] = &peers::PEERS_F32;
    #[cfg(not(feature = "peers"))]
    const PEERS: &'static [Peer<f32>] = &[];
    fn nearest(x: f64) -> f32 {
        x as f32
    }
}

impl Float for f64 {
    const EPSILON: f64 = f64::EPSILON;
    #[cfg(feature = "peers")]
    const PEERS: &'static [Peer<f64>] = &peers::PEERS_F64;
    #[cfg(not(feature = "peers"))]
    const PEERS: &'static [Peer<f64>] = &[];
    fn nearest(x: f64) -> f64 {
        x
    }
}

/// Pseudo-random numbers, the same in every run.
#[derive(Debug)]
pub struct Inputs(fastrand::Rng);

impl Default for Inputs {
    fn default() -> Self {
        Inputs(fastrand::Rng::with_seed(0))
    }
}

impl Inputs {
    /// `len` numbers between −`bound` and `bound`.
    pub fn uniform<T: Float>(&mut self, len: usize, bound: f64) -> Vec<T> {
        (0..len).map(|_| T::nearest((2.0 * self.0.f64() - 1.0) * bound)).collect()
    }

    /// A weight for sums of `terms`, of a size that keeps them near 1.
    pub fn weight<T: Float>(&mut self, len: usize, terms: usize) -> Vec<T> {
        self.uniform(len, 1.0 / (terms.max(1) as f64).sqrt())
    }
}
