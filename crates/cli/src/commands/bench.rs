//! `mixfold bench`

use std::time::Instant;

use mixfold_gemm::Context;
use mixfold_model::{Model, ModelError, Phase};
use serde::Serialize;

use crate::compute::{self, Compute};
use crate::error::{CliError, Outcome};
use crate::load::Load;
use crate::model_args::ModelArgs;
use crate::output::Output;
use crate::speed::{self, Peak, Speed, Timed, WINDOW};
use crate::text::{self, Align};

/// A run that looks at each phase comes after so many that are only timed.
const RUNS_PER_LOOK: usize = 3;

/// Measure the speed of a model
///
/// Prints the images per second, the GFLOP/s (two operations per multiply-add of convolutions,
/// matrices and attention), and how much that is of the peak: the best rate of f32 multiply-adds on registers,
/// measured between the runs on as many threads at once.
///
/// Below stand the times of the model's phases, for the whole batch: stem (the patches, and what
/// halves the maps of a RepMLPNet between its stages; of a ResNet, what stands in front of its blocks),
/// tokens (mixing tokens, or the places of a map: RepMLPs), channels (mixing channels; of a ResNet, all
/// convolutions of its blocks), head (all behind the last block). They come from runs of their own in
/// which the images follow one another and all threads share each: the sum of the phases is not the
/// time of an ordinary run, in which each thread has its own image.
///
/// A model without weights gets random ones, which are as fast as others. With --weights, a table in front
/// says how long it took from opening the file until the model could run and until its first logits, and
/// how much memory the process had at most until then.
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
    #[serde(flatten)]
    speed: Speed,
    /// Of all threads together.
    fma_peak_gflops: f64,
    /// Of a model with weights from a file.
    load: Option<Load>,
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
    let start = Instant::now();
    let model = args.model.load_or_random(&ctx)?;
    let (ready, batch) = (start.elapsed(), args.batch);
    let load = args.model.weights().map(|file| Load::measure(&model, batch, file, (start, ready)));
    let load = load.transpose()?;
    let measured = measure(&model, batch, args.runs)?;
    let bench = Bench { load, ..Bench::new(&model, batch, &ctx, measured) };
    if args.json {
        out.json(&bench)?
    } else {
        bench.print(out)?
    }
    Ok(Outcome::Complete)
}

fn measure(model: &Model, batch: usize, runs: Option<u32>) -> Result<Measured, ModelError> {
    let images = speed::images(model, batch)?;
    let mut timed = Timed::new(model, batch, &images)?;
    timed.phases()?;
    timed.run()?;
    let seconds = timed.run()?;
    let looks = 1.0 + 1.0 / RUNS_PER_LOOK as f64;
    let runs = match runs {
        Some(runs) => runs as usize,
        None => speed::default_runs(seconds * looks + WINDOW.as_secs_f64()),
    };

    let mut peak = Peak::new(model.context(), runs);
    let mut phases = [f64::INFINITY; Phase::ALL.len()];
    let mut seconds = Vec::with_capacity(runs);
    for run in 0..runs {
        peak.measure();
        seconds.push(timed.run()?);
        if run % RUNS_PER_LOOK == 0 {
            for (least, phase) in phases.iter_mut().zip(timed.phases()?) {
                *least = least.min(phase);
            }
        }
    }
    Ok(Measured { runs: seconds, phases, peak: peak.gflops() })
}

impl Bench {
    fn new(model: &Model, batch: usize, ctx: &Context, measured: Measured) -> Self {
        let Measured { runs, phases, peak } = measured;
        let layers = model.layers();
        let is_there =
            |&(phase, _): &(Phase, f64)| layers.iter().any(|layer| layer.phase() == phase);
        let phases = Phase::ALL.into_iter().zip(phases).filter(is_there);
        let phase_time = |(phase, seconds): (Phase, f64)| {
            let gflops = speed::gflops(model.phase_macs(phase), batch, seconds);
            let (ms, peak_fraction) = (1e3 * seconds, gflops / peak);
            PhaseTime { phase: phase.to_string(), ms, gflops, peak_fraction }
        };
        Bench {
            model: model.name().to_owned(),
            form: model.form().map(|form| form.to_string()),
            batch,
            threads: ctx.workers(),
            isa: ctx.isa().name(),
            dtype: "f32",
            runs: runs.len(),
            speed: Speed::new(model, batch, runs, peak),
            fma_peak_gflops: peak,
            load: None,
            phases: phases.map(phase_time).collect(),
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
        if let Some(load) = &self.load {
            out.table([Align::Left, Align::Right, Align::Left], &load.rows())?;
            out.line("")?;
        }
        let row = |name: &str, value: f64, note: String| [name.into(), format!("{value:.1}"), note];
        out.table(
            [Align::Left, Align::Right, Align::Left],
            &[
                row("images/s", self.speed.images_per_s, "fastest run".into()),
                row("", self.speed.images_per_s_median, "median".into()),
                row(
                    "GFLOP/s",
                    self.speed.gflops,
                    format!("{} of the peak", speed::of_peak(self.speed.peak_fraction)),
                ),
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
                speed::of_peak(phase.peak_fraction),
            ]
        });
        use Align::{Left, Right};
        let rows: Vec<_> = [header].into_iter().chain(rows).collect();
        out.table([Left, Right, Right, Right], &rows)
    }
}
