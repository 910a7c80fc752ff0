//! `mixfold fold`

use std::iter::Sum;
use std::path::PathBuf;
use std::time::Instant;

use mixfold_model::folding::{self, BlockReport, Size};
use mixfold_model::{Checkpoint, detect};
use serde::Serialize;

use crate::compute::Compute;
use crate::error::{CliError, Outcome};
use crate::numbers::largest;
use crate::output::Output;
use crate::text::{self, Align};

/// Seed of the random input of a report.
const SEED: u64 = 1;

/// Fold the convolutions of a RepMLPNet or RepMLP into its fully connected layers
///
/// Reads weights in train form and writes the deploy form with the official names, as safetensors. What is
/// folded becomes f32: of a RepMLPNet, the fully connected layers; of a ResNet, those of its RepMLPs, and
/// every other convolution with its batch norm. All else is copied. The file is written beside its place
/// and renamed when it is whole. Batch norms that the official conversion leaves as they are remain; this
/// program folds them whenever it loads weights.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  mixfold fold train.safetensors deploy.safetensors

  mixfold fold --report --model repmlpnet_b256 train.safetensors deploy.safetensors
      also compares the two forms of each block on random input")]
pub(crate) struct Args {
    /// Model, see `mixfold models` [default: told from the weights]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,

    /// Weights in train form: safetensors or a PyTorch state dict
    #[arg(value_name = "IN")]
    input: PathBuf,

    /// Where to write the deploy form
    #[arg(value_name = "OUT.safetensors")]
    output: PathBuf,

    /// For each block, also print the largest difference between the two forms, and their sizes
    #[arg(long)]
    report: bool,

    /// Print a JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    compute: Compute,
}

#[derive(Debug, Serialize)]
struct Fold {
    model: String,
    output: String,
    /// Fully connected layers that convolutions were folded into.
    blocks: usize,
    /// Convolutions that batch norms were folded into.
    convolutions: usize,
    bytes_before: u64,
    bytes_after: u64,
    /// Reading, folding and writing.
    seconds: f64,
    /// Of each block, if asked for.
    report: Option<Vec<Block>>,
    /// Of all blocks together, if asked for.
    total: Option<Total>,
}

#[derive(Debug, Serialize)]
struct Block {
    name: String,
    /// Largest difference between the outputs of the two forms.
    difference: f64,
    /// Largest output of the train form.
    largest: f64,
    /// The one divided by the other.
    relative: f64,
    train: BlockSize,
    deploy: BlockSize,
}

#[derive(Debug, Serialize)]
struct Total {
    /// The largest of the blocks' differences, each relative to the block's largest output.
    relative: f64,
    train: BlockSize,
    deploy: BlockSize,
}

#[derive(Debug, Default, Serialize)]
struct BlockSize {
    parameters: u64,
    /// Multiply-adds for one image.
    macs: u64,
    /// Of the tensors in `f32`.
    bytes: u64,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> Result<Outcome, CliError> {
    let ctx = args.compute.context()?;
    let model = match &args.model {
        Some(name) => name.clone(),
        None => detect(&Checkpoint::open(&args.input)?)?.name.to_owned(),
    };
    let of_input = |error| CliError::of_weights(&args.input, error);
    // Before the output, which may take the input's place.
    let report = match args.report {
        true => Some(folding::fold_report(&model, &args.input, SEED, &ctx).map_err(of_input)?),
        false => None,
    };
    let report: Option<Vec<_>> = report.map(|blocks| blocks.into_iter().map(Block::new).collect());
    let start = Instant::now();
    let folded = folding::fold_file(&model, &args.input, &args.output).map_err(of_input)?;
    let fold = Fold {
        model,
        output: args.output.display().to_string(),
        blocks: folded.blocks,
        convolutions: folded.convolutions,
        bytes_before: folded.bytes_before,
        bytes_after: folded.bytes_after,
        seconds: start.elapsed().as_secs_f64(),
        total: report.as_deref().map(Total::of),
        report,
    };
    if args.json {
        out.json(&fold)?
    } else {
        fold.print(out)?
    }
    Ok(Outcome::Complete)
}

impl Block {
    fn new(report: BlockReport) -> Self {
        let size = |Size { parameters, macs, bytes }| BlockSize { parameters, macs, bytes };
        let BlockReport { name, difference, largest, train, deploy } = report;
        let relative = if difference == 0.0 { 0.0 } else { difference / largest };
        let (train, deploy) = (size(train), size(deploy));
        Block { name, difference, largest, relative, train, deploy }
    }
}

impl Total {
    fn of(blocks: &[Block]) -> Self {
        Total {
            relative: largest(blocks.iter().map(|block| block.relative)),
            train: blocks.iter().map(|block| &block.train).sum(),
            deploy: blocks.iter().map(|block| &block.deploy).sum(),
        }
    }
}

impl<'a> Sum<&'a BlockSize> for BlockSize {
    fn sum<I: Iterator<Item = &'a BlockSize>>(sizes: I) -> Self {
        sizes.fold(BlockSize::default(), |sum, size| BlockSize {
            parameters: sum.parameters + size.parameters,
            macs: sum.macs + size.macs,
            bytes: sum.bytes + size.bytes,
        })
    }
}

