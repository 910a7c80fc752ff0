use std::fs;
use std::path::Path;

use mixfold_model::top;
use serde_json::Value;
use tempfile::tempdir;

use crate::{Ran, embedded, keys, mixfold, sample_names, samples, sorted, weights};

fn classify(path: impl AsRef<Path>, options: &[&str]) -> Ran {
    let path = path.as_ref().to_str().unwrap();
    mixfold(["classify", path].iter().chain(options))
}

fn json_lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn copy(name: &str, to: &Path) {
    fs::copy(samples().join(name), to).unwrap();
}

#[test]
fn json_has_what_the_library_says() {
    let lines = json_lines(&classify(samples(), &["--json", "--top", "3"]).success());
    let names = sample_names();
    assert_eq!(lines.len(), names.len());
    let model = embedded();
    for (line, name) in lines.iter().zip(names) {
        assert_eq!(keys(line), sorted(["path", "classes", "probabilities", "labels"]));
        let path = samples().join(name);
        assert_eq!(line["path"], path.to_str().unwrap());
        let logits = model.forward(&model.preprocess().open(&path).unwrap()).unwrap();
        let expected = top(logits.values(), 3);
        for (i, &(class, p)) in expected.iter().enumerate() {
            assert_eq!(line["classes"][i], class);
            assert_eq!(line["probabilities"][i].as_f64().unwrap() as f32, p);
            assert_eq!(line["labels"][i], *model.label(class));
        }
        assert_eq!(line["classes"].as_array().unwrap().len(), 3);
    }
}

#[test]
fn text_is_a_path_and_its_classes() {
    let path = samples().join(&sample_names()[0]);
    let out = classify(&path, &["--top", "2"]).success();
    let model = embedded();
    let logits = model.forward(&model.preprocess().open(&path).unwrap()).unwrap();
    let classes = logits.top(2).into_iter();
    let lines = classes.map(|(class, p)| format!("{:8.2} %  {}\n", 100.0 * p, model.label(class)));
    assert_eq!(out, format!("{}\n{}", path.display(), lines.collect::<String>()));

    let all = classify(&path, &["--top", "100"]).success();
    assert_eq!(all.lines().count(), 1 + model.classes());
    assert_eq!(classify(&path, &[]).success().lines().count(), 1 + 5);

    let two = mixfold(["classify", path.to_str().unwrap(), path.to_str().unwrap()]).success();
    assert_eq!(two.lines().filter(|line| line.is_empty()).count(), 1, "{two}");
}

#[test]
fn folders_are_walked_in_order() {
    let folder = tempdir().unwrap();
    let names = sample_names();
    fs::create_dir_all(folder.path().join("b/c")).unwrap();
    for (name, to) in names.iter().zip(["d.PNG", "b/z.png", "b/c/y.png", "a.png"]) {
        copy(name, &folder.path().join(to));
    }
    fs::write(folder.path().join("b/notes.txt"), "no image").unwrap();
    let lines = json_lines(&classify(folder.path(), &["--json"]).success());
    let expected = ["a.png", "b/c/y.png", "b/z.png", "d.PNG"].map(|name| folder.path().join(name));
    let found: Vec<_> = lines.iter().map(|line| line["path"].as_str().unwrap()).collect();
    assert_eq!(found, expected.each_ref().map(|path| path.to_str().unwrap()));
}

#[test]
fn more_images_than_a_batch_have_their_own_results() {
    let folder = tempdir().unwrap();
    let names = sample_names();
    for i in 0..40 {
        copy(&names[i % names.len()], &folder.path().join(format!("{i:02}.png")));
    }
    let of = |lines: Vec<Value>| -> Vec<Value> {
        lines.into_iter().map(|mut line| line["probabilities"].take()).collect()
    };
    let twelve = of(json_lines(&classify(samples(), &["--json"]).success()));
    let forty = of(json_lines(&classify(folder.path(), &["--json"]).success()));
    assert_eq!(forty.len(), 40);
    for (i, found) in forty.iter().enumerate() {
        assert_eq!(*found, twelve[i % names.len()], "{i}");
    }
}

