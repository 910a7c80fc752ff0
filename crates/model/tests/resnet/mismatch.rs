//! Files whose tensors are not the network's, and damaged ones: one error, of one kind, with the
//! names and numbers.

use std::fs;
use std::path::Path;

use mixfold_fold::FoldError;
use mixfold_model::{
    Form, Loader, Mismatch, Misshapen, Model, ModelError, Preprocess, ResNetConfig,
};

use crate::common::files::Tensor;
use crate::common::resnet::small;
use crate::common::two_forms::{file, mismatch, registered, shapes, sparse, tensors};

fn load(loader: &Loader, path: &Path) -> Result<Model, ModelError> {
    loader.load_config("small", small(), Preprocess::IMAGENET, path)
}

fn refuse(tensors: &[Tensor]) -> Mismatch {
    let (_directory, path) = file(tensors);
    mismatch(&small(), &path)
}

#[test]
fn all_differences_are_in_one_error() {
    for stored in [Form::Train, Form::Deploy] {
        let mut tensors = tensors(&small(), 3, stored, 1);
        tensors.retain(|t| t.name != "stage1.1.light_conv1.conv.weight");
        tensors.push(Tensor::new("extra.weight", &[2], vec![0.0; 2]));
        let fc3 = "stage2.1.btnk_repmlp.fc3.weight";
        tensors.iter_mut().find(|tensor| tensor.name == fc3).unwrap().shape = vec![6, 18, 1, 1];
        let misshapen =
            Misshapen { name: fc3.into(), expected: vec![18, 6, 1, 1], found: vec![6, 18, 1, 1] };
        let expected = Mismatch {
            missing: vec!["stage1.1.light_conv1.conv.weight".to_owned()],
            unexpected: vec!["extra.weight".to_owned()],
            misshapen: vec![misshapen],
            ..Mismatch::default()
        };
        assert_eq!(refuse(&tensors), expected, "{stored}");
    }
}

#[test]
fn every_tensor_is_needed_and_none_is_ignored() {
    for stored in [Form::Train, Form::Deploy] {
        let all = tensors(&small(), 3, stored, 1);
        for left_out in &all {
            let mut tensors = all.clone();
            tensors.retain(|tensor| tensor.name != left_out.name);
            let mismatch = refuse(&tensors);
            assert_eq!(mismatch.missing, [left_out.name.as_str()], "{stored}");
            assert!(mismatch.unexpected.is_empty() && mismatch.mistyped.is_empty());
        }
    }
    let expected = shapes(&small(), 1000, Form::Train).len();
    assert_eq!(refuse(&[]).missing.len(), expected);
}

/// One tensor of the other form does not turn a file into one of that form.
#[test]
fn both_forms_in_one_file() {
    let [train, deploy] = [Form::Train, Form::Deploy].map(|form| tensors(&small(), 3, form, 1));
    let bias = deploy.iter().find(|t| t.name == "stage1.1.light_repmlp.fc3.bias").unwrap();
    let found = refuse(&[&train[..], std::slice::from_ref(bias)].concat());
    assert_eq!(found.unexpected, [bias.name.as_str()]);
    let norm = train.iter().find(|t| t.name == "stage2.0.conv2.bn.weight").unwrap();
    let found = refuse(&[&deploy[..], std::slice::from_ref(norm)].concat());
    assert_eq!(found.unexpected, [norm.name.as_str()]);
}

#[test]
fn deploy_weights_cannot_be_run_as_they_were_trained() {
    let (_directory, path) = file(&tensors(&small(), 3, Form::Deploy, 1));
    let error = load(&Loader::new().form(Form::Train), &path).unwrap_err();
    assert!(matches!(error, ModelError::Folded), "{error}");
    assert_eq!(load(&Loader::new(), &path).unwrap().form(), Some(Form::Deploy));
}

/// The file of one registered model under the name of each other.
#[test]
fn another_variants_file() {
    for (model, config) in registered::<ResNetConfig>() {
        for stored in [Form::Train, Form::Deploy] {
            let (_directory, path) = sparse(&shapes(config, 1000, stored));
            for (other, _) in
                registered::<ResNetConfig>().filter(|(other, _)| other.name != model.name)
            {
                let error = Loader::new().load(other.name, &path).unwrap_err();
                let ModelError::Mismatch { mismatch, model: named, .. } = error else {
                    panic!("{} for {}: {error}", model.name, other.name);
                };
                assert_eq!(named, other.name);
                if (model.name, other.name)
                    == ("repmlp_res50_light_224_g8", "repmlp_res50_light_224")
                {
                    assert!(mismatch.missing.is_empty() && mismatch.unexpected.is_empty());
                    let first = &mismatch.misshapen[0];
                    assert_eq!(first.name, "stage2.1.light_repmlp.fc3.weight");
                    assert_eq!(first.expected, [3136, 784, 1, 1]);
                    assert_eq!(first.found, [3136, 392, 1, 1]);
                }
            }
        }
    }
}

#[test]
fn damaged_files() {
    let (_directory, path) = file(&tensors(&small(), 3, Form::Train, 1));
    let bytes = fs::read(&path).unwrap();
    for length in [0, 7, 9, 100, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&path, &bytes[..length]).unwrap();
        for result in [Model::detect(&path), load(&Loader::new(), &path)] {
            let error = result.unwrap_err();
            assert!(matches!(error, ModelError::Checkpoint(_)), "{length}: {error}");
        }
    }
}

#[test]
fn heads_without_classes() {
    let (_directory, path) = file(&tensors(&small(), 0, Form::Deploy, 1));
    let error = load(&Loader::new(), &path).unwrap_err();
    assert!(matches!(&error, ModelError::Config(_)), "{error}");
}

/// Every batch norm without a standard deviation is named, with its channel, in either form that is
/// run.
#[test]
fn norms_that_cannot_be_folded() {
    let all = tensors(&small(), 3, Form::Train, 1);
    let norms: Vec<_> = all.iter().filter(|tensor| tensor.name.ends_with(".running_var")).collect();
    assert!(norms.len() > 20);
    for norm in norms {
        let module = norm.name.strip_suffix(".running_var").unwrap();
        for (wrong, channel) in [(-0.5, norm.values.len() - 1), (f32::NAN, 0)] {
            let mut tensors = all.clone();
            let tensor = tensors.iter_mut().find(|t| t.name == norm.name).unwrap();
            tensor.values[channel] = wrong;
            let (_directory, path) = file(&tensors);
            for form in [Form::Train, Form::Deploy] {
                let error = load(&Loader::new().form(form), &path).expect_err(&norm.name);
                let ModelError::Fold { module: of, error } = error else { panic!("{error}") };
                assert_eq!(of, module, "{form}");
                let FoldError::Variance { channel: found, .. } = error else { panic!("{error}") };
                assert_eq!(found, channel);
            }
        }
    }
}
