//! Every registered RepMLPNet in train form and in deploy form, on the same weights.

use std::time::Instant;

use mixfold_gemm::Context;
use mixfold_model::folding::fold_file;
use mixfold_model::{Form, Loader, Model};

use crate::common::repmlpnet::{load, reference, write};
use crate::common::{distance, images, largest, logits};
use crate::net_detection::registered;

/// Both forms of the model on random weights, with batch norms far from the identity, which are in a file
/// of the train form.
///
/// * The two differ by at most 1e-5 of the largest logit: what the official conversion is held to. (A
///   bound of the rounding errors of so many layers is far larger.)
/// * Of a file that was folded before, the logits are the same to the bit.
fn both_forms_agree(name: &str) {
    let start = Instant::now();
    let (model, config) = registered().find(|(model, _)| model.name == name).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let [train, deploy] = ["train", "deploy"].map(|name| directory.path().join(name));
    write(&train, config, model.classes, Form::Train, 7);
    let written = start.elapsed();
    let loader = Loader::new().context(Context::new());
    let run = |model: &Model| logits(model, &images(model, 2), 2);

    let in_train_form = {
        let model = loader.clone().form(Form::Train).detect(&train).unwrap();
        assert_eq!((model.name(), model.form()), (name, Some(Form::Train)));
        run(&model)
    };
    let in_deploy_form = {
        let model = loader.load(name, &train).unwrap();
        assert_eq!(model.form(), Some(Form::Deploy));
        run(&model)
    };
    let size = largest(&in_train_form);
    let difference = distance(&in_train_form, &in_deploy_form);
    assert!(size.is_finite() && size > 0.1, "{size}");
    assert!(in_train_form[..model.classes] != in_train_form[model.classes..], "images differ");
    assert!(difference <= 1e-5 * size, "{name}: {difference:e} of {size}");
    assert!(difference > 0.0, "the same roundings in both forms");

    let folded = fold_file(name, &train, &deploy).unwrap();
    let stages = config.stages.iter();
    assert_eq!(folded.blocks, stages.map(|stage| stage.depth).sum::<usize>());
    std::fs::remove_file(&train).unwrap();
    let model = loader.detect(&deploy).unwrap();
    assert_eq!((model.name(), model.form()), (name, Some(Form::Deploy)));
    assert_eq!(run(&model), in_deploy_form, "{name}");
    println!(
        "{name}: forms differ by {:.1e} of the largest logit, {size:.2}; {:.1?}, {written:.1?} of it \
         to make the file",
        difference / size,
        start.elapsed()
    );
}

#[test]
fn repmlpnet_fashion() {
    both_forms_agree("repmlpnet_fashion");
}

#[test]
fn repmlpnet_t224() {
    both_forms_agree("repmlpnet_t224");
}

#[test]
fn repmlpnet_t256() {
    both_forms_agree("repmlpnet_t256");
}

#[test]
fn repmlpnet_b224() {
    both_forms_agree("repmlpnet_b224");
}

#[test]
#[ignore = "writes 0.8 GB to the folder for temporary files"]
fn repmlpnet_b256() {
    both_forms_agree("repmlpnet_b256");
}

#[test]
#[ignore = "writes 0.7 GB to the folder for temporary files"]
fn repmlpnet_d256() {
    both_forms_agree("repmlpnet_d256");
}

#[test]
#[ignore = "writes 1 GB to the folder for temporary files"]
fn repmlpnet_l256() {
    both_forms_agree("repmlpnet_l256");
}

/// The reference computes a whole model too, if it is given a minute or two.
#[test]
#[ignore = "billions of multiply-adds in plain loops"]
fn repmlpnet_t224_against_the_reference() {
    let (model, config) = registered().find(|(model, _)| model.name == "repmlpnet_t224").unwrap();
    let net = reference(config, model.classes, Form::Train, 7);
    let mut exact = Vec::new();
    for form in [Form::Train, Form::Deploy] {
        let model = load(&Loader::new().form(form), config, model.classes, Form::Train, 7);
        let image = images(&model, 1);
        if exact.is_empty() {
            let image: Vec<f64> = image.iter().map(|&x| x.into()).collect();
            exact = net.forward(&image, 1);
        }
        let (error, size) = (distance(&logits(&model, &image, 1), &exact), largest(&exact));
        println!("{form}: {:.1e} of the largest logit, {size:.2}", error / size);
        assert!(error <= 1e-5 * size, "{form}: {error:e} of {size}");
    }
}
