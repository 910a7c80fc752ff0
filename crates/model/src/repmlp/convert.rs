//! From train form to deploy form, in files.

use std::path::Path;

use super::RepMlpNetConfig;
use super::names::{self, unit};
use super::read::{Linear, Reader};
use crate::architecture::{Architecture, Kind, Stored};
use crate::checkpoint::{Dtype, Format, Tensor, write_safetensors};
use crate::config::{Config, Form};
use crate::weights::Weights;
use crate::{Checkpoint, CheckpointError, ModelError, registry};

/// What a fold has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Folded {
    /// Fully connected layers with convolutions folded in.
    pub blocks: usize,
    /// Bytes of all tensors before.
    pub bytes_before: u64,
    /// Bytes of all tensors after.
    pub bytes_after: u64,
}

/// Folds the weights of a RepMLPNet: reads those in train form at `input` and writes the deploy form,
/// with the official names, to `output` as safetensors.
///
/// Folded are the fully connected layers of the blocks, as by the official conversion: computed in
/// `f64` and rounded once to `f32`. All other tensors and the metadata are copied as they are. One
/// tensor at a time is in memory (of a `.pth`, a second time if its elements do not follow one another). The file is written beside `output` and renamed when it is whole.
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
    fold_config(model, two_forms(model)?, input, output)
}

/// [`fold_file`] of a RepMLPNet of other sizes than those of [`registry::models`], under a name of your
/// choice.
///
/// # Errors
/// As [`fold_file`].
pub fn fold_config(
    model: &str,
    config: &RepMlpNetConfig,
    input: impl AsRef<Path>,
    output: impl AsRef<Path>,
) -> Result<Folded, ModelError> {
    let mut file = Checkpoint::open(input)?;
    let metadata = file.metadata().clone();
    let bytes_before = file.entries().map(|(_, entry)| entry.bytes()).sum();
    let (path, format) = (file.path().to_owned(), file.format());
    let mut weights = train_form(&mut file, model, config)?;
    if format == Format::Npz {
        let tensor = "head.weight".to_owned();
        return Err(CheckpointError::Stored { path, tensor }.into());
    }
    let classes = weights.shape("head.bias")[0];
    let tensors: Vec<Tensor> = names::specs(config, classes, Form::Deploy)
        .into_iter()
        .filter_map(|spec| match weights.entry(&spec.name) {
            Some(entry) if !is_fc3(&spec.name) => {
                Some((spec.name, entry.dtype().clone(), entry.shape().to_vec()))
            }
            None if spec.optional => None,
            _ => Some((spec.name, Dtype::F32, spec.shape)),
        })
        .collect();
    let blocks = blocks(config);
    let mut last: Option<(&str, Linear)> = None;
    let fill = |name: &str, bytes: &mut Vec<u8>| {
        let of_block = |(block, _): &&(String, usize)| {
            name.strip_prefix(block.as_str()).is_some_and(|rest| rest.starts_with(".fc3."))
        };
        let Some((block, stage)) = blocks.iter().find(of_block) else {
            return weights.bytes(name, bytes);
        };
        // Weight and bias of a block follow each other.
        if last.as_ref().is_none_or(|(of, _)| of != block) {
            last = None;
            let mut read = Reader::new(&mut weights);
            last = Some((block, read.branches(block, config, *stage)?.fold()?));
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
    Ok(Folded { blocks: blocks.len(), bytes_before, bytes_after })
}

fn is_fc3(name: &str) -> bool {
    name.contains(".fc3.")
}

/// The configuration of a model that has two forms.
pub(super) fn two_forms(model: &str) -> Result<&'static RepMlpNetConfig, ModelError> {
    match &registry::find(model)?.config {
        Config::RepMlpNet(config) => Ok(config),
        _ => Err(ModelError::OneForm { model: model.to_owned() }),
    }
}

/// The weights in a file of the train form.
pub(super) fn train_form<'a>(
    file: &'a mut Checkpoint,
    model: &str,
    config: &RepMlpNetConfig,
) -> Result<Weights<'a>, ModelError> {
    let path = file.path().to_owned();
    match config.find(file, model)? {
        Stored { weights, kind: Kind { form: Form::Train, .. } } => Ok(weights),
        Stored { kind: Kind { form: Form::Deploy, .. }, .. } => {
            Err(ModelError::AlreadyFolded { path })
        }
    }
}

/// Each block with its stage.
pub(super) fn blocks(config: &RepMlpNetConfig) -> Vec<(String, usize)> {
    let stages = config.stages.iter().enumerate();
    let units = stages.flat_map(|(i, stage)| (0..stage.depth).map(move |j| (i, j)));
    units.map(|(i, j)| (format!("{}.repmlp_block", unit(i, j)), i)).collect()
}
