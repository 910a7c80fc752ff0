//! Parameters and multiply-adds of a ResNet.

use super::config::ResNetConfig;
use super::names::{block_specs, end_specs};
use super::sizes::stem;
use crate::Phase;
use crate::config::Form;
use crate::repmlp::specs::trained;
use crate::sizes::{product, sum};

impl ResNetConfig {
    /// Number of parameters, with a head of `classes`, without the running statistics of batch norms;
    /// `u64::MAX` if there are more.
    pub fn parameters(&self, classes: usize, form: Form) -> u64 {
        let ends = trained(&end_specs(self, classes, form).concat());
        self.each_block(|stage, number| trained(&block_specs(self, stage, number, form)))
            .fold(ends, u64::saturating_add)
    }

    /// Multiply-adds of convolutions and matrices for one image, with a head of `classes`; `u64::MAX`
    /// if there are more.
    pub fn macs(&self, classes: usize, form: Form) -> u64 {
        sum(Phase::ALL.map(|phase| self.phase_macs(classes, form, phase)))
    }

    /// Those of a phase.
    pub(super) fn phase_macs(&self, classes: usize, form: Form, phase: Phase) -> u64 {
        let part = match phase {
            Phase::Stem => return stem(self).macs(self.image),
            Phase::Head => {
                let last = self.stages.last().map_or(0, |stage| stage.channels);
                return product([last, classes]);
            }
            Phase::Channels => 0,
            Phase::Tokens => 1,
        };
        let of_block = |stage: usize, number: usize| {
            self.block(stage, number).macs(self.block_input(stage, number), form)[part]
        };
        self.each_block(of_block).fold(0, u64::saturating_add)
    }

    /// Height and width of the input of a block.
    pub(super) fn block_input(&self, stage: usize, number: usize) -> [usize; 2] {
        match stage.checked_sub(1) {
            Some(before) if number == 0 => self.map(before),
            _ => self.map(stage),
        }
    }

    /// What is counted in the blocks: in the first one of each stage, and in all behind it, which are
    /// alike.
    fn each_block(&self, count: impl Fn(usize, usize) -> u64) -> impl Iterator<Item = u64> {
        self.stages.iter().enumerate().map(move |(i, stage)| match stage.depth {
            0 => 0,
            1 => count(i, 0),
            depth => count(i, 0).saturating_add(count(i, 1).saturating_mul(depth as u64 - 1)),
        })
    }
}
