//! Files whose tensors are not the network's, and damaged ones: one error, of one kind, with the
//! names and numbers.

use std::fs;
use std::path::Path;

use mixfold_fold::FoldError;
use mixfold_model::checkpoint::Dtype;
use mixfold_model::{
    CheckpointError, Form, Loader, Mismatch, Misshapen, Model, ModelError, Preprocess,
    RepMlpNetConfig,
};

use crate::common::files::{Tensor, fixture};
use crate::common::repmlpnet::small;
use crate::common::two_forms::{
    self, counted, file, mismatch, registered, shapes, sparse, tensors,
};

fn load(loader: &Loader, path: &Path) -> Result<Model, ModelError> {
    loader.load_config("small", small(), Preprocess::IMAGENET, path)
}

fn refuse(tensors: &[Tensor]) -> Mismatch {
    let (_directory, path) = file(tensors);
    mismatch(&small(), &path)
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn all_differences_are_in_one_error() {
    for stored in [Form::Train, Form::Deploy] {
        let mut tensors = tensors(&small(), 3, stored, 1);
        tensors.retain(|t| t.name != "head_norm.bias" && t.name != "embeds.0.conv.weight");
        tensors.push(Tensor::new("extra.weight", &[2], vec![0.0; 2]));
        tensors.push(Tensor::new("stages.1.2.prebn1.bias", &[9], vec![0.0; 9]));
        for tensor in &mut tensors {
            match &tensor.name[..] {
                // The same number of elements, more, and another rank.
                "stages.1.0.repmlp_block.gp.fc1.weight" => tensor.shape = vec![9, 3, 1, 1],
                "stages.0.0.prebn2.running_var" => {
                    *tensor = Tensor::new(&tensor.name, &[7], vec![1.0; 7]);
                }
                "stages.0.0.repmlp_block.fc3.weight" => tensor.shape = vec![120, 60],
                _ => {}
            }
        }
        let (_directory, path) = file(&tensors);
        let mut bytes = fs::read(&path).unwrap();
        let find = |bytes: &[u8], text: &str| {
            bytes.windows(text.len()).position(|part| part == text.as_bytes()).unwrap()
        };
        for name in ["head.bias", "stages.0.0.prebn2.weight"] {
            let entry = find(&bytes, &format!("\"{name}\":{{"));
            let dtype = entry + find(&bytes[entry..], "F32");
            bytes[dtype..][..3].copy_from_slice(b"I32");
        }
        fs::write(&path, bytes).unwrap();
        let misshapen = |name: &str, expected: &[usize], found: &[usize]| Misshapen {
            name: name.to_owned(),
            expected: expected.to_vec(),
            found: found.to_vec(),
        };
        let integer = |name: &str| (name.to_owned(), Dtype::Other("I32".to_owned()));
        let expected = Mismatch {
            missing: names(&["embeds.0.conv.weight", "head_norm.bias"]),
            unexpected: names(&["extra.weight", "stages.1.2.prebn1.bias"]),
            misshapen: vec![
                misshapen("stages.0.0.repmlp_block.fc3.weight", &[120, 60, 1, 1], &[120, 60]),
                misshapen("stages.0.0.prebn2.running_var", &[6], &[7]),
                misshapen("stages.1.0.repmlp_block.gp.fc1.weight", &[3, 9, 1, 1], &[9, 3, 1, 1]),
            ],
            mistyped: vec![integer("stages.0.0.prebn2.weight"), integer("head.bias")],
        };
        assert_eq!(mismatch(&small(), &path), expected, "{stored}");
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
            // A head without bias tells no number of classes: its weight may be misshapen then.
            assert_eq!(mismatch.misshapen.is_empty(), left_out.name != "head.bias");
        }
    }
    let expected: Vec<_> =
        shapes(&small(), 1000, Form::Train).into_iter().map(|(name, _)| name).collect();
    let mut mismatch = refuse(&[]);
    mismatch.missing.sort();
    let mut sorted = expected;
    sorted.sort();
    assert_eq!(mismatch, Mismatch { missing: sorted, ..Mismatch::default() });
}

