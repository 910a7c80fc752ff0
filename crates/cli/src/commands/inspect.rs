//! `mixfold inspect`

use std::collections::BTreeMap;
use std::path::PathBuf;

use mixfold_model::registry::ModelInfo;
use mixfold_model::{Checkpoint, Form, ModelError, detect, form};
use serde::Serialize;

use crate::error::{CliError, Outcome};
use crate::output::Output;
use crate::text::{self, Align};

/// Show what a weights file holds
///
/// Prints the format, the model that the tensors fit (or why they fit none), the form of a RepMLPNet or
/// ResNet, parameters and multiply-adds for one image, and all tensors. Only the table of contents is read.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// safetensors, npz or PyTorch file
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Inspection<'a> {
    path: String,
    format: String,
    /// The model that the tensors fit.
    model: Option<Fit>,
    /// Why there is none.
    mismatch: Option<String>,
    metadata: &'a BTreeMap<String, String>,
    tensors: Vec<Tensor<'a>>,
}

#[derive(Debug, Serialize)]
struct Fit {
    name: &'static str,
    family: &'static str,
    /// Channels, height, width.
    input: [usize; 3],
    classes: usize,
    /// Of the form that the file has.
    parameters: u64,
    macs: u64,
    /// `train` or `deploy`, of a model that has both.
    form: Option<String>,
    /// Of the deploy form, if the file has the train form.
    folded_parameters: Option<u64>,
    folded_macs: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Tensor<'a> {
    name: &'a str,
    dtype: String,
    shape: &'a [usize],
    bytes: u64,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> Result<Outcome, CliError> {
    let file = Checkpoint::open(&args.file)?;
    let (model, mismatch) = match detect(&file) {
        Ok(info) => (Some(Fit::new(&info, form(&file))), None),
        Err(ModelError::Undetected { reason, .. }) => (None, Some(reason)),
        Err(error) => (None, Some(CliError::from(error).to_string())),
    };
    let tensors = file.entries().map(|(name, entry)| Tensor {
        name,
        dtype: entry.dtype().to_string(),
        shape: entry.shape(),
        bytes: entry.bytes(),
    });
    let inspection = Inspection {
        path: args.file.display().to_string(),
        format: file.format().to_string(),
        model,
        mismatch,
        metadata: file.metadata(),
        tensors: tensors.collect(),
    };
    if args.json {
        out.json(&inspection)?
    } else {
        inspection.print(out)?
    }
    Ok(Outcome::Complete)
}

impl Fit {
    fn new(info: &ModelInfo, form: Option<Form>) -> Self {
        let of_file = form.unwrap_or(Form::Deploy);
        let parameters = |form| info.config.parameters(info.classes, form);
        let macs = |form| info.config.macs(info.classes, form);
        let folded = (form == Some(Form::Train)).then_some(Form::Deploy);
        Fit {
            name: info.name,
            family: info.family(),
            input: info.config.input(),
            classes: info.classes,
            parameters: parameters(of_file),
            macs: macs(of_file),
            form: form.map(|form| form.to_string()),
            folded_parameters: folded.map(parameters),
            folded_macs: folded.map(macs),
        }
    }
}

impl Inspection<'_> {
    fn print(&self, out: &mut Output) -> Result<(), CliError> {
        let mut rows: Vec<[String; 2]> = Vec::new();
        let mut add = |name: &str, value: String| rows.push([name.to_owned(), value]);
        add("file", self.path.clone());
        add("format", self.format.clone());
        if let Some(fit) = &self.model {
            add("model", format!("{} ({})", fit.name, fit.family));
            if let Some(form) = &fit.form {
                add("form", form.clone());
            }
            add("input", text::shape(&fit.input));
            add("classes", fit.classes.to_string());
            let folded = |number: Option<String>| {
                number.map_or(String::new(), |number| format!(" ({number} when folded)"))
            };
            let (parameters, macs) = (text::grouped(fit.parameters), text::metric(fit.macs));
            add("parameters", parameters + &folded(fit.folded_parameters.map(text::grouped)));
            add("MACs", format!("{macs} per image") + &folded(fit.folded_macs.map(text::metric)));
        }
        if let Some(mismatch) = &self.mismatch {
            add("model", format!("none: {mismatch}"));
        }
        let bytes: u64 = self.tensors.iter().map(|tensor| tensor.bytes).sum();
        add("tensors", format!("{}, {} bytes", self.tensors.len(), text::grouped(bytes)));
        out.table([Align::Left; 2], &rows)?;

        if !self.metadata.is_empty() {
            out.line("")?;
            let header = ["METADATA", "VALUE"].map(String::from);
            let rows = self.metadata.iter().map(|(key, value)| [key.clone(), value.clone()]);
            let rows: Vec<_> = [header].into_iter().chain(rows).collect();
            out.table([Align::Left; 2], &rows)?;
        }
        if self.tensors.is_empty() {
            return Ok(());
        }
        out.line("")?;
        let header = ["TENSOR", "TYPE", "SHAPE", "BYTES"].map(String::from);
        let rows = self.tensors.iter().map(|tensor| {
            let (shape, bytes) = (text::shape(tensor.shape), text::grouped(tensor.bytes));
            [tensor.name.to_owned(), tensor.dtype.clone(), shape, bytes]
        });
        use Align::{Left, Right};
        let rows: Vec<_> = [header].into_iter().chain(rows).collect();
        out.table([Left, Left, Right, Right], &rows)
    }
}
