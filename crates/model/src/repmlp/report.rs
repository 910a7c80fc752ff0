//! What folding does to the blocks of a model.

use std::path::Path;

use mixfold_gemm::{Context, Scratch};
use mixfold_mix::{Axes, AxisLinear, Side};

use super::convert::{blocks, train_form, two_forms};
use super::local::Branches;
use super::names;
use super::read::Reader;
use super::{RepMlpNetConfig, RepMlpNetStage};
use crate::config::Form;
use crate::random::SplitMix64;
use crate::weights::Spec;
use crate::{Checkpoint, ModelError};

/// What folding does to one block: its fully connected layer along the places of the map, with the
/// convolutions beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockReport {
    /// What the names of its tensors begin with.
    pub name: String,
    /// Largest difference between the outputs of the two forms, on random input from −1 to 1; NaN if
    /// one is.
    pub difference: f64,
    /// Largest output of the train form.
    pub largest: f64,
    /// The block in train form.
    pub train: Size,
    /// The block in deploy form.
    pub deploy: Size,
}

/// The size of a block in one form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Parameters, without running statistics.
    pub parameters: u64,
    /// Multiply-adds for one image.
    pub macs: u64,
    /// Bytes of the tensors, in `f32`, with running statistics.
    pub bytes: u64,
}

/// Compares the two forms of each block of a RepMLPNet whose weights in train form are in a file: what
/// they compute for the same random input, which depends on `seed`, and their sizes.
///
/// # Errors
/// If the model is unknown or has one form only, or if the file cannot be read, is in deploy form
/// already or is not of this model.
pub fn fold_report(
    model: &str,
    file: impl AsRef<Path>,
    seed: u64,
    ctx: &Context,
) -> Result<Vec<BlockReport>, ModelError> {
    config_report(model, two_forms(model)?, &mut Checkpoint::open(file)?, seed, ctx)
}

/// [`fold_report`] of an open file and of a RepMLPNet of any sizes, under a name of your choice.
///
/// # Errors
/// As [`fold_report`].
pub fn config_report(
    model: &str,
    config: &RepMlpNetConfig,
    file: &mut Checkpoint,
    seed: u64,
    ctx: &Context,
) -> Result<Vec<BlockReport>, ModelError> {
    let mut weights = train_form(file, model, config)?;
    let mut read = Reader::new(&mut weights);
    let mut random = SplitMix64::new(seed);
    let report = |(name, stage): (String, usize)| {
        let branches = read.branches(&name, config, stage)?;
        let channels = config.stages[stage].channels;
        let input: Vec<f32> =
            (0..channels * config.places(stage)).map(|_| random.symmetric()).collect();
        let [train, deploy] = outputs(branches, &input, ctx)?;
        Ok(BlockReport {
            difference: largest(train.iter().zip(&deploy).map(|(&a, &b)| distance(a, b))),
            largest: largest(train.iter().map(|&y| distance(y, 0.0))),
            train: Size::of(config, stage, Form::Train),
            deploy: Size::of(config, stage, Form::Deploy),
            name,
        })
    };
    blocks(config).into_iter().map(report).collect()
}

fn distance(a: f32, b: f32) -> f64 {
    (f64::from(a) - f64::from(b)).abs()
}

/// The largest of values that are not negative; NaN if there is one.
fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |most, x| if x > most || x.is_nan() { x } else { most })
}

/// What the branches and what the folded layer make of an input, `[channels, height, width]`.
fn outputs(branches: Branches, x: &[f32], ctx: &Context) -> Result<[Vec<f32>; 2], ModelError> {
    let (groups, places) = (branches.groups, branches.map[0] * branches.map[1]);
    let rows = x.len() / places.max(1);
    let (mut scratch, mut train, mut deploy) = (Scratch::new(), vec![0.0; x.len()], x.to_vec());
    let packed = branches.pack(ctx.isa())?;
    packed.apply(x, &mut train, rows / groups, ctx, &mut scratch)?;
    let fc3 = branches.fold()?;
    let fc3 = AxisLinear::new(fc3.matrix()?).groups(groups)?.bias(&fc3.bias)?;
    let axes = Axes { outer: rows, axis: places, inner: 1 };
    fc3.pack(ctx.isa(), Side::Right)?.apply_to(x, &mut deploy, axes, ctx, &mut scratch)?;
    Ok([train, deploy])
}

impl Size {
    fn of(config: &RepMlpNetConfig, stage: usize, form: Form) -> Self {
        let RepMlpNetStage { channels, .. } = config.stages[stage];
        let places = config.places(stage);
        let folded: Vec<Spec> = names::unit_specs(config, stage, 0, form)
            .into_iter()
            .filter(|spec| [".fc3", ".repconv"].iter().any(|part| spec.name.contains(part)))
            .collect();
        let elements = |of: &dyn Fn(&Spec) -> bool| -> u64 {
            let some = folded.iter().filter(|spec| !spec.optional && of(spec));
            some.map(|spec| spec.shape.iter().product::<usize>() as u64).sum()
        };
        Size {
            parameters: elements(&|spec| !spec.name.contains(".running_")),
            macs: config.fc3_macs(channels, places, form),
            bytes: size_of::<f32>() as u64 * elements(&|_| true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_distance() {
        assert_eq!([distance(1.0, 3.5), distance(3.5, 1.0), distance(-2.0, 0.0)], [2.5, 2.5, 2.0]);
        assert!(distance(1.0, f32::NAN).is_nan());
        assert_eq!([largest([].into_iter()), largest([1.0, 3.0, 2.0].into_iter())], [0.0, 3.0]);
        assert!(largest([1.0, f64::NAN, 3.0].into_iter()).is_nan());
    }
}
