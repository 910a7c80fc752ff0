//! How a ResNet is folded: every convolution, and the layers of its RepMLPs.

use mixfold_gemm::{Activation, Context};

use super::config::ResNetConfig;
use super::names::block;
use crate::config::Form;
use crate::folding::{BlockReport, Folding, Size};
use crate::random::SplitMix64;
use crate::repmlp::block_ops::BlockOps;
use crate::repmlp::block_read::BlockWeights;
use crate::repmlp::read::{Linear, Reader};
use crate::weights::Weights;
use crate::{ModelError, RepMlpBlockConfig};

impl Folding for ResNetConfig {
    fn conv_bns(&self) -> usize {
        let stages = self.stages.iter().enumerate();
        let blocks = stages.flat_map(|(i, stage)| (0..stage.depth).map(move |j| (i, j)));
        // And the first one.
        1 + blocks.map(|(i, j)| self.block(i, j).convs().count()).sum::<usize>()
    }

    fn is_folded(&self, module: &str) -> bool {
        [".conv", ".fc1_fc2.fc1", ".fc3"].iter().any(|end| module.ends_with(end))
    }

    fn folded(&self, weights: &mut Weights<'_>, module: &str) -> Result<Linear, ModelError> {
        if let Some(module) = module.strip_suffix(".conv") {
            return Reader::new(weights).conv_bn(module);
        }
        let of_module = |(name, _): &(String, RepMlpBlockConfig)| {
            module.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('.'))
        };
        let (name, config) =
            repmlps(self).into_iter().find(of_module).expect("a module of a RepMLP");
        let mut repmlp = BlockWeights::new(weights, &name, &config);
        if module.ends_with(".fc3") {
            repmlp.folded(Form::Train)
        } else {
            repmlp.first(Form::Train)
        }
    }

    fn reports(
        &self,
        weights: &mut Weights<'_>,
        random: &mut SplitMix64,
        ctx: &Context,
    ) -> Result<Vec<BlockReport>, ModelError> {
        let report = |(name, config): (String, RepMlpBlockConfig)| {
            let [height, width] = config.map;
            let len = config.channels * height * width;
            let x: Vec<f32> = (0..len).map(|_| random.symmetric()).collect();
            let mut output = |form| {
                let mut repmlp = BlockWeights::new(weights, &name, &config);
                let forms = (Form::Train, form);
                let ops = BlockOps::read(&mut repmlp, forms, Activation::Identity, ctx.into())?;
                let mut y = vec![0.0; len];
                ops.apply(&x, &mut y, 1, &mut ops.workspace(1, ctx)?, ctx)?;
                Ok::<_, ModelError>(y)
            };
            let (train, deploy) = (output(Form::Train)?, output(Form::Deploy)?);
            let size = |form| Size::of(&config.specs("", form), config.macs(form));
            let sizes = [size(Form::Train), size(Form::Deploy)];
            Ok(BlockReport::of(name, [&train, &deploy], sizes))
        };
        repmlps(self).into_iter().map(report).collect()
    }
}

/// Name and sizes of each RepMLP.
pub(super) fn repmlps(config: &ResNetConfig) -> Vec<(String, RepMlpBlockConfig)> {
    let mut repmlps = Vec::new();
    for (i, stage) in config.stages.iter().enumerate() {
        for j in 0..stage.depth {
            if let Some((name, repmlp)) = config.block(i, j).repmlp {
                repmlps.push((format!("{}.{name}", block(i, j)), repmlp));
            }
        }
    }
    repmlps
}
