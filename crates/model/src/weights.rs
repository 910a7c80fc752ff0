//! The tensors of a model, found under their names in a file and checked before any is read, or
//! drawn at random.

use std::collections::HashSet;

use mixfold_gemm::{MatRef, Pool, Sequential};

use crate::checkpoint::{Dtype, Entry};
use crate::error::{Mismatch, Misshapen};
use crate::{Checkpoint, ModelError, random};

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
    /// Its shape there, if it is another one than the layout says.
    pub stored: Option<Vec<usize>>,
    /// A file may lack it, and its type does not matter: it is never read.
    pub optional: bool,
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
        if let Some(stored) = &self.stored {
            return stored.clone();
        }
        match (self.layout, &self.shape[..]) {
            (Layout::Transposed, &[out, axis]) => vec![axis, out],
            (Layout::Hwio, &[out, channels, height, width]) => vec![height, width, channels, out],
            _ => self.shape.clone(),
        }
    }
}

/// All differences between `specs` and the tensors of a file. Lengths of 1 in a shape do not count
/// if `squeeze`.
pub(crate) fn compare(file: &Checkpoint, specs: &[Spec], squeeze: bool) -> Mismatch {
    let mut mismatch = Mismatch::default();
    let significant = |shape: &[usize]| -> Vec<usize> {
        shape.iter().copied().filter(|&len| !squeeze || len != 1).collect()
    };
    for spec in specs {
        let (name, expected) = (&spec.file_name, spec.file_shape());
        let Some(entry) = file.entry(name) else {
            if !spec.optional {
                mismatch.missing.push(name.clone());
            }
            continue;
        };
        if significant(entry.shape()) != significant(&expected) {
            let found = entry.shape().to_vec();
            mismatch.misshapen.push(Misshapen { name: name.clone(), expected, found });
        }
        if let (Dtype::Other(_), false) = (entry.dtype(), spec.optional) {
            mismatch.mistyped.push((name.clone(), entry.dtype().clone()));
        }
    }
    let wanted: HashSet<_> = specs.iter().map(|spec| spec.file_name.as_str()).collect();
    mismatch.unexpected =
        file.names().filter(|name| !wanted.contains(name)).map(str::to_owned).collect();
    mismatch
}

/// Refuses a model of more blocks than the file has tensors, of which the missing ones could not be
/// listed: there may be any number of blocks.
///
/// # Errors
/// [`ModelError::Config`]
pub(crate) fn check_blocks(file: &Checkpoint, blocks: usize) -> Result<(), ModelError> {
    /// So many blocks are no trouble.
    const LISTED: usize = 1000;
    let tensors = file.names().count();
    if blocks <= tensors.max(LISTED) {
        return Ok(());
    }
    let path = file.path().display();
    Err(ModelError::Config(format!("{blocks} blocks, {path} has {tensors} tensors")))
}

/// The tensors of a model, all there and of the right shapes.
#[derive(Debug)]
pub(crate) struct Weights<'a> {
    source: Source<'a>,
    specs: Vec<Spec>,
    stored: Vec<f32>,
    /// The threads that read.
    pool: &'a dyn Pool,
}

#[derive(Debug)]
enum Source<'a> {
    File(&'a mut Checkpoint),
    Random { seed: u64 },
}

impl<'a> Weights<'a> {
    fn new(source: Source<'a>, specs: Vec<Spec>) -> Self {
        Weights { source, specs, stored: Vec::new(), pool: &Sequential }
    }

    /// Read on these threads.
    pub(crate) fn on(self, pool: &'a dyn Pool) -> Self {
        Weights { pool, ..self }
    }

