//! `mixfold fold`

use std::path::PathBuf;
use std::time::Instant;

use mixfold_model::folding::{self, BlockReport, Size};
use mixfold_model::{Checkpoint, detect};
use serde::Serialize;

use crate::compute::Compute;
use crate::error::{CliError, Outcome};
use crate::output::Output;
use crate::text::{self, Align};

/// Seed of the random input of a report.
const SEED: u64 = 1;

/// Fold the convolutions of a RepMLPNet into its fully connected layers
///
/// Reads weights in train form and writes the deploy form with the official names, as safetensors. The
/// file is written beside its place and renamed when it is whole. Batch norms that the official
/// conversion leaves as they are remain; this program folds them whenever it loads weights.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  mixfold fold --model repmlpnet_b256 train.safetensors deploy.safetensors
  mixfold fold train.safetensors deploy.safetensors --report
      also compares the two forms of each block on random input")]
pub(crate) struct Args {
    /// Model, see `mixfold models` [default: told from the weights]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,

    /// Weights in train form
    #[arg(value_name = "IN")]
    input: PathBuf,

    /// Where to write the deploy form
    #[arg(value_name = "OUT.safetensors")]
    output: PathBuf,

    /// For each block, print the largest difference between the two forms, and their sizes
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
    bytes_before: u64,
    bytes_after: u64,
    /// Reading, folding and writing.
    seconds: f64,
    /// For each block, if asked for.
    report: Option<Vec<Block>>,
}

#[derive(Debug, Serialize)]
struct Block {
    name: String,
    /// Largest difference between the outputs of the two forms.
    difference: f64,
    /// Largest output of the train form.
    largest: f64,
    train: BlockSize,
    deploy: BlockSize,
}

#[derive(Debug, Serialize)]
struct BlockSize {
    parameters: u64,
    macs: u64,
    bytes: u64,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> Result<Outcome, CliError> {
    let ctx = args.compute.context()?;
    let model = match &args.model {
        Some(name) => name.clone(),
        None => detect(&Checkpoint::open(&args.input)?)?.name.to_owned(),
    };
    // Before the output, which may take the input's place.
    let report = match args.report {
        true => Some(folding::fold_report(&model, &args.input, SEED, &ctx)?),
        false => None,
    };
    let start = Instant::now();
    let folded = folding::fold_file(&model, &args.input, &args.output)?;
    let fold = Fold {
        model,
        output: args.output.display().to_string(),
        blocks: folded.blocks,
        bytes_before: folded.bytes_before,
        bytes_after: folded.bytes_after,
        seconds: start.elapsed().as_secs_f64(),
        report: report.map(|blocks| blocks.into_iter().map(Block::new).collect()),
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
        Block { name, difference, largest, train: size(train), deploy: size(deploy) }
    }

    fn row(&self) -> [String; 8] {
        let [train, deploy] = [&self.train, &self.deploy];
        [
            self.name.clone(),
            format!("{:.1e}", self.difference / self.largest),
            text::grouped(train.parameters),
            text::grouped(deploy.parameters),
            text::metric(train.macs),
            text::metric(deploy.macs),
            text::grouped(train.bytes),
            text::grouped(deploy.bytes),
        ]
    }
}

impl Fold {
    fn print(&self, out: &mut Output) -> Result<(), CliError> {
        let row = |name: &str, value: String| [name.to_owned(), value];
        let (before, after) = (text::grouped(self.bytes_before), text::grouped(self.bytes_after));
        out.table(
            [Align::Left; 2],
            &[
                row("model", self.model.clone()),
                row("written", self.output.clone()),
                row("folded", text::count(self.blocks, "block")),
                row("bytes", format!("{before} before, {after} after")),
                row("seconds", format!("{:.2}", self.seconds)),
            ],
        )?;
        let Some(blocks) = &self.report else { return Ok(()) };
        let total = |of: fn(&BlockSize) -> u64, form: fn(&Block) -> &BlockSize| -> u64 {
            blocks.iter().map(|block| of(form(block))).sum()
        };
        let size = |form: fn(&Block) -> &BlockSize| BlockSize {
            parameters: total(|size| size.parameters, form),
            macs: total(|size| size.macs, form),
            bytes: total(|size| size.bytes, form),
        };
        let relative = |block: &Block| block.difference / block.largest;
        let all = Block {
            name: "all, the largest difference".into(),
            difference: blocks.iter().map(relative).fold(0.0, f64::max),
            largest: 1.0,
            train: size(|block| &block.train),
            deploy: size(|block| &block.deploy),
        };
        out.line("")?;
        let header =
            ["BLOCK", "DIFFERENCE", "PARAMETERS", "FOLDED", "MACS", "FOLDED", "BYTES", "FOLDED"];
        let rows = [header.map(String::from)].into_iter();
        let rows: Vec<_> = rows.chain(blocks.iter().chain([&all]).map(Block::row)).collect();
        use Align::{Left, Right};
        out.table([Left, Right, Right, Right, Right, Right, Right, Right], &rows)?;
        out.line("")?;
        out.line("Differences are relative to the largest output of the block.")
    }
}
