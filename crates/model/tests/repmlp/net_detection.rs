//! Which RepMLPNet a file is of, in which form, from its table of contents.

use mixfold_model::{
    Checkpoint, Form, Loader, ModelError, ModelInfo, RepMlpNetConfig, detect, form,
};

use crate::common::two_forms::{Shapes, counted, registered, shapes, sparse};

fn detected(shapes: &Shapes) -> Result<ModelInfo, ModelError> {
    let (_directory, path) = sparse(shapes);
    detect(&Checkpoint::open(path).unwrap())
}

/// Elements of what is trained.
fn trained(shapes: &Shapes) -> u64 {
    let trained = shapes.iter().filter(|(name, _)| !name.contains(".running_"));
    trained.map(|(_, shape)| shape.iter().product::<usize>() as u64).sum()
}

#[test]
fn every_registered_model_in_both_forms() {
    let mut models = 0;
    for (model, config) in registered::<RepMlpNetConfig>() {
        models += 1;
        for form in [Form::Train, Form::Deploy] {
            for classes in [1000, 10, 1, 21_843] {
                let shapes = shapes(config, classes, form);
                assert_eq!(config.parameters(classes, form), trained(&shapes), "{}", model.name);
                for shapes in [&shapes, &counted(&shapes)] {
                    let (_directory, path) = sparse(shapes);
                    let file = Checkpoint::open(path).unwrap();
                    let found = detect(&file).unwrap();
                    let name = found.name;
                    assert_eq!((name, found.classes), (model.name, classes), "{form}");
                    assert_eq!(mixfold_model::form(&file), Some(form), "{name}");
                    let parameters = match form {
                        Form::Train => found.train_parameters().unwrap(),
                        Form::Deploy => found.parameters(),
                    };
                    assert_eq!(parameters, trained(&shapes.clone()) - counters(shapes), "{name}");
                }
            }
        }
    }
    assert_eq!(models, 7);
}

/// Each is one element.
fn counters(shapes: &Shapes) -> u64 {
    shapes.iter().filter(|(name, _)| name.ends_with(".num_batches_tracked")).count() as u64
}

/// Some of the counters, as a file that was put together from parts may have them.
#[test]
fn counters_come_singly() {
    let config = registered::<RepMlpNetConfig>().next().unwrap().1;
    let mut shapes = counted(&shapes(config, 1000, Form::Train));
    let mut number = 0;
    shapes.retain(|(name, _)| {
        number += usize::from(name.ends_with(".num_batches_tracked"));
        !name.ends_with(".num_batches_tracked") || number % 3 == 0
    });
    assert_eq!(detected(&shapes).unwrap().name, "repmlpnet_t224");
}

/// The reason why a file is of no model.
fn undetected(shapes: &Shapes) -> String {
    let (_directory, file) = sparse(shapes);
    let error = Loader::new().detect(&file).unwrap_err();
    let text = error.to_string();
    let ModelError::Undetected { path, reason } = error else { panic!("{error}") };
    assert_eq!(path, file);
    assert!(text.contains(&reason) && text.contains(path.to_str().unwrap()), "{text}");
    reason
}