/// Counters may be there, of any type, and are no numbers that anything depends on.
#[test]
fn counters() {
    let images: Vec<f32> = mixfold_reference::fill::input(2 * 12 * 20);
    for stored in [Form::Train, Form::Deploy] {
        let plain = tensors(&small(), 3, stored, 1);
        let table = plain.iter().map(|t| (t.name.clone(), t.shape.clone())).collect();
        let counters = counted(&table).split_off(plain.len());
        let expected = {
            let (_directory, path) = file(&plain);
            crate::fixtures::run(&load(&Loader::new(), &path).unwrap(), &images, 1)
        };
        let with = |number: f32, shape: &[usize]| {
            let counter = |(name, _): &(String, _)| {
                Tensor::new(name, shape, vec![number; shape.iter().product()])
            };
            [&plain[..], &counters.iter().map(counter).collect::<Vec<_>>()].concat()
        };
        for number in [0.0, 4.5, f32::NAN] {
            let (_directory, path) = file(&with(number, &[]));
            let model = load(&Loader::new(), &path).unwrap();
            assert_eq!(crate::fixtures::run(&model, &images, 1), expected, "{stored}, {number}");
        }
        let misshapen = refuse(&with(1.0, &[2])).misshapen;
        assert_eq!(misshapen.len(), counters.len());
        assert!(misshapen.iter().all(|m| m.expected.is_empty() && m.found == [2]));
    }
}

/// What the other form has, beside or in place of what it should be.
#[test]
fn both_forms_in_one_file() {
    let [train, deploy] = [Form::Train, Form::Deploy].map(|form| tensors(&small(), 3, form, 1));
    let of = |all: &[Tensor], part: &str| -> Vec<Tensor> {
        all.iter().filter(|tensor| tensor.name.contains(part)).cloned().collect()
    };
    let sorted = |tensors: &[Tensor]| {
        let mut names: Vec<_> = tensors.iter().map(|tensor| tensor.name.clone()).collect();
        names.sort();
        names
    };
    let biases = of(&deploy, ".fc3.bias");
    let branches = [of(&train, ".fc3_bn."), of(&train, ".repconv")].concat();
    assert_eq!((biases.len(), branches.len()), (3, 3 * 14));

    // All of both.
    let found = refuse(&[&train[..], &biases].concat());
    assert_eq!(found, Mismatch { unexpected: sorted(&biases), ..Mismatch::default() });
    // One tensor too many.
    let found = refuse(&[&train[..], &biases[1..2]].concat());
    assert_eq!(found.unexpected, ["stages.1.0.repmlp_block.fc3.bias"]);
    let norm = of(&train, "stages.0.0.repmlp_block.fc3_bn.weight");
    let found = refuse(&[&deploy[..], &norm].concat());
    assert_eq!(found.unexpected, ["stages.0.0.repmlp_block.fc3_bn.weight"]);
    let found = refuse(&[&deploy[..], &of(&train, ".repconv3.")].concat());
    assert_eq!(found.unexpected, sorted(&of(&train, ".repconv3.")));
    // One unit folded, the others not.
    let mut some = train.clone();
    some.retain(|tensor| {
        !branches.iter().any(|branch| branch.name == tensor.name) || {
            !tensor.name.starts_with("stages.1.1.")
        }
    });
    some.extend(of(&biases, "stages.1.1."));
    let found = refuse(&some);
    let mut missing = found.missing;
    missing.sort();
    assert_eq!(missing, sorted(&of(&branches, "stages.1.1.")));
    assert_eq!(found.unexpected, ["stages.1.1.repmlp_block.fc3.bias"]);
}

