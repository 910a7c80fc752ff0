//! Lists of tensors.

use super::Names;
use crate::sizes::product_of;

/// The tensors of a network or of a part of it, under their usual names.
#[derive(Debug)]
pub(crate) struct Tensors {
    names: Names,
    list: Vec<(String, Vec<usize>)>,
}

impl Tensors {
    /// None yet, of a file with these names.
    pub(crate) fn new(names: Names) -> Self {
        Tensors { names, list: Vec::new() }
    }

    /// Whose names the file has: a few families store a matrix in pieces under some of them.
    pub(crate) fn names(&self) -> Names {
        self.names
    }

    /// A tensor.
    pub(crate) fn tensor(&mut self, name: impl Into<String>, shape: &[usize]) -> &mut Self {
        self.list.push((name.into(), shape.to_vec()));
        self
    }

    /// A `weight` of this shape, and a `bias` with an element for each of its rows: a matrix, a
    /// convolution or a norm.
    pub(crate) fn layer(&mut self, module: impl AsRef<str>, shape: &[usize]) -> &mut Self {
        let module = module.as_ref();
        self.tensor(format!("{module}.weight"), shape);
        self.tensor(format!("{module}.bias"), &shape[..1])
    }

    /// Two layers called `fc1` and `fc2` and `hidden` units between them.
    pub(crate) fn mlp(&mut self, module: &str, width: usize, hidden: usize) -> &mut Self {
        self.layer(format!("{module}.fc1"), &[hidden, width]);
        self.layer(format!("{module}.fc2"), &[width, hidden])
    }

    /// Number of elements, at most `u64::MAX`.
    pub(crate) fn elements(&self) -> u64 {
        self.list.iter().fold(0, |sum, (_, shape)| sum.saturating_add(product_of(shape)))
    }

    /// Names and shapes.
    pub(crate) fn into_inner(self) -> Vec<(String, Vec<usize>)> {
        self.list
    }
}
