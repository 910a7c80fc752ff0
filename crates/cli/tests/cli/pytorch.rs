//! Files of PyTorch, wherever a weights file is accepted.

use std::fs;

use mixfold_model::{Checkpoint, Form, form};
use tempfile::tempdir;

use crate::{mixfold, pth, repmlpnet_weights, samples, weights};

#[test]
fn every_command_that_takes_weights() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("weights.pt");
    fs::write(&path, pth::of_training(&weights())).unwrap();
    let (file, samples) = (path.to_str().unwrap(), samples());
    let samples = samples.to_str().unwrap();
    assert_eq!(mixfold(["inspect", file, "--json"]).json()["model"]["name"], "mixer_fashion");
    for options in [&[][..], &["--model", "mixer_fashion"]] {
        let args = ["classify", samples, "--weights", file, "--json"];
        mixfold(args.iter().chain(options)).success();
        let args = ["bench", "--weights", file, "--runs", "1", "--batch", "1", "--json"];
        assert_eq!(mixfold(args.iter().chain(options)).json()["model"], "mixer_fashion");
    }
    let weights = format!("mixer_fashion={file}");
    let args = ["compare", "--models", "mixer_fashion", "--weights", &weights, "--runs", "1"];
    mixfold(args.iter().chain(&["--batch", "1", "--json"])).success();

    let [images, labels] = ["images", "labels"].map(|name| folder.path().join(name));
    let (one, count) = (28_u32.to_be_bytes(), 1_u32.to_be_bytes());
    fs::write(&images, [&[0, 0, 8, 3][..], &count, &one, &one, &[9; 784]].concat()).unwrap();
    fs::write(&labels, [&[0, 0, 8, 1][..], &count, &[3]].concat()).unwrap();
    let [images, labels] = [&images, &labels].map(|path| path.to_str().unwrap());
    let args = ["eval", "--images", images, "--labels", labels, "--weights", file, "--json"];
    mixfold(args).success();
}

#[test]
fn half_a_download() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("weights.pth");
    let whole = pth::of_training(&weights());
    for (length, hint) in [(0, "the file is empty"), (whole.len() / 2, "damaged or cut off")] {
        fs::write(&path, &whole[..length]).unwrap();
        let error = mixfold(["inspect", path.to_str().unwrap()]).failure(1);
        assert!(error.starts_with(path.to_str().unwrap()) && error.contains(hint), "{error}");
    }
}

#[test]
fn fold_reads_them() {
    let folder = tempdir().unwrap();
    let [input, output] = ["train.pth", "deploy"].map(|name| folder.path().join(name));
    fs::write(&input, pth::of_training(&repmlpnet_weights())).unwrap();
    let [from, to] = [&input, &output].map(|path| path.to_str().unwrap());
    let json = mixfold(["fold", "--report", "--json", from, to]).json();
    assert_eq!((&json["model"], &json["blocks"]), (&"repmlpnet_fashion".into(), &4.into()));
    assert_eq!(form(&Checkpoint::open(&output).unwrap()), Some(Form::Deploy));
}
