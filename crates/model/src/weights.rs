//! The tensors of a model, found under their names in a file and checked before any is read.

use mixfold_gemm::MatRef;

use crate::checkpoint::Dtype;
use crate::error::{Mismatch, Misshapen};
use crate::{Checkpoint, ModelError};

/// A tensor that a model needs.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    /// The model's name for it.
    pub name: String,
    /// `[out, in]` of a matrix, `[out, channels, height, width]` of a convolution, `[len]` of a
    /// vector.
    pub shape: Vec<usize>,
    /// Its name in the file.
    pub file_name: String,
    /// How it is stored there.
    pub layout: Layout,
}

/// How a tensor is stored in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// As in [`Spec::shape`].
    Same,
    /// A matrix as `[in, out]`.
    Transposed,
    /// A convolution as `[height, width, channels, out]`.
    Hwio,
}

impl Spec {
    fn file_shape(&self) -> Vec<usize> {
        match (self.layout, &self.shape[..]) {
            (Layout::Transposed, &[out, axis]) => vec![axis, out],
            (Layout::Hwio, &[out, channels, height, width]) => vec![height, width, channels, out],
            _ => self.shape.clone(),
        }
    }
}

/// A file of which all tensors have been found, with the right shapes.
#[derive(Debug)]
pub(crate) struct Weights<'a> {
    file: &'a mut Checkpoint,
    specs: Vec<Spec>,
    stored: Vec<f32>,
}

impl<'a> Weights<'a> {
    /// Compares `specs` with the file. Lengths of 1 in a shape do not count if `squeeze`.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] with all differences.
    pub(crate) fn find(
        file: &'a mut Checkpoint,
        model: &str,
        specs: Vec<Spec>,
        squeeze: bool,
    ) -> Result<Self, ModelError> {
        let mut mismatch = Mismatch::default();
        let significant = |shape: &[usize]| -> Vec<usize> {
            shape.iter().copied().filter(|&len| !squeeze || len != 1).collect()
        };
        for spec in &specs {
            let (name, expected) = (&spec.file_name, spec.file_shape());
            let Some(entry) = file.entry(name) else {
                mismatch.missing.push(name.clone());
                continue;
            };
            if significant(entry.shape()) != significant(&expected) {
                let found = entry.shape().to_vec();
                mismatch.misshapen.push(Misshapen { name: name.clone(), expected, found });
            }
            if let Dtype::Other(_) = entry.dtype() {
                mismatch.mistyped.push((name.clone(), entry.dtype().clone()));
            }
        }
        let wanted: std::collections::HashSet<_> =
            specs.iter().map(|spec| spec.file_name.as_str()).collect();
        mismatch.unexpected =
            file.names().filter(|name| !wanted.contains(name)).map(str::to_owned).collect();
        if !mismatch.is_empty() {
            let (path, model) = (file.path().to_owned(), model.to_owned());
            return Err(ModelError::Mismatch { path, model, mismatch: Box::new(mismatch) });
        }
        Ok(Weights { file, specs, stored: Vec::new() })
    }

    fn spec(&self, name: &str) -> &Spec {
        let spec = self.specs.iter().find(|spec| spec.name == name);
        spec.unwrap_or_else(|| panic!("the model asks for `{name}`, which it did not list"))
    }

    /// Reads a vector into `values`.
    pub(crate) fn vector(&mut self, name: &str, values: &mut Vec<f32>) -> Result<(), ModelError> {
        let file_name = self.spec(name).file_name.clone();
        Ok(self.file.read_f32(&file_name, values)?)
    }

    /// Reads a matrix, or a convolution as `[out, channels · height · width]`, into `values`.
    pub(crate) fn matrix<'v>(
        &mut self,
        name: &str,
        values: &'v mut Vec<f32>,
    ) -> Result<MatRef<'v, f32>, ModelError> {
        let Spec { file_name, shape, layout, .. } = self.spec(name).clone();
        let (rows, cols) = (shape[0], shape[1..].iter().product());
        match (layout, &shape[..]) {
            (Layout::Same, _) => {
                self.file.read_f32(&file_name, values)?;
                Ok(MatRef::row_major(values, rows, cols)?)
            }
            (Layout::Hwio, &[out, channels, height, width]) => {
                self.file.read_f32(&file_name, &mut self.stored)?;
                values.clear();
                let place = |o, c, y, x| ((y * width + x) * channels + c) * out + o;
                for o in 0..out {
                    for (c, y, x) in positions(channels, height, width) {
                        values.push(self.stored[place(o, c, y, x)]);
                    }
                }
                Ok(MatRef::row_major(values, rows, cols)?)
            }
            _ => {
                self.file.read_f32(&file_name, values)?;
                Ok(MatRef::row_major(values, cols, rows)?.transpose())
            }
        }
    }
}

fn positions(
    channels: usize,
    height: usize,
    width: usize,
) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..channels)
        .flat_map(move |c| (0..height).flat_map(move |y| (0..width).map(move |x| (c, y, x))))
}
