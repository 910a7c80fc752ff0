//! Reading the layers of a RepMLP block.

use super::block_config::RepMlpBlockConfig;
use super::local::Branches;
use super::read::{Linear, Reader};
use crate::config::Form;
use crate::weights::{Spec, Weights};
use crate::{Checkpoint, ModelError};

/// The weights of a block, all there and of the right shapes.
pub(crate) struct BlockWeights<'a, 'b> {
    weights: &'a mut Weights<'b>,
    /// What stands in front of the official names, with its dot.
    prefix: String,
    config: &'a RepMlpBlockConfig,
}

/// The global perceptron, with the norm of the means folded in. Its inputs and outputs are in the
/// order of the official tensors, `[channels, down, across]`.
pub(super) struct Global {
    pub(super) fc1: Linear,
    pub(super) fc2: Linear,
}

/// Finds the weights in a file, and their form.
pub(super) fn find<'a>(
    file: &'a mut Checkpoint,
    prefix: &str,
    config: &RepMlpBlockConfig,
) -> Result<(Weights<'a>, Form), ModelError> {
    config.check()?;
    let model = match prefix {
        "" => "a RepMLP block".to_owned(),
        _ => format!("the RepMLP block `{prefix}`"),
    };
    let prefix = dotted(prefix);
    let form = match file.entry(&format!("{prefix}fc3.bias")) {
        Some(_) => Form::Deploy,
        None => Form::Train,
    };
    let specs = config.specs(&prefix, form);
    Ok((Weights::find_among(file, &model, &prefix, specs)?, form))
}

/// What stands in front of the names in a block called `prefix`.
fn dotted(prefix: &str) -> String {
    if prefix.is_empty() { String::new() } else { format!("{prefix}.") }
}

impl<'a, 'b> BlockWeights<'a, 'b> {
    /// Those among `weights` of the block called `prefix`, or whose names have nothing in front if that
    /// is empty.
    pub(crate) fn new(
        weights: &'a mut Weights<'b>,
        prefix: &str,
        config: &'a RepMlpBlockConfig,
    ) -> Self {
        BlockWeights { weights, prefix: dotted(prefix), config }
    }

    pub(super) fn config(&self) -> &'a RepMlpBlockConfig {
        self.config
    }

    /// The tensors of a form.
    pub(super) fn specs(&self, form: Form) -> Vec<Spec> {
        self.config.specs(&self.prefix, form)
    }

    /// The global perceptron of weights in the form `stored`, if there is one.
    pub(super) fn global(&mut self, stored: Form) -> Result<Option<Global>, ModelError> {
        if !self.config.is_cut() {
            return Ok(None);
        }
        let fc1 = self.first(stored)?;
        let fc2 = Reader::new(self.weights).linear(&format!("{}fc1_fc2.fc2", self.prefix), true)?;
        Ok(Some(Global { fc1, fc2 }))
    }

    /// The first layer of the global perceptron, with the norm of the means folded in.
    pub(crate) fn first(&mut self, stored: Form) -> Result<Linear, ModelError> {
        let (prefix, mut read) = (&self.prefix, Reader::new(self.weights));
        let module = format!("{prefix}fc1_fc2.fc1");
        let mut fc1 = read.linear(&module, true)?;
        if stored == Form::Train {
            let norm = read.affine(&format!("{prefix}avg.bn"))?;
            fc1.fold(&module, |fc1| fc1.preceded_by(&norm))?;
        }
        Ok(fc1)
    }

    /// The matrix and what stands beside it, of weights in train form.
    pub(super) fn branches(&mut self) -> Result<Branches, ModelError> {
        self.config.fc3(&self.prefix).branches(&mut Reader::new(self.weights))
    }

    /// The matrix and bias of the deploy form, of weights in the form `stored`.
    pub(crate) fn folded(&mut self, stored: Form) -> Result<Linear, ModelError> {
        self.config.fc3(&self.prefix).folded(&mut Reader::new(self.weights), stored)
    }
}

impl Global {
    /// With inputs and outputs in the order `[down, across, channels]`, of so many channels and
    /// partitions.
    pub(super) fn by_partition(self, channels: usize, parts: usize) -> Self {
        let Global { mut fc1, mut fc2 } = self;
        let official = |place: usize| place % channels * parts + place / channels;
        let inputs = channels * parts;
        let mut row = vec![0.0; inputs];
        for weights in fc1.weight.chunks_exact_mut(inputs) {
            row.copy_from_slice(weights);
            for (place, weight) in weights.iter_mut().enumerate() {
                *weight = row[official(place)];
            }
        }
        let hidden = fc1.bias.len();
        let rows = (0..inputs).flat_map(|place| &fc2.weight[official(place) * hidden..][..hidden]);
        let weight = rows.copied().collect();
        let bias = (0..inputs).map(|place| fc2.bias[official(place)]).collect();
        fc2 = Linear { weight, bias };
        Global { fc1, fc2 }
    }
}
