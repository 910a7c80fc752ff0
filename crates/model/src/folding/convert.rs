//! From train form to deploy form, in files.

use std::path::Path;

use crate::architecture::{Kind, Stored};
use crate::checkpoint::{Dtype, Format, Tensor, write_safetensors};
use crate::config::{Config, Form};
use crate::folding::Folding;
use crate::repmlp::read::Linear;
use crate::{Checkpoint, CheckpointError, ModelError, registry};

/// What a fold has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Folded {
    /// Fully connected layers with convolutions folded in.
    pub blocks: usize,
    /// Convolutions with their batch norms folded in.
    pub convolutions: usize,
    /// Bytes of all tensors before.
    pub bytes_before: u64,
    /// Bytes of all tensors after.
    pub bytes_after: u64,
}

/// Folds the weights of a model with two forms: reads those in train form at `input` and writes the
/// deploy form, with the official names, to `output` as safetensors.
///
/// Folded is what the official conversion folds: of a RepMLPNet, the fully connected layers of its
/// blocks; of a ResNet, those of its RepMLPs and every convolution. It is computed in `f64` and rounded
/// once to `f32`. All other tensors and the metadata are copied as they are. One layer at a time is in
/// memory (of a `.pth`, a second time if its elements do not follow one another). The file is written beside `output` and renamed when it is whole.
///
/// # Errors
/// If the model is unknown or has one form only, if the file cannot be read, is an `.npz`, is in
/// deploy form already or is not of this model, or if the output cannot be written. Nothing is left of
/// the output then.
pub fn fold_file(
    model: &str,
    input: impl AsRef<Path>,
    output: impl AsRef<Path>,
) -> Result<Folded, ModelError> {
    fold(model, &registry::find(model)?.config, input.as_ref(), output.as_ref())
}

/// [`fold_file`] of a model of other sizes than those of [`registry::models`], under a name of your
/// choice.
///
/// # Errors
/// As [`fold_file`].
pub fn fold_config(
    model: &str,
    config: impl Into<Config>,
    input: impl AsRef<Path>,
    output: impl AsRef<Path>,
) -> Result<Folded, ModelError> {
    fold(model, &config.into(), input.as_ref(), output.as_ref())
}

fn fold(model: &str, config: &Config, input: &Path, output: &Path) -> Result<Folded, ModelError> {
    let folding = two_forms(model, config)?;
    let mut file = Checkpoint::open(input)?;
    let metadata = file.metadata().clone();
    let bytes_before = file.entries().map(|(_, entry)| entry.bytes()).sum();
    let (path, format) = (file.path().to_owned(), file.format());
    let Stored { mut weights, kind } = train_form(&mut file, model, config)?;
    let specs = config.architecture().specs(Kind { form: Form::Deploy, ..kind });
    if let (Format::Npz, Some(spec)) = (format, specs.first()) {
        return Err(CheckpointError::Stored { path, tensor: spec.name.clone() }.into());
    }
    let is_folded = |name: &str| folding.is_folded(module(name));
    let tensors: Vec<Tensor> = specs
        .into_iter()
        .filter_map(|spec| match weights.entry(&spec.name) {
            Some(entry) if !is_folded(&spec.name) => {
                Some((spec.name, entry.dtype().clone(), entry.shape().to_vec()))
            }
            None if spec.optional => None,
            _ => Some((spec.name, Dtype::F32, spec.shape)),
        })
        .collect();
    let mut last: Option<(String, Linear)> = None;
    let fill = |name: &str, bytes: &mut Vec<u8>| {
        if !is_folded(name) {
            return weights.bytes(name, bytes);
        }
        // Weight and bias of a module follow each other.
        let module = module(name);
        if last.as_ref().is_none_or(|(of, _)| of != module) {
            last = None;
            last = Some((module.to_owned(), folding.folded(&mut weights, module)?));
        }
        let values = match &last {
            Some((_, linear)) if name.ends_with(".bias") => &linear.bias,
            Some((_, linear)) => &linear.weight,
            None => return Ok(()),
        };
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        Ok(())
    };
    let bytes_after = write_safetensors(output, tensors, &metadata, fill)?;
    let (blocks, convolutions) = (config.architecture().fc3s().len(), folding.conv_bns());
    Ok(Folded { blocks, convolutions, bytes_before, bytes_after })
}

/// The module of a tensor.
fn module(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(module, _)| module)
}

/// How a model that has two forms is folded.
pub(super) fn two_forms<'c>(
    model: &str,
    config: &'c Config,
) -> Result<&'c dyn Folding, ModelError> {
    let one_form = || ModelError::OneForm { model: model.to_owned() };
    config.architecture().folding().ok_or_else(one_form)
}

/// The weights in a file of the train form.
pub(super) fn train_form<'a>(
    file: &'a mut Checkpoint,
    model: &str,
    config: &Config,
) -> Result<Stored<'a>, ModelError> {
    let path = file.path().to_owned();
    let stored = config.architecture().find(file, model)?;
    match stored.kind.form {
        Form::Train => Ok(stored),
        Form::Deploy => Err(ModelError::AlreadyFolded { path }),
    }
}
