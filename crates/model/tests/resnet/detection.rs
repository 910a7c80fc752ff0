//! Which ResNet a file is of, in which form, from its table of contents.

use mixfold_model::{Checkpoint, Form, Loader, ModelError, ResNetConfig, detect, form};

use crate::common::two_forms::{Shapes, counted, registered, shapes, sparse};

#[test]
fn every_registered_model_in_both_forms() {
    for (model, config) in registered::<ResNetConfig>() {
        for stored in [Form::Train, Form::Deploy] {
            for classes in [1000, 1, 365] {
                let shapes = shapes(config, classes, stored);
                let trained = shapes.iter().filter(|(name, _)| !name.contains(".running_"));
                let trained = trained.map(|(_, shape)| shape.iter().product::<usize>() as u64);
                assert_eq!(config.parameters(classes, stored), trained.sum::<u64>());
                for shapes in [&shapes, &counted(&shapes)] {
                    let (_directory, path) = sparse(shapes);
                    let file = Checkpoint::open(path).unwrap();
                    let found = detect(&file).unwrap();
                    assert_eq!((found.name, found.classes), (model.name, classes), "{stored}");
                    assert_eq!(form(&file), Some(stored), "{}", model.name);
                }
            }
        }
    }
}

/// The reason why a file is of no model.
fn undetected(shapes: &Shapes) -> String {
    let (_directory, file) = sparse(shapes);
    let error = Loader::new().detect(&file).unwrap_err();
    let ModelError::Undetected { path, reason } = error else { panic!("{error}") };
    assert_eq!(path, file);
    reason
}

#[test]
fn foreign_files() {
    let light = |form| {
        let mut models = registered::<ResNetConfig>();
        let (_, config) = models.find(|(info, _)| info.name == "repmlp_res50_light_224").unwrap();
        shapes(config, 1000, form)
    };
    let stem = |shape: &[usize]| vec![("stage0.0.conv.weight".to_owned(), shape.to_vec())];
    for (only_stem, reason) in [
        (stem(&[64, 3, 7, 7]), "no stage"),
        (stem(&[64]), "the first convolution is none"),
        (stem(&[]), "the first convolution is none"),
    ] {
        assert_eq!(undetected(&only_stem), reason);
    }
    let torchvision = vec![("layer1.0.conv1.weight".to_owned(), vec![64, 64, 1, 1])];
    assert!(undetected(&torchvision).contains("named like those of torchvision's ResNets"));
    for form in [Form::Train, Form::Deploy] {
        let changed = |name: &str, shape: &[usize]| {
            let mut shapes = light(form);
            shapes.iter_mut().find(|entry| entry.0 == name).unwrap().1 = shape.to_vec();
            shapes
        };
        let without = |part: &str| -> Shapes {
            light(form).into_iter().filter(|entry| !entry.0.contains(part)).collect()
        };
        let fc3 = |shape: &[usize]| changed("stage2.1.light_repmlp.fc3.weight", shape);
        let fc1 = |shape: &[usize]| changed("stage2.1.light_repmlp.fc1_fc2.fc1.weight", shape);
        for (shapes, reason) in [
            (without("stage1.0.conv3"), "no `stage1.0.conv3.conv.weight`"),
            (without("stage2.1.light_repmlp.fc3"), "no `stage2.1.light_repmlp.fc3.weight`"),
            (fc3(&[3136]), "`stage2.1.light_repmlp.fc3.weight` is no matrix"),
            (fc3(&[64 * 50, 800, 1, 1]), "the 50 places of a partition are no square"),
            (fc3(&[0, 0, 1, 1]), "partitions of 0 x 0"),
            (fc1(&[64 * 15, 64 * 15]), "the 15 partitions of a map are no square"),
            (fc1(&[64 * 4, 64 * 4]), "images of 3 x 112 x 112"),
            (fc1(&[0, 64 << 50]), "images of 3 x 1879048192 x 1879048192"),
            (fc3(&[3136, 3136, 1, 1]), "partitions of 7 x 7, 1 groups"),
            (without("stage4."), "a ResNet for images of 3 x 224 x 224"),
            (without("stage3.5."), "5 blocks of 1024 channels"),
            (without("stage3.0.conv1"), "4 blocks of 512 channels"),
            (changed("stage0.0.conv.weight", &[32, 3, 7, 7]), "with 32 channels in front"),
            (changed("stage2.1.light_conv1.conv.weight", &[0, 512, 1, 1]), "reduced 0 times"),
            (changed("stage4.0.conv3.conv.weight", &[]), "`stage4.0.conv3` is no convolution"),
        ] {
            let found = undetected(&shapes);
            assert!(found.contains(reason), "{form}: `{found}` instead of `{reason}`");
        }
    }
    let mut train = light(Form::Train);
    train.retain(|(name, _)| !name.contains(".repconv3."));
    assert!(undetected(&train).contains("kernels [1, 5]"));
}
