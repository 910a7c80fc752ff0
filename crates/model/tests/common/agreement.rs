//! Whole registered models: their two forms on the same weights, and the reference.

use std::time::Instant;

use mixfold_gemm::Context;
use mixfold_model::folding::fold_file;
use mixfold_model::{Form, Loader, Model};

use super::two_forms::{TwoForms, load, reference, registered_as, write};
use super::{distance, images, largest, logits};

/// Both forms of the model on random weights, with batch norms far from the identity, which are in a file
/// of the train form.
///
/// * The two differ by at most 1e-5 of the largest logit: what the official conversion is held to. (A
///   bound of the rounding errors of so many layers is far larger.) If no layers with branches are folded,
///   by nothing.
/// * Folded are so many `blocks` with branches, and so many `convolutions` apart from them.
/// * Of a file that was folded before, the logits are the same to the bit.
pub(crate) fn both_forms_agree<F: TwoForms>(name: &str, (blocks, convolutions): (usize, usize)) {
    let start = Instant::now();
    let (model, config) = registered_as::<F>(name);
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
    assert_eq!(difference > 0.0, blocks > 0, "the same roundings in both forms");

    let folded = fold_file(name, &train, &deploy).unwrap();
    assert_eq!((folded.blocks, folded.convolutions), (blocks, convolutions), "{name}");
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

/// Both forms of a whole model are within 1e-5 of the largest logit of the reference, which computes it
/// too, if it is given a minute or two.
pub(crate) fn agrees_with_the_reference<F: TwoForms>(name: &str) {
    let (model, config) = registered_as::<F>(name);
    let net = reference(config, model.classes, Form::Train, 7);
    let mut exact = Vec::new();
    for form in [Form::Train, Form::Deploy] {
        let model = load(&Loader::new().form(form), config, model.classes, Form::Train, 7);
        let image = images(&model, 1);
        if exact.is_empty() {
            let image: Vec<f64> = image.iter().map(|&x| x.into()).collect();
            exact = F::logits(&net, &image, 1);
        }
        let (error, size) = (distance(&logits(&model, &image, 1), &exact), largest(&exact));
        println!("{name}, {form}: {:.1e} of the largest logit, {size:.2}", error / size);
        assert!(error <= 1e-5 * size, "{name}, {form}: {error:e} of {size}");
    }
}
