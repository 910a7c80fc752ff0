//! Every registered RepMLPNet in train form and in deploy form, on the same weights.

use mixfold_model::RepMlpNetConfig;

use crate::common::agreement::{agrees_with_the_reference, both_forms_agree};
use crate::common::two_forms::registered_as;

/// Folded is every unit, and no convolution by itself.
fn agree(name: &str) {
    let (_, config) = registered_as::<RepMlpNetConfig>(name);
    let units = config.stages.iter().map(|stage| stage.depth).sum();
    both_forms_agree::<RepMlpNetConfig>(name, (units, 0));
}

#[test]
fn repmlpnet_fashion() {
    agree("repmlpnet_fashion");
}

#[test]
fn repmlpnet_t224() {
    agree("repmlpnet_t224");
}

#[test]
fn repmlpnet_t256() {
    agree("repmlpnet_t256");
}

#[test]
fn repmlpnet_b224() {
    agree("repmlpnet_b224");
}

#[test]
#[ignore = "writes 0.8 GB to the folder for temporary files"]
fn repmlpnet_b256() {
    agree("repmlpnet_b256");
}

#[test]
#[ignore = "writes 0.7 GB to the folder for temporary files"]
fn repmlpnet_d256() {
    agree("repmlpnet_d256");
}

#[test]
#[ignore = "writes 1 GB to the folder for temporary files"]
fn repmlpnet_l256() {
    agree("repmlpnet_l256");
}

#[test]
#[ignore = "billions of multiply-adds in plain loops"]
fn repmlpnet_t224_against_the_reference() {
    agrees_with_the_reference::<RepMlpNetConfig>("repmlpnet_t224");
}
