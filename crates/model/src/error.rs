//! What can be wrong with a model.

use std::path::PathBuf;

use mixfold_fold::FoldError;
use mixfold_mix::MixError;
use mixfold_simd::IsaError;
use thiserror::Error;

use crate::checkpoint::Dtype;
use crate::labels::LabelsError;
use crate::preprocess::{ConfigError, PreprocessError};
use crate::{Checkpoint, CheckpointError, Gelu, registry};

/// Why a model could not be loaded or run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// There is no model of this name.
    #[error("unknown model `{name}`; known are: {}", registry::names().collect::<Vec<_>>().join(", "))]
    Unknown {
        /// The name asked for.
        name: String,
    },
    /// The weights of a model are not part of the program.
    #[error("{model}: its weights are not part of the program; name a file of them")]
    NotEmbedded {
        /// The model.
        model: String,
    },
    /// The tensors of a file fit no model.
    #[error("{path}: the tensors fit none of the models ({reason}); name the model")]
    Undetected {
        /// The file.
        path: PathBuf,
        /// What was looked for in vain.
        reason: String,
    },
    /// The tensors of a file are not those of the model.
    #[error("{path} does not fit {model}: {mismatch}")]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// The model.
        model: String,
        /// All differences.
        mismatch: Box<Mismatch>,
    },
    /// The metadata of a file says a GELU that is unknown.
    #[error(
        "{path}: its metadata says `{key}` = `{found}`; known are `erf` and `tanh`",
        key = Gelu::METADATA
    )]
    Gelu {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: String,
    },
    /// The weights have another number of classes than the configuration beside them.
    #[error("{path}: the head has {found} classes, config.json beside it says {expected}")]
    Classes {
        /// The file.
        path: PathBuf,
        /// Classes of the configuration.
        expected: usize,
        /// Rows of the head.
        found: usize,
    },
    /// An input is not of the one size that the model accepts.
    #[error(
        "input of shape {found:?}, {model} wants {expected:?}{}",
        other_size(expected, found, reason)
    )]
    Input {
        /// The model.
        model: String,
        /// `[batch, channels, height, width]`
        expected: [usize; 4],
        /// The same of what was given.
        found: Vec<usize>,
        /// Why no other size can be run.
        reason: &'static str,
    },
    /// The train form was asked for, of weights in deploy form.
    #[error(
        "the weights are in deploy form: what stood beside their layers (convolutions, batch norms) has \
         been folded in and cannot be told apart again; run them as they are, or give the weights of the \
         train form"
    )]
    Folded,
    /// The deploy form was to be made of weights that are in deploy form.
    #[error("{path}: the weights are in deploy form already, there is nothing to fold")]
    AlreadyFolded {
        /// The file.
        path: PathBuf,
    },
    /// A model without convolutions or batch norms to be folded.
    #[error("{model} has one form only: there is nothing to fold")]
    OneForm {
        /// The model.
        model: String,
    },
    /// There are fewer layers of a kind.
    #[error("{model} has {layers} such layers, numbered from 0: there is no layer {layer}")]
    NoSuchLayer {
        /// The model.
        model: String,
        /// The number asked for.
        layer: usize,
        /// How many there are.
        layers: usize,
    },
    /// A layer whose batch norms or branches cannot be folded.
    #[error("{module}: {error}")]
    Fold {
        /// What the names of its tensors begin with.
        module: String,
        /// What is wrong with it.
        error: FoldError,
    },
    /// A buffer has another length than the plan needs.
    #[error("{what} has {found} elements, expected {expected}")]
    Length {
        /// `images` or `logits`; of a block, `input` or `output`.
        what: &'static str,
        /// Elements needed.
        expected: usize,
        /// Elements given.
        found: usize,
    },
    /// A configuration whose sizes do not go together.
    #[error("invalid configuration: {0}")]
    Config(String),
    /// A weights file could not be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The configuration beside the weights could not be read.
    #[error(transparent)]
    TimmConfig(#[from] ConfigError),
    /// An image could not be read.
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    /// Names of classes could not be read.
    #[error(transparent)]
    Labels(#[from] LabelsError),
    /// An instruction set that the CPU does not have.
    #[error(transparent)]
    Isa(#[from] IsaError),
    /// An error of the kernels.
    #[error(transparent)]
    Mix(#[from] MixError),
}

impl From<mixfold_gemm::GemmError> for ModelError {
    fn from(error: mixfold_gemm::GemmError) -> Self {
        ModelError::Mix(error.into())
    }
}

/// All differences between the tensors of a file and those of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// Tensors that the file does not have.
    pub missing: Vec<String>,
    /// Tensors that the model does not have.
    pub unexpected: Vec<String>,
    /// Tensors of another shape.
    pub misshapen: Vec<Misshapen>,
    /// Tensors of a type that is no floating point type.
    pub mistyped: Vec<(String, Dtype)>,
}

/// A tensor of another shape than the model's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misshapen {
    /// Its name in the file.
    pub name: String,
    /// The shape it should have in the file.
    pub expected: Vec<usize>,
    /// The shape it has.
    pub found: Vec<usize>,
}

impl Mismatch {
    /// An error, if there is any difference between `file` and `model`.
    pub(crate) fn into_result(self, file: &Checkpoint, model: &str) -> Result<(), ModelError> {
        if self.is_empty() {
            return Ok(());
        }
        let (path, model) = (file.path().to_owned(), model.to_owned());
        Err(ModelError::Mismatch { path, model, mismatch: Box::new(self) })
    }

    fn is_empty(&self) -> bool {
        let Mismatch { missing, unexpected, misshapen, mistyped } = self;
        missing.is_empty() && unexpected.is_empty() && misshapen.is_empty() && mistyped.is_empty()
    }
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Mismatch { missing, unexpected, misshapen, mistyped } = self;
        let shapes: Vec<_> = misshapen
            .iter()
            .map(|m| format!("{} {:?} instead of {:?}", m.name, m.found, m.expected))
            .collect();
        let types: Vec<_> =
            mistyped.iter().map(|(name, dtype)| format!("{name} of type {dtype}")).collect();
        let parts = [
            ("missing", missing),
            ("unexpected", unexpected),
            ("shape", &shapes),
            ("type", &types),
        ];
        let mut separator = "";
        for (what, names) in parts.into_iter().filter(|(_, names)| !names.is_empty()) {
            write!(f, "{separator}{} {what}: {}", names.len(), names.join(", "))?;
            separator = "; ";
        }
        Ok(())
    }
}

/// Why an input of another size cannot be run; nothing, if it is not the size that is wrong.
fn other_size(expected: &[usize; 4], found: &[usize], reason: &str) -> String {
    match found {
        [_, channels, ..] if found.len() == 4 && channels == &expected[1] => {
            format!(": {reason}, so that no other image size can be run; resize the image")
        }
        _ => String::new(),
    }
}
