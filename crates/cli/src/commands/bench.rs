//! `mixfold bench`

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use mixfold_gemm::Context;
use mixfold_model::{Model, ModelError, Phase, Plan};
use mixfold_simd::{Isa, peak};
use serde::Serialize;

use crate::compute::{self, Compute};
use crate::error::{CliError, Outcome};
use crate::model_args::ModelArgs;
use crate::numbers::median;
use crate::output::Output;
use crate::text::{self, Align};

/// The time that the default number of runs takes, where a run is short.
const DURATION: Duration = Duration::from_secs(3);
const LEAST_RUNS: usize = 3;
/// A run that looks at each phase comes after so many that are only timed.
const RUNS_PER_LOOK: usize = 3;

/// How long a measurement of the peak takes, and the least number of them.
const WINDOW: Duration = Duration::from_millis(5);
const LEAST_WINDOWS: usize = 20;

/// Measure the speed of a model
///
/// Prints the images per second, the GFLOP/s (two operations per multiply-add of convolutions and
/// matrices), and how much that is of the peak: the best rate of f32 multiply-adds on registers,
/// measured between the runs on as many threads at once.
///
/// Below stand the times of the model's phases, for the whole batch: stem (the patches, and what
/// halves the maps of a RepMLPNet between its stages), tokens (mixing tokens, or the places of a map),
/// channels (mixing channels), head (all behind the last block). They come from runs of their own in
/// which the images follow one another and all threads share each: the sum of the phases is not the
/// time of an ordinary run, in which each thread has its own image.
///
/// A model without weights gets random ones, which are as fast as others.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  mixfold bench --model mixer_b16_224 --batch 8 --threads 1

  mixfold bench --model repmlpnet_b256 --form train
      with the convolutions that the deploy form has folded in")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// Images that go through the model together
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = compute::batch)]
    batch: usize,

    #[command(flatten)]
    compute: Compute,

    /// Timed runs [default: as many as take about 3 s, at least 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    runs: Option<u32>,

    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Bench {
    model: String,
    /// `train` or `deploy`, of a model that has both.
    form: Option<String>,
    batch: usize,
    threads: usize,
    isa: &'static str,
    dtype: &'static str,
    runs: usize,
    /// Of the fastest run, as all figures but the median.
    images_per_s: f64,
    images_per_s_median: f64,
    gflops: f64,
    /// Of all threads together.
    fma_peak_gflops: f64,
    peak_fraction: f64,
    phases: Vec<PhaseTime>,
}

#[derive(Debug, Serialize)]
struct PhaseTime {
    phase: String,
    /// For the whole batch.
    ms: f64,
    gflops: f64,
    peak_fraction: f64,
}

/// What the runs have shown so far.
#[derive(Debug)]
struct Measured {
    /// Of each run, in seconds.
    runs: Vec<f64>,
    /// Of each phase, the least, in seconds.
    phases: [f64; Phase::ALL.len()],
    /// GFLOP/s of multiply-adds on registers, the most.
    peak: f64,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> Result<Outcome, CliError> {
    let ctx = args.compute.context()?;
    let model = args.model.load_or_random(&ctx)?;
    let batch = args.batch;
    let measured = measure(&model, batch, args.runs)?;
    let bench = Bench::new(&model, batch, &ctx, measured);
    if args.json {
        out.json(&bench)?
    } else {
        bench.print(out)?
    }
    Ok(Outcome::Complete)
}

fn measure(model: &Model, batch: usize, runs: Option<u32>) -> Result<Measured, ModelError> {
    let ctx = model.context();
    let len = batch * model.input().iter().product::<usize>();
    // Values of an ordinary image: from -1 to 1.
    let images: Vec<f32> = (0..len).map(|i| (i * 7919 % 256) as f32 / 127.5 - 1.0).collect();
    let mut logits = vec![0.0; batch * model.classes()];
    let mut plan = model.plan(batch)?;

    observe(&mut plan, &images, &mut logits)?;
    plan.run(&images, &mut logits)?;
    let start = Instant::now();
    plan.run(&images, &mut logits)?;
    let runs = match runs {
        Some(runs) => runs as usize,
        None => {
            let looks = 1.0 + 1.0 / RUNS_PER_LOOK as f64;
            let run = start.elapsed().mul_f64(looks) + WINDOW;
            LEAST_RUNS.max((DURATION.as_secs_f64() / run.as_secs_f64()) as usize)
        }
    };

    let phases = [f64::INFINITY; Phase::ALL.len()];
    let mut measured = Measured { runs: Vec::with_capacity(runs), phases, peak: 0.0 };
    for run in 0..runs {
        for _ in 0..LEAST_WINDOWS.div_ceil(runs) {
            measured.peak = measured.peak.max(fma_gflops(ctx.isa(), ctx.workers()));
        }
        let start = Instant::now();
        plan.run(&images, &mut logits)?;
        measured.runs.push(start.elapsed().as_secs_f64());
        if run % RUNS_PER_LOOK == 0 {
            let phases = observe(&mut plan, &images, &mut logits)?;
            for (least, phase) in measured.phases.iter_mut().zip(phases) {
                *least = least.min(phase);
            }
        }
    }
    Ok(measured)
}

/// Runs the plan once; returns the seconds spent in each phase.
fn observe(
    plan: &mut Plan<'_>,
    images: &[f32],
    logits: &mut [f32],
) -> Result<[f64; Phase::ALL.len()], ModelError> {
    let mut seconds = [0.0; Phase::ALL.len()];
    let mut last = Instant::now();
    plan.run_observed(images, logits, |layer, _, _, _| {
        let now = Instant::now();
        if let Some(phase) = Phase::ALL.iter().position(|&phase| phase == layer.phase()) {
            seconds[phase] += (now - last).as_secs_f64();
        }
        last = now;
    })?;
    Ok(seconds)
}

/// The rate of multiply-adds of `threads` threads at once.
fn fma_gflops(isa: Isa, threads: usize) -> f64 {
    let barrier = Barrier::new(threads);
    let one = || {
        barrier.wait();
        peak::fma_gflops(isa, WINDOW)
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(one)).collect();
        let own = one();
        own + others.into_iter().filter_map(|other| other.join().ok()).sum::<f64>()
    })
}

