//! `mixfold eval`

use std::path::PathBuf;
use std::time::Instant;

use image::{DynamicImage, GrayImage};
use mixfold_model::preprocess::{Buffers, MAX_PIXELS};
use mixfold_model::{PreprocessError, top};
use serde::Serialize;

use crate::batches::Batches;
use crate::compute::{self, Compute};
use crate::error::{CliError, Outcome};
use crate::idx::Idx;
use crate::model_args::ModelArgs;
use crate::output::Output;
use crate::progress::Progress;
use crate::text::{self, Align};

/// Measure the accuracy of a model on a labelled data set
///
/// The data set is a pair of IDX files of bytes, plain or compressed by gzip, as MNIST and
/// Fashion-MNIST are shipped: grey images and the number of each one's class. Prints how often the
/// class is the likeliest one (top-1) and among the five likeliest (top-5), and the images per
/// second from the first byte read to the last class found.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  mixfold eval --images t10k-images-idx3-ubyte.gz --labels t10k-labels-idx1-ubyte.gz")]
pub(crate) struct Args {
    /// Images
    #[arg(long, value_name = "IDX")]
    images: PathBuf,

    /// Their classes
    #[arg(long, value_name = "IDX")]
    labels: PathBuf,

    #[command(flatten)]
    model: ModelArgs,

    /// Images that go through the model together; the results are the same
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = compute::batch)]
    batch: usize,

    #[command(flatten)]
    compute: Compute,

    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Evaluation {
    model: String,
    images: usize,
    /// Fraction of the images whose class is the likeliest one.
    top1: f64,
    /// Fraction of the images whose class is among the five likeliest.
    top5: f64,
    seconds: f64,
    images_per_s: f64,
    batch: usize,
    threads: usize,
    isa: &'static str,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> Result<Outcome, CliError> {
    let ctx = args.compute.context()?;
    let model = args.model.load(&ctx)?;
    let (preprocess, classes) = (model.preprocess(), model.classes());

    let start = Instant::now();
    let mut image_file = Idx::<3>::open(&args.images)?;
    let mut label_file = Idx::<1>::open(&args.labels)?;
    let [count, height, width] = image_file.shape();
    if label_file.shape() != [count] {
        let [found] = label_file.shape();
        let (path, labels) = (args.images.clone(), args.labels.clone());
        return Err(CliError::Labels { path, images: count, labels, found });
    }
    if count == 0 {
        return Err(CliError::Empty(args.images.clone()));
    }
    let mut pixels = blank(&args.images, height, width)?;

    let progress = Progress::new(count);
    let mut batches = Batches::new(&model);
    let mut buffers = Buffers::default();
    let batch = args.batch.min(count);
    let (mut images, mut labels) = (vec![0.0; batch * batches.image_len()], vec![0; batch]);
    let mut correct = [0, 0];
    for first in (0..count).step_by(batch) {
        let batch = batch.min(count - first);
        let len = batches.image_len();
        let (images, labels) = (&mut images[..batch * len], &mut labels[..batch]);
        label_file.read(labels)?;
        for image in images.chunks_exact_mut(len) {
            if let DynamicImage::ImageLuma8(pixels) = &mut pixels {
                image_file.read(pixels)?;
            }
            preprocess.apply_into(&pixels, &mut buffers, image)?;
        }
        let logits = batches.run(images)?.chunks_exact(classes);
        for (i, (logits, &label)) in logits.zip(&*labels).enumerate() {
            if usize::from(label) >= classes {
                let (path, model) = (args.labels.clone(), model.name().to_owned());
                return Err(CliError::Label { path, image: first + i, label, model, classes });
            }
            match top(logits, 5).iter().position(|&(class, _)| class == usize::from(label)) {
                Some(0) => correct = [correct[0] + 1, correct[1] + 1],
                Some(_) => correct[1] += 1,
                None => {}
            }
        }
        progress.add(batch);
    }
    image_file.finish()?;
    label_file.finish()?;
    drop(progress);

    let seconds = start.elapsed().as_secs_f64();
    let [top1, top5] = correct.map(|correct| f64::from(correct) / count as f64);
    let evaluation = Evaluation {
        model: model.name().to_owned(),
        images: count,
        top1,
        top5,
        seconds,
        images_per_s: count as f64 / seconds,
        batch,
        threads: ctx.workers(),
        isa: ctx.isa().name(),
    };
    if args.json {
        out.json(&evaluation)?
    } else {
        evaluation.print(out, correct)?
    }
    Ok(Outcome::Complete)
}

/// A black image of the size that a file claims.
fn blank(path: &std::path::Path, height: usize, width: usize) -> Result<DynamicImage, CliError> {
    // They were 32-bit numbers.
    let (width, height) = (width as u32, height as u32);
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(PreprocessError::TooLarge { path: path.to_owned(), width, height }.into());
    }
    Ok(DynamicImage::ImageLuma8(GrayImage::new(width, height)))
}

impl Evaluation {
    fn print(&self, out: &mut Output, [top1, top5]: [u32; 2]) -> Result<(), CliError> {
        let row = |name: &str, value: String| [name.to_owned(), value];
        let of = |fraction, n| format!("{} ({n} of {})", text::percent(fraction), self.images);
        out.table(
            [Align::Left; 2],
            &[
                row("model", self.model.clone()),
                row("top-1", of(self.top1, top1)),
                row("top-5", of(self.top5, top5)),
                row(
                    "speed",
                    format!(
                        "{:.0} images/s ({:.2} s, {}, batch {}, {})",
                        self.images_per_s,
                        self.seconds,
                        text::count(self.threads, "thread"),
                        self.batch,
                        self.isa
                    ),
                ),
            ],
        )
    }
}
