use std::fs;
use std::path::PathBuf;

use mixfold_model::Checkpoint;
use mixfold_model::checkpoint::npy;
use serde_json::Value;
use tempfile::TempDir;

use crate::{crates, fixture, keys, mixfold, sorted, weights};

fn train() -> PathBuf {
    crates().join("model/assets/repmlpnet_fashion.safetensors")
}

/// A folder and a file in it that is not there yet.
fn target() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deploy.safetensors");
    (directory, path)
}

fn values(json: &Value, of: &str) -> u64 {
    json[of].as_u64().unwrap()
}

#[test]
fn the_folded_file_gives_the_same_logits() {
    let (directory, deploy) = target();
    let json = mixfold([
        "fold".as_ref(),
        train().as_os_str(),
        deploy.as_os_str(),
        "--report".as_ref(),
        "--json".as_ref(),
    ])
    .json();
    assert_eq!(
        keys(&json),
        sorted(["model", "output", "blocks", "bytes_before", "bytes_after", "seconds", "report"])
    );
    assert_eq!((&json["model"], values(&json, "blocks")), (&"repmlpnet_fashion".into(), 4));
    let file = Checkpoint::open(&deploy).unwrap();
    let bytes: u64 = file.entries().map(|(_, entry)| entry.bytes()).sum();
    assert_eq!(values(&json, "bytes_after"), bytes);
    assert!(file.names().all(|name| !name.contains("repconv") && !name.contains("fc3_bn")));
    for block in json["report"].as_array().unwrap() {
        let [difference, largest] =
            ["difference", "largest"].map(|key| block[key].as_f64().unwrap());
        assert!(difference > 0.0 && difference <= 1e-5 * largest, "{block}");
        assert!(values(&block["train"], "macs") > values(&block["deploy"], "macs"), "{block}");
    }

    let x = directory.path().join("x.npy");
    let images: Vec<f32> = (0..5 * 784).map(|i| (i * 7919 % 256) as f32 / 127.5 - 1.0).collect();
    npy::write(&x, &[5, 1, 28, 28], &images).unwrap();
    let run = |weights: &PathBuf, form: &str| {
        let y = directory.path().join("y.npy");
        let paths = [&x, &y, weights].map(|path| path.to_str().unwrap());
        let [x, out, weights] = paths;
        mixfold(["run", "--weights", weights, "--form", form, "--input", x, "--output", out])
            .success();
        let bytes = fs::read(&y).unwrap();
        let floats = bytes[bytes.len() - 200..].chunks_exact(4);
        floats.map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect::<Vec<_>>()
    };
    let [a, b, c] =
        [(&train(), "train"), (&train(), "deploy"), (&deploy, "deploy")].map(|(w, f)| run(w, f));
    assert_eq!(b, c);
    let largest = a.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
    let pairs = a.iter().zip(&b);
    assert!(pairs.clone().all(|(a, b)| (a - b).abs() <= 1e-5 * largest) && a != b);
}

#[test]
fn for_people() {
    let (_directory, deploy) = target();
    let model = ["fold", "--model", "repmlpnet_fashion"].map(Into::into);
    let paths = [train().into_os_string(), deploy.into_os_string(), "--report".into()];
    let text = mixfold(model.into_iter().chain(paths)).success();
    assert!(text.contains("4 blocks") && text.contains("stages.1.1.repmlp_block"), "{text}");
    assert!(text.lines().all(|line| line == line.trim_end()), "{text}");
}

#[test]
fn refused_and_the_target_is_as_it_was() {
    let (directory, target) = target();
    fs::write(&target, "as it was").unwrap();
    let fold = |arguments: &[&str], input: PathBuf, code| {
        let arguments = ["fold"].iter().chain(arguments).map(|arg| (*arg).into());
        let paths = [input.into_os_string(), target.clone().into_os_string()];
        mixfold(arguments.chain(paths)).failure(code)
    };
    let error = fold(&["--model", "mixer_fashion"], weights(), 1);
    assert!(error.contains("mixer_fashion has one form only"), "{error}");
    let error = fold(&["--model", "repmlp"], train(), 2);
    assert!(error.contains("unknown model `repmlp`"), "{error}");
    let error = fold(&["--model", "repmlpnet_t224"], train(), 1);
    assert!(error.contains("does not fit repmlpnet_t224"), "{error}");
    let error = fold(&[], fixture("repmlpnet_small_train.safetensors"), 1);
    assert!(error.contains("fit none of the models (a RepMLPNet for images of 64 x 64"), "{error}");
    assert_eq!(fs::read(&target).unwrap(), b"as it was");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);

    mixfold(["fold".into(), train().into_os_string(), target.clone().into_os_string()]).success();
    let error = fold(&[], target.clone(), 1);
    assert!(error.contains("in deploy form already"), "{error}");
}

#[test]
fn forms_that_there_are_not() {
    let sample = crates().join("cli/samples/0018-bag.png");
    let classify = |arguments: &[&str], code| {
        let arguments = ["classify"].iter().chain(arguments).map(|arg| (*arg).into());
        mixfold(arguments.chain([sample.clone().into_os_string()])).failure(code)
    };
    let error = classify(&["--form", "train"], 2);
    assert_eq!(error, "--form: mixer_fashion has one form only");
    let (_directory, deploy) = target();
    mixfold(["fold".into(), train().into_os_string(), deploy.clone().into_os_string()]).success();
    let error = classify(&["--weights", deploy.to_str().unwrap(), "--form", "train"], 1);
    assert!(error.contains("are in deploy form"), "{error}");
}

#[test]
fn inspect_tells_the_form() {
    let (_directory, deploy) = target();
    mixfold(["fold".into(), train().into_os_string(), deploy.clone().into_os_string()]).success();
    for (file, form, parameters) in [(train(), "train", 330_330), (deploy, "deploy", 332_106)] {
        let json = mixfold(["inspect".into(), file.into_os_string(), "--json".into()]).json();
        assert_eq!(
            (&json["model"]["form"], &json["model"]["parameters"]),
            (&form.into(), &parameters.into())
        );
    }
}

#[test]
fn demo() {
    let json = mixfold(["demo", "--json", "--threads", "1"]).json();
    assert_eq!(keys(&json), sorted(["images", "models", "agreement"]));
    let models = json["models"].as_array().unwrap();
    let forms: Vec<_> = models.iter().map(|model| model["form"].as_str()).collect();
    assert_eq!(forms, [None, Some("train"), Some("deploy")]);
    assert!(models.iter().all(|model| values(model, "right") == 12));
    let images = json["images"].as_array().unwrap();
    assert_eq!(images.len(), 12);
    assert!(images.iter().all(|image| image["answers"].as_array().unwrap().len() == 3));
    let agreement = &json["agreement"];
    assert_eq!(agreement["same_classes"], true);
    let relative = agreement["relative"].as_f64().unwrap();
    assert!(relative > 0.0 && relative <= 1e-5, "{agreement}");
    let text = mixfold(["demo"]).success();
    assert!(text.contains("Train and deploy form: the same classes"), "{text}");
}
