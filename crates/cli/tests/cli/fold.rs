use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use mixfold_model::Checkpoint;
use mixfold_model::checkpoint::Dtype;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::{Ran, assert_parsed, fixture, keys, mixfold, repmlpnet_weights, sorted, weights};

/// A folder for the output.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn files(&self) -> usize {
        fs::read_dir(self.0.path()).unwrap().count()
    }
}

fn fold(input: &Path, output: &Path, options: &[&str]) -> Ran {
    let paths = [input, output].map(|path| path.to_str().unwrap());
    mixfold(["fold"].iter().chain(&paths).chain(options))
}

fn number(json: &Value, of: &str) -> u64 {
    json[of].as_u64().unwrap()
}

fn read(file: &mut Checkpoint, name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.read_bytes(name, &mut bytes).unwrap();
    bytes
}

#[test]
fn the_file_has_the_official_deploy_names_and_all_else_as_it_was() {
    let folder = Folder::new();
    let output = folder.path("deploy.safetensors");
    fold(&repmlpnet_weights(), &output, &[]).success();
    assert_eq!(folder.files(), 1);
    let (mut train, mut deploy) =
        (Checkpoint::open(repmlpnet_weights()).unwrap(), Checkpoint::open(&output).unwrap());

    let kept = train.names().filter(|name| !name.contains("fc3_bn") && !name.contains("repconv"));
    let mut expected: BTreeSet<String> = kept.map(str::to_owned).collect();
    let blocks = [[0, 0], [0, 1], [1, 0], [1, 1]];
    let fc3 = blocks.map(|[stage, unit]| format!("stages.{stage}.{unit}.repmlp_block.fc3"));
    expected.extend(fc3.iter().map(|fc3| format!("{fc3}.bias")));
    assert_eq!(deploy.names().map(str::to_owned).collect::<BTreeSet<_>>(), expected);

    for (i, fc3) in fc3.iter().enumerate() {
        let (rows, places) = [(2 * 196, 196), (16 * 49, 49)][i / 2];
        let entry = |parameter: &str| deploy.entry(&format!("{fc3}.{parameter}")).unwrap();
        assert_eq!(entry("weight").shape(), [rows, places, 1, 1]);
        assert_eq!(entry("bias").shape(), [rows]);
        assert!(["weight", "bias"].iter().all(|name| *entry(name).dtype() == Dtype::F32));
    }
    for name in expected.iter().filter(|name| !name.contains(".fc3.")) {
        assert_eq!(deploy.entry(name).unwrap().shape(), train.entry(name).unwrap().shape());
        assert!(read(&mut deploy, name) == read(&mut train, name), "{name}");
    }
    assert_eq!(deploy.metadata(), train.metadata());
}

#[test]
fn json_has_the_numbers_of_the_file_and_of_each_block() {
    let folder = Folder::new();
    let output = folder.path("deploy");
    let json = fold(&repmlpnet_weights(), &output, &["--report", "--json"]).json();
    let expected = [
        "model",
        "output",
        "blocks",
        "convolutions",
        "bytes_before",
        "bytes_after",
        "seconds",
        "report",
        "total",
    ];
    assert_eq!(keys(&json), sorted(expected));
    assert_eq!((&json["model"], number(&json, "blocks")), (&"repmlpnet_fashion".into(), 4));
    assert_eq!(
        (&json["output"], number(&json, "convolutions")),
        (&output.to_str().unwrap().into(), 0)
    );
    assert!(json["seconds"].as_f64().unwrap() > 0.0);
    for (of, path) in [("bytes_before", &repmlpnet_weights()), ("bytes_after", &output)] {
        let file = Checkpoint::open(path).unwrap();
        let bytes: u64 = file.entries().map(|(_, entry)| entry.bytes()).sum();
        assert_eq!(number(&json, of), bytes);
    }

    let (report, total) = (json["report"].as_array().unwrap(), &json["total"]);
    assert_eq!(report.len(), 4);
    assert_eq!(keys(total), sorted(["relative", "train", "deploy"]));
    let mut most = 0.0_f64;
    for block in report {
        let expected = ["name", "difference", "largest", "relative", "train", "deploy"];
        assert_eq!(keys(block), sorted(expected));
        let [difference, largest, relative] =
            ["difference", "largest", "relative"].map(|key| block[key].as_f64().unwrap());
        assert!(difference > 0.0 && difference <= 1e-5 * largest, "{block}");
        assert_parsed(&block["relative"], difference / largest);
        most = most.max(relative);
    }
    assert_eq!(total["relative"], most);
    for form in ["train", "deploy"] {
        assert_eq!(keys(&total[form]), sorted(["parameters", "macs", "bytes"]));
        for of in ["parameters", "macs", "bytes"] {
            let sum: u64 = report.iter().map(|block| number(&block[form], of)).sum();
            assert_eq!(number(&total[form], of), sum);
        }
    }
    // Of the first stage: 2 share-sets of 32 channels on maps of 14 x 14.
    assert_eq!(report[0]["name"], "stages.0.0.repmlp_block");
    let matrix = 2 * 196 * 196;
    let train = matrix + 2 * (1 + 9) + 3 * 2 * 2;
    assert_eq!(number(&report[0]["train"], "parameters"), train);
    assert_eq!(number(&report[0]["deploy"], "parameters"), matrix + 2 * 196);
    assert_eq!(number(&report[0]["train"], "macs"), 32 * 196 * (196 + 1 + 9));
    assert_eq!(number(&report[0]["deploy"], "macs"), 32 * 196 * 196);

    let json = fold(&repmlpnet_weights(), &output, &["--json"]).json();
    assert_eq!((&json["report"], &json["total"]), (&Value::Null, &Value::Null));
}