impl Bench {
    fn new(model: &Model, batch: usize, ctx: &Context, measured: Measured) -> Self {
        let Measured { mut runs, phases, peak } = measured;
        runs.sort_by(f64::total_cmp);
        let gflops = |macs: u64, seconds: f64| 2.0 * macs as f64 * batch as f64 / seconds / 1e9;
        let phase_time = |(phase, seconds): (Phase, f64)| {
            let gflops = gflops(model.phase_macs(phase), seconds);
            let (ms, peak_fraction) = (1e3 * seconds, gflops / peak);
            PhaseTime { phase: phase.to_string(), ms, gflops, peak_fraction }
        };
        let images_per_s = |seconds: f64| batch as f64 / seconds;
        let fastest = gflops(model.macs(), runs[0]);
        Bench {
            model: model.name().to_owned(),
            form: model.form().map(|form| form.to_string()),
            batch,
            threads: ctx.workers(),
            isa: ctx.isa().name(),
            dtype: "f32",
            runs: runs.len(),
            images_per_s: images_per_s(runs[0]),
            images_per_s_median: images_per_s(median(&runs)),
            gflops: fastest,
            fma_peak_gflops: peak,
            peak_fraction: fastest / peak,
            phases: Phase::ALL.into_iter().zip(phases).map(phase_time).collect(),
        }
    }

    fn print(&self, out: &mut Output) -> Result<(), CliError> {
        let form = self.form.as_ref().map_or(String::new(), |form| format!(" in {form} form"));
        out.line(format_args!(
            "{}{form}, batch {}, {}, {}, {}, {}",
            self.model,
            self.batch,
            text::count(self.threads, "thread"),
            self.isa,
            self.dtype,
            text::count(self.runs, "run")
        ))?;
        out.line("")?;
        let row = |name: &str, value: f64, note: String| [name.into(), format!("{value:.1}"), note];
        out.table(
            [Align::Left, Align::Right, Align::Left],
            &[
                row("images/s", self.images_per_s, "fastest run".into()),
                row("", self.images_per_s_median, "median".into()),
                row("GFLOP/s", self.gflops, format!("{} of the peak", self.fraction())),
                row("", self.fma_peak_gflops, "peak of multiply-adds, measured".into()),
            ],
        )?;
        out.line("")?;
        let header = ["PHASE", "MS/BATCH", "GFLOP/S", "OF PEAK"].map(String::from);
        let rows = self.phases.iter().map(|phase| {
            [
                phase.phase.clone(),
                format!("{:.3}", phase.ms),
                format!("{:.1}", phase.gflops),
                format!("{:.1} %", 100.0 * phase.peak_fraction),
            ]
        });
        use Align::{Left, Right};
        let rows: Vec<_> = [header].into_iter().chain(rows).collect();
        out.table([Left, Right, Right, Right], &rows)
    }

    fn fraction(&self) -> String {
        format!("{:.1} %", 100.0 * self.peak_fraction)
    }
}
