//! `mixfold classify`

use std::path::{Path, PathBuf};

use mixfold_model::{Model, top};
use serde::Serialize;

use crate::batches::Batches;
use crate::compute::Compute;
use crate::error::{CliError, Outcome, report};
use crate::image_files::{self, Reader};
use crate::model_args::ModelArgs;
use crate::output::Output;
use crate::preprocess_args::PreprocessArgs;
use crate::progress::Progress;

/// Images that are read and classified together.
const BATCH: usize = 16;

/// Tell what images show
///
/// Prints the likeliest classes of each image, with their probabilities. An image that cannot be
/// read is reported, the others are classified, and the exit code is 1.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  mixfold classify shoe.png
      with a model that is part of the program: clothes in grey images of 28 x 28 pixels

  mixfold classify --weights mixer_b16_224.safetensors --labels imagenet.txt photos/
      all JPEG and PNG files in a folder and its folders

  mixfold classify --json --top 1 photos/ | jq -r '[.path, .labels[0]] | @tsv'
      one JSON object per image and line: path, classes, probabilities, labels")]
pub(crate) struct Args {
    /// JPEG or PNG files, and folders of such
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,

    #[command(flatten)]
    model: ModelArgs,

    /// Names of the classes: one to a line, or JSON [default: those beside or in the weights]
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,

    /// Classes to print per image, likeliest first
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    top: u32,

    /// Print one JSON object per image and line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    compute: Compute,

    #[command(flatten)]
    preprocess: PreprocessArgs,
}

/// What is said of an image, likeliest class first.
#[derive(Debug, Serialize)]
struct Classified {
    path: String,
    classes: Vec<usize>,
    probabilities: Vec<f32>,
    labels: Vec<String>,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> Result<Outcome, CliError> {
    let ctx = args.compute.context()?;
    let mut model = args.model.load(&ctx)?;
    if let Some(labels) = &args.labels {
        model.read_labels(labels)?;
    }
    args.preprocess.apply(&mut model)?;

    let (files, errors) = image_files::find(&args.images);
    errors.iter().for_each(report);
    let mut outcome = if errors.is_empty() { Outcome::Complete } else { Outcome::Partial };

    let progress = Progress::new(files.len());
    let (mut reader, mut batches) = (Reader::new(&model), Batches::new(&model));
    let mut printed = false;
    for files in files.chunks(BATCH) {
        let (images, mut errors) = reader.read(files)?;
        let mut logits = batches.run(images)?.chunks_exact(model.classes());
        progress.suspend(|| {
            for (i, file) in files.iter().enumerate() {
                if let Some(error) = errors.remove(&i) {
                    outcome = Outcome::Partial;
                    report(&error.into());
                } else if let Some(logits) = logits.next() {
                    let classified = Classified::new(&model, file, logits, args.top as usize);
                    if args.json {
                        out.json(&classified)?;
                    } else {
                        if printed {
                            out.line("")?;
                        }
                        classified.print(out)?;
                    }
                    printed = true;
                }
            }
            out.flush()
        })?;
        progress.add(files.len());
    }
    Ok(outcome)
}

impl Classified {
    fn new(model: &Model, path: &Path, logits: &[f32], k: usize) -> Self {
        let (classes, probabilities): (Vec<_>, _) = top(logits, k).into_iter().unzip();
        let labels = classes.iter().map(|&class| model.label(class).into_owned()).collect();
        Classified { path: path.display().to_string(), classes, probabilities, labels }
    }

    fn print(&self, out: &mut Output) -> Result<(), CliError> {
        out.line(&self.path)?;
        for (label, p) in self.labels.iter().zip(&self.probabilities) {
            out.line(format_args!("{:8.2} %  {label}", 100.0 * p))?;
        }
        Ok(())
    }
}
