//! How a RepMLPNet is folded: the fully connected layers of its blocks.

use mixfold_gemm::{Activation, Context, Scratch};
use mixfold_mix::{Axes, AxisLinear, Side};

use super::RepMlpNetConfig;
use super::local::Branches;
use super::names::{self, unit};
use super::read::{Linear, Reader};
use crate::ModelError;
use crate::config::Form;
use crate::folding::{BlockReport, Folding, Size};
use crate::random::SplitMix64;
use crate::weights::{Spec, Weights};

impl Folding for RepMlpNetConfig {
    fn conv_bns(&self) -> usize {
        0
    }

    fn is_folded(&self, module: &str) -> bool {
        module.ends_with(".repmlp_block.fc3")
    }

    fn folded(&self, weights: &mut Weights<'_>, module: &str) -> Result<Linear, ModelError> {
        let of_module = |(block, _): &(String, usize)| {
            module.strip_prefix(block.as_str()).is_some_and(|rest| rest == ".fc3")
        };
        let (block, stage) = blocks(self).find(of_module).expect("a module that is folded");
        self.fc3(&block, stage).branches(&mut Reader::new(weights))?.fold()
    }

    fn reports(
        &self,
        weights: &mut Weights<'_>,
        random: &mut SplitMix64,
        ctx: &Context,
    ) -> Result<Vec<BlockReport>, ModelError> {
        let mut read = Reader::new(weights);
        let report = |(name, stage): (String, usize)| {
            let branches = self.fc3(&name, stage).branches(&mut read)?;
            let channels = self.stages[stage].channels;
            let input: Vec<f32> =
                (0..channels * self.places(stage)).map(|_| random.symmetric()).collect();
            let [train, deploy] = outputs(branches, &input, ctx)?;
            let sizes = [Form::Train, Form::Deploy].map(|form| size(self, stage, form));
            Ok(BlockReport::of(name, [&train, &deploy], sizes))
        };
        blocks(self).map(report).collect()
    }
}

/// Each block with its stage.
pub(super) fn blocks(config: &RepMlpNetConfig) -> impl Iterator<Item = (String, usize)> {
    let stages = config.stages.iter().enumerate();
    let units = stages.flat_map(|(i, stage)| (0..stage.depth).map(move |j| (i, j)));
    units.map(|(i, j)| (format!("{}.repmlp_block", unit(i, j)), i))
}

/// What the branches and what the folded layer make of an input, `[channels, height, width]`.
fn outputs(branches: Branches, x: &[f32], ctx: &Context) -> Result<[Vec<f32>; 2], ModelError> {
    let (groups, places) = (branches.groups, branches.map[0] * branches.map[1]);
    let rows = x.len() / places.max(1);
    let (mut scratch, mut train, mut deploy) = (Scratch::new(), vec![0.0; x.len()], x.to_vec());
    let packed = branches.pack(Activation::Identity, ctx.into())?;
    packed.apply(x, &mut train, rows / groups, ctx, &mut scratch)?;
    let fc3 = branches.fold()?;
    let fc3 = AxisLinear::new(fc3.matrix()?).groups(groups)?.bias(&fc3.bias)?;
    let axes = Axes { outer: rows, axis: places, inner: 1 };
    fc3.pack(ctx.isa(), Side::Right)?.apply_to(x, &mut deploy, axes, ctx, &mut scratch)?;
    Ok([train, deploy])
}

/// The size of FC3 and of what stands beside it.
fn size(config: &RepMlpNetConfig, stage: usize, form: Form) -> Size {
    let folded: Vec<Spec> = names::unit_specs(config, stage, 0, form)
        .into_iter()
        .filter(|spec| [".fc3", ".repconv"].iter().any(|part| spec.name.contains(part)))
        .collect();
    let macs = config.fc3_macs(config.stages[stage].channels, config.places(stage), form);
    Size::of(&folded, macs)
}