#[test]
fn what_cannot_be_read_is_reported_and_the_rest_goes_on() {
    let folder = tempdir().unwrap();
    let names = sample_names();
    let path = |name: &str| folder.path().join(name);
    copy(&names[0], &path("a.png"));
    let whole = fs::read(path("a.png")).unwrap();
    fs::write(path("b.png"), &whole[..whole.len() / 2]).unwrap();
    fs::write(path("c.jpg"), "no image").unwrap();
    copy(&names[1], &path("d.png"));

    let ran = classify(folder.path(), &["--json"]);
    assert_eq!(ran.code, 1);
    let errors: Vec<_> = ran.err.lines().collect();
    assert_eq!(errors.len(), 2, "{}", ran.err);
    for (error, name) in errors.iter().zip(["b.png", "c.jpg"]) {
        assert!(error.starts_with(&format!("mixfold: {}: ", path(name).display())), "{error}");
    }
    let lines = json_lines(&ran.out);
    for (line, (name, sample)) in lines.iter().zip([("a.png", &names[0]), ("d.png", &names[1])]) {
        assert_eq!(line["path"], path(name).to_str().unwrap());
        let alone = classify(samples().join(sample), &["--json"]).json();
        assert_eq!(line["probabilities"], alone["probabilities"]);
    }
    assert_eq!(lines.len(), 2);

    let ran = mixfold(["classify", "absent.png", path("a.png").to_str().unwrap(), "--json"]);
    assert_eq!(ran.code, 1);
    assert!(ran.error_line().starts_with("absent.png: "));
    assert_eq!(json_lines(&ran.out).len(), 1);

    let empty = tempdir().unwrap();
    let error = classify(empty.path(), &[]).failure(1);
    assert!(error.contains("no JPEG or PNG file"), "{error}");
}

#[test]
fn a_format_by_its_content() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("png-inside.jpg");
    copy(&sample_names()[0], &path);
    let found = classify(&path, &["--json"]).json();
    let expected = classify(samples().join(&sample_names()[0]), &["--json"]).json();
    assert_eq!(found["probabilities"], expected["probabilities"]);
    // A colour JPEG is made grey and small.
    let photo = classify(crate::fixture("images/full.jpg"), &["--json"]).json();
    assert_eq!(photo["classes"].as_array().unwrap().len(), 5);
}

#[test]
fn threads_do_not_show() {
    let with = |threads| classify(samples(), &["--json", "--threads", threads]).success();
    assert_eq!(with("1"), with("3"));
    assert_eq!(with("1"), classify(samples(), &["--json"]).success());
}

#[test]
fn models_by_name_by_weights_and_by_both() {
    let path = samples().join(&sample_names()[0]);
    let weights = weights();
    let weights = weights.to_str().unwrap();
    let expected = classify(&path, &["--json"]).success();
    let ways: [&[&str]; 3] = [
        &["--model", "mixer_fashion"],
        &["--weights", weights],
        &["--weights", weights, "--model", "mixer_fashion"],
    ];
    for way in ways {
        assert_eq!(classify(&path, &[way, &["--json"]].concat()).success(), expected, "{way:?}");
    }
    let error = classify(&path, &["--weights", path.to_str().unwrap()]).failure(1);
    assert!(error.contains("neither safetensors, npz nor PyTorch's"), "{error}");
}

#[test]
fn labels_from_a_file() {
    let folder = tempdir().unwrap();
    let labels = folder.path().join("labels.txt");
    let path = samples().join(&sample_names()[0]);
    let names: String = (0..10).map(|class| format!("kind {class}\n")).collect();
    fs::write(&labels, names).unwrap();
    let line = classify(&path, &["--json", "--labels", labels.to_str().unwrap()]).json();
    for (class, label) in
        line["classes"].as_array().unwrap().iter().zip(line["labels"].as_array().unwrap())
    {
        assert_eq!(*label, format!("kind {class}"));
    }
    fs::write(&labels, "one\ntwo\n").unwrap();
    let error = classify(&path, &["--labels", labels.to_str().unwrap()]).failure(1);
    assert!(error.contains("2 names for 10 classes"), "{error}");
}

#[test]
fn preprocessing_and_gelu_can_be_changed() {
    let path = samples().join(&sample_names()[0]);
    let probabilities = |options: &[&str]| {
        classify(&path, &[&["--json"], options].concat()).json()["probabilities"].take()
    };
    let usual = probabilities(&[]);
    let changes: [&[&str]; 5] = [
        &["--mean", "0.9"],
        &["--mean", "-0.9"],
        &["--std", "0.9"],
        &["--crop", "0.5"],
        &["--gelu", "tanh"],
    ];
    for change in changes {
        assert_ne!(probabilities(change), usual, "{change:?}");
    }
    assert_eq!(probabilities(&["--gelu", "erf"]), usual);
    let [bilinear, bicubic] = ["bilinear", "bicubic"]
        .map(|filter| probabilities(&["--crop", "0.5", "--interpolation", filter]));
    assert_ne!(bilinear, bicubic);
    // Nothing is resized here.
    assert_eq!(probabilities(&["--interpolation", "bilinear"]), usual);
}

#[cfg(unix)]
#[test]
fn file_names_cannot_act_on_a_terminal() {
    let folder = tempdir().unwrap();
    copy(&sample_names()[0], &folder.path().join("a\n\x1b[2Jb.png"));
    fs::write(folder.path().join("c\n\x1b[2Jd.png"), "no image").unwrap();
    let ran = classify(folder.path(), &["--top", "1"]);
    assert_eq!(ran.out.lines().count(), 2, "{:?}", ran.out);
    assert!(!ran.out.contains('\x1b') && ran.error_line().contains("c \\u{1b}[2Jd.png"));
    assert!(!ran.err.contains('\x1b'));
}
