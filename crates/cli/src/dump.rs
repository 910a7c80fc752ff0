//! Intermediate tensors, written as a model runs.

use std::fs;
use std::path::{Path, PathBuf};

use glob::Pattern;
use mixfold_model::checkpoint::npy::Writer;
use mixfold_model::{CheckpointError, Layer, Model};

use crate::error::CliError;

/// Files for some of a model's layers: `DIR/LAYER.npy` each, `[images, ...]`.
#[derive(Debug)]
pub(crate) struct Dump {
    folder: PathBuf,
    images: usize,
    files: Vec<(Layer, Option<Writer>)>,
    error: Option<CheckpointError>,
}

impl Dump {
    /// The layers that a pattern matches. The folder is made if it is not there.
    pub(crate) fn new(
        model: &Model,
        patterns: &[String],
        folder: &Path,
        images: usize,
    ) -> Result<Self, CliError> {
        let layers = model.layers();
        let mut wanted = vec![false; layers.len()];
        for text in patterns {
            let pattern = Pattern::new(text)
                .map_err(|error| CliError::Usage(format!("--dump {text}: {error}")))?;
            let matches: Vec<_> =
                layers.iter().map(|layer| pattern.matches(&layer.to_string())).collect();
            if !matches.contains(&true) {
                let names: Vec<_> = layers.iter().map(Layer::to_string).collect();
                return Err(CliError::Usage(format!(
                    "--dump {text} matches no tensor of {}; it has {}",
                    model.name(),
                    names.join(", ")
                )));
            }
            wanted.iter_mut().zip(matches).for_each(|(wanted, matches)| *wanted |= matches);
        }
        fs::create_dir_all(folder)
            .map_err(|source| CliError::Io { path: folder.into(), source })?;
        let files = layers.into_iter().zip(wanted).filter(|&(_, wanted)| wanted);
        let files = files.map(|(layer, _)| (layer, None)).collect();
        Ok(Dump { folder: folder.into(), images, files, error: None })
    }

    fn path(&self, layer: Layer) -> PathBuf {
        self.folder.join(format!("{layer}.npy"))
    }

    /// Adds the activations of the images that follow. An error is kept for [`check`](Self::check).
    pub(crate) fn observe(&mut self, layer: Layer, shape: &[usize], values: &[f32]) {
        if self.error.is_some() {
            return;
        }
        let path = self.path(layer);
        let Some((_, file)) = self.files.iter_mut().find(|(wanted, _)| *wanted == layer) else {
            return;
        };
        let append = || {
            let writer = match file {
                Some(writer) => writer,
                None => {
                    let shape = [&[self.images], shape.get(1..).unwrap_or_default()].concat();
                    file.insert(Writer::create(path, &shape)?)
                }
            };
            writer.append(values)
        };
        self.error = append().err();
    }

    /// The first error of those calls.
    pub(crate) fn check(&mut self) -> Result<(), CheckpointError> {
        self.error.take().map_or(Ok(()), Err)
    }

    /// Gives the files their names; returns these and the shapes.
    pub(crate) fn finish(mut self) -> Result<Vec<(PathBuf, Vec<usize>)>, CheckpointError> {
        self.check()?;
        let mut finished = Vec::new();
        for (layer, writer) in std::mem::take(&mut self.files) {
            if let Some(writer) = writer {
                let shape = writer.shape().to_vec();
                writer.finish()?;
                finished.push((self.path(layer), shape));
            }
        }
        Ok(finished)
    }
}
