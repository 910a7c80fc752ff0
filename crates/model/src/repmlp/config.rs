//! Sizes of a RepMLPNet, and what follows from them.

use std::borrow::Cow;

use super::fc3_sizes::Fc3Sizes;
use super::names;
use super::specs::trained;
use crate::config::Form;
use crate::sizes::{product, sum};
use crate::{ModelError, Phase};

/// The sizes of a RepMLPNet (Ding et al., 2022, table 2 and the official code).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepMlpNetConfig {
    /// Height and width of the images: multiples of patch · 2^(stages − 1).
    pub image: [usize; 2],
    /// Channels of the images.
    pub image_channels: usize,
    /// Height and width of a patch of the first embedding. Each further stage halves the map.
    pub patch: usize,
    /// The stages, the one with the largest map first.
    pub stages: Cow<'static, [RepMlpNetStage]>,
    /// Sizes of the convolutions beside each fully connected layer in train form, odd and ascending.
    pub kernels: Cow<'static, [usize]>,
    /// Channels for each hidden unit of a gate, at most those of each stage.
    pub gate_reduction: usize,
    /// Hidden units of the perceptron along the channels for each channel.
    pub ffn_expansion: usize,
}

/// A stage of a RepMLPNet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepMlpNetStage {
    /// Channels.
    pub channels: usize,
    /// Number of units.
    pub depth: usize,
    /// Matrices of each fully connected layer (S): channel c has number c mod S.
    pub share_sets: usize,
}

impl RepMlpNetConfig {
    /// A variant of the paper for square colour images of `size`.
    pub const fn imagenet(size: usize, stages: &'static [RepMlpNetStage]) -> Self {
        RepMlpNetConfig {
            image: [size, size],
            image_channels: 3,
            patch: 4,
            stages: Cow::Borrowed(stages),
            kernels: Cow::Borrowed(&[1, 3]),
            gate_reduction: 4,
            ffn_expansion: 4,
        }
    }

    /// Height and width of a stage's map, rounded down; 0 if a patch has no pixels.
    pub fn map(&self, stage: usize) -> [usize; 2] {
        self.image.map(|side| {
            let side = side.checked_div(self.patch).unwrap_or(0);
            side.checked_shr(stage as u32).unwrap_or(0)
        })
    }

    /// Places of a stage's map.
    pub(crate) fn places(&self, stage: usize) -> usize {
        let [height, width] = self.map(stage);
        height.saturating_mul(width)
    }

    /// FC3 of a block of a stage.
    pub(crate) fn fc3(&self, block: &str, stage: usize) -> Fc3Sizes {
        let RepMlpNetStage { share_sets, .. } = self.stages[stage];
        Fc3Sizes {
            prefix: format!("{block}."),
            out: share_sets,
            inputs: 1,
            groups: share_sets,
            partition: self.map(stage),
            norm: share_sets,
            kernels: self.kernels.to_vec(),
        }
    }

    /// Hidden units of the gates of a stage.
    pub(crate) fn gate_hidden(&self, channels: usize) -> usize {
        channels.checked_div(self.gate_reduction).unwrap_or(0)
    }

    /// Hidden units of a perceptron along the channels.
    pub(crate) fn ffn_hidden(&self, channels: usize) -> usize {
        channels.saturating_mul(self.ffn_expansion)
    }

    /// Number of parameters, with a head of `classes`, without the running statistics of batch norms;
    /// `u64::MAX` if there are more.
    pub fn parameters(&self, classes: usize, form: Form) -> u64 {
        let without_units = self.stages.iter().map(|stage| RepMlpNetStage { depth: 0, ..*stage });
        let ends = RepMlpNetConfig { stages: without_units.collect(), ..self.clone() };
        let ends = trained(&names::specs(&ends, classes, form));
        self.stages.iter().enumerate().fold(ends, |sum, (i, stage)| {
            let unit = trained(&names::unit_specs(self, i, 0, form));
            sum.saturating_add(unit.saturating_mul(stage.depth as u64))
        })
    }

