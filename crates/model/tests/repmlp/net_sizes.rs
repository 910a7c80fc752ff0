//! Sizes that no RepMLPNet can have, and such that would need all memory there is.

use mixfold_mix::MixError;
use mixfold_model::{
    Form, Images, Loader, Model, ModelError, Phase, Preprocess, RepMlpNetConfig, RepMlpNetStage,
    folding,
};

use crate::common::repmlpnet::{small, stages};
use crate::common::two_forms::{self};

const FORMS: [Form; 2] = [Form::Train, Form::Deploy];

/// What loading [`small`]'s weights as another network says.
fn refuse(config: RepMlpNetConfig) -> ModelError {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights");
    two_forms::write(&path, &small(), 3, Form::Train, 1);
    let output = directory.path().join("deploy");
    let folding = folding::fold_config("test", config.clone(), &path, &output).unwrap_err();
    let load = Loader::new().load_config("test", config, Preprocess::IMAGENET, &path);
    let loading = load.unwrap_err();
    assert_eq!(folding.to_string(), loading.to_string());
    assert!(!output.exists());
    loading
}

#[test]
fn that_do_not_go_together() {
    let of = |rows: &[[usize; 3]]| RepMlpNetConfig { stages: stages(rows).into(), ..small() };
    let kernels =
        |kernels: &[usize]| RepMlpNetConfig { kernels: kernels.to_vec().into(), ..small() };
    for (config, reason) in [
        (of(&[]), "no stage"),
        (RepMlpNetConfig { patch: 0, ..small() }, "patches of 0 x 0"),
        (
            RepMlpNetConfig { patch: 3, ..small() },
            "patches of 3 x 3, halved 1 times, do not fill images of 12 x 20",
        ),
        (RepMlpNetConfig { image: [12, 22], ..small() }, "images of 12 x 22"),
        (RepMlpNetConfig { image: [0, 20], ..small() }, "images of 0 x 20"),
        (RepMlpNetConfig { image: [12, 0], ..small() }, "images of 12 x 0"),
        (of(&[[6, 1, 2]; 3]), "halved 2 times, do not fill images of 12 x 20"),
        (of(&[[6, 1, 2]; 64]), "halved 63 times"),
        (of(&[[6, 1, 2]; 200]), "halved 199 times"),
        (RepMlpNetConfig { patch: usize::MAX, ..small() }, "halved 1 times"),
        (RepMlpNetConfig { image_channels: 0, ..small() }, "images without channels"),
        (kernels(&[0]), "a kernel of 0 x 0 has no centre"),
        (kernels(&[1, 4]), "a kernel of 4 x 4 has no centre"),
        (kernels(&[3, 1]), "kernels [3, 1] do not ascend"),
        (kernels(&[1, 3, 3]), "kernels [1, 3, 3] do not ascend"),
        (of(&[[6, 1, 2], [9, 2, 0]]), "stage 1: 0 share-sets do not divide 9 channels"),
        (of(&[[6, 1, 4], [9, 2, 3]]), "stage 0: 4 share-sets do not divide 6 channels"),
        (of(&[[6, 1, 12], [9, 2, 3]]), "stage 0: 12 share-sets do not divide 6 channels"),
        (of(&[[0, 1, 2], [9, 2, 3]]), "stage 0: 2 share-sets do not divide 0 channels"),
        (RepMlpNetConfig { ffn_expansion: 0, ..small() }, "without hidden units"),
        (
            RepMlpNetConfig { gate_reduction: 7, ..small() },
            "stage 0: a gate of 6 channels reduced 7 times has no hidden unit",
        ),
        (
            RepMlpNetConfig { gate_reduction: 0, ..small() },
            "stage 0: a gate of 6 channels reduced 0 times has no hidden unit",
        ),
        (of(&[[6, 1, 2], [9, 1000, 3]]), "1001 blocks"),
        (of(&[[6, usize::MAX, 2], [9, usize::MAX, 3]]), "tensors"),
    ] {
        let error = refuse(config.clone());
        assert!(matches!(error, ModelError::Config(_)), "{config:?}: {error}");
        assert!(error.to_string().contains(reason), "`{error}` instead of `{reason}`");
    }
}

