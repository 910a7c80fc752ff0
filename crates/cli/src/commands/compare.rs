//! `mixfold compare`

mod report;

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use mixfold_gemm::{Buffer, Context};
use mixfold_model::checkpoint::Replacement;
use mixfold_model::{Checkpoint, Model, ModelError, registry};

use crate::compute::{self, Compute};
use crate::error::{CliError, Outcome};
use crate::model_args::{FormArg, ModelArgs};
use crate::output::Output;
use crate::progress::Progress;
use crate::speed::{self, Peak, Timed, WINDOW};
use report::Comparison;

/// Measure several models side by side
///
/// Prints the size of each model, and for each batch size its images per second, the median of a
/// batch's time, the GFLOP/s (two operations per multiply-add of convolutions, matrices and
/// attention), how much that is of the peak of multiply-adds, and how many times as fast as the first model it is.
///
/// The models take turns, a run each in every round, in random order, because machines drift: "times
/// first" is the median over the rounds of the first model's time by this one's in the same round. The
/// peak is measured before every run. A run of less than 10 ms follows an untimed one, as the turns of
/// the others have emptied the caches. All models are in memory together.
///
/// A model without weights gets random ones, which are as fast as others. A model that is named twice
/// is measured twice: by how much the two differ is noise.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  mixfold compare --models mixer_s16_224,mixer_b16_224 --batch 1,8 --threads 1

  mixfold compare --models repmlpnet_t224:train,repmlpnet_t224 --weights repmlpnet_t224=train.safetensors
      what folding the convolutions gains

  mixfold compare --models mixer_s32_224,mixer_s16_224,repmlpnet_t224 --plot speed.svg")]
pub(crate) struct Args {
    /// Models, see `mixfold models`; a RepMLPNet or RepMLP runs in deploy form, or with its convolutions as
    /// NAME:train
    #[arg(long, value_name = "NAME,...", required = true, value_delimiter = ',', value_parser = chosen)]
    models: Vec<Chosen>,

    /// Weights of one of the models, as for `mixfold bench`; may be given several times
    #[arg(long, value_name = "NAME=FILE", value_parser = weights)]
    weights: Vec<Weights>,

    /// Images that go through a model together; several numbers are measured one beside the other
    #[arg(
        long, value_name = "N,...", default_value = "8", value_delimiter = ',',
        value_parser = compute::batch
    )]
    batch: Vec<usize>,

    #[command(flatten)]
    compute: Compute,

    /// Timed runs of each model [default: as many as take about 3 s for each, at least 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    runs: Option<u32>,

    /// Also draw the images per second as bars. The file is written beside its place and renamed when
    /// it is whole
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,

    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// A model to be measured.
#[derive(Clone, Debug)]
struct Chosen {
    name: String,
    form: Option<FormArg>,
}

/// The file for all models of a name.
#[derive(Clone, Debug)]
struct Weights {
    name: String,
    file: PathBuf,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> Result<Outcome, CliError> {
    let ctx = args.compute.context()?;
    args.check()?;
    let models = args.load(&ctx)?;
    let (seconds, peak) = measure(&models, &args.batch, args.runs, &ctx)?;
    let files: Vec<_> = models.iter().map(|model| args.file(model.name())).collect();
    let comparison = Comparison::new(&models, &files, &args.batch, &seconds, peak);
    if let Some(path) = &args.plot {
        comparison.plot(path)?;
    }
    if args.json {
        out.json(&comparison)?
    } else {
        comparison.print(out)?
    }
    Ok(Outcome::Complete)
}

/// Parses `NAME` or `NAME:FORM`.
fn chosen(argument: &str) -> Result<Chosen, String> {
    let (name, form) = match argument.split_once(':') {
        None => (argument, None),
        Some((name, form)) => match FormArg::from_str(form, false) {
            Ok(form) => (name, Some(form)),
            Err(_) => return Err("expected NAME, NAME:train or NAME:deploy".into()),
        },
    };
    Ok(Chosen { name: name.into(), form })
}

/// Parses `NAME=FILE`.
fn weights(argument: &str) -> Result<Weights, String> {
    match argument.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => {
            Ok(Weights { name: name.into(), file: file.into() })
        }
        _ => Err("expected NAME=FILE".into()),
    }
}