#[test]
fn deploy_weights_cannot_be_run_as_they_were_trained() {
    let (_directory, path) = file(&tensors(&small(), 3, Form::Deploy, 1));
    let error = load(&Loader::new().form(Form::Train), &path).unwrap_err();
    assert!(matches!(error, ModelError::Folded), "{error}");
    assert!(error.to_string().contains("deploy form"), "{error}");
    for loader in [Loader::new(), Loader::new().form(Form::Deploy)] {
        assert_eq!(load(&loader, &path).unwrap().form(), Some(Form::Deploy));
    }
    let (_directory, path) = file(&tensors(&small(), 3, Form::Train, 1));
    assert_eq!(load(&Loader::new(), &path).unwrap().form(), Some(Form::Deploy));
    let train = load(&Loader::new().form(Form::Train), &path).unwrap();
    assert_eq!(train.form(), Some(Form::Train));
}

/// The file of one registered model under the name of each other.
#[test]
fn another_variants_file() {
    for (model, config) in registered::<RepMlpNetConfig>() {
        for stored in [Form::Train, Form::Deploy] {
            let (_directory, path) = sparse(&shapes(config, 1000, stored));
            for (other, _) in
                registered::<RepMlpNetConfig>().filter(|(other, _)| other.name != model.name)
            {
                let error = Loader::new().load(other.name, &path).unwrap_err();
                let ModelError::Mismatch { mismatch, model: named, .. } = error else {
                    panic!("{} for {}: {error}", model.name, other.name);
                };
                assert_eq!(named, other.name);
                assert!(mismatch.mistyped.is_empty());
                if (model.name, other.name) == ("repmlpnet_t256", "repmlpnet_t224") {
                    // All that belongs to the places of a map, and nothing else.
                    let parts: &[_] =
                        if stored == Form::Train { &["weight"] } else { &["weight", "bias"] };
                    assert_eq!(mismatch.misshapen.len(), 12 * parts.len());
                    assert!(mismatch.misshapen.iter().all(|m| m.name.contains(".fc3.")));
                    assert_eq!((mismatch.missing.len(), mismatch.unexpected.len()), (0, 0));
                    let first = &mismatch.misshapen[0];
                    assert_eq!(first.name, "stages.0.0.repmlp_block.fc3.weight");
                    assert_eq!(first.expected, [3136, 3136, 1, 1]);
                    assert_eq!(first.found, [4096, 4096, 1, 1]);
                }
                if (model.name, other.name) == ("repmlpnet_l256", "repmlpnet_b256") {
                    assert!(mismatch.missing.is_empty());
                    let of_units = |name: &String| {
                        (12..18).any(|j| name.starts_with(&format!("stages.2.{j}.")))
                    };
                    assert!(mismatch.unexpected.iter().all(of_units));
                    let of_sets = |m: &Misshapen| m.name.starts_with("stages.3.");
                    assert!(mismatch.misshapen.iter().all(of_sets));
                }
            }
        }
    }
    let error = Loader::new().load("repmlpnet_t224", fixture("timm_mixer_small.safetensors"));
    assert!(matches!(error, Err(ModelError::Mismatch { .. })));
    let error = Loader::new().load("mixer_b16_224", fixture("repmlpnet_small_train.safetensors"));
    assert!(matches!(error, Err(ModelError::Mismatch { .. })));
}

