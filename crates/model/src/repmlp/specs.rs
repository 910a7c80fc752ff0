//! Lists of tensors with the names that PyTorch gives them.

use crate::weights::{Layout, Spec};

/// Tensors, one after the other.
#[derive(Default)]
pub(crate) struct Specs(Vec<Spec>);

impl Specs {
    pub(crate) fn into_inner(self) -> Vec<Spec> {
        self.0
    }

    pub(crate) fn extend(&mut self, specs: Vec<Spec>) {
        self.0.extend(specs);
    }

    pub(crate) fn add(&mut self, name: String, shape: &[usize]) {
        let file_name = name.clone();
        let (shape, layout) = (shape.to_vec(), Layout::Same);
        self.0.push(Spec { name, shape, file_name, layout, stored: None, optional: false });
    }

    /// A weight of this shape with its bias.
    pub(crate) fn layer(&mut self, module: &str, shape: &[usize]) {
        self.add(format!("{module}.weight"), shape);
        self.add(format!("{module}.bias"), &shape[..1]);
    }

    /// A batch norm.
    pub(crate) fn norm(&mut self, module: &str, channels: usize) {
        for parameter in ["weight", "bias", "running_mean", "running_var"] {
            self.add(format!("{module}.{parameter}"), &[channels]);
        }
        // How often the statistics were updated. Of no use here, and not in every file.
        self.add(format!("{module}.num_batches_tracked"), &[]);
        self.0.last_mut().expect("just added").optional = true;
    }

    /// A convolution without bias and its batch norm.
    pub(crate) fn conv_bn(&mut self, module: &str, shape: [usize; 4]) {
        self.add(format!("{module}.conv.weight"), &shape);
        self.norm(&format!("{module}.bn"), shape[0]);
    }
}

/// Elements of the tensors that are trained.
pub(crate) fn trained(specs: &[Spec]) -> u64 {
    let trained = specs.iter().filter(|spec| !spec.optional && !spec.name.contains(".running_"));
    trained.fold(0, |count: u64, spec| {
        let elements = spec.shape.iter().fold(1, |n: u64, &len| n.saturating_mul(len as u64));
        count.saturating_add(elements)
    })
}
