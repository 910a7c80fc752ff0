use std::fs;
use std::path::Path;

use mixfold_model::{Form, Model};
use roxmltree::{Document, Node};
use serde_json::Value;
use tempfile::tempdir;

use crate::{Ran, embedded, keys, loader, mixfold, repmlpnet, repmlpnet_weights, sorted, weights};

const BOTH: &str = "mixer_fashion,repmlpnet_fashion";

/// Two runs, unless the options say otherwise.
fn compare(models: &str, options: &[&str]) -> Ran {
    let runs: &[&str] = if options.contains(&"--runs") { &[] } else { &["--runs", "2"] };
    mixfold(["compare", "--models", models].iter().chain(runs).chain(options))
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap()
}

#[track_caller]
fn assert_close(found: f64, expected: f64) {
    assert!((found / expected - 1.0).abs() < 1e-9, "{found}, expected {expected}");
}

/// Checks what figures have to do with each other, and with the models; returns the report.
fn checked(models: &str, options: &[&str], expected: &[Model], batches: &[usize]) -> Value {
    let report = compare(models, &[options, &["--json"]].concat()).json();
    let top = ["threads", "isa", "dtype", "runs", "fma_peak_gflops", "models"];
    assert_eq!(keys(&report), sorted(top));
    assert_eq!(report["dtype"], "f32");
    assert!(number(&report, "fma_peak_gflops") > 0.0);
    let compared = report["models"].as_array().unwrap();
    assert_eq!(compared.len(), expected.len());
    for (i, (compared, model)) in compared.iter().zip(expected).enumerate() {
        let of_model = [
            "model",
            "family",
            "form",
            "weights",
            "input",
            "parameters",
            "macs",
            "packed_bytes",
            "batches",
        ];
        assert_eq!(keys(compared), sorted(of_model));
        let info = mixfold_model::registry::model(model.name()).unwrap();
        assert_eq!(compared["model"], model.name());
        assert_eq!(compared["family"], info.family());
        assert_eq!(compared["form"].as_str(), model.form().map(|f| f.to_string()).as_deref());
        assert_eq!(compared["input"], serde_json::json!(model.input()));
        assert_eq!(compared["parameters"], model.parameters());
        assert_eq!(compared["macs"], model.macs());
        assert_eq!(compared["packed_bytes"], model.packed_bytes());
        let measured = compared["batches"].as_array().unwrap();
        assert_eq!(measured.len(), batches.len());
        for (measured, &batch) in measured.iter().zip(batches) {
            check_batch(measured, batch, model.macs(), number(&report, "fma_peak_gflops"));
            if i == 0 {
                assert_eq!(measured["times_first"], 1.0);
            }
        }
    }
    report
}

fn check_batch(measured: &Value, batch: usize, macs: u64, peak: f64) {
    let of_batch = [
        "batch",
        "images_per_s",
        "images_per_s_median",
        "latency_ms",
        "gflops",
        "peak_fraction",
        "times_first",
    ];
    assert_eq!(keys(measured), sorted(of_batch));
    assert_eq!(measured["batch"], batch);
    let [fastest, median] =
        ["images_per_s", "images_per_s_median"].map(|key| number(measured, key));
    assert!(fastest >= median && median > 0.0, "{measured}");
    assert_close(number(measured, "latency_ms"), 1e3 * batch as f64 / median);
    assert_close(number(measured, "gflops"), 2.0 * macs as f64 * fastest / 1e9);
    assert_close(number(measured, "peak_fraction"), number(measured, "gflops") / peak);
    assert!(number(measured, "times_first") > 0.0, "{measured}");
}

#[test]
fn two_models_with_two_batch_sizes() {
    let expected = [embedded(), repmlpnet(Form::Deploy)];
    let options = ["--batch", "1,3", "--threads", "2", "--runs", "3"];
    let report = checked(BOTH, &options, &expected, &[1, 3]);
    assert_eq!((&report["runs"], &report["threads"]), (&3.into(), &2.into()));
    assert!(
        report["models"].as_array().unwrap().iter().all(|model| model["weights"] == "embedded")
    );
}

#[test]
fn times_first_is_that_of_a_round() {
    let expected = [embedded(), repmlpnet(Form::Deploy)];
    let report = checked(BOTH, &["--runs", "1", "--batch", "1"], &expected, &[1]);
    let [first, second] = [0, 1].map(|i| &report["models"][i]["batches"][0]);
    let ratio = number(second, "images_per_s") / number(first, "images_per_s");
    assert_close(number(second, "times_first"), ratio);
}

#[test]
fn forms_weights_and_a_model_twice() {
    let forms =
        [repmlpnet(Form::Train), repmlpnet(Form::Deploy), repmlpnet(Form::Deploy), embedded()];
    let models = "repmlpnet_fashion:train,repmlpnet_fashion:deploy,repmlpnet_fashion,mixer_fashion";
    let file = repmlpnet_weights();
    let weights = format!("repmlpnet_fashion={}", file.display());
    let report = checked(models, &["--weights", &weights], &forms, &[8]);
    let of = |i: usize| report["models"][i]["weights"].as_str().unwrap();
    assert_eq!([0, 1, 2].map(of), [file.to_str().unwrap(); 3]);
    assert_eq!(of(3), "embedded");
}