/// Tensors of such sizes are in no file, which is what the error says.
#[test]
fn that_no_file_has() {
    let huge = 1 << (usize::BITS - 2);
    let of = |rows: &[[usize; 3]]| RepMlpNetConfig { stages: stages(rows).into(), ..small() };
    for config in [
        RepMlpNetConfig { image: [huge, huge], ..small() },
        RepMlpNetConfig { image: [huge, huge], patch: huge / 2, ..small() },
        RepMlpNetConfig { image_channels: usize::MAX, ..small() },
        RepMlpNetConfig { ffn_expansion: usize::MAX, ..small() },
        RepMlpNetConfig { kernels: vec![1, usize::MAX].into(), ..small() },
        RepMlpNetConfig { gate_reduction: 1, ..of(&[[usize::MAX, 1, usize::MAX], [9, 2, 3]]) },
        of(&[[6, 1, 2], [huge, 2, huge]]),
        of(&[[6, 999, 2], [9, 1, 3]]),
    ] {
        let error = refuse(config.clone());
        assert!(matches!(error, ModelError::Mismatch { .. }), "{config:?}: {error}");
    }
}

#[test]
fn counts_saturate() {
    let huge = usize::MAX;
    let stage = RepMlpNetStage { channels: huge, depth: huge, share_sets: huge };
    for kernels in [vec![], vec![1, huge]] {
        let config = RepMlpNetConfig {
            image: [huge, huge],
            image_channels: huge,
            patch: 1,
            stages: vec![stage; 3].into(),
            kernels: kernels.into(),
            gate_reduction: 1,
            ffn_expansion: huge,
        };
        for form in FORMS {
            assert_eq!(config.parameters(huge, form), u64::MAX);
            assert_eq!(config.macs(huge, form), u64::MAX);
            assert_eq!(config.parameters(0, form), u64::MAX);
        }
        let none = RepMlpNetConfig { patch: 0, gate_reduction: 0, ..config.clone() };
        assert_eq!(none.map(0), [0, 0]);
        let _ = (none.parameters(1, Form::Train), none.macs(1, Form::Train));
        let many = RepMlpNetConfig { stages: vec![stage; 300].into(), ..config };
        assert_eq!((many.map(63), many.map(64), many.map(299)), ([1, 1], [0, 0], [0, 0]));
        assert_eq!(many.parameters(huge, Form::Train), u64::MAX);
    }
    let empty = RepMlpNetConfig { stages: vec![].into(), ..small() };
    assert_eq!((empty.parameters(0, Form::Train), empty.macs(7, Form::Deploy)), (0, 0));
}

/// No tensor tells the size of the images of a network without units: it is the caller's word, and
/// the memory for it is refused.
#[test]
fn images_that_no_memory_can_hold() {
    let stages = stages(&[[6, 0, 2], [9, 0, 3]]);
    for image in [[1 << 40, 1 << 40], [1 << 62, 1 << 62], [1 << 62, 4], [1 << 28, 1 << 28]] {
        let config = RepMlpNetConfig { image, stages: stages.clone().into(), ..small() };
        for form in FORMS {
            let model = load_unitless(&config, form);
            let _ = (model.macs(), model.parameters(), model.packed_bytes());
            for batch in [1, 3, usize::MAX] {
                let error = model.plan(batch).unwrap_err();
                assert!(matches!(error, ModelError::Mix(_)), "{image:?}: {error}");
            }
            let mut empty = model.plan(0).unwrap();
            empty.run(&[], &mut []).unwrap();
        }
    }
}