impl Fold {
    fn print(&self, out: &mut Output) -> Result<(), CliError> {
        let row = |name: &str, value: String| [name.to_owned(), value];
        let mut folded = text::count(self.blocks, "block");
        if self.convolutions > 0 {
            folded = format!("{folded}, {}", text::count(self.convolutions, "convolution"));
        }
        let (before, after) = (text::grouped(self.bytes_before), text::grouped(self.bytes_after));
        out.table(
            [Align::Left; 2],
            &[
                row("model", self.model.clone()),
                row("written", self.output.clone()),
                row("folded", folded),
                row("bytes", format!("{before} before, {after} after")),
                row("seconds", format!("{:.2}", self.seconds)),
            ],
        )?;
        let (Some(blocks), Some(total)) = (&self.report, &self.total) else { return Ok(()) };
        if blocks.is_empty() {
            return Ok(());
        }
        out.line("")?;
        let header =
            ["BLOCK", "DIFFERENCE", "PARAMETERS", "FOLDED", "MACS", "FOLDED", "BYTES", "FOLDED"];
        let Total { relative, train, deploy } = total;
        let total = report_row("total; largest difference", *relative, [train, deploy]);
        let rows = blocks
            .iter()
            .map(|block| report_row(&block.name, block.relative, [&block.train, &block.deploy]));
        let rows: Vec<_> =
            [header.map(String::from)].into_iter().chain(rows).chain([total]).collect();
        use Align::{Left, Right};
        out.table([Left, Right, Right, Right, Right, Right, Right, Right], &rows)?;
        out.line("")?;
        out.line(
            "Difference: between the outputs of the two forms, relative to the block's largest. Bytes: \
             of f32.",
        )
    }
}

/// A row of the report: of a block, or of all.
fn report_row(name: &str, relative: f64, [train, deploy]: [&BlockSize; 2]) -> [String; 8] {
    [
        name.to_owned(),
        format!("{relative:.1e}"),
        text::grouped(train.parameters),
        text::grouped(deploy.parameters),
        text::metric(train.macs),
        text::metric(deploy.macs),
        text::grouped(train.bytes),
        text::grouped(deploy.bytes),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(difference: f64, largest: f64, bytes: u64) -> Block {
        let size = Size { parameters: 1, macs: 2, bytes };
        let name = "block".into();
        Block::new(BlockReport { name, difference, largest, train: size, deploy: size })
    }

    #[test]
    fn totals() {
        let total = Total::of(&[block(1.0, 4.0, 10), block(2.0, 4.0, 20), block(0.0, 0.0, 30)]);
        let BlockSize { parameters, macs, bytes } = total.deploy;
        assert_eq!((total.relative, parameters, macs, bytes), (0.5, 3, 6, 60));
        assert!(Total::of(&[block(f64::NAN, 4.0, 1), block(1.0, 4.0, 1)]).relative.is_nan());
    }
}
