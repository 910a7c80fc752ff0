//! Image files, alone and in folders, read into batches.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use mixfold_gemm::{MatMut, par_rows};
use mixfold_model::preprocess::{Buffers, open_image};
use mixfold_model::{Model, ModelError, PreprocessError};
use walkdir::WalkDir;

use crate::error::CliError;

/// The files of all paths, in their order: a file itself, of a folder all JPEG and PNG files in it
/// and in its folders, sorted by name; and the folders of which something could not be read.
pub(crate) fn find(paths: &[PathBuf]) -> (Vec<PathBuf>, Vec<CliError>) {
    let (mut files, mut errors) = (Vec::new(), Vec::new());
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let before = files.len() + errors.len();
        for entry in WalkDir::new(path).follow_links(true).sort_by_file_name() {
            match entry {
                Ok(entry) if entry.file_type().is_file() && is_image(entry.path()) => {
                    files.push(entry.into_path());
                }
                Ok(_) => {}
                Err(error) => errors.push(error.into()),
            }
        }
        if files.len() + errors.len() == before {
            errors.push(CliError::NoImages(path.clone()));
        }
    }
    (files, errors)
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    ["jpg", "jpeg", "png"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// Reads images on all threads of a model, into memory that it uses again.
#[derive(Debug)]
pub(crate) struct Reader<'m> {
    model: &'m Model,
    buffers: Vec<Buffers>,
    values: Vec<f32>,
}

impl<'m> Reader<'m> {
    pub(crate) fn new(model: &'m Model) -> Self {
        let buffers = (0..model.context().workers()).map(|_| Buffers::default()).collect();
        Reader { model, buffers, values: Vec::new() }
    }

    /// The images `[n, channels, height, width]` of the files that could be read, in their order,
    /// and the errors of the others by their place among `files`.
    pub(crate) fn read(
        &mut self,
        files: &[PathBuf],
    ) -> Result<(&[f32], BTreeMap<usize, PreprocessError>), ModelError> {
        let preprocess = self.model.preprocess();
        let len = preprocess.image_len();
        self.values.clear();
        self.values.resize(files.len() * len, 0.0);
        let errors = Mutex::new(BTreeMap::new());
        let rows = MatMut::row_major(&mut self.values, files.len(), len)?;
        par_rows(self.model.context().pool(), rows, 1, &mut self.buffers, |buffers, at, image| {
            let output = image.into_slice().unwrap_or_default();
            let result = open_image(&files[at.row])
                .and_then(|image| preprocess.apply_into(&image, buffers, output));
            if let Err(error) = result {
                errors.lock().unwrap_or_else(PoisonError::into_inner).insert(at.row, error);
            }
        })?;
        let errors = errors.into_inner().unwrap_or_else(PoisonError::into_inner);
        let good = (0..files.len()).filter(|i| !errors.contains_key(i));
        let mut count = 0;
        for i in good {
            self.values.copy_within(i * len..(i + 1) * len, count * len);
            count += 1;
        }
        Ok((&self.values[..count * len], errors))
    }
}
