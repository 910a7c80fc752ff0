//! From train form to deploy form in files.

use std::fs;

use mixfold_gemm::Context;
use mixfold_model::folding::{Size, config_report, fold_config};
use mixfold_model::{Checkpoint, Form, Loader, ModelError, Preprocess};
use mixfold_simd::env;

use crate::common::resnet::{plain, small};
use crate::common::two_forms::{shapes, write};
use crate::common::{images, logits};

#[test]
fn official_names_and_shapes_and_the_bits_of_folding_while_loading() {
    for config in [small(), plain()] {
        let directory = tempfile::tempdir().unwrap();
        let [train, deploy] = ["train", "deploy"].map(|name| directory.path().join(name));
        write(&train, &config, 5, Form::Train, 3);
        let folded = fold_config("small", config.clone(), &train, &deploy).unwrap();
        let counts =
            if config == small() { (3, 1 + 4 + 2 + 2 + 4 + 4) } else { (0, 1 + 3 + 3 + 4 + 3 + 4) };
        assert_eq!((folded.blocks, folded.convolutions), counts);
        let (before, after) =
            (Checkpoint::open(&train).unwrap(), Checkpoint::open(&deploy).unwrap());
        let bytes = |file: &Checkpoint| file.entries().map(|(_, entry)| entry.bytes()).sum::<u64>();
        assert_eq!((folded.bytes_before, folded.bytes_after), (bytes(&before), bytes(&after)));
        let mut found: Vec<_> = after
            .entries()
            .map(|(name, entry)| (name.to_owned(), entry.shape().to_vec()))
            .collect();
        let mut expected = shapes(&config, 5, Form::Deploy);
        found.sort();
        expected.sort();
        assert_eq!(found, expected);

        for isa in env::isas_under_test() {
            let loader = Loader::new().context(Context::with_isa(isa).sequential());
            let run = |path| {
                let model = loader.load_config("small", config.clone(), Preprocess::IMAGENET, path);
                let model = model.unwrap();
                logits(&model, &images(&model, 3), 3)
            };
            assert_eq!(run(&train), run(&deploy), "{isa}");
        }
        let again = fold_config("small", config, &deploy, &train).unwrap_err();
        assert!(matches!(again, ModelError::AlreadyFolded { .. }), "{again}");
    }
}

#[test]
fn in_the_place_of_the_input() {
    let directory = tempfile::tempdir().unwrap();
    let [file, other] = ["a", "b"].map(|name| directory.path().join(name));
    write(&file, &small(), 5, Form::Train, 3);
    fold_config("small", small(), &file, &other).unwrap();
    fold_config("small", small(), &file, &file).unwrap();
    assert_eq!(fs::read(&file).unwrap(), fs::read(&other).unwrap());
}

#[test]
fn reports() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("train");
    for config in [small(), plain()] {
        write(&path, &config, 5, Form::Train, 3);
        let mut file = Checkpoint::open(&path).unwrap();
        let blocks = config_report("small", config.clone(), &mut file, 1, &Context::new()).unwrap();
        let names: Vec<_> = blocks.iter().map(|block| block.name.as_str()).collect();
        if config == plain() {
            assert!(names.is_empty());
            continue;
        }
        assert_eq!(
            names,
            ["stage1.1.light_repmlp", "stage1.2.light_repmlp", "stage2.1.btnk_repmlp"]
        );
        for block in &blocks {
            assert!(
                block.difference > 0.0 && block.difference <= 1e-5 * block.largest,
                "{block:?}"
            );
        }
        // Of 3 channels in 3 groups, on one partition of 2 x 3.
        let (matrix, kernels) = (18 * 6, 3 * (1 + 9));
        let macs = 18 * 6;
        let train = Size {
            parameters: matrix + 2 * 18 + kernels + 2 * 2 * 3,
            macs: macs + 6 * 3 * (1 + 9),
            bytes: 4 * (matrix + 4 * 18 + kernels + 2 * 4 * 3),
        };
        let deploy = Size { parameters: matrix + 18, macs, bytes: 4 * (matrix + 18) };
        assert_eq!((blocks[2].train, blocks[2].deploy), (train, deploy));
    }
}
