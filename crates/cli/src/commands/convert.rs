//! `mixfold convert`

use std::path::PathBuf;
use std::time::Instant;

use mixfold_model::checkpoint::Format;
use mixfold_model::conversion::{self, Converted};
use mixfold_model::{Checkpoint, Gelu, ModelError, detect, registry};
use serde::Serialize;

use crate::error::{CliError, Outcome};
use crate::output::Output;
use crate::progress::Progress;
use crate::text::{self, Align};

/// Convert a weights file to safetensors with timm's names
///
/// Reads any file that the other commands accept: safetensors, PyTorch's .pth and .pt, npz; with timm's
/// names, Flax's of a Mixer or ViT, those of ResMLP's authors, RepMLPNet's, RepMLP's and its ResNet-50's,
/// FF-only's. Writes f32 with timm's names, shapes and layouts, or those of the paper's authors where timm
/// does not have the model, and for ResNet-50. A RepMLPNet, RepMLP or ResNet-50 stays in train or deploy
/// form. The file is written beside its place and renamed when it is whole.
///
/// Flax's names tell that the GELU is the tanh approximation. The file's metadata tell it afterwards, as
/// mixfold.gelu, and this program goes by that; timm does not, and computes the exact GELU.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  mixfold convert Mixer-B_16.npz mixer_b16_224.safetensors

  mixfold convert --model deit_base_patch16_224 deit_base.pth deit_base.safetensors")]
pub(crate) struct Args {
    /// Model, see `mixfold models` [default: told from the weights]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,

    /// Weights: safetensors, npz or a PyTorch state dict
    #[arg(value_name = "IN")]
    input: PathBuf,

    /// Where to write them
    #[arg(value_name = "OUT.safetensors")]
    output: PathBuf,

    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Conversion {
    model: String,
    /// Of the input.
    format: String,
    output: String,
    tensors: usize,
    /// `erf` or `tanh`: what the file is run with.
    gelu: String,
    bytes_before: u64,
    bytes_after: u64,
    /// Reading and writing.
    seconds: f64,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> Result<Outcome, CliError> {
    let info = match &args.model {
        Some(name) => registry::model(name)
            .cloned()
            .ok_or_else(|| ModelError::Unknown { name: name.clone() })?,
        None => detect(&Checkpoint::open(&args.input)?)?,
    };
    let mut file = Checkpoint::open(&args.input)?;
    let format = file.format();
    let start = Instant::now();
    let mut bar = None;
    let progress = |_, tensors| {
        bar.get_or_insert_with(|| Progress::of(tensors, "tensors")).add(1);
    };
    let converted =
        conversion::convert(&mut file, info.name, &info.config, &args.output, progress)?;
    drop(bar);
    let conversion = Conversion {
        model: info.name.to_owned(),
        format: format.to_string(),
        output: args.output.display().to_string(),
        tensors: converted.tensors,
        gelu: converted.gelu.to_string(),
        bytes_before: converted.bytes_before,
        bytes_after: converted.bytes_after,
        seconds: start.elapsed().as_secs_f64(),
    };
    if args.json {
        out.json(&conversion)?
    } else {
        conversion.print(format, converted, out)?
    }
    Ok(Outcome::Complete)
}

impl Conversion {
    fn print(
        &self,
        format: Format,
        converted: Converted,
        out: &mut Output,
    ) -> Result<(), CliError> {
        let row = |name: &str, value: String| [name.to_owned(), value];
        let (before, after) = (text::grouped(self.bytes_before), text::grouped(self.bytes_after));
        out.table(
            [Align::Left; 2],
            &[
                row("model", self.model.clone()),
                row("read", format.to_string()),
                row("written", self.output.clone()),
                row("tensors", self.tensors.to_string()),
                row("bytes", format!("{before} before, {after} after")),
                row("seconds", format!("{:.2}", self.seconds)),
            ],
        )?;
        if converted.gelu == Gelu::Tanh {
            out.line("")?;
            out.line(
                "GELU: tanh, as the metadata say; mixfold goes by that, timm computes the exact one.",
            )?;
        }
        Ok(())
    }
}
