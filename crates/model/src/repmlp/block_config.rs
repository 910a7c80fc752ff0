//! Sizes of a RepMLP block, and what follows from them.

use super::fc3_sizes::Fc3Sizes;
use super::specs::{Specs, trained};
use crate::ModelError;
use crate::config::Form;
use crate::sizes::{product, sum};
use crate::weights::Spec;

/// The sizes of a RepMLP block (Ding et al., *RepMLP: Re-parameterizing Convolutions into
/// Fully-connected Layers for Image Recognition*, 2021).
///
/// The block of the paper's ResNet-50 (light) in the stage with maps of 14 × 14:
/// ```
/// use mixfold_model::{Form, RepMlpBlockConfig};
///
/// let config = RepMlpBlockConfig {
///     channels: 128,
///     out_channels: 128,
///     map: [14, 14],
///     partition: [7, 7],
///     groups: 4,
///     kernels: vec![1, 3, 5],
///     reduction: 1,
/// };
/// assert_eq!(config.parameters(Form::Deploy), 2 * (512 * 512 + 512) + 128 * 49 * (32 * 49 + 1));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepMlpBlockConfig {
    /// Channels of the input (C): a multiple of the groups.
    pub channels: usize,
    /// Channels of the output (O): a multiple of the groups.
    pub out_channels: usize,
    /// Height and width of the map (H, W): multiples of those of a partition.
    pub map: [usize; 2],
    /// Height and width of a partition (h, w).
    pub partition: [usize; 2],
    /// Groups of channels of the matrix and of the convolutions (g).
    pub groups: usize,
    /// Different odd sizes of the convolutions beside the matrix in train form.
    pub kernels: Vec<usize>,
    /// Inputs of the global perceptron for each of its hidden units, of which there are as many as are
    /// whole.
    pub reduction: usize,
}

impl RepMlpBlockConfig {
    /// Partitions of a map, down and across, rounded down; 0 if a partition has no pixels.
    pub fn grid(&self) -> [usize; 2] {
        let (map, partition) = (self.map, self.partition);
        [0, 1].map(|i| map[i].checked_div(partition[i]).unwrap_or(0))
    }

    /// Partitions of a map.
    pub(super) fn parts(&self) -> usize {
        let [down, across] = self.grid();
        down.saturating_mul(across)
    }

    /// Pixels of a partition.
    pub(super) fn pixels(&self) -> usize {
        let [height, width] = self.partition;
        height.saturating_mul(width)
    }

    /// Whether there is a global perceptron.
    pub(super) fn is_cut(&self) -> bool {
        self.map != self.partition
    }

    /// Inputs, which are also the outputs, and hidden units of the global perceptron.
    pub(super) fn global(&self) -> [usize; 2] {
        let inputs = self.channels.saturating_mul(self.parts());
        [inputs, inputs.checked_div(self.reduction).unwrap_or(0)]
    }

    /// Number of parameters, without the running statistics of batch norms; `u64::MAX` if there are
    /// more.
    pub fn parameters(&self, form: Form) -> u64 {
        trained(&self.specs("", form))
    }

    /// Multiply-adds of convolutions and matrices for one image; `u64::MAX` if there are more.
    pub fn macs(&self, form: Form) -> u64 {
        let [inputs, hidden] = if self.is_cut() { self.global() } else { [0, 0] };
        let (outputs, shared) = (self.out_channels, self.channels.checked_div(self.groups));
        let (parts, pixels, shared) = (self.parts(), self.pixels(), shared.unwrap_or(0));
        let kernels = match form {
            Form::Deploy => &[],
            Form::Train => &self.kernels[..],
        };
        let matrices =
            sum([product([2, inputs, hidden]), product([parts, outputs, pixels, shared, pixels])]);
        kernels.iter().fold(matrices, |macs, &kernel| {
            macs.saturating_add(product([parts, outputs, pixels, shared, kernel, kernel]))
        })
    }

    /// All tensors under their official names with `prefix` in front.
    pub(crate) fn specs(&self, prefix: &str, form: Form) -> Vec<Spec> {
        let name = |name: &str| format!("{prefix}{name}");
        let mut specs = Specs::default();
        if self.is_cut() {
            let [inputs, hidden] = self.global();
            specs.layer(&name("fc1_fc2.fc1"), &[hidden, inputs]);
            specs.layer(&name("fc1_fc2.fc2"), &[inputs, hidden]);
            if form == Form::Train {
                specs.norm(&name("avg.bn"), self.channels);
            }
        }
        specs.extend(self.fc3(prefix).specs(form));
        specs.into_inner()
    }

    /// FC3, with `prefix` in front of its official name.
    pub(crate) fn fc3(&self, prefix: &str) -> Fc3Sizes {
        Fc3Sizes {
            prefix: prefix.to_owned(),
            out: self.out_channels,
            inputs: self.channels.checked_div(self.groups).unwrap_or(0),
            groups: self.groups,
            partition: self.partition,
            norm: self.out_channels.saturating_mul(self.pixels()),
            kernels: self.kernels.clone(),
        }
    }

    /// That a block can have these sizes.
    pub(crate) fn check(&self) -> Result<(), ModelError> {
        let &RepMlpBlockConfig { channels, out_channels, map, partition, groups, .. } = self;
        let whole = |len: usize, part: usize| part > 0 && len > 0 && len.is_multiple_of(part);
        let kernels = self.kernels.iter().enumerate();
        let twice = kernels.clone().find(|(i, kernel)| self.kernels[..*i].contains(kernel));
        let largest = channels.max(out_channels);
        let features = largest.checked_mul(map[0]).and_then(|n| n.checked_mul(map[1]));
        let wrong = if !whole(map[0], partition[0]) || !whole(map[1], partition[1]) {
            let ([height, width], [rows, cols]) = (map, partition);
            format!("partitions of {rows} x {cols} do not fill a map of {height} x {width}")
        } else if !whole(channels, groups) || !whole(out_channels, groups) {
            format!("{groups} groups do not divide {channels} and {out_channels} channels")
        } else if let Some(kernel) = self.kernels.iter().find(|kernel| kernel.is_multiple_of(2)) {
            format!("a kernel of {kernel} x {kernel} has no centre")
        } else if let Some((_, kernel)) = twice {
            format!("two kernels of {kernel} x {kernel}")
        } else if features.is_none() {
            let [height, width] = map;
            format!("maps of {height} x {width} with {largest} channels exceed the address space")
        } else if self.is_cut() && self.global()[1] == 0 {
            let ([inputs, _], reduction) = (self.global(), self.reduction);
            format!("a reduction by {reduction} leaves none of {inputs} hidden units")
        } else {
            return Ok(());
        };
        Err(ModelError::Config(wrong))
    }
}
