//! What folding does to the RepMLPs of a model.

use std::path::Path;

use mixfold_gemm::Context;

use super::convert::{train_form, two_forms};
use crate::config::Config;
use crate::random::SplitMix64;
use crate::weights::Spec;
use crate::{Checkpoint, ModelError, registry};

/// What folding does to one RepMLP: of a RepMLPNet, its fully connected layer along the places of the
/// map with the convolutions beside it; of a ResNet, with the partitions and the perceptron in front.
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

/// Compares the two forms of each RepMLP of a model whose weights in train form are in a file: what they
/// compute for the same random input, which depends on `seed`, and their sizes. A ResNet without RepMLPs
/// has none.
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
    report(model, &registry::find(model)?.config, &mut Checkpoint::open(file)?, seed, ctx)
}

/// [`fold_report`] of an open file and of a model of any sizes, under a name of your choice.
///
/// # Errors
/// As [`fold_report`].
pub fn config_report(
    model: &str,
    config: impl Into<Config>,
    file: &mut Checkpoint,
    seed: u64,
    ctx: &Context,
) -> Result<Vec<BlockReport>, ModelError> {
    report(model, &config.into(), file, seed, ctx)
}

fn report(
    model: &str,
    config: &Config,
    file: &mut Checkpoint,
    seed: u64,
    ctx: &Context,
) -> Result<Vec<BlockReport>, ModelError> {
    let folding = two_forms(model, config)?;
    let mut weights = train_form(file, model, config)?.weights;
    folding.reports(&mut weights, &mut SplitMix64::new(seed), ctx)
}

impl Size {
    /// That of these tensors.
    pub(crate) fn of(specs: &[Spec], macs: u64) -> Self {
        let elements = |of: &dyn Fn(&Spec) -> bool| -> u64 {
            let some = specs.iter().filter(|spec| !spec.optional && of(spec));
            some.map(|spec| spec.shape.iter().product::<usize>() as u64).sum()
        };
        Size {
            parameters: elements(&|spec| !spec.name.contains(".running_")),
            macs,
            bytes: size_of::<f32>() as u64 * elements(&|_| true),
        }
    }
}

impl BlockReport {
    /// Of the outputs of the two forms.
    pub(crate) fn of(name: String, [train, deploy]: [&[f32]; 2], sizes: [Size; 2]) -> Self {
        BlockReport {
            name,
            difference: largest(train.iter().zip(deploy).map(|(&a, &b)| distance(a, b))),
            largest: largest(train.iter().map(|&y| distance(y, 0.0))),
            train: sizes[0],
            deploy: sizes[1],
        }
    }
}

fn distance(a: f32, b: f32) -> f64 {
    (f64::from(a) - f64::from(b)).abs()
}

/// The largest of values that are not negative; NaN if there is one.
fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |most, x| if x > most || x.is_nan() { x } else { most })
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