#[test]
fn foreign_files() {
    let t224 = |form| shapes(registered::<RepMlpNetConfig>().next().unwrap().1, 1000, form);
    let changed = |form, name: &str, shape: &[usize]| {
        let mut shapes = t224(form);
        shapes.iter_mut().find(|entry| entry.0 == name).unwrap().1 = shape.to_vec();
        shapes
    };
    let without = |form, part: &str| -> Shapes {
        t224(form).into_iter().filter(|entry| !entry.0.contains(part)).collect()
    };
    let stem = |shape: &[usize]| vec![("conv_embedding.conv.weight".to_owned(), shape.to_vec())];
    for (only_stem, reason) in [
        (stem(&[64, 3, 4, 4]), "no stage"),
        (stem(&[64, 48]), "the stem is no convolution"),
        (stem(&[]), "the stem is no convolution"),
        (stem(&[0]), "the stem is no convolution"),
    ] {
        let found = undetected(&only_stem);
        assert!(found.contains(reason), "`{found}` instead of `{reason}`");
    }
    for form in [Form::Train, Form::Deploy] {
        let fc3 = |shape: &[usize]| changed(form, "stages.0.0.repmlp_block.fc3.weight", shape);
        let unit = |part: &str| without(form, part);
        for (shapes, reason) in [
            (unit("stages."), "no stage"),
            (unit("stages.0.0.repmlp_block.fc3."), "no `stages.0.0.repmlp_block.fc3.weight`"),
            (unit("stages.2.0.repmlp_block.fc3."), "no `stages.2.0.repmlp_block.fc3.weight`"),
            (unit("stages.0.0.repmlp_block.gp"), "no `stages.0.0.repmlp_block.gp.fc1.bias`"),
            (unit("stages.0.0.ffn_block"), "no `stages.0.0.ffn_block.ffn_fc1.bn.bias`"),
            (fc3(&[3136]), "`stages.0.0.repmlp_block.fc3` is no matrix"),
            // Maps that are no square, among them one without places.
            (fc3(&[3135, 3135, 1, 1]), "the 3135 places of the first map are no square"),
            (fc3(&[2, 2, 1, 1]), "the 2 places of the first map are no square"),
            (fc3(&[0, 0, 1, 1]), "images of 3 x 0 x 0"),
            (fc3(&[0, 1 << 62, 1, 1]), "patches"),
            // Sizes of a RepMLPNet, and of none that is known.
            (fc3(&[2401, 2401, 1, 1]), "images of 3 x 196 x 196"),
            (fc3(&[2 * 3136, 3136, 1, 1]), "2 units of 64 channels in 2 share-sets"),
            (unit("stages.3."), "stages of 2 units of 64 channels in 1 share-sets, 2 units"),
            (unit("stages.2.5."), "5 units of 256 channels"),
            (unit("stages.2.3."), "3 units of 256 channels"),
            (
                changed(form, "conv_embedding.conv.weight", &[64, 3, 8, 8]),
                "images of 3 x 448 x 448 in patches of 8",
            ),
            (
                changed(form, "conv_embedding.conv.weight", &[64, 1, 4, 4]),
                "images of 1 x 224 x 224",
            ),
            (changed(form, "stages.1.0.prebn1.weight", &[96]), "2 units of 96 channels"),
            (changed(form, "stages.0.0.repmlp_block.gp.fc1.bias", &[32]), "reduced 2 times"),
            (changed(form, "stages.0.0.repmlp_block.gp.fc1.bias", &[0]), "reduced 0 times"),
            (changed(form, "stages.0.0.ffn_block.ffn_fc1.bn.bias", &[128]), "expanded 2 times"),
        ] {
            let found = undetected(&shapes);
            assert!(found.contains(reason), "{form}: `{found}` instead of `{reason}`");
        }
    }
}

/// The kernels in the first block of a file decide on what it is.
#[test]
fn kernels_that_no_model_has() {
    let (_, config) = registered::<RepMlpNetConfig>().next().unwrap();
    // The names of the last ones are in another order than their sizes.
    for kernels in [&[1][..], &[3], &[1, 3, 5], &[7], &[1, 3, 11]] {
        let config = RepMlpNetConfig { kernels: kernels.to_vec().into(), ..config.clone() };
        let found = undetected(&shapes(&config, 1000, Form::Train));
        assert!(found.contains("a RepMLPNet for images of 3 x 224 x 224"), "{found}");
        assert!(found.contains(&format!("{kernels:?}")), "{found}");
    }
    // None at all look like the deploy form, until all tensors are compared.
    let config = RepMlpNetConfig { kernels: vec![].into(), ..config.clone() };
    let error = detected(&shapes(&config, 1000, Form::Train)).unwrap_err();
    let ModelError::Mismatch { mismatch, .. } = error else { panic!("{error}") };
    assert_eq!(mismatch.missing.len(), 12 * 2 * 5);
    assert!(mismatch.missing.iter().all(|name| name.contains(".repconv")));
    assert!(mismatch.unexpected.is_empty() && mismatch.misshapen.is_empty());
}

/// A network whose first stage has no unit has a form too.
#[test]
fn the_form_is_that_of_any_block() {
    for stored in [Form::Train, Form::Deploy] {
        let mut config = crate::common::repmlpnet::small();
        config.stages.to_mut()[0].depth = 0;
        let (_directory, path) = sparse(&shapes(&config, 3, stored));
        assert_eq!(form(&Checkpoint::open(path).unwrap()), Some(stored));
    }
}

#[test]
fn a_file_of_another_family_has_no_form() {
    let stem = vec![("stem.proj.weight".to_owned(), vec![8, 3, 4, 4])];
    let (_directory, path) = sparse(&stem);
    assert_eq!(form(&Checkpoint::open(path).unwrap()), None);
}

/// Both of them, or one and something else, in one file.
#[test]
fn a_file_of_two_models_is_of_none() {
    let (_, config) = registered::<RepMlpNetConfig>().next().unwrap();
    let mut both = shapes(config, 1000, Form::Deploy);
    let mixer = [("stem.proj.weight", vec![8, 3, 4, 4]), ("norm.bias", vec![8])];
    both.extend(mixer.map(|(name, shape)| (name.to_owned(), shape)));
    let error = detected(&both).unwrap_err();
    let ModelError::Mismatch { mismatch, model, .. } = error else { panic!("{error}") };
    assert_eq!(model, "repmlpnet_t224");
    assert_eq!(mismatch.unexpected, ["norm.bias", "stem.proj.weight"]);
    assert!(mismatch.missing.is_empty() && mismatch.misshapen.is_empty());
}