    /// Those of a file, compared as by [`compare`].
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] with all differences.
    pub(crate) fn find(
        file: &'a mut Checkpoint,
        model: &str,
        specs: Vec<Spec>,
        squeeze: bool,
    ) -> Result<Self, ModelError> {
        compare(file, &specs, squeeze).into_result(file, model)?;
        Ok(Weights::new(Source::File(file), specs))
    }

    /// Those of a part of a file: tensors whose names do not begin with `prefix` do not matter.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] with all differences.
    pub(crate) fn find_among(
        file: &'a mut Checkpoint,
        model: &str,
        prefix: &str,
        specs: Vec<Spec>,
    ) -> Result<Self, ModelError> {
        let mut mismatch = compare(file, &specs, false);
        mismatch.unexpected.retain(|name| name.starts_with(prefix));
        mismatch.into_result(file, model)?;
        Ok(Weights::new(Source::File(file), specs))
    }

    /// Those that are listed; no others matter.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] with all differences.
    pub(crate) fn find_some(
        file: &'a mut Checkpoint,
        model: &str,
        specs: Vec<Spec>,
    ) -> Result<Self, ModelError> {
        let mut mismatch = compare(file, &specs, false);
        mismatch.unexpected.clear();
        mismatch.into_result(file, model)?;
        Ok(Weights::new(Source::File(file), specs))
    }

    /// Values that depend on `seed` alone, see [`random`].
    pub(crate) fn random(specs: Vec<Spec>, seed: u64) -> Self {
        Weights::new(Source::Random { seed }, specs)
    }

    fn position(&self, name: &str) -> usize {
        let position = self.specs.iter().position(|spec| spec.name == name);
        position.unwrap_or_else(|| panic!("the model asks for `{name}`, which it did not list"))
    }

    /// The shape of a tensor, as in [`Spec::shape`].
    pub(crate) fn shape(&self, name: &str) -> &[usize] {
        &self.specs[self.position(name)].shape
    }

    /// What a file says of a tensor, if it has it under this name.
    pub(crate) fn entry(&self, file_name: &str) -> Option<&Entry> {
        match &self.source {
            Source::File(file) => file.entry(file_name),
            Source::Random { .. } => None,
        }
    }

    /// Reads a tensor of a file as it is stored.
    pub(crate) fn bytes(&mut self, file_name: &str, bytes: &mut Vec<u8>) -> Result<(), ModelError> {
        match &mut self.source {
            Source::File(file) => Ok(file.read_bytes(file_name, bytes)?),
            Source::Random { .. } => panic!("`{file_name}` is in no file"),
        }
    }

    /// Reads a vector into `values`.
    pub(crate) fn vector(&mut self, name: &str, values: &mut Vec<f32>) -> Result<(), ModelError> {
        let position = self.position(name);
        let count = self.source.read(&self.specs, position, self.pool, values)?.len();
        values.truncate(count);
        Ok(())
    }

    /// Reads a matrix, or a convolution as `[out, channels · height · width]`, into `values`.
    pub(crate) fn matrix<'v>(
        &mut self,
        name: &str,
        values: &'v mut Vec<f32>,
    ) -> Result<MatRef<'v, f32>, ModelError> {
        let position = self.position(name);
        let Weights { source, specs, stored, pool } = self;
        let Spec { shape, layout, .. } = &specs[position];
        let (rows, cols) = (shape[0], shape[1..].iter().product());
        match (layout, &shape[..]) {
            (Layout::Same, _) => {
                let values = source.read(specs, position, *pool, values)?;
                Ok(MatRef::row_major(values, rows, cols)?)
            }
            (Layout::Hwio, &[out, channels, height, width]) => {
                let stored = source.read(specs, position, *pool, stored)?;
                values.clear();
                let place = |o, c, y, x| ((y * width + x) * channels + c) * out + o;
                for o in 0..out {
                    for (c, y, x) in positions(channels, height, width) {
                        values.push(stored[place(o, c, y, x)]);
                    }
                }
                Ok(MatRef::row_major(values, rows, cols)?)
            }
            _ => {
                let values = source.read(specs, position, *pool, values)?;
                Ok(MatRef::row_major(values, cols, rows)?.transpose())
            }
        }
    }
}

impl Weights<'_> {
    /// Appends a tensor to `values` in the order of elements that its shape says, whatever its layout in
    /// the file; `buffer` is used on the way.
    pub(crate) fn append(
        &mut self,
        name: &str,
        buffer: &mut Vec<f32>,
        values: &mut Vec<f32>,
    ) -> Result<(), ModelError> {
        append(self.matrix(name, buffer)?, values);
        Ok(())
    }

    /// Reads a matrix, or a convolution as [`matrix`](Self::matrix) has it, row by row.
    pub(crate) fn rows(&mut self, name: &str) -> Result<Vec<f32>, ModelError> {
        let (mut buffer, mut rows) = (Vec::new(), Vec::new());
        self.append(name, &mut buffer, &mut rows)?;
        Ok(rows)
    }
}

impl Source<'_> {
    /// Reads the tensor at `position`, as it is stored, into the front of `values`.
    fn read<'v>(
        &mut self,
        specs: &[Spec],
        position: usize,
        pool: &dyn Pool,
        values: &'v mut Vec<f32>,
    ) -> Result<&'v [f32], ModelError> {
        let spec = &specs[position];
        match self {
            Source::File(file) => Ok(file.read_into(pool, &spec.file_name, values)?),
            &mut Source::Random { seed } => {
                random::tensor(spec, seed, position, values)?;
                Ok(values)
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

/// Appends the rows of a matrix, of which either rows or columns are adjacent.
fn append(matrix: MatRef<'_, f32>, rows: &mut Vec<f32>) {
    let start = rows.len();
    rows.extend((0..matrix.rows()).filter_map(|i| matrix.row(i)).flatten());
    if rows.len() > start {
        return;
    }
    rows.resize(start + matrix.rows() * matrix.cols(), 0.0);
    for (j, column) in (0..matrix.cols()).filter_map(|j| matrix.transpose().row(j)).enumerate() {
        for (row, &value) in rows[start..].chunks_exact_mut(matrix.cols()).zip(column) {
            row[j] = value;
        }
    }
}
