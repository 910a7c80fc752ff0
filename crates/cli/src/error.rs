//! What can go wrong, how it is told, and which exit code it gives.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use mixfold_model::{CheckpointError, Mismatch, ModelError, PreprocessError};
use mixfold_simd::{IsaError, env};
use thiserror::Error;

use crate::idx::IdxError;
use crate::text;

/// Exit code if some of the work failed.
pub(crate) const FAILED: u8 = 1;
/// Exit code if the program was called wrongly.
const USAGE: u8 = 2;

/// How much of a command's work was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Complete,
    /// Some of it failed, as has been reported.
    Partial,
}

/// Why a command ends before its work is done.
#[derive(Debug, Error)]
pub(crate) enum CliError {
    /// The arguments do not go together.
    #[error("{0}")]
    Usage(String),
    #[error("{name}: {0}", name = env::ISA.name)]
    Isa(#[from] IsaError),
    #[error("--threads {threads}: {source}")]
    Threads { threads: u16, source: io::Error },
    #[error("{text}", text = model(.0))]
    Model(#[from] ModelError),
    /// An error about tensors whose own text does not name the file.
    #[error("{path}: {source}")]
    Weights { path: PathBuf, source: Box<ModelError> },
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    #[error(transparent)]
    Idx(#[from] IdxError),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Walk(#[from] walkdir::Error),
    #[error("{0}: no JPEG or PNG file in this folder")]
    NoImages(PathBuf),
    #[error("{0}: no images to run")]
    Empty(PathBuf),
    #[error("{labels} has {found} labels for the {images} images of {path}: give files of one set")]
    Labels { path: PathBuf, images: usize, labels: PathBuf, found: usize },
    #[error("{path}: the label of image {image} is {label}, {model} has {classes} classes")]
    Label { path: PathBuf, image: usize, label: u8, model: String, classes: usize },
    #[error(
        "the two forms of {model} differ by {relative:.1e} of the largest logit, more than \
         {allowed:.0e}: please report this"
    )]
    Forms { model: String, relative: f64, allowed: f64 },
    #[error("{model} {reason}")]
    NothingToDraw { model: String, reason: &'static str },
    #[error("standard output: {0}")]
    Output(io::Error),
}

impl CliError {
    /// Reports the error, unless nobody reads the output any more, and says how to exit.
    pub(crate) fn conclude(&self) -> ExitCode {
        match self {
            CliError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                ExitCode::SUCCESS
            }
            _ => {
                report(self);
                ExitCode::from(self.code())
            }
        }
    }

    /// An error that arose when weights of this file were used.
    pub(crate) fn of_weights(path: &Path, source: ModelError) -> Self {
        match source {
            ModelError::Fold { .. } | ModelError::Folded => {
                CliError::Weights { path: path.into(), source: Box::new(source) }
            }
            source => CliError::Model(source),
        }
    }

    fn code(&self) -> u8 {
        match self {
            CliError::Usage(_)
            | CliError::Isa(_)
            | CliError::Model(ModelError::Unknown { .. } | ModelError::NoSuchLayer { .. }) => USAGE,
            _ => FAILED,
        }
    }
}

/// Writes one line to standard error. That nobody can read it is no reason to stop.
pub(crate) fn report(error: &CliError) {
    let message = error.to_string();
    let _ = writeln!(io::stderr(), "mixfold: {}", text::printable(&message));
}

/// Shows help if that was asked for, else what is wrong with the arguments.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let printed = error.print().map_err(CliError::Output);
            printed.map_or_else(|error| error.conclude(), |()| ExitCode::SUCCESS)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(USAGE)
        }
        _ => CliError::Usage(sentence(&error.render().to_string())).conclude(),
    }
}

/// The paragraphs of clap's message in one line, without those that repeat the usage.
fn sentence(message: &str) -> String {
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let paragraphs = message
        .split("\n\n")
        .take_while(|paragraph| !paragraph.starts_with("Usage:"))
        .filter(|paragraph| !paragraph.starts_with("For more information"))
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    paragraphs.chain(["see --help".into()]).collect::<Vec<_>>().join("; ")
}

/// A model's error, of which a list of hundreds of tensors is cut short.
fn model(error: &ModelError) -> String {
    match error {
        ModelError::Mismatch { path, model, mismatch } => format!(
            "{} does not fit {model}: {}; `mixfold inspect` shows what it has",
            path.display(),
            differences(mismatch)
        ),
        _ => error.to_string(),
    }
}

fn differences(mismatch: &Mismatch) -> String {
    const SHOWN: usize = 3;
    let Mismatch { missing, unexpected, misshapen, mistyped } = mismatch;
    let misshapen: Vec<_> = misshapen
        .iter()
        .map(|m| {
            let shapes = (text::shape(&m.found), text::shape(&m.expected));
            format!("{} is {} instead of {}", m.name, shapes.0, shapes.1)
        })
        .collect();
    let mistyped: Vec<_> =
        mistyped.iter().map(|(name, dtype)| format!("{name} is {dtype}")).collect();
    let kinds = [
        ("missing", missing),
        ("unexpected", unexpected),
        ("of another shape", &misshapen),
        ("of no floating point type", &mistyped),
    ];
    let kinds = kinds.iter().filter(|(_, tensors)| !tensors.is_empty()).map(|(kind, tensors)| {
        let shown = tensors[..tensors.len().min(SHOWN)].join(", ");
        let more = if tensors.len() > SHOWN { ", ..." } else { "" };
        format!("{} {kind} ({shown}{more})", text::count(tensors.len(), "tensor"))
    });
    kinds.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_messages_become_one_line() {
        let message = "error: unexpected argument '--tops' found\n\n  tip: a similar argument \
                       exists: '--top'\n\nUsage: mixfold classify <IMAGE>...\n\nFor more \
                       information, try '--help'.\n";
        assert_eq!(
            sentence(message),
            "unexpected argument '--tops' found; tip: a similar argument exists: '--top'; see --help"
        );
        let message = "error: the following required arguments were not provided:\n  <IMAGE>...\n\n\
                       Usage: x\n";
        let expected = "the following required arguments were not provided: <IMAGE>...; see --help";
        assert_eq!(sentence(message), expected);
    }

    #[test]
    fn long_lists_are_cut_short() {
        let names = |n: usize| (0..n).map(|i| format!("t{i}")).collect();
        let mismatch =
            Mismatch { missing: names(100), unexpected: names(1), ..Mismatch::default() };
        assert_eq!(
            differences(&mismatch),
            "100 tensors missing (t0, t1, t2, ...), 1 tensor unexpected (t0)"
        );
    }
}