#[test]
fn another_number_of_classes() {
    let directory = tempfile::tempdir().unwrap();
    let [path, beside] = ["weights", "config.json"].map(|name| directory.path().join(name));
    for (stored, classes) in
        [Form::Train, Form::Deploy].into_iter().flat_map(|form| [1, 7, 1001].map(|n| (form, n)))
    {
        two_forms::write(&path, &small(), classes, stored, 1);
        let model = load(&Loader::new(), &path).unwrap();
        assert_eq!(model.classes(), classes);
        assert_eq!(model.parameters(), small().parameters(classes, Form::Deploy));
        assert_eq!(model.macs(), small().macs(classes, Form::Deploy));

        let write =
            |n| fs::write(&beside, format!(r#"{{"architecture":"small","num_classes":{n}}}"#));
        write(classes).unwrap();
        assert_eq!(load(&Loader::new(), &path).unwrap().classes(), classes);
        write(classes + 1).unwrap();
        let error = load(&Loader::new(), &path).unwrap_err();
        let ModelError::Classes { path: of, expected, found } = &error else { panic!("{error}") };
        assert_eq!((of, *expected, *found), (&path, classes + 1, classes));
        fs::remove_file(&beside).unwrap();
    }
    let mut none = tensors(&small(), 0, Form::Deploy, 1);
    let (_directory, path) = file(&none);
    let error = load(&Loader::new(), &path).unwrap_err();
    assert!(matches!(&error, ModelError::Config(_)), "{error}");
    assert!(error.to_string().contains("no class"), "{error}");
    // A head whose parts do not agree.
    none.retain(|tensor| tensor.name != "head.bias");
    none.push(Tensor::new("head.bias", &[4], vec![0.0; 4]));
    let misshapen = refuse(&none).misshapen;
    assert_eq!((&misshapen[0].name[..], &misshapen[0].expected[..]), ("head.weight", &[4, 9][..]));
}

#[test]
fn damaged_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights");
    for name in ["repmlpnet_small_train.safetensors", "repmlpnet_small_deploy.safetensors"] {
        let bytes = fs::read(fixture(name)).unwrap();
        let longer = [&bytes[..], &[0]].concat();
        let lengths = [0, 1, 7, 8, 9, 100, bytes.len() / 2, bytes.len() - 1];
        for bytes in lengths.iter().map(|&length| &bytes[..length]).chain([&longer[..]]) {
            fs::write(&path, bytes).unwrap();
            let small = crate::fixtures::load(&Loader::new(), &path);
            for result in [Model::detect(&path), small] {
                let error = result.unwrap_err();
                assert!(matches!(error, ModelError::Checkpoint(_)), "{}: {error}", bytes.len());
                assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            }
        }
    }
    let error = Model::load("repmlpnet_t224", directory.path().join("absent")).unwrap_err();
    assert!(matches!(error, ModelError::Checkpoint(CheckpointError::Io { .. })), "{error}");
}

/// Every batch norm without a standard deviation is named, with its channel, in either form that is
/// run.
#[test]
fn norms_that_cannot_be_folded() {
    for stored in [Form::Train, Form::Deploy] {
        let all = tensors(&small(), 3, stored, 1);
        let norms: Vec<_> =
            all.iter().filter(|tensor| tensor.name.ends_with(".running_var")).collect();
        assert!(norms.len() > 10);
        for norm in norms {
            let module = norm.name.strip_suffix(".running_var").unwrap();
            for (wrong, channel) in [(-0.5, norm.values.len() - 1), (f32::NAN, 0), (-2e-5, 1)] {
                let mut tensors = all.clone();
                let tensor = tensors.iter_mut().find(|t| t.name == norm.name).unwrap();
                tensor.values[channel] = wrong;
                let (_directory, path) = file(&tensors);
                for form in [Form::Train, Form::Deploy] {
                    let result = load(&Loader::new().form(form), &path);
                    let error = result.expect_err(&norm.name);
                    if (stored, form) == (Form::Deploy, Form::Train) {
                        assert!(matches!(error, ModelError::Folded), "{error}");
                        continue;
                    }
                    let text = error.to_string();
                    let ModelError::Fold { module: of, error } = error else { panic!("{error}") };
                    assert_eq!(of, module, "{stored} as {form}");
                    let FoldError::Variance { channel: found, var, .. } = error else {
                        panic!("{error}");
                    };
                    assert_eq!(found, channel);
                    assert!(var.to_bits() == f64::from(wrong).to_bits() || var.is_nan(), "{var}");
                    assert!(text.contains(module) && text.contains(&channel.to_string()));
                }
            }
        }
    }
}
