//! `--form`, and what is said of forms.

use std::path::{Path, PathBuf};

use mixfold_model::checkpoint::npy;
use mixfold_model::{Form, registry};
use tempfile::{TempDir, tempdir};

use crate::{assert_agree, keys, mixfold, repmlpnet, repmlpnet_weights, sample_names, samples};

const LAYERS: [&str; 12] = [
    "stem",
    "stages.0.0.repmlp_block",
    "stages.0.0",
    "stages.0.1.repmlp_block",
    "stages.0.1",
    "embeds.0",
    "stages.1.0.repmlp_block",
    "stages.1.0",
    "stages.1.1.repmlp_block",
    "stages.1.1",
    "mean",
    "head",
];

/// A folder with the weights in deploy form, and images in `x.npy`.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Folder(tempdir().unwrap());
        let train = repmlpnet_weights();
        mixfold(["fold", train.to_str().unwrap(), &folder.text("deploy")]).success();
        npy::write(folder.path("x.npy"), &[5, 1, 28, 28], &images()).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// The logits of `x.npy`.
    fn run(&self, options: &[&str]) -> Vec<f32> {
        let (input, output) = (self.text("x.npy"), self.text("y.npy"));
        mixfold(["run", "--input", &input, "--output", &output].iter().chain(options)).success();
        let (shape, logits) = npy::read(Path::new(&output)).unwrap();
        assert_eq!(shape, [5, 10]);
        logits
    }
}

fn images() -> Vec<f32> {
    (0..5 * 28 * 28).map(|i| (i * 7919 % 1009) as f32 / 504.5 - 1.0).collect()
}

#[test]
fn train_form_deploy_form_and_folded_file_agree() {
    let folder = Folder::new();
    let train = repmlpnet_weights();
    let (train, deploy) = (train.to_str().unwrap(), folder.text("deploy"));
    let branches = folder.run(&["--weights", train, "--form", "train"]);
    let folded = folder.run(&["--weights", train, "--form", "deploy"]);
    assert_agree(&branches, &folded);

    let same: [&[&str]; 6] = [
        &["--weights", train],
        &["--weights", &deploy],
        &["--weights", &deploy, "--form", "deploy", "--threads", "1"],
        &["--weights", &deploy, "--model", "repmlpnet_fashion", "--threads", "3", "--batch", "2"],
        &["--model", "repmlpnet_fashion"],
        &["--model", "repmlpnet_fashion", "--form", "deploy"],
    ];
    for options in same {
        assert_eq!(folder.run(options), folded, "{options:?}");
    }
    let same: [&[&str]; 3] = [
        &["--model", "repmlpnet_fashion", "--form", "train"],
        &["--model", "repmlpnet_fashion", "--form", "train", "--threads", "1"],
        &["--weights", train, "--form", "train", "--threads", "3", "--batch", "2"],
    ];
    for options in same {
        assert_eq!(folder.run(options), branches, "{options:?}");
    }

    for (form, logits) in [(Form::Train, branches), (Form::Deploy, folded)] {
        let mut expected = vec![0.0; 5 * 10];
        repmlpnet(form).plan(5).unwrap().run(&images(), &mut expected).unwrap();
        assert_eq!(logits, expected);
    }
}

#[test]
fn dumps_of_all_layers_agree() {
    let folder = Folder::new();
    for form in ["train", "deploy"] {
        let dumps = folder.text(form.to_uppercase().as_str());
        let form = ["--model", "repmlpnet_fashion", "--form", form];
        folder.run(&[&form[..], &["--dump", "*", "--dump-dir", &dumps]].concat());
        assert_eq!(folder.path(&dumps).read_dir().unwrap().count(), LAYERS.len());
    }
    let read = |form: &str, layer: &str| {
        npy::read(folder.path(form).join(format!("{layer}.npy"))).unwrap()
    };
    for layer in LAYERS {
        let ((shape, train), (same_shape, deploy)) = (read("TRAIN", layer), read("DEPLOY", layer));
        assert_eq!(shape, same_shape);
        let expected: &[usize] = match layer {
            "head" => &[5, 10],
            "mean" => &[5, 64],
            _ if layer.starts_with("stages.1") || layer == "embeds.0" => &[5, 64, 7, 7],
            _ => &[5, 32, 14, 14],
        };
        assert_eq!(shape, expected, "{layer}");
        // There is nothing to fold in front of it.
        match layer {
            "stem" => assert_eq!(train, deploy),
            _ => assert_agree(&train, &deploy),
        }
    }

    let dumps = folder.text("some");
    let options = ["--model", "repmlpnet_fashion", "--dump", "stages.0.*", "--dump-dir", &dumps];
    folder.run(&options);
    assert_eq!(folder.path(&dumps).read_dir().unwrap().count(), 4);
    let (x, y) = (folder.text("x.npy"), folder.text("z.npy"));
    let options = [&options[..2], &["--dump", "blocks.0", "--dump-dir", &dumps]].concat();
    let error = mixfold(["run", "--input", &x, "--output", &y].iter().chain(&options)).failure(2);
    assert!(LAYERS.iter().all(|layer| error.contains(layer)), "{error}");
}