#[test]
fn text_has_the_same() {
    let folder = Folder::new();
    let output = folder.path("deploy");
    let options = ["--model", "repmlpnet_fashion", "--report"];
    let text = fold(&repmlpnet_weights(), &output, &options).success();
    let json = fold(&repmlpnet_weights(), &output, &["--report", "--json"]).json();
    for words in ["repmlpnet_fashion", "4 blocks", output.to_str().unwrap(), "\ntotal"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    for block in json["report"].as_array().unwrap() {
        let name = block["name"].as_str().unwrap();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        let relative = format!("{:.1e}", block["relative"].as_f64().unwrap());
        assert!(line.split_whitespace().any(|cell| cell == relative), "{relative}: {line}");
    }
    assert!(text.lines().all(|line| line == line.trim_end()), "{text}");
    let short = fold(&repmlpnet_weights(), &output, &[]).success();
    assert!(short.contains("4 blocks") && !short.contains("stages."), "{short}");
}

#[test]
fn threads_do_not_show() {
    let folder = Folder::new();
    let with = |threads: &str| {
        let output = folder.path(threads);
        let options = ["--report", "--json", "--threads", threads];
        let mut json = fold(&repmlpnet_weights(), &output, &options).json();
        (json["report"].take(), json["total"].take(), fs::read(output).unwrap())
    };
    assert!(with("1") == with("3"));
}

#[test]
fn in_the_place_of_the_input() {
    let folder = Folder::new();
    let (file, other) = (folder.path("a.safetensors"), folder.path("b.safetensors"));
    fs::copy(repmlpnet_weights(), &file).unwrap();
    let of = |json: Value| json["report"].clone();
    let expected = of(fold(&file, &other, &["--report", "--json"]).json());
    assert_eq!(of(fold(&file, &file, &["--report", "--json"]).json()), expected);
    assert!(fs::read(&file).unwrap() == fs::read(&other).unwrap());
    assert_eq!(folder.files(), 2);

    // Once is enough.
    let error = fold(&file, &file, &[]).failure(1);
    assert!(error.starts_with(file.to_str().unwrap()), "{error}");
    assert!(error.contains("in deploy form already"), "{error}");
    assert!(fs::read(&file).unwrap() == fs::read(&other).unwrap());
}

#[test]
fn what_is_refused_leaves_the_target_as_it_was() {
    let folder = Folder::new();
    let target = folder.path("target");
    fs::write(&target, "as it was").unwrap();
    let whole = fs::read(repmlpnet_weights()).unwrap();
    let cut = folder.path("cut");
    fs::write(&cut, &whole[..whole.len() - 1]).unwrap();
    let small = fixture("repmlpnet_small_train.safetensors");
    let train = repmlpnet_weights();
    let cases: [(&Path, &[&str], i32, &str); 8] = [
        (&weights(), &["--model", "mixer_fashion"], 1, "mixer_fashion has one form only"),
        (&weights(), &[], 1, "mixer_fashion has one form only"),
        (&weights(), &["--model", "repmlpnet_fashion"], 1, "does not fit repmlpnet_fashion"),
        (&train, &["--model", "repmlp"], 2, "unknown model `repmlp`"),
        (&train, &["--model", "repmlpnet_t224"], 1, "does not fit repmlpnet_t224"),
        (&small, &[], 1, "fit none of the models (a RepMLPNet for images of 3 x 64 x 64"),
        (&cut, &[], 1, "cut: "),
        (&folder.path("absent"), &[], 1, "absent: "),
    ];
    for (input, options, code, hint) in cases {
        for report in [&[][..], &["--report", "--json"]] {
            let error = fold(input, &target, &[options, report].concat()).failure(code);
            assert!(error.contains(hint), "{error}, expected: {hint}");
        }
    }
    assert_eq!(fs::read(&target).unwrap(), b"as it was");

    for output in [folder.path("absent/deploy"), folder.0.path().to_owned()] {
        let error = fold(&train, &output, &[]).failure(1);
        assert!(error.starts_with(output.to_str().unwrap()), "{error}");
    }
    assert_eq!(folder.files(), 2);
}
