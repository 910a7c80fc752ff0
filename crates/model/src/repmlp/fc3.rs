//! FC3 of a block before and after its convolutions are folded in, to look at.

use super::fc3_sizes::Fc3Sizes;
use crate::config::Form;
use crate::weights::Weights;
use crate::{Checkpoint, ModelError};

/// FC3 of a RepMLP block, viewed as `[out, height, width, inputs, height, width]`: how much each place
/// and channel of a partition weighs for each place and channel of the result.
#[derive(Clone, Debug, PartialEq)]
pub struct Fc3 {
    /// The layer, under its official name.
    pub layer: String,
    /// Output channels; of a RepMLPNet, share-sets.
    pub out: usize,
    /// Input channels of a group; 1 in a RepMLPNet.
    pub inputs: usize,
    /// Height and width of a partition.
    pub partition: [usize; 2],
    /// As it was trained, without the batch norm and the convolutions beside it; nothing of weights in
    /// deploy form.
    pub trained: Option<Vec<f32>>,
    /// With all of them folded in.
    pub folded: Vec<f32>,
}

impl Fc3 {
    /// FC3 of a block of RepMLP (2021) under its official names with `prefix` and a dot in front, or with
    /// nothing if `prefix` is empty. Channels and kernels are told from the tensors; other tensors of the
    /// file do not matter.
    ///
    /// # Errors
    /// [`ModelError::Config`] if FC3 has no whole number of partitions of this size as rows or columns;
    /// [`ModelError::Mismatch`] if tensors are missing or of other shapes; if they cannot be read or
    /// folded.
    pub fn of_block(
        file: &mut Checkpoint,
        prefix: &str,
        partition: [usize; 2],
    ) -> Result<Fc3, ModelError> {
        let name = |name: &str| match prefix {
            "" => name.to_owned(),
            _ => format!("{prefix}.{name}"),
        };
        let layer = name("fc3");
        let weight = format!("{layer}.weight");
        let shape = file.entry(&weight).map(|entry| entry.shape().to_vec());
        let (rows, cols) = match shape.as_deref() {
            Some(&[rows, cols, 1, 1]) => (rows, cols),
            Some(shape) => {
                return Err(ModelError::Config(format!(
                    "{weight} of shape {shape:?} is no FC3 of [rows, columns, 1, 1]"
                )));
            }
            None => {
                let path = file.path().display();
                return Err(ModelError::Config(format!("{path}: no tensor `{weight}`")));
            }
        };
        let [height, width] = partition;
        let places = height.checked_mul(width).filter(|&places| places > 0);
        let Some(places) =
            places.filter(|&n| rows.is_multiple_of(n) && cols.is_multiple_of(n) && rows > 0)
        else {
            return Err(ModelError::Config(format!(
                "{weight} of {rows} x {cols} is no matrix of partitions of {height} x {width}"
            )));
        };
        let (out, inputs) = (rows / places, cols / places);
        let form = match file.entry(&name("fc3.bias")) {
            Some(_) => Form::Deploy,
            None => Form::Train,
        };
        let start = name("repconv");
        let size = |name: &str| {
            name.strip_prefix(&start)?.strip_suffix(".conv.weight")?.parse::<usize>().ok()
        };
        let mut kernels: Vec<_> = file.names().filter_map(size).collect();
        kernels.sort_unstable();
        // Which input channels a group has makes no difference to its rows: one group will do.
        let (groups, norm) = (1, rows);
        let sizes = Fc3Sizes { prefix: name(""), out, inputs, groups, partition, norm, kernels };
        let model = format!("the RepMLP block `{prefix}`");
        let mut weights = Weights::find_some(file, &model, sizes.specs(form))?;
        sizes.read(&mut weights, form)
    }
}