/// With weights for images of any size, of which there are none to be written.
fn load_unitless(config: &RepMlpNetConfig, form: Form) -> Model {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights");
    let image = [4, 4];
    let written = RepMlpNetConfig { image, ..config.clone() };
    two_forms::write(&path, &written, 3, form, 1);
    let loader = Loader::new().form(form);
    loader.load_config("test", config.clone(), Preprocess::IMAGENET, &path).unwrap()
}

/// Its batches are limited by the memory too, not by a panic.
#[test]
fn batches_that_no_memory_can_hold() {
    let model = two_forms::load(&Loader::new(), &small(), 3, Form::Train, 1);
    let mut plan = model.plan(usize::MAX).unwrap();
    let error = plan.run(&[0.0], &mut [0.0]).unwrap_err();
    assert!(matches!(error, ModelError::Length { what: "images", .. }), "{error}");
}

#[test]
fn the_size_of_an_image_is_fixed_and_the_error_says_why() {
    let model = two_forms::load(&Loader::new(), &small(), 3, Form::Deploy, 1);
    for shape in [[1, 2, 20, 12], [2, 2, 24, 40], [1, 3, 12, 20], [0, 2, 12, 12]] {
        let images = Images::new(shape, vec![0.0; shape.iter().product()]).unwrap();
        let error = model.forward(&images).unwrap_err();
        let ModelError::Input { model, expected, found, .. } = &error else { panic!("{error}") };
        assert_eq!(
            (&model[..], *expected, &found[..]),
            ("test", [shape[0], 2, 12, 20], &shape[..])
        );
        let text = error.to_string();
        // Images of other channels do not become right by another size.
        assert_eq!(text.contains("bound to the size of the map"), shape[1] == 2, "{text}");
        assert!(text.contains(&format!("{shape:?}")) && text.contains("2, 12, 20"), "{text}");
    }
}

/// A network knows its own sizes in the form that is run.
#[test]
fn a_model_knows_its_sizes() {
    for form in FORMS {
        let model = two_forms::load(&Loader::new().form(form), &small(), 3, Form::Train, 1);
        assert_eq!(model.form(), Some(form));
        assert_eq!((model.input(), model.classes()), ([2, 12, 20], 3));
        assert_eq!(model.parameters(), small().parameters(3, form));
        assert_eq!(model.macs(), small().macs(3, form));
        let phases: u64 = Phase::ALL.iter().map(|&phase| model.phase_macs(phase)).sum();
        assert_eq!(phases, model.macs());
        // Packing pads, and keeps norms elsewhere.
        assert!(model.packed_bytes() as u64 > 4 * model.parameters() * 8 / 10, "{form}");
    }
}

/// Multiply-adds, counted layer by layer.
#[test]
fn multiply_adds_by_hand() {
    // Maps of 6 x 10 and 3 x 5; channels 6 and 9; gates of 2 and 3; perceptrons of 12 and 18.
    let stem = 60 * 6 * (2 * 2 * 2) + 15 * 9 * (6 * 2 * 2);
    let gates = 2 * 6 * 2 + 2 * (2 * 9 * 3);
    let matrices = 6 * 60 * 60 + 2 * (9 * 15 * 15);
    let convolutions = 6 * 60 * (1 + 9) + 2 * (9 * 15 * (1 + 9));
    let ffn = 2 * 60 * 6 * 12 + 2 * (2 * 15 * 9 * 18);
    let deploy = stem + gates + matrices + ffn + 9 * 3;
    assert_eq!(small().macs(3, Form::Deploy), deploy);
    assert_eq!(small().macs(3, Form::Train), deploy + convolutions);
}

/// A convolution and a plan say which shape it is that does not fit.
#[test]
fn shapes_are_in_the_error() {
    let config = RepMlpNetConfig {
        image: [1 << 40, 1 << 40],
        stages: stages(&[[6, 0, 2]]).into(),
        ..small()
    };
    let error = load_unitless(&config, Form::Deploy).plan(1).unwrap_err();
    let ModelError::Mix(MixError::Overflow { axes }) = error else { panic!("{error}") };
    assert_eq!(axes.outer, 6);
}
