use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use mixfold_model::{Form, Model, top};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::{Ran, embedded, keys, mixfold, repmlpnet, sample_names, samples, sorted};

/// The bytes of an IDX file.
fn idx(shape: &[u32], elements: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, shape.len() as u8];
    shape.iter().for_each(|d| bytes.extend(d.to_be_bytes()));
    bytes.extend(elements);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Pixels and classes of the samples, whose names tell these.
fn set() -> (Vec<u8>, Vec<u8>) {
    const CLASSES: [&str; 10] = [
        "t-shirt-top",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle-boot",
    ];
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for name in sample_names() {
        let image = image::open(samples().join(&name)).unwrap().into_luma8();
        assert_eq!(image.dimensions(), (28, 28));
        pixels.extend(image.into_raw());
        let class = name.strip_suffix(".png").unwrap().split_once('-').unwrap().1;
        labels.push(CLASSES.iter().position(|&known| known == class).unwrap() as u8);
    }
    (pixels, labels)
}

struct Files {
    folder: TempDir,
}

impl Files {
    fn new(images: &[u8], labels: &[u8]) -> Self {
        let files = Files { folder: tempdir().unwrap() };
        fs::write(files.images(), images).unwrap();
        fs::write(files.labels(), labels).unwrap();
        files
    }

    fn good() -> Self {
        let (pixels, labels) = set();
        let n = labels.len() as u32;
        Files::new(&idx(&[n, 28, 28], &pixels), &gzip(&idx(&[n], &labels)))
    }

    fn images(&self) -> PathBuf {
        self.folder.path().join("images")
    }

    fn labels(&self) -> PathBuf {
        self.folder.path().join("labels")
    }

    fn eval(&self, options: &[&str]) -> Ran {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let (images, labels) = (text(&self.images()), text(&self.labels()));
        let args = ["eval", "--images", &images, "--labels", &labels];
        mixfold(args.iter().chain(options))
    }
}

/// How many of the samples a model gets right, at once and among five.
fn correct(model: &Model, labels: &[u8]) -> [usize; 2] {
    let mut correct = [0, 0];
    for (name, label) in sample_names().iter().zip(labels) {
        let images = model.preprocess().open(samples().join(name)).unwrap();
        let classes = top(model.forward(&images).unwrap().values(), 5);
        let place = classes.iter().position(|&(class, _)| class == usize::from(*label));
        correct[0] += usize::from(place == Some(0));
        correct[1] += usize::from(place.is_some());
    }
    correct
}

#[test]
fn accuracy_is_that_of_the_library() {
    let (_, labels) = set();
    let correct = correct(&embedded(), &labels);
    let expected = correct.map(|correct| correct as f64 / labels.len() as f64);

    let files = Files::good();
    for options in [&[][..], &["--batch", "1"], &["--batch", "5", "--threads", "3"]] {
        let found = files.eval(&[options, &["--json"]].concat()).json();
        assert_eq!(
            keys(&found),
            sorted([
                "model",
                "images",
                "top1",
                "top5",
                "seconds",
                "images_per_s",
                "batch",
                "threads",
                "isa"
            ])
        );
        assert_eq!(
            (found["model"].as_str(), &found["images"]),
            (Some("mixer_fashion"), &12.into())
        );
        assert_eq!([&found["top1"], &found["top5"]].map(|v| v.as_f64().unwrap()), expected);
        assert!(found["images_per_s"].as_f64().unwrap() > 0.0);
    }
    let threads = files.eval(&["--json", "--threads", "1"]).json()["threads"].take();
    assert_eq!(threads, Value::from(1));

    let text = files.eval(&[]).success();
    assert!(text.contains(&format!("({} of 12)", correct[0])), "{text}");
    assert!(text.contains(&format!("({} of 12)", correct[1])), "{text}");
}

#[test]
fn both_forms_of_the_embedded_model() {
    let (files, labels) = (Files::good(), set().1);
    for (form, name) in [(Form::Train, "train"), (Form::Deploy, "deploy")] {
        let options = ["--model", "repmlpnet_fashion", "--form", name, "--json"];
        let found = files.eval(&options).json();
        assert_eq!(found["model"], "repmlpnet_fashion");
        let expected = correct(&repmlpnet(form), &labels).map(|n| n as f64 / 12.0);
        assert_eq!([&found["top1"], &found["top5"]].map(|v| v.as_f64().unwrap()), expected);
    }
}

#[test]
fn what_is_refused() {
    let (pixels, labels) = set();
    let images = idx(&[12, 28, 28], &pixels);
    let classes = idx(&[12], &labels);
    let error = |images: &[u8], labels: &[u8]| Files::new(images, labels).eval(&[]).failure(1);
    let cases = [
        (error(&classes, &classes), "1 dimensions, expected 3"),
        (error(&images, &images), "3 dimensions, expected 1"),
        (error(&images, &idx(&[11], &labels[..11])), "11 labels for the 12 images"),
        (error(&images, b"P5 28 28 255 "), "no IDX file"),
        (error(&images, &[0, 0, 13, 1, 0, 0, 0, 0]), "type 0x0d"),
        (
            error(&images[..images.len() - 1], &classes),
            "need 9408 bytes of data, the file has 9407",
        ),
        (error(&[&images[..], &[0]].concat(), &classes), "more follow"),
        (error(&gzip(&images)[..200], &classes), "the file has"),
        (error(&images, &idx(&[12], &[10; 12])), "the label of image 0 is 10"),
        (error(&idx(&[0, 28, 28], &[]), &idx(&[0], &[])), "no images"),
        (error(&idx(&[1, 1 << 20, 1 << 20], &[]), &idx(&[1], &[0])), "pixels are more than"),
        (error(&idx(&[u32::MAX; 3], &[]), &classes), "overflow"),
        (error(&idx(&[12, 0, 28], &[]), &classes), "empty image"),
    ];
    for (error, hint) in cases {
        assert!(error.contains(hint), "{error}, expected: {hint}");
    }
}
