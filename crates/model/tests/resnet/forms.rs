//! Every registered model in train form and in deploy form, on the same weights.

use std::time::Instant;

use mixfold_gemm::Context;
use mixfold_model::folding::fold_file;
use mixfold_model::{Form, Gelu, Loader, Model};

use crate::common::resnet::{load, reference, write};
use crate::common::{distance, images, largest, logits};
use crate::detection::registered;

/// Both forms of the model on random weights, with batch norms far from the identity, which are in a file
/// of the train form.
///
/// * The two differ by at most 1e-5 of the largest logit: what the official conversion is held to. (A
///   bound of the rounding errors of so many layers is far larger.) Without RepMLPs, by nothing.
/// * Of a file that was folded before, the logits are the same to the bit.
fn both_forms_agree(name: &str) {
    let start = Instant::now();
    let (model, config) = registered().find(|(model, _)| model.name == name).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let [train, deploy] = ["train", "deploy"].map(|name| directory.path().join(name));
    write(&train, config, model.classes, Form::Train, 7);
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
    assert_eq!(difference > 0.0, name != "resnet50", "the same roundings in both forms");

    let folded = fold_file(name, &train, &deploy).unwrap();
    let (blocks, convolutions) = match name {
        "resnet50" => (0, 53),
        // In place of three convolutions, two.
        _ if name.contains("light") => (8, 53 - 8),
        // Four.
        _ => (8, 53 + 8),
    };
    assert_eq!((folded.blocks, folded.convolutions), (blocks, convolutions), "{name}");
    std::fs::remove_file(&train).unwrap();
    let model = loader.detect(&deploy).unwrap();
    assert_eq!((model.name(), model.form()), (name, Some(Form::Deploy)));
    assert_eq!(run(&model), in_deploy_form, "{name}");
    println!(
        "{name}: forms differ by {:.1e} of the largest logit, {size:.2}; {:.1?}",
        difference / size,
        start.elapsed()
    );
}

#[test]
fn resnet50() {
    both_forms_agree("resnet50");
}

#[test]
fn light() {
    both_forms_agree("repmlp_res50_light_224");
}

#[test]
#[ignore = "writes 0.4 GB to the folder for temporary files"]
fn light_of_eight_groups() {
    both_forms_agree("repmlp_res50_light_224_g8");
}

#[test]
fn bottleneck() {
    both_forms_agree("repmlp_res50_bottleneck_224");
}

#[test]
#[ignore = "writes 0.5 GB to the folder for temporary files"]
fn bottleneck_of_320_pixels() {
    both_forms_agree("repmlp_res50_bottleneck_320_g8_16");
}

/// The reference computes a whole model too, if it is given a minute or two.
#[test]
#[ignore = "billions of multiply-adds in plain loops"]
fn whole_models_against_the_reference() {
    for name in ["resnet50", "repmlp_res50_light_224", "repmlp_res50_bottleneck_224"] {
        let (model, config) = registered().find(|(model, _)| model.name == name).unwrap();
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
            println!("{name}, {form}: {:.1e} of the largest logit, {size:.2}", error / size);
            assert!(error <= 1e-5 * size, "{name}, {form}: {error:e} of {size}");
        }
    }
}

/// Weights drawn at random give ordinary activations in every layer, and the same for the same seed.
#[test]
fn random_weights() {
    for name in ["resnet50", "repmlp_res50_bottleneck_224"] {
        for form in [Form::Train, Form::Deploy] {
            let loader = Loader::new().form(form);
            let model = loader.random(name, 1).unwrap();
            assert_eq!((model.name(), model.form(), model.gelu()), (name, Some(form), Gelu::Erf));
            let images = images(&model, 1);
            let mut found = vec![f32::NAN; model.classes()];
            let mut layers = Vec::new();
            let mut plan = model.plan(1).unwrap();
            plan.run_observed(&images, &mut found, |layer, _, _, values| {
                let power = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
                let power = power / values.len() as f64;
                assert!((1e-3..1e3).contains(&power), "{name}, {form}, {layer}: {power}");
                layers.push(layer);
            })
            .unwrap();
            assert_eq!(layers, model.layers());
            assert_eq!(logits(&loader.random(name, 1).unwrap(), &images, 1), found);
            assert_ne!(logits(&loader.random(name, 2).unwrap(), &images, 1), found);
        }
    }
}