    /// Multiply-adds of convolutions and matrices for one image, with a head of `classes`; `u64::MAX`
    /// if there are more.
    pub fn macs(&self, classes: usize, form: Form) -> u64 {
        sum(Phase::ALL.map(|phase| self.phase_macs(classes, form, phase)))
    }

    /// Those of a phase.
    pub(crate) fn phase_macs(&self, classes: usize, form: Form, phase: Phase) -> u64 {
        let stages = self.stages.iter().enumerate();
        let last = self.stages.last().map_or(0, |stage| stage.channels);
        match phase {
            Phase::Stem => {
                let mut inputs = (self.image_channels, self.patch);
                let embeds = stages.map(|(i, stage)| {
                    let (channels, kernel) = inputs;
                    inputs = (stage.channels, 2);
                    product([self.places(i), stage.channels, channels, kernel, kernel])
                });
                embeds.fold(0, u64::saturating_add)
            }
            Phase::Tokens => {
                let units = stages.map(|(i, &stage)| {
                    let RepMlpNetStage { channels, depth, .. } = stage;
                    let places = self.places(i);
                    let gate = product([2, channels, self.gate_hidden(channels)]);
                    let unit = sum([gate, self.fc3_macs(channels, places, form)]);
                    unit.saturating_mul(depth as u64)
                });
                units.fold(0, u64::saturating_add)
            }
            Phase::Channels => {
                let units = stages.map(|(i, &stage)| {
                    let hidden = self.ffn_hidden(stage.channels);
                    product([2, stage.depth, stage.channels, hidden, self.places(i)])
                });
                units.fold(0, u64::saturating_add)
            }
            Phase::Head => product([last, classes]),
        }
    }

    /// Multiply-adds of a block's layers along the places of a map.
    pub(crate) fn fc3_macs(&self, channels: usize, places: usize, form: Form) -> u64 {
        let matrix = product([channels, places, places]);
        let kernels = match form {
            Form::Deploy => &[],
            Form::Train => &self.kernels[..],
        };
        kernels.iter().fold(matrix, |macs, &kernel| {
            macs.saturating_add(product([channels, places, kernel, kernel]))
        })
    }

    /// That a RepMLPNet can have these sizes.
    pub(crate) fn check(&self) -> Result<(), ModelError> {
        let &RepMlpNetConfig { image: [height, width], image_channels, patch, .. } = self;
        let halvings = self.stages.len().saturating_sub(1);
        let step = 1_usize.checked_shl(halvings as u32).and_then(|n| n.checked_mul(patch));
        let whole = |side: usize| step.is_some_and(|n| n > 0 && side > 0 && side.is_multiple_of(n));
        let wrong = if self.stages.is_empty() {
            "no stage".to_owned()
        } else if !whole(height) || !whole(width) {
            format!(
                "patches of {patch} x {patch}, halved {halvings} times, do not fill images of \
                 {height} x {width}"
            )
        } else if image_channels == 0 {
            "images without channels".to_owned()
        } else if let Some(kernel) = self.kernels.iter().find(|kernel| kernel.is_multiple_of(2)) {
            format!("a kernel of {kernel} x {kernel} has no centre")
        } else if !self.kernels.is_sorted_by(|a, b| a < b) {
            format!("kernels {:?} do not ascend", self.kernels)
        } else if self.ffn_expansion == 0 {
            "perceptrons without hidden units".to_owned()
        } else if let Some((i, stage)) = self.stages.iter().enumerate().find(|(_, stage)| {
            stage.channels == 0
                || stage.share_sets == 0
                || !stage.channels.is_multiple_of(stage.share_sets)
        }) {
            let RepMlpNetStage { channels, share_sets, .. } = stage;
            format!("stage {i}: {share_sets} share-sets do not divide {channels} channels")
        } else if let Some((i, stage)) =
            self.stages.iter().enumerate().find(|(_, stage)| self.gate_hidden(stage.channels) == 0)
        {
            let (channels, reduction) = (stage.channels, self.gate_reduction);
            format!(
                "stage {i}: a gate of {channels} channels reduced {reduction} times has no hidden unit"
            )
        } else {
            return Ok(());
        };
        Err(ModelError::Config(wrong))
    }
}
