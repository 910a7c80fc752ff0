//! `mixfold run`

use std::fs;
use std::path::{Path, PathBuf};

use mixfold_model::checkpoint::npy;
use serde::Serialize;

use crate::batches::Batches;
use crate::compute::{self, Compute};
use crate::dump::Dump;
use crate::error::{CliError, Outcome};
use crate::model_args::ModelArgs;
use crate::output::Output;
use crate::progress::Progress;
use crate::text::{self, Align};

/// Run a model on arrays of NumPy
///
/// Takes images as the model sees them, (N, channels, height, width) of f16, f32 or f64, and writes
/// their logits, (N, classes) of f32. Files are written beside their place and renamed when they are
/// whole.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  mixfold run --model mixer_b16_224 --weights mixer_b16_224.safetensors --input x.npy --output y.npy

  mixfold run --input x.npy --output y.npy --dump 'blocks.*' --dump-dir tensors
      with a model that is part of the program; also writes tensors/blocks.0.npy and so on: what
      comes out of each block, and of the token mixing within it (blocks.0.mlp_tokens)

  mixfold run --model repmlpnet_fashion --input x.npy --output y.npy --dump '*' --dump-dir tensors
      the same of all layers of a RepMLPNet: its units (stages.0.1), the first half of each
      (stages.0.1.repmlp_block), what stands between stages (embeds.0)

  mixfold run --weights light.safetensors --input x.npy --output y.npy --dump 'stage3.*' --dump-dir tensors
      of a ResNet: blocks (stage3.1) and what stands within them (stage3.1.light_repmlp)")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// Images, (N, channels, height, width)
    #[arg(long, value_name = "X.npy")]
    input: PathBuf,

    /// Where to write the logits, (N, classes)
    #[arg(long, value_name = "Y.npy")]
    output: PathBuf,

    /// Also write the intermediate tensors of this name, such as blocks.3, or of names that match,
    /// such as 'stages.*'; may be given several times
    #[arg(long, value_name = "PATTERN", requires = "dump_dir")]
    dump: Vec<String>,

    /// Folder for the intermediate tensors, made if it is not there
    #[arg(long, value_name = "DIR", requires = "dump")]
    dump_dir: Option<PathBuf>,

    /// Images that go through the model together; the results are the same
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = compute::batch)]
    batch: usize,

    #[command(flatten)]
    compute: Compute,

    /// Print a JSON object: the files written and their shapes
    #[arg(long)]
    json: bool,
}

/// What was written.
#[derive(Debug, Serialize)]
struct Report {
    model: String,
    output: Written,
    dumps: Vec<Written>,
}

#[derive(Debug, Serialize)]
struct Written {
    path: String,
    shape: Vec<usize>,
}

impl Written {
    fn new((path, shape): (PathBuf, Vec<usize>)) -> Self {
        Written { path: path.display().to_string(), shape }
    }

    fn row(&self) -> [String; 2] {
        [self.path.clone(), text::shape(&self.shape)]
    }
}

/// Whether both are there and the same, by whatever names.
fn is_same_file(a: &Path, b: &Path) -> bool {
    matches!((fs::canonicalize(a), fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b)
}

pub(crate) fn run(args: &Args, out: &mut Output) -> Result<Outcome, CliError> {
    if is_same_file(&args.input, &args.output) {
        let output = args.output.display();
        return Err(CliError::Usage(format!("--output {output} is the input: name another file")));
    }
    let ctx = args.compute.context()?;
    let model = args.model.load(&ctx)?;
    let (shape, images) = npy::read(&args.input)?;
    model.check_input(&shape)?;
    let count = shape[0];
    if count == 0 {
        return Err(CliError::Empty(args.input.clone()));
    }
    let mut dump = match &args.dump_dir {
        Some(folder) => Some(Dump::new(&model, &args.dump, folder, count)?),
        None => None,
    };

    let progress = Progress::new(count);
    let mut batches = Batches::new(&model);
    let mut output = npy::Writer::create(&args.output, &[count, model.classes()])?;
    for images in images.chunks(args.batch * batches.image_len()) {
        let batch = images.len() / batches.image_len();
        let (plan, logits) = batches.plan(batch)?;
        match &mut dump {
            None => plan.run(images, logits)?,
            Some(dump) => {
                let observe = |layer, _, shape: &[usize], values: &[f32]| {
                    dump.observe(layer, shape, values);
                };
                plan.run_observed(images, logits, observe)?;
                dump.check()?;
            }
        }
        output.append(logits)?;
        progress.add(batch);
    }
    let dumped = dump.map_or_else(|| Ok(Vec::new()), Dump::finish)?;
    output.finish()?;
    drop(progress);

    let report = Report {
        model: model.name().to_owned(),
        output: Written::new((args.output.clone(), vec![count, model.classes()])),
        dumps: dumped.into_iter().map(Written::new).collect(),
    };
    if args.json {
        out.json(&report)?;
    } else {
        let written = [&report.output].into_iter().chain(&report.dumps);
        out.table([Align::Left; 2], &written.map(Written::row).collect::<Vec<_>>())?;
    }
    Ok(Outcome::Complete)
}
