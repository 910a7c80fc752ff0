//! FC3 before and after folding.

use mixfold_model::folding::fold_config;
use mixfold_model::{Checkpoint, Config, Fc3, Form, LayerWeights, ModelError};

use crate::common::files::Tensor;
use crate::common::two_forms;
use crate::common::{repmlpnet, resnet};
use crate::{file, tensor};

/// All FC3 layers of a file.
fn fc3s(file: &mut Checkpoint, config: &Config) -> Vec<Fc3> {
    let mut weights = LayerWeights::find_config(file, "test", config.clone()).unwrap();
    let count = weights.fc3_layers();
    let error = weights.fc3(count).unwrap_err();
    assert!(
        matches!(error, ModelError::NoSuchLayer { layer, layers, .. } if [layer, layers] == [count; 2])
    );
    (0..count).map(|layer| weights.fc3(layer).unwrap()).collect()
}

/// Of weights in train form: the stored matrix, and the one that folding the file writes, which is all
/// that the folded file has.
#[track_caller]
fn check(config: &Config, tensors: &[Tensor], sizes: &[(&str, [usize; 4])]) {
    let (directory, mut train) = file(tensors);
    let path = directory.path().join("deploy.safetensors");
    let folded = fold_config("test", config.clone(), train.path(), &path).unwrap();
    assert_eq!(folded.blocks, sizes.len());
    let mut deploy = Checkpoint::open(path).unwrap();
    let before = fc3s(&mut train, config);
    let after = fc3s(&mut deploy, config);
    assert_eq!((before.len(), after.len()), (sizes.len(), sizes.len()));
    for ((before, after), (block, [out, inputs, height, width])) in
        before.into_iter().zip(after).zip(sizes)
    {
        let name = format!("{block}.fc3.weight");
        let stored = tensor(tensors, &name).values.clone();
        let mut folded = Vec::new();
        deploy.read_f32(&name, &mut folded).unwrap();
        assert_eq!(folded.len(), out * inputs * (height * width).pow(2));
        assert_ne!(folded, stored);
        let (layer, partition) = (format!("{block}.fc3"), [*height, *width]);
        let (out, inputs) = (*out, *inputs);
        let expected = Fc3 { layer, out, inputs, partition, trained: None, folded };
        assert_eq!(after, expected);
        assert_eq!(before, Fc3 { trained: Some(stored), ..expected });
        // That of 2021, by its prefix alone.
        if !matches!(config, Config::RepMlpNet(_)) {
            assert_eq!(Fc3::of_block(&mut train, block, partition).unwrap(), before);
            assert_eq!(Fc3::of_block(&mut deploy, block, partition).unwrap(), after);
        }
    }
}

#[test]
fn of_a_repmlpnet() {
    let config = repmlpnet::small();
    let tensors = two_forms::tensors(&config, 3, Form::Train, 1);
    let sizes = [
        ("stages.0.0.repmlp_block", [2, 1, 6, 10]),
        ("stages.1.0.repmlp_block", [3, 1, 3, 5]),
        ("stages.1.1.repmlp_block", [3, 1, 3, 5]),
    ];
    check(&config.into(), &tensors, &sizes);
}

/// The RepMLPs of a ResNet, of both kinds, in the order of the network.
#[test]
fn of_hosts() {
    let config = resnet::small();
    let tensors = two_forms::tensors(&config, 3, Form::Train, 1);
    let sizes = [
        ("stage1.1.light_repmlp", [4, 2, 2, 3]),
        ("stage1.2.light_repmlp", [4, 2, 2, 3]),
        ("stage2.1.btnk_repmlp", [3, 1, 2, 3]),
    ];
    check(&config.into(), &tensors, &sizes);
}

/// FC3 of a ResNet's RepMLPs goes along channels too: its rows are no units along the tokens.
#[test]
fn hosts_have_no_units() {
    for (config, count) in [(resnet::small(), 3), (resnet::plain(), 0)] {
        for form in [Form::Train, Form::Deploy] {
            let (_directory, mut file) = file(&two_forms::tensors(&config, 3, form, 1));
            let mut weights = LayerWeights::find_config(&mut file, "test", config.clone()).unwrap();
            assert_eq!((weights.token_layers(), weights.fc3_layers()), (0, count));
            assert_eq!(weights.form(), Some(form));
            let error = weights.token_units(0, None).unwrap_err();
            assert!(matches!(error, ModelError::NoSuchLayer { layers: 0, .. }), "{error}");
        }
    }
}

#[test]
fn what_is_no_block() {
    let config = resnet::small();
    let tensors = two_forms::tensors(&config, 3, Form::Train, 1);
    let prefix = "stage1.1.light_repmlp";
    let of_block = |tensors: &[Tensor], prefix: &str, partition| {
        Fc3::of_block(&mut file(tensors).1, prefix, partition)
    };
    for (prefix, partition, hint) in [
        (prefix, [2, 5], "24 x 12"),
        (prefix, [0, 3], "0 x 3"),
        (prefix, [usize::MAX, 2], "24 x 12"),
        ("", [2, 3], "no tensor `fc3.weight`"),
        ("stage1.1", [2, 3], "no tensor `stage1.1.fc3.weight`"),
    ] {
        let error = of_block(&tensors, prefix, partition).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, ModelError::Config(_)) && text.contains(hint), "{text}");
    }
    let mut flat = tensors.clone();
    let fc3 = flat.iter_mut().find(|tensor| tensor.name.ends_with("light_repmlp.fc3.weight"));
    fc3.unwrap().shape.truncate(2);
    let error = of_block(&flat, prefix, [2, 3]).unwrap_err();
    assert!(error.to_string().contains("[24, 12]"), "{error}");
    for missing in ["fc3_bn.running_var", "repconv3.bn.weight"] {
        let mut tensors = tensors.clone();
        tensors.retain(|tensor| tensor.name != format!("{prefix}.{missing}"));
        let error = of_block(&tensors, prefix, [2, 3]).unwrap_err();
        let ModelError::Mismatch { mismatch, .. } = error else { panic!("{error}") };
        assert_eq!(mismatch.missing, [format!("{prefix}.{missing}")]);
    }
}
