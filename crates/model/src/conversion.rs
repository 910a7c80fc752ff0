//! From any file that can be loaded to safetensors under the usual names: timm's, or those of the paper's
//! authors where timm does not have the model.
//!
//! ```no_run
//! use mixfold_model::{Model, conversion};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! conversion::convert_file("mixer_b16_224", "Mixer-B_16.npz", "mixer_b16.safetensors")?;
//! let model = Model::load("mixer_b16_224", "mixer_b16.safetensors")?; // the same logits, bit by bit
//! # Ok(())
//! # }
//! ```

use std::collections::HashSet;
use std::path::Path;

use crate::architecture::{Kind, Stored};
use crate::checkpoint::{Dtype, Entry, Format, Tensor, write_safetensors};
use crate::config::Config;
use crate::tokens::Names;
use crate::{Checkpoint, Gelu, ModelError, registry};

/// What a conversion has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Converted {
    /// Number of tensors.
    pub tensors: usize,
    /// The GELU that the model is run with.
    pub gelu: Gelu,
    /// Bytes of all tensors before, decompressed.
    pub bytes_before: u64,
    /// Bytes of all tensors after.
    pub bytes_after: u64,
}

/// Reads the weights of the model called `model` from `input`, whatever its format and names, and writes
/// them to `output` as [`convert`] does.
///
/// # Errors
/// As [`convert`], and if the name is unknown or the input cannot be opened.
pub fn convert_file(
    model: &str,
    input: impl AsRef<Path>,
    output: impl AsRef<Path>,
) -> Result<Converted, ModelError> {
    let config = &registry::find(model)?.config;
    convert(&mut Checkpoint::open(input)?, model, config, output, |_, _| {})
}

/// Writes the weights in `file` to `output`: safetensors in `f32` with the names, shapes and layouts that
/// timm has, or the paper's authors where timm does not have the model. A RepMLPNet or ResNet stays in its form.
///
/// Metadata is copied. The names of Flax tell that the GELU is the tanh approximation, the usual ones do
/// not: it is noted in the metadata ([`Gelu::METADATA`]), where a [`Loader`](crate::Loader) finds it, so
/// that the logits stay the same bits. Numbers of updates of a batch norm, which are never read, are
/// copied, except from an `.npz`.
///
/// One tensor at a time is in memory: in the layout of the file, in that of the output, and as bytes.
/// `progress` is told how many tensors of how many are done. The file is written beside
/// `output` and renamed when it is whole. The same weights give the same bytes: a file that has been
/// converted stays as it is.
///
/// # Errors
/// If the sizes do not go together, if the tensors are not exactly those of the model, if they cannot be
/// read, or if the output cannot be written. Nothing is left of the output then.
pub fn convert(
    file: &mut Checkpoint,
    model: &str,
    config: &Config,
    output: impl AsRef<Path>,
    mut progress: impl FnMut(usize, usize),
) -> Result<Converted, ModelError> {
    let (stated, mut metadata) = (Gelu::stated(file)?, file.metadata().clone());
    let bytes_before = file.entries().map(|(_, entry)| entry.bytes()).sum();
    let is_archive = file.format() == Format::Npz;
    let architecture = config.architecture();
    let Stored { mut weights, kind } = architecture.find(file, model)?;
    let gelu = stated.unwrap_or(Gelu::usual(kind.names));
    if gelu != Gelu::usual(Names::Usual) {
        metadata.insert(Gelu::METADATA.to_owned(), gelu.to_string());
    }

    let can_be_copied = |entry: &&Entry| !is_archive && entry.dtype().stored().is_some();
    let (mut tensors, mut copied): (Vec<Tensor>, _) = (Vec::new(), HashSet::new());
    for spec in architecture.specs(Kind { names: Names::Usual, ..kind }) {
        let dtype = if spec.optional {
            let Some(entry) = weights.entry(&spec.name).filter(can_be_copied) else { continue };
            copied.insert(spec.name.clone());
            entry.dtype().clone()
        } else {
            Dtype::F32
        };
        tensors.push((spec.name, dtype, spec.shape));
    }
    let (count, mut done) = (tensors.len(), 0);
    let (mut values, mut buffer) = (Vec::new(), Vec::new());
    let fill = |name: &str, bytes: &mut Vec<u8>| -> Result<(), ModelError> {
        if copied.contains(name) {
            weights.bytes(name, bytes)?;
        } else {
            values.clear();
            let names = match name.rsplit_once('.') {
                Some((module, parameter)) => architecture
                    .pieces(kind.names, module)
                    .into_iter()
                    .map(|piece| format!("{piece}.{parameter}"))
                    .collect(),
                None => vec![name.to_owned()],
            };
            for name in names {
                weights.append(&name, &mut buffer, &mut values)?;
            }
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        done += 1;
        progress(done, count);
        Ok(())
    };
    let bytes_after = write_safetensors(output, tensors, &metadata, fill)?;
    Ok(Converted { tensors: count, gelu, bytes_before, bytes_after })
}