impl Args {
    /// What can be known to be wrong before models are loaded.
    fn check(&self) -> Result<(), CliError> {
        for Chosen { name, form } in &self.models {
            let info = registry::model(name);
            let info = info.ok_or_else(|| ModelError::Unknown { name: name.clone() })?;
            if form.is_some() && info.config.forms().is_empty() {
                let message = format!("{name} has one form only; name it without one");
                return Err(CliError::Usage(message));
            }
        }
        for (i, Weights { name, .. }) in self.weights.iter().enumerate() {
            if self.models.iter().all(|chosen| chosen.name != *name) {
                let message = format!("--weights {name}: it is none of the models to compare");
                return Err(CliError::Usage(message));
            }
            if self.weights[..i].iter().any(|before| before.name == *name) {
                let message = format!("--weights {name}: give one file for a model");
                return Err(CliError::Usage(message));
            }
        }
        if let Some(path) = &self.plot {
            if !path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("svg")) {
                let path = path.display();
                let message = format!("--plot {path}: give a name that ends with .svg");
                return Err(CliError::Usage(message));
            }
            // Nothing is left of a file that is not finished.
            let begun = Replacement::begin(path).map(drop);
            begun.map_err(|source| CliError::Io { path: path.clone(), source })?;
        }
        for Weights { file, .. } in &self.weights {
            Checkpoint::open(file)?;
        }
        Ok(())
    }

    fn file(&self, name: &str) -> Option<&Path> {
        let weights = self.weights.iter().find(|weights| weights.name == name);
        weights.map(|weights| weights.file.as_path())
    }

    fn load(&self, ctx: &Context) -> Result<Vec<Model>, CliError> {
        let progress = Progress::of(self.models.len(), "models loaded");
        let load = |Chosen { name, form }: &Chosen| {
            let model = ModelArgs::named(name, self.file(name), *form).load_or_random(ctx)?;
            progress.add(1);
            Ok(model)
        };
        self.models.iter().map(load).collect()
    }
}

/// The seconds of all runs of each model, with the first batch size, with the second, and so on; and
/// the peak in GFLOP/s.
fn measure(
    models: &[Model],
    batches: &[usize],
    runs: Option<u32>,
    ctx: &Context,
) -> Result<(Vec<Vec<f64>>, f64), CliError> {
    /// A run that takes less is measured after one that is not.
    const SHORT: f64 = 0.01;
    let most = batches.iter().copied().max().unwrap_or(0);
    let largest = models.iter().max_by_key(|model| model.input().iter().product::<usize>());
    let images = largest.map_or(Ok(Buffer::empty()), |model| speed::images(model, most))?;
    let pairs = batches.iter().flat_map(|&batch| models.iter().map(move |model| (model, batch)));
    let timed = pairs.map(|(model, batch)| Timed::new(model, batch, &images));
    let mut timed = timed.collect::<Result<Vec<_>, _>>()?;

    let mut short = Vec::with_capacity(timed.len());
    let mut round = 0.0;
    for timed in &mut timed {
        timed.run()?;
        let run = timed.run()?;
        short.push(run < SHORT);
        round += if run < SHORT { 2.0 * run } else { run } + WINDOW.as_secs_f64();
    }
    let turns = timed.len();
    let runs = match runs {
        Some(runs) => runs as usize,
        None => speed::default_runs(round / turns as f64),
    };

    let progress = Progress::of(runs * turns, "runs");
    let mut peak = Peak::new(ctx, runs * turns);
    let mut seconds = vec![Vec::with_capacity(runs); turns];
    let mut order: Vec<_> = (0..turns).collect();
    let mut random = fastrand::Rng::with_seed(0);
    for _ in 0..runs {
        // So that none always comes after the same one, or at the same time of a neighbour's rhythm.
        random.shuffle(&mut order);
        for &turn in &order {
            peak.measure();
            if short[turn] {
                timed[turn].run()?;
            }
            seconds[turn].push(timed[turn].run()?);
            progress.add(1);
        }
    }
    Ok((seconds, peak.gflops()))
}
