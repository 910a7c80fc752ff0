use std::fs;
use std::path::{Path, PathBuf};

use mixfold_model::checkpoint::npy;
use tempfile::{TempDir, tempdir};

use crate::{Ran, embedded, keys, mixfold, pth, sorted, weights};

const LAYERS: [&str; 12] = [
    "stem",
    "blocks.0.mlp_tokens",
    "blocks.0",
    "blocks.1.mlp_tokens",
    "blocks.1",
    "blocks.2.mlp_tokens",
    "blocks.2",
    "blocks.3.mlp_tokens",
    "blocks.3",
    "norm",
    "mean",
    "head",
];

/// A folder with images in `x.npy`.
struct Folder {
    folder: TempDir,
}

impl Folder {
    fn with_images(count: usize) -> Self {
        let folder = Folder { folder: tempdir().unwrap() };
        npy::write(folder.path("x.npy"), &[count, 1, 28, 28], &images(count)).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Runs the model on `x.npy`, into `output`.
    fn run(&self, output: &str, options: &[&str]) -> Ran {
        let (input, output) = (self.text("x.npy"), self.text(output));
        mixfold(["run", "--input", &input, "--output", &output].iter().chain(options))
    }

    fn files(&self) -> Vec<String> {
        files(self.folder.path())
    }
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn images(count: usize) -> Vec<f32> {
    (0..count * 28 * 28).map(|i| (i * 7919 % 1009) as f32 / 504.5 - 1.0).collect()
}

fn logits(count: usize) -> Vec<f32> {
    let model = embedded();
    let mut logits = vec![0.0; count * model.classes()];
    model.plan(count).unwrap().run(&images(count), &mut logits).unwrap();
    logits
}

#[test]
fn logits_are_those_of_the_library_whatever_the_batch_and_the_threads() {
    let folder = Folder::with_images(11);
    let expected = logits(11);
    let weights = weights();
    let other = tempdir().unwrap();
    let of_pytorch = other.path().join("weights.pth");
    fs::write(&of_pytorch, pth::of_training(&weights)).unwrap();
    let cases: [&[&str]; 9] = [
        &[],
        &["--batch", "1"],
        &["--batch", "3"],
        &["--batch", "11"],
        &["--threads", "1"],
        &["--threads", "3"],
        &["--model", "mixer_fashion"],
        &["--weights", weights.to_str().unwrap(), "--model", "mixer_fashion"],
        &["--weights", of_pytorch.to_str().unwrap()],
    ];
    let bytes: Vec<_> = cases
        .iter()
        .map(|options| {
            folder.run("y.npy", options).success();
            assert_eq!(npy::read(folder.path("y.npy")).unwrap(), (vec![11, 10], expected.clone()));
            fs::read(folder.path("y.npy")).unwrap()
        })
        .collect();
    assert!(bytes.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(folder.files(), ["x.npy", "y.npy"]);
}

#[test]
fn what_was_written_is_told() {
    let folder = Folder::with_images(2);
    let dumps = folder.text("dumps");
    let options = ["--dump", "mean", "--dump-dir", &dumps];
    let text = folder.run("y.npy", &options).success();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with(&folder.text("y.npy")) && lines[0].ends_with("2 x 10"), "{text}");
    assert!(lines[1].ends_with("2 x 80") && lines.len() == 2, "{text}");

    let report = folder.run("y.npy", &[&options[..], &["--json"]].concat()).json();
    assert_eq!(keys(&report), sorted(["model", "output", "dumps"]));
    let expected = serde_json::json!({
        "model": "mixer_fashion",
        "output": {"path": folder.text("y.npy"), "shape": [2, 10]},
        "dumps": [{"path": folder.path("dumps").join("mean.npy"), "shape": [2, 80]}],
    });
    assert_eq!(report, expected);
}

#[test]
fn dumps_are_what_the_library_observes() {
    let folder = Folder::with_images(11);
    let model = embedded();
    let mut observed: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    let observe = |layer: mixfold_model::Layer, _, shape: &[usize], values: &[f32]| {
        let name = layer.to_string();
        match observed.iter_mut().find(|(known, ..)| *known == name) {
            Some((_, _, all)) => all.extend(values),
            None => observed.push((name, [&[11], &shape[1..]].concat(), values.to_vec())),
        }
    };
    let mut logits = vec![0.0; 11 * 10];
    model.plan(11).unwrap().run_observed(&images(11), &mut logits, observe).unwrap();
    assert_eq!(observed.iter().map(|(name, ..)| name.as_str()).collect::<Vec<_>>(), LAYERS);

    for (i, options) in
        [&["--threads", "1"][..], &["--batch", "5"], &["--threads", "3"]].iter().enumerate()
    {
        let dumps = folder.text(&format!("new/dumps{i}"));
        folder
            .run("y.npy", &[options, &["--dump", "*", "--dump-dir", &dumps][..]].concat())
            .success();
        assert_eq!(files(Path::new(&dumps)).len(), LAYERS.len());
        for (name, shape, values) in &observed {
            let found = npy::read(Path::new(&dumps).join(format!("{name}.npy"))).unwrap();
            assert_eq!(found, (shape.clone(), values.clone()), "{name}");
        }
        assert_eq!(npy::read(folder.path("y.npy")).unwrap().1, logits);
    }
}

#[test]
fn patterns_choose_the_dumps() {
    let folder = Folder::with_images(1);
    let cases: [(&[&str], &[&str]); 4] = [
        (&["blocks.3"], &["blocks.3.npy"]),
        (&["stem", "head"], &["head.npy", "stem.npy"]),
        (
            &["blocks.*.mlp_tokens", "blocks.0*"],
            &[
                "blocks.0.mlp_tokens.npy",
                "blocks.0.npy",
                "blocks.1.mlp_tokens.npy",
                "blocks.2.mlp_tokens.npy",
                "blocks.3.mlp_tokens.npy",
            ],
        ),
        (&["blocks.[12]"], &["blocks.1.npy", "blocks.2.npy"]),
    ];
    for (i, (patterns, expected)) in cases.into_iter().enumerate() {
        let dumps = folder.text(&format!("dumps{i}"));
        let mut options = vec!["--dump-dir", &dumps];
        patterns.iter().for_each(|pattern| options.extend(["--dump", pattern]));
        folder.run("y.npy", &options).success();
        assert_eq!(files(Path::new(&dumps)), expected);
    }
    let dumps = folder.text("none");
    let error = folder.run("z.npy", &["--dump", "blocks.4", "--dump-dir", &dumps]).failure(2);
    assert!(
        error.contains("blocks.4") && LAYERS.iter().all(|name| error.contains(name)),
        "{error}"
    );
    let error = folder.run("z.npy", &["--dump", "[", "--dump-dir", &dumps]).failure(2);
    assert!(error.contains("--dump ["), "{error}");
    assert!(!folder.path("none").exists() && !folder.path("z.npy").exists());
}

#[test]
fn what_is_refused_leaves_no_file() {
    let folder = Folder::with_images(1);
    let refused = |shape: &[usize]| {
        let values = vec![0.0; shape.iter().product()];
        npy::write(folder.path("x.npy"), shape, &values).unwrap();
        folder.run("y.npy", &[]).failure(1)
    };
    for shape in [&[1, 3, 28, 28][..], &[1, 1, 28, 27], &[1, 28, 28], &[1, 784], &[]] {
        let error = refused(shape);
        assert!(error.contains("mixer_fashion wants [") && error.contains("1, 28, 28]"), "{error}");
    }
    assert!(refused(&[0, 1, 28, 28]).contains("no images"));
    fs::write(folder.path("x.npy"), "no array").unwrap();
    assert!(folder.run("y.npy", &[]).failure(1).contains("not a .npy array"));
    assert_eq!(folder.files(), ["x.npy"]);

    npy::write(folder.path("x.npy"), &[1, 1, 28, 28], &images(1)).unwrap();
    let error = folder.run("absent/y.npy", &[]).failure(1);
    assert!(error.starts_with(&folder.text("absent/y.npy")), "{error}");
    // The images are not replaced by their logits, under another name for the file either.
    let before = fs::read(folder.path("x.npy")).unwrap();
    for name in ["x.npy", "./x.npy"] {
        assert!(folder.run(name, &[]).failure(2).contains("is the input"), "{name}");
    }
    assert_eq!(fs::read(folder.path("x.npy")).unwrap(), before);
    let file = folder.text("x.npy");
    let error = folder.run("y.npy", &["--dump", "head", "--dump-dir", &file]).failure(1);
    assert!(error.starts_with(&file), "{error}");
    assert_eq!(folder.files(), ["x.npy"]);
}

#[test]
fn gelus_differ() {
    let folder = Folder::with_images(1);
    folder.run("erf.npy", &["--gelu", "erf"]).success();
    folder.run("tanh.npy", &["--gelu", "tanh"]).success();
    folder.run("usual.npy", &[]).success();
    let read = |name| npy::read(folder.path(name)).unwrap().1;
    assert_eq!(read("erf.npy"), read("usual.npy"));
    assert_ne!(read("erf.npy"), read("tanh.npy"));
}
