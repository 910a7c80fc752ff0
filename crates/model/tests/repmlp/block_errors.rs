//! Blocks among other tensors, tensors that are not a block's, and sizes that are none.

use mixfold_gemm::Context;
use mixfold_model::{Checkpoint, Form, Misshapen, ModelError, RepMlpBlock, RepMlpBlockConfig};
use mixfold_reference::fill;

use crate::blocks::{deploy_tensors, run};
use crate::common::files::Tensor;
use crate::common::repmlp::{file, tensors};
use crate::v1::golden;

fn train() -> Vec<Tensor> {
    let mut weights = fill::Weights::default();
    tensors(&golden(), |name, shape| weights.tensor(name, shape))
}

fn load(
    file: &mut Checkpoint,
    prefix: &str,
    form: Option<Form>,
) -> Result<RepMlpBlock, ModelError> {
    RepMlpBlock::load(file, prefix, &golden(), form, &Context::new().sequential())
}

fn zeros(name: &str, shape: &[usize]) -> Tensor {
    Tensor::new(name, shape, vec![0.0; shape.iter().product()])
}

/// Under another name.
fn renamed(tensors: &[Tensor], prefix: &str) -> Vec<Tensor> {
    let name = |tensor: &Tensor| format!("{prefix}{}", tensor.name);
    tensors.iter().map(|tensor| Tensor { name: name(tensor), ..tensor.clone() }).collect()
}

#[test]
fn a_block_among_other_tensors() {
    let (train, prefix) = (train(), "stage2.1.light_repmlp");
    let x: Vec<f32> = fill::input(4 * 6 * 6);
    let expected = run(&load(&mut file(&train), "", None).unwrap(), &x, 1);
    let mut all = renamed(&train, "stage2.1.light_repmlp.");
    all.push(zeros("stage2.1.light_repmlp.avg.bn.num_batches_tracked", &[]));
    // Neither of another block, nor of one whose name is longer.
    all.push(zeros("stage2.2.light_repmlp.fc3.bias", &[36]));
    all.push(zeros("stage2.1.light_repmlp2.fc3.bias", &[36]));
    all.push(zeros("fc3.bias", &[36]));
    let block = load(&mut file(&all), prefix, None).unwrap();
    assert_eq!(run(&block, &x, 1), expected);
    let folded = RepMlpBlock::folded_tensors(&mut file(&all), prefix, &golden()).unwrap();
    assert_eq!(folded[4].name, "stage2.1.light_repmlp.fc3.weight");
    let deploy = renamed(&deploy_tensors(&train, &golden()), "stage2.1.light_repmlp.");
    let names = |tensors: &[Tensor]| -> Vec<_> { tensors.iter().map(|t| t.name.clone()).collect() };
    assert_eq!(folded.iter().map(|t| t.name.clone()).collect::<Vec<_>>(), names(&deploy));
    assert_eq!(run(&load(&mut file(&deploy), prefix, None).unwrap(), &x, 1), expected);
}

#[test]
fn all_differences_in_one_error() {
    let mut wrong = renamed(&train(), "block.");
    wrong.retain(|tensor| tensor.name != "block.repconv3.bn.bias");
    wrong.retain(|tensor| tensor.name != "block.fc3.weight");
    wrong.push(zeros("block.fc3.weight", &[36, 36, 1, 1]));
    wrong.push(zeros("block.repconv5.conv.weight", &[4, 2, 5, 5]));
    wrong.push(zeros("elsewhere", &[1]));
    for error in [
        load(&mut file(&wrong), "block", None).unwrap_err(),
        load(&mut file(&wrong), "block", Some(Form::Train)).unwrap_err(),
        RepMlpBlock::folded_tensors(&mut file(&wrong), "block", &golden()).unwrap_err(),
    ] {
        let ModelError::Mismatch { model, mismatch, .. } = error else { panic!("{error}") };
        assert_eq!(model, "the RepMLP block `block`");
        assert_eq!(mismatch.missing, ["block.repconv3.bn.bias"]);
        assert_eq!(mismatch.unexpected, ["block.repconv5.conv.weight"]);
        let (expected, found) = (vec![36, 18, 1, 1], vec![36, 36, 1, 1]);
        let name = "block.fc3.weight".to_owned();
        assert_eq!(mismatch.misshapen, [Misshapen { name, expected, found }]);
    }
    // Nothing of the kind; and the whole file, where every tensor counts.
    let error = load(&mut file(&wrong), "other", None).unwrap_err();
    let ModelError::Mismatch { mismatch, .. } = error else { panic!("{error}") };
    assert_eq!((mismatch.missing.len(), mismatch.unexpected.len()), (23, 0));
    let more = [train(), vec![zeros("elsewhere", &[1])]].concat();
    let error = load(&mut file(&more), "", None).unwrap_err();
    let ModelError::Mismatch { mismatch, .. } = error else { panic!("{error}") };
    assert_eq!(mismatch.unexpected, ["elsewhere"]);
}