#[test]
fn random_weights_and_the_number_of_runs() {
    let model = loader().random("mixer_s32_224", 0).unwrap();
    let options = ["--batch", "1", "--runs", "1"];
    let report = checked("mixer_s32_224,mixer_fashion", &options, &[model, embedded()], &[1]);
    assert_eq!(report["models"][0]["weights"], "random");

    let report = mixfold(["compare", "--models", "mixer_fashion", "--batch", "1", "--json"]).json();
    assert!(report["runs"].as_u64().unwrap() >= 3);
}

#[test]
fn weights_of_another_model() {
    let file = weights();
    let weights = format!("repmlpnet_fashion={}", file.display());
    let error = compare(BOTH, &["--weights", &weights]).failure(1);
    assert!(error.contains("does not fit repmlpnet_fashion"), "{error}");
}

#[test]
fn text_has_the_same() {
    let models = "mixer_fashion,repmlpnet_fashion:train";
    let text = compare(models, &["--batch", "1,2", "--threads", "1"]).success();
    assert!(text.starts_with("1 thread, "), "{text}");
    assert!(text.contains("2 runs of each"), "{text}");
    for title in ["mixer_fashion ", "repmlpnet_fashion, train "] {
        let lines = text.lines().filter(|line| line.starts_with(title));
        assert_eq!(lines.count(), 3, "one for its size, one for each batch size: {text}");
    }
    for header in ["PARAMETERS", "MACS", "BATCH 1", "BATCH 2", "MS/BATCH", "TIMES FIRST"] {
        assert!(text.contains(header), "{header}: {text}");
    }
    assert!(text.lines().all(|line| line == line.trim_end()), "{text}");
}

fn texts<'a>(document: &'a Document<'_>) -> Vec<&'a str> {
    let texts = document.descendants().filter(|node| node.has_tag_name("text"));
    texts.map(|node| node.text().unwrap().trim()).collect()
}

/// The bars, in the order in which they are drawn: all rectangles but the background and the legend's.
fn bars(document: &Document<'_>) -> Vec<[f64; 4]> {
    let rectangle = |node: Node<'_, '_>| {
        ["x", "y", "width", "height"].map(|name| node.attribute(name).unwrap().parse().unwrap())
    };
    let rectangles = document.descendants().filter(|node| node.has_tag_name("rect"));
    let rectangles: Vec<[f64; 4]> = rectangles.map(rectangle).collect();
    let root = document.root_element();
    let [width, height] =
        ["width", "height"].map(|name| root.attribute(name).unwrap().parse::<f64>().unwrap());
    for [x, y, w, h] in &rectangles {
        assert!(*x >= 0.0 && *y >= 0.0 && x + w <= width && y + h <= height, "{rectangles:?}");
    }
    let others = [[width, height], [14.0; 2]];
    let is_bar = |&[_, _, w, h]: &[f64; 4]| !others.contains(&[w, h]);
    rectangles.into_iter().filter(is_bar).collect()
}

#[test]
fn the_plot_has_a_bar_for_each_model_and_batch_size() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("speed.SVG");
    let plot = |models: &str, options: &[&str]| {
        let options = [options, &["--json", "--plot", path.to_str().unwrap()]].concat();
        let report = compare(models, &options).json();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        (report, fs::read_to_string(&path).unwrap())
    };
    let (report, svg) = plot("repmlpnet_fashion:train,mixer_fashion", &["--batch", "1,4"]);
    let document = Document::parse(&svg).unwrap();
    let texts = texts(&document);
    for text in ["repmlpnet_fashion, train", "mixer_fashion", "batch 1", "batch 4"] {
        assert_eq!(texts.iter().filter(|&&found| found == text).count(), 1, "{text}: {texts:?}");
    }
    assert!(texts.iter().any(|text| text.contains(report["isa"].as_str().unwrap())), "{texts:?}");
    let drawn = bars(&document);
    assert_eq!(drawn.len(), 4);
    let speeds: Vec<f64> = (0..4)
        .map(|i| number(&report["models"][i / 2]["batches"][i % 2], "images_per_s"))
        .collect();
    let longest = speeds.iter().copied().fold(0.0, f64::max);
    let widest = drawn.iter().map(|bar| bar[2]).fold(0.0, f64::max);
    for (bar, speed) in drawn.iter().zip(speeds) {
        // To the pixel at both ends.
        assert!((bar[2] / widest - speed / longest).abs() <= 2.0 / widest, "{drawn:?}");
    }

    // In the place of the other one.
    let (_, svg) = plot("mixer_fashion", &["--batch", "2"]);
    assert_eq!(bars(&Document::parse(&svg).unwrap()).len(), 1);
}

#[test]
fn a_plot_that_cannot_be_written_leaves_nothing() {
    let folder = tempdir().unwrap();
    let taken = folder.path().join("folder.svg");
    fs::create_dir(&taken).unwrap();
    let absent = folder.path().join("absent/speed.svg");
    let plot = |path: &Path| compare(BOTH, &["--plot", path.to_str().unwrap()]);
    for path in [&taken, &absent] {
        let error = plot(path).failure(1);
        assert!(error.starts_with(path.to_str().unwrap()), "{error}");
    }
    // What fails later leaves what was there.
    let kept = folder.path().join("kept.svg");
    fs::write(&kept, "as it was").unwrap();
    let weights = format!("repmlpnet_fashion={}", weights().display());
    compare(BOTH, &["--weights", &weights, "--plot", kept.to_str().unwrap()]).failure(1);
    assert_eq!(fs::read(&kept).unwrap(), b"as it was");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}