#[test]
fn classify_in_both_forms() {
    let sample = samples().join(&sample_names()[0]);
    let classify = |form: &str| {
        let sample = sample.to_str().unwrap();
        let options = ["--json", "--top", "10", "--model", "repmlpnet_fashion", "--form", form];
        mixfold(["classify", sample].iter().chain(&options)).json()
    };
    for (form, name) in [(Form::Train, "train"), (Form::Deploy, "deploy")] {
        let (model, json) = (repmlpnet(form), classify(name));
        let logits = model.forward(&model.preprocess().open(&sample).unwrap()).unwrap();
        for (i, (class, p)) in logits.top(10).into_iter().enumerate() {
            assert_eq!(json["classes"][i], class);
            assert_eq!(json["probabilities"][i].as_f64().unwrap() as f32, p);
            assert_eq!(json["labels"][i], *model.label(class));
        }
        assert_eq!(json["labels"][0], "Ankle boot");
    }
    assert_ne!(classify("train")["probabilities"], classify("deploy")["probabilities"]);
}

#[test]
fn what_has_no_such_form() {
    let folder = Folder::new();
    let (deploy, x, y) = (folder.text("deploy"), folder.text("x.npy"), folder.text("y.npy"));
    let mixer = crate::weights();
    let mixer = mixer.to_str().unwrap();
    let idx = ["--images", "absent", "--labels", "absent"];
    let commands: [&[&str]; 4] = [
        &["classify", "absent.png"],
        &["run", "--input", &x, "--output", &y],
        &["eval", idx[0], idx[1], idx[2], idx[3]],
        &["bench"],
    ];
    for command in commands {
        let with = |options: &[&str]| mixfold(command.iter().chain(options));
        let error = with(&["--weights", &deploy, "--form", "train"]).failure(1);
        assert!(error.contains("the weights are in deploy form"), "{error}");
        for form in ["train", "deploy"] {
            // The largest Mixer takes minutes to draw at random: it is not begun.
            let models: [&[&str]; 4] = [
                &[],
                &["--weights", mixer],
                &["--model", "mixer_fashion"],
                &["--model", "mixer_h14_224"],
            ];
            for model in models {
                let error = with(&[model, &["--form", form]].concat()).failure(2);
                let name =
                    if model.contains(&"mixer_h14_224") { model[1] } else { "mixer_fashion" };
                assert_eq!(error, format!("{name} has one form only; leave --form out"));
            }
        }
        let error = with(&["--model", "repmlpnet", "--form", "train"]).failure(2);
        assert!(error.contains("unknown model `repmlpnet`"), "{error}");
        let error = with(&["--weights", "absent", "--form", "train"]).failure(1);
        assert!(error.starts_with("absent: "), "{error}");
    }
    assert!(!folder.path("y.npy").exists());
}

#[test]
fn inspect_tells_the_form() {
    let folder = Folder::new();
    let info = registry::model("repmlpnet_fashion").unwrap();
    let (parameters, macs) = (info.parameters(), info.macs());
    let train = (info.train_parameters().unwrap(), info.train_macs().unwrap());
    let inspect = |path: &Path, options: &[&str]| {
        mixfold(["inspect", path.to_str().unwrap()].iter().chain(options))
    };

    let model = inspect(&repmlpnet_weights(), &["--json"]).json()["model"].take();
    let expected = serde_json::json!({
        "name": "repmlpnet_fashion",
        "family": "RepMLPNet",
        "input": [1, 28, 28],
        "classes": 10,
        "parameters": train.0,
        "macs": train.1,
        "form": "train",
        "folded_parameters": parameters,
        "folded_macs": macs,
    });
    assert_eq!(model, expected);
    assert_eq!((train.0, parameters), (330_330, 332_106));
    let text = inspect(&repmlpnet_weights(), &[]).success();
    for line in [
        "form        train",
        "parameters  330,330 (332,106 when folded)",
        "MACs        9.81 M per image (9.62 M when folded)",
    ] {
        assert!(text.lines().any(|found| found == line), "{text}");
    }

    let model = inspect(&folder.path("deploy"), &["--json"]).json()["model"].take();
    assert_eq!((&model["form"], &model["parameters"]), (&"deploy".into(), &parameters.into()));
    assert!(model["folded_parameters"].is_null() && model["folded_macs"].is_null(), "{model}");
    let text = inspect(&folder.path("deploy"), &[]).success();
    assert!(text.contains("deploy\n") && !text.contains("when folded"), "{text}");
}

#[test]
fn models_tell_both_forms() {
    let text = mixfold(["models"]).success();
    let lines: Vec<_> = text.lines().collect();
    let cells = |line: &str| line.split("  ").map(str::trim).map(str::to_owned).collect::<Vec<_>>();
    for info in registry::models() {
        let at = lines.iter().position(|line| line.starts_with(info.name)).unwrap();
        let next = lines[at + 1];
        assert_eq!(next.starts_with("  in train form"), info.train_macs().is_some(), "{text}");
    }
    let at = lines.iter().position(|line| line.starts_with("repmlpnet_b224")).unwrap();
    for (line, numbers) in [(at, ["68.3 M", "6.66 G"]), (at + 1, ["68.2 M", "6.68 G"])] {
        let cells = cells(lines[line]);
        assert!(numbers.iter().all(|n| cells.iter().any(|cell| cell == n)), "{}", lines[line]);
    }

    let json = mixfold(["models", "--json"]).json();
    let of = |name: &str| json.as_array().unwrap().iter().find(|m| m["name"] == name).unwrap();
    let b224 = of("repmlpnet_b224");
    let numbers = ["parameters", "train_parameters"].map(|key| b224[key].as_u64().unwrap());
    assert_eq!(numbers, [68_332_664, 68_242_712]);
    assert!(of("mixer_b16_224")["train_macs"].is_null());
    assert_eq!(keys(b224), keys(of("mixer_b16_224")));
}