#[test]
fn the_perceptron_of_the_partitions_is_there_if_there_are_several() {
    let whole = RepMlpBlockConfig { map: [3, 3], ..golden() };
    let ctx = Context::new().sequential();
    let error = RepMlpBlock::load(&mut file(&train()), "", &whole, None, &ctx).unwrap_err();
    let ModelError::Mismatch { mismatch, .. } = error else { panic!("{error}") };
    assert_eq!((mismatch.unexpected.len(), mismatch.missing.len()), (8, 0));
}

#[test]
fn the_train_form_does_not_come_back() {
    let deploy = deploy_tensors(&train(), &golden());
    let error = load(&mut file(&deploy), "", Some(Form::Train)).unwrap_err();
    assert!(matches!(error, ModelError::Folded), "{error}");
    let error = RepMlpBlock::folded_tensors(&mut file(&deploy), "", &golden()).unwrap_err();
    assert!(matches!(error, ModelError::AlreadyFolded { .. }), "{error}");
    // Of neither form: that of the bias.
    let mut both = train();
    both.push(zeros("fc3.bias", &[36]));
    let error = load(&mut file(&both), "", None).unwrap_err();
    let ModelError::Mismatch { mismatch, .. } = error else { panic!("{error}") };
    assert_eq!((mismatch.unexpected.len(), mismatch.missing.len()), (4 * 4 + 2, 0));
}

#[test]
fn a_norm_that_cannot_be_folded() {
    for module in ["avg.bn", "fc3_bn", "repconv3.bn"] {
        let mut wrong = train();
        let name = format!("{module}.running_var");
        let tensor = wrong.iter_mut().find(|tensor| tensor.name == name).unwrap();
        tensor.values[1] = -0.5;
        for form in [Form::Train, Form::Deploy] {
            let error = load(&mut file(&wrong), "", Some(form)).unwrap_err();
            let ModelError::Fold { module: found, .. } = &error else { panic!("{error}") };
            assert_eq!(found, module);
        }
    }
}

#[test]
fn sizes_that_are_none() {
    let largest = usize::MAX;
    for (config, reason) in [
        (RepMlpBlockConfig { partition: [3, 4], ..golden() }, "do not fill"),
        (RepMlpBlockConfig { partition: [0, 3], ..golden() }, "do not fill"),
        (RepMlpBlockConfig { map: [0, 6], ..golden() }, "do not fill"),
        (RepMlpBlockConfig { partition: [12, 3], ..golden() }, "do not fill"),
        (RepMlpBlockConfig { groups: 3, ..golden() }, "3 groups do not divide 4 and 4"),
        (RepMlpBlockConfig { groups: 0, ..golden() }, "0 groups"),
        (RepMlpBlockConfig { channels: 0, ..golden() }, "do not divide 0 and 4"),
        (RepMlpBlockConfig { out_channels: 3, ..golden() }, "do not divide 4 and 3"),
        (RepMlpBlockConfig { kernels: vec![1, 2], ..golden() }, "2 x 2 has no centre"),
        (RepMlpBlockConfig { kernels: vec![0], ..golden() }, "0 x 0 has no centre"),
        (RepMlpBlockConfig { kernels: vec![3, 1, 3], ..golden() }, "two kernels of 3 x 3"),
        (RepMlpBlockConfig { reduction: 0, ..golden() }, "leaves none of 16"),
        (RepMlpBlockConfig { reduction: 17, ..golden() }, "leaves none of 16"),
        (
            RepMlpBlockConfig { channels: 1 << 63, groups: 1, ..golden() },
            "exceed the address space",
        ),
        (
            RepMlpBlockConfig { map: [largest; 2], partition: [largest; 2], ..golden() },
            "exceed the address space",
        ),
    ] {
        // Counting them must not panic either.
        let _ =
            [Form::Train, Form::Deploy].map(|form| (config.parameters(form), config.macs(form)));
        let ctx = Context::new();
        let loaded = RepMlpBlock::load(&mut file(&train()), "", &config, None, &ctx).unwrap_err();
        let folded = RepMlpBlock::folded_tensors(&mut file(&train()), "", &config).unwrap_err();
        for error in [loaded, folded] {
            let ModelError::Config(text) = &error else { panic!("{error}") };
            assert!(text.contains(reason), "{text}");
        }
    }
    // Large ones that could be: the tensors are not those.
    let config = RepMlpBlockConfig { kernels: vec![usize::MAX], ..golden() };
    let error = RepMlpBlock::load(&mut file(&train()), "", &config, None, &Context::new());
    assert!(matches!(error, Err(ModelError::Mismatch { .. })));
}

#[test]
fn buffers_of_other_lengths() {
    let block = load(&mut file(&train()), "", None).unwrap();
    let mut plan = block.plan(2).unwrap();
    let (x, mut y) = (vec![1.0; 2 * 4 * 36], vec![7.0; 2 * 4 * 36]);
    for (error, wanted) in
        [(plan.run(&x[1..], &mut y), "input"), (plan.run(&x, &mut y[1..]), "output")]
    {
        let Err(ModelError::Length { what, expected: 288, found: 287 }) = error else {
            panic!("{error:?}")
        };
        assert_eq!(what, wanted);
    }
    assert!(y.iter().all(|&y| y == 7.0));
    assert!(block.plan(usize::MAX / 8).is_err());
    block.plan(0).unwrap().run(&[], &mut []).unwrap();
}
