use std::fs;
use std::path::Path;

use mixfold_model::{Checkpoint, Gelu};
use tempfile::tempdir;

use crate::{Ran, fixture, keys, mixfold, pth, repmlpnet_weights, samples, sorted, weights};

fn convert(input: &Path, output: &Path, options: &[&str]) -> Ran {
    let paths = [input, output].map(|path| path.to_str().unwrap());
    mixfold(["convert"].iter().chain(&paths).chain(options))
}

fn classify(weights: &Path) -> String {
    let (samples, weights) = (samples(), weights.to_str().unwrap().to_owned());
    let args = ["classify", samples.to_str().unwrap(), "--weights", &weights, "--json"];
    mixfold(args).success()
}

#[test]
fn from_pytorch_to_the_same_results() {
    let folder = tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (weights, model) in
        [(weights(), "mixer_fashion"), (repmlpnet_weights(), "repmlpnet_fashion")]
    {
        let expected = convert(&weights, &path("direct"), &["--json"]).json();
        fs::write(path("weights.pth"), pth::of_training(&weights)).unwrap();
        let json = convert(&path("weights.pth"), &path("out"), &["--json"]).json();
        let names = [
            "model",
            "format",
            "output",
            "tensors",
            "gelu",
            "bytes_before",
            "bytes_after",
            "seconds",
        ];
        assert_eq!(keys(&json), sorted(names));
        assert_eq!((&json["model"], &json["format"]), (&model.into(), &"pth".into()));
        assert_eq!(
            (&json["gelu"], &json["output"]),
            (&"erf".into(), &path("out").to_str().unwrap().into())
        );
        for key in ["tensors", "bytes_before", "bytes_after", "model"] {
            assert_eq!(json[key], expected[key], "{key}");
        }
        let (direct, out) =
            (Checkpoint::open(path("direct")).unwrap(), Checkpoint::open(path("out")).unwrap());
        assert!(
            out.entries()
                .map(|(name, e)| (name, e.shape(), e.dtype()))
                .eq(direct.entries().map(|(name, e)| (name, e.shape(), e.dtype())))
        );
        // The one knows the names of the classes, the other one does not.
        assert_eq!(classify(&path("direct")), classify(&weights));
        assert_eq!(classify(&path("out")), classify(&path("weights.pth")));
        // In the place of the input, and once more.
        let bytes = fs::read(path("out")).unwrap();
        convert(&path("out"), &path("out"), &["--model", model]).success();
        assert!(fs::read(path("out")).unwrap() == bytes);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn text_has_the_same() {
    let folder = tempdir().unwrap();
    let output = folder.path().join("out");
    let text = convert(&weights(), &output, &[]).success();
    for words in ["mixer_fashion", "safetensors", output.to_str().unwrap(), "54"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains("GELU"), "{text}");

    // As if the weights were Flax's.
    let mut file = Checkpoint::open(weights()).unwrap();
    let tensors = file.entries();
    let tensors = tensors.map(|(n, e)| (n.to_owned(), e.dtype().clone(), e.shape().to_vec()));
    let tensors = tensors.collect();
    let mut metadata = file.metadata().clone();
    metadata.insert(Gelu::METADATA.to_owned(), "tanh".to_owned());
    let stated = folder.path().join("stated");
    mixfold_model::checkpoint::write_safetensors(&stated, tensors, &metadata, |name, bytes| {
        file.read_bytes(name, bytes)
    })
    .unwrap();
    let text = convert(&stated, &output, &[]).success();
    assert!(text.contains("GELU: tanh"), "{text}");
    assert_eq!(convert(&stated, &output, &["--json"]).json()["gelu"], "tanh");
    assert_eq!(classify(&stated), classify(&output));
}

#[test]
fn what_is_refused_leaves_the_target_as_it_was() {
    let folder = tempdir().unwrap();
    let target = folder.path().join("target");
    fs::write(&target, "as it was").unwrap();
    let cases: [(&Path, &[&str], i32, &str); 6] = [
        (&weights(), &["--model", "mixer"], 2, "unknown model `mixer`"),
        (&weights(), &["--model", "mixer_b16_224"], 1, "does not fit mixer_b16_224"),
        (&fixture("pth/bare.pth"), &[], 1, "fit none of the models"),
        (&fixture("arrays.npz"), &[], 1, "not named like those of any family"),
        (&fixture("pth/hostile.pth"), &[], 1, "`posix.system`"),
        (&folder.path().join("absent"), &[], 1, "absent: "),
    ];
    for (input, options, code, hint) in cases {
        let error = convert(input, &target, options).failure(code);
        assert!(error.contains(hint), "{error}, expected: {hint}");
    }
    assert_eq!(fs::read(&target).unwrap(), b"as it was");
    for output in [folder.path().join("absent/out"), folder.path().to_owned()] {
        let error = convert(&weights(), &output, &[]).failure(1);
        assert!(error.starts_with(output.to_str().unwrap()), "{error}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
